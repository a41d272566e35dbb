//! A store that fails on purpose.

use std::fmt;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use snapshot_core::{Content, Created, Generation, Key, Sink, SnapshotStore, StoreError};

/// One call of a [`SnapshotStore`], as [`FaultyStore`] shows it to the test.
///
/// ```
/// use snapshot_core::Key;
/// use snapshot_store::Operation;
/// assert_eq!(Operation::Create(Key::Journal(1)).key(), Some(Key::Journal(1)));
/// assert_eq!(Operation::ListParts(None).key(), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// [`SnapshotStore::create`].
    Create(Key),
    /// [`SnapshotStore::read`].
    Read(Key),
    /// [`SnapshotStore::list_parts`].
    ListParts(Option<Generation>),
    /// [`SnapshotStore::delete`].
    Delete(Key),
}

impl Operation {
    /// The object that it is about; a listing is about none.
    pub fn key(self) -> Option<Key> {
        match self {
            Self::Create(key) | Self::Read(key) | Self::Delete(key) => Some(key),
            Self::ListParts(_) => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(key) => write!(f, "create {key}"),
            Self::Read(key) => write!(f, "read {key}"),
            Self::ListParts(_) => f.write_str("list parts"),
            Self::Delete(key) => write!(f, "delete {key}"),
        }
    }
}

/// What shall go wrong with an [`Operation`].
///
/// ```
/// use snapshot_store::Fault;
/// assert_eq!(Fault::default(), Fault::None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Fault {
    /// Nothing: it is done.
    #[default]
    None,
    /// It is not done, and fails with an error of this kind.
    Fail(io::ErrorKind),
    /// It is not done, and there is no answer, ever. What it was to write is let go of when the call is dropped.
    Hang,
    /// It is done, and fails all the same, with [`io::ErrorKind::TimedOut`] (D7: an error says nothing about the outcome).
    LoseAnswer,
}

/// A store around another one, for tests: a closure says for each call what shall go wrong with it.
///
/// The closure is called once for each call, in their order, before anything else is done; clones share it.
///
/// ```
/// use bytes::Bytes;
/// use snapshot_core::{Created, Key, SnapshotStore};
/// use snapshot_store::{Fault, FaultyStore, MemoryStore, Operation};
///
/// # futures::executor::block_on(async {
/// let mut created = 0;
/// let store = FaultyStore::new(MemoryStore::new(), move |operation| {
///     let Operation::Create(_) = operation else { return Fault::None };
///     created += 1;
///     match created {
///         1 => Fault::Fail(std::io::ErrorKind::StorageFull),
///         2 => Fault::LoseAnswer,
///         _ => Fault::None,
///     }
/// });
/// let key = Key::Journal(1);
/// assert!(store.create(key, Bytes::from("first").into()).await.unwrap_err().is_full());
/// assert!(store.create(key, Bytes::from("second").into()).await.is_err());
/// assert_eq!(store.create(key, Bytes::from("third").into()).await?, Created::Exists);
/// # Ok::<(), snapshot_core::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct FaultyStore<S> {
    store: S,
    faults: Arc<Mutex<Faults>>,
}

type Faults = dyn FnMut(Operation) -> Fault + Send;

impl<S> FaultyStore<S> {
    /// A store that does what `store` does, but for what `faults` says.
    pub fn new(store: S, faults: impl FnMut(Operation) -> Fault + Send + 'static) -> Self {
        Self { store, faults: Arc::new(Mutex::new(faults)) }
    }

    /// The store behind it, where nothing goes wrong.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// What becomes of the operation: whether its answer is lost, or at once its failure.
    async fn fault(&self, operation: Operation) -> Result<Answer, StoreError> {
        // The lock is not held while it waits.
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner)(operation);
        match fault {
            Fault::None => Ok(Answer::Given),
            Fault::Hang => pending().await,
            Fault::Fail(kind) => Err(StoreError::new(format!("cannot {operation}"), kind.into())),
            Fault::LoseAnswer => Ok(Answer::Lost(operation)),
        }
    }
}

enum Answer {
    Given,
    Lost(Operation),
}

impl Answer {
    fn to<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match self {
            Self::Given => result,
            Self::Lost(operation) => Err(StoreError::new(
                format!("no answer to {operation}: it may have been done"),
                io::ErrorKind::TimedOut.into(),
            )),
        }
    }
}

#[async_trait]
impl<S: SnapshotStore> SnapshotStore for FaultyStore<S> {
    /// # Cancel safety
    ///
    /// That of the store behind it.
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        let answer = self.fault(Operation::Create(key)).await?;
        answer.to(self.store.create(key, content).await)
    }

    /// # Cancel safety
    ///
    /// That of the store behind it.
    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        let answer = self.fault(Operation::Read(key)).await?;
        answer.to(self.store.read(key, sink).await)
    }

    /// # Cancel safety
    ///
    /// That of the store behind it.
    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        let answer = self.fault(Operation::ListParts(generation)).await?;
        answer.to(self.store.list_parts(generation).await)
    }

    /// # Cancel safety
    ///
    /// That of the store behind it.
    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        let answer = self.fault(Operation::Delete(key)).await?;
        answer.to(self.store.delete(key).await)
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("store", &self.store).finish_non_exhaustive()
    }
}
