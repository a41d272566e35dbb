//! What can go wrong in a simulation, as plain data.

use std::collections::BTreeSet;
use std::fmt;

/// One thing that can go wrong.
///
/// ```
/// use snapshot_transport_mem::simulation::FaultKind;
/// assert_eq!(FaultKind::Crash.to_string(), "crash");
/// assert!(FaultKind::ALL.contains(&FaultKind::Crash));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// Frames take their time, on each channel another one. Counted once a run.
    Delay,
    /// A connection breaks with all that is under way on it, and is mended later.
    Cut,
    /// All connections between two halves of the group break at once, and are mended one by one.
    Partition,
    /// A process dies, or several, or all at once, with or without what they had sent; they are started again later.
    Crash,
    /// A process ends in good order and is started again.
    Leave,
    /// A process stands still for a while, for the others as good as dead, and then goes on.
    Pause,
    /// A process that stands still is taken for dead, and its node is started anew. Then it wakes, cut off from the network
    /// but not from the store, and goes on with what it was doing there until it finds out, or until its next turn, which it
    /// does not live to take.
    Zombie,
    /// A turn takes long: nothing is received or sent meanwhile.
    SlowTurn,
    /// `next` is dropped and called again though there is nothing new.
    DroppedNext,
    /// Queues, inboxes and channels have room for a few frames only. Counted once a run.
    SmallQueues,
    /// The room for recorded messages is small, so that snapshots are given up for it. Counted once a run.
    SmallRecordings,
    /// Snapshots have little time, so that they are given up half-way. Counted once a run.
    ShortDeadline,
    /// All nodes begin snapshots, some of them on an interval, and snapshots overlap. Otherwise one node does. Counted once
    /// a run.
    ManyInitiators,
    /// The store takes its time, so that a process can die between the parts of what it does there.
    SlowStore,
    /// An operation of the store fails and was not done.
    StoreError,
    /// An operation of the store is done, and its answer is an error all the same.
    LostAnswer,
    /// A process dies at an operation of the store: before it is done, or before its answer.
    StoreCrash,
    /// The medium fails while an object is being written to it; nothing of it can be seen.
    TornWrite,
    /// For a while there is no space for anything new.
    StoreFull,
    /// What a process was writing when it died, or when it was told of an error, becomes visible later.
    LateWrite,
    /// A listing does not show the newest parts yet.
    StaleListing,
    /// The store goes back, and the network does not: all processes die, the store becomes what it was when a copy of it was
    /// taken, or is empty, and what was under way stays so and reaches the processes that come next, as on a bus. What was
    /// committed after the copy is undone, also what was announced; the application's own value is told with
    /// [`Application::put_back`](super::Application::put_back). A part of the channels may then stand still until the same copy
    /// is put back once more.
    PutBack,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Delay,
        Self::Cut,
        Self::Partition,
        Self::Crash,
        Self::Leave,
        Self::Pause,
        Self::Zombie,
        Self::SlowTurn,
        Self::DroppedNext,
        Self::SmallQueues,
        Self::SmallRecordings,
        Self::ShortDeadline,
        Self::ManyInitiators,
        Self::SlowStore,
        Self::StoreError,
        Self::LostAnswer,
        Self::StoreCrash,
        Self::TornWrite,
        Self::StoreFull,
        Self::LateWrite,
        Self::StaleListing,
        Self::PutBack,
    ];
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Delay => "delay",
            Self::Cut => "cut",
            Self::Partition => "partition",
            Self::Crash => "crash",
            Self::Leave => "leave",
            Self::Pause => "pause",
            Self::Zombie => "zombie",
            Self::SlowTurn => "slow turn",
            Self::DroppedNext => "dropped next",
            Self::SmallQueues => "small queues",
            Self::SmallRecordings => "small recordings",
            Self::ShortDeadline => "short deadline",
            Self::ManyInitiators => "many initiators",
            Self::SlowStore => "slow store",
            Self::StoreError => "store error",
            Self::LostAnswer => "lost answer",
            Self::StoreCrash => "store crash",
            Self::TornWrite => "torn write",
            Self::StoreFull => "store full",
            Self::LateWrite => "late write",
            Self::StaleListing => "stale listing",
            Self::PutBack => "store put back",
        })
    }
}

/// Which faults a simulation may draw from. Every seed draws a part of them and how often each shall come, so that
/// combinations come up that all of them together would drown.
///
/// ```
/// use snapshot_transport_mem::simulation::{FaultKind, Faults};
/// let faults = Faults::all().without(FaultKind::Pause);
/// assert!(faults.has(FaultKind::Crash) && !faults.has(FaultKind::Pause));
/// assert_eq!(Faults::none().with(FaultKind::Cut).kinds().collect::<Vec<_>>(), [FaultKind::Cut]);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Faults(BTreeSet<FaultKind>);

impl Faults {
    /// Everything may go wrong.
    pub fn all() -> Self {
        Self(FaultKind::ALL.into_iter().collect())
    }

    /// Nothing goes wrong: still, a seed decides who moves next and when snapshots are taken.
    pub fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// This too.
    #[must_use]
    pub fn with(mut self, kind: FaultKind) -> Self {
        self.0.insert(kind);
        self
    }

    /// But not this.
    #[must_use]
    pub fn without(mut self, kind: FaultKind) -> Self {
        self.0.remove(&kind);
        self
    }

    /// Whether this may happen.
    pub fn has(&self, kind: FaultKind) -> bool {
        self.0.contains(&kind)
    }

    /// All that may happen, in the order of [`FaultKind::ALL`].
    pub fn kinds(&self) -> impl Iterator<Item = FaultKind> {
        self.0.iter().copied()
    }
}

impl Default for Faults {
    /// [`all`](Self::all).
    fn default() -> Self {
        Self::all()
    }
}

impl FromIterator<FaultKind> for Faults {
    fn from_iter<T: IntoIterator<Item = FaultKind>>(kinds: T) -> Self {
        Self(kinds.into_iter().collect())
    }
}
