//! The async driver of one node: moves data between the coordinator, the transport, the store and the application. Decides
//! nothing.

mod checking;
mod destination;
mod ending;
mod events;
mod home;
mod keeping;
mod next;
mod pace;
mod polling;
mod room;
mod verifying;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

pub use destination::Destination;
pub use ending::{Farewell, Flushed};
pub(crate) use home::Home;
use home::{Lent, Unborn};
use keeping::Keeping;
use next::Next;
use pace::Pace;
use room::Missed;
use verifying::Verifying;

use crate::contract::clock::Clock;
use crate::contract::state::StateProvider;
use crate::contract::transport::{Transport, TransportError};
use crate::driver::check::Checks;
use crate::driver::error::NodeError;
use crate::driver::handle::SnapshotHandle;
use crate::driver::handle::{Desk, Waiting};
use crate::driver::persist::Persistence;
use crate::protocol::coordinator::{SendError, SnapshotCoordinator, StoreAnswer, Ticket};
use crate::vocabulary::event::Event;
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::{Generation, NodeId, Peer, SnapshotId, Turn};
use crate::vocabulary::inbox::Inbox;
use crate::vocabulary::topology::Topology;

/// The most items that one `recv` of the transport may bring.
const INBOX: usize = 1024;

/// Where events wait for somebody who takes their time, this many are kept one by one; beyond that they are summed up.
const MAX_EVENTS_AHEAD: usize = 64;

/// One node of the group: stands between an application with a message loop and its transport.
///
/// The application calls [`next`](Self::next) in place of its receive call, and [`send`](Self::send) in place of its own.
/// What it does between two calls of `next` is a **turn**: a snapshot has all of it or nothing.
///
/// ```
/// use snapshot_core::{Event, PostcardState, SnapshotNode};
/// use snapshot_transport_mem::MemNetwork;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Ledger { balance: u64 }
/// impl PostcardState for Ledger {}
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (_network, [one, two]) = MemNetwork::<u64>::mesh::<2>();
/// let (mut here, mut there) = (Ledger { balance: 10 }, Ledger { balance: 0 });
/// let mut one = SnapshotNode::builder(one).start(&mut here).await?;
/// let mut two = SnapshotNode::builder(two).start(&mut there).await?;
///
/// here.balance -= 4;                       // a turn: what it does to the state …
/// one.send(two.id(), 4)?;                  // … and what it sends are one
/// one.flush(&mut here).await?;
/// while there.balance == 0 {
///     if let Event::Message { message, .. } = two.next(&mut there).await? { there.balance += message; }
/// }
/// assert_eq!((here.balance, there.balance), (6, 4));
/// # Ok(()) }
/// ```
pub struct SnapshotNode<S: StateProvider, M> {
    coordinator: SnapshotCoordinator<M, S::Captured>,
    transport: Arc<dyn Transport<Message = M>>,
    persistence: Option<Persistence<M>>,
    keeping: Keeping<M, S::Captured>,
    verifying: Verifying<M, S::Captured>,
    checks: Checks<M, S::Captured>,
    clock: Arc<dyn Clock>,
    /// The batches under way, at most one to a neighbour. Only those that can go on are polled.
    flights: FuturesUnordered<Flight<M>>,
    /// Buffers of batches that have landed, for the next ones.
    spares: Vec<Frames<M>>,
    receiving: Option<Receiving<M>>,
    inbox: Inbox<M>,
    storing: FuturesUnordered<Storing<M, S::Captured>>,
    events: VecDeque<Event<M, S::Captured>>,
    /// A state to go back to, which waits until earlier events are handed out.
    restored: Option<Option<S::Captured>>,
    timer: Option<(Duration, BoxFuture<'static, ()>)>,
    /// Until when a message waits for the snapshot that is under way.
    lingering: Option<(Duration, BoxFuture<'static, ()>)>,
    desk: Arc<Desk>,
    /// Requests without a handle that waits: `snapshot()`.
    asked: bool,
    waiting: BTreeMap<SnapshotId, Vec<Waiting>>,
    shown: u64,
    pace: Pace,
    missed: Missed,
    closed: bool,
    failed: Option<NodeError>,
    ended: bool,
    state: PhantomData<fn(S)>,
}

type Flight<M> = BoxFuture<'static, (Peer, Frames<M>, Result<(), TransportError>)>;
type Receiving<M> = BoxFuture<'static, (Inbox<M>, Result<(), TransportError>)>;
type Storing<M, C> = BoxFuture<'static, (Ticket, StoreAnswer<M, C>)>;

impl<S: StateProvider, M: Clone + Send + 'static> SnapshotNode<S, M> {
    pub(crate) fn new(
        coordinator: SnapshotCoordinator<M, S::Captured>,
        transport: Arc<dyn Transport<Message = M>>,
        persistence: Option<Persistence<M>>,
        keeps_captures: bool,
        checks: Checks<M, S::Captured>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            flights: FuturesUnordered::new(),
            spares: Vec::new(),
            persistence,
            keeping: Keeping::new(keeps_captures),
            verifying: Verifying::new(),
            checks,
            coordinator,
            transport,
            clock,
            receiving: None,
            inbox: Inbox::with_capacity(INBOX),
            storing: FuturesUnordered::new(),
            events: VecDeque::new(),
            restored: None,
            timer: None,
            lingering: None,
            desk: Arc::new(Desk::default()),
            asked: false,
            waiting: BTreeMap::new(),
            shown: 0,
            pace: Pace::default(),
            missed: Missed::default(),
            closed: false,
            failed: None,
            ended: false,
            state: PhantomData,
        }
    }

