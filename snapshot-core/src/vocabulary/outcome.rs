//! How a snapshot ends, and what one that runs is waiting for.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::vocabulary::id::{NodeId, SnapshotId, Turn};

/// Why a snapshot was given up. The application runs on, and the next snapshot works.
///
/// ```
/// use snapshot_core::{AbortReason, NodeId};
/// let reason = AbortReason::PeerLost { peer: NodeId(2) };
/// assert_eq!(reason.to_string(), "the connection to n2 is lost");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum AbortReason {
    /// It did not end in time.
    #[error("it did not end before its deadline: {awaiting}")]
    Deadline {
        /// What the node that gave it up was waiting for.
        awaiting: Awaiting,
    },
    /// The messages recorded would have taken more bytes than allowed.
    #[error(
        "the recorded messages are over the limit: raise `max_recorded_bytes`, or send less between snapshots"
    )]
    RecordingFull,
    /// More snapshots were running at once than allowed.
    #[error("too many snapshots are running: raise `max_running`, or ask for fewer")]
    TooMany,
    /// A neighbour cannot be reached.
    #[error("the connection to {peer} is lost")]
    PeerLost {
        /// The neighbour.
        peer: NodeId,
    },
    /// The store did not take a part or the commit record.
    #[error("the store failed: {error}")]
    StoreFailed {
        /// What the store said.
        error: String,
    },
    /// Somebody asked for it with [`SnapshotHandle::abort`](crate::SnapshotHandle::abort).
    #[error("it was asked to be aborted")]
    Requested,
    /// The group went back to an earlier snapshot.
    #[error("the group rolled back while it ran")]
    RolledBack,
    /// It crossed another snapshot that was committed first, so a restart from it would undo what that one covered; or another member
    /// had given it up before all parts were there.
    #[error("it crossed another snapshot that was committed first, or another member had given it up")]
    Superseded,
    /// The store has not yet answered for a part of an earlier snapshot that was given up, or still has two such parts of this node:
    /// nothing more is captured until they are gone, so that states pile up neither in memory nor in the store.
    #[error(
        "the store has not answered yet for a part of an earlier snapshot, which was given up, or has not yet let go of two of them: \
         see what is wrong with it"
    )]
    StoreBehind,
}

impl AbortReason {
    /// Whether this needs nobody's attention, however often it is seen: somebody asked for it, another snapshot came first, or the group
    /// went back, which is told by itself.
    ///
    /// ```
    /// use snapshot_core::{AbortReason, NodeId};
    /// assert!(AbortReason::Superseded.is_harmless());
    /// assert!(!AbortReason::PeerLost { peer: NodeId(2) }.is_harmless());
    /// ```
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Superseded | Self::Requested | Self::RolledBack)
    }
}

/// What a snapshot waits for, as one node sees it.
///
/// ```
/// use snapshot_core::{AbortReason, Awaiting, NodeId};
/// fn who_stands_still(reason: &AbortReason) -> &[NodeId] {
///     match reason {
///         AbortReason::Deadline { awaiting: Awaiting::Markers { of } | Awaiting::Receipts { of } } => of,
///         _ => &[],
///     }
/// }
/// let reason = AbortReason::Deadline { awaiting: Awaiting::Markers { of: vec![NodeId(3)] } };
/// assert_eq!(who_stands_still(&reason), [NodeId(3)]);
/// assert!(reason.to_string().contains("marker of n3"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Awaiting {
    /// An older release did not say.
    Unknown,
    /// The markers of these neighbours: they stand still, or the link from them to this node does. At most 16 are named to
    /// other nodes.
    Markers {
        /// Whose.
        of: Vec<NodeId>,
    },
    /// The store, which has not yet taken this node's part.
    Store,
    /// The receipts of these nodes: they, their stores, or what lies between have not got so far. At most 16 are named to
    /// other nodes.
    Receipts {
        /// Whose.
        of: Vec<NodeId>,
    },
    /// The store, which has not yet taken the commit record.
    Journal,
}

impl fmt::Display for Awaiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, nodes) = match self {
            Self::Unknown => return f.write_str("a node of an older release gave it up"),
            Self::Store => {
                return f.write_str("the store has not taken the part of the node that gave it up");
            }
            Self::Journal => return f.write_str("the store has not taken the commit record"),
            Self::Markers { of } => ("marker", of),
            Self::Receipts { of } => ("receipt", of),
        };
        write!(f, "the {what}{} of ", if nodes.len() == 1 { "" } else { "s" })?;
        for (index, node) in nodes.iter().enumerate() {
            write!(f, "{}{node}", if index == 0 { "" } else { ", " })?;
        }
        write!(
            f,
            " {} not come: it stands still, or what lies between does",
            if nodes.len() == 1 { "has" } else { "have" }
        )
    }
}

