//! One node and many busy neighbours.

use crate::flags::Flags;
use crate::plot::Plot;
use crate::rounds;
use crate::setup::Setup;
use crate::statistics::spread;
use crate::table;
use crate::way::Way;

const SIZE: usize = 64;
const NEIGHBOURS: [usize; 4] = [1, 16, 64, 256];

pub(crate) fn compare(flags: &Flags) {
    println!(
        "\n## Many neighbours\n\n{SIZE} bytes, all neighbours in one process; together, relative to one neighbour.\n"
    );
    let text = |x: f64| x.to_string();
    let mut plot =
        Plot::new("throughput-by-neighbours", "neighbours", "messages a second", text, table::rate);
    for way in [Way::ManyIn, Way::ManyOut] {
        let setups = NEIGHBOURS.map(|neighbours| Setup { neighbours, ..Setup::new(way, SIZE) });
        let figures = rounds::compare(flags.pace(), &setups, rounds::pair);
        let names = NEIGHBOURS.map(|count| format!("{count}, {}", way.name()));
        table::throughput(&names.iter().zip(&figures).collect::<Vec<_>>(), 0);
        let points = NEIGHBOURS.iter().zip(&figures);
        plot.line(
            way.name(),
            points.map(|(count, figures)| (*count as f64, spread(&figures.throughput).median)),
        );
    }
    plot.write(flags);
}
