//! Throughput and CPU time against the size of messages.

use crate::flags::Flags;
use crate::plot::Plot;
use crate::rounds::{self, Figures};
use crate::setup::Setup;
use crate::statistics::spread;
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
    let plot = |title, y_name, y_text, of: fn(&Figures) -> &[f64]| {
        let mut plot = Plot::new(title, "bytes a message", y_name, |x| table::bytes(x as usize), y_text);
        for (row, way) in ways.iter().enumerate() {
            let points = SIZES.iter().zip(&all);
            plot.line(way.name(), points.map(|(size, rows)| (*size as f64, spread(of(&rows[row])).median)));
        }
        plot.write(flags);
    };
    plot("throughput-by-size", "messages a second", table::rate, |figures| &figures.throughput);
    plot("cpu-by-size", "CPU time a message, both ends", table::time, |figures| &figures.cpu);
}
