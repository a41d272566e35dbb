//! A store that takes virtual time, fails as a seed decides, and does some writes later than it says.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::io;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use snapshot_core::{Clock, Content, Created, Generation, Key, NodeId, Sink, SnapshotStore, StoreError};
use snapshot_store::MemoryStore;

use super::process::Death;
use super::trace::Trace;
use super::{FaultKind, Random};

/// The group's store, as the simulation sees it.
#[derive(Clone)]
pub(super) struct Storage {
    pub(super) memory: MemoryStore,
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    trace: Trace,
    weather: Mutex<Weather>,
}

/// How things stand at present.
pub(super) struct Weather {
    random: Random,
    /// The longest that an operation waits before it is done, and again before its answer.
    pub(super) slowness: Duration,
    /// Percentages.
    pub(super) errors: u64,
    pub(super) lost_answers: u64,
    pub(super) stale_listings: u64,
    pub(super) late_writes: u64,
    pub(super) torn_writes: u64,
    pub(super) crashes: u64,
    pub(super) full_until: Duration,
    pub(super) faults: BTreeMap<FaultKind, u64>,
    /// When each part became visible; only the newest are looked at.
    created: BTreeMap<Key, Duration>,
    /// Writes that nobody waits for any more, and when they are done.
    late: BTreeMap<(Duration, Key), Vec<u8>>,
    /// Processes that die at an operation, and how.
    doomed: BTreeMap<u64, Death>,
    journal_grew: bool,
}

/// What shall become of one operation.
struct Fate {
    before: Duration,
    end: End,
    after: Duration,
}

/// How an operation ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    /// It is not done.
    Error(io::ErrorKind),
    /// It is done, and the answer is lost.
    NoAnswer,
    /// The process dies before it is done.
    DeathBefore,
    /// The process dies after it is done, before the answer.
    DeathAfter,
}

impl Storage {
    /// In calm weather.
    pub(super) fn new(clock: Arc<dyn Clock>, trace: Trace, random: Random) -> Self {
        let weather = Weather {
            random,
            slowness: Duration::ZERO,
            errors: 0,
            lost_answers: 0,
            stale_listings: 0,
            late_writes: 0,
            torn_writes: 0,
            crashes: 0,
            full_until: Duration::ZERO,
            faults: BTreeMap::new(),
            created: BTreeMap::new(),
            late: BTreeMap::new(),
            doomed: BTreeMap::new(),
            journal_grew: false,
        };
        let shared = Shared { clock, trace, weather: Mutex::new(weather) };
        Self { memory: MemoryStore::new(), shared: Arc::new(shared) }
    }

    /// The store as this process of this node has it.
    pub(super) fn of(&self, node: NodeId, process: u64) -> impl SnapshotStore + use<> {
        NodeStore { node, process, storage: self.clone() }
    }

    /// How this process has just died at an operation, if it has.
    pub(super) fn take_doom(&self, process: u64) -> Option<Death> {
        self.weather().doomed.remove(&process)
    }

    pub(super) fn weather(&self) -> MutexGuard<'_, Weather> {
        self.shared.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing goes wrong and nothing takes time. Late writes still come.
    pub(super) fn calm(&self) {
        let mut weather = self.weather();
        weather.slowness = Duration::ZERO;
        (weather.errors, weather.lost_answers, weather.stale_listings) = (0, 0, 0);
        (weather.late_writes, weather.torn_writes, weather.crashes) = (0, 0, 0);
        weather.full_until = Duration::ZERO;
    }

    /// Does the late writes that are due by now.
    pub(super) fn tide(&self) {
        let now = self.shared.clock.now();
        loop {
            let mut weather = self.weather();
            let due = weather.late.first_entry().filter(|entry| entry.key().0 <= now);
            let Some(((_, key), bytes)) = due.map(|entry| entry.remove_entry()) else { return };
            drop(weather);
            // In memory nothing fails.
            let created = at_once(self.put(key, bytes));
            self.shared.trace.line(format_args!("store: a late write of {key}: {created:?}"));
        }
    }

