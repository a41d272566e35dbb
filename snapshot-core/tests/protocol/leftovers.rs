//! J6: what was given up leaves nothing behind, whoever gave it up and why, and nothing is deleted that may be committed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::group::Group;
use snapshot_core::{
    AbortReason, Graph, InitiateError, Key, NodeId, Retention, Settings, SnapshotId, StoreAnswer,
    StoreRequest,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const MEMBERS: [NodeId; 3] = [A, B, C];

fn settings() -> Settings {
    let deadline = Duration::from_secs(5);
    Settings { durable: true, deadline, retention: Retention::last(1), ..Settings::default() }
}

fn mesh(retention: Retention) -> Group {
    Group::at_rest(Graph::mesh(MEMBERS), Settings { retention, ..settings() })
}

/// The snapshots of which there are parts.
fn sets(group: &Group) -> BTreeSet<SnapshotId> {
    let snapshot = |key: &Key| match key {
        Key::Part { snapshot, .. } => Some(*snapshot),
        _ => None,
    };
    group.store.parts.keys().filter_map(snapshot).collect()
}

fn parts(group: &Group) -> usize {
    group.store.parts.keys().filter(|key| matches!(key, Key::Part { .. })).count()
}

fn discards(group: &Group) -> usize {
    group.store.small.values().filter(|bytes| is_discard(bytes)).count()
}

/// By the documented bytes: version 3, index, nonce, author, and then what it adds.
fn is_discard(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"SNAPJ\x03") else { return false };
    let mut numbers = 0;
    rest.iter().find_map(|byte| {
        if numbers == 3 {
            return Some(*byte == 2);
        }
        numbers += usize::from(*byte < 0x80);
        None
    }) == Some(true)
}

