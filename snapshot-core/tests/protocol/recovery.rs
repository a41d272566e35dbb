//! What a node does when its store fails, and with what its predecessors have left, quoting the rules of recovery.

use std::time::Duration;

use crate::group::{Branch, Coordinator, Group, Transfer, greeting, stamp};
use snapshot_core::{
    Body, Bound, Capture, Event, Failure, Frame, Frames, Generation, Graph, Key, NodeId, Output, PartError,
    Retention, Settings, SnapshotId, SnapshotPhase, StoreAnswer, StoreRequest, Turn, Violation,
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
    group.reconnect(A, B);
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
fn where_nothing_was_committed_there_is_nothing_to_fall_back_to() {
    let mut group = running();
    group.settings.fall_back = true;
    group.boot(B);
    let key = Key::Initial(B);
    let damaged = PartError::Truncated { key };
    let reads = |request: &StoreRequest<_, _>| matches!(request, StoreRequest::ReadPart { key: found, .. } if *found == key);
    while !group.processes[&B].asked.iter().any(|(_, request)| reads(request)) {
        assert!(group.serve(B), "it reads its initial state");
    }
    let (ticket, _) = group.processes.get_mut(&B).unwrap().asked.remove(0);
    let answer = StoreAnswer::Part(Err(damaged.clone()));
    group.input(B, |b, now, capture| b.handle_store(now, ticket, answer, capture));
    while group.serve(B) {} // it looks whether the group has gone on meanwhile
    assert_eq!(group.processes[&B].failed, Some(Failure::Damaged(damaged)));
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
fn while_its_record_is_written_nobody_can_give_a_snapshot_up() {
    let (mut group, id) = about_to_commit();
    assert_eq!(group.input(B, |b, _, _| b.abort(id)), Some(true), "B does not know how far it has come");
    while group.deliver((B, A)) {}
    assert_eq!(group.input(A, |a, _, _| a.abort(id)), Some(false));
    group.settle();
    assert_eq!((&group.processes[&A].reports[..], &group.processes[&A].aborted[..]), (&[id][..], &[][..]));
    assert!(group.processes[&B].events.iter().any(|event| event.starts_with("Committed")), "it stands");
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
fn a_whole_set_that_may_not_be_committed_does_not_stand_in_the_way_of_a_start() {
    // J5: B has done a turn since the snapshot of A, and a commit of its own is ahead of that.
    let (mut group, of_a) = about_to_commit();
    let of_b = group.initiate(B).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    assert!(group.serve_oldest(B), "the part");
    group.processes.get_mut(&A).unwrap().asked.rotate_left(1); // the record is never written
    assert!(group.serve_oldest(A), "the part");
    while group.deliver((A, B)) {}
    assert!(group.serve_oldest(B), "the record");
    assert_eq!(group.processes[&B].reports, [of_b]);
    group.processes.clear();
    group.channels.values_mut().for_each(|channel| channel.clear());
    for node in [A, B] {
        assert!(group.store.parts.contains_key(&Key::Part { snapshot: of_a, node }));
    }
    group.boot_all();
    group.settle();
    assert!(saw(&group, &format!("RolledBack {{ generation: Generation(2), snapshot: Some({of_b:?})")));
}

#[test]
fn a_set_with_a_damaged_part_does_not_stand_in_the_way_of_another() {
    let mut group = running();
    let sets = [group.initiate(A).unwrap(), group.initiate(B).unwrap()];
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    for node in [A, A, B, B] {
        assert!(group.serve_oldest(node), "a part is durable, and no receipt arrives");
    }
    group.processes.clear();
    group.channels.values_mut().for_each(|channel| channel.clear());
    group.boot(A);
    // The newer one is damaged at A, as often as it is looked at.
    let [whole, damaged] = sets;
    let key = Key::Part { snapshot: damaged, node: A };
    let mut looks = 0;
    while let Some((ticket, request)) = group.processes[&A].asked.first().cloned() {
        if matches!(request, StoreRequest::VerifyPart { key: found, .. } if found == key) {
            looks += 1;
            group.processes.get_mut(&A).unwrap().asked.remove(0);
            let answer = StoreAnswer::Verified(Err(PartError::Truncated { key }));
            group.input(A, |a, now, capture| a.handle_store(now, ticket, answer, capture));
        } else {
            assert!(group.serve_oldest(A));
        }
    }
    assert!(looks > 0, "both are whole by their keys");
    assert!(saw(&group, &format!("RolledBack {{ generation: Generation(2), snapshot: Some({whole:?})")));
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

// ---- starting -------------------------------------------------------------------------------------------------------

/// A starts, and asks for this next.
fn start_until(group: &mut Group, wanted: fn(&StoreRequest<Transfer, Branch>) -> bool) {
    group.boot(A);
    for _ in 0..100 {
        let [(_, request)] = &group.processes[&A].asked[..] else {
            panic!("it asks for one thing at a time")
        };
        if wanted(request) {
            return;
        }
        assert!(group.serve(A));
    }
    panic!("it does not ask for that");
}

fn is_seat(request: &StoreRequest<Transfer, Branch>) -> bool {
    matches!(request, StoreRequest::Create(Key::Seat { .. }, _) | StoreRequest::Read(Key::Seat { .. }))
}

#[test]
fn a_start_finds_the_end_of_a_long_journal_with_few_reads() {
    let mut group = running();
    for _ in 0..99 {
        group.initiate(A).unwrap();
        group.settle();
    }
    group.processes.clear();
    group.boot(A);
    let mut reads = 0;
    while let [(_, StoreRequest::Read(Key::Journal(index)))] = group.processes[&A].asked[..] {
        assert!(index <= 128);
        reads += 1;
        assert!(group.serve(A));
    }
    // Eight doublings pass the end of 100 records, six halvings find it; one more read sees that there is nothing new.
    assert_eq!(reads, 8 + 6 + 1);
}

#[test]
fn a_seat_that_was_free_is_not_asked_about_again() {
    let mut group = durable();
    start_until(&mut group, is_seat);
    assert!(group.serve(A));
    for _ in 0..100 {
        assert!(!group.processes[&A].asked.iter().any(|(_, request)| is_seat(request)));
        group.serve(A);
    }
    assert!(group.processes[&A].coordinator.is_running());
}

#[test]
fn a_seat_that_was_taken_though_the_answer_was_lost_is_ones_own() {
    let mut group = durable();
    start_until(&mut group, is_seat);
    fail_to_create(&mut group, true);
    group.settle();
    let a = &group.processes[&A].coordinator;
    assert!(a.is_running());
    assert_eq!(a.generation(), Generation(1));
}

#[test]
fn a_seat_that_could_not_be_taken_ends_the_start() {
    let mut group = durable();
    start_until(&mut group, is_seat);
    fail_to_create(&mut group, false);
    assert!(group.serve(A));
    assert_eq!(group.processes[&A].failed, Some(Failure::Store { error: "no answer".to_owned() }));
}

#[test]
fn a_start_ends_whatever_it_is_that_the_store_fails_at() {
    for served in 0..20 {
        let mut group = durable();
        group.boot(A);
        for _ in 0..served {
            assert!(group.serve(A));
        }
        if group.processes[&A].coordinator.is_running() {
            return;
        }
        group.store.faults = 100;
        group.serve(A);
        group.serve(A); // what was to be created is looked for
        let a = &group.processes[&A];
        assert!(matches!(a.failed, Some(Failure::Store { .. })), "after {served}: {:?}", a.asked);
    }
    panic!("it asks without end");
}

/// The seat of A in the only generation is taken, and A has just asked for it.
fn seat_is_taken() -> Group {
    let mut group = running();
    group.processes.clear();
    group.channels.values_mut().for_each(|channel| channel.clear());
    start_until(&mut group, is_seat);
    assert!(group.serve(A));
    assert!(matches!(group.processes[&A].asked[..], [(_, StoreRequest::Read(Key::Seat { .. }))]));
    group
}

#[test]
fn who_finds_its_seat_taken_looks_whether_there_is_a_newer_generation_before_it_opens_one() {
    let mut group = seat_is_taken();
    assert!(group.serve(A));
    assert!(matches!(group.processes[&A].asked[..], [(_, StoreRequest::Read(Key::Journal(2)))]));
}

#[test]
fn an_object_that_goes_while_it_is_looked_at_counts_as_a_failure_of_the_store() {
    let mut group = seat_is_taken();
    group.store.small.remove(&Key::Seat { generation: Generation(1), node: A }).unwrap();
    assert!(group.serve(A));
    let failed = group.processes[&A].failed.clone();
    let Some(Failure::Store { error }) = failed else { panic!("{failed:?}") };
    assert!(error.contains("has gone"), "{error}");
}

fn is_read_of_a_part(request: &StoreRequest<Transfer, Branch>) -> bool {
    matches!(request, StoreRequest::ReadPart { key: Key::Part { .. }, .. })
}

#[test]
fn who_reads_its_state_in_the_first_generation_greets_a_new_connection_as_in_any_other() {
    let mut group = durable();
    start_until(&mut group, |request| matches!(request, StoreRequest::ReadPart { .. }));
    let greetings = group.channels.get_mut(&(A, B)).unwrap();
    assert_eq!(
        greetings.drain(..).map(|frame| frame.stamp.count()).collect::<Vec<_>>(),
        [1],
        "before it reads"
    );
    // The first greeting is gone with an older connection, which the number of the next one shows.
    group.up(A, B);
    let greetings = &group.channels[&(A, B)];
    assert_eq!(greetings.iter().map(|frame| frame.stamp.count()).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_is_whole_but_not_understood_is_no_reason_to_fall_back() {
    let (mut group, [_, second]) = two_commits();
    group.settings.fall_back = true;
    start_until(&mut group, is_read_of_a_part);
    let (ticket, _) = group.processes.get_mut(&A).unwrap().asked.remove(0);
    let error = PartError::NewerFormat { key: Key::Part { snapshot: second, node: A }, found: 9, known: 1 };
    let answer = StoreAnswer::Part(Err(error.clone()));
    group.input(A, |c, now, capture| c.handle_store(now, ticket, answer, capture));
    let a = &group.processes[&A];
    assert_eq!((&a.failed, a.asked.len()), (&Some(Failure::Damaged(error)), 0));
}

#[test]
fn a_start_that_has_gone_because_the_group_went_on_is_no_damage() {
    let settings = Settings { retention: Retention::last(1), ..settings() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.initiate(A).unwrap();
    group.settle();
    group.processes.clear();
    start_until(&mut group, is_read_of_a_part);
    let paused = group.processes.remove(&A).unwrap();
    // Meanwhile another process of A opens a generation of its own, and its commit pushes out what the first one reads.
    group.boot_all();
    group.settle();
    group.initiate(A).unwrap();
    group.settle();
    group.processes.insert(A, paused);
    assert!(group.serve(A), "it is missing");
    let a = &group.processes[&A];
    assert_eq!(a.failed, None);
    assert!(matches!(a.asked[..], [(_, StoreRequest::Read(Key::Journal(4)))]), "{:?}", a.asked);
    group.settle();
    assert!(group.processes[&A].coordinator.is_running());
}

#[test]
fn turns_and_snapshots_are_counted_on_from_where_the_generation_starts() {
    let (mut group, [_, second]) = two_commits();
    let part = group.store.parts[&Key::Part { snapshot: second, node: A }].1;
    assert!(part.turn > Turn(0));
    group.boot(A);
    while group.serve(A) {}
    assert_eq!(group.processes[&A].coordinator.turn(), part.turn.next());
    group.boot(B);
    group.settle();
    assert_eq!(group.initiate(A).unwrap().sequence, second.sequence + 1);
}

#[test]
fn what_the_cut_found_in_a_channel_is_handed_out_ahead_of_all_that_is_sent_anew() {
    let mut group = running();
    group.pay_to(A, B);
    group.initiate(B).unwrap(); // the payment is in flight
    group.settle();
    group.processes.clear();
    group.boot_all();
    while group.serve(A) || group.serve(B) {}
    group.pay_to(A, B); // the second one: whoever takes them sees that they come in order
    group.settle();
    assert_eq!(group.processes[&B].branch.received[&A], 2);
    assert_eq!(group.balance(), group.total);
}

// ---- leaving a generation -------------------------------------------------------------------------------------------

/// A second process of A opens the next generation, and greets B, who has not yet heard of it.
fn replace_a(group: &mut Group) {
    group.processes.remove(&A);
    group.channels.values_mut().for_each(|channel| channel.clear());
    group.boot(A);
    while group.serve(A) {}
    assert_eq!(group.processes[&A].coordinator.generation(), Generation(2));
}

#[test]
fn when_a_generation_ends_its_snapshots_are_given_up_and_their_numbers_are_free_again() {
    let mut group = running();
    let exchange = |group: &mut Group| while group.deliver((A, B)) || group.deliver((B, A)) {};
    let of_a = group.initiate(A).unwrap();
    exchange(&mut group);
    assert!(group.serve(B), "its part");
    let in_doubt = group.initiate(B).unwrap();
    exchange(&mut group);
    assert!(group.serve(B), "its part");
    let written = group.initiate(B).unwrap();
    exchange(&mut group);
    let recorded = group.initiate(B).unwrap();
    let running = group.processes[&B].coordinator.running();
    let expected = [
        (of_a, SnapshotPhase::AwaitingOutcome),
        (in_doubt, SnapshotPhase::AwaitingReceipts),
        (written, SnapshotPhase::Writing),
        (recorded, SnapshotPhase::Recording),
    ];
    assert_eq!(running.iter().map(|status| (status.snapshot, status.phase)).collect::<Vec<_>>(), expected);

    replace_a(&mut group);
    while group.deliver((A, B)) {}
    let asked = &mut group.processes.get_mut(&B).unwrap().asked;
    assert!(matches!(asked[..], [(_, StoreRequest::WritePart(_)), (_, StoreRequest::Read(Key::Journal(2)))]));
    asked.rotate_left(1); // the part takes longer
    assert!(group.serve_oldest(B));
    let b = &group.processes[&B];
    assert_eq!(b.aborted, expected.map(|(id, _)| id));
    assert_eq!(b.events.iter().filter(|event| event.contains("reason: RolledBack")).count(), 4);
    assert_eq!(b.coordinator.running(), []);

    group.settle();
    let again = group.initiate(A).unwrap();
    assert_eq!((again.sequence, again.initiator), (of_a.sequence, of_a.initiator));
    group.settle();
    assert_eq!(group.processes[&A].reports, [again]);
}

#[test]
fn a_message_that_nobody_has_taken_goes_with_its_generation() {
    let mut group = running();
    group.pay_to(A, B);
    assert!(group.deliver((A, B)));
    assert!(group.processes[&B].coordinator.has_message());
    replace_a(&mut group);
    while group.deliver((A, B)) {}
    group.settle();
    assert_eq!(group.processes[&B].coordinator.generation(), Generation(2));
    assert_eq!(group.processes[&B].branch.received.len(), 0, "A has never sent it");
    assert_eq!(group.balance(), group.total);
}

#[test]
fn what_was_held_during_a_rollback_is_handled_after_it() {
    // F3: "neither drop nor handle"; the greeting of the new generation and a payment in it come before B knows of it.
    let mut group = running();
    replace_a(&mut group);
    group.pay_to(A, B);
    while group.deliver((A, B)) {}
    assert!(!group.processes[&B].coordinator.is_running());
    group.settle();
    assert_eq!(group.processes[&B].branch.received[&A], 1);
    assert!(group.processes.values().all(|p| p.coordinator.generation() == Generation(2)));
}

/// A payment of B is lost with its connection, which A sees when it is back.
fn lose_a_payment(group: &mut Group) {
    group.pay_to(B, A);
    lose_what_is_in_flight(group);
    while group.deliver((B, A)) {}
    assert!(!group.processes[&A].coordinator.is_running());
}

#[test]
fn a_turn_that_sent_too_much_is_forgotten_with_its_generation() {
    let settings = Settings { outbox_hard: Bound::new(20, usize::MAX), ..settings() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.input(A, |c, _, _| {
        let to = c.topology().peer(B).unwrap();
        let sent = (0..=20).filter(|_| c.send(to, Transfer { amount: 1, number: 1 }).is_ok());
        assert_eq!(sent.count(), 20);
    });
    group.channels.get_mut(&(A, B)).unwrap().clear();
    lose_a_payment(&mut group);
    while group.serve(A) {}
    assert_eq!(group.processes[&A].coordinator.generation(), Generation(2));
    assert_eq!(group.input(A, |c, _, _| c.end_turn()), Some(Ok(())));
}

#[test]
fn what_was_not_yet_sent_makes_room_when_its_generation_ends() {
    let settings = Settings { outbox_low: Bound::new(3, usize::MAX), ..settings() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    let to = a.topology().peer(B).unwrap();
    for number in 1..=3 {
        a.send(to, Transfer { amount: 1, number }).unwrap();
        a.end_turn().unwrap();
        // The first one is under way until the end of this test; the others cannot go before it has landed.
        a.take_outgoing(to, &mut Frames::new());
    }
    assert!(!a.has_room());
    lose_a_payment(&mut group);
    while group.serve(A) {}
    let a = &group.processes[&A].coordinator;
    assert_eq!(a.generation(), Generation(2));
    assert!(a.has_room(), "one frame is under way, and a greeting waits");
}

#[test]
fn what_retention_lets_go_is_looked_for_once_the_node_runs_again() {
    let (mut group, id) = about_to_commit();
    lose_a_payment(&mut group);
    for _ in 0..20 {
        if !group.processes[&A].coordinator.is_running() {
            assert!(group.serve_oldest(A));
        }
    }
    let a = &group.processes[&A];
    assert_eq!((&a.reports[..], a.coordinator.generation()), (&[id][..], Generation(2)));
    assert!(matches!(a.asked[..], [(_, StoreRequest::ListParts(None))]), "{:?}", a.asked);
}

#[test]
fn an_interval_counts_anew_when_a_generation_starts() {
    let settings = Settings { interval: Some(Duration::from_secs(10)), ..settings() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.pass_time(Duration::from_secs(9));
    lose_a_payment(&mut group);
    while group.serve(A) {}
    assert_eq!(group.processes[&A].coordinator.poll_timeout(), Some(Duration::from_secs(9 + 10)));
}

#[test]
fn when_it_tries_again_it_looks_anew_at_the_journal_and_for_sets_that_have_become_whole_meanwhile() {
    let mut group = running();
    let id = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    assert!(group.serve(A), "its part; that of B takes longer");
    lose_a_payment(&mut group);
    for _ in 0..10 {
        if !matches!(group.processes[&A].asked[0], (_, StoreRequest::Create(Key::Journal(2), _))) {
            assert!(group.serve_oldest(A));
        }
    }
    fail_to_create(&mut group, false);
    group.store.faults = 100;
    assert!(group.serve(A), "nor can it see what has become of it");
    group.store.faults = 0;
    assert!(group.processes[&A].asked.is_empty());
    assert!(group.serve(B), "its part");
    group.pass_time(Duration::from_millis(500));
    assert!(matches!(group.processes[&A].asked[..], [(_, StoreRequest::Read(Key::Journal(2)))]));
    group.settle();
    let back = group.processes[&A].events.iter().find(|event| event.starts_with("RolledBack"));
    assert!(back.is_some_and(|back| back.contains(&format!("snapshot: Some({id:?})"))), "{back:?}");
}

#[test]
fn who_speaks_of_a_generation_that_the_journal_does_not_have_is_accused_and_nothing_is_undone() {
    let mut group = running();
    group.pay_to(B, A);
    let message = group.channels.get_mut(&(B, A)).unwrap().pop_front().unwrap();
    let generation = Generation(9);
    let said = |body: &Body<Transfer>| Frame { stamp: stamp(9, 1, message.stamp), body: body.clone() };
    let (lie, silent) = (said(&greeting(5)), said(&message.body));
    let now = group.now;
    let a: &mut Coordinator = &mut group.processes.get_mut(&A).unwrap().coordinator;
    let b = a.topology().peer(B).unwrap();
    let mut capture = || Capture::new(Branch::default());
    a.handle_frame(now, b, silent.clone(), &mut capture);
    assert!(a.is_running() && !a.has_message(), "F5: what comes without a greeting is no news");
    for frame in [lie.clone(), silent, message, lie] {
        a.handle_frame(now, b, frame, &mut capture);
    }
    assert!(!a.is_running() && !a.has_message(), "what comes behind it waits");
    let Some(Output::Store { ticket, request }) = a.poll_output() else { panic!("it looks") };
    assert_eq!(request, StoreRequest::Read(Key::Journal(2)));
    a.handle_store(now, ticket, StoreAnswer::Read(None), &mut capture);
    let accused = |a: &mut Coordinator| {
        let what = Violation::UnknownGeneration { generation };
        assert_eq!(a.poll_output(), Some(Output::Event(Event::Violation { peer: b, what, times: 1 })));
    };
    accused(a);
    // That was what it looked for. What came behind is new to it, and it looks again for the second lie.
    let Some(Output::Store { ticket, request }) = a.poll_output() else { panic!("it looks") };
    assert_eq!(request, StoreRequest::Read(Key::Journal(2)));
    assert!(!a.is_running());
    a.handle_store(now, ticket, StoreAnswer::Read(None), &mut capture);
    assert_eq!(a.poll_output(), None, "it is accused once");
    assert!(a.is_running());
    assert!(a.take_message().is_some());
}

// ---- generations that commit nothing -------------------------------------------------------------------------------------

#[test]
fn j7_after_four_generations_that_committed_nothing_the_next_one_is_opened_after_a_pause() {
    let mut group = durable();
    group.boot_all();
    group.settle();
    let newest = |group: &Group| group.processes[&A].coordinator.generation();
    for generation in 2..=4 {
        group.crash(B);
        group.boot(B);
        group.settle();
        assert_eq!(newest(&group), Generation(generation));
    }
    group.crash(B);
    group.boot(B);
    group.settle();
    assert_eq!(newest(&group), Generation(5), "the fifth comes at once");
    group.crash(B);
    group.boot(B);
    group.settle();
    assert_eq!(newest(&group), Generation(5), "the sixth does not");
    assert_eq!(group.processes[&B].coordinator.poll_timeout(), Some(group.now + Duration::from_millis(250)));
    group.pass_time(Duration::from_millis(249));
    group.settle();
    assert_eq!(newest(&group), Generation(5));
    group.pass_time(Duration::from_millis(1));
    group.settle();
    assert_eq!(newest(&group), Generation(6));
    // A commit makes up for all of them.
    group.initiate(A).unwrap();
    group.settle();
    group.crash(B);
    group.boot(B);
    group.settle();
    assert_eq!(newest(&group), Generation(7));
}
