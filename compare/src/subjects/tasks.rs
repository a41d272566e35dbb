//! Many tasks on a shared node.

use crate::flags::Flags;
use crate::plot;
use crate::rounds;
use crate::setup::Setup;
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
    let shared = TASKS.iter().zip(&figures[1..]).map(|(tasks, figures)| (*tasks as f64, figures));
    let alone = TASKS.map(|tasks| (tasks as f64, &figures[0]));
    let rows = [("`SharedNode`", shared.collect()), ("`SnapshotNode`", alone.to_vec())];
    plot::pair(flags, "tasks", "tasks", |x| x.to_string(), &rows);
}
