//! The caller's own socket and framing, with us and without.

use crate::flags::Flags;
use crate::rounds;
use crate::setup::Setup;
use crate::table;
use crate::way::Way;

const SIZES: [usize; 3] = [16, 128, 1 << 10];

pub(crate) fn compare(flags: &Flags) {
    let ways = [Way::Codec, Way::Links];
    println!(
        "\n## The caller's own socket and framing\n\nRelative to the same socket and framing without us.\n"
    );
    for size in SIZES {
        let figures = rounds::compare(flags.pace(), &ways, |way| rounds::pair(&Setup::new(*way, size)));
        println!("### {}\n", table::bytes(size));
        table::throughput(&ways.iter().map(|way| way.name()).zip(&figures).collect::<Vec<_>>(), 0);
    }
}
