//! Round trips.

use crate::flags::Flags;
use crate::rounds;
use crate::setup::{Job, Setup};
use crate::table;
use crate::way::Way;

const SIZE: usize = 128;

pub(crate) fn compare(flags: &Flags) {
    let ways = Way::of_round_trips();
    println!(
        "\n## Round trips\n\n{SIZE} bytes there and back, one at a time; relative to the caller's own socket.\n"
    );
    let start = |way: &Way| rounds::pair(&Setup { job: Job::RoundTrip, ..Setup::new(*way, SIZE) });
    let figures = rounds::compare(flags.pace(), &ways, start);
    table::round_trips(&ways.iter().map(|way| way.name()).zip(&figures).collect::<Vec<_>>(), 0);
}
