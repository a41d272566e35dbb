//! A node for applications of many tasks: it owns the state, and serves all of them.

mod calls;
mod core;
mod delivery;
mod driver;
mod history;
mod outbox;
mod turns;
mod waiters;
mod work;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

pub use calls::{Answer, CallError, CallId, Calls};
pub use delivery::{Deliveries, Delivery};
pub use driver::SharedDriver;
pub use outbox::Outbox;
pub use work::Work;

use self::core::Shared;
use crate::contract::state::StateProvider;
use crate::driver::builder::NodeBuilder;
use crate::driver::error::NodeError;
use crate::driver::handle::SnapshotHandle;
use crate::driver::node::{Farewell, SnapshotNode};
use crate::vocabulary::id::{Generation, NodeId, Turn};
use crate::vocabulary::topology::Topology;

/// A node that owns the application's state and serves any number of tasks: what an `Arc<Mutex<State>>` was, with
/// snapshots. Clones are the same node.
///
/// Every change is a **turn**: a synchronous closure that changes the state and sends. A snapshot has all of a turn or
/// nothing, and a turn cannot be cancelled half-way. Messages come as turns too, by the handler that
/// [`SharedDriver::run`] is given, or as a stream.
///
/// ```
/// use snapshot_core::{Event, Postcard, PostcardState, SnapshotNode};
/// use snapshot_store::MemoryStore;
/// use snapshot_transport_mem::MemNetwork;
/// use std::time::Duration;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Ledger { balance: u64 }
/// impl PostcardState for Ledger {}
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (_network, transports) = MemNetwork::<u64>::mesh::<2>();
/// let store = MemoryStore::new();
/// let mut nodes = Vec::new();
/// for transport in transports {
///     let builder = SnapshotNode::builder(transport).store(store.clone()).codec(Postcard);
///     let (node, driver) = builder.share(Ledger { balance: 100 }).await?;
///     // The driver handles what arrives, and must be spawned.
///     tokio::spawn(driver.run(|ledger: &mut Ledger, event, _out| {
///         if let Event::Message { message, .. } = event { ledger.balance += message; }
///         Ok(())
///     }));
///     nodes.push(node);
/// }
///
/// // From any task: a turn …
/// let (one, two) = (nodes[0].clone(), nodes[1].clone());
/// let paid = one.turn(|ledger, out| {
///     ledger.balance -= 30;
///     out.send(two.id(), 30)?;
///     Ok::<_, snapshot_core::SendError>(out.turn())
/// }).await??;
/// // … and when it is covered by a committed snapshot, the world may hear of it.
/// one.handle().snapshot().await?;
/// one.committed(paid).await?;
/// assert_eq!(one.read(|ledger| ledger.balance), 70);
/// # Ok(()) }
/// ```
///
/// # What goes wrong without turns
///
/// A state that is changed in one lock and announced in another is cut in two by a snapshot between them. With a
/// `SharedNode` this cannot be written: sends exist only inside of a turn. Nor does `turn` take an `async` closure, which
/// would have to hold the state across an await:
///
/// ```compile_fail,E0308
/// # use snapshot_core::{PostcardState, SharedNode};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ledger { balance: u64 }
/// # impl PostcardState for Ledger {}
/// # async fn price() -> u64 { 7 }
/// async fn wrong(node: &SharedNode<Ledger, u64>) {
///     let balance: u64 = node.turn(|ledger, _| async { ledger.balance -= price().await; ledger.balance }).await.unwrap();
/// }
/// ```
///
/// # Many tasks
///
/// The node and the state have a lock each, held for the length of a turn, of a read, or of one look at the network, and
/// never across an await. Reads take only that of the state. A turn that finds the outbox over its low mark waits for room,
/// in line, before its closure is called; closures never wait.
pub struct SharedNode<S: StateProvider, M> {
    shared: Arc<Shared<S, M>>,
}

impl<S: StateProvider + Send, M: Clone + Send + 'static> NodeBuilder<S, M> {
    /// Starts the node as [`start`](Self::start) does, gives it the state, and so serves an application of many tasks.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the node and the state. Nothing is lost; the next start opens another generation.
    pub async fn share(self, mut state: S) -> Result<(SharedNode<S, M>, SharedDriver<S, M>), NodeError> {
        let node = self.start(&mut state).await?;
        Ok(together(node, state))
    }

    /// Starts the node as [`start_with`](Self::start_with) does, gives it the state, and so serves an application of many tasks.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// As [`share`](Self::share).
    pub async fn share_with(
        self,
        initial: impl FnOnce() -> S,
    ) -> Result<(SharedNode<S, M>, SharedDriver<S, M>), NodeError>
    where
        S: From<S::Captured>,
    {
        let (node, state) = self.start_with(initial).await?;
        Ok(together(node, state))
    }
}

