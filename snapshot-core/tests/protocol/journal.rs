//! What a running coordinator reads from the journal and writes into it, quoting the rules of recovery (J1 to J5).

use std::time::Duration;

use crate::group::{Group, Transfer};
use snapshot_core::{
    Bound, Failure, ForeignStore, FrameKind, Graph, Key, NodeId, Retention, Settings, SnapshotId,
    StoreAnswer, StoreRequest,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

fn settings() -> Settings {
    Settings { durable: true, ..Settings::default() }
}

fn running(settings: Settings) -> Group {
    Group::at_rest(Graph::mesh([A, B]), settings)
}

fn deliver_all(group: &mut Group) {
    while group.deliver((A, B)) || group.deliver((B, A)) {}
}

/// Does the first of those requests of a node that are meant; all others wait.
fn serve_the(
    group: &mut Group,
    id: NodeId,
    meant: fn(&StoreRequest<Transfer, crate::group::Branch>) -> bool,
) {
    let asked = &mut group.processes.get_mut(&id).unwrap().asked;
    let at = asked.iter().position(|(_, request)| meant(request)).expect("it asks for that");
    asked.rotate_left(at);
    assert!(group.serve_oldest(id));
}

fn serve_part(group: &mut Group, id: NodeId) {
    serve_the(group, id, |request| matches!(request, StoreRequest::WritePart(_)));
}

fn serve_record(group: &mut Group, id: NodeId) {
    serve_the(group, id, |request| matches!(request, StoreRequest::Create(Key::Journal(_), _)));
}

/// A new snapshot of this node, up to the commit record, which is asked for and not yet written. `after_a_turn`: each node
/// has done something since its last capture.
fn about_to_commit(group: &mut Group, initiator: NodeId, after_a_turn: bool) -> SnapshotId {
    if after_a_turn {
        for id in [A, B] {
            group.input(id, |c, _, _| c.end_turn().unwrap());
        }
    }
    let id = group.input(initiator, |c, now, capture| c.initiate(now, capture)).unwrap().unwrap();
    deliver_all(group);
    serve_part(group, A);
    serve_part(group, B);
    deliver_all(group);
    id
}

/// A wants to write record 2, and B has written it; A does not know. The snapshots of both.
fn beaten(after_a_turn: bool) -> (Group, [SnapshotId; 2]) {
    let mut group = running(settings());
    let ids = [about_to_commit(&mut group, A, true), about_to_commit(&mut group, B, after_a_turn)];
    serve_record(&mut group, B);
    assert_eq!(group.processes[&B].reports, [ids[1]]);
    assert!(matches!(asked(&group, A)[..], [StoreRequest::Create(Key::Journal(2), _)]));
    (group, ids)
}

fn asked(group: &Group, id: NodeId) -> Vec<&StoreRequest<Transfer, crate::group::Branch>> {
    group.processes[&id].asked.iter().map(|(_, request)| request).collect()
}

fn records(group: &Group) -> usize {
    group.store.small.keys().filter(|key| matches!(key, Key::Journal(_))).count()
}

#[test]
fn who_was_not_the_first_to_write_a_record_reads_what_is_there_and_writes_behind_it() {
    // J1: "if the key exists, read it and decide anew".
    let (mut group, [of_a, _]) = beaten(false);
    serve_record(&mut group, A);
    assert_eq!(asked(&group, A), [&StoreRequest::Read(Key::Journal(2))]);
    group.settle();
    assert_eq!(group.processes[&A].reports, [of_a]);
    assert_eq!(records(&group), 3);
}

#[test]
fn a_snapshot_that_another_commit_is_ahead_of_is_given_up_everywhere() {
    // J5: "written only if none is below that of the last commit"; both nodes have done a turn between the two.
    let (mut group, [of_a, _]) = beaten(true);
    serve_record(&mut group, A);
    while group.serve_oldest(A) {}
    is_superseded(&group, of_a);
    group.settle();
    assert!(group.processes.values().all(|process| process.coordinator.running().is_empty()));
    assert_eq!(records(&group), 2);
}

#[test]
fn a_snapshot_that_becomes_whole_after_a_later_one_of_its_initiator_was_committed_is_given_up() {
    // J3: no "later snapshot of the same initiator and generation".
    let mut group = running(settings());
    let [early, late] = [(); 2].map(|()| group.initiate(A).unwrap());
    deliver_all(&mut group);
    for _ in 0..2 {
        serve_part(&mut group, A);
    }
    group.processes.get_mut(&B).unwrap().asked.rotate_left(1);
    serve_part(&mut group, B);
    deliver_all(&mut group);
    serve_record(&mut group, A);
    assert_eq!(group.processes[&A].reports, [late]);
    serve_part(&mut group, B);
    while group.deliver((B, A)) {}
    is_superseded(&group, early);
}

/// A has given it up for that reason, and tells B.
fn is_superseded(group: &Group, id: SnapshotId) {
    let a = &group.processes[&A];
    assert_eq!(a.aborted, [id]);
    assert!(a.events.iter().any(|e| e.starts_with("SnapshotAborted") && e.contains("Superseded")));
    assert!(!a.reports.contains(&id));
    let mut tells = group.channels[&(A, B)].iter().map(|frame| frame.kind().unwrap());
    assert!(tells.any(|kind| kind == FrameKind::Outcome(id)));
}

#[test]
fn what_is_found_in_place_of_a_record_counts_as_read_and_the_end_is_looked_for_behind_it() {
    // D7: whether the own record was written is not known, and the one that is there is of somebody else.
    let (mut group, _) = beaten(false);
    let (ticket, _) = group.processes.get_mut(&A).unwrap().asked.remove(0);
    let failed = StoreAnswer::Failed("no answer".to_owned());
    group.input(A, |c, now, capture| c.handle_store(now, ticket, failed, capture));
    assert_eq!(asked(&group, A), [&StoreRequest::Read(Key::Journal(2))]);
    assert!(group.serve(A));
    assert_eq!(asked(&group, A), [&StoreRequest::Read(Key::Journal(3))]);
}

#[test]
fn the_journal_of_another_group_ends_the_start_and_nothing_is_written_into_it() {
    let (one, two) = (Graph::mesh([A, B]), Graph::mesh([A, B]).named("stock"));
    let (stored, ours) = (one.at(A).unwrap().group().to_owned(), "stock".to_owned());
    let other_group = ForeignStore::OtherGroup { stored, ours };
    let other_members = ForeignStore::OtherMembers { stored: vec![A, B], ours: vec![A, B, C] };
    for (graph, error) in [(two, other_group), (Graph::mesh([A, B, C]), other_members)] {
        let mut stranger = Group::new(graph, settings(), 7);
        stranger.store = running(settings()).store;
        let written = stranger.store.small.clone();
        stranger.boot(A);
        stranger.settle();
        assert_eq!(stranger.processes[&A].failed, Some(Failure::Foreign(error)));
        assert_eq!(stranger.store.small, written);
    }
}

#[test]
fn the_next_look_at_the_journal_counts_from_when_its_end_was_read() {
    let seconds = Duration::from_secs;
    let mut group = running(Settings { deadline: seconds(7), ..settings() });
    group.pass_time(seconds(7));
    assert_eq!(asked(&group, A), [&StoreRequest::Read(Key::Journal(2))]);
    group.pass_time(seconds(3)); // the store is slow
    assert!(group.serve(A));
    assert_eq!(group.processes[&A].coordinator.poll_timeout(), Some(seconds(7 + 3 + 7)));
}

#[test]
fn the_next_look_at_the_journal_counts_from_the_last_commit_that_was_heard_of() {
    let seconds = Duration::from_secs;
    let mut group = running(Settings { deadline: seconds(7), ..settings() });
    group.pass_time(seconds(5));
    group.initiate(A).unwrap();
    group.settle();
    assert!(group.processes[&B].events.iter().any(|event| event.starts_with("Committed")));
    assert_eq!(group.processes[&B].coordinator.poll_timeout(), Some(seconds(5 + 7)));
}

#[test]
fn what_retention_lets_go_is_looked_for_again_only_when_the_last_deletion_is_done() {
    let mut group = running(Settings { retention: Retention::last(1), ..settings() });
    for _ in 0..2 {
        about_to_commit(&mut group, A, true);
        serve_record(&mut group, A);
        serve_the(&mut group, A, |request| matches!(request, StoreRequest::ListParts(None)));
    }
    assert!(matches!(asked(&group, A)[..], [StoreRequest::Delete(_)]));
    about_to_commit(&mut group, A, true);
    serve_record(&mut group, A);
    assert!(matches!(asked(&group, A)[..], [StoreRequest::Delete(_)]), "{:?}", asked(&group, A));
    assert!(group.serve(A));
    assert_eq!(asked(&group, A), [&StoreRequest::ListParts(None)]);
}

#[test]
fn a_node_that_has_ended_hears_no_answer_of_the_store() {
    let mut group = running(Settings { outbox_hard: Bound::new(20, usize::MAX), ..settings() });
    about_to_commit(&mut group, A, true);
    group.input(A, |c, _, _| {
        let to = c.topology().peer(B).unwrap();
        let sent = (0..=20).filter(|_| c.send(to, Transfer { amount: 1, number: 1 }).is_ok());
        assert_eq!(sent.count(), 20);
        assert_eq!(c.end_turn(), Err(Failure::OutboxOverflow));
    });
    let told = group.processes[&A].events.len();
    serve_record(&mut group, A);
    let a = &group.processes[&A];
    assert_eq!((&a.reports[..], a.events.len(), a.asked.len()), (&[][..], told, 0));
}
