//! Runtimes of two threads.

use crate::flags::Flags;
use crate::rounds;
use crate::setup::Setup;
use crate::table;
use crate::way::Way;

const SIZE: usize = 128;
const TASKS: usize = 8;

pub(crate) fn compare(flags: &Flags) {
    println!(
        "\n## Two threads\n\n{SIZE} bytes; a runtime of one thread at each end, and one of two; relative to the codec on one.\n"
    );
    let mut rows = Vec::new();
    for way in [Way::Codec, Way::Transport, Way::Node, Way::Shared] {
        for threads in [1, 2] {
            let name = match way {
                Way::Shared => format!("{}, {TASKS} tasks, {threads}", way.name()),
                _ => format!("{}, {threads}", way.name()),
            };
            rows.push((name, Setup { threads, tasks: TASKS, ..Setup::new(way, SIZE) }));
        }
    }
    let figures = rounds::compare(flags.pace(), &rows, |(_, setup)| rounds::pair(setup));
    table::throughput(&rows.iter().map(|(name, _)| name).zip(&figures).collect::<Vec<_>>(), 0);
}
