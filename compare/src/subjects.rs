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

use clap::ValueEnum;

use crate::flags::Flags;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Subject {
    /// Throughput and CPU time against the size of messages
    Sizes,
    /// Values of an enum in place of bytes
    Typed,
    /// Many tasks on a shared node
    Tasks,
    /// The caller's own socket and framing
    Links,
    /// Round trips
    RoundTrips,
    /// One node and many busy neighbours
    Neighbours,
    /// Runtimes of two threads
    Threads,
    /// A snapshot each second
    Snapshots,
    /// How long a loop stands still for a capture, and until a snapshot is durable
    Pauses,
}

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
