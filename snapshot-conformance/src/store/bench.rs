//! Where a store is tried: handles on it, and what each operation must keep to whatever is being tested.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use snapshot_core::{Content, Created, Generation, Key, Sink, SnapshotStore, StoreError};

use super::contents::compared;
use super::{D3, D5, StoreFixture};
use crate::trial::{Trial, caught};
use crate::{Breach, Clause};

/// A fixture, without its types.
pub(super) trait Place: Send + Sync {
    fn open(&self) -> Box<dyn SnapshotStore>;
    fn crash(&self) -> bool;
    fn outage(&self, begins: bool) -> bool;
    fn parts(&self) -> usize;
    fn limit(&self) -> Duration;
    fn run(&self, future: BoxFuture<'_, ()>);
}

impl<F: StoreFixture> Place for F {
    fn open(&self) -> Box<dyn SnapshotStore> {
        Box::new(self.block_on(StoreFixture::open(self)))
    }

    fn crash(&self) -> bool {
        StoreFixture::crash(self)
    }

    fn outage(&self, begins: bool) -> bool {
        StoreFixture::outage(self, begins)
    }

    fn parts(&self) -> usize {
        F::PARTS
    }

    fn limit(&self) -> Duration {
        F::LIMIT
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.block_on(future);
    }
}

/// One thing that a clause says.
pub(super) type Check = fn(&Bench) -> Result<(), Breach>;

/// One place with a store, and the check that is run on it.
pub(super) struct Bench {
    place: Box<dyn Place>,
    pub(super) trial: Trial,
}

impl Bench {
    /// Runs checks of one clause, each with a fresh fixture.
    pub(super) fn run<F: StoreFixture>(clause: Clause, checks: &'static [Check]) -> Result<(), Breach> {
        Trial::run(clause, F::LIMIT, move |trial| {
            checks.iter().try_for_each(|check| {
                trial.step("`new` of the fixture");
                check(&Self { place: Box::new(F::new()), trial: trial.clone() })
            })
        })
    }

    /// Opens the store once more.
    pub(super) fn open(&self, name: &'static str) -> Handle<'_> {
        self.trial.step(format!("`open` of {name}"));
        Handle { bench: self, store: self.place.open(), name }
    }

    /// Two processes.
    pub(super) fn pair(&self) -> [Handle<'_>; 2] {
        [self.open("one process"), self.open("another process")]
    }

    /// All handles must be gone by now.
    pub(super) fn crash(&self) -> bool {
        self.trial.step("`crash` of the fixture");
        self.place.crash()
    }

    pub(super) fn outage(&self, begins: bool) -> bool {
        self.trial.step("`outage` of the fixture");
        self.place.outage(begins)
    }

    pub(super) fn parts(&self) -> usize {
        self.place.parts()
    }

    pub(super) fn limit(&self) -> Duration {
        self.place.limit()
    }

    pub(super) fn broken(&self, seen: impl Into<String>) -> Breach {
        self.trial.broken(seen)
    }

    pub(super) fn block_on<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let mut output = None;
        self.place.run(Box::pin(async { output = Some(future.await) }));
        output.expect("`block_on` of the fixture returns when its future is done")
    }
}

/// The store, opened once.
pub(super) struct Handle<'b> {
    bench: &'b Bench,
    pub(super) store: Box<dyn SnapshotStore>,
    pub(super) name: &'static str,
}

