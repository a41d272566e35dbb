//! A store in a process whose disk fails on order, or in which the process dies at a moment that no signal from outside would hit.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use snapshot_core::{Content, Created, Generation, Key, Sink, SnapshotStore, StoreError};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

/// How long each operation takes on a slow disk, beyond what it takes anyway.
const SLOW: Duration = Duration::from_millis(150);

/// What is wrong with the disk.
///
/// ```
/// use snapshot_examples::chaos::DiskFault;
/// assert_eq!("full".parse(), Ok(DiskFault::Full));
/// assert_eq!(DiskFault::Full.to_string(), "full");
/// assert!("fulll".parse::<DiskFault>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum DiskFault {
    /// Nothing.
    #[default]
    None,
    /// There is no space left: half of an object can be written, and no whole one.
    Full,
    /// Everything takes longer.
    Slow,
    /// Nothing is answered until it is over: of parts it is not done, of the rest it is done.
    Hang,
    /// The process dies when it has written half of a part.
    DieInPart,
    /// The process dies before it writes a record of the journal.
    DieBeforeRecord,
    /// The process dies when it has written a record of the journal.
    DieAfterRecord,
    /// The process dies while it reads a part.
    DieReading,
}

/// There is no fault of this name.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("there is no fault of a disk that is called '{0}'")]
pub struct UnknownDiskFault(String);

const NAMES: [(DiskFault, &str); 8] = [
    (DiskFault::None, "none"),
    (DiskFault::Full, "full"),
    (DiskFault::Slow, "slow"),
    (DiskFault::Hang, "hang"),
    (DiskFault::DieInPart, "die-in-part"),
    (DiskFault::DieBeforeRecord, "die-before-record"),
    (DiskFault::DieAfterRecord, "die-after-record"),
    (DiskFault::DieReading, "die-reading"),
];

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(fault, _)| fault == self).map_or("none", |(_, name)| name))
    }
}

impl FromStr for DiskFault {
    type Err = UnknownDiskFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(fault, _)| *fault).ok_or_else(|| UnknownDiskFault(text.to_owned()))
    }
}

/// A store around another one. What is wrong with its disk is told by a [`DiskControl`], at any time.
///
/// It needs the runtime of tokio, for its pauses.
///
/// ```
/// use bytes::Bytes;
/// use snapshot_core::{Key, SnapshotStore};
/// use snapshot_examples::chaos::{DiskFault, FaultyDisk};
/// use snapshot_store::MemoryStore;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let (store, control) = FaultyDisk::around(MemoryStore::new(), DiskFault::Full);
/// let refused = store.create(Key::Journal(1), Bytes::from("record").into()).await;
/// assert!(refused.unwrap_err().is_full());
/// control.set(DiskFault::None);
/// store.create(Key::Journal(1), Bytes::from("record").into()).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FaultyDisk<S> {
    store: S,
    fault: watch::Receiver<DiskFault>,
}

/// Says what is wrong with a [`FaultyDisk`].
#[derive(Debug)]
pub struct DiskControl(watch::Sender<DiskFault>);

impl DiskControl {
    /// From now on this is wrong; what hung before goes on, unless it is that.
    pub fn set(&self, fault: DiskFault) {
        self.0.send_replace(fault);
    }
}

impl<S> FaultyDisk<S> {
    /// A store that does what `store` does, but for what is wrong.
    pub fn around(store: S, fault: DiskFault) -> (Self, DiskControl) {
        let (tell, told) = watch::channel(fault);
        (Self { store, fault: told }, DiskControl(tell))
    }

    fn fault(&self) -> DiskFault {
        *self.fault.borrow()
    }

    /// Lets time pass where the disk takes it.
    async fn wait(&self) {
        if self.fault() == DiskFault::Slow {
            sleep(SLOW).await;
        }
    }

    /// While the disk hangs.
    async fn hang(&self) {
        // Without anybody who could end it nothing hangs.
        let _ = self.fault.clone().wait_for(|fault| *fault != DiskFault::Hang).await;
    }
}

