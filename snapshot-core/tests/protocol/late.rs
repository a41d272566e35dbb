//! Who comes late, or stands still, costs no captures: not a neighbour that missed many snapshots, and not a store that hangs.

use std::time::Duration;

use crate::group::Group;
use snapshot_core::{
    AbortReason, FrameKind, Graph, InitiateError, NodeId, Settings, SnapshotId, SnapshotPhase, StoreRequest,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

// ---- a neighbour that comes late ----------------------------------------------------------------------------------------

fn mesh(durable: bool) -> Group {
    let mut group = Group::new(Graph::mesh([A, B, C]), Settings { durable, ..Settings::default() }, 1);
    group.boot(A);
    group.boot(B);
    group.settle();
    group
}

/// 80 snapshots whose deadlines pass while C is not there.
fn give_up_80(group: &mut Group) -> SnapshotId {
    let mut last = None;
    for _ in 0..80 {
        last = group.initiate(A);
        while group.deliver((A, B)) || group.deliver((B, A)) || group.serve(A) || group.serve(B) {}
        group.pass_time(Duration::from_secs(31));
        while group.deliver((A, B)) || group.deliver((B, A)) || group.serve(A) || group.serve(B) {}
    }
    for id in [A, B] {
        assert_eq!(group.processes[&id].aborted.len(), 80);
        assert_eq!(group.captures(id), 80);
    }
    last.expect("each has begun")
}

fn markers(group: &Group, to: NodeId) -> usize {
    let frames = [A, B].into_iter().flat_map(|from| &group.channels[&(from, to)]);
    frames.filter(|frame| matches!(frame.kind(), Ok(FrameKind::Marker(_)))).count()
}

/// C has nothing to do with any of them, and takes part in the next one.
fn takes_part_in_the_next(group: &mut Group, last: SnapshotId) {
    assert_eq!(group.captures(C), 0, "of what had ended before it came");
    group.settle();
    assert_eq!(group.captures(C), 0);
    assert_eq!(group.processes[&C].coordinator.running(), []);
    let next = group.initiate(C).unwrap();
    assert!(next.sequence > last.sequence, "I1: it has seen their numbers");
    group.settle();
    assert_eq!(group.processes[&C].reports, [next]);
}

#[test]
fn markers_of_snapshots_that_have_ended_never_depart() {
    for durable in [false, true] {
        let mut group = mesh(durable);
        group.closed = [(A, C), (B, C)].into();
        let last = give_up_80(&mut group);
        group.boot(C);
        group.closed.clear();
        while group.depart((A, C)) || group.depart((B, C)) {}
        assert_eq!(markers(&group, C), 0);
        takes_part_in_the_next(&mut group, last);
    }
}

#[test]
fn the_ends_of_snapshots_are_seen_in_a_batch_before_their_markers_are_acted_on() {
    for durable in [false, true] {
        let mut group = mesh(durable);
        let last = give_up_80(&mut group);
        assert_eq!(markers(&group, C), 160, "all have departed");
        group.boot(C);
        while group.serve(C) {}
        assert!(group.deliver_batch((A, C)) && group.deliver_batch((B, C)));
        takes_part_in_the_next(&mut group, last);
    }
}

#[test]
fn a_snapshot_whose_end_is_not_among_what_has_come_is_begun() {
    let mut group = mesh(false);
    group.boot(C);
    group.settle();
    let id = group.initiate(A).unwrap();
    assert!(group.deliver_batch((A, C)));
    assert_eq!(group.captures(C), 1);
    group.settle();
    assert_eq!(group.processes[&A].reports, [id]);
}

#[test]
fn one_that_is_under_way_is_not_ended_by_looking_ahead() {
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), Settings::default());
    let id = group.initiate(A).unwrap();
    assert!(group.deliver((A, B)));
    group.input(A, |a, _, _| assert!(a.abort(id)));
    let frame = group.channels[&(A, B)].back().cloned().unwrap();
    assert_eq!(frame.kind(), Ok(FrameKind::Outcome(id)));
    group.input(B, |b, _, _| {
        let a = b.topology().peer(A).unwrap();
        let before = b.clone();
        b.foresee(a, &frame);
        assert_eq!(*b, before, "it ends when its end is handled");
    });
    assert_eq!(group.processes[&B].aborted, []);
    group.settle();
    assert_eq!(group.processes[&B].aborted, [id]);
}

// ---- a store that hangs -------------------------------------------------------------------------------------------------

