//! Turns: each waits for room, and is then run as a whole, on the node and the state that are held meanwhile.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::TurnError;
use super::core::Shared;
use super::outbox::Outbox;
use super::waiters::Place;
use crate::contract::state::StateProvider;
use crate::driver::node::SnapshotNode;
use crate::vocabulary::id::Generation;

impl<S: StateProvider, M: Clone + Send + 'static> Shared<S, M> {
    /// One turn, on the node that is held.
    pub(super) fn turn<R>(
        self: &Arc<Self>,
        node: &mut SnapshotNode<S, M>,
        turn: impl FnOnce(&mut S, &mut Outbox<'_, S, M>) -> R,
    ) -> R {
        let result = self.lend(|state| turn(state, &mut Outbox { node, shared: self }));
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
        let mut line = InLine { shared: self, place: Place::new() };
        poll_fn(|cx| self.poll_turn(cx, began, &mut line.place, &mut turn)).await
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
        if !node.has_room_now() {
            self.wait_for_room(place, cx.waker());
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
}

struct InLine<'a, S: StateProvider, M: Clone + Send + 'static> {
    shared: &'a Shared<S, M>,
    place: Place<()>,
}

impl<S: StateProvider, M: Clone + Send + 'static> Drop for InLine<'_, S, M> {
    fn drop(&mut self) {
        self.shared.leave_line(&mut self.place);
    }
}
