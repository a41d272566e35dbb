//! Snapshots as the oracle knows them.

use snapshot_core::SnapshotId;

use super::record::Name;

/// A snapshot's name, for the oracle.
pub(super) fn name(id: SnapshotId) -> Name {
    [id.generation.0, id.sequence, id.initiator.0]
}
