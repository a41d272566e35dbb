//! The text form of a trace: one step a line, words between spaces. [The module above](super) has a table of all lines.

use std::collections::BTreeMap;

use snapshot_core::{Generation, NodeId, SnapshotId};

/// A number that the recorder gives to an operation of the store, unique in a trace.
pub type Operation = u64;

/// The name of a message, unique in a trace.
pub type Message = u64;

/// How many messages an application has sent to, or taken from, each neighbour; none is not named.
pub type Counts = BTreeMap<NodeId, u64>;

/// A part of a snapshot, or the state with which a node first started: its node, and the snapshot if there is one.
pub type PartKey = (NodeId, Option<SnapshotId>);

/// One line of a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are what the variants say")]
pub enum Line {
    /// The group: a member.
    Member { node: NodeId },
    /// The group: a channel, and whether it carries messages of the application.
    Link { from: NodeId, to: NodeId, messages: bool },
    /// The group: what may be outstanding on each channel, in messages and in bytes.
    Window { messages: u64, bytes: u64 },
    /// Before any process begins: a frame is under way that somebody has sent in another history of the store.
    Left { from: NodeId, to: NodeId, frame: Frame },
    /// The group: how many committed snapshots are kept; 0: all.
    Retention { kept: u64 },
    /// A process of this node begins.
    Boot { node: NodeId },
    /// The process of this node dies.
    Crash { node: NodeId },
    /// The last so many frames under way are lost.
    Lose { from: NodeId, to: NodeId, frames: u64 },
    /// The first so many frames under way are lost.
    Swallow { from: NodeId, to: NodeId, frames: u64 },
    /// The transport tells of a new connection.
    Up { node: NodeId, peer: NodeId },
    /// The transport tells of a lost connection.
    Lost { node: NodeId, peer: NodeId },
    /// The application sends.
    Send { node: NodeId, to: NodeId, message: Message },
    /// The application is handed a message.
    Take { node: NodeId, from: NodeId, message: Message },
    /// The application has ended this turn.
    Turn { node: NodeId, turn: u64 },
    /// The application begins a snapshot.
    Initiate { node: NodeId, snapshot: SnapshotId },
    /// A moment has come for which the node had asked.
    Timeout { node: NodeId },
    /// A frame reaches the node.
    Arrive { node: NodeId, from: NodeId, frame: Frame },
    /// The driver has installed a state with these effects.
    Restored { node: NodeId, sent: Counts, taken: Counts },
    /// The store does something.
    Do { operation: Operation },
    /// The node learns what came of an operation.
    Answer { operation: Operation, answer: Answer },
    /// Output: the state was captured.
    Capture { node: NodeId },
    /// Output: the node wants something of the store.
    Ask { node: NodeId, operation: Operation, request: Request },
    /// Output: a frame goes to the network.
    Out { node: NodeId, to: NodeId, frame: Frame },
    /// Output: the application is told.
    Told { node: NodeId, event: Event },
}

/// What a message weighs, in bytes: it is in its name.
pub fn weight(message: Message) -> u64 {
    1 + message % 7
}

/// A frame: generation, number in its channel, what tells its generation from another of the same number, and what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the names of things")]
pub struct Frame {
    pub generation: Generation,
    pub number: u64,
    pub tag: u64,
    pub body: Body,
}

/// What a frame says.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the names of things")]
pub enum Body {
    Hello { nonce: u64 },
    Message(Message),
    Marker(SnapshotId),
    Receipt { snapshot: SnapshotId, member: NodeId, turn: u64 },
    Committed { snapshot: SnapshotId, index: u64 },
    Aborted { snapshot: SnapshotId, by: NodeId, reason: Reason },
    Grant(Grant),
    Ask,
}

/// What the receiver of a channel tells its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Who sends on the channel.
    pub sender: NodeId,
    /// Who receives on it, and says this.
    pub receiver: NodeId,
    /// How many messages of this generation were taken.
    pub taken: u64,
    /// How many may be outstanding.
    pub messages: u64,
    /// What they may weigh.
    pub bytes: u64,
    /// Whether that is the whole window.
    pub whole: bool,
}

/// Why a snapshot was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "as in the core")]
pub enum Reason {
    Deadline,
    PeerLost(NodeId),
    StoreFailed,
    Requested,
    RolledBack,
    Superseded,
    StoreBehind,
    /// A bound of memory; the recorder sets them out of reach.
    Bound,
}

/// What a node wants of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the names of things")]
pub enum Request {
    ReadJournal(u64),
    CreateJournal(Record),
    CreateSeat { generation: Generation, life: u64 },
    ReadSeat(Generation),
    WriteInitial { sent: Counts, taken: Counts },
    WritePart { snapshot: SnapshotId, part: Part },
    ReadPart(PartKey),
    VerifyPart(PartKey),
    ListParts(Option<Generation>),
    Delete(Vec<PartKey>),
}

/// What a part holds.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Part {
    /// The last turn in it.
    pub turn: u64,
    /// How many messages the state has sent and taken.
    pub sent: Counts,
    /// How many messages the state has taken.
    pub taken: Counts,
    /// The recorded messages of each channel, by sender; a channel without messages is not named.
    pub channels: BTreeMap<NodeId, Vec<Message>>,
    /// The messages that had not departed, by receiver; a channel without any is not named.
    pub outgoing: BTreeMap<NodeId, Vec<Message>>,
}

/// A record of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it stands, counted from 1.
    pub index: u64,
    /// Who wrote it.
    pub author: NodeId,
    /// What its author knows it by.
    pub nonce: u64,
    /// What it says.
    pub entry: Entry,
    /// The commits that are kept, as its author sums them up.
    pub kept: Vec<SnapshotId>,
}

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A generation begins, at a committed snapshot or at the beginning.
    Open(Generation, Option<SnapshotId>),
    /// A snapshot is committed, with the turns of its parts.
    Commit(SnapshotId, Counts),
    /// No snapshot up to these sequences will be committed any more, by initiator.
    Discard(Counts),
}

/// What came of an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "as in the core")]
pub enum Answer {
    Absent,
    Record(Record),
    Seat(u64),
    New,
    Exists,
    Written,
    Found,
    Whole { turn: u64 },
    Listed(Vec<PartKey>),
    Deleted,
    Failed,
}

/// What an application is told.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "as in the core")]
pub enum Event {
    Committed {
        snapshot: SnapshotId,
        turn: u64,
    },
    RolledBack {
        generation: Generation,
        snapshot: Option<SnapshotId>,
        turn: u64,
    },
    Aborted {
        snapshot: SnapshotId,
        by: NodeId,
        reason: Reason,
    },
    /// A snapshot that this node began is committed.
    Report(SnapshotId),
    StoreFailed,
    /// The store failed at the start: the process ends.
    Ended,
    /// Anything that does not happen in a group that keeps to the protocol.
    Broken,
}

impl Line {
    /// The node whose process this line is about, if it is one's.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Boot { node }
            | Self::Crash { node }
            | Self::Up { node, .. }
            | Self::Lost { node, .. }
            | Self::Send { node, .. }
            | Self::Take { node, .. }
            | Self::Turn { node, .. }
            | Self::Initiate { node, .. }
            | Self::Timeout { node }
            | Self::Arrive { node, .. }
            | Self::Restored { node, .. }
            | Self::Capture { node }
            | Self::Ask { node, .. }
            | Self::Out { node, .. }
            | Self::Told { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// Whether it tells what came of the line before, and is no step of its own.
    pub fn is_output(&self) -> bool {
        matches!(self, Self::Capture { .. } | Self::Ask { .. } | Self::Out { .. } | Self::Told { .. })
    }
}
