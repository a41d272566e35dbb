//! What the handles of a shared node and its driver have in common: the node and the state, each behind its lock. No lock is
//! held across an await: all that needs one happens within a single poll.

use std::cell::Cell;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;

use super::history::History;
use super::waiters::{Place, Waiters};
use super::{TurnError, TurnId};
use crate::contract::clock::Clock;
use crate::contract::state::StateProvider;
use crate::driver::handle::SnapshotHandle;
use crate::driver::node::Farewell;
use crate::driver::node::Home;
use crate::driver::node::SnapshotNode;
use crate::vocabulary::event::Event;
use crate::vocabulary::id::{Generation, Turn};
use crate::vocabulary::topology::Topology;

/// Locks are taken in this order: node, state, history or room.
pub(super) struct Shared<S: StateProvider, M> {
    /// `None` when it has ended.
    node: Mutex<Option<SnapshotNode<S, M>>>,
    state: Mutex<S>,
    history: Mutex<History>,
    /// Tasks that wait for room in the outbox.
    room: Mutex<Waiters<()>>,
    closing: AtomicBool,
    /// How long closing may take, then what came of it.
    within: Mutex<Duration>,
    farewell: Mutex<Option<Farewell>>,
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
            within: Mutex::new(Duration::ZERO),
            farewell: Mutex::new(None),
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

    /// Lends the state to one turn. Who begins another meanwhile is found out.
    pub(super) fn lend<R>(&self, turn: impl FnOnce(&mut S) -> R) -> R {
        let mut state = lock(&self.state);
        let _inside = Inside::enter(self);
        turn(&mut state)
    }

    pub(super) fn wait_for_room(&self, place: &mut Place<()>, waker: &Waker) {
        lock(&self.room).wait(place, (), waker);
    }

    /// Whoever was let in, and has gone in or away, lets the next one in. One that finds no room waits again.
    pub(super) fn leave_line(&self, place: &mut Place<()>) {
        let was_let_in = lock(&self.room).leave(place);
        if was_let_in {
            self.welcome();
        }
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

    /// Asks the driver to end in good order, in the time that whoever asks first gives.
    pub(super) async fn close(&self, within: Duration) -> Option<Farewell> {
        if !self.is_closing() {
            *lock(&self.within) = within;
        }
        self.closing.store(true, Ordering::Release);
        self.driver.wake();
        let last = TurnId { generation: Generation(u64::MAX), turn: Turn(u64::MAX) };
        self.watch(last, History::is_closed).await;
        lock(&self.farewell).clone()
    }

    /// How long closing may take.
    pub(super) fn within(&self) -> Duration {
        *lock(&self.within)
    }

    pub(super) fn left(&self, farewell: Farewell) {
        *lock(&self.farewell) = Some(farewell);
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
