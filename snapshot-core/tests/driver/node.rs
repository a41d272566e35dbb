//! Whole nodes on the in-memory network: what an application sees.

use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::bank::{A, App, B, C, Group, Ledger, START, durable, on};
use futures::future;
use futures::stream::{FuturesUnordered, StreamExt};
use snapshot_core::{
    AbortReason, Archive, Awaiting, Bound, Content, Created, Event, Flushed, Generation, GlobalSnapshot,
    Graph, Key, NodeError, Postcard, PostcardState, Sink, SnapshotError, SnapshotNode, SnapshotStore,
    StoreError, async_trait,
};
use snapshot_store::{Fault, FaultyStore, MemoryStore, Operation};
use snapshot_transport_mem::MemNetwork;

const SOON: Duration = Duration::from_secs(10);

fn all_rolled_back(apps: &[App]) -> bool {
    apps.iter().all(|app| app.saw("RolledBack") > 0)
}

#[test]
fn a_message_frozen_in_flight_is_in_the_cut() {
    let mut group = Group::new(&Graph::mesh([A, B]), None);
    group.network.hold(A, B);
    group.app(A).pay(B, 5);
    group.app(B).node.snapshot();
    group.until(|apps| apps[0].locals.len() == 1); // A has captured: its markers stand behind the coins
    group.network.release(A, B);
    group.until(|apps| apps[1].locals.len() == 1);
    let locals: Vec<_> = group.apps.iter_mut().flat_map(|app| app.locals.drain(..)).collect();
    let cut = GlobalSnapshot::assemble(locals).expect("the parts fit together");
    assert_eq!(cut.channel(A, B), [5]);
    assert_eq!(cut.state(A).map(|ledger| ledger.balance), Some(95));
    assert_eq!(cut.state(B).map(|ledger| ledger.balance), Some(100));
    assert_eq!(cut.in_flight().count(), 1);
}

#[test]
fn without_a_store_a_handle_hears_when_all_have_taken_their_part() {
    let mut group = Group::new(&Graph::ring([A, B, C]), None);
    let report = group.snapshot(B).expect("it ends well");
    assert!(!report.durable);
    assert_eq!(report.parts.len(), 3);
    group.until(|apps| apps.iter().all(|app| app.locals.len() == 1));
    assert!(group.apps.iter().all(|app| app.committed.is_empty()));
}

#[test]
fn a_committed_snapshot_is_announced_to_all_with_the_turn_that_it_covers() {
    let mut group = Group::new(&Graph::ring([A, B, C]), durable());
    group.app(A).pay(B, 5);
    let turn = group.app(A).node.turn();
    let report = group.snapshot(B).expect("it commits");
    assert!(report.durable && report.bytes() > 0);
    group.until(|apps| apps.iter().all(|app| app.committed.len() == 1));
    assert!(group.app(A).committed[0] >= turn);
    assert!(group.apps.iter().all(|app| app.node.handle().running().is_empty()));
}

#[test]
fn a_process_that_resumed_has_no_room_for_new_work_before_it_was_told() {
    let mut group = Group::new(&Graph::mesh([A, B]), durable());
    let room = |group: &mut Group| (group.app(A).node.has_room(), group.app(A).node.has_room_for(B));
    assert_eq!(room(&mut group), (true, true), "the first start has nothing to tell");
    group.snapshot(A).expect("it commits");
    group.kill(A);
    group.boot(A).expect("it resumes");
    assert_eq!(room(&mut group), (false, false));
    group.until(|apps| apps[0].saw("RolledBack") == 1);
    assert_eq!(room(&mut group), (true, true));
}

#[test]
fn a_killed_process_resumes_and_the_group_goes_back_with_it() {
    let mut group = Group::new(&Graph::mesh([A, B, C]), durable());
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    group.network.hold(A, C);
    group.app(A).pay(C, 7); // in flight in the snapshot
    group.app(B).pay(A, 1);
    group.app(B).node.snapshot();
    group.until(|apps| apps[0].node.handle().running().len() == 1);
    group.network.release(A, C);
    group.until(|apps| apps.iter().all(|app| app.committed.len() == 1));
    group.app(C).pay(B, 50); // never happened
    group.until(|apps| apps[1].ledger.received.contains(&50));
    group.kill(C);
    group.boot(C).expect("it resumes");
    group.until(all_rolled_back);
    group.until(|apps| apps[2].ledger.received == [7] && apps[0].ledger.received == [1]);
    assert_eq!(group.total(), 3 * START);
    assert!(!group.app(B).ledger.received.contains(&50));
    group.snapshot(A).expect("the next one commits");
}

