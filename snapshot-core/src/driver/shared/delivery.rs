//! Messages and other events as a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::Stream;

use super::core::Shared;
use super::{Outbox, TurnError};
use crate::contract::state::StateProvider;
use crate::vocabulary::event::Event;

/// What arrives at a [`SharedNode`](crate::SharedNode), one [`Delivery`] at a time, in order. Ends when the node does.
///
/// Made by [`SharedDriver::stream`](crate::SharedDriver::stream). One delivery is out at a time: the next one comes when it
/// was taken or dropped.
///
/// ```
/// use futures::StreamExt;
/// use snapshot_core::{Deliveries, Event, PostcardState};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ledger { balance: u64 }
/// # impl PostcardState for Ledger {}
/// async fn receive(mut deliveries: Deliveries<Ledger, u64>) {
///     while let Some(delivery) = deliveries.next().await {
///         let taken = delivery.take(|ledger, event, _out| {
///             if let Event::Message { message, .. } = event { ledger.balance += message; }
///         });
///         if taken.await.is_err() { break }
///     }
/// }
/// ```
pub struct Deliveries<S: StateProvider, M> {
    shared: Arc<Shared<S, M>>,
    is_out: Arc<AtomicBool>,
}

/// Something that has arrived. It stays in its channel, and in the cut of every snapshot, until [`take`](Self::take) makes it
/// a turn. One that is dropped comes again. See [`Deliveries`] for an example.
#[must_use = "what was delivered stays in its channel until it is taken"]
pub struct Delivery<S: StateProvider, M> {
    shared: Arc<Shared<S, M>>,
    is_out: Arc<AtomicBool>,
}

impl<S: StateProvider, M> Deliveries<S, M> {
    pub(super) fn new(shared: Arc<Shared<S, M>>) -> Self {
        Self { shared, is_out: Arc::default() }
    }
}

impl<S: StateProvider, M: Clone + Send + 'static> Stream for Deliveries<S, M> {
    type Item = Delivery<S, M>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery<S, M>>> {
        self.shared.stream.register(cx.waker());
        if self.is_out.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        match self.shared.hold().as_ref() {
            None => Poll::Ready(None),
            Some(node) if node.has_event() => {
                self.is_out.store(true, Ordering::Release);
                let (shared, is_out) = (Arc::clone(&self.shared), Arc::clone(&self.is_out));
                Poll::Ready(Some(Delivery { shared, is_out }))
            }
            Some(_) => Poll::Pending,
        }
    }
}

impl<S: StateProvider, M: Clone + Send + 'static> Delivery<S, M> {
    /// Takes it, as one turn. Where the outbox is over its high mark, waits until it is not.
    ///
    /// What is taken is what stands first at that moment: after a rollback, the news of it.
    ///
    /// # Errors
    ///
    /// [`TurnError::Ended`], if the node has ended meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the turn has been run as a whole, or not at all; then what was delivered comes again.
    pub async fn take<R>(
        self,
        turn: impl FnOnce(&mut S, Event<M, S::Captured>, &mut Outbox<'_, S, M>) -> R,
    ) -> Result<R, TurnError> {
        let mut turn = Some(turn);
        let shared = &self.shared;
        poll_fn(|cx| {
            shared.taker.register(cx.waker());
            let mut held = shared.hold();
            let Some(node) = held.as_mut() else { return Poll::Ready(Err(TurnError::Ended)) };
            let Some(event) = node.pop_event() else { return Poll::Pending };
            let mut due = Vec::new();
            shared.observe(&event, &mut due);
            let turn = turn.take().expect("it is polled no more once it was ready");
            let result = shared.turn(node, |state, out| turn(state, event, out));
            let has_room = node.has_room_now();
            drop(held);
            due.into_iter().for_each(std::task::Waker::wake);
            if has_room && shared.is_anybody_waiting() {
                shared.welcome();
            }
            // There is room for another message, and perhaps something to send.
            shared.driver.wake();
            Poll::Ready(Ok(result))
        })
        .await
    }
}

impl<S: StateProvider, M> Drop for Delivery<S, M> {
    fn drop(&mut self) {
        self.is_out.store(false, Ordering::Release);
        self.shared.stream.wake();
    }
}

impl<S: StateProvider, M> fmt::Debug for Deliveries<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").finish_non_exhaustive()
    }
}

impl<S: StateProvider, M> fmt::Debug for Delivery<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}
