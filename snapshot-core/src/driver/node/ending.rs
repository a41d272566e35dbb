//! Sending what there is, and leaving (W9).

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::StreamExt;

use super::{Home, Lent, SnapshotNode};
use crate::contract::state::StateProvider;
use crate::driver::error::NodeError;
use crate::vocabulary::id::{NodeId, Peer};
use crate::vocabulary::inbox::Incoming;

/// What became of a [`flush`](crate::SnapshotNode::flush).
///
/// ```
/// use snapshot_core::{Flushed, NodeError, PostcardState, SnapshotNode};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct State;
/// # impl PostcardState for State {}
/// async fn push(node: &mut SnapshotNode<State, u64>, state: &mut State) -> Result<(), NodeError> {
///     if let Flushed::Waiting { peers } = node.flush(state).await? {
///         println!("{peers:?} take no more for now: go on with `next`, which sends the rest");
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Flushed {
    /// The transport has taken all that was sent.
    All,
    /// Some messages wait until their receivers take more, and something waits here to be handed out by
    /// [`next`](crate::SnapshotNode::next): two nodes that flush would else wait for each other.
    Waiting {
        /// The receivers.
        peers: Vec<NodeId>,
    },
}

/// How a node that was [closed](crate::SnapshotNode::close) has left.
///
/// ```
/// use snapshot_core::{Farewell, NodeId};
/// let farewell = Farewell { unsent: [(NodeId(3), 7)].into() };
/// assert!(!farewell.is_clean());
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Farewell {
    /// How many messages did not depart, by receiver: it was gone, or took no more in the time that there was. Receivers for
    /// which all departed are not named.
    pub unsent: BTreeMap<NodeId, usize>,
}

impl Farewell {
    /// Whether the transport has taken all that was sent.
    pub fn is_clean(&self) -> bool {
        self.unsent.is_empty()
    }
}

/// A moment that stays past once it is.
struct Late {
    sleeping: Option<BoxFuture<'static, ()>>,
}

impl Late {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleeping.as_mut().is_some_and(|sleeping| sleeping.poll_unpin(cx).is_pending()) {
            return Poll::Pending;
        }
        self.sleeping = None;
        Poll::Ready(())
    }
}

impl<S: StateProvider, M: Clone + Send + 'static> SnapshotNode<S, M> {
    /// Ends the present turn, and sends what is in the outbox, until the transport has taken it. Receives meanwhile, and takes
    /// part in snapshots, as [`next`](Self::next) does; what is received is handed out by `next`.
    ///
    /// It does not wait for messages that their receivers have not let go while something waits here to be handed out. So two
    /// nodes that flush to each other never wait for ever. One that flushes to a slow node waits for that; and so it does for a
    /// node that runs nothing at all, neither `next` nor `flush`, since nobody sends before the receiver has said how much it
    /// takes: where two nodes are driven by one task, as in a test, join their flushes.
    ///
    /// # Errors
    ///
    /// If the node has come to its end: see [`NodeError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: what was not sent is sent by the next call of `flush` or `next`.
    pub async fn flush(&mut self, state: &mut S) -> Result<Flushed, NodeError> {
        self.end_turn();
        poll_fn(|cx| self.poll_flush(cx, &mut Lent(state))).await
    }

    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        home: &mut impl Home<S>,
    ) -> Poll<Result<Flushed, NodeError>> {
        loop {
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(self.end(error)));
            }
            if self.ended {
                return Poll::Ready(Err(NodeError::Ended));
            }
            if self.events.is_empty() && self.install(home) {
                continue;
            }
            let moved = self.poll_all(cx, home, true);
            if self.failed.is_some() {
                continue;
            }
            if self.is_flushed() {
                return Poll::Ready(Ok(Flushed::All));
            }
            if !moved {
                break;
            }
        }
        // What is left waits for others. Where they may wait for what is handed out here, so must not this.
        let is_held_up = self.flights.is_empty() && !self.coordinator.has_departing();
        let is_anything_here = self.coordinator.has_untaken() || self.restored.is_some();
        if is_held_up && is_anything_here {
            let peers = self.coordinator.unsent().map(|(peer, _)| peer).collect();
            return Poll::Ready(Ok(Flushed::Waiting { peers }));
        }
        Poll::Pending
    }

    fn is_flushed(&self) -> bool {
        self.coordinator.outgoing() == 0
            && self.flights.is_empty()
            && !self.coordinator.has_departing()
            && self.coordinator.is_running()
    }

    /// Ends the node in good order: sends what is in the outbox for at most the time `within`, lets the store finish in
    /// what is left of it, says goodbye to the neighbours behind all that has departed. They see
    /// [`Event::PeerLeft`](crate::Event::PeerLeft) and not a loss. What is untaken and what arrives meanwhile is dropped, so that
    /// two nodes that close at once do not wait for each other; what is for one that has left stays unsent.
    /// Neighbours that are gone are not waited for.
    ///
    /// # Errors
    ///
    /// If the transport failed, or the present turn went over the hard bound of the outbox.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the node, with what was not sent.
    pub async fn close(mut self, within: Duration) -> Result<Farewell, NodeError> {
        self.end_turn();
        let mut gone: BTreeSet<Peer> = self.coordinator.unreachable().collect();
        self.coordinator.leave();
        let clock = self.clock();
        let deadline = clock.now().saturating_add(within);
        let mut late = Late { sleeping: Some(async move { clock.sleep_until(deadline).await }.boxed()) };
        poll_fn(|cx| {
            while self.failed.is_none() && (self.poll_flights(cx) || self.poll_departures(cx, &mut gone)) {}
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(self.end(error)));
            }
            let idle = |peer: Peer| gone.contains(&peer) || !self.coordinator.is_busy(peer);
            let is_done =
                self.coordinator.is_left_behind() || self.coordinator.topology().outgoing().all(idle);
            if is_done || late.poll(cx).is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await?;
        let farewell = Farewell { unsent: self.coordinator.unsent().collect() };
        let transport = Arc::clone(&self.transport);
        let mut goodbye =
            async { while self.storing.next().await.is_some() {} }.then(|()| transport.close()).boxed();
        poll_fn(|cx| match goodbye.poll_unpin(cx) {
            Poll::Ready(closed) => Poll::Ready(closed),
            // A store or a network that stands still has had its time.
            Poll::Pending => late.poll(cx).map(Ok),
        })
        .await?;
        drop(goodbye);
        Ok(farewell)
    }

    /// Receives so that what is sent can go, and to see who is still there.
    fn poll_departures(&mut self, cx: &mut Context<'_>, gone: &mut BTreeSet<Peer>) -> bool {
        if !self.poll_inbox(cx) {
            return false;
        }
        let now = self.clock.now();
        while let Some(item) = self.inbox.pop() {
            match item {
                Incoming::Frame { from, frame } => {
                    self.coordinator.handle_frame(now, from, frame, &mut || {
                        unreachable!("a node that leaves captures nothing")
                    });
                }
                Incoming::Up(peer) => {
                    gone.remove(&peer);
                    self.coordinator.handle_up(now, peer);
                }
                Incoming::Lost { peer, .. } | Incoming::Left(peer) => drop(gone.insert(peer)),
            }
        }
        // Nobody hears of anything any more.
        while self.coordinator.poll_output().is_some() {}
        true
    }
}
