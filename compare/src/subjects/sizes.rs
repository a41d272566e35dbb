//! Throughput and CPU time against the size of messages.

use crate::flags::Flags;
use crate::plot;
use crate::rounds::{self, Figures};
use crate::setup::Setup;
use crate::table;
use crate::way::Way;

const SIZES: [usize; 6] = [16, 64, 128, 1 << 10, 16 << 10, 256 << 10];

pub(crate) fn compare(flags: &Flags) {
    let ways = Way::of_bytes();
    let reference = ways.iter().position(|way| *way == Way::Codec).expect("it is always there");
    println!("\n## Size of messages\n\nOne way, no snapshot; relative to `{}`.\n", Way::Codec.name());
    let mut all: Vec<Vec<Figures>> = Vec::new();
    for size in SIZES {
        let figures = rounds::compare(flags.pace(), &ways, |way| rounds::pair(&Setup::new(*way, size)));
        println!("### {}\n", table::bytes(size));
        table::throughput(&ways.iter().map(|way| way.name()).zip(&figures).collect::<Vec<_>>(), reference);
        all.push(figures);
    }
    let row = |row: usize| SIZES.iter().zip(&all).map(|(size, rows)| (*size as f64, &rows[row])).collect();
    let rows: Vec<_> = ways.iter().enumerate().map(|(index, way)| (way.name(), row(index))).collect();
    plot::pair(flags, "size", "bytes a message", |x| table::bytes(x as usize), &rows);
}
