//! A store in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use snapshot_core::{Content, Created, Generation, Key, NodeId, Sink, SnapshotId, SnapshotStore, StoreError};

use crate::closure;

/// A store for tests: a map that all clones share, gone with the last of them.
///
/// It is deterministic. Closures are called inline, by the task that asks, and no call ever waits. It takes as much memory
/// as the objects in it, which are bounded by nothing but what is put in: it is not meant for production.
///
/// ```
/// use bytes::Bytes;
/// use snapshot_core::{Created, Key, SnapshotStore};
/// use snapshot_store::MemoryStore;
///
/// # futures::executor::block_on(async {
/// let store = MemoryStore::new();
/// let same = store.clone();
/// assert_eq!(store.create(Key::Journal(1), Bytes::from("first").into()).await?, Created::New);
/// assert_eq!(same.create(Key::Journal(1), Bytes::from("second").into()).await?, Created::Exists);
/// assert_eq!(same.keys(), [Key::Journal(1)]);
/// # Ok::<(), snapshot_core::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<Key, Bytes>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another store with the objects that are here now, which goes its own way from then on: a backup, for tests that put one
    /// back.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use snapshot_core::{Key, SnapshotStore};
    /// use snapshot_store::MemoryStore;
    ///
    /// # futures::executor::block_on(async {
    /// let store = MemoryStore::new();
    /// store.create(Key::Journal(1), Bytes::from("first").into()).await?;
    /// let backup = store.backup();
    /// store.create(Key::Journal(2), Bytes::from("second").into()).await?;
    /// assert_eq!(backup.keys(), [Key::Journal(1)]);
    /// # Ok::<(), snapshot_core::StoreError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn backup(&self) -> Self {
        let objects = self.objects().clone();
        Self { objects: Arc::new(Mutex::new(objects)) }
    }

    /// The keys of all objects, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.objects().keys().copied().collect()
    }

    /// Lets `change` alter the bytes of an object, as a bad disk would. Returns whether there is such an object; where
    /// there is none, `change` is not called.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use snapshot_core::{Key, SnapshotStore};
    /// use snapshot_store::MemoryStore;
    ///
    /// # futures::executor::block_on(async {
    /// let store = MemoryStore::new();
    /// store.create(Key::Journal(1), Bytes::from("first").into()).await?;
    /// assert!(store.corrupt(Key::Journal(1), |bytes| bytes[0] ^= 1));
    /// # Ok::<(), snapshot_core::StoreError>(())
    /// # }).unwrap();
    /// ```
    pub fn corrupt(&self, key: Key, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(object) = self.objects().get(&key).cloned() else { return false };
        let mut bytes = object.to_vec();
        change(&mut bytes);
        // Looked up again, since the object may have been deleted in the meantime.
        self.objects().get_mut(&key).map(|object| *object = bytes.into()).is_some()
    }

    // A panic elsewhere cannot leave the map half-way: every change of it is one call.
    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SnapshotStore for MemoryStore {
    /// # Cancel safety
    ///
    /// Never waits: the first poll does all of it.
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        if self.objects().contains_key(&key) {
            return Ok(Created::Exists);
        }
        // Not under the lock: the closure may take long, or use this store itself.
        let mut bytes = Vec::new();
        closure::write(content, &mut bytes)
            .map_err(|error| StoreError::new(format!("cannot write {key} to memory"), error))?;
        Ok(match self.objects().entry(key) {
            Entry::Vacant(place) => {
                place.insert(bytes.into());
                Created::New
            }
            Entry::Occupied(_) => Created::Exists,
        })
    }

    /// # Cancel safety
    ///
    /// Never waits: the first poll does all of it.
    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        let Some(bytes) = self.objects().get(&key).cloned() else { return Ok(false) };
        closure::read(sink, &mut &bytes[..])
            .map_err(|error| StoreError::new(format!("cannot read {key} from memory"), error))?;
        Ok(true)
    }

    /// # Cancel safety
    ///
    /// Never waits: the first poll does all of it.
    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        // Keys are in order of their kind, then of the generation.
        let start =
            SnapshotId { generation: generation.unwrap_or(Generation(0)), sequence: 0, initiator: NodeId(0) };
        let is_wanted = |key: &Key| match key {
            Key::Part { snapshot, .. } => generation.is_none_or(|wanted| wanted == snapshot.generation),
            _ => false,
        };
        let objects = self.objects();
        let from = Key::Part { snapshot: start, node: NodeId(0) };
        Ok(objects.range(from..).map(|(key, _)| *key).take_while(is_wanted).collect())
    }

    /// # Cancel safety
    ///
    /// Never waits: the first poll does all of it.
    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.objects().remove(&key);
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("objects", &self.objects().len()).finish()
    }
}
