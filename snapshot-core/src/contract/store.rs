//! The trait that stands between a node and durable storage.

use std::error::Error;
use std::fmt;
use std::io::{self, Read as _};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::vocabulary::id::Generation;
use crate::vocabulary::key::{Created, Key};

/// Where the parts of snapshots and the group's journal are kept. One store per group, shared by all its nodes.
///
/// A store knows nothing of the protocol: it keeps objects under keys. All formats are the core's.
///
/// # Contract
///
/// * **D1** One winner: of any number of `create` calls for one key, by any processes, at most one returns
///   [`Created::New`]; all others return [`Created::Exists`] or an error, and change nothing.
/// * **D2** Durable when it says so: an object that a `create` has reported, as [`Created::New`] or as [`Created::Exists`], or
///   that a `read` has found, is still there after the process, or the machine, has crashed. (Whoever is told of an object
///   builds on it, although the one who wrote it may have died before it was told anything.)
/// * **D3** Whole objects or none: `read` gives all that was written or says that there is nothing; never a part of it, not
///   even while it is being written or after a crash half-way.
/// * **D4** A `read` that begins after a `create` has returned, be it [`Created::New`] or [`Created::Exists`], finds the object.
/// * **D5** `list_parts` gives every part whose `create` returned some time ago and that was not deleted, each once, and nothing
///   that never was; it may lag.
/// * **D6** `delete` of an object that is not there is no error; after `delete` has returned, `read` finds nothing.
/// * **D7** An error says nothing about the outcome: the object may or may not be there, whole (D3). So does a call that is
///   dropped. A store that cannot be reached is an error, and never an empty store.
/// * **D8** A failure of the closure in a [`Content`] leaves no object behind, and is returned; so is a failure of the one in a
///   [`Sink`]. Whatever kind of [`io::Error`] it is: it says nothing about the store. A panic in a closure may go on to the
///   caller, and leaves no object and no harm behind either.
///
/// One line runs a test of each clause, `snapshot_conformance::store!(…)`: see the crate
/// `snapshot-conformance`.
///
/// Futures of a store run until they are done, until nothing has happened in them for the node's
/// [`store_timeout`](crate::NodeBuilder::store_timeout), or until the node is dropped. Closures may be called on any thread: a store
/// that blocks calls them on threads of its own, so that they stay off the message loop.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// Writes the object unless there is one (D1, D2, D3).
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError>;

    /// Reads the object into `sink` and returns whether there was one. Where there is none, `sink` is not called.
    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError>;

    /// The keys of the parts of one generation, or of all, in any order (D5). [`Key::Part`] and nothing else.
    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError>;

    /// Removes the object (D6). Only parts and evidence are ever deleted.
    async fn delete(&self, key: Key) -> Result<(), StoreError>;
}

#[async_trait]
impl<T: SnapshotStore + ?Sized> SnapshotStore for Arc<T> {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        (**self).create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        (**self).read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        (**self).list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        (**self).delete(key).await
    }
}

/// What an object shall contain: a closure that writes it, called at most once.
///
/// ```
/// use snapshot_core::Content;
/// let content = Content::new(|out| out.write_all(b"hello"));
/// let mut bytes = Vec::new();
/// content.write_to(&mut bytes)?;
/// assert_eq!(bytes, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Content(Writer);

type Writer = Box<dyn FnOnce(&mut dyn io::Write) -> io::Result<()> + Send>;
type Reader = Box<dyn FnOnce(&mut dyn io::Read) -> io::Result<()> + Send>;

impl Content {
    /// Content that `write` produces.
    pub fn new(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static) -> Self {
        Self(Box::new(write))
    }

