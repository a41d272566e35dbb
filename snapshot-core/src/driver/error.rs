//! Why a node ends.

use thiserror::Error;

use crate::contract::transport::TransportError;
use crate::protocol::coordinator::{Failure, SendError};
use crate::vocabulary::id::{NodeId, SnapshotId};
use crate::vocabulary::outcome::AbortReason;

/// Why [`SnapshotNode::next`](crate::SnapshotNode::next), or its start, came to an end. The node takes no more part; a new
/// process, or a new node, starts again from the newest committed snapshot.
///
/// ```
/// use snapshot_core::{Failure, Generation, NodeError};
/// let error = NodeError::from(Failure::Replaced { generation: Generation(3) });
/// assert!(error.is_replaced(), "do not start this one again");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The rules or the store ended it.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The transport ended it.
    #[error("the transport failed")]
    Transport(#[from] TransportError),
    /// The transport broke its contract.
    #[error("the transport broke clause {clause} of its contract: {seen}")]
    Contract {
        /// The clause.
        clause: &'static str,
        /// What was seen.
        seen: String,
    },
    /// The node was put together in a way that cannot work.
    #[error("{0}")]
    Configuration(String),
    /// A handler of a [`SharedNode`](crate::SharedNode) could not send.
    #[error("the handler could not send")]
    Send(#[from] SendError),
    /// A turn of a [`SharedNode`](crate::SharedNode) has panicked: the state may be half changed.
    #[error("a turn has panicked, and the state may be half changed: start again from the newest snapshot")]
    Panicked,
    /// It had ended before.
    #[error("the node has ended: start a new one")]
    Ended,
}

impl NodeError {
    /// Whether another process runs as this node: then a supervisor must not start this one again.
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::Failed(Failure::Replaced { .. }))
    }
}

/// A snapshot that was asked for by a [`SnapshotHandle`](crate::SnapshotHandle) did not come to a good end. The application
/// runs on, and the next one may.
///
/// ```
/// use snapshot_core::{SnapshotError, SnapshotHandle};
/// async fn try_twice(handle: SnapshotHandle) -> Result<(), SnapshotError> {
///     match handle.snapshot().await {
///         Err(SnapshotError::Aborted { reason, .. }) => println!("once more: {reason}"),
///         other => return other.map(drop),
///     }
///     handle.snapshot().await.map(drop)
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It was given up.
    #[error("{snapshot} was given up by {by}: {reason}")]
    Aborted {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Who gave it up.
        by: NodeId,
        /// Why.
        reason: AbortReason,
    },
    /// It was not begun, since it could not have ended.
    #[error("no snapshot was begun: {reason}")]
    Refused {
        /// Why.
        reason: AbortReason,
    },
    /// More requests wait than a node takes (1024).
    #[error("too many requests wait: does the application call `next`?")]
    TooManyRequests,
    /// The node has ended.
    #[error("the node has ended")]
    NodeGone,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::Generation;

    #[test]
    fn only_a_node_that_was_replaced_must_not_be_started_again() {
        assert!(NodeError::Failed(Failure::Replaced { generation: Generation(2) }).is_replaced());
        assert!(!NodeError::Failed(Failure::OutboxOverflow).is_replaced());
        assert!(!NodeError::Ended.is_replaced());
    }
}
