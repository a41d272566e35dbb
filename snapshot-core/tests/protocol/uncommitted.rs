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

/// The snapshot that is under way is committed, and nobody takes anything.
fn until_committed(group: &mut Group) {
    while group.commits < 2 {
        for pair in [(A, B), (B, A)] {
            while group.deliver(pair) {}
        }
        while [A, B].into_iter().any(|id| group.serve(id)) {}
    }
}

/// The process of B dies, and A goes back with the next one.
fn go_back(group: &mut Group) {
    group.crash(B);
    group.boot(B);
    while group.processes[&A].coordinator.generation().0 == 1 {
        while [A, B].into_iter().any(|id| group.serve(id)) {}
        while group.deliver((B, A)) {}
    }
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
    // A look at the clock that nobody has asked for changes nothing.
    group.input(A, |c, now, capture| c.handle_timeout(now, capture));
    assert_eq!(told(&group).len(), 1);
    assert!(told(&group)[0].contains("turns: 6"), "{:?}", told(&group));
    group.settle();
    assert_eq!(group.processes[&B].branch.balance, 106, "what has come is handed out all the same");
    group.initiate(A).unwrap();
    until_committed(&mut group);
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
    go_back(&mut group);
    assert_eq!(group.processes[&A].branch.balance, 100);
    assert!(has_room(&group));
}

#[test]
fn what_came_after_the_capture_is_counted_in_turns_and_is_as_old_as_the_commit() {
    let second = Duration::from_secs(1);
    let mut group = group(10 * second, 5);
    group.pay_to(A, B);
    group.pass_time(Duration::ZERO);
    group.initiate(A).unwrap();
    (0..5).for_each(|_| group.pay_to(A, B));
    assert!(!has_room(&group));
    group.pass_time(Duration::ZERO);
    assert_eq!(told(&group).len(), 1, "at once, whatever their age");
    group.pass_time(9 * second);
    until_committed(&mut group);
    assert!(has_room(&group), "five are left");
    group.pass_time(9 * second);
    assert!(has_room(&group));
    group.pass_time(second);
    assert!(!has_room(&group));
}

#[test]
fn turns_of_before_the_commit_do_not_count_again_when_the_group_has_gone_back_to_it() {
    let mut group = group(Duration::MAX, 5);
    (0..5).for_each(|_| group.pay_to(A, B));
    group.initiate(A).unwrap();
    until_committed(&mut group);
    go_back(&mut group);
    group.pay_to(A, B);
    assert!(has_room(&group));
}

#[test]
fn when_the_group_has_gone_back_the_age_of_what_is_done_counts_anew() {
    let second = Duration::from_secs(1);
    let mut group = group(10 * second, u64::MAX);
    group.pay_to(A, B);
    group.pass_time(Duration::ZERO);
    group.pass_time(9 * second);
    go_back(&mut group);
    group.pay_to(A, B);
    group.pass_time(Duration::ZERO);
    group.pass_time(9 * second);
    assert!(has_room(&group));
}

#[test]
fn it_is_told_what_the_oldest_snapshot_under_way_waits_for() {
    let mut group = group(Duration::MAX, 2);
    group.initiate(A).unwrap();
    assert!(group.deliver((A, B)) && group.deliver((B, A)), "its part is being written");
    group.initiate(A).unwrap();
    group.pay_to(A, B);
    group.pass_time(Duration::ZERO);
    assert!(told(&group)[0].contains("awaiting: Some(Store)"), "{:?}", told(&group));
}
