//! A whole store, as a group of an earlier release left it in a folder: every later release goes on from there, and leaves
//! just the same behind today as long as no form has changed.
//!
//! How a form is changed on purpose is told in CONTRIBUTING.md, "Formats".

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use crate::bank::{A, App, B, Group, Ledger};
use futures::executor::block_on;
use snapshot_core::{
    Archive, Content, Created, Generation, Graph, Key, NodeBuilder, Postcard, Retention, Sink, SnapshotId,
    SnapshotStore, StoreError, async_trait,
};
use snapshot_store::DirectoryStore;

/// The stores that releases left, each with another version of some form; the last one is what is left today. All tell the same story.
///
/// In the second one parts are of version 2.
const STORES: [&str; 3] = ["store-1", "store-2", "store-3"];
const LATEST: &str = STORES[STORES.len() - 1];

thread_local! {
    /// The seed of the last process of this test.
    static LIVES: Cell<u64> = const { Cell::new(0) };
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn graph() -> Graph {
    Graph::mesh([A, B]).named("golden")
}

/// A store that is done before it answers, so that a run has one course.
struct Prompt(DirectoryStore);

impl Prompt {
    fn ask<T: Send + 'static, F: Future<Output = T>>(
        &self,
        question: impl FnOnce(DirectoryStore) -> F + Send + 'static,
    ) -> T {
        let store = self.0.clone();
        std::thread::spawn(move || block_on(question(store))).join().expect("the store does not panic")
    }
}

#[async_trait]
impl SnapshotStore for Prompt {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.ask(move |store| async move { store.create(key, content).await })
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.ask(move |store| async move { store.read(key, sink).await })
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.ask(move |store| async move { store.list_parts(generation).await })
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.ask(move |store| async move { store.delete(key).await })
    }
}

/// The processes of one test have seeds that go on by one, and so all draw other numbers.
fn tuned(builder: NodeBuilder<Ledger, u64>) -> NodeBuilder<Ledger, u64> {
    LIVES.set(LIVES.get() + 1);
    builder.seed(LIVES.get()).check("few in flight", |cut| {
        match cut.in_flight().map(|(_, coins)| coins).sum() {
            0..20_u64 => Ok(()),
            coins => Err(format!("{coins} coins are in flight")),
        }
    })
}

fn commits(count: usize) -> impl Fn(&[App]) -> bool {
    move |apps| apps.iter().all(|app| app.committed.len() == count)
}