fn together<S: StateProvider + Send, M: Clone + Send + 'static>(
    node: SnapshotNode<S, M>,
    state: S,
) -> (SharedNode<S, M>, SharedDriver<S, M>) {
    let shared = Arc::new(Shared::new(node, state));
    (SharedNode { shared: Arc::clone(&shared) }, SharedDriver::new(shared))
}

impl<S: StateProvider, M: Clone + Send + 'static> SharedNode<S, M> {
    /// Runs one turn: waits until there is room in the outbox, then calls `turn` with the state, once. What it sends is
    /// queued in order, and leaves when it has returned.
    ///
    /// After a rollback it waits until the application was told.
    ///
    /// # Errors
    ///
    /// [`TurnError::Ended`]: `turn` was not called.
    ///
    /// # Panics
    ///
    /// If it is polled from within a turn or a read of the same node. A panic of `turn` itself ends the node, since the state
    /// may be half changed: tasks that use it see [`TurnError::Ended`], the driver ends with [`NodeError::Panicked`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the turn has been run as a whole, or not at all.
    pub async fn turn<R>(
        &self,
        turn: impl FnOnce(&mut S, &mut Outbox<'_, S, M>) -> R,
    ) -> Result<R, TurnError> {
        self.shared.turn_with_room(None, turn).await
    }

    /// Looks at the state, between two turns. Waits for neither network nor room, and is no turn of its own. What it sees may
    /// yet be undone by a rollback; afterwards, when the node has ended, it sees the last that there was.
    ///
    /// # Panics
    ///
    /// If a turn has panicked before, as the state may be half changed; and within a turn or a read of the same node.
    pub fn read<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        self.shared.read(read)
    }

    /// Waits until a turn is covered by a committed snapshot: then its effects may leave the node, for whatever fails, it has
    /// happened. The turn is named by [`Outbox::turn`].
    ///
    /// This only waits: the snapshot comes from [`NodeBuilder::interval`], [`Outbox::snapshot`] or a
    /// [`SnapshotHandle`].
    ///
    /// # Errors
    ///
    /// [`TurnError::RolledBack`]: the turn never happened; what led to it may have, and then happens again: a request that
    /// was sent earlier and stands in the snapshot. [`TurnError::Ended`]: the node has ended, and what becomes of the
    /// turn is not known. [`TurnError::NoStore`]: nothing is ever committed. Which turns survived is known of the last 1024
    /// rollbacks; before that, as rolled back.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: it only looks.
    pub async fn committed(&self, at: TurnId) -> Result<(), TurnError> {
        if !self.shared.durable {
            return Err(TurnError::NoStore);
        }
        self.shared.verdict(at).await
    }

    /// Ends the node in good order, as [`SnapshotNode::close`](crate::SnapshotNode::close) does in the time `within`, and waits
    /// until its driver is done, which then returns `Ok`. No turn is begun any more. Tells what did not depart; `None` where
    /// the node has ended in another way, which the driver tells. Where the driver does not run, this waits for ever. Of several
    /// that close, the time of the first counts.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the wait; the node ends all the same.
    pub async fn close(&self, within: Duration) -> Option<Farewell> {
        self.shared.close(within).await
    }

    /// What asks for snapshots, from any task.
    pub fn handle(&self) -> SnapshotHandle {
        self.shared.handle.clone()
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.shared.topology.me()
    }

    /// The group, and this node's place in it.
    pub fn topology(&self) -> &Topology {
        &self.shared.topology
    }
}

impl<S: StateProvider, M> Clone for SharedNode<S, M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: StateProvider, M> fmt::Debug for SharedNode<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedNode").field("id", &self.shared.topology.me()).finish_non_exhaustive()
    }
}

/// One turn of one node. Made by [`Outbox::turn`], for [`SharedNode::committed`].
///
/// ```
/// use snapshot_core::{PostcardState, SharedNode, TurnError};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Counter(u64);
/// # impl PostcardState for Counter {}
/// async fn count(node: &SharedNode<Counter, u64>) -> Result<u64, TurnError> {
///     let (value, at) = node.turn(|counter, out| { counter.0 += 1; (counter.0, out.turn()) }).await?;
///     node.committed(at).await?;
///     Ok(value)                       // may be shown to the world
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TurnId {
    generation: Generation,
    turn: Turn,
}

impl TurnId {
    /// The generation in which it was.
    pub fn generation(self) -> Generation {
        self.generation
    }

    /// Its number.
    pub fn turn(self) -> Turn {
        self.turn
    }
}

/// A turn was not run, or was undone.
///
/// ```
/// use snapshot_core::TurnError;
/// assert!(TurnError::RolledBack.to_string().contains("begin anew"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum TurnError {
    /// The group has gone back to an earlier snapshot, and what this belonged to never happened.
    #[error("the group has gone back to an earlier snapshot, and this never happened: begin anew")]
    RolledBack,
    /// The node has ended; its driver says why.
    #[error("the node has ended: see what its driver returned, and start it again")]
    Ended,
    /// Nothing is ever committed where there is no store.
    #[error("nothing is ever committed without a store: give the builder one with `store(…)`")]
    NoStore,
}
