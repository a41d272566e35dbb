//! Work that goes on outside of turns.

use std::fmt;
use std::sync::Arc;

use super::core::Shared;
use super::{Outbox, TurnError};
use crate::contract::state::StateProvider;
use crate::vocabulary::id::Generation;

/// A piece of work that a turn began and that goes on outside of it: a query, a computation, a request to another system. Its
/// result is refused if the group has gone back meanwhile, since the turn that asked for it may then never have happened.
///
/// Made by [`Outbox::work`]. Clones are the same piece of work.
///
/// ```
/// use snapshot_core::{PostcardState, SharedNode, TurnError};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Prices { asked: u64, newest: u64 }
/// # impl PostcardState for Prices {}
/// # async fn query() -> u64 { 7 }
/// async fn refresh(node: &SharedNode<Prices, u64>) -> Result<(), TurnError> {
///     let work = node.turn(|prices, out| { prices.asked += 1; out.work() }).await?;
///     let price = query().await;                                          // takes its time
///     work.turn(|prices, _| prices.newest = price).await                  // or `TurnError::RolledBack`
/// }
/// ```
pub struct Work<S: StateProvider, M> {
    shared: Arc<Shared<S, M>>,
    began: Generation,
}

impl<S: StateProvider, M: Clone + Send + 'static> Work<S, M> {
    pub(super) fn new(shared: Arc<Shared<S, M>>, began: Generation) -> Self {
        Self { shared, began }
    }

    /// One turn, as [`SharedNode::turn`](crate::SharedNode::turn), with the result of this work.
    ///
    /// # Errors
    ///
    /// [`TurnError::RolledBack`], if the group has gone back since the work began: `turn` was not called.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the turn has been run as a whole, or not at all.
    pub async fn turn<R>(
        &self,
        turn: impl FnOnce(&mut S, &mut Outbox<'_, S, M>) -> R,
    ) -> Result<R, TurnError> {
        self.shared.turn_with_room(Some(self.began), turn).await
    }

    /// Waits until the work is in vain, and says why: to end it early, in a `select!` or a race.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: it only looks.
    pub async fn in_vain(&self) -> TurnError {
        self.shared.is_over(self.began).await
    }

    /// The generation in which it began.
    pub fn generation(&self) -> Generation {
        self.began
    }
}

impl<S: StateProvider, M> Clone for Work<S, M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), began: self.began }
    }
}

impl<S: StateProvider, M> fmt::Debug for Work<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("began", &self.began).finish_non_exhaustive()
    }
}