/// Two generations, with messages in flight, a copy of a snapshot as evidence, and parts that retention let go of.
fn leave_a_store(folder: &Path) {
    let store = Arc::new(Prompt(DirectoryStore::open(folder).unwrap()));
    let mut group = Group::tuned(&graph(), Some(store), tuned);
    group.snapshot(A).unwrap();
    group.until(commits(1));
    group.network.hold(A, B);
    group.app(A).pay(B, 30);
    group.app(B).node.snapshot();
    group.until(|apps| !apps[0].node.handle().running().is_empty());
    group.network.release(A, B);
    group.until(commits(2));
    group.until(|apps| apps[1].saw("CheckFailed") == 1);
    group.app(A).pay(B, 9); // never happened
    group.kill(A);
    group.kill(B);

    group.boot(A).unwrap();
    group.boot(B).unwrap();
    group.until(|apps| apps[1].ledger.received == [30]);
    group.snapshot(A).unwrap();
    group.until(commits(1));
    group.network.hold(B, A);
    group.app(B).pay(A, 5);
    group.app(A).node.snapshot();
    group.until(|apps| !apps[1].node.handle().running().is_empty());
    group.network.release(B, A);
    group.until(commits(2));
    let mut turn = 0;
    group.some(1000, |apps| {
        turn += 1;
        turn % apps
    });
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn write(files: &BTreeMap<String, Vec<u8>>, folder: &Path) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A copy that may be changed, in a folder that goes away with the test.
fn copy_of(name: &str) -> (tempfile::TempDir, DirectoryStore) {
    let place = tempfile::tempdir().unwrap();
    write(&files(&golden(name)), place.path());
    let store = DirectoryStore::open_existing(place.path()).unwrap();
    (place, store)
}

fn id(generation: u64, sequence: u64, initiator: snapshot_core::NodeId) -> SnapshotId {
    SnapshotId { generation: Generation(generation), sequence, initiator }
}

#[test]
fn a_group_leaves_a_store_as_ever() {
    let place = tempfile::tempdir().unwrap();
    leave_a_store(place.path());
    let today = files(place.path());
    let kept = golden(LATEST);
    if env::var_os("WRITE_GOLDEN").is_some() && !kept.exists() {
        write(&today, &kept);
    }
    let kept = files(&kept);
    assert_eq!(today.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>(), "the names of the objects");
    for (name, bytes) in today {
        assert!(
            bytes == kept[&name],
            "{name} has other bytes than in tests/golden/{LATEST}. If a form has changed, CONTRIBUTING.md, \"Formats\", tells \
             what to do. If only the course of this run has, such as the number of a turn, keep the folder and what reads it, \
             and make another one: add its name to `STORES`, and `WRITE_GOLDEN=1 cargo test -p snapshot-core as_ever`",
        );
    }
}

#[test]
fn a_store_of_each_release_is_read_from_outside() {
    STORES.into_iter().for_each(is_read_from_outside);
}

fn is_read_from_outside(name: &str) {
    let (_place, store) = copy_of(name);
    block_on(async {
        let archive = Archive::<Ledger, u64>::open(store, Postcard).await.unwrap();
        assert_eq!((archive.group(), archive.members()), ("golden", &[A, B][..]));
        assert_eq!(archive.retention(), Retention::last(3));
        let generations: Vec<_> = archive.generations().iter().map(|g| (g.index, g.by, g.start)).collect();
        assert_eq!(generations, [(1, A, None), (4, A, Some(id(1, 2, B)))]);
        let commits: Vec<_> = archive.commits().iter().map(|c| (c.index, c.snapshot, c.kept)).collect();
        assert_eq!(
            commits,
            [(2, id(1, 1, A), false), (3, id(1, 2, B), true), (5, id(2, 3, A), true), (6, id(2, 4, A), true),]
        );
        for commit in archive.commits().iter().filter(|commit| commit.kept) {
            archive.verify(commit.snapshot).await.unwrap();
        }
        assert_eq!(archive.evidence().await.unwrap(), [id(1, 2, B)]);

        let earlier = archive.read(id(1, 2, B)).await.unwrap();
        assert_eq!(earlier.channel(A, B), [30]);
        let latest = archive.read(archive.latest().unwrap()).await.unwrap();
        assert_eq!(latest.state(A), Some(&Ledger { balance: 70, received: vec![] }));
        assert_eq!(latest.state(B), Some(&Ledger { balance: 125, received: vec![30] }));
        assert_eq!((latest.channel(A, B), latest.channel(B, A)), (&[][..], &[5][..]));
    });
}

#[test]
fn a_group_goes_on_from_a_store_of_each_release() {
    STORES.into_iter().for_each(a_group_goes_on_from);
}

fn a_group_goes_on_from(name: &str) {
    let (_place, store) = copy_of(name);
    LIVES.set(100); // none that has run on this store
    let mut group = Group::tuned(&graph(), Some(Arc::new(Prompt(store.clone()))), tuned);
    // What was in flight comes first.
    assert_eq!(group.app(A).ledger, Ledger { balance: 75, received: vec![5] });
    assert_eq!(group.app(B).ledger, Ledger { balance: 125, received: vec![30] });
    group.app(A).pay(B, 1);
    group.until(|apps| apps[1].ledger.received == [30, 1]);
    assert_eq!(group.total(), 200);
    let report = group.snapshot(B).unwrap();
    assert_eq!(report.snapshot, id(3, 5, B));
    group.until(commits(1));

    let archive = block_on(Archive::<Ledger, u64>::open(store, Postcard)).unwrap();
    assert_eq!(archive.latest(), Some(id(3, 5, B)));
    block_on(archive.verify(id(3, 5, B))).unwrap();
}