/// What a snapshot that ended well was like, as its initiator sees it.
///
/// ```
/// # use snapshot_core::{Graph, NodeId, Postcard, SnapshotNode};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = snapshot_transport_mem::MemNetwork::<u64>::new(&Graph::new([NodeId(1)]))?;
/// # let builder = SnapshotNode::builder(network.transport(NodeId(1))).store(snapshot_store::MemoryStore::new());
/// # let mut node = builder.codec(Postcard).start(&mut ()).await?;
/// let handle = node.handle();
/// // The application's loop.
/// let serving = async { loop { if let Err(error) = node.next(&mut ()).await { return error } } };
/// let asking = async {
///     let report = handle.snapshot().await?;
///     println!("{}: {} bytes, {} in flight, {:?}", report.snapshot, report.bytes(), report.messages(), report.took);
///     assert!(report.durable);
///     Ok(())
/// };
/// tokio::select! { result = asking => result, error = serving => Err(error.into()) }
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SnapshotReport {
    /// Its name.
    pub snapshot: SnapshotId,
    /// Whether it is in the store: restarts begin from it or from one behind it. `false` where there is no store.
    pub durable: bool,
    /// From the capture on the initiator until all was done.
    pub took: Duration,
    /// Each member's part, ascending by member.
    pub parts: Vec<PartReport>,
}

/// One node's part of a snapshot.
///
/// ```
/// use snapshot_core::SnapshotReport;
/// fn longest_pause(report: &SnapshotReport) -> Option<std::time::Duration> {
///     report.parts.iter().map(|part| part.capture).max()
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PartReport {
    /// The node.
    pub node: NodeId,
    /// The last turn that is in its state.
    pub turn: Turn,
    /// The size of the stored part in bytes; 0 where there is no store.
    pub bytes: u64,
    /// How many messages were recorded on its incoming channels.
    pub messages: u64,
    /// How long the message loop stood still for the capture.
    pub capture: Duration,
    /// From the capture until the part was durable.
    pub durable_after: Duration,
}

impl SnapshotReport {
    /// The size of all parts together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.sum(|part| part.bytes)
    }

    /// How many messages were in flight.
    pub fn messages(&self) -> u64 {
        self.sum(|part| part.messages)
    }

    /// These numbers are what other nodes have said.
    fn sum(&self, number: impl Fn(&PartReport) -> u64) -> u64 {
        self.parts.iter().map(number).fold(0, u64::saturating_add)
    }
}

/// A snapshot that runs, as this node sees it: how far it is and what it waits for.
///
/// ```
/// use snapshot_core::{Graph, NodeId, Settings, SnapshotCoordinator, SnapshotPhase};
/// # use snapshot_core::Capture;
/// let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
/// let mut node = SnapshotCoordinator::<u64, u64>::new(topology, Settings::default(), 1);
/// node.start(std::time::Duration::ZERO);
/// node.initiate(std::time::Duration::ZERO, &mut || Capture::new(7))?;
/// let status = &node.running()[0];
/// assert_eq!(status.phase, SnapshotPhase::Recording);
/// assert_eq!(status.missing_markers, [NodeId(2)]);
/// assert_eq!(status.missing_receipts, [NodeId(1), NodeId(2)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SnapshotStatus {
    /// Its name.
    pub snapshot: SnapshotId,
    /// How far this node is with it.
    pub phase: SnapshotPhase,
    /// The neighbours whose marker has not arrived here yet.
    pub missing_markers: Vec<NodeId>,
    /// At the initiator: the nodes whose receipt has not arrived yet. Elsewhere empty.
    pub missing_receipts: Vec<NodeId>,
    /// How many messages this node has recorded for it so far.
    pub recorded_messages: u64,
    /// What they weigh, in bytes.
    pub recorded_bytes: u64,
}

impl SnapshotStatus {
    /// What it waits for here: just what an abort by deadline would name. `Awaiting::Receipts` of nobody where only the
    /// initiator knows.
    pub fn awaiting(&self) -> Awaiting {
        match self.phase {
            SnapshotPhase::Recording => Awaiting::Markers { of: self.missing_markers.clone() },
            SnapshotPhase::Writing => Awaiting::Store,
            SnapshotPhase::AwaitingReceipts => Awaiting::Receipts { of: self.missing_receipts.clone() },
            SnapshotPhase::Committing => Awaiting::Journal,
            SnapshotPhase::AwaitingOutcome => Awaiting::Receipts { of: Vec::new() },
        }
    }
}

/// How far a node is with a snapshot.
///
/// ```
/// use snapshot_core::{SnapshotPhase, SnapshotStatus};
/// fn is_slow_store(status: &SnapshotStatus) -> bool {
///     status.phase == SnapshotPhase::Writing
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SnapshotPhase {
    /// The state is captured; channels are recorded until each has brought its marker.
    Recording,
    /// The part is on its way to the store.
    Writing,
    /// At the initiator: its own part is durable, receipts of others are missing.
    AwaitingReceipts,
    /// At the initiator: the commit record is being written.
    Committing,
    /// Elsewhere: the receipt is sent, the outcome not known yet.
    AwaitingOutcome,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::Generation;

    #[test]
    fn what_nodes_say_of_their_parts_adds_up_whatever_they_say() {
        let part = |node| PartReport {
            node: NodeId(node),
            turn: Turn(1),
            bytes: u64::MAX,
            messages: u64::MAX,
            capture: Duration::ZERO,
            durable_after: Duration::ZERO,
        };
        let snapshot = SnapshotId { generation: Generation(1), sequence: 1, initiator: NodeId(1) };
        let parts = vec![part(1), part(2)];
        let report = SnapshotReport { snapshot, durable: false, took: Duration::ZERO, parts };
        assert_eq!((report.bytes(), report.messages()), (u64::MAX, u64::MAX));
    }
}
