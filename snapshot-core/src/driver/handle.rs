//! What any task can ask of a node.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;
use futures::task::AtomicWaker;

use crate::driver::error::SnapshotError;
use crate::vocabulary::id::SnapshotId;
use crate::vocabulary::outcome::{SnapshotReport, SnapshotStatus};

/// The most requests that wait at a time.
const MAX_WAITING: usize = 1024;

/// Asks a node for snapshots from any task or thread. Cheap to clone. The node acts on it when its application calls
/// [`next`](crate::SnapshotNode::next).
///
/// ```
/// # use snapshot_core::{Graph, NodeId, Postcard, SnapshotNode};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = snapshot_transport_mem::MemNetwork::<u64>::new(&Graph::new([NodeId(1)]))?;
/// # let builder = SnapshotNode::builder(network.transport(NodeId(1))).store(snapshot_store::MemoryStore::new());
/// # let mut node = builder.codec(Postcard).start(&mut ()).await?;
/// let handle = node.handle();
/// // The application's loop.
/// let serving = async { loop { if let Err(error) = node.next(&mut ()).await { return error } } };
/// // In another task:
/// let asking = async {
///     for status in handle.running() {
///         println!("{} waits for markers of {:?}", status.snapshot, status.missing_markers);
///     }
///     let report = handle.snapshot().await?; // when it is committed
///     assert_eq!(report.messages(), 0);
///     Ok(())
/// };
/// tokio::select! { result = asking => result, error = serving => Err(error.into()) }
/// # }
/// ```
#[derive(Clone)]
pub struct SnapshotHandle {
    desk: Arc<Desk>,
}

impl SnapshotHandle {
    pub(crate) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    /// Asks for a snapshot and waits until it is committed; without a store, until every node has taken its part. Requests
    /// that arrive before one capture share one snapshot.
    ///
    /// # Errors
    ///
    /// If it was given up or could not begin, or the node has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the wait; the snapshot goes on if it has begun.
    pub async fn snapshot(&self) -> Result<SnapshotReport, SnapshotError> {
        let (sender, report) = oneshot::channel();
        self.ask(Waiting { begun: None, report: sender })?;
        report.await.unwrap_or(Err(SnapshotError::NodeGone))
    }

    /// Asks for a snapshot and waits until it has begun at this node: then its name is known.
    ///
    /// ```
    /// use snapshot_core::{SnapshotError, SnapshotHandle};
    /// async fn announced(handle: &SnapshotHandle) -> Result<(), SnapshotError> {
    ///     let begun = handle.begin().await?;
    ///     println!("{} is under way", begun.id());
    ///     let report = begun.finished().await?;
    ///     println!("{} is done after {:?}", report.snapshot, report.took);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If it could not begin, or the node has ended.
    ///
    /// # Cancel safety
    ///
    /// As [`snapshot`](Self::snapshot).
    pub async fn begin(&self) -> Result<BegunSnapshot, SnapshotError> {
        let ((begun, id), (sender, report)) = (oneshot::channel(), oneshot::channel());
        self.ask(Waiting { begun: Some(begun), report: sender })?;
        match id.await {
            Ok(id) => Ok(BegunSnapshot { id, report }),
            // It is said why.
            Err(_) => match report.await {
                Ok(Err(error)) => Err(error),
                _ => Err(SnapshotError::NodeGone),
            },
        }
    }

    fn ask(&self, waiting: Waiting) -> Result<(), SnapshotError> {
        {
            let mut wishes = self.desk.wishes();
            if wishes.gone {
                return Err(SnapshotError::NodeGone);
            }
            wishes.waiting.retain(|waiting| !waiting.is_canceled());
            if wishes.waiting.len() >= MAX_WAITING {
                return Err(SnapshotError::TooManyRequests);
            }
            wishes.waiting.push(waiting);
        }
        self.desk.ring();
        Ok(())
    }

    /// Gives a snapshot up, everywhere. One that has ended, or is being committed, is left alone.
    pub fn abort(&self, snapshot: SnapshotId) {
        {
            let mut wishes = self.desk.wishes();
            // Bounded: more than can run at a time makes no sense.
            if wishes.aborts.len() < MAX_WAITING && !wishes.aborts.contains(&snapshot) {
                wishes.aborts.push(snapshot);
            }
        }
        self.desk.ring();
    }

