//! Values of an enum in place of bytes.

use crate::flags::Flags;
use crate::rounds;
use crate::setup::Setup;
use crate::table;
use crate::way::Way;

pub(crate) fn compare(flags: &Flags) {
    let ways = [Way::NodeMixed, Way::NodeTyped, Way::CodecTyped];
    println!(
        "\n## Typed messages\n\nAn enum of three shapes, 16 to 128 bytes, by serde; relative to bytes of the same lengths.\n"
    );
    let figures = rounds::compare(flags.pace(), &ways, |way| rounds::pair(&Setup::new(*way, 0)));
    table::throughput(&ways.iter().map(|way| way.name()).zip(&figures).collect::<Vec<_>>(), 0);
}
