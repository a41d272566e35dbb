//! A store that does not answer must not hold up the node for ever: after a time without an answer, and without a byte, it has
//! failed (D7). Decides nothing else.

use std::io::{self, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};

use crate::contract::clock::Clock;
use crate::contract::store::{Content, Sink, SnapshotStore, StoreError};
use crate::vocabulary::id::Generation;
use crate::vocabulary::key::{Created, Key};

/// A store whose calls end.
pub(crate) struct Patience {
    store: Arc<dyn SnapshotStore>,
    clock: Arc<dyn Clock>,
    /// A call in which nothing happens for this long has failed; noticed after twice this time at the latest.
    limit: Duration,
}

impl Patience {
    pub(crate) fn new(store: Arc<dyn SnapshotStore>, clock: Arc<dyn Clock>, limit: Duration) -> Self {
        Self { store, clock, limit }
    }

    /// The answer of a call, or that there is none; then the call is dropped.
    async fn within<T>(
        &self,
        what: impl FnOnce() -> String,
        progress: &Progress,
        mut call: BoxFuture<'_, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        loop {
            let before = progress.count();
            let at = self.clock.now().saturating_add(self.limit);
            let sleep = pin!(self.clock.sleep_until(at));
            match select(&mut call, sleep).await {
                Either::Left((answer, _)) => return answer,
                Either::Right(_) if progress.is_ours() || progress.count() != before => {}
                Either::Right(_) => {
                    let message = format!(
                        "the store has not answered for {:?}: {}; see what is wrong with it, or raise `store_timeout`",
                        self.limit,
                        what()
                    );
                    progress.give_up();
                    return Err(StoreError::new(message, io::ErrorKind::TimedOut.into()));
                }
            }
        }
    }
}

#[async_trait]
impl SnapshotStore for Patience {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        let progress = Progress::default();
        let (held, released) = oneshot::channel();
        let content = progress.watch_content(content, held);
        let created =
            self.within(|| format!("create {key}"), &progress, self.store.create(key, content)).await;
        if progress.was_given_up() && matches!(key, Key::Part { .. }) {
            // A thread of the store may have the captured state still. Until it lets go of it there is no answer, and so nothing
            // more is captured: states must not pile up behind a store that hangs.
            let _ = released.await;
        }
        created
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        let progress = Progress::default();
        let sink = progress.watch_sink(sink);
        self.within(|| format!("read {key}"), &progress, self.store.read(key, sink)).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        let progress = Progress::default();
        let what = || match generation {
            Some(generation) => format!("list the parts of {generation}"),
            None => "list parts".to_owned(),
        };
        self.within(what, &progress, self.store.list_parts(generation)).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        let progress = Progress::default();
        self.within(|| format!("delete {key}"), &progress, self.store.delete(key)).await
    }
}

/// Whether a call gets on. Clones see the same.
#[derive(Clone, Default)]
struct Progress(Arc<Shared>);

#[derive(Default)]
struct Shared {
    moves: AtomicU64,
    /// The application encodes or decodes: that takes as long as it takes, and says nothing of the store.
    is_ours: AtomicBool,
    is_given_up: AtomicBool,
}

impl Progress {
    fn count(&self) -> u64 {
        self.0.moves.load(Ordering::Relaxed)
    }

    fn is_ours(&self) -> bool {
        self.0.is_ours.load(Ordering::Relaxed)
    }

    fn give_up(&self) {
        self.0.is_given_up.store(true, Ordering::Relaxed);
    }

    fn was_given_up(&self) -> bool {
        self.0.is_given_up.load(Ordering::Relaxed)
    }

    fn turn_to(&self, is_ours: bool) {
        self.0.moves.fetch_add(1, Ordering::Relaxed);
        self.0.is_ours.store(is_ours, Ordering::Relaxed);
    }

    /// Something that the store does while the application waits for it.
    fn theirs<T>(&self, call: impl FnOnce() -> T) -> T {
        self.turn_to(false);
        let done = call();
        self.turn_to(true);
        done
    }

    /// `held` is dropped with the content, be it written or not.
    fn watch_content(&self, content: Content, held: oneshot::Sender<()>) -> Content {
        let progress = self.clone();
        Content::new(move |out| {
            let _held = held;
            let _ours = Ours::begin(&progress);
            content.write_to(&mut Watched { inner: out, progress: &progress })
        })
    }

    fn watch_sink(&self, sink: Sink) -> Sink {
        let progress = self.clone();
        Sink::new(move |input| {
            let _ours = Ours::begin(&progress);
            sink.read_from(&mut Watched { inner: input, progress: &progress })
        })
    }
}

/// While a closure of ours runs, also if it panics.
struct Ours<'a>(&'a Progress);