#[async_trait]
impl<S: SnapshotStore> SnapshotStore for FaultyDisk<S> {
    /// # Cancel safety
    ///
    /// That of the store behind it.
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.wait().await;
        let (part, record) = (matches!(key, Key::Part { .. }), matches!(key, Key::Journal(_)));
        let content = match self.fault() {
            DiskFault::Full => half(content, || Err(io::ErrorKind::StorageFull.into())),
            DiskFault::DieInPart if part => half(content, die),
            DiskFault::DieBeforeRecord if record => die(),
            DiskFault::Hang if part => {
                self.hang().await;
                content
            }
            _ => content,
        };
        let created = self.store.create(key, content).await;
        if record && self.fault() == DiskFault::DieAfterRecord && matches!(created, Ok(Created::New)) {
            die::<()>();
        }
        self.hang().await;
        created
    }

    /// # Cancel safety
    ///
    /// That of the store behind it.
    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.wait().await;
        if self.fault() == DiskFault::DieReading && matches!(key, Key::Part { .. }) {
            die::<()>();
        }
        let found = self.store.read(key, sink).await;
        self.hang().await;
        found
    }

    /// # Cancel safety
    ///
    /// That of the store behind it.
    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.wait().await;
        let listed = self.store.list_parts(generation).await;
        self.hang().await;
        listed
    }

    /// # Cancel safety
    ///
    /// That of the store behind it.
    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.wait().await;
        let deleted = self.store.delete(key).await;
        self.hang().await;
        deleted
    }
}

/// Content of which the first half of the first piece can be written; then comes `then`.
fn half(content: Content, then: impl FnOnce() -> io::Result<()> + Send + 'static) -> Content {
    Content::new(move |out| content.write_to(&mut Half { out, then: Some(then) }))
}

struct Half<'a, F> {
    out: &'a mut dyn Write,
    then: Option<F>,
}

impl<F: FnOnce() -> io::Result<()>> Write for Half<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(then) = self.then.take() {
            self.out.write_all(&bytes[..bytes.len() / 2])?;
            self.out.flush()?;
            then()?;
        }
        // It was tried once, and is not to be had the second time either.
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Ends this process as SIGKILL from outside does.
#[cfg(unix)]
fn die<T>() -> T {
    // A process may always signal itself, and this one does not return.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

#[cfg(not(unix))]
fn die<T>() -> T {
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;
    use snapshot_core::{NodeId, SnapshotId};
    use snapshot_store::MemoryStore;

    use super::*;

    fn part() -> Key {
        let snapshot = SnapshotId { generation: Generation(1), sequence: 1, initiator: NodeId(1) };
        Key::Part { snapshot, node: NodeId(1) }
    }

    fn content() -> Content {
        Bytes::from("content").into()
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test);
    }

    #[test]
    fn on_a_full_disk_nothing_is_written_whole_and_all_is_read() {
        run(async {
            let (store, control) = FaultyDisk::around(MemoryStore::new(), DiskFault::None);
            store.create(Key::Journal(1), content()).await.expect("there is space");
            control.set(DiskFault::Full);
            for key in [part(), Key::Journal(2)] {
                assert!(store.create(key, content()).await.expect_err("it is full").is_full());
                let (sink, _) = Sink::collect();
                assert!(!store.read(key, sink).await.expect("it can be read"), "{key}");
            }
            let (sink, bytes) = Sink::collect();
            assert!(store.read(Key::Journal(1), sink).await.expect("it can be read"));
            assert_eq!(bytes.take().as_deref(), Some(&b"content"[..]));
        });
    }

    #[test]
    fn a_disk_that_hangs_has_not_done_parts_and_has_done_the_rest_and_answers_when_it_is_over() {
        run(async {
            let inner = MemoryStore::new();
            let (store, control) = FaultyDisk::around(inner.clone(), DiskFault::Hang);
            for (key, done) in [(part(), false), (Key::Journal(1), true)] {
                let mut creating = store.create(key, content());
                assert!((&mut creating).now_or_never().is_none(), "{key} hangs");
                let (sink, _) = Sink::collect();
                assert_eq!(inner.read(key, sink).await.expect("it can be read"), done, "{key}");
                control.set(DiskFault::None);
                assert_eq!(creating.await.expect("it is over"), Created::New);
                control.set(DiskFault::Hang);
            }
            assert!(store.list_parts(None).now_or_never().is_none());
            drop(control);
            assert_eq!(store.list_parts(None).await.expect("nobody could end it"), [part()]);
        });
    }

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for (fault, name) in NAMES {
            assert_eq!((fault.to_string().as_str(), name.parse()), (name, Ok(fault)));
        }
    }
}
