//! What may happen in a search, and how often.

use snapshot_core::{Graph, NodeId, Retention};

/// A searched world: the group, what its environment may do to it, and what must be seen on the way.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The channels of the group.
    pub shape: Shape,
    /// Whether there is a store.
    pub durable: bool,
    /// How many commits are kept; 0: all.
    pub keep: u32,
    /// Whether the group runs already, in its first generation; else its processes start at any time.
    pub running: bool,
    /// Whether frames leave a node at once; else each batch is a step of its own.
    pub flushes: bool,
    /// Whether a node learns in a step of its own that a batch has left it, before which the next one waits.
    pub flights: bool,
    /// Whether the transport tells of no connections.
    pub untold: bool,
    /// How many messages, and how many bytes of them, may be outstanding on a channel.
    pub window: (usize, usize),
    /// How many messages in an outbox leave no room for more, and delay what is handed out; 0: as many as there can be.
    pub high: usize,
    /// Whether frames that had been received reach a node that no longer asks for any, as one batch of a transport does.
    pub eager: bool,
    /// Whether an operation of the store and the news of it are two steps.
    pub split: bool,
    /// Whether what is read can be old when it arrives.
    pub stale: bool,
    /// Whether a loss of frames can be of any length; else it is of all or none.
    pub any_loss: bool,
    /// Whether a dead process's store operations may still happen.
    pub zombies: bool,
    /// Messages that the applications send: from, to, how many.
    pub sends: &'static [(u8, u8, u8)],
    /// How often a message goes on when it is taken: to its sender, or else to the next node.
    pub hops: u8,
    /// Snapshots: who begins how many.
    pub snapshots: &'static [(u8, u8)],
    /// Crashes, of these nodes.
    pub crashes: (u8, &'static [u8]),
    /// Broken connections.
    pub breaks: u8,
    /// Second processes of these nodes, started while the first one lives on without a network.
    pub doubles: (u8, &'static [u8]),
    /// Wrong answers of the store: not done; done and reported as failed; a listing without what is new.
    pub store_faults: u8,
    /// Snapshots given up by the application.
    pub aborts: u8,
    /// Deadlines that pass at a moment of no use.
    pub deadlines: u8,
    /// How often the store goes back to what it was when a record had just been written, or to nothing, while all processes are
    /// down and frames stay where they are.
    pub rewinds: u8,
    /// Long silences at rest, when no second process can start any more, after which every timer is due.
    pub silences: u8,
    /// What has to happen at least once, so that the search is of some use.
    pub expects: &'static [Seen],
    /// What a search takes.
    pub effort: Effort,
}

/// What a search takes, and so, when it is run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effort {
    /// A moment: part of the tests.
    Moment,
    /// Seconds, with optimised code: what `--quick` runs, together with the above.
    Seconds,
    /// A minute or so: what the program runs if it is not told otherwise, together with the above.
    Minutes,
    /// More: on demand.
    Hours,
}

/// The channels of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Everyone to everyone.
    Mesh(u8),
    /// Each to the next, one way.
    Ring(u8),
    /// Each to the next one, but for the last; with ways back that carry control only.
    Line(u8),
}

impl Shape {
    /// How many nodes it has.
    pub const fn nodes(self) -> u8 {
        match self {
            Self::Mesh(nodes) | Self::Ring(nodes) | Self::Line(nodes) => nodes,
        }
    }

    /// The graph. Node `n` of the model has the id `n + 1`.
    pub fn graph(self) -> Graph {
        let ids = || (1..=u64::from(self.nodes())).map(NodeId);
        match self {
            Self::Mesh(_) => Graph::mesh(ids()),
            Self::Ring(_) => Graph::ring(ids()),
            Self::Line(_) => {
                let pairs = ids().zip(ids().skip(1));
                pairs.fold(Graph::new(ids()), |graph, (a, b)| graph.link(a, b)).with_way_back()
            }
        }
    }
}

/// Something that a search should come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// A whole snapshot.
    Cut,
    /// One with a message in flight.
    InFlight,
    /// A capture ahead of a message that had arrived and was not taken.
    Ahead,
    /// Two snapshots recording at one node.
    Overlap,
    /// A commit record.
    Commit,
    /// A commit record written for a whole set that was found.
    FoundSet,
    /// A snapshot that crossed one that was committed.
    Superseded,
    /// A second generation.
    Generation,
    /// A third one.
    ThirdGeneration,
    /// A record whose index somebody else had taken.
    LostRace,
    /// A running node that went back.
    WentBack,
    /// A recorded message handed out again.
    Replayed,
    /// A frame that reached a node that was not running.
    Held,
    /// A frame that was lost.
    LostFrame,
    /// Parts that retention deleted.
    Deleted,
    /// A store operation that happened after its process had died.
    Zombie,
    /// A commit record from a process that had been replaced, or had died.
    ZombieCommit,
    /// A process that found itself replaced.
    Replaced,
    /// A process that found itself replaced by an older one of its node.
    GaveWay,
    /// A snapshot that was given up.
    Aborted,
    /// A start that the store failed.
    FailedStart,
    /// A message that did not leave when it was sent, since the window was closed.
    HeldBack,
    /// A sender that asked for more room.
    Asked,
    /// A whole snapshot with messages that markers had overtaken: their senders recorded them.
    Overtaken,
    /// One with a channel of which both ends recorded some.
    Split,
    /// A message that its sender had recorded and sent again.
    Resent,
    /// A node over its high mark that waited for the moment to hand out one more.
    Relieved,
    /// A frame that was on its way when the store went back.
    LeftOver,
    /// A record by which snapshots will never be committed.
    Discarded,
}

impl Seen {
    /// How many there are.
    pub const COUNT: usize = Self::Discarded as usize + 1;
}

impl Config {
    /// Two nodes with a store that run, and nothing happens: what all others are written against.
    pub const CALM: Self = Self {
        name: "",
        about: "",
        shape: Shape::Mesh(2),
        durable: true,
        keep: 0,
        running: true,
        flushes: true,
        flights: false,
        untold: false,
        window: (usize::MAX, usize::MAX),
        high: 0,
        eager: false,
        split: false,
        stale: false,
        any_loss: false,
        zombies: false,
        sends: &[],
        hops: 0,
        snapshots: &[],
        crashes: (0, &[]),
        breaks: 0,
        doubles: (0, &[]),
        store_faults: 0,
        aborts: 0,
        deadlines: 0,
        rewinds: 0,
        silences: 0,
        expects: &[],
        effort: Effort::Moment,
    };

    /// What the journal will say about retention.
    pub fn retention(&self) -> Retention {
        if self.keep == 0 { Retention::All } else { Retention::last(self.keep) }
    }

    /// Whether nothing fails, so that nothing is left behind.
    pub fn is_calm(&self) -> bool {
        let Self { crashes: (crashes, _), doubles: (doubles, _), breaks, store_faults, rewinds, .. } = self;
        [crashes, doubles, breaks, store_faults, rewinds].into_iter().all(|failures| *failures == 0)
    }

    /// The commits that must be readable.
    pub fn kept(&self) -> usize {
        if self.keep == 0 { usize::MAX } else { self.keep as usize }
    }
}
