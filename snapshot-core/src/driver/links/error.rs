//! What the application's side of a link can be told.

use thiserror::Error;

use crate::vocabulary::id::NodeId;

/// Why [`Links::connect`](crate::Links::connect) gave no connection.
///
/// ```
/// use snapshot_core::{ConnectError, NodeId};
/// let error = ConnectError::NoNeighbour { peer: NodeId(7), me: NodeId(1) };
/// assert!(error.to_string().contains("n7 is no neighbour of n1"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The topology has no channel between the two.
    #[error(
        "{peer} is no neighbour of {me}: close this connection, or add the link to the graph of all nodes"
    )]
    NoNeighbour {
        /// Whom the connection is to.
        peer: NodeId,
        /// This node.
        me: NodeId,
    },
    /// A connection stands to another process of this neighbour, which has spoken in a newer generation.
    #[error(
        "another process of {peer} is connected and has taken its place in a newer generation than this one knows: \
         close this connection, and end that process"
    )]
    OlderLife {
        /// Whom the connection is to.
        peer: NodeId,
    },
    /// The transport was closed or dropped, or has failed.
    #[error("the transport has ended: close this connection and make no more")]
    Closed,
}

/// Why [`Arrivals`](crate::Arrivals) take no more: this connection is over. The reader ends, and closes its side.
///
/// ```
/// use snapshot_core::{Disconnected, Graph, LinkTransport, NodeId};
/// # use snapshot_core::{Body, Frame, Generation, Stamp};
/// # futures::executor::block_on(async {
/// # let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
/// # let frame = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message(7) };
/// let (_transport, links) = LinkTransport::<u64>::new(topology);
/// let (mut arrivals, _departures) = links.connect(NodeId(2))?;
/// let _newer = links.connect(NodeId(2))?;
/// assert_eq!(arrivals.push(frame).await, Err(Disconnected::Replaced));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum Disconnected {
    /// There is a newer connection to this neighbour.
    #[error("a newer connection to this neighbour has taken the place of this one: close it")]
    Replaced,
    /// The other half was dropped, or has said so.
    #[error("the writer of this connection has ended: close it, and connect anew")]
    Lost,
    /// The reader did not wait for room.
    #[error("twice as many frames were pushed as may wait: await each `push`, which waits for room")]
    Overrun,
    /// The transport has failed.
    #[error("the transport has failed: close this connection and make no more")]
    Failed,
}
