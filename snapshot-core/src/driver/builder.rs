//! How a node is put together.

use std::any::Any;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::contract::clock::Clock;
use crate::contract::codec::{MessageCodec, RawBytes};
use crate::contract::state::StateProvider;
use crate::contract::store::SnapshotStore;
use crate::contract::transport::Transport;
use crate::driver::check::{Check, Checks};
use crate::driver::error::NodeError;
use crate::driver::node::SnapshotNode;
use crate::driver::patience::Patience;
use crate::driver::persist::Persistence;
use crate::inspect::global_snapshot::GlobalSnapshot;
use crate::protocol::coordinator::SnapshotCoordinator;
use crate::protocol::settings::{Bound, Settings, UncommittedBound};
use crate::vocabulary::retention::Retention;

/// Puts a [`SnapshotNode`] together. Only the transport is needed; all else has defaults, see [`Settings`].
///
/// ```
/// use snapshot_core::{Graph, NodeId, Postcard, SnapshotNode};
/// use snapshot_store::MemoryStore;
/// use snapshot_transport_mem::MemNetwork;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = MemNetwork::<u64>::new(&Graph::new([NodeId(1)]))?;
/// let node = SnapshotNode::builder(network.transport(NodeId(1)))
///     .store(MemoryStore::new())
///     .codec(Postcard)
///     .interval(Duration::from_secs(60))
///     .start(&mut ())
///     .await?;
/// assert!(node.has_room());
/// # Ok(()) }
/// ```
pub struct NodeBuilder<S: StateProvider, M> {
    transport: Arc<dyn Transport<Message = M>>,
    store: Option<Arc<dyn SnapshotStore>>,
    codec: Option<Arc<dyn MessageCodec<M>>>,
    checks: Vec<Check<M, S::Captured>>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    weight: Option<fn(&M) -> usize>,
    copy: Option<fn(&M) -> M>,
    keeps_captures: bool,
    seed: Option<u64>,
    state: PhantomData<fn(S)>,
}

impl<S: StateProvider, M: Clone + Send + 'static> SnapshotNode<S, M> {
    /// Begins to put a node together on this transport.
    pub fn builder(transport: impl Transport<Message = M>) -> NodeBuilder<S, M> {
        NodeBuilder::new(transport)
    }
}

