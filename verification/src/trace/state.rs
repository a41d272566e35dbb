//! The state of the specification: the variables of `spec/Snapshot.tla`, and what the operations of the store add to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use snapshot_core::{NodeId, SnapshotId};

use super::graph::Graph;
use super::line::{
    Answer, Body, Counts, Entry, Event, Frame, Grant, Message, Operation, Part, PartKey, Record, Request,
};
use super::show;

/// Everything: `nd`, `cn`, `parts`, `journal`, `seats` of the specification, and the operations under way.
#[derive(Clone, Default, Debug)]
pub(super) struct State {
    pub(super) graph: Graph,
    pub(super) retention: u64,
    /// What may be outstanding on a channel, in messages and in bytes.
    pub(super) window: (u64, u64),
    pub(super) processes: BTreeMap<NodeId, Process>,
    /// What is under way: `cn[c].fs`, without the outbox and without what a receiver holds.
    pub(super) network: BTreeMap<(NodeId, NodeId), VecDeque<Frame>>,
    pub(super) store: Store,
    pub(super) operations: BTreeMap<Operation, Asked>,
    /// The process whose outputs are being seen, and what its input was.
    pub(super) step: Option<(NodeId, Input)>,
    /// How many processes there have been.
    pub(super) booted: u64,
    /// What each process has called itself: no two the same.
    pub(super) lives: BTreeSet<u64>,
}

/// What an input allows its process to do besides what it must.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Input {
    Timeout,
    Lost(NodeId),
    /// It is in the middle of a turn.
    Turn,
    Other,
}

#[derive(Clone, Default, Debug)]
pub(super) struct Store {
    pub(super) journal: Vec<Record>,
    /// The life that sits, by generation and node.
    pub(super) seats: BTreeMap<(u64, NodeId), u64>,
    pub(super) parts: BTreeMap<PartKey, Stored>,
}

/// A part with the logs behind its counts.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Stored {
    pub(super) part: Part,
    pub(super) logs: Logs,
}

/// The state of an application: all that it has sent and taken, in order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Logs {
    pub(super) sent: BTreeMap<NodeId, Vec<Message>>,
    pub(super) taken: BTreeMap<NodeId, Vec<Message>>,
}

/// An operation of the store.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) node: NodeId,
    /// Which process, counted over the whole trace.
    pub(super) process: u64,
    pub(super) request: Request,
    /// What `Part` stands for in a request that writes one.
    pub(super) logs: Logs,
    /// What came of it, once it is done.
    pub(super) result: Option<Answer>,
    pub(super) answered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It starts.
    Start,
    /// Its generation has lost something.
    Gap,
    /// It has had news of a newer generation.
    Newer,
    /// It takes part in its generation.
    Run,
    /// It has ended.
    Over,
}

/// A process: `nd[p]` and its ends of its channels.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) number: u64,
    pub(super) phase: Phase,
    pub(super) generation: u64,
    /// The generation in which it speaks: from its seat on, before it has read its part.
    pub(super) speaks: u64,
    pub(super) life: Option<u64>,
    // Its dealings with the journal.
    /// `rd`: how many records it has read.
    pub(super) view: usize,
    /// While it looks for the end: the largest index that exists, the smallest that does not, of those it has tried.
    pub(super) search: Option<(u64, Option<u64>)>,
    /// It has read to the end since it last had a reason to.
    pub(super) at_end: bool,
    pub(super) seat: u64,
    pub(super) taken: u64,
    pub(super) looked: u64,
    /// Sets that seemed whole when it looked.
    pub(super) candidates: VecDeque<SnapshotId>,
    /// The one operation that it waits for.
    pub(super) lane: Option<(Operation, Lane)>,
    /// It has had news while it took up what it had held: a read that it asked for in between counts no more.
    pub(super) reads_again: bool,
    /// What it must ask next.
    pub(super) next: Option<Lane>,
    /// The store has failed it: it waits before it goes on.
    pub(super) waits: bool,
    pub(super) sweep: Option<Operation>,
    pub(super) sweep_due: bool,
    /// A listing or a deletion has failed: that may be told, is tried again later, and what could not be deleted is left alone until
    /// then.
    pub(super) sweep_failed: bool,
    pub(super) loaded: Option<Loaded>,
    // The application.
    pub(super) turn: u64,
    pub(super) logs: Logs,
    // Recording and commit.
    pub(super) untaken: VecDeque<(NodeId, Message)>,
    pub(super) held: VecDeque<(NodeId, Frame)>,
    pub(super) recordings: BTreeMap<SnapshotId, Recording>,
    pub(super) writing: BTreeMap<SnapshotId, Writing>,
    pub(super) tallies: BTreeMap<SnapshotId, Counts>,
    pub(super) awaited: BTreeMap<SnapshotId, Writing>,
    /// Its own parts that are in the store, or may be, and not committed.
    pub(super) own: BTreeMap<SnapshotId, Own>,
    pub(super) largest: u64,
    pub(super) begun: BTreeMap<NodeId, u64>,
    pub(super) forestalled: BTreeSet<SnapshotId>,
    pub(super) channels: BTreeMap<NodeId, Channel>,
    pub(super) owed: Owed,
}

