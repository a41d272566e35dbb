//! What a coordinator remembers has bounds, and beyond them the oldest is forgotten.

use crate::group::Group;
use snapshot_core::{FrameKind, Graph, NodeId, Settings};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// B has begun so many snapshots, all of which C has refused, and A has heard of the refusals and not of the snapshots.
fn refused(snapshots: usize) -> Group {
    let settings = Settings { max_running: 1000, ..Settings::default() };
    let mut group = Group::new(Graph::mesh([A, B, C]), settings.clone(), 1);
    group.boot(A);
    group.boot(B);
    group.settings = Settings { max_running: 0, ..settings };
    group.boot(C);
    group.settle();
    for _ in 0..snapshots {
        group.initiate(B).unwrap();
    }
    while group.deliver((B, C)) {}
    while group.deliver((C, A)) {}
    assert_eq!(group.processes[&A].coordinator.running(), []);
    assert!(group.channels[&(B, A)].iter().all(|frame| matches!(frame.kind(), Ok(FrameKind::Marker(_)))));
    group
}

/// How many of them A records when it hears of them.
fn recorded_though_given_up(snapshots: usize) -> usize {
    let mut group = refused(snapshots);
    while group.deliver((B, A)) {}
    group.processes[&A].coordinator.running().len()
}

#[test]
fn of_those_given_up_before_their_marker_came_the_last_256_are_remembered() {
    assert_eq!(recorded_though_given_up(1), 0);
    assert_eq!(recorded_though_given_up(256), 0);
    assert_eq!(recorded_though_given_up(258), 2);
}

#[test]
fn the_numbers_of_those_given_up_before_their_marker_came_are_not_used_again() {
    // I1: the sequence is the largest seen plus one.
    assert_eq!(refused(3).initiate(A).unwrap().sequence, 4);
}

#[test]
fn the_last_1024_outcomes_are_waited_for() {
    let settings = Settings { durable: true, max_running: 2000, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let first = group.initiate(A).unwrap();
    for awaited in 1..=1026 {
        while group.deliver((A, B)) {}
        while group.serve(B) {}
        let running = group.processes[&B].coordinator.running();
        assert_eq!(running.len(), awaited.min(1024));
        assert_eq!(running[0].snapshot == first, awaited <= 1024);
        group.initiate(A).unwrap();
    }
}