impl<S: StateProvider, M: Clone + Send + 'static> NodeBuilder<S, M> {
    pub(crate) fn new(transport: impl Transport<Message = M>) -> Self {
        let codec = transport.codec().or_else(bytes_codec);
        Self {
            clock: transport.clock(),
            transport: Arc::new(transport),
            store: None,
            codec,
            checks: Vec::new(),
            settings: Settings::default(),
            weight: None,
            copy: None,
            keeps_captures: true,
            seed: None,
            state: PhantomData,
        }
    }

    /// Keeps snapshots here, and recovers from them. Without a store there are snapshots and no recovery.
    #[must_use]
    pub fn store(mut self, store: impl SnapshotStore) -> Self {
        self.store = Some(Arc::new(store));
        self.settings.durable = true;
        self
    }

    /// The byte form of messages in the store. Not needed where the transport has one, and for [`Bytes`].
    #[must_use]
    pub fn codec(mut self, codec: impl MessageCodec<M>) -> Self {
        self.codec = Some(Arc::new(codec));
        self
    }

    /// Another clock than the transport's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Begins a snapshot when none was seen from anyone for this long. All members may be given the same: each waits a little longer than
    /// the one before it.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = Some(interval);
        self
    }

    /// Aborts a snapshot that has not ended by then. Default 30 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// The most that recorded messages may weigh, in bytes, until they are durable. Default 256 MiB.
    #[must_use]
    pub fn max_recorded_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_recorded_bytes = bytes;
        self
    }

    /// The most snapshots that may be recorded or written here at a time, and the most of this node's own that may be under
    /// way. Default 64.
    #[must_use]
    pub fn max_running(mut self, snapshots: usize) -> Self {
        self.settings.max_running = snapshots;
        self
    }

    /// The marks of the outbox: new work is welcome under `low`, messages are handed out under `high`. A wide gap between
    /// the two is what keeps a group from locking up when messages cause messages.
    #[must_use]
    pub fn outbox(mut self, low: Bound, high: Bound) -> Self {
        self.settings.outbox_low = low;
        self.settings.outbox_high = high;
        self
    }

    /// Where sends begin to fail.
    #[must_use]
    pub fn outbox_hard(mut self, hard: Bound) -> Self {
        self.settings.outbox_hard = hard;
        self
    }

    /// How much may be on its way to this node or wait in it to be taken, from all neighbours together: each has an equal part
    /// of it as its window. Control frames do not count, and are received whatever waits. Default 4096 messages or 4 MiB.
    #[must_use]
    pub fn inbox(mut self, bound: Bound) -> Self {
        self.settings.inbox = bound;
        self
    }

    /// The least window of a neighbour, where there are so many that their parts of the inbox would be smaller. So `n` neighbours
    /// take up to `n` times this. Default 64 messages or 64 KiB. A message that is larger than a window passes alone.
    #[must_use]
    pub fn window_floor(mut self, floor: Bound) -> Self {
        self.settings.window_floor = floor;
        self
    }

    /// Stops new work when the oldest turn that no commit covers is this old, or when there are more than so many: `has_room` is
    /// `false` then, and [`Event::Uncommitted`](crate::Event::Uncommitted) says who is missing. What is done while a member is dead or
    /// no snapshot commits will be undone; this bounds it. Choose it well over the [interval](Self::interval) of snapshots.
    /// Default: no bound.
    #[must_use]
    pub fn max_uncommitted(mut self, age: Duration, turns: u64) -> Self {
        self.settings.max_uncommitted = Some(UncommittedBound { age, turns });
        self
    }

    /// Whether the node holds on to what it has captured for the last commit and for snapshots under way, as far as
    /// [`StateProvider::keep`] gives a handle on it: when the group goes back it installs that, and reads nothing. Costs what the
    /// handles keep alive. Default `true`, which does nothing for states that give none.
    #[must_use]
    pub fn keep_captures(mut self, keep: bool) -> Self {
        self.keeps_captures = keep;
        self
    }

    /// How long an outbox over its high mark may stand still before that is an event. Default 10 s.
    #[must_use]
    pub fn stall(mut self, stall: Duration) -> Self {
        self.settings.stall = stall;
        self
    }

    /// How long the store may take for a call without giving an answer or moving a byte. Then the call has failed, is dropped and
    /// is told with what it was about: at a start as its error, else as [`Event::StoreFailed`](crate::Event::StoreFailed) or
    /// the end of a snapshot, and the node tries again. Noticed after twice this time at the latest. While the application itself
    /// encodes or decodes, no time counts. A captured state that the store does not let go of is waited for, however long, and
    /// no other is captured meanwhile. Default 60 s.
    ///
    /// ```
    /// use snapshot_core::{Failure, NodeError, NodeId, Postcard, SnapshotNode};
    /// use snapshot_store::{Fault, FaultyStore, MemoryStore};
    /// use snapshot_transport_mem::MemNetwork;
    /// use std::time::Duration;
    ///
    /// let (network, [transport]) = MemNetwork::<u64>::mesh::<1>();
    /// let store = FaultyStore::new(MemoryStore::new(), |_| Fault::Hang);
    /// let builder = SnapshotNode::builder(transport).store(store).codec(Postcard);
    /// let started = network.run(builder.store_timeout(Duration::from_secs(5)).start(&mut ()))?;
    /// let Err(NodeError::Failed(Failure::Store { error })) = started else { panic!("it hangs") };
    /// assert!(error.contains("has not answered for 5s: read journal/"), "{error}");
    /// # Ok::<(), snapshot_transport_mem::Stuck>(())
    /// ```
    #[must_use]
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.settings.store_timeout = timeout;
        self
    }

    /// Which committed snapshots are kept. The node that first opens the store decides for the group. Default: the last 3.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.settings.retention = retention;
        self
    }

    /// Allows the group to go back behind a committed snapshot that is damaged, which takes back what was announced; and a start to go
    /// on where the newest records of the journal cannot be read, up to 64, from what came before them. What they said is lost, which is
    /// told as [`Event::StoreFailed`](crate::Event::StoreFailed); a snapshot that they committed, and whose parts are all there, is
    /// committed again.
    #[must_use]
    pub fn fall_back(mut self, allowed: bool) -> Self {
        self.settings.fall_back = allowed;
        self
    }

    /// Checks every committed snapshot that this node began, while the application runs: an invariant over the whole group,
    /// messages in flight included. Any number of checks, with names that say in an event which one failed; every member of
    /// the group names them, since any may begin a snapshot.
    ///
    /// The node reads the snapshot back from the store and hands it to each check. One that returns an error, or panics, is
    /// told as [`Event::CheckFailed`](crate::Event::CheckFailed); by then the snapshot is copied to where retention does not
    /// reach, so that it can be looked into with [`Archive`](crate::Archive). A snapshot that could not be checked is told as
    /// [`Event::CheckSkipped`](crate::Event::CheckSkipped). Neither undoes the snapshot or stops the application.
    ///
    /// ```
    /// use snapshot_core::{Archive, Event, GlobalSnapshot, Postcard, PostcardState, SnapshotNode};
    /// use snapshot_store::MemoryStore;
    /// use snapshot_transport_mem::MemNetwork;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Ledger { balance: u64 }
    /// impl PostcardState for Ledger {}
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let (_network, [here, there]) = MemNetwork::<u64>::mesh::<2>();
    /// let (mut ours, mut theirs) = (Ledger { balance: 100 }, Ledger { balance: 0 });
    /// let build = |transport| {
    ///     SnapshotNode::builder(transport).store(store.clone()).codec(Postcard).check("money", |cut: &GlobalSnapshot<Ledger, u64>| {
    ///         let held: u64 = cut.states().map(|(_, ledger)| ledger.balance).sum();
    ///         let in_flight: u64 = cut.in_flight().map(|(_, coins)| coins).sum();
    ///         match held + in_flight {
    ///             100 => Ok(()),
    ///             found => Err(format!("there are {found} coins, not 100")),
    ///         }
    ///     })
    /// };
    /// let mut one = build(here).start(&mut ours).await?;
    /// let mut two = build(there).start(&mut theirs).await?;
    ///
    /// one.send(two.id(), 30)?; // a bug: the coins are sent, and kept
    /// one.snapshot();
    /// let failed = loop {
    ///     tokio::select! {
    ///         event = one.next(&mut ours) => if let Event::CheckFailed { snapshot, check, what, kept } = event? {
    ///             assert_eq!((check.as_str(), what.as_str()), ("money", "there are 130 coins, not 100"));
    ///             assert_eq!(kept, Ok(()));
    ///             break snapshot;
    ///         },
    ///         event = two.next(&mut theirs) => if let Event::Message { message, .. } = event? {
    ///             theirs.balance += message;
    ///         },
    ///     }
    /// };
    /// let archive = Archive::<Ledger, u64>::open(store, Postcard).await?;
    /// assert_eq!(archive.evidence().await?, [failed]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Where it runs, and what it takes
    ///
    /// Decoding and the checks run where the store calls its closures: with a store that has threads, on one of those; with
    /// one that has none, such as `MemoryStore`, on the message loop. One snapshot is checked at a time, and takes all its
    /// memory at once, every member's state; copying it takes that of one encoded part. Up to 64 others wait, more are skipped. Parts that are needed for a check are
    /// not deleted by this node; another member may be further ahead, and let go of them: then the check is skipped. At most
    /// 64 snapshots are kept in the life of a node.
    ///
    /// A check that never returns keeps its thread of the store for good: the application, its snapshots and
    /// [`close`](SnapshotNode::close) go on as ever, and all further checks are skipped once 64 snapshots wait.
    ///
    /// Each snapshot is checked once, or never: `close` waits for no check (see
    /// [`SnapshotHandle::unchecked`](crate::SnapshotHandle::unchecked)), and what a process left unchecked when it ended is not
    /// checked by its successor. A check must not block on the node that runs it.
    #[must_use]
    pub fn check(
        mut self,
        name: impl Into<String>,
        check: impl Fn(&GlobalSnapshot<S::Captured, M>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Check::new(name.into(), check));
        self
    }

    /// Weighs messages in bytes. All bounds in bytes go by it: windows, outboxes, recordings. By default a message that owns
    /// nothing beyond itself weighs `size_of::<M>()`; one that may own memory, the length of its encoding as well, where there
    /// is a [codec](Self::codec) (of this builder or the transport). Name a weight where the codec is slow to tell, or where
    /// there is none and messages own memory: without either their memory is not counted.
    #[must_use]
    pub fn message_weight(mut self, weigh: fn(&M) -> usize) -> Self {
        self.weight = Some(weigh);
        self
    }

    /// Copies messages into recordings in place of `Clone`: for messages that hold slices of a large receive buffer, which
    /// a recording would keep alive. For [`Bytes`] that is done already.
    #[must_use]
    pub fn message_copy(mut self, copy: fn(&M) -> M) -> Self {
        self.copy = Some(copy);
        self
    }

    /// Makes the node's random numbers from this seed, so that a test repeats. Never give two processes that share a store
    /// the same: they could not be told apart.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the node: finds its place in the store's journal, takes the node's seat, and installs the state of the newest
    /// committed snapshot. The first time, `state` stays as it is, and is stored as the group's start.
    ///
    /// A node that has resumed says so with [`Event::RolledBack`](crate::Event::RolledBack) as its first event.
    ///
    /// # Errors
    ///
    /// If the store fails, belongs to another group or other members, or its newest committed snapshot is damaged; and if
    /// the builder's parts do not fit together.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the node. Nothing is lost; the next start opens another generation.
    pub async fn start(self, state: &mut S) -> Result<SnapshotNode<S, M>, NodeError> {
        let mut node = self.build()?;
        node.run_start(state).await?;
        Ok(node)
    }

    /// Starts the node as [`start`](Self::start) does, and gives the state with it: made of what the store has, and built by
    /// `initial` only where it has none. So no placeholder can become the group's beginning by mistake, and what is costly
    /// to build is not built to be thrown away.
    ///
    /// ```
    /// use snapshot_core::{NodeId, Postcard, PostcardState, SnapshotNode};
    /// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Stock { nails: u64 }
    /// # impl PostcardState for Stock {}
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_network, [transport]) = snapshot_transport_mem::MemNetwork::<u64>::mesh::<1>();
    /// # let store = snapshot_store::MemoryStore::new();
    /// let builder = SnapshotNode::builder(transport).store(store).codec(Postcard);
    /// let (node, stock) = builder.start_with(|| Stock { nails: 1000 }).await?;
    /// assert_eq!(stock.nails, 1000);
    /// # drop(node); Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(self, initial: impl FnOnce() -> S) -> Result<(SnapshotNode<S, M>, S), NodeError>
    where
        S: From<S::Captured>,
    {
        let mut node = self.build()?;
        let state = node.run_start_with(initial).await?;
        Ok((node, state))
    }

    fn build(self) -> Result<SnapshotNode<S, M>, NodeError> {
        self.validate()?;
        let seed = self.seed.unwrap_or_else(random);
        let topology = self.transport.topology().clone();
        let (clock, limit) = (Arc::clone(&self.clock), self.settings.store_timeout);
        let mut coordinator = SnapshotCoordinator::new(topology.clone(), self.settings, seed);
        if let Some(weigh) = self.weight {
            coordinator = coordinator.with_weight(weigh);
        } else if let Some(codec) = self.codec.clone().filter(|_| std::mem::needs_drop::<M>()) {
            // It may own memory, and its byte form is the measure of that.
            coordinator = coordinator.with_weight(move |message| size_of::<M>() + codec.encoded_len(message));
        }
        let persistence = self.store.map(|store| {
            Persistence::new(Arc::new(Patience::new(store, clock, limit)), self.codec, topology)
        });
        if let Some(copy) = self.copy {
            coordinator = coordinator.with_copy(copy);
        }
        Ok(SnapshotNode::new(
            coordinator,
            self.transport,
            persistence,
            self.keeps_captures,
            Checks::new(self.checks),
            self.clock,
        ))
    }

    fn validate(&self) -> Result<(), NodeError> {
        let Settings { outbox_low: low, outbox_high: high, outbox_hard: hard, inbox, .. } = &self.settings;
        let Settings { window_floor: floor, max_recorded_bytes: recorded, .. } = &self.settings;
        let ascending = low.frames <= high.frames
            && high.frames < hard.frames
            && low.bytes <= high.bytes
            && high.bytes < hard.bytes;
        let problem = if self.store.is_some() && self.codec.is_none() {
            "there is a store, but no byte form for messages: name one with `codec(…)`, for messages with serde's traits \
             `codec(Postcard)` (feature `postcard`)"
        } else if self.store.is_none() && !self.checks.is_empty() {
            "there are checks, and no store for them to read snapshots from: name one with `store(…)`; without a store, \
             assemble the parts that `Event::LocalSnapshot` hands out into a `GlobalSnapshot`, and look at that"
        } else if !ascending || low.frames == 0 || low.bytes == 0 {
            "the outbox needs 0 < low <= high < hard, in frames and in bytes"
        } else if inbox.frames == 0 || inbox.bytes == 0 {
            "the inbox needs room for one message at least"
        } else if self.settings.interval == Some(Duration::ZERO) || self.settings.deadline.is_zero() {
            "interval and deadline must be longer than nothing"
        } else if floor.frames == 0 || floor.bytes == 0 {
            "the least window needs room for one message at least"
        } else if recorded < &inbox.bytes.saturating_add(hard.bytes) {
            "`max_recorded_bytes` must be as much as the inbox and the hard bound of the outbox together, at least: else a \
             snapshot could be refused because much waits, and not because it is slow"
        } else if self.store.is_none() && self.settings.max_uncommitted.is_some() {
            "there is a bound on uncommitted work, and no store, without which nothing is ever committed: name one with \
             `store(…)`"
        } else if self.settings.max_uncommitted.is_some_and(|most| most.age.is_zero() || most.turns == 0) {
            "`max_uncommitted` must allow for some time and some turns"
        } else if self.settings.stall.is_zero() || self.settings.store_timeout.is_zero() {
            "`stall` and `store_timeout` must be longer than nothing"
        } else if self.settings.max_running == 0 {
            "`max_running` must be 1 at least"
        } else {
            return Ok(());
        };
        Err(NodeError::Configuration(problem.to_owned()))
    }
}

