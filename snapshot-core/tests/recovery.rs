//! What a node does when its store fails, and with what its predecessors have left, quoting the rules of recovery.

mod group;

use std::time::Duration;

use group::Group;
use snapshot_core::{
    Failure, Generation, Graph, Key, NodeId, PartError, Settings, SnapshotId, StoreAnswer, StoreRequest,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn settings() -> Settings {
    Settings { durable: true, ..Settings::default() }
}

fn durable() -> Group {
    Group::new(Graph::mesh([A, B]), settings(), 1)
}

fn running() -> Group {
    Group::at_rest(Graph::mesh([A, B]), settings())
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

/// Two committed snapshots, of all members' parts, and nobody who runs.
fn two_commits() -> (Group, [SnapshotId; 2]) {
    let mut group = running();
    let commits = [(); 2].map(|()| {
        let id = group.initiate(A).unwrap();
        group.settle();
        id
    });
    group.processes.clear();
    group.channels.values_mut().for_each(|channel| channel.clear());
    (group, commits)
}

fn lose_part(group: &mut Group, snapshot: SnapshotId, node: NodeId) {
    group.store.parts.remove(&Key::Part { snapshot, node }).expect("it was there");
}

/// All start again, and may go back behind what is damaged. The event of each that tells of it.
fn fall_back(group: &mut Group) -> Vec<String> {
    group.settings.fall_back = true;
    group.promised.clear(); // what falling back does is to take back what was promised
    group.boot_all();
    group.settle();
    let told = |name: &str, events: &[String]| events.iter().rev().find(|e| e.starts_with(name)).cloned();
    group.processes.values().map(|p| told("FellBack", &p.events).expect("each is told")).collect()
}

#[test]
fn a_damaged_snapshot_ends_the_start_unless_the_group_may_fall_back() {
    let (mut group, [_, second]) = two_commits();
    lose_part(&mut group, second, A);
    group.boot_all();
    group.settle();
    let missing = PartError::Missing { key: Key::Part { snapshot: second, node: A } };
    assert_eq!(group.processes[&A].failed, Some(Failure::Damaged(missing)));
}

#[test]
fn the_group_falls_back_to_the_newest_commit_that_is_whole() {
    let (mut group, [first, second]) = two_commits();
    lose_part(&mut group, second, A);
    for told in fall_back(&mut group) {
        assert!(told.contains(&format!("to: Some({first:?}), given_up: [{second:?}]")), "{told}");
    }
    assert_eq!(group.balance(), group.total);
}

#[test]
fn the_group_falls_back_to_the_initial_states_where_no_commit_is_whole() {
    let (mut group, [first, second]) = two_commits();
    lose_part(&mut group, second, A);
    lose_part(&mut group, first, B);
    for told in fall_back(&mut group) {
        assert!(told.contains(&format!("to: None, given_up: [{first:?}, {second:?}]")), "{told}");
    }
    assert_eq!(group.balance(), group.total);
}

#[test]
fn where_not_even_the_initial_states_are_whole_the_first_damage_is_told() {
    let (mut group, [first, second]) = two_commits();
    lose_part(&mut group, second, A);
    lose_part(&mut group, first, B);
    group.store.parts.remove(&Key::Initial(B)).unwrap();
    group.settings.fall_back = true;
    group.boot_all();
    group.settle();
    let missing = PartError::Missing { key: Key::Part { snapshot: second, node: A } };
    assert_eq!(group.processes[&A].failed, Some(Failure::Damaged(missing)));
}

#[test]
fn an_initial_state_that_has_gone_is_not_written_anew_from_a_state_that_has_moved_on() {
    let mut group = running();
    group.store.parts.remove(&Key::Initial(A)).unwrap();
    group.initiate(B).unwrap();
    lose_what_is_in_flight(&mut group);
    group.settle();
    let missing = PartError::Missing { key: Key::Initial(A) };
    assert_eq!(group.processes[&A].failed, Some(Failure::Damaged(missing)));
    assert!(!group.store.parts.contains_key(&Key::Initial(A)));
}

// ---- D7: after a failure the record may or may not be there ---------------------------------------------------------

/// A asks for the record that commits a snapshot of its own; nobody has answered.
fn about_to_commit() -> (Group, SnapshotId) {
    let mut group = running();
    let id = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    assert!(group.serve(A) && group.serve(B), "both parts are durable");
    while group.deliver((B, A)) {}
    assert!(matches!(group.processes[&A].asked[..], [(_, StoreRequest::Create(Key::Journal(2), _))]));
    (group, id)
}

/// The store says that it has failed to create what A has asked for.
fn fail_to_create(group: &mut Group, done: bool) {
    let (ticket, request) = group.processes.get_mut(&A).unwrap().asked.remove(0);
    let StoreRequest::Create(key, bytes) = request else { panic!("{request:?}") };
    if done {
        assert_eq!(group.store.small.insert(key, bytes), None);
    }
    let failed = StoreAnswer::Failed("no answer".to_owned());
    group.input(A, |c, now, capture| c.handle_store(now, ticket, failed, capture));
    // It looks what has become of it.
    let asked = &group.processes[&A].asked[..];
    assert!(matches!(asked, [(_, StoreRequest::Read(found))] if *found == key), "{asked:?}");
}

fn saw(group: &Group, what: &str) -> bool {
    group.processes[&A].events.iter().any(|event| event.starts_with(what))
}

#[test]
fn a_commit_that_was_written_though_the_answer_was_lost_is_announced() {
    let (mut group, id) = about_to_commit();
    fail_to_create(&mut group, true);
    assert!(group.serve(A));
    assert_eq!(group.processes[&A].reports, [id]);
    assert!(saw(&group, "Committed") && !saw(&group, "SnapshotAborted"));
    let asked = &group.processes[&A].asked[..];
    assert!(matches!(asked, [(_, StoreRequest::ListParts(None))]), "what retention lets go: {asked:?}");
}

#[test]
fn a_commit_that_was_not_written_is_given_up_and_the_journal_is_looked_at_for_it_may_yet_come_to_light() {
    let (mut group, id) = about_to_commit();
    fail_to_create(&mut group, false);
    assert!(group.serve(A));
    assert_eq!((&group.processes[&A].reports[..], &group.processes[&A].aborted[..]), (&[][..], &[id][..]));
    assert!(!saw(&group, "StoreFailed"), "the snapshot says it");
    assert!(matches!(group.processes[&A].asked[..], [(_, StoreRequest::Read(Key::Journal(2)))]));
}

#[test]
fn a_record_of_another_author_at_the_same_place_is_not_taken_for_ones_own() {
    let (mut group, _) = about_to_commit();
    let of_b = group.initiate(B).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    assert!(group.serve_oldest(B), "the part");
    while group.processes[&A].asked.len() > 1 {
        let asked = &mut group.processes.get_mut(&A).unwrap().asked;
        asked.rotate_left(1); // the record waits
        assert!(group.serve_oldest(A));
    }
    while group.deliver((A, B)) {}
    assert!(group.serve_oldest(B), "the record");
    assert_eq!(group.processes[&B].reports, [of_b]);
    fail_to_create(&mut group, false);
    assert!(group.serve(A));
    assert_eq!(group.processes[&A].reports, [], "what is there is of B");
    assert_eq!(group.store.small.len(), 2 + 2, "two records, two seats");
}

#[test]
fn a_record_of_an_earlier_process_of_the_same_node_is_not_taken_for_ones_own() {
    // Its author is the same, its nonce is not.
    let (mut group, id) = about_to_commit();
    group.store.parts.remove(&Key::Part { snapshot: id, node: B }).unwrap(); // else its successor commits it
    let paused = group.processes.remove(&A).unwrap();
    group.boot(A);
    group.settle();
    assert_eq!(group.processes[&A].coordinator.generation(), Generation(2));
    group.processes.insert(A, paused);
    fail_to_create(&mut group, false);
    assert!(group.serve(A));
    assert_eq!(group.processes[&A].reports, []);
    assert!(!saw(&group, "Committed"));
}

#[test]
fn a_generation_that_could_not_be_opened_ends_the_start() {
    let mut group = durable();
    group.boot(A);
    while !matches!(group.processes[&A].asked[..], [(_, StoreRequest::Create(..))]) {
        assert!(group.serve(A));
    }
    fail_to_create(&mut group, false);
    assert!(group.serve(A));
    assert!(matches!(group.processes[&A].failed, Some(Failure::Store { .. })));
}
