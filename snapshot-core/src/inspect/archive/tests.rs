use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::contract::codec::RawBytes;
use crate::contract::store::Content;
use crate::format::part::{Contents, PartLabel, write_part};
use crate::vocabulary::id::{Generation, Turn};
use crate::vocabulary::key::Created;
use crate::vocabulary::topology::{Graph, Topology};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

#[derive(Default)]
struct Shelf(Mutex<BTreeMap<Key, Vec<u8>>>);

#[async_trait]
impl SnapshotStore for Shelf {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        let mut bytes = Vec::new();
        content.write_to(&mut bytes).map_err(|error| StoreError::new("cannot write", error))?;
        let mut shelf = self.0.lock().unwrap();
        if shelf.contains_key(&key) {
            return Ok(Created::Exists);
        }
        shelf.insert(key, bytes);
        Ok(Created::New)
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        let bytes = self.0.lock().unwrap().get(&key).cloned();
        let Some(bytes) = bytes else { return Ok(false) };
        sink.read_from(&mut &bytes[..]).map_err(|error| StoreError::new("cannot read", error))?;
        Ok(true)
    }

    async fn list_parts(&self, _: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        Ok(self.0.lock().unwrap().keys().filter(|key| matches!(key, Key::Part { .. })).copied().collect())
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(&key);
        Ok(())
    }
}

struct Balance;

impl StateProvider for Balance {
    type Captured = u64;

    fn capture(&mut self) -> u64 {
        0
    }

    fn install(&mut self, _: u64) {}

    fn encode(captured: &u64, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(&captured.to_le_bytes())
    }

