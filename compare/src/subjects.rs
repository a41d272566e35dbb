//! What is measured, one in a file: which rows, and what is shown of them.

mod links;
mod neighbours;
mod pauses;
mod round_trips;
mod sizes;
mod snapshots;
mod tasks;
mod threads;
mod typed;

use crate::flags::Flags;
use crate::subject::Subject;

pub(crate) fn compare(subject: Subject, flags: &Flags) {
    match subject {
        Subject::Sizes => sizes::compare(flags),
        Subject::Typed => typed::compare(flags),
        Subject::Tasks => tasks::compare(flags),
        Subject::Links => links::compare(flags),
        Subject::RoundTrips => round_trips::compare(flags),
        Subject::Neighbours => neighbours::compare(flags),
        Subject::Threads => threads::compare(flags),
        Subject::Snapshots => snapshots::compare(flags),
        Subject::Pauses => pauses::compare(flags),
    }
}