#[test]
fn recorded_messages_come_before_anything_new() {
    let mut group = Group::new(&Graph::mesh([A, B]), durable());
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    group.app(B).idle = true; // arrived or not: B takes nothing
    for amount in 1..=3 {
        group.app(A).pay(B, amount);
    }
    group.app(A).node.snapshot();
    group.until(|apps| apps[0].node.handle().running().len() == 1);
    group.app(B).idle = false;
    group.until(|apps| apps[1].committed.len() == 1);
    group.kill(B);
    group.boot(B).expect("it resumes");
    group.until(|apps| apps[0].saw("RolledBack") == 1);
    group.app(A).pay(B, 9);
    group.until(|apps| apps[1].ledger.received.contains(&9));
    let received = &group.app(B).ledger.received;
    assert_eq!(received, &[1, 2, 3, 9]);
}

#[test]
fn a_whole_group_that_was_killed_resumes_from_the_newest_commit() {
    let store = MemoryStore::new();
    {
        let mut group = Group::new(&Graph::star([A, B, C]), on(&store));
        group.app(B).pay(A, 30);
        group.until(|apps| apps[0].ledger.received == [30]);
        group.snapshot(C).expect("it commits");
        group.app(A).pay(C, 99);
        group.until(|apps| apps[2].ledger.received == [99]);
    }
    let mut group = Group::new(&Graph::star([A, B, C]), on(&store));
    group.until(all_rolled_back);
    let balances: Vec<u64> = group.apps.iter().map(|app| app.ledger.balance).collect();
    assert_eq!(balances, [130, 70, 100]);
    let generations: Vec<_> = group.apps.iter().map(|app| app.node.generation()).collect();
    assert!(
        generations.iter().all(|g| g.0 == 2),
        "n restarting nodes make one new generation: {generations:?}"
    );
}

#[test]
fn a_group_that_never_committed_resumes_from_where_its_applications_first_started() {
    let store = MemoryStore::new();
    let graph = Graph::mesh([A, B]);
    let mut group = Group::new(&graph, on(&store));
    group.app(A).pay(B, 60);
    group.until(|apps| apps[1].ledger.balance == 160);
    group.kill(B);
    group.boot(B).expect("it resumes");
    group.until(all_rolled_back);
    assert_eq!(group.apps.iter().map(|app| app.ledger.balance).collect::<Vec<_>>(), [100, 100]);
}

#[test]
fn a_connection_that_loses_frames_leads_to_the_next_generation_and_one_that_loses_none_does_not() {
    let mut group = Group::new(&Graph::mesh([A, B]), durable());
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    group.snapshot(A).expect("it commits");
    let quiet = group.network.cut(A, B);
    group.network.heal(A, B);
    assert_eq!(quiet, 0);
    group.until(|apps| apps.iter().all(|app| app.saw("PeerBack") == 1));
    group.snapshot(A).expect("nothing was missing");
    assert_eq!(group.app(A).node.generation().0, 1);

    group.network.hold(A, B);
    group.app(A).pay(B, 5);
    let lost = group.network.clone();
    group.until(|_| lost.in_flight(A, B) > 0);
    assert!(group.network.cut(A, B) > 0);
    group.network.release(A, B);
    group.network.heal(A, B);
    group.until(all_rolled_back);
    assert_eq!((group.total(), group.app(B).node.generation().0), (2 * START, 2));
}

