//! Work that no commit covers has a bound, where one is set.

use std::time::Duration;

use crate::group::Group;
use snapshot_core::{Graph, NodeId, Settings, UncommittedBound};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn group(age: Duration, turns: u64) -> Group {
    let max_uncommitted = Some(UncommittedBound { age, turns });
    let settings = Settings { durable: true, max_uncommitted, ..Settings::default() };
    let mut group = Group::new(Graph::mesh([A, B]), settings, 1);
    group.boot_all();
    while [A, B].into_iter().any(|id| group.serve(id)) {}
    for pair in [(A, B), (B, A)] {
        while group.deliver(pair) {}
    }
    group
}

fn has_room(group: &Group) -> bool {
    let coordinator = &group.processes[&A].coordinator;
    let to = coordinator.topology().peer(B).unwrap();
    assert_eq!(coordinator.has_room(), coordinator.has_room_for(to));
    coordinator.has_room()
}

/// What the node was told of that, so far.
fn told(group: &Group) -> Vec<&String> {
    group.processes[&A].events.iter().filter(|event| event.starts_with("Uncommitted")).collect()
}

#[test]
fn beyond_so_many_turns_there_is_no_room_until_a_commit_covers_them_and_that_is_told_once() {
    let mut group = group(Duration::MAX, 5);
    (0..5).for_each(|_| group.pay_to(A, B));
    assert!(has_room(&group));
    group.pay_to(A, B);
    assert!(!has_room(&group));
    group.pass_time(Duration::ZERO);
    group.pass_time(Duration::from_secs(1));
    assert_eq!(told(&group).len(), 1);
    assert!(told(&group)[0].contains("turns: 6"), "{:?}", told(&group));
    group.settle();
    assert_eq!(group.processes[&B].branch.balance, 106, "what has come is handed out all the same");
    group.initiate(A).unwrap();
    while group.commits < 2 {
        for pair in [(A, B), (B, A)] {
            while group.deliver(pair) {}
        }
        while [A, B].into_iter().any(|id| group.serve(id)) {}
    }
    assert!(has_room(&group));
    (0..6).for_each(|_| group.pay_to(A, B));
    group.pass_time(Duration::from_secs(1));
    assert!(!has_room(&group));
    assert_eq!(told(&group).len(), 2);
}

#[test]
fn beyond_an_age_there_is_no_room_and_who_is_missing_is_named() {
    let second = Duration::from_secs(1);
    let mut group = group(10 * second, u64::MAX);
    group.pass_time(60 * second);
    assert!(has_room(&group), "there is nothing that could be lost");
    group.pay_to(A, B);
    group.lost(A, B);
    group.pass_time(second);
    group.pass_time(9 * second);
    assert!(has_room(&group));
    group.pass_time(second);
    assert!(!has_room(&group));
    assert!(told(&group)[0].contains("lost: [NodeId(2)]"), "{:?}", told(&group));
}

#[test]
fn a_rollback_leaves_nothing_uncommitted() {
    let mut group = group(Duration::MAX, 2);
    (0..3).for_each(|_| group.pay_to(A, B));
    assert!(!has_room(&group));
    group.crash(B);
    group.boot(B);
    while group.processes[&A].coordinator.generation().0 == 1 {
        while [A, B].into_iter().any(|id| group.serve(id)) {}
        while group.deliver((B, A)) {}
    }
    assert_eq!(group.processes[&A].branch.balance, 100);
    assert!(has_room(&group));
}
