//! How a node is put together.

use std::any::Any;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::persist::Persistence;
use crate::{
    Bound, Clock, MessageCodec, NodeError, RawBytes, Retention, Settings, SnapshotCoordinator, SnapshotNode,
    SnapshotStore, StateProvider, Transport,
};

/// Puts a [`SnapshotNode`] together. Only the transport is needed; all else has defaults, see [`Settings`].
///
/// ```no_run
/// # use snapshot_core::*;
/// # async fn f(transport: impl Transport<Message = bytes::Bytes>, store: impl SnapshotStore, mut state: impl StateProvider) -> Result<(), NodeError> {
/// use std::time::Duration;
/// let mut node = SnapshotNode::builder(transport)
///     .store(store)
///     .interval(Duration::from_secs(60))
///     .start(&mut state)
///     .await?;
/// # Ok(()) }
/// ```
pub struct NodeBuilder<S, M> {
    transport: Arc<dyn Transport<Message = M>>,
    store: Option<Arc<dyn SnapshotStore>>,
    codec: Option<Arc<dyn MessageCodec<M>>>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    weight: Option<fn(&M) -> usize>,
    copy: Option<fn(&M) -> M>,
    seed: Option<u64>,
    state: PhantomData<fn(S)>,
}

impl<S: StateProvider, M: Clone + Send + 'static> NodeBuilder<S, M> {
    pub(crate) fn new(transport: impl Transport<Message = M>) -> Self {
        let codec = transport.codec().or_else(bytes_codec);
        Self {
            clock: transport.clock(),
            transport: Arc::new(transport),
            store: None,
            codec,
            settings: Settings::default(),
            weight: None,
            copy: None,
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

    /// Begins a snapshot when none was seen from anyone for this long.
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

    /// The most snapshots that may be under way here at a time. Default 64.
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

    /// How many messages may wait to be taken before the node stops receiving.
    #[must_use]
    pub fn inbox(mut self, bound: Bound) -> Self {
        self.settings.inbox = bound;
        self
    }

    /// How long an outbox over its high mark may stand still before that is an event. Default 10 s.
    #[must_use]
    pub fn stall(mut self, stall: Duration) -> Self {
        self.settings.stall = stall;
        self
    }

    /// Which committed snapshots are kept. The node that first opens the store decides for the group. Default: the last 3.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.settings.retention = retention;
        self
    }

    /// Allows the group to go back behind a committed snapshot that is damaged, which takes back what was announced.
    #[must_use]
    pub fn fall_back(mut self, allowed: bool) -> Self {
        self.settings.fall_back = allowed;
        self
    }

    /// Weighs messages in bytes, in place of `size_of::<M>()` (for [`Bytes`]: their length as well). All bounds in bytes
    /// go by it.
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
        self.check()?;
        let seed = self.seed.unwrap_or_else(random);
        let topology = self.transport.topology().clone();
        let persistence = self.store.map(|store| Persistence::new(store, self.codec, topology.clone()));
        let mut coordinator = SnapshotCoordinator::new(topology, self.settings, seed);
        if let Some(weigh) = self.weight {
            coordinator = coordinator.with_weight(weigh);
        }
        if let Some(copy) = self.copy {
            coordinator = coordinator.with_copy(copy);
        }
        let mut node = SnapshotNode::new(coordinator, self.transport, persistence, self.clock);
        node.run_start(state).await?;
        Ok(node)
    }

    fn check(&self) -> Result<(), NodeError> {
        let Settings { outbox_low: low, outbox_high: high, outbox_hard: hard, inbox, .. } = &self.settings;
        let ascending = low.frames <= high.frames
            && high.frames < hard.frames
            && low.bytes <= high.bytes
            && high.bytes < hard.bytes;
        let problem = if self.store.is_some() && self.codec.is_none() {
            "there is a store, but no byte form for messages: name one with `codec(…)`, for messages with serde's traits \
             `codec(Postcard)` (feature `postcard`)"
        } else if !ascending || low.frames == 0 || low.bytes == 0 {
            "the outbox needs 0 < low <= high < hard, in frames and in bytes"
        } else if inbox.frames == 0 || inbox.bytes == 0 {
            "the inbox needs room for one message at least"
        } else if self.settings.interval == Some(Duration::ZERO) || self.settings.deadline.is_zero() {
            "interval and deadline must be longer than nothing"
        } else if self.settings.max_running == 0 {
            "`max_running` must be 1 at least"
        } else {
            return Ok(());
        };
        Err(NodeError::Configuration(problem.to_owned()))
    }
}

impl<S, M> fmt::Debug for NodeBuilder<S, M> {
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
