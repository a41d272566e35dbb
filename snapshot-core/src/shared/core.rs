//! What the handles of a shared node and its driver have in common: the node and the state, each behind its lock. No lock is
//! held across an await: all that needs one happens within a single poll.

use std::cell::Cell;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::task::AtomicWaker;

use super::history::History;
use super::outbox::Outbox;
use super::waiters::{Place, Waiters};
use super::{TurnError, TurnId};
use crate::node::Home;
use crate::{Clock, Event, Generation, SnapshotHandle, SnapshotNode, StateProvider, Topology, Turn};

/// Locks are taken in this order: node, state, history or room.
pub(super) struct Shared<S: StateProvider, M> {
    /// `None` when it has ended.
    node: Mutex<Option<SnapshotNode<S, M>>>,
    state: Mutex<S>,
    history: Mutex<History>,
    /// Tasks that wait for room in the outbox.
    room: Mutex<Waiters<()>>,
    closing: AtomicBool,
    panicked: AtomicBool,
    pub(super) driver: AtomicWaker,
    /// Whoever waits for the next delivery …
    pub(super) stream: AtomicWaker,
    /// … or to take one that is out.
    pub(super) taker: AtomicWaker,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) handle: SnapshotHandle,
    pub(super) topology: Topology,
    pub(super) durable: bool,
}

impl<S: StateProvider, M: Clone + Send + 'static> Shared<S, M> {
    pub(super) fn new(node: SnapshotNode<S, M>, state: S) -> Self {
        Self {
            history: Mutex::new(History::new(node.generation())),
            room: Mutex::new(Waiters::new()),
            closing: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            stream: AtomicWaker::new(),
            taker: AtomicWaker::new(),
            clock: node.clock(),
            handle: node.handle(),
            topology: node.topology().clone(),
            durable: node.is_durable(),
            node: Mutex::new(Some(node)),
            state: Mutex::new(state),
        }
    }

    /// The node, for as long as it takes.
    pub(super) fn hold(&self) -> Held<'_, S, M> {
        self.refuse_nesting();
        let mut node = lock(&self.node);
        if self.panicked.load(Ordering::Acquire) {
            *node = None;
        }
        Held { node, shared: self }
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        self.refuse_nesting();
        let state = lock(&self.state);
        assert!(
            !self.panicked.load(Ordering::Acquire),
            "a turn of this node has panicked, and its state may be half changed: start it again from the newest snapshot"
        );
        let _inside = Inside::enter(self);
        read(&state)
    }

    /// One turn, on the node that is held.
    pub(super) fn turn<R>(
        self: &Arc<Self>,
        node: &mut SnapshotNode<S, M>,
        turn: impl FnOnce(&mut S, &mut Outbox<'_, S, M>) -> R,
    ) -> R {
        let result = {
            let mut state = lock(&self.state);
            let _inside = Inside::enter(self);
            turn(&mut state, &mut Outbox { node, shared: self })
        };
        node.end_turn();
        result
    }

    /// Waits for room, then runs one turn; refuses it if the group has gone back behind the generation in which it `began`.
    pub(super) async fn turn_with_room<R>(
        self: &Arc<Self>,
        began: Option<Generation>,
        turn: impl FnOnce(&mut S, &mut Outbox<'_, S, M>) -> R,
    ) -> Result<R, TurnError> {
        let mut turn = Some(turn);
        let mut place = InLine { shared: self, place: Place::new() };
        poll_fn(|cx| self.poll_turn(cx, began, &mut place.place, &mut turn)).await
    }

    fn poll_turn<R>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        began: Option<Generation>,
        place: &mut Place<()>,
        turn: &mut Option<impl FnOnce(&mut S, &mut Outbox<'_, S, M>) -> R>,
    ) -> Poll<Result<R, TurnError>> {
        let mut held = self.hold();
        let Some(node) = held.as_mut() else { return Poll::Ready(Err(TurnError::Ended)) };
        if began.is_some_and(|began| node.generation() != began) {
            return Poll::Ready(Err(TurnError::RolledBack));
        }
        if !node.has_room() {
            lock(&self.room).wait(place, (), cx.waker());
            return Poll::Pending;
        }
        let turn = turn.take().expect("it is polled no more once it was ready");
        let before = node.outgoing();
        let result = self.turn(node, turn);
        let is_driver_needed = node.outgoing() != before || node.has_wishes();
        drop(held);
        if is_driver_needed {
            self.driver.wake();
        }
        Poll::Ready(Ok(result))
    }

    /// Lets the first of those who wait for room go ahead; each lets the next one go.
    pub(super) fn welcome(&self) {
        let first = lock(&self.room).first();
        first.into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_anybody_waiting(&self) -> bool {
        !lock(&self.room).is_empty()
    }

    pub(super) fn observe(&self, event: &Event<M, S::Captured>, due: &mut Vec<Waker>) {
        lock(&self.history).observe(event, due);
    }

    /// Waits until it is known what becomes of a turn.
    pub(super) async fn verdict(&self, at: TurnId) -> Result<(), TurnError> {
        self.watch(at, |history| history.verdict(at)).await
    }

    /// Whether a turn is known to be covered.
    pub(super) fn stands(&self, at: TurnId) -> bool {
        lock(&self.history).verdict(at) == Some(Ok(()))
    }

    /// Waits until the group has gone back behind a generation, or the node has ended.
    pub(super) async fn is_over(&self, generation: Generation) -> TurnError {
        let never_covered = TurnId { generation, turn: Turn(u64::MAX) };
        self.watch(never_covered, |history| history.is_over(generation)).await
    }

    async fn watch<R>(&self, at: TurnId, look: impl Fn(&History) -> Option<R>) -> R {
        let mut watching = Watching { shared: self, place: Place::new() };
        poll_fn(|cx| {
            let mut history = lock(&self.history);
            match look(&history) {
                Some(known) => Poll::Ready(known),
                None => {
                    history.wait(&mut watching.place, at, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    // ---- the end ----------------------------------------------------------------------------------------------------

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Asks the driver to end in good order.
    pub(super) async fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.driver.wake();
        let last = TurnId { generation: Generation(u64::MAX), turn: Turn(u64::MAX) };
        self.watch(last, History::is_closed).await;
    }

    /// The node is no longer there: all who wait hear it.
    pub(super) fn ended(&self) {
        let mut due: Vec<Waker> = lock(&self.history).end().collect();
        due.extend(lock(&self.room).all());
        due.into_iter().for_each(Waker::wake);
        self.stream.wake();
        self.taker.wake();
    }

    /// The driver is no longer there.
    pub(super) fn abandoned(&self) {
        drop(lock(&self.node).take());
        self.ended();
        let due: Vec<Waker> = lock(&self.history).close().collect();
        due.into_iter().for_each(Waker::wake);
    }

    #[track_caller]
    fn refuse_nesting(&self) {
        assert!(
            INSIDE.get() != self.address(),
            "a turn or a read of a `SharedNode` was begun from within one: use the state that the closure was given"
        );
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>().addr()
    }
}

/// The node, held. A panic meanwhile ends it: the state may be half changed.
pub(super) struct Held<'a, S: StateProvider, M> {
    node: MutexGuard<'a, Option<SnapshotNode<S, M>>>,
    shared: &'a Shared<S, M>,
}

impl<S: StateProvider, M> Deref for Held<'_, S, M> {
    type Target = Option<SnapshotNode<S, M>>;

    fn deref(&self) -> &Self::Target {
        &self.node
    }
}

impl<S: StateProvider, M> DerefMut for Held<'_, S, M> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.node
    }
}

impl<S: StateProvider, M> Drop for Held<'_, S, M> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.panicked.store(true, Ordering::Release);
            self.shared.driver.wake();
        }
    }
}