#[test]
fn a_snapshot_with_a_silent_peer_is_aborted_at_its_deadline_and_says_what_it_waited_for() {
    let mut group = Group::tuned(&Graph::mesh([A, B]), durable(), |b| b.deadline(Duration::from_secs(5)));
    group.app(B).idle = true;
    let error = group.snapshot(A).expect_err("nobody answers");
    let SnapshotError::Aborted { by, reason, .. } = error else { panic!("{error}") };
    assert_eq!((by, reason), (A, AbortReason::Deadline { awaiting: Awaiting::Markers { of: vec![B] } }));
    group.app(B).idle = false;
    group.snapshot(A).expect("the next one works");
}

#[test]
fn snapshots_come_on_an_interval() {
    let mut group = Group::tuned(&Graph::mesh([A, B, C]), durable(), |b| b.interval(Duration::from_secs(60)));
    group.until(|apps| apps.iter().all(|app| app.committed.len() == 3));
    assert_eq!(group.network.now().as_secs(), 180);
    let reported: Vec<_> = group.apps.iter().map(|app| app.saw("report: Some(SnapshotReport")).collect();
    assert_eq!(reported, [3, 0, 0], "the node that began them says what they were like");
}

#[test]
fn a_snapshot_can_be_aborted_by_its_handle() {
    let mut group = Group::new(&Graph::mesh([A, B]), None);
    group.app(B).idle = true;
    group.app(A).node.snapshot();
    group.until(|apps| apps[0].node.handle().running().len() == 1);
    let handle = group.app(A).node.handle();
    let status = handle.running().remove(0);
    assert_eq!((status.missing_markers, status.missing_receipts), (vec![B], vec![A, B]));
    handle.abort(status.snapshot);
    group.until(|apps| apps[0].saw("Requested") == 1);
    assert!(handle.running().is_empty());
}

#[test]
fn a_handle_outlives_its_node_and_says_so() {
    let mut group = Group::new(&Graph::mesh([A, B]), None);
    let handle = group.app(A).node.handle();
    group.kill(A);
    assert_eq!(group.network.run(handle.snapshot()).expect("at once"), Err(SnapshotError::NodeGone));
}

#[test]
fn small_queues_and_a_flood_in_both_directions_come_to_an_end() {
    let mut group = Group::tuned(&Graph::mesh([A, B]), durable(), |b| {
        b.inbox(Bound::new(1, 1 << 20)).outbox(Bound::new(4, 1 << 20), Bound::new(64, 1 << 20))
    });
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    for round in 0..50 {
        group.app(A).pay(B, 1);
        group.app(B).pay(A, 1);
        if round % 10 == 0 {
            group.snapshot(A).expect("it commits");
        }
    }
    group.until(|apps| apps.iter().all(|app| app.ledger.received.len() == 50));
    assert_eq!(group.total(), 2 * START);
}

#[test]
fn a_node_of_one_works() {
    let mut group = Group::new(&Graph::new([A]), durable());
    group.app(A).ledger.balance = 7;
    group.snapshot(A).expect("it commits");
    group.kill(A);
    group.boot(A).expect("it resumes");
    assert_eq!(group.app(A).ledger.balance, 7);
}

/// Answers at the second poll.
struct Slow(MemoryStore);

async fn a_moment() {
    let mut polled = false;
    future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[async_trait]
impl SnapshotStore for Slow {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        a_moment().await;
        self.0.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        a_moment().await;
        self.0.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        a_moment().await;
        self.0.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        a_moment().await;
        self.0.delete(key).await
    }
}

#[test]
fn a_node_that_has_started_runs_however_slow_its_store_is() {
    let mut group = Group::new(&Graph::new([A]), Some(Arc::new(Slow(MemoryStore::new()))));
    assert!(group.app(A).node.has_room());
    group.snapshot(A).expect("it commits");
}

#[test]
fn a_deadline_that_comes_before_what_was_waited_for_is_kept() {
    let second = Duration::from_secs(1);
    let mut group = Group::tuned(&Graph::mesh([A, B]), None, |builder| {
        builder.interval(Duration::from_secs(10)).deadline(Duration::from_secs(1))
    });
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    group.network.hold(B, A);
    group.app(A).node.snapshot();
    group.until(|apps| apps[0].saw("SnapshotAborted") == 1);
    assert!(group.network.now() < 2 * second, "{:?}", group.network.now());
}

