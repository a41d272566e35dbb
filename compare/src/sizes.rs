//! Throughput and CPU time against the size of messages.

use crate::flags::Flags;
use crate::rounds::{self, Figures};
use crate::setup::Setup;
use crate::table;
use crate::ways::Way;

const SIZES: [usize; 6] = [16, 64, 128, 1 << 10, 16 << 10, 256 << 10];

pub(crate) fn compare(flags: &Flags) {
    let ways = Way::of_bytes();
    let reference = ways.iter().position(|way| *way == Way::Codec).expect("it is always there");
    println!("\n## Size of messages: one way, no snapshot; relative to `{}`\n", Way::Codec.name());
    let mut all: Vec<(usize, Vec<Figures>)> = Vec::new();
    for size in SIZES {
        let figures = rounds::compare(flags, &ways, |way| rounds::pair(&Setup::new(*way, size)));
        println!("### {}\n", table::bytes(size));
        let names = ways.iter().map(|way| way.name().to_owned());
        table::throughput(&names.zip(&figures).collect::<Vec<_>>(), reference);
        all.push((size, figures));
    }
}
