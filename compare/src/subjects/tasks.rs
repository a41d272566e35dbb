//! Many tasks on a shared node.

use crate::flags::Flags;
use crate::plot::Plot;
use crate::rounds;
use crate::setup::Setup;
use crate::statistics::spread;
use crate::table;
use crate::way::Way;

const SIZE: usize = 128;
const TASKS: [usize; 3] = [1, 8, 64];

pub(crate) fn compare(flags: &Flags) {
    println!(
        "\n## Many tasks\n\n{SIZE} bytes, each message a turn of some task; relative to a loop with a `SnapshotNode`.\n"
    );
    let mut rows = vec![("`SnapshotNode`".to_owned(), Setup::new(Way::Node, SIZE))];
    for tasks in TASKS {
        rows.push((format!("`SharedNode`, {tasks} tasks"), Setup { tasks, ..Setup::new(Way::Shared, SIZE) }));
    }
    let figures = rounds::compare(flags.pace(), &rows, |(_, setup)| rounds::pair(setup));
    table::throughput(&rows.iter().map(|(name, _)| name).zip(&figures).collect::<Vec<_>>(), 0);
    let mut plot =
        Plot::new("throughput-by-tasks", "tasks", "messages a second", |x| x.to_string(), table::rate);
    let shared = TASKS.iter().zip(&figures[1..]);
    plot.line(
        "`SharedNode`",
        shared.map(|(tasks, figures)| (*tasks as f64, spread(&figures.throughput).median)),
    );
    let alone = spread(&figures[0].throughput).median;
    plot.line("`SnapshotNode`", TASKS.map(|tasks| (tasks as f64, alone)));
    plot.write(flags);
}
