//! What can be measured, by its name on the command line.

use clap::ValueEnum;

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