impl<'a> Ours<'a> {
    fn begin(progress: &'a Progress) -> Self {
        progress.turn_to(true);
        Self(progress)
    }
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        self.0.turn_to(false);
    }
}

struct Watched<'a, T: ?Sized> {
    inner: &'a mut T,
    progress: &'a Progress,
}

impl<T: Write + ?Sized> Write for Watched<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.progress.theirs(|| self.inner.write(bytes))
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.progress.theirs(|| self.inner.write_vectored(pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.progress.theirs(|| self.inner.flush())
    }
}

impl<T: Read + ?Sized> Read for Watched<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.progress.theirs(|| self.inner.read(buffer))
    }

    fn read_vectored(&mut self, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        self.progress.theirs(|| self.inner.read_vectored(buffers))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;
    use std::task::Poll;

    use futures::FutureExt;
    use futures::executor::block_on;
    use futures::future::poll_fn;

    use super::*;
    use crate::vocabulary::id::NodeId;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Time that goes on when a sleep is looked at for the second time.
    #[derive(Default)]
    struct Leaps(Mutex<Duration>);

    #[async_trait]
    impl Clock for Leaps {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        async fn sleep_until(&self, at: Duration) {
            let mut looks = 0;
            poll_fn(|cx| {
                looks += 1;
                cx.waker().wake_by_ref();
                if looks < 2 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            *self.0.lock().unwrap() = at;
        }
    }

    /// Never answers.
    struct Silence;

    #[async_trait]
    impl SnapshotStore for Silence {
        async fn create(&self, _: Key, _: Content) -> Result<Created, StoreError> {
            pending().await
        }

        async fn read(&self, _: Key, _: Sink) -> Result<bool, StoreError> {
            pending().await
        }

        async fn list_parts(&self, _: Option<Generation>) -> Result<Vec<Key>, StoreError> {
            pending().await
        }

        async fn delete(&self, _: Key) -> Result<(), StoreError> {
            pending().await
        }
    }

    fn patient() -> (Patience, Arc<Leaps>) {
        let clock = Arc::new(Leaps::default());
        (Patience::new(Arc::new(Silence), Arc::clone(&clock) as Arc<dyn Clock>, LIMIT), clock)
    }

    /// Waits until it is looked at again.
    async fn step() {
        let mut is_first = true;
        poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    const KEY: Key = Key::Initial(NodeId(1));

    #[test]
    fn a_call_that_gets_on_may_take_any_time() {
        let (patience, clock) = patient();
        let progress = Progress::default();
        let call = async {
            for _ in 0..50 {
                step().await;
                progress.turn_to(false);
            }
            // Now the application thinks.
            progress.turn_to(true);
            for _ in 0..50 {
                step().await;
            }
            Ok(7)
        };
        let done = block_on(patience.within(|| "it".to_owned(), &progress, call.boxed()));
        assert_eq!(done.expect("it gets on"), 7);
        assert!(clock.now() > 10 * LIMIT, "{:?}", clock.now());
        assert!(!progress.was_given_up());
    }

    #[test]
    fn a_call_that_does_not_get_on_has_failed_and_says_what_it_was_about() {
        let (patience, _) = patient();
        let mut named = Vec::new();
        let (sink, _) = Sink::collect();
        named.extend(block_on(patience.read(KEY, sink)).err());
        named.extend(block_on(patience.create(KEY, bytes::Bytes::new().into())).err());
        named.extend(block_on(patience.list_parts(Some(Generation(7)))).err());
        named.extend(block_on(patience.list_parts(None)).err());
        named.extend(block_on(patience.delete(KEY)).err());
        let named: Vec<String> = named.iter().map(ToString::to_string).collect();
        for (said, what) in
            named.iter().zip(["read ", "create ", "list the parts of g7", "list parts", "delete "])
        {
            assert!(said.contains("has not answered for 5s") && said.contains(what), "{said}");
        }
        assert_eq!(named.len(), 5);
    }

    #[test]
    fn no_time_counts_while_the_application_encodes_or_decodes() {
        let progress = Progress::default();
        let content =
            progress.watch_content(Content::new(|_| panic!("it thinks, and fails")), oneshot::channel().0);
        assert!(!progress.is_ours());
        let thinking = progress.clone();
        let sink = progress.watch_sink(Sink::new(move |input| {
            assert!(thinking.is_ours());
            let before = thinking.count();
            input.read_exact(&mut [0])?;
            assert!(thinking.is_ours() && thinking.count() > before);
            Ok(())
        }));
        sink.read_from(&mut &b"x"[..]).expect("it reads");
        assert!(!progress.is_ours(), "it is the store's again");
        let write = std::panic::AssertUnwindSafe(|| content.write_to(&mut io::sink()));
        assert!(std::panic::catch_unwind(write).is_err() && !progress.is_ours());
    }
}
