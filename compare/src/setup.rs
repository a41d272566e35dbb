//! What a process is told when it starts.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::way::Way;

/// One end of a row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) way: Way,
    pub(crate) end: End,
    pub(crate) job: Job,
    /// Of a message, in bytes.
    pub(crate) size: usize,
    /// Of the runtime; one is a runtime in the main thread.
    pub(crate) threads: usize,
    /// That send, where the way has tasks.
    pub(crate) tasks: usize,
    /// Of the one that listens; all in one process.
    pub(crate) neighbours: usize,
    /// Of the one that listens, in bytes, where it has a state.
    pub(crate) state: usize,
    /// Where snapshots are stored, if they are.
    pub(crate) folder: Option<PathBuf>,
    /// Between two snapshots, if there are any.
    pub(crate) interval: Option<Duration>,
}

/// Which process of a row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum End {
    /// Says where it listens.
    Listen,
    /// Sends to who listens there, without end; or asks, where the job is round trips.
    Send(String),
    /// Of a group: who is dialed, and this one behind them.
    Member(Vec<String>),
}

/// What is done with messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// From the sender to the listener, which counts.
    OneWay,
    /// From the sender to the listener and back; the sender counts and takes the time.
    RoundTrip,
}

impl Setup {
    /// The end that listens, for messages that go one way.
    pub(crate) fn new(way: Way, size: usize) -> Self {
        Self {
            way,
            end: End::Listen,
            job: Job::OneWay,
            size,
            threads: 1,
            tasks: 1,
            neighbours: 1,
            state: 0,
            folder: None,
            interval: None,
        }
    }

    /// The other end of this one.
    pub(crate) fn sends_to(&self, address: String) -> Self {
        Self { end: End::Send(address), ..self.clone() }
    }
}
