//! The state of a worker, of which snapshots are made.

#[cfg(test)]
mod conformance;

use serde::{Deserialize, Serialize};
use snapshot_core::PostcardState;

use crate::counter::Counter;
use crate::plan::Plan;
use crate::plan::Role;
use crate::reader::Reader;

/// The state of a worker. Cheap to clone.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub(crate) enum Worker {
    /// Reads words.
    Reader(Reader),
    /// Counts them.
    Counter(Counter),
}

impl PostcardState for Worker {}

impl Worker {
    /// A worker that has done nothing yet.
    pub(crate) fn new(plan: &Plan, role: Role) -> Self {
        match role {
            Role::Counter(_) => Self::Counter(Counter::default()),
            Role::Reader(reader) => Self::Reader(Reader::new(plan.range(reader))),
        }
    }
}