/// All that can move but for one node's requests of this kind.
fn settle_but(
    group: &mut Group,
    held: NodeId,
    is_held: fn(&StoreRequest<crate::group::Transfer, crate::group::Branch>) -> bool,
) {
    let mut kept = Vec::new();
    loop {
        let mut moved = false;
        for from in MEMBERS {
            for to in MEMBERS {
                while group.deliver((from, to)) {
                    moved = true;
                }
            }
        }
        let asked = &mut group.processes.get_mut(&held).unwrap().asked;
        let (hold, serve): (Vec<_>, Vec<_>) = asked.drain(..).partition(|(_, request)| is_held(request));
        kept.extend(hold);
        *asked = serve;
        for id in MEMBERS {
            while group.serve_oldest(id) {
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    group.processes.get_mut(&held).unwrap().asked.extend(kept);
}

// ---- whatever becomes of it, it goes -------------------------------------------------------------------------------------

#[test]
fn snapshots_that_are_given_up_when_all_parts_are_there_leave_nothing_behind() {
    for retention in [Retention::last(1), Retention::All] {
        let mut group = mesh(retention);
        let mut most = 0;
        for round in 0..50 {
            let initiator = MEMBERS[round % 3];
            let id = group.initiate(initiator).expect("the last one has gone");
            // All parts are there, and no receipt has arrived.
            group.closed =
                MEMBERS.into_iter().filter(|from| *from != initiator).map(|from| (from, initiator)).collect();
            for other in MEMBERS.into_iter().filter(|other| *other != initiator) {
                for from in MEMBERS {
                    while group.deliver((from, other)) {}
                }
            }
            while MEMBERS.into_iter().any(|id| group.serve_oldest(id)) {}
            group.input(initiator, |node, _, _| assert!(node.abort(id)));
            group.closed.clear();
            most = most.max(parts(&group));
            group.settle();
            assert_eq!(sets(&group), BTreeSet::new(), "after {}", round + 1);
        }
        assert!((1..=6).contains(&most), "{most}");
        assert!((1..=50).contains(&discards(&group)), "one record for each at most");
        let id = group.initiate(A).unwrap();
        group.settle();
        assert_eq!(group.processes[&A].reports, [id]);
        assert_eq!(parts(&group), 3);
    }
}

#[test]
fn parts_that_land_after_the_deadline_go_too() {
    let mut group = mesh(Retention::last(1));
    for round in 0..20 {
        let id = group.initiate(A).unwrap_or_else(|| panic!("round {round}"));
        settle_but(&mut group, B, |request| matches!(request, StoreRequest::WritePart(_)));
        group.pass_time(Duration::from_secs(5));
        settle_but(&mut group, B, |request| matches!(request, StoreRequest::WritePart(_)));
        assert!(group.processes[&B].aborted.contains(&id));
        assert!(parts(&group) <= 2, "{}: those of the others are being removed", parts(&group));
        // Now it lands.
        group.settle();
        group.pass_time(Duration::from_millis(1));
        group.settle();
        assert_eq!(sets(&group), BTreeSet::new(), "round {round}");
    }
}

#[test]
fn an_initiator_whose_snapshots_are_always_crossed_leaves_nothing_behind() {
    let mut group = mesh(Retention::last(1));
    for round in 1..=20 {
        let (ours, theirs) = (group.initiate(A).unwrap(), group.initiate(B).unwrap());
        group.pay_to(A, C);
        group.settle();
        let [a, b] = [A, B].map(|node| group.processes[&node].reports.last().copied());
        let committed = if a == Some(ours) { ours } else { theirs };
        assert!([a, b].contains(&Some(committed)), "{a:?} {b:?}");
        assert!(sets(&group).len() == 1, "round {round}: {:?}", sets(&group));
    }
}

#[test]
fn an_earlier_one_of_the_same_initiator_that_nobody_has_given_up_is_not_discarded() {
    let mut group = mesh(Retention::last(3));
    let first = group.initiate(A).unwrap();
    settle_but(&mut group, C, |request| matches!(request, StoreRequest::WritePart(_)));
    let second = group.initiate(A).unwrap();
    settle_but(&mut group, C, |request| matches!(request, StoreRequest::WritePart(_)));
    group.input(B, |node, _, _| assert!(node.abort(second)));
    settle_but(&mut group, C, |request| matches!(request, StoreRequest::WritePart(_)));
    assert_eq!(discards(&group), 0, "the first may be committed yet");
    group.settle();
    assert_eq!(group.processes[&A].reports, [first]);
    assert_eq!(group.processes[&A].aborted, [second]);
    assert_eq!(sets(&group), [first].into());
}

#[test]
fn what_is_committed_in_the_journal_stays_whatever_comes_first_to_who_holds_a_part() {
    // B commits after A, and C hears of that first.
    let mut group = mesh(Retention::last(3));
    let first = group.initiate(A).unwrap();
    settle_but(&mut group, A, |_| false);
    group.closed.insert((A, C));
    assert_eq!(group.processes[&A].reports, [first]);
    let second = group.initiate(B).unwrap();
    group.closed.clear();
    group.settle();
    assert_eq!(group.processes[&B].reports, [second]);
    assert_eq!(sets(&group), [first, second].into());
    assert_eq!(parts(&group), 6);
}

// ---- a store that takes nothing ------------------------------------------------------------------------------------------

/// The store is full: this node's records are not taken.
fn refuse_records(group: &mut Group) {
    loop {
        while group.exchange_but_records() {}
        let mut refused = false;
        for id in MEMBERS {
            let asked = &mut group.processes.get_mut(&id).unwrap().asked;
            let is_record =
                |(_, request): &(_, StoreRequest<_, _>)| matches!(request, StoreRequest::Create(..));
            if let Some(at) = asked.iter().position(is_record) {
                let (ticket, _) = asked.remove(at);
                let full = StoreAnswer::Failed("no space is left".to_owned());
                group.input(id, |node, now, capture| node.handle_store(now, ticket, full, capture));
                refused = true;
            }
        }
        if !refused {
            return;
        }
    }
}

#[test]
fn while_the_store_takes_no_record_two_sets_are_left_and_when_it_does_all_goes() {
    let mut group = mesh(Retention::last(1));
    let kept = group.initiate(A).unwrap();
    group.settle();
    let mut begun = 0;
    for _ in 0..50 {
        for initiator in MEMBERS {
            begun += usize::from(group.initiate(initiator).is_some());
            refuse_records(&mut group);
        }
        group.pass_time(Duration::from_secs(6));
        refuse_records(&mut group);
        assert!(parts(&group) <= 3 * (1 + 2), "{} parts", parts(&group));
    }
    assert!((2..=6).contains(&begun), "{begun}");
    let refused = group.input(A, |node, now, capture| node.initiate(now, capture));
    assert_eq!(refused, Some(Err(InitiateError::Refused(AbortReason::StoreBehind))));
    for id in MEMBERS {
        let said = group.processes[&id].events.iter().filter(|event| event.contains("given up stay for now"));
        assert_eq!(said.count(), 1, "{id}: {:?}", group.processes[&id].events);
    }
    // Room is made.
    group.pass_time(Duration::from_secs(31));
    group.settle();
    assert_eq!(sets(&group), [kept].into());
    let next = group.initiate(B).unwrap();
    group.settle();
    assert_eq!(sets(&group), [next].into());
}

// ---- starts --------------------------------------------------------------------------------------------------------------

/// All processes die, with this many sets whole and nothing known of them.
fn left_behind(count: usize) -> (Group, BTreeSet<SnapshotId>) {
    let mut group = mesh(Retention::last(3));
    let mut begun = BTreeSet::new();
    for _ in 0..count {
        // Overlapping ones, of which no receipt arrives.
        begun.extend(group.initiate(A));
        for to in [B, C] {
            for from in MEMBERS {
                while group.deliver((from, to)) {}
            }
        }
        group.closed = [(B, A), (C, A)].into();
        group.pay_to(A, B);
    }
    group.closed.clear();
    while group.deliver((B, C)) || group.deliver((C, B)) {}
    for from in [B, C] {
        while group.depart((from, A)) || group.deliver((from, A)) {}
    }
    while MEMBERS.into_iter().any(|id| group.serve_part(id)) {}
    assert_eq!(sets(&group), begun);
    assert_eq!(parts(&group), 3 * begun.len());
    MEMBERS.into_iter().for_each(|id| group.crash(id));
    (group, begun)
}

#[test]
fn a_start_looks_at_the_newest_set_alone_and_commits_it() {
    let (mut group, begun) = left_behind(40);
    let before = group.store.small.len();
    group.boot(B);
    let mut looks = 0;
    while let Some((_, request)) = group.processes[&B].asked.first() {
        looks += usize::from(matches!(request, StoreRequest::VerifyPart { .. }));
        group.serve_oldest(B);
    }
    assert_eq!(looks, 3, "of {} sets", begun.len());
    let newest = format!("snapshot: Some({:?})", begun.last().unwrap());
    assert!(
        group.processes[&B].events.iter().any(|event| event.contains(&newest)),
        "{:?}",
        group.processes[&B].events
    );
    // A commit, a generation, a seat.
    assert_eq!(group.store.small.len(), before + 3);
    assert_eq!(
        sets(&group),
        [*begun.last().unwrap()].into(),
        "who opens a generation removes what is left of the last"
    );
}

#[test]
fn where_the_newest_set_is_not_whole_the_one_before_is_taken() {
    let (mut group, begun) = left_behind(3);
    let [_, second, third] = begun.iter().copied().collect::<Vec<_>>()[..] else { panic!("{begun:?}") };
    group.store.parts.remove(&Key::Part { snapshot: third, node: C });
    group.boot(B);
    while group.serve_oldest(B) {}
    assert_eq!(sets(&group), [second].into());
}

#[test]
fn what_a_dead_initiator_left_is_held_for_its_successor_and_no_more_of_it_than_the_newest() {
    let mut group = mesh(Retention::last(3));
    let first = group.initiate(C).unwrap();
    group.settle();
    let second = group.initiate(A).unwrap();
    settle_but(&mut group, A, |request| matches!(request, StoreRequest::Create(..)));
    assert_eq!(sets(&group), [first, second].into());
    // A was about to commit it.
    group.crash(A);
    group.settle();
    assert_eq!(sets(&group), [first, second].into());
    assert_eq!(discards(&group), 0);
    group.boot(A);
    group.settle();
    let begun_at = format!("snapshot: Some({second:?})");
    for id in MEMBERS {
        assert!(
            group.processes[&id].events.iter().any(|e| e.starts_with("RolledBack") && e.contains(&begun_at))
        );
    }
}

#[test]
fn who_leaves_a_generation_removes_what_it_had_written_there_however_late_it_lands() {
    let mut group = mesh(Retention::last(1));
    let late = group.initiate(A).unwrap();
    settle_but(&mut group, B, |request| matches!(request, StoreRequest::WritePart(_)));
    let write = group.processes.get_mut(&B).unwrap().asked.remove(0);
    group.crash(A);
    group.boot(A);
    group.settle();
    assert_eq!(group.processes[&B].coordinator.generation().0, 2);
    assert_eq!(sets(&group), BTreeSet::new());
    group.processes.get_mut(&B).unwrap().asked.push(write);
    group.settle();
    assert!(!sets(&group).contains(&late));
}

#[test]
fn a_part_that_is_written_after_it_was_discarded_goes_too() {
    let mut group = mesh(Retention::last(1));
    // C hears of nothing, and reads the journal.
    group.closed = [(A, C), (B, C)].into();
    let id = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    while group.serve_part(B) {}
    group.input(B, |node, _, _| assert!(node.abort(id)));
    while group.deliver((B, A)) || group.deliver((A, B)) || group.serve(A) || group.serve(B) {}
    group.pass_time(Duration::from_millis(1));
    while group.serve(A) || group.serve(B) {}
    group.pass_time(Duration::from_secs(60));
    while group.serve(C) {}
    assert!(discards(&group) <= 1);
    group.closed.clear();
    group.settle();
    group.pass_time(Duration::from_millis(1));
    group.settle();
    assert_eq!(sets(&group), BTreeSet::new());
    assert!(group.initiate(C).is_some());
}
