//! The async driver of one node: moves data between the coordinator, the transport, the store and the application. Decides
//! nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::handle::{Desk, Waiting};
use crate::persist::Persistence;
use crate::{
    Capture, Clock, Event, Frames, Generation, Inbox, Incoming, InitiateError, NodeBuilder, NodeError,
    NodeId, Output, Peer, SendError, SnapshotCoordinator, SnapshotError, SnapshotHandle, SnapshotId,
    StateProvider, StoreAnswer, Ticket, Topology, Transport, TransportError, Turn,
};

/// The most items that one `recv` of the transport may bring.
const INBOX: usize = 1024;

/// The most messages handed out between two looks at the network.
const TURNS_BETWEEN_POLLS: u32 = 64;

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
/// one.flush().await?;
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
    clock: Arc<dyn Clock>,
    lanes: Vec<Lane<M>>,
    receiving: Option<Receiving<M>>,
    inbox: Inbox<M>,
    storing: FuturesUnordered<Storing<M, S::Captured>>,
    events: VecDeque<Event<M, S::Captured>>,
    timer: Option<(Duration, BoxFuture<'static, ()>)>,
    desk: Arc<Desk>,
    /// Requests without a handle that waits: `snapshot()`.
    asked: bool,
    requests: Vec<Waiting>,
    waiting: BTreeMap<SnapshotId, Vec<Waiting>>,
    shown: u64,
    turns: u32,
    closed: bool,
    failed: Option<NodeError>,
    ended: bool,
    state: PhantomData<fn(S)>,
}

/// The transport's futures, kept across a `next` that is dropped, so that an implementor needs no cancel safety.
struct Lane<M> {
    peer: Peer,
    flight: Option<Flight<M>>,
    spare: Frames<M>,
}

type Rules<S, M> = SnapshotCoordinator<M, <S as StateProvider>::Captured>;
type Capturing<'a, S> = crate::CaptureFn<'a, <S as StateProvider>::Captured>;
type Flight<M> = BoxFuture<'static, (Frames<M>, Result<(), TransportError>)>;
type Receiving<M> = BoxFuture<'static, (Inbox<M>, Result<(), TransportError>)>;
type Storing<M, C> = BoxFuture<'static, (Ticket, StoreAnswer<M, C>)>;