    /// What was asked of it and has not been done goes to the store that is no more.
    pub(super) fn exchange(&mut self, memory: MemoryStore) {
        self.memory = memory;
        let mut weather = self.weather();
        weather.late.clear();
        weather.created.clear();
        weather.journal_grew = true;
    }

    /// Whether the journal has grown since this was last asked.
    pub(super) fn take_journal_grew(&self) -> bool {
        mem::take(&mut self.weather().journal_grew)
    }

    async fn put(&self, key: Key, bytes: Vec<u8>) -> Result<Created, StoreError> {
        let created = self.memory.create(key, bytes::Bytes::from(bytes).into()).await?;
        if created == Created::New {
            let mut weather = self.weather();
            match key {
                Key::Journal(_) => weather.journal_grew = true,
                Key::Part { .. } => drop(weather.created.insert(key, self.shared.clock.now())),
                _ => {}
            }
        }
        Ok(created)
    }
}

impl Weather {
    pub(super) fn count(&mut self, kind: FaultKind) {
        *self.faults.entry(kind).or_default() += 1;
    }

    fn fate(&mut self, now: Duration, writes: bool) -> Fate {
        let mut fate = Fate { before: Duration::ZERO, end: End::Well, after: Duration::ZERO };
        if !self.slowness.is_zero() {
            self.count(FaultKind::SlowStore);
            fate.before = self.random.time(..=self.slowness);
            fate.after = self.random.time(..=self.slowness);
        }
        if self.random.chance(self.errors) {
            self.count(FaultKind::StoreError);
            fate.end = End::Error(io::ErrorKind::TimedOut);
        } else if self.random.chance(self.lost_answers) {
            self.count(FaultKind::LostAnswer);
            fate.end = End::NoAnswer;
        } else if self.random.chance(self.crashes) {
            self.count(FaultKind::StoreCrash);
            fate.end = if self.random.chance(50) { End::DeathBefore } else { End::DeathAfter };
        } else if writes && now < self.full_until {
            fate.end = End::Error(io::ErrorKind::StorageFull);
        }
        fate
    }

    fn doom(&mut self, process: u64) {
        let death = if self.random.chance(50) { Death::Killed } else { Death::Crashed };
        self.doomed.insert(process, death);
    }

    /// After how many bytes the medium fails, if the write is longer.
    fn tear(&mut self) -> Option<usize> {
        let percent = self.torn_writes;
        self.random.chance(percent).then(|| self.random.below(200) as usize)
    }
}

struct NodeStore {
    node: NodeId,
    process: u64,
    storage: Storage,
}

impl NodeStore {
    /// Waits until the operation is to be done, or fails. Returns how it is to end.
    async fn begin(&self, what: &str, writes: bool) -> Result<Fate, StoreError> {
        let shared = &self.storage.shared;
        let fate = self.storage.weather().fate(shared.clock.now(), writes);
        self.wait(fate.before).await;
        match fate.end {
            End::Error(kind) => {
                shared.trace.line(format_args!("store: {} cannot {what}: {kind}", self.node));
                Err(StoreError::new(format!("cannot {what}"), kind.into()))
            }
            End::DeathBefore => self.die(&format!("before it can {what}")).await,
            End::Well | End::NoAnswer | End::DeathAfter => Ok(fate),
        }
    }

    /// Waits until the answer is there, or is known to be lost.
    async fn end<T>(&self, what: &str, fate: Fate, answer: T) -> Result<T, StoreError> {
        self.wait(fate.after).await;
        match fate.end {
            End::NoAnswer => {
                self.storage.shared.trace.line(format_args!("store: {} gets no answer to {what}", self.node));
                Err(StoreError::new(format!("no answer to {what}"), io::ErrorKind::TimedOut.into()))
            }
            End::DeathAfter => self.die(&format!("before the answer to {what}")).await,
            End::Well | End::Error(_) | End::DeathBefore => Ok(answer),
        }
    }

