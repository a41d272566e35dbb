//! Where messages can be sent.

use crate::{NodeId, Peer, SendError, Topology};

/// Where a message can go: a [`Peer`], which costs an array access, or a [`NodeId`], which is looked up.
pub trait Destination: sealed::Sealed {
    #[doc(hidden)]
    fn resolve(self, topology: &Topology) -> Result<Peer, SendError>;
}

impl Destination for Peer {
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
    impl Sealed for crate::Peer {}
    impl Sealed for crate::NodeId {}
}