impl<S: StateProvider, M: Clone + Send + 'static> SnapshotNode<S, M> {
    /// Begins to put a node together on this transport.
    pub fn builder(transport: impl Transport<Message = M>) -> NodeBuilder<S, M> {
        NodeBuilder::new(transport)
    }

    pub(crate) fn new(
        coordinator: SnapshotCoordinator<M, S::Captured>,
        transport: Arc<dyn Transport<Message = M>>,
        persistence: Option<Persistence<M>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let topology = coordinator.topology().clone();
        let lane = |peer| Lane { peer, flight: None, spare: Frames::new() };
        Self {
            lanes: topology.outgoing().map(lane).collect(),
            persistence,
            coordinator,
            transport,
            clock,
            receiving: None,
            inbox: Inbox::with_capacity(INBOX),
            storing: FuturesUnordered::new(),
            events: VecDeque::new(),
            timer: None,
            desk: Arc::new(Desk::default()),
            asked: false,
            requests: Vec::new(),
            waiting: BTreeMap::new(),
            shown: 0,
            turns: 0,
            closed: false,
            failed: None,
            ended: false,
            state: PhantomData,
        }
    }

    pub(crate) async fn run_start(&mut self, state: &mut S) -> Result<(), NodeError> {
        let now = self.clock.now();
        self.coordinator.start(now);
        self.drain(state);
        poll_fn(|cx| {
            while self.poll_store(cx, state) {}
            match self.failed.take() {
                Some(error) => Poll::Ready(Err(self.end(error))),
                None if self.coordinator.is_running() => Poll::Ready(Ok(())),
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
    pub async fn next(&mut self, state: &mut S) -> Result<Event<M, S::Captured>, NodeError> {
        if let Err(failure) = self.coordinator.end_turn() {
            self.failed.get_or_insert(failure.into());
        }
        poll_fn(|cx| self.poll_next(cx, state)).await
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        state: &mut S,
    ) -> Poll<Result<Event<M, S::Captured>, NodeError>> {
        let quick =
            self.turns < TURNS_BETWEEN_POLLS && self.events.is_empty() && !self.desk.is_rung() && !self.asked;
        if quick
            && self.failed.is_none()
            && let Some((from, message)) = self.coordinator.take_message()
        {
            self.turns += 1;
            return Poll::Ready(Ok(Event::Message { from, message }));
        }
        self.turns = 0;
        loop {
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(self.end(error)));
            }
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            if self.ended {
                return Poll::Ready(Err(NodeError::Ended));
            }
            let mut moved = self.serve_handles(cx, state);
            moved |= self.poll_store(cx, state);
            moved |= self.poll_lanes(cx);
            moved |= self.poll_receive(cx, state);
            moved |= self.poll_timer(cx, state);
            self.show_running();
            if self.failed.is_some() || !self.events.is_empty() {
                continue;
            }
            if let Some((from, message)) = self.coordinator.take_message() {
                return Poll::Ready(Ok(Event::Message { from, message }));
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// Sends a message to a neighbour, as part of the present turn. It goes out when [`next`](Self::next) or
    /// [`flush`](Self::flush) runs.
    ///
    /// # Errors
    ///
    /// If there is no such neighbour, or the outbox is at its hard bound: then nothing of this turn is sent, and the node
    /// ends at `next`.
    pub fn send(&mut self, to: impl Destination, message: M) -> Result<(), SendError> {
        let to = to.resolve(self.coordinator.topology())?;
        self.coordinator.send(to, message)
    }

    /// Asks for a snapshot and does not wait for it. Requests before one capture are one.
    pub fn snapshot(&mut self) {
        self.asked = true;
    }

    /// Sends all that is in the outbox, and waits until the transport has taken it. Nothing is received meanwhile.
    ///
    /// # Errors
    ///
    /// If the transport failed, or the present turn went over the hard bound of the outbox.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: what was not sent is sent by the next call of `flush` or `next`.
    pub async fn flush(&mut self) -> Result<(), NodeError> {
        poll_fn(|cx| {
            while self.poll_lanes(cx) {}
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(self.end(error)));
            }
            let idle = |lane: &Lane<M>| lane.flight.is_none() && !self.coordinator.has_outgoing(lane.peer);
            if self.lanes.iter().all(idle) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Ends the node in good order: sends what is in the outbox, lets the store finish, says goodbye to the neighbours.
    /// They see [`Event::PeerLeft`] and not a loss. What arrives meanwhile is dropped; neighbours that are gone are not
    /// waited for, but one that stands still is: give it a time limit.
    ///
    /// # Errors
    ///
    /// If the transport failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the node, with what was not sent.
    pub async fn close(mut self) -> Result<(), NodeError> {
        let mut gone: BTreeSet<Peer> = self.coordinator.unreachable().collect();
        poll_fn(|cx| {
            while self.poll_lanes(cx) || self.poll_departures(cx, &mut gone) {}
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(self.end(error)));
            }
            let idle = |lane: &Lane<M>| {
                gone.contains(&lane.peer)
                    || lane.flight.is_none() && !self.coordinator.has_outgoing(lane.peer)
            };
            if self.lanes.iter().all(idle) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await?;
        while self.storing.next().await.is_some() {}
        self.transport.close().await?;
        Ok(())
    }

    /// Receives only to see who is still there.
    fn poll_departures(&mut self, cx: &mut Context<'_>, gone: &mut BTreeSet<Peer>) -> bool {
        if !self.poll_inbox(cx) {
            return false;
        }
        while let Some(item) = self.inbox.pop() {
            match item {
                Incoming::Frame { .. } => {}
                Incoming::Up(peer) => drop(gone.remove(&peer)),
                Incoming::Lost { peer, .. } | Incoming::Left(peer) => drop(gone.insert(peer)),
            }
        }
        true
    }

    /// Whether new work is welcome. Guard every source of new work with it: a `select!` arm's `if`.
    pub fn has_room(&self) -> bool {
        self.coordinator.has_room()
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

    // ---- inputs -----------------------------------------------------------------------------------------------------

    /// Gives the coordinator one input, with the state to capture from, and does what it asks.
    fn feed<R>(
        &mut self,
        state: &mut S,
        input: impl FnOnce(&mut Rules<S, M>, Duration, &mut Capturing<'_, S>) -> R,
    ) {
        self.input(state, input);
        self.drain(state);
    }

    /// Gives the coordinator one input; [`drain`](Self::drain) must follow.
    fn input<R>(
        &mut self,
        state: &mut S,
        input: impl FnOnce(&mut Rules<S, M>, Duration, &mut Capturing<'_, S>) -> R,
    ) -> R {
        let begun = self.clock.now();
        let mut capture = || {
            let begun = self.clock.now();
            let state = state.capture();
            Capture { state, took: self.clock.now().saturating_sub(begun) }
        };
        input(&mut self.coordinator, begun, &mut capture)
    }

    fn drain(&mut self, state: &mut S) {
        while let Some(output) = self.coordinator.poll_output() {
            match output {
                Output::Event(event) => self.take_event(event),
                Output::Report(report) => {
                    for waiting in self.waiting.remove(&report.snapshot).unwrap_or_default() {
                        // Whoever asked may have gone.
                        let _ = waiting.send(Ok(report.clone()));
                    }
                }
                Output::Store { ticket, request } => {
                    if let Some(persistence) = self.persistence.clone() {
                        let perform = persistence.perform::<S>(request).map(move |answer| (ticket, answer));
                        self.storing.push(perform.boxed());
                    }
                }
                Output::Restore { state: restored } => {
                    // Installing and handing out the event happen in one poll: a cancelled `next` does both or neither.
                    if let Some(restored) = restored {
                        state.install(restored);
                    }
                    self.feed(state, |coordinator, now, capture| coordinator.handle_restored(now, capture));
                }
                Output::Failed(failure) => {
                    self.failed.get_or_insert(failure.into());
                }
            }
        }
    }

    fn take_event(&mut self, event: Event<M, S::Captured>) {
        if let Event::SnapshotAborted { snapshot, by, reason } = &event {
            for waiting in self.waiting.remove(snapshot).unwrap_or_default() {
                let aborted = SnapshotError::Aborted { snapshot: *snapshot, by: *by, reason: reason.clone() };
                let _ = waiting.send(Err(aborted));
            }
        }
        self.events.push_back(event);
    }

    fn serve_handles(&mut self, cx: &mut Context<'_>, state: &mut S) -> bool {
        self.desk.listen(cx.waker());
        if self.desk.is_rung() {
            let wishes = self.desk.take();
            self.requests.extend(wishes.waiting);
            for snapshot in wishes.aborts {
                self.feed(state, |coordinator, _, _| coordinator.abort(snapshot));
            }
        }
        self.requests.retain(|request| !request.is_canceled());
        if !self.coordinator.is_running() || !self.asked && self.requests.is_empty() {
            return false;
        }
        self.asked = false;
        // Those who wait must be known before the outputs are drained: a group of one may report at once.
        let requests = std::mem::take(&mut self.requests);
        match self.input(state, |coordinator, now, capture| coordinator.initiate(now, capture)) {
            Ok(id) => {
                self.waiting.entry(id).or_default().extend(requests);
            }
            Err(InitiateError::NotRunning) => self.requests = requests,
            Err(InitiateError::Refused(reason)) => {
                for request in requests {
                    let _ = request.send(Err(SnapshotError::Refused { reason: reason.clone() }));
                }
            }
        }
        self.drain(state);
        true
    }

    fn poll_store(&mut self, cx: &mut Context<'_>, state: &mut S) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some((ticket, answer))) = self.storing.poll_next_unpin(cx) {
            moved = true;
            self.feed(state, |coordinator, now, capture| {
                coordinator.handle_store(now, ticket, answer, capture);
            });
        }
        moved
    }

    fn poll_lanes(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for lane in &mut self.lanes {
            loop {
                if lane.flight.is_none() && self.coordinator.take_outgoing(lane.peer, &mut lane.spare) {
                    let (transport, peer, mut frames) =
                        (Arc::clone(&self.transport), lane.peer, std::mem::take(&mut lane.spare));
                    lane.flight = Some(Box::pin(async move {
                        let sent = transport.send(peer, &mut frames).await;
                        (frames, sent)
                    }));
                }
                let Some(flight) = &mut lane.flight else { break };
                let Poll::Ready((frames, sent)) = flight.poll_unpin(cx) else { break };
                moved = true;
                lane.flight = None;
                if let Err(error) = sent {
                    self.failed.get_or_insert(error.into());
                    return true;
                }
                if !frames.is_empty() {
                    let seen =
                        format!("`send` to {} was ready with {} frames not taken", lane.peer, frames.len());
                    self.failed.get_or_insert(NodeError::Contract { clause: "T6", seen });
                    return true;
                }
                lane.spare = frames;
                self.coordinator.handle_sent(self.clock.now(), lane.peer);
            }
        }
        moved
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, state: &mut S) -> bool {
        if self.receiving.is_none() && !self.coordinator.wants_frames() || !self.poll_inbox(cx) {
            return false;
        }
        while let Some(item) = self.inbox.pop() {
            self.feed(state, |coordinator, now, capture| match item {
                Incoming::Frame { from, frame } => coordinator.handle_frame(now, from, frame, capture),
                Incoming::Up(peer) => coordinator.handle_up(now, peer),
                Incoming::Lost { peer, why } => coordinator.handle_lost(now, peer, why, capture),
                Incoming::Left(peer) => coordinator.handle_left(now, peer, capture),
            });
        }
        true
    }

    /// Moves the transport's `recv`; whether it has brought something, be it its end.
    fn poll_inbox(&mut self, cx: &mut Context<'_>) -> bool {
        if self.closed {
            return false;
        }
        let receiving = self.receiving.get_or_insert_with(|| {
            let transport = Arc::clone(&self.transport);
            let mut inbox = std::mem::replace(&mut self.inbox, Inbox::with_capacity(0));
            Box::pin(async move {
                let received = transport.recv(&mut inbox).await;
                (inbox, received)
            })
        });
        let Poll::Ready((inbox, received)) = receiving.poll_unpin(cx) else {
            return false;
        };
        self.receiving = None;
        self.inbox = inbox;
        if let Err(error) = received {
            self.failed.get_or_insert(error.into());
        } else if self.inbox.len() > INBOX {
            let seen = format!("`recv` pushed {} items where there was room for {INBOX}", self.inbox.len());
            self.failed.get_or_insert(NodeError::Contract { clause: "T3", seen });
        } else if self.inbox.is_empty() {
            self.closed = true;
            self.events.push_back(Event::Closed);
        }
        true
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, state: &mut S) -> bool {
        let Some(at) = self.coordinator.poll_timeout() else {
            self.timer = None;
            return false;
        };
        if self.timer.as_ref().is_none_or(|(set, _)| *set != at) {
            let clock = Arc::clone(&self.clock);
            self.timer = Some((at, Box::pin(async move { clock.sleep_until(at).await })));
        }
        let Some((_, sleep)) = &mut self.timer else { return false };
        if sleep.poll_unpin(cx).is_pending() {
            return false;
        }
        self.timer = None;
        self.feed(state, |coordinator, now, capture| coordinator.handle_timeout(now, capture));
        true
    }

    fn show_running(&mut self) {
        if self.shown != self.coordinator.revision() {
            self.shown = self.coordinator.revision();
            self.desk.show(self.coordinator.running());
        }
    }

    fn end(&mut self, error: NodeError) -> NodeError {
        self.ended = true;
        self.desk.leave();
        self.waiting.clear();
        self.requests.clear();
        error
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

/// Where a message can go: a [`Peer`], which costs an array access, or a [`NodeId`], which is looked up.
pub trait Destination: sealed::Sealed {
    #[doc(hidden)]
    fn resolve(self, topology: &Topology) -> Result<Peer, SendError>;
}

impl Destination for Peer {
    fn resolve(self, _: &Topology) -> Result<Peer, SendError> {
        Ok(self)
    }
}

impl Destination for NodeId {
    fn resolve(self, topology: &Topology) -> Result<Peer, SendError> {
        topology.peer(self).ok_or(SendError::UnknownPeer { me: topology.me(), to: self })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Peer {}
    impl Sealed for crate::NodeId {}
}
