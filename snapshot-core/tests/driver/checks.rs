//! Checks of committed snapshots, on whole nodes over the in-memory network: what an application is told, and what stays.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::bank::{A, App, B, C, Group, Ledger, START, durable, on};
use async_trait::async_trait;
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::{FutureExt, StreamExt};
use snapshot_core::{
    Archive, ArchiveError, Content, Created, Event, Generation, GlobalSnapshot, Graph, Key, NodeBuilder,
    NodeError, NodeId, PartError, Postcard, Retention, Sink, SnapshotId, SnapshotNode, SnapshotStore,
    StoreError,
};
use snapshot_store::{Fault, FaultyStore, MemoryStore, Operation};
use snapshot_transport_mem::MemNetwork;
use tokio::sync::watch;

const SOON: std::time::Duration = std::time::Duration::from_secs(10);

type Builder = NodeBuilder<Ledger, u64>;
type Cut = GlobalSnapshot<Ledger, u64>;

/// No money is made or lost.
fn money(cut: &Cut) -> Result<(), String> {
    let held: u64 = cut.states().map(|(_, ledger)| ledger.balance).sum();
    let in_flight: u64 = cut.in_flight().map(|(_, coins)| coins).sum();
    let expected = START * cut.members().len() as u64;
    if held + in_flight == expected { Ok(()) } else { Err(format!("{} coins", held + in_flight)) }
}

fn with_money(builder: Builder) -> Builder {
    builder.check("money", money)
}

fn with_money_and_little_retention(builder: Builder) -> Builder {
    builder.check("money", money).retention(Retention::last(1))
}

/// Fails on every snapshot, and so shows which ones it was given.
fn with_suspicion(builder: Builder) -> Builder {
    builder.check("suspicion", |cut| Err(format!("it is {}", cut.id())))
}

/// A store whose reads of parts wait while a test holds them.
#[derive(Clone)]
struct Held {
    store: MemoryStore,
    open: watch::Sender<bool>,
}

impl Held {
    fn new() -> Self {
        Self { store: MemoryStore::new(), open: watch::Sender::new(false) }
    }

    fn release(&self) {
        self.open.send_replace(true);
    }
}

#[async_trait]
impl SnapshotStore for Held {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.store.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        if matches!(key, Key::Part { .. }) {
            // The sender is in `self`, and so it is there.
            let _ = self.open.subscribe().wait_for(|open| *open).await;
        }
        self.store.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.store.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.store.delete(key).await
    }
}

fn take(group: &mut Group, by: NodeId) -> SnapshotId {
    group.snapshot(by).expect("it commits").snapshot
}

/// The nodes that have told of each snapshot, by what the event says of it.
fn told(group: &Group, event: &str, words: &str) -> Vec<NodeId> {
    let apps = group.apps.iter().flat_map(|app| app.events.iter().map(|text| (app.id(), text)));
    apps.filter(|(_, text)| text.starts_with(event) && text.contains(words)).map(|(id, _)| id).collect()
}

fn all_is_checked(apps: &[App]) -> bool {
    apps.iter().all(|app| app.node.handle().unchecked().is_empty())
}

fn snapshots_in(store: &MemoryStore, of: fn(&Key) -> Option<SnapshotId>) -> Vec<SnapshotId> {
    let mut snapshots: Vec<SnapshotId> = store.keys().iter().filter_map(of).collect();
    snapshots.dedup();
    snapshots
}

fn part(key: &Key) -> Option<SnapshotId> {
    if let Key::Part { snapshot, .. } = key { Some(*snapshot) } else { None }
}

fn evidence(key: &Key) -> Option<SnapshotId> {
    if let Key::Evidence { snapshot, .. } = key { Some(*snapshot) } else { None }
}

async fn archive(store: &MemoryStore) -> Archive<Ledger, u64> {
    Archive::open(store.clone(), Postcard).await.expect("there is a journal")
}

