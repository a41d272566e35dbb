//! A store in memory that is what the contract says, but for one flaw.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use snapshot_core::{Content, Created, Generation, Key, NodeId, Sink, SnapshotId, SnapshotStore, StoreError};

macro_rules! flaws {
    ($($flaw:ident)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Flaw { $($flaw),* }

        impl Flaw {
            pub(crate) const ALL: &[Self] = &[$(Self::$flaw),*];
        }
    };
}

flaws! {
    Flawless
    EveryoneWins Overwrites OverwritesAndSaysExists LooksBeforeTheContent LooksAndThenWaits LooksAndThenWrites
    LooksAndThenWritesWhatIsSmall TheSameIsNew NothingIsNoObject KnowsOnlyItsOwn OneTemporaryFile NobodyWins ChangesWhatExistsIfContentFails
    ForgetsWhenClosed ForgetsEmptyObjects SyncsNever ExistsUnsynced ReadsUnsynced HalfAfterACrash StartsAnewWhenOpened
    NameFirst WritesInPlace CopiesInPlace CutsLargeObjects LosesTheLastBuffer LosesOfLargePieces StoresText ShortensNumbers
    JoinsDigits LeavesOutTheInitiator MixesKinds InventsObjects CallsTheSinkForNothing CutsTheDeletedShort MixesOldAndNew
    ReadsOneBuffer TrimsZeros UnpacksWhatLooksPacked
    WritesBehind RemembersWhatWasMissing ExistsTooEarly OthersSeeItLater RemembersTheOldObject RemembersDeletions
    EveryThirdReadIsStale
    ListsAllGenerations ListsTheDeleted ListsEverything ListsOnePage PassesOverEmptyParts ListsGenerationsThatBeginAlike
    ListsTheFailed ListsTheUnfinished ListsTwice ListsItsOwn FailsToListNothing ListsFirstGenerationOnly
    PagesByOffset PagesByOffsetInOneGo
    NothingCannotBeDeleted KeepsTheDeleted DeletesTheSnapshot DeletesNodesThatBeginAlike NeverFreesTheKey
    ReadsTheDeletedElsewhere DeletesUntilClosed BringsBackTheOld DeletesOnlyItsOwn
    DeletesThePartOfTheEvidence
    LeavesHalfWhenDropped LocksUntilDone RunsOutOfRoom EmptyWhenOutOfReach ListsNothingOutOfReach SucceedsOutOfReach
    DroppedWritesLandLater TakesAnOutageForTheEnd KeepsWhatCameBeforeTheOutage
    KeepsTheFailed PassesOverTheContent TakesItForExisting TakesItForMissing PassesOverTheSink EndsAtUnexpectedEnds
    PoisonedByAPanic KeepsWhatPanicked BurnsTheKey HidesTheFailure
}

use Flaw::*;

/// How long a store with a gap between two of its steps stays in it.
const SLOW: Duration = Duration::from_millis(5);

#[derive(Clone)]
struct Object {
    bytes: Vec<u8>,
    synced: bool,
}

/// What all handles share.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) down: bool,
    objects: BTreeMap<String, Object>,
    /// Of flaws: keys that something has happened to.
    marked: BTreeSet<String>,
    /// Keys in the order of their creation, whatever became of them.
    begun: Vec<Key>,
    old: BTreeMap<String, Vec<u8>>,
    temporary: Vec<u8>,
    locked: bool,
    /// Who waits until it is not.
    waiting: Vec<Waker>,
    room: Option<usize>,
    behind: Vec<(String, Object)>,
    /// What calls that were dropped still have to write, and how many others have begun since.
    late: Vec<(String, Object)>,
    creates: usize,
    deletes: usize,
    /// How often an object was looked for before it was written, or read.
    looks: BTreeMap<String, usize>,
    moved: Arc<Condvar>,
    /// What another server has, and how many reads there were.
    replica: BTreeMap<String, Object>,
    reads: usize,
}

