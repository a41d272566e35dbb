//! Requests that wait for an answer.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Outbox, SharedNode, TurnError, TurnId};
use crate::contract::state::StateProvider;
use crate::protocol::coordinator::SendError;
use crate::vocabulary::id::Generation;

/// Requests to other nodes that wait for their answers: correlation ids, timeouts, and an error where the group goes back
/// meanwhile. `R` is what an answer carries. Clones are the same.
///
/// ```
/// use snapshot_core::{Answer, CallError, CallId, Calls, NodeId, Event, Outbox, PostcardState, SendError, SharedNode};
/// use std::time::Duration;
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Prices { newest: u64 }
/// # impl PostcardState for Prices {}
///
/// #[derive(Clone)]
/// enum Message { Ask { call: CallId }, Tell { call: CallId, price: u64 } }
///
/// async fn ask(node: &SharedNode<Prices, Message>, calls: &Calls<u64>) -> Result<u64, CallError> {
///     let answer = calls.call(node, Duration::from_secs(1), |_, call, out| out.send(NodeId(2), Message::Ask { call }));
///     Ok(answer.await?.value)
/// }
///
/// fn handle(
///     prices: &mut Prices, event: Event<Message, Prices>, out: &mut Outbox<'_, Prices, Message>, calls: &Calls<u64>,
/// ) -> Result<(), SendError> {
///     match event {
///         Event::Message { from, message: Message::Ask { call } } =>
///             out.send(from, Message::Tell { call, price: prices.newest })?,
///         Event::Message { message: Message::Tell { call, price }, .. } => { calls.answer(out, call, price); }
///         _ => {}
///     }
///     Ok(())
/// }
/// ```
pub struct Calls<R> {
    pending: Arc<Mutex<Pending<R>>>,
}

/// Bounded by the tasks that call: each waits for one answer at a time.
struct Pending<R> {
    /// The number of the last call.
    last: u64,
    waiting: BTreeMap<CallId, oneshot::Sender<Answer<R>>>,
}

/// Which call an answer belongs to. No two calls of one [`Calls`] have the same, not even in different processes of a node: it
/// has the generation in the upper 24 bits, and a number in the lower 40.
///
/// ```
/// use snapshot_core::CallId;
/// let id = CallId::from_bits(7);      // where the application's wire format has a plain number
/// assert_eq!(id.to_bits(), 7);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CallId(u64);

const NUMBER_BITS: u32 = 40;

impl CallId {
    /// From the form that it has on a wire.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The form that it has on a wire.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    fn new(generation: Generation, number: u64) -> Self {
        Self(generation.0 << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1))
    }

    fn is_of(self, generation: Generation) -> bool {
        self.0 >> NUMBER_BITS == Self::new(generation, 0).0 >> NUMBER_BITS
    }
}

/// What came back from a call.
///
/// ```
/// use snapshot_core::{Answer, PostcardState, SharedNode, TurnError};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct State;
/// # impl PostcardState for State {}
/// async fn tell_the_world(node: &SharedNode<State, u64>, answer: Answer<String>) -> Result<String, TurnError> {
///     node.committed(answer.turn).await?;     // covers all that led to the answer, on every node
///     Ok(answer.value)
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Answer<R> {
    /// What it says.
    pub value: R,
    /// The turn in which it was received. A snapshot that covers this turn covers all that led to the answer, on every node.
    pub turn: TurnId,
}

impl<R> Calls<R> {
    /// No calls yet.
    pub fn new() -> Self {
        Self { pending: Arc::new(Mutex::new(Pending { last: 0, waiting: BTreeMap::new() })) }
    }

