//! What a turn can do besides changing the state.

use std::fmt;
use std::sync::Arc;

use super::core::Shared;
use super::{TurnId, Work};
use crate::contract::state::StateProvider;
use crate::driver::node::{Destination, SnapshotNode};
use crate::protocol::coordinator::SendError;
use crate::vocabulary::id::NodeId;
use crate::vocabulary::topology::Topology;

/// What a turn of a [`SharedNode`](crate::SharedNode) can do besides changing the state: send, and learn which turn it is.
///
/// ```
/// use snapshot_core::{Outbox, PostcardState, SendError, TurnId, NodeId};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ledger { balance: u64 }
/// # impl PostcardState for Ledger {}
/// /// A plain function: it cannot be cancelled half-way, and a snapshot has all of it or nothing.
/// fn pay(ledger: &mut Ledger, to: NodeId, amount: u64, out: &mut Outbox<'_, Ledger, u64>) -> Result<TurnId, SendError> {
///     out.send(to, amount)?;
///     ledger.balance -= amount;
///     Ok(out.turn())
/// }
/// ```
pub struct Outbox<'a, S: StateProvider, M> {
    pub(super) node: &'a mut SnapshotNode<S, M>,
    pub(super) shared: &'a Arc<Shared<S, M>>,
}

impl<S: StateProvider, M: Clone + Send + 'static> Outbox<'_, S, M> {
    /// Sends a message to a neighbour, as part of this turn. It leaves when the turn has ended.
    ///
    /// # Errors
    ///
    /// If there is no such neighbour, or the outbox is at its hard bound: then nothing of this turn is sent, and the node
    /// ends.
    pub fn send(&mut self, to: impl Destination, message: M) -> Result<(), SendError> {
        self.node.send(to, message)
    }

    /// Which turn this is: what [`SharedNode::committed`](crate::SharedNode::committed) waits for.
    pub fn turn(&self) -> TurnId {
        TurnId { generation: self.node.generation(), turn: self.node.turn() }
    }

    /// Begins a piece of work that goes on outside of the turn, and whose result is refused should the group go back
    /// meanwhile.
    pub fn work(&self) -> Work<S, M> {
        Work::new(Arc::clone(self.shared), self.node.generation())
    }

    /// Asks for a snapshot and does not wait for it. Requests before one capture are one.
    pub fn snapshot(&mut self) {
        self.node.snapshot();
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.node.id()
    }

    /// The group, and this node's place in it.
    pub fn topology(&self) -> &Topology {
        self.node.topology()
    }
}

impl<S: StateProvider, M> fmt::Debug for Outbox<'_, S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}
