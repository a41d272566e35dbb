//! Names of nodes, peers, generations, turns and snapshots: ordering and display, nothing else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A process of the group, as Chandy and Lamport use the word.
///
/// ```
/// use snapshot_core::NodeId;
/// assert_eq!(NodeId(3).to_string(), "n3");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A neighbour of this node: its [`NodeId`] and the small dense index that a [`Topology`](crate::Topology) gave it.
///
/// A peer is resolved once, so that a message on its way costs an array access and no search.
///
/// ```
/// use snapshot_core::{Graph, NodeId};
/// let topology = Graph::mesh([NodeId(1), NodeId(2), NodeId(3)]).at(NodeId(1))?;
/// let peer = topology.peer(NodeId(3)).unwrap();
/// assert_eq!((peer.index(), peer.id()), (1, NodeId(3)));
/// # Ok::<(), snapshot_core::TopologyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Peer {
    index: u32,
    id: NodeId,
}

impl Peer {
    pub(crate) fn new(index: usize, id: NodeId) -> Self {
        Self { index: u32::try_from(index).expect("a group has fewer than 2^32 members"), id }
    }

    /// The position of this neighbour in [`Topology::peers`](crate::Topology::peers), counted from 0.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// The neighbour's name.
    pub fn id(self) -> NodeId {
        self.id
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl From<Peer> for NodeId {
    fn from(peer: Peer) -> Self {
        peer.id
    }
}

/// One life of the group between two rollbacks, counted from 1. Every frame carries it.
///
/// ```
/// use snapshot_core::Generation;
/// assert!(Generation(2) > Generation(1));
/// assert_eq!(Generation(2).to_string(), "g2");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl Generation {
    /// The first generation of every group.
    pub const FIRST: Self = Self(1);

    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

/// The number of a turn: all that an application does between two calls to
/// [`SnapshotNode::next`](crate::SnapshotNode::next).
///
/// Turns are numbered along one line of history: after a rollback the numbers go on from the turn of the snapshot.
///
/// ```
/// use snapshot_core::Turn;
/// assert!(Turn(7) <= Turn(9), "a commit that covers turn 9 covers turn 7");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Turn(pub u64);

impl Turn {
    /// The turn after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn {}", self.0)
    }
}

/// The name of a snapshot, unique for the whole life of a group. Ordered by generation, then sequence, then initiator.
///
/// ```
/// use snapshot_core::{Generation, NodeId, SnapshotId};
/// let id = SnapshotId { generation: Generation(2), sequence: 17, initiator: NodeId(3) };
/// assert_eq!(id.to_string(), "g2/17@n3");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SnapshotId {
    /// The generation in which it was taken.
    pub generation: Generation,
    /// One more than the largest that the initiator had seen in this generation.
    pub sequence: u64,
    /// The node that began it.
    pub initiator: NodeId,
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.generation, self.sequence, self.initiator)
    }
}

/// Nodes as text for people: the first few, and how many more there are.
pub(crate) fn names(nodes: &[NodeId]) -> String {
    const SHOWN: usize = 16;
    let shown: Vec<String> = nodes.iter().take(SHOWN).map(NodeId::to_string).collect();
    match nodes.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(" "),
        Some(more) => format!("{} and {more} more", shown.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        assert_eq!(Peer::new(0, NodeId(7)).to_string(), "n7");
        assert_eq!(Turn(9).to_string(), "turn 9");
    }
}