impl Disk {
    fn unlock(&mut self) {
        self.locked = false;
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

/// One opened store.
pub(crate) struct Double {
    flaw: Flaw,
    disk: Arc<Mutex<Disk>>,
    /// What this handle remembers of the objects that it saw, or missed.
    cache: Mutex<BTreeMap<String, Option<Object>>>,
    own: Mutex<BTreeSet<String>>,
    lock: Mutex<()>,
}

impl Double {
    pub(crate) fn open(flaw: Flaw, disk: Arc<Mutex<Disk>>) -> Self {
        let double =
            Self { flaw, disk, cache: Mutex::default(), own: Mutex::default(), lock: Mutex::default() };
        let mut disk = double.disk();
        disk.room.get_or_insert(40);
        if flaw == StartsAnewWhenOpened && disk.objects.len() > 10 {
            disk.objects.clear();
        }
        let seen = disk.objects.iter().map(|(key, object)| (key.clone(), Some(object.clone()))).collect();
        drop(disk);
        if flaw == OthersSeeItLater {
            *double.cache.lock().unwrap() = seen;
        }
        double
    }

    pub(crate) fn crash(flaw: Flaw, disk: &Mutex<Disk>) {
        let mut disk = disk.lock().unwrap();
        if flaw == HalfAfterACrash {
            for object in disk.objects.values_mut().filter(|object| !object.synced) {
                object.bytes.truncate(object.bytes.len() / 2);
                object.synced = true;
            }
        }
        disk.objects.retain(|_, object| object.synced);
        disk.unlock();
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        match self.disk.lock() {
            Err(_) if self.is(PoisonedByAPanic) => panic!("poisoned"),
            disk => disk.unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Is as slow as this, while nothing else happens: time for others to come in between, if there are any.
    fn dawdle(&self, slow: Duration, nothing: impl Fn(&Disk) -> bool) {
        let disk = self.disk();
        let moved = Arc::clone(&disk.moved);
        drop(moved.wait_timeout_while(disk, slow, |disk| nothing(disk)));
    }

    /// Counts a look, and says how many there were.
    fn count_look(&self, name: &str) -> usize {
        let mut disk = self.disk();
        let looks = disk.looks.entry(name.to_owned()).or_default();
        *looks += 1;
        let count = *looks;
        disk.moved.notify_all();
        count
    }

    fn reach(&self) -> Result<(), StoreError> {
        if self.disk().down { Err(StoreError::other("the store is down")) } else { Ok(()) }
    }

    /// Under which name the object is kept.
    fn name(&self, key: Key) -> String {
        let short = |key: Key, map: &dyn Fn(u64) -> u64| match key {
            Key::Journal(n) => Key::Journal(map(n)),
            Key::Initial(n) => Key::Initial(NodeId(map(n.0))),
            other => other,
        };
        match (self.flaw, key) {
            (ShortensNumbers, key) => short(key, &|n| u64::from(n as u32)).to_string(),
            (JoinsDigits, Key::Seat { generation, node }) => format!("seat{}{}", generation.0, node.0),
            (LeavesOutTheInitiator, Key::Part { snapshot, node }) => {
                let snapshot = SnapshotId { initiator: NodeId(0), ..snapshot };
                Key::Part { snapshot, node }.to_string()
            }
            (MixesKinds, Key::Initial(node)) => Key::Journal(node.0).to_string(),
            (_, key) => key.to_string(),
        }
    }

    /// What the content writes, by way of this flaw's writer.
    fn produce(&self, key: Key, content: Content) -> Result<Vec<u8>, (io::Error, Vec<u8>)> {
        let mut out = Producer { double: self, name: self.name(key), bytes: Vec::new(), unflushed: 0 };
        let written = match catch_unwind(AssertUnwindSafe(|| {
            let _held = self.is(PoisonedByAPanic).then(|| self.lock.lock().unwrap());
            content.write_to(&mut out)
        })) {
            Ok(written) => written,
            Err(_) if self.is(KeepsWhatPanicked) => Ok(()),
            Err(_) => Err(io::Error::other("the content panicked")),
        };
        if self.is(LosesTheLastBuffer) {
            out.bytes.truncate(out.bytes.len() - out.unflushed % 8192);
        }
        written.map(|()| out.bytes.clone()).map_err(|error| (error, out.bytes.clone()))
    }

    /// A hundred keys, then the next hundred of those that are there by then.
    async fn pages(&self, generation: Option<Generation>) -> Vec<Key> {
        let mut keys = BTreeSet::new();
        for page in 0.. {
            let is_wanted = |key: &Key| match key {
                Key::Part { snapshot, .. } => generation.is_none_or(|wanted| wanted == snapshot.generation),
                _ => false,
            };
            let parts: Vec<Key> = {
                let disk = self.disk();
                let all = disk.objects.keys().filter_map(|name| Key::parse(name)).filter(is_wanted);
                all.skip(page * 100).take(100).collect()
            };
            if parts.is_empty() {
                break;
            }
            keys.extend(parts);
            if self.is(PagesByOffset) {
                wait_once().await;
            } else {
                let before = self.disk().deletes;
                self.dawdle(SLOW, |disk| disk.deletes == before);
            }
        }
        keys.into_iter().collect()
    }

    fn insert(&self, name: &str, bytes: Vec<u8>, synced: bool) {
        self.disk().objects.insert(name.to_owned(), Object { bytes, synced });
    }

    fn sync(&self, name: &str) {
        if let Some(object) = self.disk().objects.get_mut(name) {
            object.synced = true;
        }
    }

    fn exists(&self, name: &str) -> bool {
        if self.is(KnowsOnlyItsOwn) {
            return self.own.lock().unwrap().contains(name);
        }
        let disk = self.disk();
        let gone = self.is(NothingIsNoObject);
        let there = disk.objects.get(name).is_some_and(|object| !(gone && object.bytes.is_empty()));
        let marked = matches!(self.flaw, ExistsTooEarly | NeverFreesTheKey | BurnsTheKey)
            && disk.marked.contains(name);
        there || marked || disk.behind.iter().any(|(other, _)| other == name)
    }

    /// What this handle sees.
    fn look(&self, name: &str) -> Option<Object> {
        if self.is(EveryThirdReadIsStale) {
            let mut disk = self.disk();
            disk.reads += 1;
            if disk.reads.is_multiple_of(3) {
                let now = disk.objects.clone();
                return std::mem::replace(&mut disk.replica, now).remove(name);
            }
        }
        let cached = self.cache.lock().unwrap().get(name).cloned();
        let now = self.disk().objects.get(name).cloned();
        let seen = match (self.flaw, cached) {
            (RemembersWhatWasMissing | RemembersDeletions, Some(None)) => None,
            (OthersSeeItLater, cached) if !self.own.lock().unwrap().contains(name) => cached.flatten(),
            (RemembersTheOldObject | ReadsTheDeletedElsewhere, Some(Some(object))) => Some(object),
            _ => now.clone(),
        };
        let mut cache = self.cache.lock().unwrap();
        match self.flaw {
            RemembersWhatWasMissing | RemembersTheOldObject | ReadsTheDeletedElsewhere => {
                cache.insert(name.to_owned(), seen.clone());
            }
            OthersSeeItLater => {
                cache.insert(name.to_owned(), now);
            }
            _ => {}
        }
        seen
    }
}

/// A write that goes on when its caller has gone.
struct Late<'a> {
    double: &'a Double,
    write: Option<(String, Object)>,
}

impl Drop for Late<'_> {
    fn drop(&mut self) {
        self.double.disk().late.extend(self.write.take());
    }
}

/// Lets the task be seen as waiting once.
async fn wait_once() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Producer<'a> {
    double: &'a Double,
    name: String,
    bytes: Vec<u8>,
    unflushed: usize,
}

impl Write for Producer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept = match self.double.flaw {
            LosesOfLargePieces => &bytes[..bytes.len().min(100_000)],
            KeepsWhatCameBeforeTheOutage if self.double.disk().down => &[],
            _ => bytes,
        };
        if self.double.is(OneTemporaryFile) {
            self.double.disk().temporary.extend_from_slice(kept);
        }
        self.bytes.extend_from_slice(kept);
        self.unflushed += kept.len();
        if self.double.is(WritesInPlace) {
            self.double.insert(&self.name, self.bytes.clone(), true);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unflushed = 0;
        Ok(())
    }
}