impl<S: StateProvider, M> fmt::Debug for NodeBuilder<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The codec of messages that are `Bytes`, so that their users need not name what is obvious.
fn bytes_codec<M: 'static>() -> Option<Arc<dyn MessageCodec<M>>> {
    let codec: Arc<dyn MessageCodec<Bytes>> = Arc::new(RawBytes);
    let codec: Box<dyn Any> = Box::new(codec);
    codec.downcast::<Arc<dyn MessageCodec<M>>>().ok().map(|codec| *codec)
}

/// A number that no other process draws: the standard library seeds its hash maps from the operating system's random
/// source, and that is all that is needed here.
fn random() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::links::LinkTransport;
    use crate::vocabulary::id::NodeId;
    use crate::vocabulary::topology::Graph;

    #[test]
    fn each_setter_sets_what_it_names_and_nothing_else() {
        let set = |set: fn(NodeBuilder<(), u64>) -> NodeBuilder<(), u64>| {
            let graph = Graph::mesh([1, 2].map(NodeId));
            let (links, _) = LinkTransport::new(graph.at(NodeId(1)).unwrap());
            let builder = set(NodeBuilder::new(links));
            (builder.settings, builder.seed)
        };
        let second = Duration::from_secs(1);
        let bound = Bound::new(7, 8);
        let keep = Retention::last(9);
        let default = Settings::default;
        assert_eq!(set(|new| new), (default(), None));
        assert_eq!(
            set(|new| new.interval(Duration::from_secs(1))).0,
            Settings { interval: Some(second), ..default() }
        );
        assert_eq!(
            set(|new| new.deadline(Duration::from_secs(1))).0,
            Settings { deadline: second, ..default() }
        );
        assert_eq!(set(|new| new.stall(Duration::from_secs(1))).0, Settings { stall: second, ..default() });
        let patient = Settings { store_timeout: second, ..default() };
        assert_eq!(set(|new| new.store_timeout(Duration::from_secs(1))).0, patient);
        assert_eq!(set(|new| new.max_recorded_bytes(9)).0, Settings { max_recorded_bytes: 9, ..default() });
        assert_eq!(set(|new| new.max_running(9)).0, Settings { max_running: 9, ..default() });
        let marks = Settings { outbox_low: bound, outbox_high: Bound::new(9, 10), ..default() };
        assert_eq!(set(|new| new.outbox(Bound::new(7, 8), Bound::new(9, 10))).0, marks);
        assert_eq!(
            set(|new| new.outbox_hard(Bound::new(7, 8))).0,
            Settings { outbox_hard: bound, ..default() }
        );
        assert_eq!(set(|new| new.inbox(Bound::new(7, 8))).0, Settings { inbox: bound, ..default() });
        assert_eq!(
            set(|new| new.window_floor(Bound::new(7, 8))).0,
            Settings { window_floor: bound, ..default() }
        );
        assert_eq!(set(|new| new.retention(Retention::last(9))).0, Settings { retention: keep, ..default() });
        let most = UncommittedBound { age: second, turns: 9 };
        assert_eq!(
            set(|new| new.max_uncommitted(Duration::from_secs(1), 9)).0,
            Settings { max_uncommitted: Some(most), ..default() }
        );
        assert_eq!(set(|new| new.fall_back(true)).0, Settings { fall_back: true, ..default() });
        assert_eq!(set(|new| new.seed(9)), (default(), Some(9)));
    }

    #[test]
    fn no_two_processes_draw_the_same_number() {
        let drawn: std::collections::BTreeSet<u64> = (0..100).map(|_| random()).collect();
        assert_eq!(drawn.len(), 100);
    }

    #[test]
    fn messages_that_are_bytes_have_a_codec() {
        assert!(bytes_codec::<Bytes>().is_some());
        assert!(bytes_codec::<u64>().is_none());
    }
}