    fn decode(_: u32, input: &mut dyn Read) -> io::Result<u64> {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// A group's store, written as its nodes would.
struct Group {
    store: Arc<Shelf>,
    topology: Topology,
    last: Option<Record>,
}

impl Group {
    fn new(retention: Retention) -> Self {
        Self::of([A, B], retention)
    }

    fn of(members: impl IntoIterator<Item = NodeId>, retention: Retention) -> Self {
        let topology = Graph::mesh(members).named("ledger").at(A).unwrap();
        let mut group = Self { store: Arc::default(), topology, last: None };
        group.append(Record::first(&group.topology, retention, 1));
        group
    }

    fn append(&mut self, record: Record) {
        self.put(Key::Journal(record.index), record.encode().into());
        self.last = Some(record);
    }

    fn put(&self, key: Key, bytes: Vec<u8>) {
        self.store.0.lock().unwrap().insert(key, bytes);
    }

    fn last(&self) -> Record {
        self.last.clone().unwrap()
    }

    /// Commits a snapshot of A in which each state is the turn, and `turn` coins are on their way from A to B, and
    /// behind them one more.
    fn commit(&mut self, turn: u64) -> SnapshotId {
        let last = self.last();
        let snapshot = SnapshotId { generation: last.generation, sequence: turn, initiator: A };
        let mut parts = BTreeMap::new();
        for node in self.topology.members().iter().copied() {
            let key = Key::Part { snapshot, node };
            let members = self.topology.members().to_vec();
            let label = PartLabel { group: "ledger".to_owned(), members, key, turn: Turn(turn) };
            let coins = if node == B { turn } else { 0 };
            let sender = if node == B { A } else { B };
            let channels = BTreeMap::from([(sender, vec![Bytes::from_static(b"coin"); coins as usize])]);
            // One more had not left A.
            let waits = (node == A).then(|| (B, vec![Bytes::from_static(b"last coin")]));
            let outgoing = BTreeMap::from_iter(waits);
            let contents = Contents { state: &turn, channels: &channels, outgoing: &outgoing };
            let mut bytes = Vec::new();
            let part = write_part::<Balance, _>(&label, &contents, Some(&RawBytes), &mut bytes).unwrap();
            self.put(key, bytes);
            parts.insert(node, part);
        }
        self.append(last.commit(snapshot, parts, A, turn).unwrap());
        snapshot
    }

    async fn archive(&self) -> Result<Archive<Balance, Bytes>, ArchiveError> {
        Archive::open(Arc::clone(&self.store), RawBytes).await
    }
}

/// A store whose reads of parts take a while.
struct Slow {
    shelf: Arc<Shelf>,
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl SnapshotStore for Slow {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.shelf.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        if let Key::Part { node, .. } = key {
            self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // The first ones take longest.
            for _ in node.0..20 {
                tokio::task::yield_now().await;
            }
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
        self.shelf.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.shelf.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.shelf.delete(key).await
    }
}

#[tokio::test]
async fn four_parts_are_read_at_a_time_and_the_first_that_is_wrong_is_named() {
    let mut group = Group::of((1..=10).map(NodeId), Retention::All);
    let snapshot = group.commit(3);
    let slow = Arc::new(Slow {
        shelf: Arc::clone(&group.store),
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
    });
    let archive = Archive::<Balance, Bytes>::open(Arc::clone(&slow), RawBytes).await.unwrap();
    let cut = archive.read(snapshot).await.unwrap();
    assert_eq!(cut.states().map(|(node, _)| node.0).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!(slow.most.swap(0, Ordering::SeqCst), 4);
    archive.verify(snapshot).await.unwrap();
    assert_eq!(slow.most.load(Ordering::SeqCst), 4);

    for node in [7, 3, 4] {
        let key = Key::Part { snapshot, node: NodeId(node) };
        group.store.delete(key).await.unwrap();
    }
    let key = Key::Part { snapshot, node: NodeId(3) };
    let missing = |error| matches!(error, ArchiveError::Part(PartError::Missing { key: of }) if of == key);
    assert!(missing(archive.read(snapshot).await.unwrap_err()));
    assert!(missing(archive.verify(snapshot).await.unwrap_err()));
}

/// A store in which somebody else is first, once.
struct Rival {
    shelf: Arc<Shelf>,
    writes: Mutex<Option<Record>>,
}

#[async_trait]
impl SnapshotStore for Rival {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        if let Some(record) = self.writes.lock().unwrap().take() {
            self.shelf.0.lock().unwrap().insert(Key::Journal(record.index), record.encode().into());
        }
        self.shelf.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.shelf.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.shelf.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.shelf.delete(key).await
    }
}

async fn written(store: &Shelf, index: u64) -> Record {
    record(store, index).await.unwrap().expect("it is there")
}

#[tokio::test]
async fn a_generation_that_is_opened_from_outside_begins_at_the_newest_commit_and_has_no_name_so_that_nobody_lives_in_it()
 {
    let mut group = Group::new(Retention::last(2));
    let mut archive = group.archive().await.unwrap();
    assert_eq!(archive.open_generation().await.unwrap(), Generation(2));
    assert_eq!((archive.latest(), archive.generations()[1].start), (None, None));

    group.last = Some(written(&group.store, 2).await);
    let snapshot = group.commit(3);
    // It knows nothing of the commit yet.
    assert_eq!(archive.open_generation().await.unwrap(), Generation(3));
    let opened = *archive.generations().last().unwrap();
    assert_eq!((opened.index, opened.start, opened.by), (4, Some(snapshot), A));
    assert_eq!(flags(&archive), [(snapshot, true, true)]);
    archive.verify(snapshot).await.unwrap();

    let (one, two) = (written(&group.store, 2).await, written(&group.store, 4).await);
    assert_eq!((one.opened, two.opened), (None, None), "F6: whoever starts opens one of its own");
    assert!(one.nonce != two.nonce, "J1: it is told from others by that");
    let opened = Some(two.nonce);
    assert_eq!(
        Record { opened, ..two.clone() },
        group.last().open(A, two.nonce),
        "J2: else as a node would open it"
    );
}

#[tokio::test]
async fn where_somebody_else_is_first_the_generation_after_that_is_opened() {
    // J1: a record is created only by somebody who has read all before it.
    let mut group = Group::new(Retention::All);
    let snapshot = group.commit(3);
    let first = group.last().open(B, 9);
    let writes = Mutex::new(Some(first.clone()));
    let rival = Arc::new(Rival { shelf: Arc::clone(&group.store), writes });
    let mut archive = Archive::<Balance, Bytes>::open(rival, RawBytes).await.unwrap();
    assert_eq!(archive.open_generation().await.unwrap(), Generation(3));
    assert_eq!(written(&group.store, 3).await, first);
    let by: Vec<_> = archive.generations().iter().map(|opened| (opened.by, opened.start)).collect();
    assert_eq!(by, [(A, None), (B, Some(snapshot)), (A, Some(snapshot))]);
}

#[test]
fn what_an_archive_does_may_be_spawned() {
    fn may_be_sent<T: Send>(_: T) {}
    fn look(archive: &Archive<Balance, Bytes>, snapshot: SnapshotId) {
        may_be_sent(archive.read(snapshot));
        may_be_sent(archive.verify(snapshot));
    }
    let _ = look;
}

fn flags(archive: &Archive<Balance, Bytes>) -> Vec<(SnapshotId, bool, bool)> {
    archive.commits().iter().map(|c| (c.snapshot, c.in_lineage, c.kept)).collect()
}

#[tokio::test]
async fn what_the_group_committed_is_read_from_outside() {
    let mut group = Group::new(Retention::last(7));
    let (first, second) = (group.commit(3), group.commit(5));
    let archive = group.archive().await.unwrap();
    assert_eq!((archive.group(), archive.members()), ("ledger", &[A, B][..]));
    assert_eq!(flags(&archive), [(first, true, true), (second, true, true)]);
    assert_eq!(archive.latest(), Some(second));
    let turns = [A, B, NodeId(9)].map(|node| archive.commits()[1].turn(node));
    assert_eq!(turns, [Some(Turn(5)), Some(Turn(5)), None]);
    assert_eq!(archive.retention(), Retention::last(7));
    assert_eq!(archive.commits()[1].index, 3);
    let stored = |node| group.store.0.lock().unwrap()[&Key::Part { snapshot: second, node }].len() as u64;
    assert_eq!(archive.commits()[1].bytes(), stored(A) + stored(B));

    archive.verify(first).await.unwrap();
    let cut = archive.read(first).await.unwrap();
    assert_eq!(cut.id(), first);
    assert_eq!(cut.states().collect::<Vec<_>>(), [(A, &3), (B, &3)]);
    assert_eq!(cut.channel(A, B), ["coin", "coin", "coin", "last coin"]);
    assert_eq!(cut.turn(A), Some(Turn(3)));
}

#[tokio::test]
async fn commits_that_the_group_fell_back_behind_or_let_go_are_told_from_the_others() {
    let mut group = Group::new(Retention::last(2));
    let [one, two, three] = [1, 2, 3].map(|turn| group.commit(turn));
    let mut archive = group.archive().await.unwrap();
    assert_eq!(flags(&archive), [(one, true, false), (two, true, true), (three, true, true)]);

    // The journal goes on while the archive is open: back behind the third, then a fourth.
    let to_second = group.last().kept[0];
    let parts = archive.parts(two).unwrap().clone();
    let start = CommittedSnapshot { snapshot: to_second.1, index: to_second.0, parts };
    group.append(group.last().open_from(Start::Snapshot(start), B, 9));
    archive.refresh().await.unwrap();
    assert_eq!(flags(&archive), [(one, true, false), (two, true, true), (three, false, false)]);
    assert_eq!(archive.latest(), Some(two));

    let four = group.commit(4);
    let five = group.commit(5);
    archive.refresh().await.unwrap();
    let expected = [
        (one, true, false),
        (two, true, false),
        (three, false, false),
        (four, true, true),
        (five, true, true),
    ];
    assert_eq!(flags(&archive), expected);
    let [first, second] = archive.generations() else { panic!("two generations") };
    assert_eq!((first.start, first.by), (None, A));
    assert_eq!((second.generation, second.start, second.by, second.index), (Generation(2), Some(two), B, 5));
    let reopened = group.archive().await.unwrap();
    assert_eq!((reopened.commits(), reopened.generations()), (archive.commits(), archive.generations()));

    group.append(group.last().open_from(Start::Initial, A, 10));
    archive.refresh().await.unwrap();
    assert_eq!(archive.latest(), None);
}

#[tokio::test]
async fn a_missing_or_damaged_part_is_named() {
    let mut group = Group::new(Retention::All);
    let snapshot = group.commit(3);
    let archive = group.archive().await.unwrap();
    let key = Key::Part { snapshot, node: B };
    let whole = group.store.0.lock().unwrap()[&key].clone();

    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    group.put(key, damaged);
    let wrong = |error| match error {
        ArchiveError::Part(error) => error,
        other => panic!("{other}"),
    };
    assert!(
        matches!(wrong(archive.verify(snapshot).await.unwrap_err()), PartError::Corrupt { key: of, .. } if of == key)
    );
    assert!(wrong(archive.read(snapshot).await.unwrap_err()).is_damage());
    group.store.delete(key).await.unwrap();
    assert_eq!(wrong(archive.verify(snapshot).await.unwrap_err()), PartError::Missing { key });
    assert_eq!(wrong(archive.read(snapshot).await.unwrap_err()), PartError::Missing { key });
    group.put(key, whole);
    archive.verify(snapshot).await.unwrap();
}

#[tokio::test]
async fn a_part_that_retention_has_deleted_is_not_called_missing() {
    let mut group = Group::new(Retention::last(1));
    let old = group.commit(3);
    let new = group.commit(4);
    let archive = group.archive().await.unwrap();
    archive.read(old).await.expect("its parts are there for now");
    for node in [A, B] {
        group.store.delete(Key::Part { snapshot: old, node }).await.unwrap();
        group.store.delete(Key::Part { snapshot: new, node }).await.unwrap();
    }
    assert!(matches!(archive.verify(old).await, Err(ArchiveError::LetGo { snapshot }) if snapshot == old));
    assert!(matches!(archive.read(old).await, Err(ArchiveError::LetGo { .. })));
    assert!(matches!(archive.read(new).await, Err(ArchiveError::Part(PartError::Missing { .. }))));
}

#[tokio::test]
async fn a_store_without_a_journal_or_with_a_damaged_one_is_refused() {
    let empty = Archive::<Balance, Bytes>::open(Shelf::default(), RawBytes).await;
    assert!(matches!(empty, Err(ArchiveError::Empty)));

    let mut group = Group::new(Retention::default());
    let snapshot = group.commit(3);
    let archive = group.archive().await.unwrap();
    let unknown = SnapshotId { sequence: 4, ..snapshot };
    assert!(
        matches!(archive.verify(unknown).await, Err(ArchiveError::Unknown { snapshot }) if snapshot == unknown)
    );
    assert!(matches!(archive.read(unknown).await, Err(ArchiveError::Unknown { .. })));

    let other = Graph::mesh([A, B]).named("stock").at(A).unwrap();
    let foreign = Record::first(&other, Retention::default(), 1).open(A, 2).open(A, 3);
    group.put(Key::Journal(3), foreign.encode().into());
    assert!(matches!(group.archive().await, Err(ArchiveError::Foreign(ForeignStore::OtherGroup { .. }))));

    // A newer release may have said anything.
    let mut newer = foreign.encode().to_vec();
    newer[5] = 200;
    let contents = newer.len() - 4;
    let checksum = crc32fast::hash(&newer[..contents]);
    newer[contents..].copy_from_slice(&checksum.to_le_bytes());
    group.put(Key::Journal(3), newer);
    let Err(ArchiveError::Record { key, error }) = group.archive().await else { panic!("a newer record") };
    assert_eq!((key, error), (Key::Journal(3), RecordError::NewerFormat { found: 200, known: 3 }));
}

#[tokio::test]
async fn records_that_are_damaged_are_named_and_the_others_shown() {
    let mut group = Group::new(Retention::All);
    let commits: Vec<_> = (1..=4).map(|turn| group.commit(turn)).collect();
    let damage = |index| group.put(Key::Journal(index), b"SNAP".to_vec());
    for index in [1, 3, 5] {
        damage(index);
    }
    let mut archive = group.archive().await.unwrap();
    let unreadable: Vec<u64> = archive.unreadable().iter().map(|(index, _)| *index).collect();
    assert_eq!(unreadable, [1, 3, 5]);
    assert!(archive.unreadable().iter().all(|(_, error)| *error == RecordError::Truncated));
    let shown: Vec<_> = archive.commits().iter().map(|commit| commit.snapshot).collect();
    assert_eq!(shown, [commits[0], commits[2]]);
    archive.verify(commits[2]).await.unwrap();
    assert_eq!(archive.latest(), Some(commits[2]));
    // Somebody decides to go on from there.
    assert_eq!(archive.open_generation().await.unwrap(), Generation(2));
    let opened = archive.generations().last().unwrap();
    assert_eq!((opened.index, opened.start), (6, Some(commits[2])));
    // Nothing can be read at all.
    (1..=6).for_each(damage);
    let Err(ArchiveError::Record { key, .. }) = group.archive().await else { panic!("nothing can be read") };
    assert_eq!(key, Key::Journal(1));
}