/// The store does not answer B, which has given the snapshot up for it.
fn hangs(deadline: bool) -> Group {
    let settings = Settings { durable: true, deadline: Duration::from_secs(5), ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let id = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) || group.serve(A) {}
    assert!(matches!(group.processes[&B].asked[..], [(_, StoreRequest::WritePart(_))]));
    if deadline {
        group.pass_time(Duration::from_secs(5));
    } else {
        group.input(B, |b, _, _| assert!(b.abort(id)));
    }
    while group.deliver((A, B)) || group.deliver((B, A)) || group.serve(A) {}
    assert_eq!([A, B].map(|node| group.processes[&node].aborted.clone()), [[id], [id]]);
    group
}

#[test]
fn while_a_part_that_was_given_up_is_still_being_written_nothing_more_is_captured() {
    for deadline in [false, true] {
        let mut group = hangs(deadline);
        for round in 1..=20 {
            let id = group.initiate(A).expect("A does not know");
            while group.deliver((A, B)) || group.deliver((B, A)) || group.serve(A) {}
            assert_eq!(group.processes[&A].aborted.last(), Some(&id));
            let refused = group.processes[&A].events.iter().filter(|event| event.contains("StoreBehind"));
            assert_eq!(refused.count(), round);
            assert_eq!(group.captures(B), 1, "one state in memory, and no more");
        }
        let refused = group.input(B, |b, now, capture| b.initiate(now, capture));
        assert_eq!(refused, Some(Err(InitiateError::Refused(AbortReason::StoreBehind))));
        // The store answers after all.
        group.settle();
        let id = group.initiate(B).unwrap();
        group.settle();
        assert_eq!(group.processes[&B].reports, [id]);
    }
}

#[test]
fn while_a_part_is_being_written_that_nobody_has_given_up_more_are_captured() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), Settings { durable: true, ..Settings::default() });
    for captures in 1..=3 {
        group.initiate(A).unwrap();
        while group.deliver((A, B)) || group.deliver((B, A)) {}
        assert_eq!(group.captures(B), captures);
    }
    let phases: Vec<_> =
        group.processes[&B].coordinator.running().iter().map(|status| status.phase).collect();
    assert_eq!(phases, [SnapshotPhase::Writing; 3]);
    for _ in 0..3 {
        assert!(group.serve_oldest(A) && group.serve_oldest(B));
    }
    group.settle();
    assert_eq!(group.processes[&A].reports.len(), 3);
}

#[test]
fn what_was_written_for_a_generation_that_has_ended_is_waited_for_in_the_next() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), Settings { durable: true, ..Settings::default() });
    group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) || group.serve(A) {}
    let part = group.processes.get_mut(&B).unwrap().asked.remove(0);
    group.crash(A);
    group.boot(A);
    group.settle();
    assert!(group.processes.values().all(|process| process.coordinator.generation().0 == 2));
    assert!(group.initiate(B).is_none(), "the old state is still in memory");
    group.processes.get_mut(&B).unwrap().asked.push(part);
    group.settle();
    assert!(group.initiate(B).is_some());
}

// ---- what was waited for -------------------------------------------------------------------------------------------------

fn reasons(group: &Group, at: NodeId) -> Vec<&String> {
    group.processes[&at].events.iter().filter(|event| event.starts_with("SnapshotAborted")).collect()
}

#[test]
fn who_gives_a_snapshot_up_for_its_deadline_says_what_it_waited_for() {
    let settings = Settings { durable: true, deadline: Duration::from_secs(5), ..Settings::default() };
    let begun = || {
        let mut group = Group::at_rest(Graph::mesh([A, B, C]), settings.clone());
        group.initiate(A).unwrap();
        group
    };
    let told = |mut group: Group, expected: &str| {
        // Time passes at A, and the others hear of it.
        group.now += Duration::from_secs(5);
        group.input(A, |a, now, capture| a.handle_timeout(now, capture));
        group.settle();
        for id in [A, B, C] {
            let reasons = reasons(&group, id);
            assert_eq!(reasons.len(), 1, "{id}: {reasons:?}");
            assert!(reasons.iter().all(|reason| reason.contains(expected)), "{id}: {expected}: {reasons:?}");
        }
    };
    told(begun(), &format!("Markers {{ of: {:?} }}", [B, C]));

    let mut group = begun();
    assert!(group.deliver((A, B)) && group.deliver((B, A)));
    told(group, &format!("Markers {{ of: {:?} }}", [C]));

    let mut group = begun();
    while [(A, B), (A, C), (B, C), (C, B), (B, A), (C, A)].into_iter().any(|pair| group.deliver(pair)) {}
    told(group, "Store");

    let mut group = begun();
    while [(A, B), (A, C), (B, C), (C, B), (B, A), (C, A)].into_iter().any(|pair| group.deliver(pair)) {}
    assert!(group.serve(A) && group.serve(B) && group.deliver((B, A)));
    told(group, &format!("Receipts {{ of: {:?} }}", [C]));
}