impl Handle<'_> {
    pub(super) fn create_from(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.bench.trial.step(format!("`create` of {key} by {}", self.name));
        self.bench.block_on(self.store.create(key, content))
    }

    pub(super) fn create(&self, key: Key, bytes: impl Into<Bytes>) -> Result<Created, StoreError> {
        self.create_from(key, Content::from(bytes.into()))
    }

    /// A `create` that nothing stands in the way of.
    pub(super) fn put(&self, key: Key, bytes: impl Into<Bytes>) -> Result<(), Breach> {
        self.expect_created(key, Created::New, self.create(key, bytes))
    }

    /// A `create` that comes too late.
    pub(super) fn put_again(&self, key: Key, bytes: impl Into<Bytes>) -> Result<(), Breach> {
        self.expect_created(key, Created::Exists, self.create(key, bytes))
    }

    pub(super) fn expect_created(
        &self,
        key: Key,
        expected: Created,
        found: Result<Created, StoreError>,
    ) -> Result<(), Breach> {
        match found {
            Ok(created) if created == expected => Ok(()),
            Ok(created) => Err(self.bench.broken(format!(
                "`create` of {key} by {} returned {created:?}, where {} object was there before",
                self.name,
                if expected == Created::New { "no" } else { "an" }
            ))),
            Err(error) => Err(self.failed("create", key, &error)),
        }
    }

    pub(super) fn read_into(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.bench.trial.step(format!("`read` of {key} by {}", self.name));
        self.bench.block_on(self.store.read(key, sink))
    }

    /// The object's bytes, if there is one.
    pub(super) fn read(&self, key: Key) -> Result<Option<Vec<u8>>, Breach> {
        self.read_by(key, |input| {
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }

    pub(super) fn read_by(
        &self,
        key: Key,
        read: impl FnOnce(&mut dyn io::Read) -> io::Result<Vec<u8>> + Send + 'static,
    ) -> Result<Option<Vec<u8>>, Breach> {
        let (sink, collected) = Sink::collecting(read);
        let found = self.read_into(key, sink).map_err(|error| self.failed("read", key, &error))?;
        match (found, collected.take()) {
            (true, Some(bytes)) => Ok(Some(bytes)),
            (false, None) => Ok(None),
            (true, None) => Err(D3.broken(format!(
                "`read` of {key} by {} said that there is an object, and did not call the sink",
                self.name
            ))),
            (false, Some(_)) => Err(D3.broken(format!(
                "`read` of {key} by {} called the sink, and said that there is nothing",
                self.name
            ))),
        }
    }

    /// That the object is there, and is this.
    pub(super) fn must_hold(&self, key: Key, expected: &[u8], when: &str) -> Result<(), Breach> {
        match self.read(key)? {
            Some(bytes) if bytes == expected => Ok(()),
            found => Err(self.bench.broken(format!(
                "`read` of {key} by {} {when} found {}",
                self.name,
                compared(found.as_deref(), expected)
            ))),
        }
    }

    /// That there is no such object.
    pub(super) fn must_miss(&self, key: Key, when: &str) -> Result<(), Breach> {
        match self.read(key)? {
            None => Ok(()),
            Some(bytes) => Err(self.bench.broken(format!(
                "`read` of {key} by {} {when} found an object of {} bytes",
                self.name,
                bytes.len()
            ))),
        }
    }

    /// What is listed. Of whatever clause the check is: parts, each once, of that generation.
    pub(super) fn list(&self, generation: Option<Generation>) -> Result<BTreeSet<Key>, Breach> {
        self.list_held(generation, usize::MAX, || ())
    }

    /// The same, held after so many polls, if it takes more, until something else was done.
    pub(super) fn list_held(
        &self,
        generation: Option<Generation>,
        polls: usize,
        meanwhile: impl FnOnce() + Send,
    ) -> Result<BTreeSet<Key>, Breach> {
        let which = generation.map_or("all".to_owned(), |generation| generation.to_string());
        self.bench.trial.step(format!("`list_parts` of {which} by {}", self.name));
        let mut call = self.store.list_parts(generation);
        let (mut left, mut meanwhile) = (polls, Some(meanwhile));
        let listed = self.bench.block_on(poll_fn(|cx| {
            if left == 0
                && let Some(meanwhile) = meanwhile.take()
            {
                meanwhile();
            }
            left = left.saturating_sub(1);
            call.as_mut().poll(cx)
        }));
        let listed = listed.map_err(|error| self.failed("list_parts", format_args!("of {which}"), &error))?;
        let mut keys = BTreeSet::new();
        for key in listed {
            let problem =
                match key {
                    Key::Part { snapshot, .. }
                        if generation.is_none_or(|wanted| wanted == snapshot.generation) =>
                    {
                        if keys.insert(key) { continue } else { "twice" }
                    }
                    Key::Part { .. } => "of another generation",
                    _ => "which is no part",
                };
            return Err(D5.broken(format!("`list_parts` of {which} by {} gave {key}, {problem}", self.name)));
        }
        Ok(keys)
    }

    pub(super) fn delete(&self, key: Key) -> Result<(), Breach> {
        self.bench.trial.step(format!("`delete` of {key} by {}", self.name));
        let deleted = self.bench.block_on(self.store.delete(key));
        deleted.map_err(|error| self.failed("delete", key, &error))
    }

    /// Nothing was done to this store that an operation could fail from.
    pub(super) fn failed(&self, operation: &str, what: impl std::fmt::Display, error: &StoreError) -> Breach {
        self.bench.broken(format!("`{operation}` {what} by {} failed: {}", self.name, chain(error)))
    }
}

/// Calls that may end in a panic of the store: `None`, where they do.
pub(super) fn unless_panic<T>(call: impl FnOnce() -> T) -> Option<T> {
    caught(call).ok()
}

/// The first breach of several threads.
pub(super) fn first<T>(results: impl IntoIterator<Item = Result<T, Breach>>) -> Result<Vec<T>, Breach> {
    results.into_iter().collect()
}

/// For contents that several closures share.
pub(super) fn shared(bytes: Vec<u8>) -> Arc<Vec<u8>> {
    Arc::new(bytes)
}

/// How far a call is let go at most before it is dropped.
pub(super) const POLLS: usize = 12;

/// Polls as often as this, if it takes so long, and drops the call. Returns whether it was done by then.
pub(super) fn poll_and_drop<T: Send>(bench: &Bench, mut call: BoxFuture<'_, T>, polls: usize) -> bool {
    bench.trial.step(format!("a call that is dropped after {polls} polls"));
    let mut left = polls;
    bench.block_on(poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match call.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    }))
}

/// An error and all that caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
