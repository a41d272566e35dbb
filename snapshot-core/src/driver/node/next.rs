//! The wait for the next event. As a rule a message is there, and then it is handed out on the shortest way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::SnapshotNode;
use super::home::Lent;
use crate::contract::state::StateProvider;
use crate::driver::error::NodeError;
use crate::vocabulary::event::Event;

/// See [`SnapshotNode::next`].
pub(super) struct Next<'n, 's, S: StateProvider, M> {
    node: &'n mut SnapshotNode<S, M>,
    state: &'s mut S,
    /// The turn that was under way has ended.
    begun: bool,
}

impl<'n, 's, S: StateProvider, M> Next<'n, 's, S, M> {
    #[inline]
    pub(super) fn new(node: &'n mut SnapshotNode<S, M>, state: &'s mut S) -> Self {
        Self { node, state, begun: false }
    }
}

impl<S: StateProvider, M: Clone + Send + 'static> Future for Next<'_, '_, S, M> {
    type Output = Result<Event<M, S::Captured>, NodeError>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { node, state, begun } = self.get_mut();
        if !std::mem::replace(begun, true) {
            node.end_turn();
        }
        if let Some((from, message)) = node.take_at_hand() {
            return Poll::Ready(Ok(Event::Message { from, message }));
        }
        node.poll_network(cx, &mut Lent(*state))
    }
}
