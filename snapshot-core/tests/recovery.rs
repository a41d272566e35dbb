//! What a node does when its store fails, and with what its predecessors have left, quoting the rules of recovery.

mod group;

use std::time::Duration;

use group::Group;
use snapshot_core::{Failure, Generation, Graph, NodeId, Settings};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn durable() -> Group {
    let settings = Settings { durable: true, ..Settings::default() };
    Group::new(Graph::mesh([A, B]), settings, 1)
}

fn running() -> Group {
    let mut group = durable();
    group.boot_all();
    group.settle();
    group
}

/// The connection breaks, and what was in flight from B to A is lost with it.
fn lose_what_is_in_flight(group: &mut Group) {
    group.channels.get_mut(&(B, A)).unwrap().clear();
    for (id, peer) in [(A, B), (B, A)] {
        group.lost(id, peer);
    }
    for (id, peer) in [(A, B), (B, A)] {
        group.up(id, peer);
    }
}

#[test]
fn a_start_ends_when_the_store_fails() {
    let mut group = durable();
    group.store.faults = 100;
    group.boot(A);
    assert!(group.serve(A));
    assert!(matches!(group.processes[&A].failed, Some(Failure::Store { .. })));
    assert!(group.processes[&A].asked.is_empty());
}

#[test]
fn a_running_node_that_rolls_back_tries_again_half_a_second_after_the_store_has_failed() {
    let mut group = running();
    group.pass_time(Duration::from_secs(1));
    group.initiate(B).unwrap();
    lose_what_is_in_flight(&mut group);
    while group.deliver((B, A)) {}
    group.store.faults = 100;
    assert!(group.serve(A), "it looks what the journal says");
    let a = &group.processes[&A];
    assert!(a.failed.is_none() && a.asked.is_empty());
    assert!(a.events.iter().any(|event| event.starts_with("StoreFailed")), "{:?}", a.events);
    assert_eq!(a.coordinator.poll_timeout(), Some(Duration::from_millis(1500)));
    group.store.faults = 0;
    group.pass_time(Duration::from_millis(499));
    assert!(group.processes[&A].asked.is_empty(), "not yet");
    group.pass_time(Duration::from_millis(1));
    assert_eq!(group.processes[&A].asked.len(), 1);
    group.settle();
    assert!(group.processes.values().all(|p| p.coordinator.generation() == Generation(2)));
}

#[test]
fn a_set_that_is_whole_is_committed_by_whoever_opens_the_next_generation() {
    // J4, "If an initiator died between the last receipt and its commit, whoever comes next commits": the set is as good as
    // committed, though here nobody has died.
    let mut group = running();
    let id = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    assert!(group.serve(A) && group.serve(B), "both parts are durable");
    lose_what_is_in_flight(&mut group);
    group.settle();
    for process in group.processes.values() {
        assert_eq!(process.coordinator.generation(), Generation(2));
        let back =
            process.events.iter().find(|event| event.starts_with("RolledBack")).expect("it has gone back");
        assert!(back.contains(&format!("snapshot: Some({id:?})")), "{back}");
    }
}
