//! Interleaved rounds: in each every row has its turn, and another one goes first.

use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Mark, Process};
use crate::setup::Setup;
use crate::statistics::Rounds;

/// What has not begun by then never will.
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(5);

/// How often a row is looked at, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    /// What passes before, so that connections stand and buffers have grown.
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// What a row has shown, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Messages a second, all who count together.
    pub(crate) throughput: Rounds,
    /// User and system, all processes together, in nanoseconds a message.
    pub(crate) cpu: Rounds,
    /// Of what the last process took the time of, in nanoseconds.
    pub(crate) p50: Rounds,
    pub(crate) p99: Rounds,
    /// That the first process has seen committed.
    pub(crate) snapshots: Rounds,
}

/// The figures of each row, in their order. `start` makes a row's processes.
pub(crate) fn compare<T>(pace: Pace, rows: &[T], start: impl Fn(&T) -> Vec<Process>) -> Vec<Figures> {
    let mut figures = vec![Figures::default(); rows.len()];
    for round in 0..pace.rounds {
        for turn in 0..rows.len() {
            let row = (round + turn) % rows.len();
            let mut processes = start(&rows[row]);
            await_messages(&mut processes);
            thread::sleep(pace.warm_up);
            watch(&mut processes, pace.window, &mut figures[row]);
            Process::end(processes);
        }
    }
    figures
}

/// Both processes of a row: who listens, and who sends.
pub(crate) fn pair(listener: &Setup) -> Vec<Process> {
    let mut receiver = Process::start(listener);
    let sender = Process::start(&listener.sends_to(receiver.hear("address")));
    vec![receiver, sender]
}

pub(crate) fn await_messages(processes: &mut [Process]) {
    let waiting = Instant::now();
    while Process::marks(processes).iter().all(|mark| mark.messages == 0) {
        assert!(waiting.elapsed() < PATIENCE, "no message has arrived");
        thread::sleep(GLANCE);
    }
}

fn watch(processes: &mut [Process], window: Duration, figures: &mut Figures) {
    let before = Process::marks(processes);
    thread::sleep(window);
    let after = Process::marks(processes);
    let sum = |of: fn(&Mark) -> u64| {
        let of_each = before.iter().zip(&after).map(|(before, after)| of(after) - of(before));
        of_each.sum::<u64>() as f64
    };
    let (messages, cpu) = (sum(|mark| mark.messages), sum(|mark| mark.cpu));
    let each = before.iter().zip(&after);
    let throughput = each.map(|(before, after)| {
        (after.messages - before.messages) as f64 / (after.at - before.at) as f64 * 1e9
    });
    figures.throughput.push(throughput.sum());
    figures.cpu.push(cpu / messages);
    let times = after.last().expect("there are some").times;
    figures.p50.push(times.p50);
    figures.p99.push(times.p99);
    figures.snapshots.push((after[0].snapshots - before[0].snapshots) as f64);
}