    /// The snapshots that run, as the node sees them, and what each waits for.
    pub fn running(&self) -> Vec<SnapshotStatus> {
        self.desk.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The committed snapshots that the node began and whose [checks](crate::NodeBuilder::check) are not done, in the order
    /// of their commits. One leaves the list when the application has handled the events that tell what was found, if any.
    /// Whoever closes the node before the list is empty will not hear of the rest.
    pub fn unchecked(&self) -> Vec<SnapshotId> {
        self.desk.unchecked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for SnapshotHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotHandle").finish_non_exhaustive()
    }
}

/// A snapshot that was asked for by [`SnapshotHandle::begin`], and has begun.
///
/// ```
/// use snapshot_core::{BegunSnapshot, SnapshotHandle};
/// /// Gives it up, unless it is done by now.
/// fn too_late(handle: &SnapshotHandle, begun: &BegunSnapshot) {
///     handle.abort(begun.id());
/// }
/// ```
#[derive(Debug)]
pub struct BegunSnapshot {
    id: SnapshotId,
    report: oneshot::Receiver<Result<SnapshotReport, SnapshotError>>,
}

impl BegunSnapshot {
    /// Its name.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Waits until it is committed; without a store, until every node has taken its part.
    ///
    /// # Errors
    ///
    /// If it was given up, or the node has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the wait; the snapshot goes on.
    pub async fn finished(self) -> Result<SnapshotReport, SnapshotError> {
        self.report.await.unwrap_or(Err(SnapshotError::NodeGone))
    }
}

/// Somebody who waits for a snapshot.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Wants to know when it has begun.
    begun: Option<oneshot::Sender<SnapshotId>>,
    report: oneshot::Sender<Result<SnapshotReport, SnapshotError>>,
}

impl Waiting {
    /// Whether nobody waits any more.
    pub(crate) fn is_canceled(&self) -> bool {
        self.report.is_canceled()
    }

    pub(crate) fn begun(&mut self, id: SnapshotId) {
        if let Some(begun) = self.begun.take() {
            // Whoever asked may have gone.
            let _ = begun.send(id);
        }
    }

    pub(crate) fn end(self, outcome: Result<SnapshotReport, SnapshotError>) {
        let _ = self.report.send(outcome);
    }
}

/// Where handles leave their wishes and the node its news.
#[derive(Default)]
pub(crate) struct Desk {
    wishes: Mutex<Wishes>,
    rung: AtomicBool,
    waker: AtomicWaker,
    running: Mutex<Vec<SnapshotStatus>>,
    unchecked: Mutex<Vec<SnapshotId>>,
}

#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) aborts: Vec<SnapshotId>,
    gone: bool,
}

impl Desk {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn listen(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// Whether there may be new wishes. One load, no lock.
    #[inline]
    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Takes what is wished for.
    pub(crate) fn take(&self) -> Wishes {
        self.rung.store(false, Ordering::Release);
        std::mem::take(&mut self.wishes())
    }

    pub(crate) fn show(&self, running: Vec<SnapshotStatus>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
    }

    pub(crate) fn show_unchecked(&self, unchecked: Vec<SnapshotId>) {
        *self.unchecked.lock().unwrap_or_else(PoisonError::into_inner) = unchecked;
    }

    /// The node has ended: those who wait hear it.
    pub(crate) fn leave(&self) {
        *self.wishes() = Wishes { gone: true, ..Wishes::default() };
        self.show(Vec::new());
        self.show_unchecked(Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use futures::task::{Context, noop_waker};

    use super::*;
    use crate::vocabulary::id::{Generation, NodeId};

    fn id(sequence: u64) -> SnapshotId {
        SnapshotId { generation: Generation(1), sequence, initiator: NodeId(1) }
    }

    #[test]
    fn wishes_ring_at_a_node_that_waits() {
        struct Rung(AtomicBool);
        impl futures::task::ArcWake for Rung {
            fn wake_by_ref(rung: &Arc<Self>) {
                rung.0.store(true, Ordering::Release);
            }
        }
        let handle = SnapshotHandle { desk: Arc::default() };
        let rung = Arc::new(Rung(AtomicBool::new(false)));
        handle.desk.listen(&futures::task::waker(Arc::clone(&rung)));
        assert!(!handle.desk.is_rung());
        handle.abort(id(1));
        assert!(handle.desk.is_rung() && rung.0.load(Ordering::Acquire));
        assert_eq!(handle.desk.take().aborts, [id(1)]);
        assert!(!handle.desk.is_rung());
    }

    #[test]
    fn the_desk_holds_each_wish_once_and_not_more_than_its_bound() {
        let handle = SnapshotHandle { desk: Arc::default() };
        for sequence in (1..=MAX_WAITING as u64 + 5).chain(1..=5) {
            handle.abort(id(sequence));
        }
        let aborts = handle.desk.take().aborts;
        assert_eq!(aborts, (1..=MAX_WAITING as u64).map(id).collect::<Vec<_>>());
        handle.abort(id(1));
        handle.abort(id(1));
        assert_eq!(handle.desk.take().aborts, [id(1)]);

        let (waker, mut waiting) = (noop_waker(), Vec::new());
        let mut cx = Context::from_waker(&waker);
        for _ in 0..MAX_WAITING {
            waiting.push(Box::pin(handle.snapshot()));
            assert!(waiting.last_mut().unwrap().as_mut().poll(&mut cx).is_pending());
        }
        let mut one_more = Box::pin(handle.snapshot());
        assert!(one_more.as_mut().poll(&mut cx).is_ready(), "too many requests");
        waiting.pop(); // who gives up makes room
        assert!(Box::pin(handle.snapshot()).as_mut().poll(&mut cx).is_pending());
    }
}
