//! A store in a folder.

mod early;
mod folders;
mod layout;
mod objects;
mod reading;
mod sync;
#[cfg(test)]
mod tests;
mod unfinished;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_lock::Semaphore;
use async_trait::async_trait;
use snapshot_core::{Content, Created, Generation, Key, Sink, SnapshotStore, StoreError};

pub use self::layout::OpenError;
use self::objects::Objects;

/// How many states are written or read at the same time by one store. A disk gains nothing from more streams, each one
/// holds up to 3 MiB, and the threads come from a pool that the whole process shares. The others wait their turn.
const STATES_AT_ONCE: usize = 4;

/// How many small operations (records of the journal, seats, listings, deletions) run at the same time. They are counted
/// apart, so that a commit does not wait until large states are written.
const RECORDS_AT_ONCE: usize = 4;

/// A store in a folder of a file system, shared by all processes of the group.
///
/// Every object is one file, whose path below the folder is the text form of its key. It is written under another name in
/// `tmp/`, synced, and then given its name if that is free; then the folders that lead to it are synced. So it is there
/// whole or not at all, it has one author, and it outlives a crash of the machine once `create` has returned. `read` syncs
/// these folders too: what it has shown is not lost either, though its author may have crashed before its own sync. Folders whose names
/// this process has synced before are remembered, the last 64, and told by number and birth from others that were made in their place;
/// where the file system has no times of birth, they are synced each time.
///
/// The work is done on threads of the `blocking` pool, at most 4 large and 4 small operations at a time for one store and
/// its clones; each large one has up to three threads beside it, and
/// holds up to 3 MiB, whatever the size of the state: the disk works while a state is encoded or decoded.
///
/// # What it asks of the file system
///
/// Names that are created atomically (`renameat2` without replacing, or hard links), and folders that can be synced: any
/// local file system of Unix. The folders are not synced on other systems, where D2 holds only as far as the file system keeps its own
/// names safe. On a network file system, clients must not remember which names do *not* exist: mount NFS with
/// `lookupcache=none`. Files are readable only by the user that made them, so all processes of the group run as one.
///
/// # What stays after a crash
///
/// A process that is killed while it writes leaves a file in `tmp/`. It is removed when the store is next opened and the
/// file has not changed for 15 minutes; a file that some process still writes is never removed.
///
/// ```
/// use snapshot_store::DirectoryStore;
/// # let place = tempfile::tempdir()?;
/// # let folder = place.path().join("snapshots");
/// let store = DirectoryStore::open(&folder)?;
/// assert_eq!(store.path(), folder);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    objects: Objects,
    states: Arc<Semaphore>,
    records: Arc<Semaphore>,
}

impl DirectoryStore {
    /// Opens the store in this folder. A folder that does not exist is made, with its parents; an empty one becomes a
    /// store. Any number of processes may do so at the same time.
    ///
    /// It blocks for a few operations on the file system, so call it before the message loop begins.
    ///
    /// # Errors
    ///
    /// If the folder holds other things, or a store of a newer layout, or the system refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        layout::open(path.as_ref()).map(Self::of)
    }

    /// Opens the store in this folder, which must be there: for tools and for restarts, where a wrong path shall not begin
    /// an empty history.
    ///
    /// It blocks for a few operations on the file system, so call it before the message loop begins.
    ///
    /// ```
    /// use snapshot_store::{DirectoryStore, OpenError};
    /// # let place = tempfile::tempdir()?;
    /// # let folder = place.path().join("snapshots");
    /// assert!(matches!(DirectoryStore::open_existing(&folder), Err(OpenError::Missing { .. })));
    /// DirectoryStore::open(&folder)?;
    /// DirectoryStore::open_existing(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no folder, or no store in it, or one of a newer layout, or the system refuses.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        layout::open_existing(path.as_ref()).map(Self::of)
    }

    /// The folder, as an absolute path.
    pub fn path(&self) -> &Path {
        self.objects.root()
    }

    fn of(root: PathBuf) -> Self {
        Self {
            objects: Objects::below(root),
            states: Arc::new(Semaphore::new(STATES_AT_ONCE)),
            records: Arc::new(Semaphore::new(RECORDS_AT_ONCE)),
        }
    }

    fn turn_for(&self, key: Key) -> &Arc<Semaphore> {
        match key {
            Key::Part { .. } | Key::Evidence { .. } | Key::Initial(_) => &self.states,
            Key::Journal(_) | Key::Seat { .. } => &self.records,
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        turn: &Arc<Semaphore>,
        work: impl FnOnce(&Objects) -> T + Send + 'static,
    ) -> T {
        // The permit goes with the work, not with this future: dropping the future does not stop work that has begun.
        let permit = turn.acquire_arc().await;
        let objects = self.objects.clone();
        blocking::unblock(move || {
            let _permit = permit;
            work(&objects)
        })
        .await
    }
}

#[async_trait]
impl SnapshotStore for DirectoryStore {
    /// # Cancel safety
    ///
    /// Dropping the future is an answer that was lost (D7): work that has begun goes on to its end on its own thread, and
    /// the object may be there, whole, or not.
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.run(self.turn_for(key), move |objects| objects.create(key, content)).await
    }

    /// # Cancel safety
    ///
    /// Dropping the future changes nothing in the store; `sink` may still be called.
    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.run(self.turn_for(key), move |objects| objects.read(key, sink)).await
    }

    /// The keys are held in memory all at once: their number is bounded by what retention has left in the store.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.run(&self.records, move |objects| objects.list_parts(generation)).await
    }

    /// # Cancel safety
    ///
    /// Dropping the future is an answer that was lost (D7): the object may be there or not.
    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.run(&self.records, move |objects| objects.delete(key)).await
    }
}
