//! What a node hands to its application.

use std::time::Duration;

use crate::vocabulary::id::{Generation, NodeId, Peer, SnapshotId, Turn};
use crate::vocabulary::malformed::Malformed;
use crate::vocabulary::outcome::{AbortReason, Awaiting, PartReport, SnapshotReport};
use crate::vocabulary::part::LocalSnapshot;

/// What [`SnapshotNode::next`](crate::SnapshotNode::next) hands out, one at a time.
///
/// Only three matter to every application: [`Message`](Self::Message), [`Committed`](Self::Committed) and
/// [`RolledBack`](Self::RolledBack).
///
/// ```
/// use snapshot_core::Event;
/// fn handle(balance: &mut u64, event: Event<u64, u64>) {
///     match event {
///         Event::Message { message, .. } => *balance += message,
///         Event::RolledBack { turn, .. } => println!("the state is now as it was after {turn}"),
///         _ => {}
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Event<M, C> {
    /// A message of the application, in the order of its channel.
    Message {
        /// Who sent it.
        from: Peer,
        /// The message.
        message: M,
    },
    /// A snapshot is committed: every restart begins from it or from one behind it. So effects of turns up to `turn` may
    /// leave this node: acknowledgements, e-mails, writes to other systems.
    Committed {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The last turn of this node that it covers.
        turn: Turn,
        /// At the node that began it, be it on the interval: what it was like. Elsewhere `None`.
        report: Option<Box<SnapshotReport>>,
    },
    /// The group has gone back, and the state stands where the snapshot was. Also the first event of a process that has
    /// resumed.
    ///
    /// Effects of turns up to `turn` are covered, even if that was never announced here; later ones never happened. Turn
    /// numbers go on from there.
    RolledBack {
        /// The generation that begins.
        generation: Generation,
        /// Where it begins; `None`: at the state that the application first started with.
        snapshot: Option<SnapshotId>,
        /// The last turn of this node that is in the state.
        turn: Turn,
    },
    /// **Loud**: the newest committed snapshot was damaged, and the group, which was allowed to, has gone back behind it.
    /// What was announced as committed by `given_up` is taken back. Follows its [`RolledBack`](Self::RolledBack).
    FellBack {
        /// The generation that begins.
        generation: Generation,
        /// Where it begins; `None`: at the state that the application first started with.
        to: Option<SnapshotId>,
        /// The committed snapshots that are lost.
        given_up: Vec<SnapshotId>,
    },
    /// A snapshot was given up. The application runs on.
    SnapshotAborted {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The node that gave it up.
        by: NodeId,
        /// Why.
        reason: AbortReason,
    },
    /// Without a store: this node's part of a snapshot. The group's parts make a
    /// [`GlobalSnapshot`](crate::GlobalSnapshot).
    LocalSnapshot(Box<LocalSnapshot<C, M>>),
    /// A neighbour cannot be reached. Sends to it wait. Without a store it stays lost. Messages of it that came before may
    /// follow this event.
    PeerLost {
        /// The neighbour.
        peer: Peer,
        /// What is known of it, for people.
        why: String,
    },
    /// A neighbour that was lost can be reached again.
    PeerBack {
        /// The neighbour.
        peer: Peer,
    },
    /// A neighbour said goodbye and ended. Messages of it that came before may follow this event.
    PeerLeft {
        /// The neighbour.
        peer: Peer,
    },
    /// A neighbour broke the protocol, or does not belong to this group as it is set up. What it sent was ignored.
    ///
    /// The first of a kind from a neighbour is told at once. Further ones of that kind are only counted, and told as one when the
    /// generation ends: two events a kind, neighbour and generation at most, however much it sends.
    Violation {
        /// The neighbour.
        peer: Peer,
        /// What it did, and what to see to. Of several, the first.
        what: Violation,
        /// How often: 1 when it is told at once; at the end of the generation, the number of those that were not told.
        times: u64,
    },
    /// A committed snapshot that this node began failed one of its [checks](crate::NodeBuilder::check). It stays committed,
    /// and the application runs on: what to do about it is the application's to say.
    ///
    /// Handed out when the snapshot is kept, or when it is known that it cannot be; once for each check that failed.
    ///
    /// ```
    /// use snapshot_core::Event;
    /// fn handle(event: Event<u64, u64>) {
    ///     match event {
    ///         Event::CheckFailed { snapshot, check, what, kept } => {
    ///             eprintln!("the check '{check}' has failed on {snapshot}: {what}");
    ///             if let Err(why) = kept {
    ///                 eprintln!("and it will be gone when retention lets go of it: {why}");
    ///             }
    ///         }
    ///         Event::CheckSkipped { snapshot, why } => eprintln!("{snapshot} was not checked: {why}"),
    ///         _ => {}
    ///     }
    /// }
    /// ```
    CheckFailed {
        /// The snapshot. [`Archive::read`](crate::Archive::read) gives the whole of it.
        snapshot: SnapshotId,
        /// The name of the check.
        check: String,
        /// What the check said, or what it panicked with.
        what: String,
        /// `Ok`: the snapshot is copied to where retention does not reach, and stays until somebody
        /// [discards](crate::Archive::discard) it. Else why that was not possible.
        kept: Result<(), String>,
    },
    /// A committed snapshot that this node began was not [checked](crate::NodeBuilder::check).
    CheckSkipped {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Why: its parts were deleted before it was read, the store failed, or too many waited.
        why: String,
    },
    /// The store failed, or did not answer in time, where there is no snapshot to blame. The node tries again by itself. What
    /// concerns parts that nobody needs is told once, and again when there are twice as many.
    StoreFailed {
        /// What the store said.
        error: String,
    },
    /// A snapshot has begun here: the state was captured, as of this turn. It ends with [`Committed`](Self::Committed), of it or
    /// of another that covers this turn, with [`SnapshotAborted`](Self::SnapshotAborted), or, without a store, with
    /// [`LocalSnapshot`](Self::LocalSnapshot).
    SnapshotBegun {
        /// Its name.
        snapshot: SnapshotId,
        /// The last turn that is in the captured state.
        turn: Turn,
    },
    /// This node's part of a snapshot is in the store: how long the capture took, and how long until it was durable. Only
    /// where there is a store.
    PartDurable {
        /// The snapshot.
        snapshot: SnapshotId,
        /// What this node has added to it.
        part: PartReport,
    },
    /// More work of this node is uncommitted than [`max_uncommitted`](crate::NodeBuilder::max_uncommitted) allows, so there is no
    /// room for new work until a snapshot commits. Told once, until then.
    Uncommitted {
        /// How many turns no commit covers.
        turns: u64,
        /// How long ago the oldest of them was, about.
        age: Duration,
        /// The neighbours that cannot be reached: while there are any, no snapshot begins.
        lost: Vec<NodeId>,
        /// What the oldest snapshot waits for that is under way here, if there is one.
        awaiting: Option<Awaiting>,
    },
    /// There is room for new work again, after [`has_room`](crate::SnapshotNode::has_room) or
    /// [`has_room_for`](crate::SnapshotNode::has_room_for) was asked and there was none: told once, so that a loop whose arms
    /// are guarded by it looks at its guards again.
    Room,
    /// So many events were not handed out one by one, since 64 others waited to be taken: commits that are covered by a later
    /// [`Committed`](Self::Committed), and news of snapshots, neighbours and the store.
    Skipped {
        /// How many.
        events: u64,
    },
    /// The outbox is over its high mark, and nothing has departed for the time set as `stall`: a very slow peer, or messages
    /// that multiply.
    Stalled {
        /// The neighbours for which messages are queued, or under way.
        waiting_for: Vec<NodeId>,
    },
    /// The transport has come to its clean end: nothing will arrive any more. Messages that came before may follow this event.
    Closed,
}

