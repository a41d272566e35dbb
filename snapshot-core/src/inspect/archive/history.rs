//! What the journal says of a group's past, for people and programs outside.

use crate::vocabulary::id::{Generation, NodeId, SnapshotId, Turn};

/// A committed snapshot, as the journal describes it.
///
/// ```
/// use snapshot_core::{Commit, CommittedPart, Generation, NodeId, SnapshotId, Turn};
/// let commit = Commit {
///     snapshot: SnapshotId { generation: Generation(1), sequence: 2, initiator: NodeId(1) },
///     index: 3,
///     parts: vec![CommittedPart { node: NodeId(1), turn: Turn(40), bytes: 512 }],
///     in_lineage: true,
///     kept: true,
/// };
/// assert_eq!(commit.bytes(), 512);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Commit {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The index of its record in the journal.
    pub index: u64,
    /// Each member's part, ascending by member.
    pub parts: Vec<CommittedPart>,
    /// Whether the group's present state comes from it. `false`: the group fell back behind it.
    pub in_lineage: bool,
    /// Whether retention keeps it. `false`: its parts are deleted, or may be at any time; a copy may be held as
    /// [evidence](crate::Archive::evidence).
    pub kept: bool,
}

impl Commit {
    /// The size of all parts together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.bytes))
    }

    /// The last turn of a member that it covers; `None` for strangers.
    pub fn turn(&self, node: NodeId) -> Option<Turn> {
        self.parts.iter().find(|part| part.node == node).map(|part| part.turn)
    }
}

/// One member's part of a [`Commit`].
///
/// ```
/// use snapshot_core::{CommittedPart, NodeId, Turn};
/// let part = CommittedPart { node: NodeId(1), turn: Turn(40), bytes: 512 };
/// assert!(part.turn >= Turn(39), "effects of turn 39 are covered");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CommittedPart {
    /// The member.
    pub node: NodeId,
    /// The last turn that is in its state.
    pub turn: Turn,
    /// The size of the stored part, in bytes.
    pub bytes: u64,
}

/// A generation, as the journal describes it.
///
/// ```
/// use snapshot_core::{Generation, NodeId, OpenedGeneration};
/// let first = OpenedGeneration { generation: Generation(1), index: 1, by: NodeId(2), start: None };
/// assert!(first.start.is_none(), "the first one begins at the initial states");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpenedGeneration {
    /// Its number.
    pub generation: Generation,
    /// The index of its record in the journal.
    pub index: u64,
    /// The node that opened it.
    pub by: NodeId,
    /// Where it begins; `None`: at the states that the applications first started with.
    pub start: Option<SnapshotId>,
}