    /// The process dies here: whoever polls it finds its doom, and does not poll it again.
    async fn die<T>(&self, when: &str) -> T {
        self.storage.weather().doom(self.process);
        self.storage.shared.trace.line(format_args!("store: {} dies {when}", self.node));
        pending().await
    }

    async fn wait(&self, time: Duration) {
        if !time.is_zero() {
            let clock = &self.storage.shared.clock;
            clock.sleep_until(clock.now() + time).await;
        }
    }
}

#[async_trait]
impl SnapshotStore for NodeStore {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        let what = format!("create {key}");
        let mut medium = Medium { bytes: Vec::new(), fails_after: self.storage.weather().tear() };
        if let Err(error) = content.write_to(&mut medium) {
            if medium.has_failed() {
                self.storage.weather().count(FaultKind::TornWrite);
            }
            self.storage.shared.trace.line(format_args!("store: {} cannot {what}: {error}", self.node));
            return Err(StoreError::new(format!("cannot {what}"), error));
        }
        let bytes = medium.bytes;
        let mut under_way = UnderWay { storage: &self.storage, key, bytes };
        let full = |error: &StoreError| {
            if error.is_full() {
                under_way.bytes.clear();
            }
        };
        let fate = self.begin(&what, true).await.inspect_err(full)?;
        let created = self.storage.put(key, mem::take(&mut under_way.bytes)).await?;
        self.storage.shared.trace.line(format_args!("store: {} {what}: {created:?}", self.node));
        self.end(&what, fate, created).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        let what = format!("read {key}");
        let fate = self.begin(&what, false).await?;
        let found = self.storage.memory.read(key, sink).await?;
        self.end(&what, fate, found).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        let fate = self.begin("list parts", false).await?;
        let mut keys = self.storage.memory.list_parts(generation).await?;
        self.storage.leave_out_the_newest(&mut keys);
        self.end("list parts", fate, keys).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        let what = format!("delete {key}");
        let fate = self.begin(&what, true).await?;
        self.storage.memory.delete(key).await?;
        self.end(&what, fate, ()).await
    }
}

/// Where an object is written to before it becomes visible.
struct Medium {
    bytes: Vec<u8>,
    fails_after: Option<usize>,
}

impl Medium {
    fn has_failed(&self) -> bool {
        self.fails_after.is_some_and(|limit| limit <= self.bytes.len())
    }
}

impl io::Write for Medium {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_failed() {
            return Err(io::Error::other("the medium failed half-way"));
        }
        let room = self.fails_after.map_or(usize::MAX, |limit| limit - self.bytes.len());
        let taken = bytes.len().min(room);
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long a listing may lag behind.
const LAG: Duration = Duration::from_millis(50);

impl Storage {
    fn leave_out_the_newest(&self, keys: &mut Vec<Key>) {
        let now = self.shared.clock.now();
        let mut weather = self.weather();
        let percent = weather.stale_listings;
        if !weather.random.chance(percent) {
            return;
        }
        let before = keys.len();
        keys.retain(|key| weather.created.get(key).is_none_or(|at| *at + LAG <= now));
        if keys.len() < before {
            weather.count(FaultKind::StaleListing);
        }
    }
}

/// A write that has not been done. If the process dies meanwhile, or is told of an error, it may be done later.
struct UnderWay<'a> {
    storage: &'a Storage,
    key: Key,
    bytes: Vec<u8>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        let mut weather = self.storage.weather();
        let percent = weather.late_writes;
        if bytes.is_empty() || !weather.random.chance(percent) {
            return;
        }
        weather.count(FaultKind::LateWrite);
        let after = weather.random.time(..Duration::from_millis(200));
        weather.late.insert((self.storage.shared.clock.now() + after, self.key), bytes);
    }
}

/// The output of a future that never waits: what is asked of a store in memory.
///
/// # Panics
///
/// If it waits: the test has put something around the store that does.
pub(super) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => {
            panic!("what stands between a simulation and its store must not wait for anything else")
        }
    }
}
