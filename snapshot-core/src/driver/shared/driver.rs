//! The future that keeps a shared node going.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Outbox;
use super::core::Shared;
use super::delivery::Deliveries;
use crate::contract::state::StateProvider;
use crate::driver::error::NodeError;
use crate::driver::node::SnapshotNode;
use crate::protocol::coordinator::SendError;
use crate::vocabulary::event::Event;

/// At most this many events are handled before others have their turn.
const EVENTS_AT_ONCE: usize = 64;

/// Keeps a [`SharedNode`](crate::SharedNode) going: it must be spawned as a task, by [`run`](Self::run) or
/// [`stream`](Self::stream). Dropping it, or that task, ends the node at once, as a crash would.
///
/// ```
/// use snapshot_core::{Event, NodeError, PostcardState, SharedDriver};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ledger { balance: u64 }
/// # impl PostcardState for Ledger {}
/// async fn keep_going(driver: SharedDriver<Ledger, u64>) {
///     let ended = driver.run(|ledger, event, out| {
///         if let Event::Message { from, message } = event {
///             ledger.balance += message;
///             if ledger.balance > 1000 { out.send(from, 1)?; }        // part of the same turn
///         }
///         Ok(())
///     });
///     match ended.await {
///         Ok(()) => println!("closed"),
///         Err(error) if error.is_replaced() => println!("another process runs as this node"),
///         Err(error) => println!("{error}: to be started again"),
///     }
/// }
/// ```
#[must_use = "a shared node does nothing unless its driver runs: spawn `driver.run(…)`"]
pub struct SharedDriver<S: StateProvider, M: Clone + Send + 'static> {
    shared: Arc<Shared<S, M>>,
}

impl<S: StateProvider + Send, M: Clone + Send + 'static> SharedDriver<S, M> {
    pub(super) fn new(shared: Arc<Shared<S, M>>) -> Self {
        Self { shared }
    }

    /// Runs the node until it is [closed](crate::SharedNode::close) or fails. Every event is handed to `handle` as one turn:
    /// messages, and all else that [`Event`] names.
    ///
    /// `handle` is a plain function and must not block. What takes long goes to another task, with
    /// [`Outbox::work`].
    ///
    /// # Errors
    ///
    /// If the node has come to its end: see [`NodeError`]. An error that `handle` returns ends it too.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the node at once, as a crash would.
    pub async fn run(
        self,
        mut handle: impl FnMut(&mut S, Event<M, S::Captured>, &mut Outbox<'_, S, M>) -> Result<(), SendError>,
    ) -> Result<(), NodeError> {
        let shared = &self.shared;
        let closing = poll_fn(|cx| poll_run(shared, cx, &mut handle)).await;
        self.finish(closing).await
    }

    /// For applications that would rather take what arrives in a loop of their own: a stream, and the future that must be
    /// spawned beside it.
    ///
    /// However slow the loop is, the node goes on: snapshots are taken, frames are sent, and messages received up to the
    /// bound of the inbox. Events are kept for it one by one up to 64, beyond that they are summed up (see
    /// [`Event::Skipped`]). Only a rollback waits until all events before it are taken.
    ///
    /// The future has the errors and the cancel safety of [`run`](Self::run).
    pub fn stream(self) -> (Deliveries<S, M>, impl Future<Output = Result<(), NodeError>>) {
        let deliveries = Deliveries::new(Arc::clone(&self.shared));
        let drive = async move {
            let shared = &self.shared;
            let closing = poll_fn(|cx| poll_ahead(shared, cx)).await;
            self.finish(closing).await
        };
        (deliveries, drive)
    }

    async fn finish(self, closing: Result<Option<SnapshotNode<S, M>>, NodeError>) -> Result<(), NodeError> {
        self.shared.ended();
        match closing? {
            Some(node) => {
                let farewell = node.close(self.shared.within()).await?;
                self.shared.left(farewell);
                Ok(())
            }
            None => Err(NodeError::Panicked),
        }
    }
}

impl<S: StateProvider, M: Clone + Send + 'static> Drop for SharedDriver<S, M> {
    fn drop(&mut self) {
        self.shared.abandoned();
    }
}

/// Ready with the node when it is to be closed, with nothing when a turn has panicked.
type Closing<S, M> = Poll<Result<Option<SnapshotNode<S, M>>, NodeError>>;

fn poll_run<S: StateProvider + Send, M: Clone + Send + 'static>(
    shared: &Arc<Shared<S, M>>,
    cx: &mut Context<'_>,
    handle: &mut impl FnMut(&mut S, Event<M, S::Captured>, &mut Outbox<'_, S, M>) -> Result<(), SendError>,
) -> Closing<S, M> {
    shared.driver.register(cx.waker());
    let mut due = Vec::new();
    let mut held = shared.hold();
    let mut events = 0;
    let ready = loop {
        let Some(node) = held.as_mut() else { break Poll::Ready(Ok(None)) };
        if shared.is_closing() {
            break Poll::Ready(Ok(held.take()));
        }
        if events == EVENTS_AT_ONCE {
            due.push(cx.waker().clone());
            break Poll::Pending;
        }
        match node.poll_next(cx, &mut shared.home()) {
            Poll::Ready(Ok(event)) => {
                events += 1;
                shared.observe(&event, &mut due);
                if let Err(error) = shared.turn(node, |state, out| handle(state, event, out)) {
                    break Poll::Ready(Err(error.into()));
                }
            }
            Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
            Poll::Pending => break Poll::Pending,
        }
    };
    let has_room = held.as_ref().is_some_and(SnapshotNode::has_room_now);
    drop(held);
    release(shared, has_room, due);
    ready
}

fn poll_ahead<S: StateProvider + Send, M: Clone + Send + 'static>(
    shared: &Arc<Shared<S, M>>,
    cx: &mut Context<'_>,
) -> Closing<S, M> {
    shared.driver.register(cx.waker());
    let mut held = shared.hold();
    let Some(node) = held.as_mut() else { return Poll::Ready(Ok(None)) };
    if shared.is_closing() {
        return Poll::Ready(Ok(held.take()));
    }
    let ready = node.poll_ahead(cx, &mut shared.home()).map(Err);
    let (has_room, has_event) = (node.has_room_now(), node.has_event());
    drop(held);
    if has_event {
        shared.stream.wake();
        shared.taker.wake();
    }
    release(shared, has_room, Vec::new());
    ready
}

/// Wakes those who can go on, when no lock is held any more.
fn release<S: StateProvider, M: Clone + Send + 'static>(
    shared: &Shared<S, M>,
    has_room: bool,
    due: Vec<Waker>,
) {
    due.into_iter().for_each(Waker::wake);
    if has_room && shared.is_anybody_waiting() {
        shared.welcome();
    }
}

impl<S: StateProvider, M: Clone + Send + 'static> fmt::Debug for SharedDriver<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedDriver").finish_non_exhaustive()
    }
}
