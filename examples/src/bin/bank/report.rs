//! What a branch tells its parent, a JSON object a line, and what the parent tells it.

use serde::{Deserialize, Serialize};
use snapshot_core::{Generation, SnapshotId};

/// Order: begin no new work, let what runs come to its end, and say [`Report::Quiet`].
pub(crate) const QUIET: &str = "quiet";

/// Order: end in good order. Given when all branches are quiet.
pub(crate) const STOP: &str = "stop";

/// What a branch reports.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(crate) enum Report {
    /// It takes part from now on.
    Started { generation: Generation },
    /// How it goes, since the report before.
    Pulse {
        /// Transfers sent.
        sent: u64,
        /// The longest time from one pass of the message loop to the next, in microseconds.
        gap: u64,
    },
    /// It has captured its state for a snapshot.
    Begun { snapshot: SnapshotId },
    /// It has heard of a commit.
    Committed { snapshot: SnapshotId },
    /// A snapshot that it began is committed.
    Taken {
        snapshot: SnapshotId,
        /// From the first capture to the commit, in microseconds.
        took: u64,
    },
    /// A snapshot that it began has failed a check.
    CheckFailed {
        snapshot: SnapshotId,
        check: String,
        what: String,
        /// Why it is not kept; `None`: it is.
        lost: Option<String>,
    },
    /// A snapshot that it began was not checked.
    CheckSkipped { snapshot: SnapshotId, why: String },
    /// A snapshot was given up.
    Aborted { snapshot: SnapshotId, by: String, why: String },
    /// It has gone back.
    RolledBack { generation: Generation, snapshot: Option<SnapshotId> },
    /// It has gone back behind damaged snapshots.
    FellBack { generation: Generation, to: Option<SnapshotId>, given_up: Vec<SnapshotId> },
    /// It does no new work, and waits for nothing.
    Quiet,
}
