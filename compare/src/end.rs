//! A process that was started by the parent: one end of a row.

use crate::setup::Setup;
use crate::tally::Tally;
use crate::ways;

/// Runs until the parent ends it.
pub(crate) fn run(setup: &str) -> ! {
    let setup: Setup = serde_json::from_str(setup).expect("the parent knows how to say it");
    let tally = Tally::new();
    let orders = tally.answer();
    ways::run(setup, &tally, orders);
    panic!("it ended before it was told to");
}
