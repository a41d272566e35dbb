//! What one node adds to a snapshot: as it was taken, as it was read from a store, and as receipts and commits name it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::vocabulary::id::{NodeId, SnapshotId, Turn};

/// One node's part of a snapshot: its state, what was in flight to it, and what it had sent that was still with it.
///
/// ```
/// use snapshot_core::{Generation, LocalSnapshot, NodeId, SnapshotId, Turn};
/// use std::collections::BTreeMap;
///
/// let local = LocalSnapshot {
///     snapshot: SnapshotId { generation: Generation(1), sequence: 1, initiator: NodeId(1) },
///     node: NodeId(2),
///     turn: Turn(40),
///     members: [NodeId(1), NodeId(2)].into(),
///     state: "a balance of 15",
///     channels: BTreeMap::from([(NodeId(1), vec!["a coin"])]),
///     outgoing: BTreeMap::from([(NodeId(1), vec!["a note", "a bill"])]),
/// };
/// assert_eq!(local.messages(), 3);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct LocalSnapshot<C, M> {
    /// Of which snapshot this is a part.
    pub snapshot: SnapshotId,
    /// Whose part it is.
    pub node: NodeId,
    /// The last turn that is in the state.
    pub turn: Turn,
    /// All members of the group, ascending; shared by the parts of a process, since there may be many.
    pub members: Arc<[NodeId]>,
    /// The captured state.
    pub state: C,
    /// The messages in flight on each incoming channel, by sender, in their order. Every channel that the topology has is
    /// there, with or without messages; bounded by `max_recorded_bytes` of the node that recorded them.
    pub channels: BTreeMap<NodeId, Vec<M>>,
    /// The messages that this node had sent and that had not left it when its state was captured, by receiver, in their order:
    /// on their channel they come behind those that the receiver recorded. Receivers without any are not named; bounded by
    /// the bounds of the outbox.
    pub outgoing: BTreeMap<NodeId, Vec<M>>,
}

impl<C, M> LocalSnapshot<C, M> {
    /// How many messages are in it: those in flight to this node, and those that had not left it.
    pub fn messages(&self) -> usize {
        self.channels.values().chain(self.outgoing.values()).map(Vec::len).sum()
    }
}

/// A part, or an initial state, as it was read from a store.
///
/// ```
/// use snapshot_core::{NodeId, StoredPart, Turn};
/// use std::collections::BTreeMap;
/// let part = StoredPart {
///     turn: Turn(7),
///     state: 15_u64,
///     channels: BTreeMap::from([(NodeId(2), vec!["a coin"])]),
///     outgoing: BTreeMap::new(),
/// };
/// assert_eq!(part.channels[&NodeId(2)].len(), 1);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StoredPart<C, M> {
    /// The last turn that is in the state.
    pub turn: Turn,
    /// The state.
    pub state: C,
    /// The messages that were in flight to the node, by sender, in their order. Empty for an initial state.
    pub channels: BTreeMap<NodeId, Vec<M>>,
    /// The messages that the node had sent and that had not left it, by receiver, in their order. Empty for an initial state,
    /// and in parts of releases that left such messages to the receivers.
    pub outgoing: BTreeMap<NodeId, Vec<M>>,
}

impl<C, M> StoredPart<C, M> {
    /// What it was before it was stored.
    pub(crate) fn into_local(
        self,
        snapshot: SnapshotId,
        node: NodeId,
        members: Arc<[NodeId]>,
    ) -> LocalSnapshot<C, M> {
        let Self { turn, state, channels, outgoing } = self;
        LocalSnapshot { snapshot, node, turn, members, state, channels, outgoing }
    }
}

/// A stored part as its receipt and the commit record describe it.
///
/// ```
/// use snapshot_core::{PartRef, Turn};
/// let part = PartRef { turn: Turn(7), size: 1024, checksum: 0xcafe };
/// assert_ne!(part, PartRef { checksum: 0xbabe, ..part });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PartRef {
    /// The last turn that is in its state.
    pub turn: Turn,
    /// The size of the whole object, in bytes.
    pub size: u64,
    /// The checksum of its contents (CRC-32).
    pub checksum: u32,
}
