//! The committed snapshots of a run, read from outside the group.

use std::path::Path;

use snapshot_core::{Archive, ArchiveError, Postcard, SnapshotId, Topology};
use snapshot_store::DirectoryStore;

use crate::audit::Cut;
use crate::folder::Folder;
use crate::ledger::{Ledger, Transfer};

/// A committed snapshot, unread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Committed {
    pub(crate) snapshot: SnapshotId,
    /// Of all parts.
    pub(crate) bytes: u64,
}
