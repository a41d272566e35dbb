//! How long a loop stands still for a capture, and until a snapshot is durable.

use std::thread;
use std::time::Duration;

use crate::flags::Flags;
use crate::gaps::Times;
use crate::plot::Plot;
use crate::process::{Process, SNAPSHOT};
use crate::rounds;
use crate::setup::Setup;
use crate::statistics::{Rounds, spread};
use crate::table::{bytes, time};
use crate::way::Way;

const MIB: usize = 1 << 20;
const SIZE: usize = 64;
/// Without a snapshot; with one, it is as long as it takes, and this long at least.
const WINDOW: Duration = Duration::from_millis(500);

/// In nanoseconds.
#[derive(Default)]
struct Seen {
    without: [Rounds; 2],
    with: [Rounds; 2],
    capture: Rounds,
    durable: Rounds,
}

pub(crate) fn compare(flags: &Flags) {
    println!(
        "\n## Pauses\n\nA loop that never rests and handles 100,000 messages a second, each of which changes the state in one place: \
         the time from one turn to the next, with a snapshot under way and without; `capture`; and from the request to the commit, \
         on the disk. Medians of rounds.\n"
    );
    println!(
        "| state | | longest, without | p99.9, without | longest, snapshot | p99.9, snapshot | capture | committed |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let sizes: &[usize] = if flags.quick { &[1, 16, 128] } else { &[1, 16, 128, 1024] };
    let text = |x: f64| bytes(x as usize);
    let mut pauses = Plot::new("pause-by-state", "bytes of state", "longest time between turns", text, time);
    let mut durable = Plot::new("durable-by-state", "bytes of state", "from request to commit", text, time);
    for way in [Way::Copied, Way::Pieces] {
        let (mut with, mut without, mut committed) = (Vec::new(), Vec::new(), Vec::new());
        for size in sizes.iter().map(|size| size * MIB) {
            let seen = measure(flags, way, size);
            let [longest, p999, longest_with, p999_with, capture, until] = [
                &seen.without[0],
                &seen.without[1],
                &seen.with[0],
                &seen.with[1],
                &seen.capture,
                &seen.durable,
            ]
            .map(|rounds| spread(rounds).median);
            println!(
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                bytes(size),
                way.name(),
                time(longest),
                time(p999),
                time(longest_with),
                time(p999_with),
                time(capture),
                time(until),
            );
            without.push((size as f64, longest));
            with.push((size as f64, longest_with));
            committed.push((size as f64, until));
        }
        pauses.line(&format!("{}, snapshot", way.name()), with);
        pauses.line(&format!("{}, none", way.name()), without);
        durable.line(way.name(), committed);
    }
    println!();
    pauses.write(flags);
    durable.write(flags);
}

fn measure(flags: &Flags, way: Way, state: usize) -> Seen {
    let (folder, pace) = (flags.store(), flags.pace());
    let folder_path = Some(folder.path().to_owned());
    let mut processes = rounds::pair(&Setup { state, folder: folder_path, ..Setup::new(way, SIZE) });
    rounds::await_messages(&mut processes);
    let mut seen = Seen::default();
    for _ in 0..pace.rounds {
        thread::sleep(pace.warm_up);
        let times = |processes: &mut [Process]| -> Times { Process::marks(processes)[0].times };
        times(&mut processes);
        thread::sleep(WINDOW);
        let without = times(&mut processes);
        processes[0].tell(SNAPSHOT);
        let answer = processes[0].hear(SNAPSHOT);
        let (durable, capture) = answer.split_once(' ').expect("two numbers");
        let [durable, capture] = [durable, capture].map(|number| number.parse::<f64>().expect("a number"));
        thread::sleep(WINDOW.saturating_sub(Duration::from_nanos(durable as u64)));
        let with = times(&mut processes);
        seen.without[0].push(without.longest);
        seen.without[1].push(without.p999);
        seen.with[0].push(with.longest);
        seen.with[1].push(with.p999);
        seen.capture.push(capture);
        seen.durable.push(durable);
    }
    Process::end(processes);
    seen
}