/// What a process waits for, or must ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    Find(u64),
    Read,
    Append(Record, Purpose),
    Confirm(Record, Purpose),
    Seat(u64),
    SeatHolder { generation: u64, failed: bool },
    Look,
    Verify { snapshot: SnapshotId, turns: Counts },
    Found { snapshot: SnapshotId, turns: Counts },
    Load,
    WriteInitial,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Open,
    Found,
    Receipts(SnapshotId),
    Discard,
}

/// What it is about to install.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Loaded {
    pub(super) stored: Stored,
    /// It came out of the store.
    pub(super) resumed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Recording {
    pub(super) stored: Stored,
    pub(super) open: BTreeSet<NodeId>,
}

/// A part of a process's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) turn: u64,
    /// The store has answered.
    pub(super) written: bool,
    pub(super) given_up: bool,
    /// Given up since a neighbour was lost.
    pub(super) held: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Writing {
    pub(super) turn: u64,
    pub(super) given_up: bool,
}

/// Both directions of a neighbour, as this process counts them.
#[derive(Clone, Default, Debug)]
pub(super) struct Channel {
    pub(super) last_out: u64,
    pub(super) last_in: u64,
    pub(super) answered: bool,
    pub(super) link: Link,
    /// What waits to depart, control first (W4).
    pub(super) control: VecDeque<Queued>,
    pub(super) messages: VecDeque<Message>,
    /// What the receiver has last granted, and what has departed that it has not told to be taken.
    pub(super) granted: Option<Grant>,
    pub(super) outstanding: VecDeque<Message>,
    pub(super) intake: Intake,
}

/// What the transport has told of a connection.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) enum Link {
    #[default]
    Untold,
    Up,
    Lost,
}

/// A control frame that waits.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) body: Body,
    pub(super) numbered: bool,
    /// At a marker: what the node had taken when it posted it. A grant that goes ahead of it knows no more.
    pub(super) knew: BTreeMap<NodeId, Intake>,
}

/// What a receiver has taken of the present generation, and what it has not taken of what is replayed.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Intake {
    pub(super) taken: u64,
    pub(super) replayed: u64,
    pub(super) replayed_bytes: u64,
}

/// What must be seen before the next input.
#[derive(Clone, Default, Debug)]
pub(super) struct Owed {
    pub(super) captures: usize,
    pub(super) events: Vec<Event>,
    pub(super) parts: BTreeMap<SnapshotId, Stored>,
    pub(super) deletes: Vec<PartKey>,
}

