//! What a process is told when it starts.

use serde::{Deserialize, Serialize};

use crate::ways::Way;

/// One end of a row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) way: Way,
    pub(crate) end: End,
    /// Of a message, in bytes.
    pub(crate) size: usize,
    /// Of the runtime; one is a runtime in the main thread.
    pub(crate) threads: usize,
}

/// What it does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum End {
    /// Listens, says where, and counts what it receives.
    Receive,
    /// Sends without end to who listens there.
    Send(String),
}

impl Setup {
    /// The end that listens.
    pub(crate) fn new(way: Way, size: usize) -> Self {
        Self { way, end: End::Receive, size, threads: 1 }
    }

    /// The other end of this one.
    pub(crate) fn sends_to(&self, address: String) -> Self {
        Self { end: End::Send(address), ..self.clone() }
    }
}