    /// Produces it. Writes come in pieces of any size, many of them small: give a buffered writer. What a state writes at one time is
    /// given on by [`write_vectored`](io::Write::write_vectored), up to 1 MiB in a call: a writer that has it copies nothing.
    ///
    /// # Errors
    ///
    /// What `out` says, or what stopped the content from being made.
    pub fn write_to(self, out: &mut dyn io::Write) -> io::Result<()> {
        (self.0)(out)
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::new(move |out| out.write_all(&bytes))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

/// Where an object is read to: a closure that takes it in, called at most once.
///
/// ```
/// use snapshot_core::Sink;
/// let (sink, result) = Sink::collect();
/// sink.read_from(&mut &b"hello"[..])?;
/// assert_eq!(result.take().as_deref(), Some(&b"hello"[..]));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Sink(Reader);

impl Sink {
    /// Content is given to `read`.
    pub fn new(read: impl FnOnce(&mut dyn io::Read) -> io::Result<()> + Send + 'static) -> Self {
        Self(Box::new(read))
    }

    /// A sink that keeps the bytes, for records and seats, and the place where they are found afterwards. Of an object over
    /// 64 MiB, which can be neither, it keeps that much and no more.
    pub fn collect() -> (Self, Collected<Vec<u8>>) {
        const LIMIT: u64 = 64 << 20;
        Self::collecting(|input| {
            let mut bytes = Vec::new();
            input.take(LIMIT).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }

    /// A sink that keeps what `read` makes of the bytes, and the place where it is found afterwards.
    pub fn collecting<T: Send + 'static>(
        read: impl FnOnce(&mut dyn io::Read) -> io::Result<T> + Send + 'static,
    ) -> (Self, Collected<T>) {
        let place = Collected(Arc::new(std::sync::Mutex::new(None)));
        let kept = place.clone();
        let sink = Self::new(move |input| {
            let value = read(input)?;
            *kept.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(value);
            Ok(())
        });
        (sink, place)
    }

    /// Takes the object in. Reads come in pieces of any size, many of them small: give a buffered reader. Those of a large part are of
    /// 256 KiB.
    ///
    /// # Errors
    ///
    /// What `input` says, or what is wrong with the bytes.
    pub fn read_from(self, input: &mut dyn io::Read) -> io::Result<()> {
        (self.0)(input)
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// The place where a [`Sink`] leaves what it read.
///
/// ```
/// use snapshot_core::Sink;
/// let (sink, count) = Sink::collecting(|input| std::io::copy(input, &mut std::io::sink()));
/// sink.read_from(&mut &b"five!"[..])?;
/// assert_eq!(count.take(), Some(5));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Collected<T>(Arc<std::sync::Mutex<Option<T>>>);

impl<T> Collected<T> {
    /// Takes it out; `None` where nothing was read.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A store could not do what it was asked (D7). Display names the operation; the source says what the system said.
///
/// ```
/// use snapshot_core::StoreError;
/// let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
/// let error = StoreError::new("cannot write journal/1", full);
/// assert!(error.is_full());
/// ```
#[derive(Clone, Debug)]
pub struct StoreError {
    message: String,
    kind: io::ErrorKind,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// What was tried, and what the system said.
    pub fn new(message: impl Into<String>, source: io::Error) -> Self {
        Self { message: message.into(), kind: source.kind(), source: Some(Arc::new(source)) }
    }

    /// What went wrong, where there is no error of the system behind it.
    pub fn other(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: io::ErrorKind::Other, source: None }
    }

    /// Whether there is no space left.
    pub fn is_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the store may not be written to.
    pub fn is_read_only(&self) -> bool {
        matches!(self.kind, io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
    }

    /// Whether the store did not answer in time.
    pub fn is_timed_out(&self) -> bool {
        self.kind == io::ErrorKind::TimedOut
    }

    /// Whether the bytes of an object were not what they should be.
    pub fn is_invalid_data(&self) -> bool {
        self.kind == io::ErrorKind::InvalidData
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_what_the_system_said() {
        use io::ErrorKind::*;
        let kinds =
            [StorageFull, QuotaExceeded, ReadOnlyFilesystem, PermissionDenied, InvalidData, TimedOut, Other];
        let asked = kinds.map(|kind| {
            let error = StoreError::new("cannot write", io::Error::new(kind, "so it is"));
            assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("so it is"));
            [error.is_full(), error.is_read_only(), error.is_invalid_data(), error.is_timed_out()]
        });
        let only = |place: usize| std::array::from_fn(|at| at == place);
        assert_eq!(asked, [only(0), only(0), only(1), only(1), only(2), only(3), [false; 4]]);
        assert!(StoreError::other("cannot write").source().is_none());
    }
}