/// How a neighbour broke the protocol.
///
/// ```
/// use snapshot_core::{NodeId, Violation};
/// let what = Violation::UnknownInitiator { node: NodeId(9) };
/// assert!(what.to_string().contains("n9 is no member"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A control frame that cannot be read.
    #[error(
        "it sent a control frame that cannot be read ({error}): do all nodes run a release of this protocol version?"
    )]
    Unreadable {
        /// What is wrong with it.
        error: Malformed,
    },
    /// A marker of a snapshot whose initiator is not in the group.
    #[error(
        "it sent the marker of a snapshot whose initiator {node} is no member: do all nodes have the same topology?"
    )]
    UnknownInitiator {
        /// The stranger.
        node: NodeId,
    },
    /// Something about a node that is not in the group.
    #[error("it named {node}, which is no member: do all nodes have the same topology?")]
    UnknownMember {
        /// The stranger.
        node: NodeId,
    },
    /// The same marker came twice on its channel.
    #[error("it sent the marker of {snapshot} twice")]
    MarkerTwice {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// A snapshot of another generation than the frame that names it.
    #[error("it named {snapshot} in a frame of another generation")]
    OtherGeneration {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// A snapshot whose sequence no node counts up to.
    #[error("it named {snapshot}, whose sequence is out of range")]
    OutOfRange {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// A frame on a channel that the topology does not have.
    #[error("it sent a frame where the topology has no channel: do all nodes have the same topology?")]
    NoChannel,
    /// A message of the application on a way back.
    #[error("it sent a message on a link that carries only markers and control")]
    MessageOnWayBack,
    /// A generation that the journal does not know. Until it greets in this node's, it counts as lost.
    #[error(
        "it sent a frame of {generation}, which the journal does not have, so its store is not this node's: \
         give all nodes the same store; if they have it, and it was exchanged for an older copy while nodes ran, start all again"
    )]
    UnknownGeneration {
        /// The generation.
        generation: Generation,
    },
    /// A generation of another history of the store, which has the same number as this node's. Until it greets in this one, it
    /// counts as lost.
    #[error(
        "it greeted in another {generation} than this node's, so its store is not this node's: \
         give all nodes the same store; if they have it, and it was exchanged for an older copy while nodes ran, start all again"
    )]
    OtherHistory {
        /// The generation.
        generation: Generation,
    },
    /// It runs with a store and this node without one, or the other way round. It counts as lost.
    #[error(
        "it runs {}: give all nodes the same graph, and the same store or none",
        if *it_has_one { "with a store, or in another graph, and this node without one" } else { "without a store, and this node with one" }
    )]
    Store {
        /// Whether it is the neighbour that has one.
        it_has_one: bool,
    },
    /// More messages than it was allowed to send. It counts as lost until the next generation.
    #[error(
        "it sent more messages than this node had let it send: do both run this library's rules, unchanged?"
    )]
    Window,
    /// A grant for more messages than were sent.
    #[error("it said that {receiver} has taken more messages than were sent to it")]
    Grant {
        /// Whose grant it was.
        receiver: NodeId,
    },
    /// A frame outside the count that may not be.
    #[error("it sent a frame without a number that needs one")]
    Unnumbered,
}
