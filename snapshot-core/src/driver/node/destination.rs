//! Where messages can be sent.

use crate::protocol::coordinator::SendError;
use crate::vocabulary::id::{NodeId, Peer};
use crate::vocabulary::topology::Topology;

/// Where a message can go: a [`Peer`], which costs an array access, or a [`NodeId`], which is looked up.
///
/// ```
/// use snapshot_core::{NodeId, SendError, SnapshotNode, StateProvider};
/// fn greet<S: StateProvider>(node: &mut SnapshotNode<S, String>) -> Result<(), SendError> {
///     let peer = node.topology().peer(NodeId(2)).unwrap();    // resolved once
///     node.send(peer, "hello".to_owned())?;
///     node.send(NodeId(2), "hello again".to_owned())
/// }
/// ```
pub trait Destination: sealed::Sealed {
    #[doc(hidden)]
    fn resolve(self, topology: &Topology) -> Result<Peer, SendError>;
}

impl Destination for Peer {
    #[inline]
    fn resolve(self, _: &Topology) -> Result<Peer, SendError> {
        Ok(self)
    }
}

impl Destination for NodeId {
    fn resolve(self, topology: &Topology) -> Result<Peer, SendError> {
        topology.peer(self).ok_or(SendError::UnknownPeer { me: topology.me(), to: self })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::vocabulary::id::Peer {}
    impl Sealed for crate::vocabulary::id::NodeId {}
}