impl Process {
    pub(super) fn new(number: u64, peers: impl Iterator<Item = NodeId>) -> Self {
        Self {
            number,
            phase: Phase::Start,
            generation: 0,
            speaks: 0,
            life: None,
            view: 0,
            search: Some((0, None)),
            at_end: false,
            seat: 0,
            taken: 0,
            looked: 0,
            candidates: VecDeque::new(),
            lane: None,
            reads_again: false,
            next: None,
            waits: false,
            sweep: None,
            sweep_due: false,
            sweep_failed: false,
            loaded: None,
            turn: 0,
            logs: Logs::default(),
            untaken: VecDeque::new(),
            held: VecDeque::new(),
            recordings: BTreeMap::new(),
            writing: BTreeMap::new(),
            tallies: BTreeMap::new(),
            awaited: BTreeMap::new(),
            own: BTreeMap::new(),
            largest: 0,
            begun: BTreeMap::new(),
            forestalled: BTreeSet::new(),
            channels: peers.map(|peer| (peer, Channel::default())).collect(),
            owed: Owed::default(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Run
    }

    pub(super) fn recovers(&self) -> bool {
        matches!(self.phase, Phase::Start | Phase::Gap | Phase::Newer)
    }

    /// Whether the store is being asked to commit this snapshot.
    pub(super) fn is_committing(&self, snapshot: SnapshotId) -> bool {
        let purpose = match (&self.lane, &self.next) {
            (Some((_, Lane::Append(_, purpose) | Lane::Confirm(_, purpose))), _)
            | (_, Some(Lane::Confirm(_, purpose))) => Some(*purpose),
            _ => None,
        };
        purpose == Some(Purpose::Receipts(snapshot))
    }

    /// What has not been seen of the outputs of the last input. Who pauses before it opens a generation asks for nothing.
    pub(super) fn missing(&self, pauses: bool) -> Option<String> {
        let Owed { captures, events, parts, deletes } = &self.owed;
        let stands = !pauses
            && self.recovers()
            && self.lane.is_none()
            && self.next.is_none()
            && !self.waits
            && self.loaded.is_none();
        if *captures > 0 {
            Some("a capture".to_owned())
        } else if let Some(event) = events.first() {
            Some(format!("the event `{event}`"))
        } else if let Some(snapshot) = parts.keys().next() {
            Some(format!("the request to write the part of {snapshot}"))
        } else if !deletes.is_empty() && !self.sweep_failed {
            Some("the request to delete what retention lets go".to_owned())
        } else if let Some(lane) = &self.next {
            Some(format!("a request: it must {lane}"))
        } else {
            stands
                .then(|| format!("a request to the store: it is in phase {:?}, and stands still", self.phase))
        }
    }
}

impl Logs {
    pub(super) fn counts(log: &BTreeMap<NodeId, Vec<Message>>) -> Counts {
        log.iter().map(|(node, messages)| (*node, messages.len() as u64)).filter(|(_, n)| *n > 0).collect()
    }
}

impl Channel {
    /// A new generation: `nin`, `nout` and `ans` to nothing, what has not departed is gone, nothing is granted (W3).
    pub(super) fn reset(&mut self) {
        *self = Self { link: self.link, ..Self::default() };
    }

    pub(super) fn is_lost(&self) -> bool {
        self.link == Link::Lost
    }
}

impl Store {
    /// What tells this generation from another of the same number: drawn for the record that has opened it (F5).
    pub(super) fn nonce(&self, generation: u64) -> u64 {
        let opened = |record: &&Record| matches!(record.entry, Entry::Open(of, _) if of.0 == generation);
        self.journal.iter().find(opened).map_or(0, |record| record.nonce)
    }

    pub(super) fn commits(&self) -> usize {
        self.journal.iter().filter(|record| matches!(record.entry, Entry::Commit(..))).count()
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Find(index) => write!(f, "look whether there is a record {index}"),
            Self::Read => write!(f, "read on in the journal"),
            Self::Append(record, _) => write!(f, "create the record `{record}`"),
            Self::Confirm(record, _) => write!(f, "look what is at {} after an error", record.index),
            Self::Seat(generation) => write!(f, "take the seat of g{generation}"),
            Self::SeatHolder { generation, .. } => write!(f, "look who sits in g{generation}"),
            Self::Look => write!(f, "look for whole sets"),
            Self::Verify { snapshot, .. } => write!(f, "look whether {snapshot} is whole"),
            Self::Found { snapshot, .. } => write!(f, "commit {snapshot}, which is whole"),
            Self::Load => write!(f, "read its start"),
            Self::WriteInitial => write!(f, "write its initial state"),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "journal:")?;
        self.store.journal.iter().try_for_each(|record| writeln!(f, "  {record}"))?;
        let seats: Vec<_> = self.store.seats.keys().map(|(g, node)| format!("g{g}/{node}")).collect();
        writeln!(f, "seats: {}", seats.join(" "))?;
        for ((node, snapshot), stored) in &self.store.parts {
            let of = snapshot.map_or_else(|| "initial".to_owned(), |snapshot| snapshot.to_string());
            writeln!(f, "part of {node}, {of}: {}", stored.part)?;
        }
        for (node, process) in &self.processes {
            let Process { phase, generation, view, seat, turn, lane, .. } = process;
            writeln!(
                f,
                "{node}: {phase:?}, g{generation}, has read {view}, seat g{seat}, turn {turn}, {}",
                lane.as_ref().map_or_else(
                    || "waits for nothing".to_owned(),
                    |(o, lane)| format!("waits to {lane} (o{o})")
                )
            )?;
            for (id, recording) in &process.recordings {
                writeln!(
                    f,
                    "  records {id}, open {}: {}",
                    show::list(&recording.open),
                    recording.stored.part
                )?;
            }
            for (id, tally) in &process.tallies {
                writeln!(f, "  has receipts of {id}: {}", show::pairs(tally))?;
            }
            writeln!(
                f,
                "  writes {}; awaits the outcome of {}",
                show::list(process.writing.keys()),
                show::list(process.awaited.keys())
            )?;
            let untaken = process.untaken.iter().map(|(from, message)| format!("m{message} from {from}"));
            writeln!(f, "  untaken: {}", show::list(untaken))?;
            for (from, frame) in &process.held {
                writeln!(f, "  holds from {from}: {frame}")?;
            }
            for (peer, channel) in &process.channels {
                let Channel { last_out, last_in, link, intake, granted, .. } = channel;
                writeln!(f, "  {peer}, {link:?}: sent #{last_out}, had #{last_in}, {intake:?}")?;
                let control = channel.control.iter().map(|queued| format!("`{}`", queued.body));
                let waiting = control.chain(channel.messages.iter().map(|message| format!("m{message}")));
                let outstanding = channel.outstanding.iter().map(|message| format!("m{message}"));
                let granted =
                    granted.map_or_else(|| "nothing".to_owned(), |grant| Body::Grant(grant).to_string());
                writeln!(
                    f,
                    "    waiting: {}; outstanding: {}; granted: {granted}",
                    show::list(waiting),
                    show::list(outstanding)
                )?;
            }
        }
        for ((from, to), frames) in &self.network {
            for frame in frames {
                writeln!(f, "under way {from} -> {to}: {frame}")?;
            }
        }
        Ok(())
    }
}