    pub(crate) async fn run_start(&mut self, state: &mut S) -> Result<(), NodeError> {
        self.run_start_at(&mut Lent(state)).await
    }

    /// Starts, and gives the state: that of the store, or else the one that `initial` builds.
    pub(crate) async fn run_start_with(&mut self, initial: impl FnOnce() -> S) -> Result<S, NodeError>
    where
        S: From<S::Captured>,
    {
        let mut home = Unborn::new(initial);
        self.run_start_at(&mut home).await?;
        Ok(home.born().expect("it is built where nothing was installed"))
    }

    async fn run_start_at(&mut self, home: &mut impl Home<S>) -> Result<(), NodeError> {
        let now = self.clock.now();
        self.coordinator.start(now);
        self.drain();
        poll_fn(|cx| {
            // A start may have to wait before it opens a generation (J7).
            while self.poll_store(cx, home) || self.install(home) || self.poll_timer(cx, home) {}
            if !self.coordinator.is_running() {
                // The neighbours hear of a new generation while this node reads its part.
                self.poll_flights(cx);
            }
            match self.failed.take() {
                Some(error) => Poll::Ready(Err(self.end(error))),
                None if self.coordinator.is_running() => {
                    // They hear at once what they may send, and not only when this application comes back.
                    self.poll_flights(cx);
                    Poll::Ready(Ok(()))
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Ends the present turn and waits for the next event. States are captured and restored in here and nowhere else.
    ///
    /// # Errors
    ///
    /// If the node has come to its end: see [`NodeError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: an event is either handed out or still there for the next call. What the transport and the store are
    /// doing goes on, and moves when `next` is called again.
    ///
    /// # Fairness
    ///
    /// However much there is to hand out, it is pending once after 512 answers or a millisecond, so that timers, other tasks
    /// and other arms of a `select!` have their turn.
    ///
    /// While a snapshot is under way, and the application's turns take a millisecond or more, a message waits for what the snapshot
    /// needs: a sixteenth of the last turn, and 5 ms at most. A snapshot takes several steps, and would take as many turns.
    #[inline]
    pub fn next(&mut self, state: &mut S) -> impl Future<Output = Result<Event<M, S::Captured>, NodeError>> {
        Next::new(self, state)
    }

    /// Sends a message to a neighbour, as part of the present turn. It goes out when [`next`](Self::next) or
    /// [`flush`](Self::flush) runs, as soon as the neighbour lets it: each has a window for what it has not taken.
    ///
    /// # Errors
    ///
    /// If there is no such neighbour, or the outbox is at its hard bound: then nothing of this turn is sent, and the node ends at
    /// the next call of `next`, `flush` or `close`.
    #[inline]
    pub fn send(&mut self, to: impl Destination, message: M) -> Result<(), SendError> {
        let to = to.resolve(self.coordinator.topology())?;
        self.coordinator.send(to, message)
    }

    /// Asks for a snapshot and does not wait for it. Requests before one capture are one.
    pub fn snapshot(&mut self) {
        self.asked = true;
    }

    /// Ends the present turn. Where it went over the hard bound, the next poll ends the node.
    #[inline]
    pub(crate) fn end_turn(&mut self) {
        if !self.ended
            && let Err(failure) = self.coordinator.end_turn()
        {
            self.failed.get_or_insert(failure.into());
        }
    }

    /// How many messages are queued or under way.
    pub(crate) fn outgoing(&self) -> usize {
        self.coordinator.outgoing()
    }

    /// Whether the present turn has left something to do for whoever polls.
    pub(crate) fn has_wishes(&self) -> bool {
        self.asked || self.failed.is_some()
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.persistence.is_some()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The number of the present turn: its effects are covered by the first [`Event::Committed`] whose turn is not less.
    pub fn turn(&self) -> Turn {
        self.coordinator.turn()
    }

    /// The generation in which the node lives.
    pub fn generation(&self) -> Generation {
        self.coordinator.generation()
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.coordinator.topology().me()
    }

    /// The group, and this node's place in it.
    pub fn topology(&self) -> &Topology {
        self.coordinator.topology()
    }

    /// What any task can ask of this node.
    pub fn handle(&self) -> SnapshotHandle {
        SnapshotHandle::new(Arc::clone(&self.desk))
    }
}

impl<S: StateProvider, M> Drop for SnapshotNode<S, M> {
    fn drop(&mut self) {
        self.desk.leave();
    }
}

impl<S: StateProvider, M> fmt::Debug for SnapshotNode<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotNode").field("ended", &self.ended).finish_non_exhaustive()
    }
}