#[async_trait]
impl SnapshotStore for Double {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        if self.disk().down && self.is(SucceedsOutOfReach) {
            return Ok(Created::Exists);
        }
        self.reach()?;
        let name = self.name(key);
        if self.is(DroppedWritesLandLater) {
            let mut disk = self.disk();
            disk.creates += 1;
            if disk.creates.is_multiple_of(7) {
                let late = std::mem::take(&mut disk.late);
                disk.objects.extend(late);
            }
        }
        if self.is(LocksUntilDone) {
            std::future::poll_fn(|cx| {
                let mut disk = self.disk();
                if disk.locked {
                    disk.waiting.push(cx.waker().clone());
                    return Poll::Pending;
                }
                disk.locked = true;
                Poll::Ready(())
            })
            .await;
        }
        if self.is(RunsOutOfRoom) {
            let room = self.disk().room.and_then(|room| room.checked_sub(1));
            let Some(room) = room else { std::future::pending().await };
            self.disk().room = Some(room);
        }
        self.disk().begun.push(key);
        let known = self.exists(&name);
        if known && self.is(ChangesWhatExistsIfContentFails) {
            if let Err((_, half)) = self.produce(key, content) {
                self.insert(&name, half, true);
            }
            return Ok(Created::Exists);
        }
        let blind = matches!(
            self.flaw,
            EveryoneWins
                | Overwrites
                | OverwritesAndSaysExists
                | TheSameIsNew
                | LooksAndThenWaits
                | LooksAndThenWrites
                | LooksAndThenWritesWhatIsSmall
        );
        if known && !blind {
            if self.is(LocksUntilDone) {
                self.disk().unlock();
            }
            if self.is(RunsOutOfRoom) {
                self.disk().room = self.disk.lock().unwrap().room.map(|room| room + 1);
            }
            if !self.is(ExistsUnsynced) {
                self.sync(&name);
            }
            return Ok(Created::Exists);
        }
        match self.flaw {
            NameFirst => self.insert(&name, Vec::new(), true),
            ExistsTooEarly => drop(self.disk().marked.insert(name.clone())),
            OneTemporaryFile => self.disk().temporary.clear(),
            _ => {}
        }
        let produced = self.produce(key, content);
        if self.is(LocksUntilDone) {
            wait_once().await;
            self.disk().unlock();
        }
        if self.is(RunsOutOfRoom) {
            wait_once().await;
            let mut disk = self.disk();
            disk.room = disk.room.map(|room| room + 1);
        }
        let mut bytes = match produced {
            Ok(bytes) => bytes,
            Err((error, half)) => {
                match self.flaw {
                    KeepsTheFailed => self.insert(&name, half, true),
                    PassesOverTheContent => return Ok(Created::New),
                    TakesItForExisting if error.kind() == ErrorKind::AlreadyExists => {
                        return Ok(Created::Exists);
                    }
                    EndsAtUnexpectedEnds if error.kind() == ErrorKind::UnexpectedEof => {
                        self.insert(&name, half, true);
                        return Ok(Created::New);
                    }
                    HidesTheFailure => return Err(StoreError::other(format!("cannot write {key}"))),
                    BurnsTheKey | ListsTheFailed => drop(self.disk().marked.insert(name.clone())),
                    NameFirst | WritesInPlace => drop(self.disk().objects.remove(&name)),
                    ExistsTooEarly => drop(self.disk().marked.remove(&name)),
                    _ => {}
                }
                if self.is(PoisonedByAPanic) && error.to_string().contains("panicked") {
                    let disk = &self.disk;
                    let _ = catch_unwind(AssertUnwindSafe(|| {
                        let _held = disk.lock();
                        std::panic::resume_unwind(Box::new("poisoned"))
                    }));
                }
                return Err(StoreError::new(format!("cannot write {key}"), error));
            }
        };
        match self.flaw {
            CutsLargeObjects => bytes.truncate(1_000_000),
            TrimsZeros => {
                bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            }
            UnpacksWhatLooksPacked if bytes.starts_with(&[0x1f, 0x8b]) => bytes = b"hi".to_vec(),
            DroppedWritesLandLater => {
                let object = Object { bytes: bytes.clone(), synced: true };
                let mut late = Late { double: self, write: Some((name.clone(), object)) };
                wait_once().await;
                late.write = None;
            }
            StoresText => bytes = String::from_utf8_lossy(&bytes).into_owned().into_bytes(),
            OneTemporaryFile => bytes = self.disk().temporary.clone(),
            LooksBeforeTheContent | KnowsOnlyItsOwn => {
                self.insert(&name, bytes, true);
                self.own.lock().unwrap().insert(name);
                return Ok(Created::New);
            }
            EveryoneWins => {
                let mut disk = self.disk();
                disk.objects.entry(name).or_insert(Object { bytes, synced: true });
                return Ok(Created::New);
            }
            Overwrites => {
                self.insert(&name, bytes, true);
                return Ok(Created::New);
            }
            OverwritesAndSaysExists => {
                self.insert(&name, bytes, true);
                return Ok(if known { Created::Exists } else { Created::New });
            }
            TheSameIsNew => {
                let mut disk = self.disk();
                let object =
                    disk.objects.entry(name).or_insert(Object { bytes: bytes.clone(), synced: true });
                return Ok(if object.bytes == bytes { Created::New } else { Created::Exists });
            }
            LooksAndThenWritesWhatIsSmall if bytes.len() >= 1000 => {}
            LooksAndThenWaits | LooksAndThenWrites | LooksAndThenWritesWhatIsSmall => {
                if self.exists(&name) {
                    return Ok(Created::Exists);
                }
                if self.is(LooksAndThenWaits) {
                    wait_once().await;
                } else {
                    let looks = self.count_look(&name);
                    self.dawdle(SLOW, |disk| disk.looks[&name] == looks);
                }
                self.insert(&name, bytes, true);
                return Ok(Created::New);
            }
            NobodyWins => {
                let first = self.disk().marked.insert(name.clone());
                wait_once().await;
                let alone = self.disk().begun.iter().filter(|other| **other == key).count() == 1;
                let mut disk = self.disk();
                let won = first && alone && !disk.objects.contains_key(&name);
                disk.objects.entry(name).or_insert(Object { bytes, synced: true });
                return Ok(if won { Created::New } else { Created::Exists });
            }
            NameFirst | WritesInPlace => {
                self.insert(&name, bytes, true);
                return Ok(Created::New);
            }
            ExistsTooEarly => {
                self.insert(&name, bytes, true);
                return Ok(Created::New);
            }
            CopiesInPlace => {
                self.insert(&name, bytes[..bytes.len() / 2].to_vec(), true);
                if bytes.len() > 1_000_000 {
                    let looks = self.count_look(&name);
                    self.dawdle(SLOW * 20, |disk| disk.looks[&name] == looks);
                }
                self.insert(&name, bytes, true);
                return Ok(Created::New);
            }
            LeavesHalfWhenDropped => {
                self.insert(&name, bytes[..bytes.len() / 2].to_vec(), true);
                wait_once().await;
                self.insert(&name, bytes, true);
                return Ok(Created::New);
            }
            WritesBehind => {
                let mut disk = self.disk();
                let ready = std::mem::take(&mut disk.behind);
                disk.objects.extend(ready);
                if disk.objects.contains_key(&name) {
                    return Ok(Created::Exists);
                }
                disk.behind.push((name, Object { bytes, synced: true }));
                return Ok(Created::New);
            }
            BringsBackTheOld => {
                bytes = self.disk().old.get(&name).cloned().unwrap_or(bytes);
            }
            _ => {}
        }
        {
            let mut disk = self.disk();
            let is_object = |object: &Object| !(self.is(NothingIsNoObject) && object.bytes.is_empty());
            if disk.objects.get(&name).is_some_and(is_object) {
                return Ok(Created::Exists);
            }
            let synced = !matches!(
                self.flaw,
                SyncsNever | ExistsUnsynced | ReadsUnsynced | HalfAfterACrash | Flawless
            );
            disk.objects.insert(name.clone(), Object { bytes, synced });
            disk.marked.insert(name.clone());
        }
        self.own.lock().unwrap().insert(name.clone());
        if self.is(RemembersDeletions) {
            // Its own doings it knows.
            self.cache.lock().unwrap().remove(&name);
        }
        if !self.is(SyncsNever) {
            wait_once().await;
            self.sync(&name);
        }
        Ok(Created::New)
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        if self.is(EmptyWhenOutOfReach) && self.disk().down {
            return Ok(false);
        }
        self.reach()?;
        let name = self.name(key);
        let Some(object) = self.look(&name) else {
            if self.is(CallsTheSinkForNothing) {
                let _ = sink.read_from(&mut io::empty());
            }
            return Ok(self.is(InventsObjects));
        };
        if !self.is(ReadsUnsynced) {
            self.sync(&name);
        }
        self.count_look(&name);
        let mut input = Reader { double: self, name, at: 0, bytes: object.bytes };
        let failed = match catch_unwind(AssertUnwindSafe(|| sink.read_from(&mut input))) {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(error)) => error,
            Err(_) => io::Error::other("the sink panicked"),
        };
        match self.flaw {
            PassesOverTheSink => Ok(true),
            HidesTheFailure => Err(StoreError::other(format!("cannot read {key}"))),
            TakesItForMissing if failed.kind() == ErrorKind::NotFound => Ok(false),
            _ => Err(StoreError::new(format!("cannot read {key}"), failed)),
        }
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        if self.is(ListsNothingOutOfReach) && self.disk().down {
            return Ok(Vec::new());
        }
        self.reach()?;
        if matches!(self.flaw, PagesByOffset | PagesByOffsetInOneGo) {
            return Ok(self.pages(generation).await);
        }
        let disk = self.disk();
        let of = |key: &Key| match key {
            Key::Part { snapshot, .. } => Some(snapshot.generation),
            _ => None,
        };
        let begun = matches!(self.flaw, ListsTheUnfinished | ListsTheDeleted | ListsTheFailed);
        let mut keys: Vec<Key> = disk.objects.keys().filter_map(|name| Key::parse(name)).collect();
        if begun {
            keys.extend(disk.begun.iter().filter(|key| {
                let marked = disk.marked.contains(&key.to_string());
                self.is(ListsTheUnfinished) || marked
            }));
            keys.sort_unstable();
            keys.dedup();
        }
        keys.retain(|key| match (self.flaw, of(key), generation) {
            (ListsEverything, None, None) => true,
            (_, None, _) => false,
            (_, Some(_), None) | (ListsAllGenerations, ..) => true,
            (ListsGenerationsThatBeginAlike, Some(found), Some(wanted)) => {
                found.0.to_string().starts_with(&wanted.0.to_string())
            }
            (_, Some(found), Some(wanted)) => found == wanted,
        });
        match self.flaw {
            ListsOnePage => keys.truncate(1000),
            PassesOverEmptyParts => keys.retain(|key| !disk.objects[&key.to_string()].bytes.is_empty()),
            ListsTwice => keys.extend(keys.last().copied()),
            ListsItsOwn => keys.retain(|key| self.own.lock().unwrap().contains(&key.to_string())),
            FailsToListNothing if keys.is_empty() => return Err(StoreError::other("no such folder")),
            ListsFirstGenerationOnly if generation.is_none() => {
                let first = keys.first().and_then(of);
                keys.retain(|key| of(key) == first);
            }
            _ => {}
        }
        Ok(keys)
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.reach()?;
        let name = self.name(key);
        let mut disk = self.disk();
        disk.deletes += 1;
        disk.moved.notify_all();
        let behind = std::mem::take(&mut disk.behind);
        disk.objects.extend(behind);
        let own = self.own.lock().unwrap().contains(&name);
        match self.flaw {
            NothingCannotBeDeleted if !disk.objects.contains_key(&name) => {
                return Err(StoreError::new("cannot delete", ErrorKind::NotFound.into()));
            }
            KeepsTheDeleted => return Ok(()),
            DeletesOnlyItsOwn if !own => return Ok(()),
            DeletesTheSnapshot => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
                disk.objects.retain(|name, _| !name.starts_with(&folder));
            }
            DeletesThePartOfTheEvidence => {
                disk.objects.remove(&name.replace("evidence/", "part/"));
            }
            DeletesNodesThatBeginAlike => {
                let stem = name.trim_end_matches(|digit: char| digit != '1').to_owned();
                disk.objects
                    .retain(|other, _| *other == name || !other.starts_with(&stem) || stem.len() < 60);
            }
            BringsBackTheOld => {
                let old = disk.objects.get(&name).map(|object| object.bytes.clone());
                disk.old.extend(old.map(|old| (name.clone(), old)));
            }
            RemembersDeletions => drop(self.cache.lock().unwrap().insert(name.clone(), None)),
            RemembersTheOldObject | ReadsTheDeletedElsewhere => {
                drop(self.cache.lock().unwrap().remove(&name));
            }
            DeletesUntilClosed => {
                if let Some(object) = disk.objects.get(&name) {
                    let object = object.clone();
                    disk.behind.push((name.clone(), object));
                }
            }
            _ => {}
        }
        disk.objects.remove(&name);
        if !matches!(self.flaw, NeverFreesTheKey | ListsTheDeleted) {
            disk.marked.remove(&name);
        }
        Ok(())
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        match self.flaw {
            ForgetsWhenClosed => {
                self.own.lock().unwrap().iter().for_each(|name| drop(disk.objects.remove(name)));
            }
            ForgetsEmptyObjects => disk.objects.retain(|_, object| !object.bytes.is_empty()),
            _ => {}
        }
        let behind = std::mem::take(&mut disk.behind);
        disk.objects.extend(behind);
    }
}

struct Reader<'a> {
    double: &'a Double,
    name: String,
    at: usize,
    bytes: Vec<u8>,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let disk = self.double.disk();
        let now = disk.objects.get(&self.name).map(|object| &object.bytes[..]);
        let bytes = match self.double.flaw {
            TakesAnOutageForTheEnd if disk.down => return Ok(0),
            CutsTheDeletedShort => now.unwrap_or_default(),
            MixesOldAndNew => now.unwrap_or(&self.bytes),
            ReadsOneBuffer => &self.bytes[..self.bytes.len().min(1 << 20)],
            _ => &self.bytes,
        };
        let rest = bytes.get(self.at..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}