#[test]
fn a_check_that_fails_names_itself_and_the_snapshot() {
    let mut group = Group::tuned(&Graph::ring([A, B, C]), durable(), with_money);
    let sound = take(&mut group, B);
    group.app(A).ledger.balance += 7; // the bug
    let wrong = take(&mut group, B);
    group.until(|apps| apps[1].saw("CheckFailed") == 1 && all_is_checked(apps));
    let event =
        format!(r#"CheckFailed {{ snapshot: {wrong:?}, check: "money", what: "307 coins", kept: Ok(()) }}"#);
    assert_eq!(
        group.app(B).events.iter().filter(|text| **text == event).count(),
        1,
        "{:?}",
        group.app(B).events
    );
    assert!(told(&group, "Check", &format!("{sound:?}")).is_empty());
}

#[test]
fn a_sound_cut_with_messages_in_flight_passes() {
    let mut group = Group::tuned(&Graph::mesh([A, B]), durable(), with_money);
    group.network.hold(A, B);
    group.app(A).pay(B, 5);
    group.app(B).node.snapshot();
    group.until(|apps| apps[0].node.handle().running().len() == 1);
    group.network.release(A, B);
    group.until(|apps| apps.iter().all(|app| app.committed.len() == 1) && all_is_checked(apps));
    assert!(told(&group, "Check", "").is_empty());
}

#[test]
fn each_committed_snapshot_is_checked_once_and_by_its_initiator() {
    let mut group = Group::tuned(&Graph::star([A, B, C]), durable(), with_suspicion);
    let taken: Vec<_> = [A, B, A, C].into_iter().map(|by| (by, take(&mut group, by))).collect();
    group.until(|apps| apps.iter().all(|app| app.committed.len() == 4) && all_is_checked(apps));
    for (by, snapshot) in taken {
        assert_eq!(told(&group, "CheckFailed", &format!("it is {snapshot}")), [by]);
    }
    assert_eq!(told(&group, "CheckFailed", "").len(), 4);
}

#[test]
fn a_node_that_starts_again_does_not_check_what_was_committed_before() {
    let mut group = Group::tuned(&Graph::mesh([A, B]), durable(), with_suspicion);
    let before = take(&mut group, A);
    group.kill(A);
    group.boot(A).expect("it resumes");
    group.until(|apps| apps[0].saw("RolledBack") == 1);
    let after = take(&mut group, A);
    group.until(all_is_checked);
    assert!(told(&group, "Check", &format!("{before:?}")).is_empty());
    assert_eq!(told(&group, "CheckFailed", &format!("{after:?}")), [A]);
}

#[test]
fn what_failed_a_check_can_be_read_after_retention_has_let_go_of_it_until_it_is_discarded() {
    let store = MemoryStore::new();
    let mut group = Group::tuned(&Graph::mesh([A, B]), on(&store), with_money_and_little_retention);
    group.app(A).ledger.balance += 1;
    let wrong = take(&mut group, A);
    group.until(|apps| apps[0].saw("CheckFailed") == 1);
    group.app(A).ledger.balance -= 1;
    let newest = (0..3).map(|_| take(&mut group, A)).last().expect("there are three");
    group.until(|_| snapshots_in(&store, part) == [newest]);
    block_on(async {
        let archive = archive(&store).await;
        assert_eq!(archive.evidence().await.expect("the store answers"), [wrong]);
        archive.verify(wrong).await.expect("the copy is whole");
        let cut = archive.read(wrong).await.expect("the copy is whole");
        assert_eq!((cut.id(), money(&cut)), (wrong, Err("201 coins".to_owned())));

        archive.discard(wrong).await.expect("the store answers");
        assert_eq!(archive.evidence().await.expect("the store answers"), []);
        assert_eq!(snapshots_in(&store, evidence), []);
        let gone = archive.read(wrong).await.expect_err("nothing is left");
        assert!(matches!(gone, ArchiveError::LetGo { snapshot } if snapshot == wrong), "{gone}");
        archive.discard(wrong).await.expect("that there is none is no error");
    });
}

#[test]
fn a_copy_does_not_stand_in_for_what_a_restart_would_need() {
    let store = MemoryStore::new();
    let mut group = Group::tuned(&Graph::mesh([A, B]), on(&store), with_suspicion);
    let newest = take(&mut group, A);
    group.until(|apps| apps[0].saw("CheckFailed") == 1);
    block_on(async {
        store.delete(Key::Part { snapshot: newest, node: B }).await.expect("it can be deleted");
        let archive = archive(&store).await;
        let missing = archive.verify(newest).await.expect_err("a restart would not find it");
        assert!(matches!(missing, ArchiveError::Part(PartError::Missing { .. })), "{missing}");
        assert_eq!(archive.read(newest).await.expect("there is a copy").id(), newest);
    });
}

#[test]
fn a_copy_that_is_damaged_is_found_and_named() {
    let store = MemoryStore::new();
    let mut group = Group::tuned(&Graph::mesh([A, B]), on(&store), with_suspicion);
    let snapshot = take(&mut group, A);
    group.until(|apps| apps[0].saw("CheckFailed") == 1);
    block_on(async {
        store.delete(Key::Part { snapshot, node: B }).await.expect("it can be deleted");
        let copy = Key::Evidence { snapshot, node: B };
        assert!(store.corrupt(copy, |bytes| *bytes.last_mut().expect("it has bytes") ^= 1));
        let damaged = archive(&store).await.read(snapshot).await.expect_err("it is damaged");
        assert!(damaged.to_string().contains(&copy.to_string()), "{damaged}");
    });
}

#[test]
fn a_check_that_panics_is_told_of_like_one_that_fails_and_the_others_run() {
    let tune = |builder: Builder| {
        let panics = |cut: &Cut| {
            let ledger = cut.state(NodeId(9)).expect("there is a branch 9");
            if ledger.balance == 0 { Err("broke".to_owned()) } else { Ok(()) }
        };
        builder.check("first", panics).check("second", |_| Err("as ever".to_owned())).check("third", money)
    };
    let mut group = Group::tuned(&Graph::new([A]), durable(), tune);
    for times in 1..=2 {
        take(&mut group, A);
        group.until(all_is_checked);
        assert_eq!(
            told(&group, "CheckFailed", r#"check: "first", what: "the check panicked: there is a branch 9""#)
                .len(),
            times
        );
        assert_eq!(told(&group, "CheckFailed", r#"check: "second", what: "as ever""#).len(), times);
    }
    assert_eq!(told(&group, "Check", "").len(), 4);
}

#[test]
fn while_a_snapshot_is_under_check_messages_are_taken_and_snapshots_commit() {
    let store = Held::new();
    let mut group = Group::tuned(&Graph::mesh([A, B]), on(&store), with_suspicion);
    let first = take(&mut group, A);
    group.app(B).pay(A, 30);
    group.until(|apps| apps[0].ledger.received == [30]);
    let second = take(&mut group, A);
    assert_eq!(group.app(A).node.handle().unchecked(), [first, second]);
    assert!(told(&group, "Check", "").is_empty());
    store.release();
    group.until(all_is_checked);
    for snapshot in [first, second] {
        assert_eq!(told(&group, "CheckFailed", &format!("it is {snapshot}")), [A]);
    }
}

/// A store that reads parts on threads of its own.
struct Threaded(MemoryStore);

#[async_trait]
impl SnapshotStore for Threaded {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.0.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        let (sender, answer) = oneshot::channel();
        let store = self.0.clone();
        thread::spawn(move || {
            // Whoever asked may be gone.
            let _ = sender.send(block_on(store.read(key, sink)));
        });
        answer.await.expect("the thread answers")
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.0.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.0.delete(key).await
    }
}

#[tokio::test]
async fn a_check_that_does_not_return_stops_neither_the_loop_nor_snapshots_nor_the_end() {
    let network = MemNetwork::<u64>::new(&Graph::new([A])).expect("a good graph");
    let (begun, under_check) = mpsc::channel();
    let (let_go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let mut ledger = Ledger::default();
    let mut node = SnapshotNode::builder(network.transport(A))
        .store(Threaded(MemoryStore::new()))
        .codec(Postcard)
        .check("endless", move |cut| {
            begun.send(cut.id()).expect("the test waits for it");
            held.lock().expect("nobody panics").recv().map_err(|_| "it was let go".to_owned())
        })
        .start(&mut ledger)
        .await
        .expect("it starts");
    let handle = node.handle();
    let mut taken = Vec::new();
    while taken.len() < 3 {
        let snapshot = handle.snapshot();
        let mut snapshot = pin!(snapshot);
        let report = loop {
            tokio::select! {
                report = &mut snapshot => break report.expect("it commits"),
                event = node.next(&mut ledger) => assert!(!format!("{event:?}").contains("Check"), "{event:?}"),
            }
        };
        taken.push(report.snapshot);
        if taken.len() == 1 {
            assert!(
                node.next(&mut ledger).now_or_never().is_none_or(|event| event.is_ok()),
                "the check begins"
            );
            assert_eq!(under_check.recv(), Ok(taken[0]));
        }
    }
    assert_eq!(handle.unchecked(), taken);
    node.close(SOON).await.expect("it closes");
    drop(let_go);
}

#[tokio::test]
async fn a_snapshot_is_unchecked_until_the_application_has_handled_what_was_found() {
    let network = MemNetwork::<u64>::new(&Graph::new([A])).expect("a good graph");
    let builder = SnapshotNode::builder(network.transport(A)).store(MemoryStore::new()).codec(Postcard);
    let shared = with_suspicion(builder).share(Ledger::default()).await;
    let (node, driver) = shared.expect("it starts");
    let (mut deliveries, driving) = driver.stream();
    let mut driving = pin!(driving);
    let handle = node.handle();
    let report = tokio::select! {
        report = handle.snapshot() => report.expect("it commits"),
        ended = &mut driving => panic!("{ended:?}"),
    };
    assert!(driving.as_mut().now_or_never().is_none(), "it comes to rest: the check is done");
    let mut was_told = false;
    while !was_told {
        assert_eq!(handle.unchecked(), [report.snapshot]);
        let delivery = deliveries.next().now_or_never().flatten().expect("there is more to tell");
        let taken = delivery.take(|_, event, _| matches!(event, Event::CheckFailed { .. })).now_or_never();
        was_told = taken.expect("it is there").expect("the node runs");
        assert_eq!(handle.unchecked(), [report.snapshot]);
        assert!(driving.as_mut().now_or_never().is_none());
    }
    assert_eq!(handle.unchecked(), []);
}

#[test]
fn close_waits_for_no_check() {
    let store = Held::new();
    let mut group = Group::tuned(&Graph::new([A]), on(&store), with_suspicion);
    let snapshot = take(&mut group, A);
    let App { node, .. } = group.apps.remove(0);
    let handle = node.handle();
    assert_eq!(handle.unchecked(), [snapshot]);
    group.network.run(node.close(SOON)).expect("it does not wait").expect("it closes");
    assert_eq!(handle.unchecked(), []);
}

#[test]
fn what_is_still_to_be_checked_is_left_out_of_a_deletion_and_taken_by_a_later_one() {
    let store = Held::new();
    let mut group = Group::tuned(&Graph::mesh([A, B]), on(&store), with_money_and_little_retention);
    let taken: Vec<SnapshotId> = (0..3).map(|_| take(&mut group, A)).collect();
    group.until(|_| true); // what the last commit has let go of would be deleted by now
    assert_eq!(snapshots_in(&store.store, part), taken);
    store.release();
    group.until(all_is_checked);
    assert!(told(&group, "Check", "").is_empty(), "they were sound, and there");
    let newest = take(&mut group, A);
    group.until(|_| snapshots_in(&store.store, part) == [newest]);
}

#[test]
fn a_snapshot_that_another_member_has_let_go_of_is_skipped_and_told_of() {
    let store = Held::new();
    let mut group = Group::tuned(&Graph::mesh([A, B]), on(&store), with_money_and_little_retention);
    let gone = take(&mut group, A);
    let newest = take(&mut group, B);
    group.until(|_| snapshots_in(&store.store, part) == [newest]);
    store.release();
    group.until(all_is_checked);
    assert_eq!(told(&group, "CheckSkipped", &format!("{gone:?}")), [A]);
    assert_eq!(told(&group, "CheckSkipped", "deleted").len(), 1);
    assert_eq!(told(&group, "Check", "").len(), 1);
}

#[test]
fn one_more_snapshot_than_may_wait_is_skipped_and_told_of() {
    let store = Held::new();
    let mut group = Group::tuned(&Graph::new([A]), on(&store), with_suspicion);
    // One is under check, 64 wait.
    let taken: Vec<SnapshotId> = (0..66).map(|_| take(&mut group, A)).collect();
    group.until(|apps| apps[0].saw("CheckSkipped") == 1);
    assert_eq!(told(&group, "CheckSkipped", &format!("{:?}", taken[65])), [A]);
    assert_eq!(group.app(A).node.handle().unchecked(), taken[..65]);
    store.release();
    group.until(all_is_checked);
    assert_eq!(told(&group, "CheckFailed", "").len(), 65);
}

#[test]
fn no_more_than_64_snapshots_are_kept() {
    let store = MemoryStore::new();
    let mut group = Group::tuned(&Graph::new([A]), on(&store), with_suspicion);
    let taken: Vec<SnapshotId> = (0..65).map(|_| take(&mut group, A)).collect();
    group.until(|apps| apps[0].saw("CheckFailed") == 65);
    assert_eq!(told(&group, "CheckFailed", "kept: Ok(())").len(), 64);
    assert_eq!(snapshots_in(&store, evidence), taken[..64]);
    assert_eq!(told(&group, "CheckFailed", &format!("it is {}", taken[64])), [A]);
}

#[test]
fn what_cannot_be_kept_is_told_of_and_leaves_nothing_behind() {
    let memory = MemoryStore::new();
    let store = FaultyStore::new(memory.clone(), |operation| match operation {
        Operation::Create(Key::Evidence { node, .. }) if node == B => Fault::Fail(ErrorKind::StorageFull),
        _ => Fault::None,
    });
    let mut group = Group::tuned(&Graph::mesh([A, B]), on(&store), with_suspicion);
    let snapshot = take(&mut group, A);
    group.until(|apps| apps[0].saw("CheckFailed") == 1);
    assert_eq!(
        told(
            &group,
            "CheckFailed",
            &format!(r#"what: "it is {snapshot}", kept: Err("cannot create evidence"#)
        ),
        [A]
    );
    assert_eq!(snapshots_in(&memory, evidence), []);
}

#[test]
fn a_store_that_fails_to_read_a_part_is_told_of() {
    let store = FaultyStore::new(MemoryStore::new(), |operation| match operation {
        Operation::Read(Key::Part { .. }) => Fault::Fail(ErrorKind::ConnectionReset),
        _ => Fault::None,
    });
    let mut group = Group::tuned(&Graph::mesh([A, B]), on(&store), with_suspicion);
    let snapshot = take(&mut group, A);
    group.until(all_is_checked);
    assert_eq!(told(&group, "CheckSkipped", &format!("{snapshot:?}")), [A]);
    assert_eq!(told(&group, "CheckSkipped", "cannot read part").len(), 1);
}

#[test]
fn what_was_read_whole_is_checked_though_the_answer_of_the_store_was_lost() {
    let store = FaultyStore::new(MemoryStore::new(), |operation| match operation {
        Operation::Read(Key::Part { .. }) => Fault::LoseAnswer,
        _ => Fault::None,
    });
    let mut group = Group::tuned(&Graph::mesh([A, B]), on(&store), with_suspicion);
    let snapshot = take(&mut group, A);
    group.until(all_is_checked);
    assert_eq!(told(&group, "CheckFailed", &format!("it is {snapshot}")), [A]);
}

#[test]
fn checks_without_a_store_are_refused() {
    let network = MemNetwork::new(&Graph::new([A])).expect("a good graph");
    let mut ledger = Ledger::default();
    let builder: Builder = SnapshotNode::builder(network.transport(A));
    let refused = network.run(with_money(builder).start(&mut ledger)).expect("it does not wait");
    let Err(NodeError::Configuration(why)) = refused else { panic!("it starts: {refused:?}") };
    assert!(why.contains("store(…)"), "{why}");
}
