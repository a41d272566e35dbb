//! A snapshot that cannot end says what it waits for: while it waits, and when it is given up.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use snapshot_core::{
    AbortReason, Awaiting, Clock, Content, Created, Generation, Graph, Key, NodeId, Sink, SnapshotError,
    SnapshotStore, StoreError, async_trait,
};
use snapshot_store::MemoryStore;

use super::support::*;

/// A store that gives no answer to what creates such an object, until it is let go on.
#[derive(Clone)]
struct Hanging {
    store: MemoryStore,
    of: Which,
    hangs: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
}

impl Hanging {
    fn of(flood: &Flood, of: Which) -> Self {
        Self { store: flood.store.clone(), of, hangs: Arc::default(), clock: Arc::clone(&flood.clock) }
    }

    fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }
}

#[async_trait]
impl SnapshotStore for Hanging {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        while (self.of)(key) && self.hangs.load(Ordering::Relaxed) {
            self.clock.sleep_until(self.clock.now() + Duration::from_millis(10)).await;
        }
        self.store.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.store.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.store.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.store.delete(key).await
    }
}

/// Of which objects.
type Which = fn(Key) -> bool;

fn is_part(key: Key) -> bool {
    matches!(key, Key::Part { .. })
}

fn is_journal(key: Key) -> bool {
    matches!(key, Key::Journal(_))
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(5);

/// Three that send each other more than they take. The one that is named loses patience first.
fn group(impatient: NodeId, slow_store: Option<(NodeId, Which)>) -> (Flood, Option<Hanging>) {
    let ids = [A, B, C];
    let mut flood = Flood::on(network(&Graph::mesh(ids)));
    let hanging = slow_store.map(|(_, of)| Hanging::of(&flood, of));
    for id in ids {
        let mut builder = flood.build(flood.network.transport(id));
        builder = builder.deadline(if id == impatient { SHORT } else { LONG });
        if let Some((_, store)) = slow_store.zip(hanging.clone()).filter(|((at, _), _)| *at == id) {
            builder = builder.store(store);
        }
        let to = ids.into_iter().filter(|to| *to != id).collect();
        flood.start(builder, Habits { to, weight: 1 << 10, busy: Duration::from_millis(20) });
    }
    flood.sleep(Duration::from_secs(1));
    flood.snapshot(A).expect("all is well");
    // The others have heard of it.
    flood.sleep(Duration::from_secs(1));
    flood.log.borrow_mut().aborted.clear();
    (flood, hanging)
}

fn markers(of: NodeId) -> Awaiting {
    Awaiting::Markers { of: vec![of] }
}

fn receipts(of: &[NodeId]) -> Awaiting {
    Awaiting::Receipts { of: of.to_vec() }
}

/// What the one snapshot that runs waits for, as this node sees it.
fn awaiting(flood: &Flood, at: NodeId) -> Awaiting {
    let running = flood.handles[&at].running();
    assert_eq!(running.len(), 1, "{at}: {running:?}");
    running[0].awaiting()
}

/// A begins a snapshot. Each of those named says what it waits for, and that is what it is given up for.
fn given_up(flood: &mut Flood, waits: &[(NodeId, Awaiting)], by: NodeId, why: &Awaiting) {
    let handle = flood.handles[&A].clone();
    let outcome = Rc::new(Cell::new(None));
    let told = Rc::clone(&outcome);
    flood.others.push(Box::pin(async move { told.set(Some(handle.snapshot().await)) }));
    flood.sleep(Duration::from_secs(1));
    for (at, expected) in waits {
        assert_eq!(awaiting(flood, *at), *expected, "at {at}");
    }
    assert!(waits.iter().any(|(at, awaiting)| (*at, awaiting) == (by, why)));
    flood.sleep(2 * SHORT);
    let reason = AbortReason::Deadline { awaiting: why.clone() };
    let outcome = outcome.take().expect("it is given up");
    assert!(
        matches!(&outcome, Err(SnapshotError::Aborted { by: at, reason: told, .. }) if *at == by && *told == reason),
        "{outcome:?}"
    );
    // All who run are told the same.
    let told = flood.log.borrow().aborted.clone();
    assert!(told.len() > 1 && told.iter().all(|(_, at, told)| *at == by && *told == reason), "{told:?}");
}

#[test]
fn of_a_process_that_is_stopped_the_markers_are_missing_everywhere() {
    for impatient in [A, C] {
        let (mut flood, _) = group(impatient, None);
        let stopped = flood.freeze(B);
        given_up(&mut flood, &[(A, markers(B)), (C, markers(B))], impatient, &markers(B));
        flood.thaw(B, stopped);
        flood.sleep(Duration::from_secs(1));
        flood.snapshot(A).expect("it goes on");
    }
}

#[test]
fn of_a_link_that_stands_still_the_marker_is_missing_at_its_end_and_the_receipt_at_the_beginning() {
    let waits = [(A, receipts(&[C])), (B, receipts(&[])), (C, markers(B))];
    for (impatient, why) in [(A, receipts(&[C])), (C, markers(B))] {
        let (mut flood, _) = group(impatient, None);
        flood.network.hold(B, C);
        given_up(&mut flood, &waits, impatient, &why);
        flood.network.release(B, C);
        flood.sleep(Duration::from_secs(1));
        flood.snapshot(A).expect("it goes on");
    }
}

#[test]
fn of_a_store_that_hangs_the_part_is_missing_at_its_node_and_the_receipt_at_the_beginning() {
    let waits = [(A, receipts(&[B])), (B, Awaiting::Store), (C, receipts(&[]))];
    for (impatient, why) in [(A, receipts(&[B])), (B, Awaiting::Store)] {
        let (mut flood, hanging) = group(impatient, Some((B, is_part)));
        let hanging = hanging.expect("it has one");
        hanging.hang(true);
        given_up(&mut flood, &waits, impatient, &why);
        hanging.hang(false);
        flood.sleep(Duration::from_secs(1));
        flood.snapshot(A).expect("it goes on");
    }
}

#[test]
fn where_the_store_of_the_one_that_began_hangs_that_is_what_it_says() {
    let (mut flood, hanging) = group(A, Some((A, is_part)));
    hanging.expect("it has one").hang(true);
    given_up(&mut flood, &[(A, Awaiting::Store), (B, receipts(&[]))], A, &Awaiting::Store);
}

#[test]
fn a_commit_record_that_is_being_written_is_waited_for_and_named_whatever_the_deadline() {
    let (mut flood, hanging) = group(A, Some((A, is_journal)));
    let hanging = hanging.expect("it has one");
    hanging.hang(true);
    let handle = flood.handles[&A].clone();
    let outcome = Rc::new(Cell::new(None));
    let told = Rc::clone(&outcome);
    flood.others.push(Box::pin(async move { told.set(Some(handle.snapshot().await)) }));
    for _ in 0..10 {
        flood.sleep(SHORT);
        assert_eq!(awaiting(&flood, A), Awaiting::Journal);
        assert_eq!((awaiting(&flood, B), awaiting(&flood, C)), (receipts(&[]), receipts(&[])));
    }
    assert!(flood.log.borrow().aborted.is_empty(), "only the store can say how it ends");
    hanging.hang(false);
    flood.sleep(SHORT);
    outcome.take().expect("it has ended").expect("it commits");
}

#[test]
fn of_a_link_that_is_cut_the_neighbour_is_named_at_once() {
    let (mut flood, _) = group(A, None);
    flood.network.hold(A, B);
    let handle = flood.handles[&C].clone();
    let outcome = Rc::new(Cell::new(None));
    let told = Rc::clone(&outcome);
    flood.others.push(Box::pin(async move { told.set(Some(handle.snapshot().await)) }));
    flood.sleep(Duration::from_secs(1));
    assert_eq!((awaiting(&flood, B), awaiting(&flood, C)), (markers(A), receipts(&[B])));
    flood.network.cut(A, B);
    flood.sleep(Duration::from_secs(1));
    let outcome = outcome.take().expect("it is given up");
    let Err(SnapshotError::Aborted { by, reason: AbortReason::PeerLost { peer }, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((by, peer), (B, A));
}