    /// Asks, and waits for the answer. `ask` is a turn: it sends the request, which carries the id. `timeout` is for all of
    /// it, the wait for room included, on the node's clock.
    ///
    /// # Errors
    ///
    /// If the answer does not come in time, the group goes back, the node ends, or `ask` could not send. Only
    /// [`CallError::RolledBack`] knows whether the request has an effect; after the others it may have one or not.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the call: what was sent stays sent, and an answer that comes is ignored.
    pub async fn call<S: StateProvider, M: Clone + Send + 'static>(
        &self,
        node: &SharedNode<S, M>,
        timeout: Duration,
        ask: impl FnOnce(&mut S, CallId, &mut Outbox<'_, S, M>) -> Result<(), SendError>,
    ) -> Result<Answer<R>, CallError> {
        let clock = Arc::clone(&node.shared.clock);
        let end = clock.now().saturating_add(timeout);
        let asked = pin!(self.ask(node, ask));
        match select(asked, clock.sleep_until(end)).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(CallError::TimedOut { after: timeout }),
        }
    }

    async fn ask<S: StateProvider, M: Clone + Send + 'static>(
        &self,
        node: &SharedNode<S, M>,
        ask: impl FnOnce(&mut S, CallId, &mut Outbox<'_, S, M>) -> Result<(), SendError>,
    ) -> Result<Answer<R>, CallError> {
        let (open, asked) = node
            .turn(|state, out| {
                let open = self.open(out.turn().generation());
                ask(state, open.id, out).map(|()| (open, out.turn()))
            })
            .await??;
        match select(open, pin!(node.shared.is_over(asked.generation()))).await {
            Either::Left((answer, _)) => Ok(answer),
            Either::Right((TurnError::RolledBack, _)) => {
                // A cut that has the turn has the request, in its channel or with what it caused.
                Err(CallError::RolledBack { request_stands: node.shared.stands(asked) })
            }
            Either::Right((_, _)) => Err(CallError::Ended),
        }
    }

    fn open(&self, generation: Generation) -> Open<R> {
        let (sender, answer) = oneshot::channel();
        let mut pending = lock(&self.pending);
        pending.last += 1;
        let id = CallId::new(generation, pending.last);
        pending.waiting.insert(id, sender);
        Open { id, answer, pending: Arc::clone(&self.pending) }
    }

    /// Hands an answer that has arrived to whoever waits for it, from within the turn that received it. `false`: nobody
    /// does; the call has timed out, or belongs to a generation that was left.
    pub fn answer<S: StateProvider, M: Clone + Send + 'static>(
        &self,
        out: &Outbox<'_, S, M>,
        call: CallId,
        value: R,
    ) -> bool {
        if !call.is_of(out.turn().generation()) {
            // A request that stands and is replayed brings an answer too; whoever asked was told that the call has failed.
            return false;
        }
        let waiting = lock(&self.pending).waiting.remove(&call);
        waiting.is_some_and(|waiting| waiting.send(Answer { value, turn: out.turn() }).is_ok())
    }

    /// How many calls wait for their answers.
    pub fn len(&self) -> usize {
        lock(&self.pending).waiting.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A call that waits. Dropped, it is forgotten.
struct Open<R> {
    id: CallId,
    answer: oneshot::Receiver<Answer<R>>,
    pending: Arc<Mutex<Pending<R>>>,
}

impl<R> Future for Open<R> {
    type Output = Answer<R>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Answer<R>> {
        match std::pin::Pin::new(&mut self.answer).poll(cx) {
            std::task::Poll::Ready(Ok(answer)) => std::task::Poll::Ready(answer),
            // Its sender stands in `pending` until it is used, or this is dropped.
            std::task::Poll::Ready(Err(oneshot::Canceled)) | std::task::Poll::Pending => {
                std::task::Poll::Pending
            }
        }
    }
}

impl<R> Drop for Open<R> {
    fn drop(&mut self) {
        lock(&self.pending).waiting.remove(&self.id);
    }
}

impl<R> Default for Calls<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Clone for Calls<R> {
    fn clone(&self) -> Self {
        Self { pending: Arc::clone(&self.pending) }
    }
}

impl<R> fmt::Debug for Calls<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("waiting", &self.len()).finish()
    }
}

fn lock<R>(pending: &Mutex<Pending<R>>) -> MutexGuard<'_, Pending<R>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call came to no answer.
///
/// ```
/// use snapshot_core::CallError;
/// async fn once<F: Future<Output = Result<u64, CallError>>>(ask: impl Fn() -> F) -> Result<u64, CallError> {
///     match ask().await {
///         Err(CallError::RolledBack { request_stands: false }) => ask().await,    // the first one never happened
///         answer => answer,
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The group has gone back to an earlier snapshot while the call waited.
    #[error(
        "the group has gone back to an earlier snapshot while the call waited: {}",
        if *.request_stands { "the request takes effect, and its answer is nobody's" }
        else { "the request never happened, call again" }
    )]
    RolledBack {
        /// Whether the request is in that snapshot, or what it caused. Then it takes effect, once, and its answer goes to
        /// nobody. Otherwise it never happened, here or anywhere.
        request_stands: bool,
    },
    /// No answer came in time. What the request has caused is not known.
    #[error("no answer came within {after:?}")]
    TimedOut {
        /// The time that the call was given.
        after: Duration,
    },
    /// The request could not be sent.
    #[error("the request could not be sent")]
    Send(#[from] SendError),
    /// The node has ended.
    #[error("the node has ended: see what its driver returned, and start it again")]
    Ended,
}

impl From<TurnError> for CallError {
    fn from(error: TurnError) -> Self {
        match error {
            TurnError::RolledBack => Self::RolledBack { request_stands: false },
            TurnError::Ended | TurnError::NoStore => Self::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_an_id_of_its_own_and_is_forgotten_when_it_is_dropped() {
        let calls = Calls::<u64>::new();
        assert!(calls.is_empty());
        let open: Vec<Open<u64>> = [1, 1, 2].map(|generation| calls.open(Generation(generation))).into();
        assert_eq!((calls.len(), calls.is_empty()), (3, false));
        assert_eq!(format!("{calls:?}"), "Calls { waiting: 3 }");
        let ids: std::collections::BTreeSet<u64> = open.iter().map(|open| open.id.to_bits()).collect();
        assert_eq!(ids.len(), 3);
        let of_second = open.iter().filter(|open| open.id.is_of(Generation(2)));
        assert_eq!(of_second.count(), 1);
        drop(open);
        assert!(calls.is_empty());
    }
}
