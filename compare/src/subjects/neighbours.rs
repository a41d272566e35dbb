//! One node and many busy neighbours.

use crate::flags::Flags;
use crate::plot;
use crate::rounds;
use crate::setup::Setup;
use crate::table;
use crate::way::Way;

const SIZE: usize = 64;
const NEIGHBOURS: [usize; 4] = [1, 16, 64, 256];

pub(crate) fn compare(flags: &Flags) {
    println!(
        "\n## Many neighbours\n\n{SIZE} bytes, all neighbours in one process; together, relative to one neighbour.\n"
    );
    let ways = [Way::ManyIn, Way::ManyOut];
    let all = ways.map(|way| {
        let setups = NEIGHBOURS.map(|neighbours| Setup { neighbours, ..Setup::new(way, SIZE) });
        let figures = rounds::compare(flags.pace(), &setups, rounds::pair);
        let names = NEIGHBOURS.map(|count| format!("{count}, {}", way.name()));
        table::throughput(&names.iter().zip(&figures).collect::<Vec<_>>(), 0);
        figures
    });
    let points = |figures| NEIGHBOURS.iter().map(|count| *count as f64).zip(figures).collect();
    let rows: Vec<_> = ways.iter().zip(&all).map(|(way, figures)| (way.name(), points(figures))).collect();
    plot::pair(flags, "neighbours", "neighbours", |x| x.to_string(), &rows);
}