#[test]
fn nodes_that_are_polled_only_when_they_were_woken_wait_for_nothing_that_has_come() {
    let mut group = Group::new(&Graph::ring([A, B, C]), Some(Arc::new(Slow(MemoryStore::new()))));
    let handle = group.app(A).node.handle();
    for app in &mut group.apps {
        let to = app.node.topology().outgoing().next().expect("a ring").id();
        app.pay(to, 5);
    }
    let loops = group.apps.into_iter().map(|mut app| async move {
        loop {
            app.node.next(&mut app.ledger).await.expect("it runs");
        }
    });
    // Each of these has a waker of its own.
    let mut nodes: FuturesUnordered<_> =
        loops.map(|run| -> future::LocalBoxFuture<'_, ()> { Box::pin(run) }).collect();
    let snapshots = async {
        for _ in 0..5 {
            assert!(handle.snapshot().await.expect("it commits").durable);
        }
    };
    let mut snapshots = std::pin::pin!(snapshots);
    let all = future::select(&mut snapshots, nodes.next());
    let done = group.network.run(all).expect("nobody sleeps while there is something to do");
    assert!(matches!(done, future::Either::Left(_)));
}

#[test]
fn a_node_that_is_polled_only_when_it_was_woken_goes_back_when_the_store_has_answered() {
    let mut group = Group::new(&Graph::mesh([A, B]), durable());
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    group.kill(B);
    group.boot(B).expect("it resumes");
    let loops = group.apps.into_iter().map(|mut app| async move {
        loop {
            let event = app.node.next(&mut app.ledger).await.expect("it runs");
            if app.id() == A && matches!(event, Event::RolledBack { .. }) {
                return;
            }
        }
    });
    let mut nodes: FuturesUnordered<_> =
        loops.map(|run| -> future::LocalBoxFuture<'_, ()> { Box::pin(run) }).collect();
    let gone_back = group.network.run(nodes.next()).expect("nobody sleeps while there is something to do");
    assert_eq!(gone_back, Some(()));
}

#[test]
fn a_request_whose_asker_has_gone_begins_no_snapshot() {
    let mut group = Group::new(&Graph::new([A]), None);
    let handle = group.app(A).node.handle();
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let mut asked = Box::pin(handle.snapshot());
    assert!(asked.as_mut().poll(context).is_pending());
    drop(asked);
    group.until(|_| true);
    assert_eq!(group.app(A).saw("LocalSnapshot"), 0);
    group.snapshot(A).expect("another one is not refused");
    group.until(|apps| apps[0].saw("LocalSnapshot") == 1);
}

#[test]
fn a_neighbour_that_closes_has_left_and_was_not_lost() {
    let mut group = Group::new(&Graph::mesh([A, B]), None);
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    let leaver = group.apps.remove(1);
    group.network.run(leaver.node.close(SOON)).expect("at once").expect("in good order");
    group.until(|apps| apps[0].saw("PeerLeft") == 1);
    assert_eq!(group.app(A).saw("PeerLost"), 0);
}

/// Two whose channels hold one frame each.
fn narrow() -> Group {
    let network = MemNetwork::builder(&Graph::mesh([A, B])).capacity(1).build().expect("a good graph");
    let mut group = Group { network, store: None, apps: vec![], tune: |builder| builder };
    for id in [A, B] {
        group.boot(id).expect("it starts");
    }
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    group
}

#[test]
fn flush_waits_until_the_transport_has_taken_all_and_then_no_longer() {
    let Group { network, mut apps, .. } = narrow();
    let (mut b, mut a) = (apps.remove(1), apps.remove(0));
    for amount in [1, 2, 3] {
        a.pay(B, amount);
    }
    let mut flushed = false;
    let flush = async {
        a.node.flush(&mut a.ledger).await.expect("the transport takes it");
        flushed = true;
    };
    let receive = async {
        while b.ledger.received.len() < 3 {
            if let Event::Message { message, .. } = b.node.next(&mut b.ledger).await.expect("it runs") {
                b.ledger.received.push(message);
            }
        }
    };
    network.run(future::join(flush, receive)).expect("all arrives by flushing alone");
    assert!(flushed);
    assert_eq!(b.ledger.received, [1, 2, 3]);
    network.run(a.node.flush(&mut a.ledger)).expect("there is nothing to wait for").expect("it runs");
}

#[test]
fn a_flush_comes_back_where_the_node_goes_back_which_it_must_tell_of_first() {
    let mut group = Group::new(&Graph::mesh([A, B]), durable());
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    group.kill(B);
    group.boot(B).expect("it resumes");
    // That B was gone is news, and the state goes back when that has been handed out.
    let Group { network, apps, .. } = &mut group;
    let flushed = network.run(apps[0].flush()).expect("it does not wait for ever").expect("it runs");
    assert_eq!(flushed, Flushed::Waiting { peers: Vec::new() });
    group.until(all_rolled_back);
    let Group { network, apps, .. } = &mut group;
    assert_eq!(network.run(apps[0].flush()).expect("at once").expect("it runs"), Flushed::All);
}

#[test]
fn close_waits_until_the_neighbours_have_taken_what_was_sent() {
    let Group { network, mut apps, .. } = narrow();
    let (mut b, mut a) = (apps.remove(1), apps.remove(0));
    for amount in [1, 2, 3] {
        a.pay(B, amount);
    }
    // The news that it has left may come before what was sent is taken.
    let receive = async {
        let mut left = false;
        while !left || b.ledger.received.len() < 3 {
            match b.node.next(&mut b.ledger).await.expect("it runs") {
                Event::Message { message, .. } => b.ledger.received.push(message),
                Event::PeerLeft { .. } => left = true,
                _ => {}
            }
        }
    };
    let (closed, ()) = network.run(future::join(a.node.close(SOON), receive)).expect("it ends");
    closed.expect("in good order");
    assert_eq!(b.ledger.received, [1, 2, 3]);
}

#[test]
fn a_node_closes_though_a_neighbour_is_gone_before_it_could_be_told() {
    let mut group = Group::new(&Graph::mesh([A, B]), None);
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    let (second, first) = (group.apps.remove(1), group.apps.remove(0));
    group.network.run(first.node.close(SOON)).expect("at once").expect("in good order");
    let mut second = second;
    second.pay(A, 1); // can never arrive
    group.network.run(second.node.close(SOON)).expect("it does not wait for ever").expect("in good order");
}

#[test]
fn what_has_no_short_text_shows_by_name() {
    let mut group = Group::new(&Graph::new([A]), durable());
    let builder = SnapshotNode::<Ledger, u64>::builder(MemNetwork::mesh::<1>().1.into_iter().next().unwrap());
    let archive =
        futures::executor::block_on(Archive::<Ledger, u64>::open(group.store.clone().unwrap(), Postcard));
    let node = &group.app(A).node;
    for (shown, name) in [
        (format!("{node:?}"), "SnapshotNode"),
        (format!("{:?}", node.handle()), "SnapshotHandle"),
        (format!("{builder:?}"), "NodeBuilder"),
        (format!("{:?}", archive.unwrap()), "Archive"),
        (format!("{:?}", Content::new(|_| Ok(()))), "Content"),
        (format!("{:?}", Sink::collect().0), "Sink"),
    ] {
        assert!(shown.starts_with(name), "{shown}");
    }
}

#[test]
fn a_node_and_what_it_does_can_move_between_threads() {
    fn moves<T: Send>(_: &T) {}
    let mut group = Group::new(&Graph::mesh([A, B]), durable());
    let app = group.app(A);
    moves(&app.node);
    moves(&app.node.handle());
    moves(&app.node.flush(&mut app.ledger));
    moves(&app.node.next(&mut app.ledger));
}

// ---- what is wrong with a store ------------------------------------------------------------------------------------

fn two_commits() -> (MemoryStore, Vec<Key>) {
    let store = MemoryStore::new();
    let mut group = Group::new(&Graph::mesh([A, B]), on(&store));
    let mut keys = Vec::new();
    for amount in [10, 20] {
        group.app(A).pay(B, amount);
        group.until(|apps| apps[1].ledger.received.contains(&amount));
        let report = group.snapshot(A).expect("it commits");
        keys.push(Key::Part { snapshot: report.snapshot, node: B });
    }
    (store, keys)
}

fn text(error: &NodeError) -> String {
    error.to_string()
}

#[test]
fn a_flipped_bit_is_found_at_the_start_and_the_error_names_the_part_and_the_remedy() {
    let (store, keys) = two_commits();
    store.corrupt(keys[1], |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let mut group = Group { network: group_network(), store: on(&store), apps: vec![], tune: |b| b };
    let error = group.boot(B).expect_err("the part is damaged");
    assert!(text(&error).contains(&keys[1].to_string()) && text(&error).contains("fall_back"), "{error}");
}

fn group_network() -> MemNetwork<u64> {
    MemNetwork::new(&Graph::mesh([A, B])).expect("a good graph")
}

#[test]
fn falling_back_happens_only_where_it_is_allowed_and_all_nodes_hear_what_was_given_up() {
    let (store, keys) = two_commits();
    store.corrupt(keys[1], |bytes| bytes.truncate(bytes.len() - 3));
    let mut group =
        Group { network: group_network(), store: on(&store), apps: vec![], tune: |b| b.fall_back(true) };
    group.boot(A).expect("its own part is whole");
    group.boot(B).expect("it falls back");
    group.until(|apps| apps.iter().all(|app| app.saw("FellBack") == 1));
    let balances: Vec<u64> = group.apps.iter().map(|app| app.ledger.balance).collect();
    assert_eq!(balances, [90, 110], "as the first snapshot was");
    group.snapshot(B).expect("it goes on");
    group.kill(A);
    group.boot(A).expect("it resumes from the new line");
    assert_eq!(group.app(A).ledger.balance, 90);
}

#[test]
fn a_store_of_another_group_or_of_other_members_is_refused() {
    let (store, _) = two_commits();
    for graph in [Graph::mesh([A, B]).named("other"), Graph::mesh([A, B, C])] {
        let network = MemNetwork::new(&graph).expect("a good graph");
        let mut group = Group { network, store: on(&store), apps: vec![], tune: |b| b };
        let error = group.boot(A).expect_err("it is not ours");
        assert!(text(&error).contains("other") || text(&error).contains("n3"), "{error}");
    }
}

#[test]
fn a_full_disk_aborts_the_snapshot_and_the_application_runs_on() {
    let full = Arc::new(AtomicBool::new(false));
    let is_full = Arc::clone(&full);
    let store = FaultyStore::new(MemoryStore::new(), move |operation| match operation {
        Operation::Create(Key::Part { .. }) if is_full.load(Ordering::Relaxed) => {
            Fault::Fail(ErrorKind::StorageFull)
        }
        _ => Fault::None,
    });
    let mut group = Group::new(&Graph::mesh([A, B]), on(&store));
    full.store(true, Ordering::Relaxed);
    let error = group.snapshot(A).expect_err("there is no space").to_string();
    assert!(error.contains("the store failed: cannot"), "{error}");
    assert!(error.ends_with(": no storage space"), "what the system said comes with it: {error}");
    group.app(A).pay(B, 5);
    group.until(|apps| apps[1].ledger.received == [5]);
    full.store(false, Ordering::Relaxed);
    group.snapshot(A).expect("there is space again");
    assert!(group.apps.iter().all(|app| app.saw("RolledBack") == 0));
}

#[test]
fn a_commit_whose_answer_was_lost_is_found_by_its_nonce() {
    let store = FaultyStore::new(MemoryStore::new(), |operation| match operation {
        Operation::Create(Key::Journal(_)) => Fault::LoseAnswer,
        _ => Fault::None,
    });
    let mut group = Group::new(&Graph::mesh([A, B]), on(&store));
    let report = group.snapshot(A).expect("it is there, and it is ours");
    assert!(report.durable);
    group.until(|apps| apps.iter().all(|app| app.committed.len() == 1));
}

#[test]
fn a_commit_that_came_to_light_later_is_announced_then() {
    // The record is written, its answer is lost, and so is the answer to the question whether it is there.
    let trouble = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&trouble);
    let store = FaultyStore::new(MemoryStore::new(), move |operation| {
        match (operation, count.load(Ordering::Relaxed)) {
            (Operation::Create(Key::Journal(2)), 0) => {
                count.store(1, Ordering::Relaxed);
                Fault::LoseAnswer
            }
            (Operation::Read(Key::Journal(2)), 1) => {
                count.store(2, Ordering::Relaxed);
                Fault::Fail(ErrorKind::TimedOut)
            }
            _ => Fault::None,
        }
    });
    let mut group = Group::new(&Graph::mesh([A, B]), on(&store));
    group.snapshot(A).expect_err("nobody knows whether it is committed");
    group.until(|apps| apps[0].committed.len() == 1);
    assert_eq!(trouble.load(Ordering::Relaxed), 2);
    group.snapshot(B).expect("the next one goes on from there");
}

#[test]
fn a_store_that_fails_at_the_start_ends_the_start_with_what_it_said() {
    let store = FaultyStore::new(MemoryStore::new(), |_| Fault::Fail(ErrorKind::PermissionDenied));
    let mut group = Group { network: group_network(), store: on(&store), apps: vec![], tune: |b| b };
    let error = group.boot(A).expect_err("nothing can be read");
    assert!(text(&error).starts_with("the store failed: cannot"), "{error}");
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Later(u64);

impl PostcardState for Later {
    const VERSION: u32 = 2;
}

#[test]
fn a_state_that_this_release_cannot_decode_ends_the_start_and_says_which_version_it_is_of() {
    let (store, keys) = two_commits();
    let builder = SnapshotNode::<Later, u64>::builder(group_network().transport(B)).codec(Postcard);
    let start =
        group_network().run(builder.store(store).fall_back(true).start(&mut Later(0))).expect("at once");
    let error = text(&start.map(drop).expect_err("version 1 is not known"));
    assert!(error.contains(&keys[1].to_string()) && error.contains("version 1"), "{error}");
}

#[test]
fn a_store_without_a_byte_form_for_messages_is_refused_with_the_remedy() {
    let builder =
        SnapshotNode::<Ledger, u64>::builder(group_network().transport(B)).store(MemoryStore::new());
    let start = group_network().run(builder.start(&mut Ledger::default())).expect("at once");
    let error = text(&start.map(drop).expect_err("how shall messages be written?"));
    assert!(error.contains("codec(Postcard)"), "{error}");
}

#[test]
fn requests_that_come_while_a_node_goes_back_wait_for_it_and_their_number_has_a_bound() {
    let held = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&held);
    let store = FaultyStore::new(MemoryStore::new(), move |_| match fails.load(Ordering::Relaxed) {
        true => Fault::Fail(ErrorKind::TimedOut),
        false => Fault::None,
    });
    let mut group = Group::new(&Graph::mesh([A, B]), on(&store));
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    group.network.hold(A, B);
    group.app(A).pay(B, 5);
    let network = group.network.clone();
    group.until(|_| network.in_flight(A, B) > 0);
    held.store(true, Ordering::Relaxed);
    group.network.cut(A, B); // B will miss the frame, and cannot go back while the store fails
    group.network.release(A, B);
    group.network.heal(A, B);
    group.until(|apps| apps[1].saw("StoreFailed") > 2);
    let handle = group.app(B).node.handle();
    let mut requests: Vec<_> = (0..1024).map(|_| Box::pin(handle.snapshot())).collect();
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    for request in &mut requests {
        assert!(request.as_mut().poll(context).is_pending());
    }
    let failures = group.app(B).saw("StoreFailed");
    group.until(|apps| apps[1].saw("StoreFailed") > failures);
    let one_more = group.network.run(handle.snapshot()).expect("at once");
    assert_eq!(one_more, Err(SnapshotError::TooManyRequests));
    held.store(false, Ordering::Relaxed);
    group.until(|apps| apps[1].committed.len() == 1);
    for request in &mut requests {
        let answered = request.as_mut().poll(context);
        assert!(matches!(answered, Poll::Ready(Ok(_))), "all share one snapshot: {answered:?}");
    }
}