/// The state behind its lock, for the node: taken only for the moment of a capture, so that reads do not wait for the
/// network.
pub(super) struct Locked<'a, S>(&'a Mutex<S>);

impl<S: StateProvider, M> Shared<S, M> {
    pub(super) fn home(&self) -> Locked<'_, S> {
        Locked(&self.state)
    }
}

impl<S> Home<S> for Locked<'_, S> {
    fn visit<R>(&mut self, visit: impl FnOnce(&mut S) -> R) -> R {
        visit(&mut lock(self.0))
    }
}

struct InLine<'a, S: StateProvider, M: Clone + Send + 'static> {
    shared: &'a Shared<S, M>,
    place: Place<()>,
}

impl<S: StateProvider, M: Clone + Send + 'static> Drop for InLine<'_, S, M> {
    fn drop(&mut self) {
        // Whoever was let in, and has gone in or away, lets the next one in. One that finds no room waits again.
        let was_let_in = lock(&self.shared.room).leave(&mut self.place);
        if was_let_in {
            self.shared.welcome();
        }
    }
}

struct Watching<'a, S: StateProvider, M> {
    shared: &'a Shared<S, M>,
    place: Place<TurnId>,
}

impl<S: StateProvider, M> Drop for Watching<'_, S, M> {
    fn drop(&mut self) {
        lock(&self.shared.history).leave(&mut self.place);
    }
}

thread_local! {
    /// The shared node whose state this thread has lent to a closure.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

struct Inside(usize);

impl Inside {
    fn enter<S: StateProvider, M: Clone + Send + 'static>(shared: &Shared<S, M>) -> Self {
        Self(INSIDE.replace(shared.address()))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

/// A panic elsewhere is told by a flag and not by the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
