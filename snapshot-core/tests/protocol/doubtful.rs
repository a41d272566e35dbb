//! What holds while the store has not answered, or has answered so that nobody knows what was done, or has another object than the
//! one that was committed.

use std::time::Duration;

use crate::group::{Group, Transfer};
use snapshot_core::{
    Failure, Graph, Key, NodeId, PartError, Settings, SnapshotId, SnapshotPhase, StoreAnswer, StoreRequest,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn settings() -> Settings {
    Settings { durable: true, ..Settings::default() }
}

fn running(settings: Settings) -> Group {
    Group::at_rest(Graph::mesh([A, B]), settings)
}

fn commit(group: &mut Group) -> SnapshotId {
    group.pay_to(B, A);
    let id = group.initiate(A).unwrap();
    group.settle();
    assert_eq!(group.processes[&A].reports.last(), Some(&id));
    id
}

/// What A has asked of the store.
fn asked(group: &Group) -> Vec<&StoreRequest<Transfer, crate::group::Branch>> {
    group.processes[&A].asked.iter().map(|(_, request)| request).collect()
}

#[test]
fn a_snapshot_is_not_given_up_while_its_record_is_being_written_or_looked_for() {
    // "Once the record is being written, only the store can say how it ends."
    let mut group = running(settings());
    let id = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) || group.serve(B) {}
    assert!(group.serve(A), "the part of A");
    let record = Key::Journal(2);
    let [StoreRequest::Create(key, bytes)] = asked(&group)[..] else { panic!("{:?}", asked(&group)) };
    assert_eq!(*key, record);
    let abort = |group: &mut Group| group.input(A, |a, _, _| a.abort(id)).unwrap();
    let bytes = bytes.clone();
    assert!(!abort(&mut group), "it is being written");

    // It was done, and the answer is lost.
    group.store.small.insert(record, bytes);
    let (ticket, _) = group.processes.get_mut(&A).unwrap().asked.remove(0);
    let lost = StoreAnswer::Failed("no answer in time".to_owned());
    group.input(A, |a, now, capture| a.handle_store(now, ticket, lost, capture));
    assert_eq!(asked(&group), [&StoreRequest::Read(record)]);
    assert!(!abort(&mut group), "it is being looked for");
    group.pass_time(Duration::from_secs(31));
    group.lost(A, B);
    assert_eq!(group.processes[&A].coordinator.running()[0].phase, SnapshotPhase::Committing);
    assert!(group.processes[&A].aborted.is_empty(), "neither for its deadline nor for a neighbour");
    group.settle();
    assert_eq!(group.processes[&A].reports, [id]);
    assert!(group.processes.values().all(|process| process.aborted.is_empty()));
}

#[test]
fn what_was_recorded_weighs_until_the_store_has_answered_though_its_snapshot_was_given_up() {
    // Room for three messages: two for the first snapshot, one for the second, and not one more.
    let weight = size_of::<Transfer>();
    let mut group = running(Settings { max_recorded_bytes: 3 * weight, ..settings() });
    group.pay_to(B, A);
    group.pay_to(B, A);
    let first = group.initiate(A).unwrap();
    while group.deliver((B, A)) {}
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    assert!(matches!(asked(&group)[..], [StoreRequest::WritePart(local)] if local.messages() == 2));
    while group.take(A) {}
    let second = group.initiate(A).unwrap();
    group.input(A, |a, _, _| assert!(a.abort(first)));
    group.pay_to(B, A);
    while group.deliver((B, A)) {}
    assert_eq!(group.processes[&A].aborted, [first], "the three have room");
    group.pay_to(B, A);
    while group.deliver((B, A)) {}
    assert_eq!(group.processes[&A].aborted, [first, second], "the first two are still in memory");
}

#[test]
fn what_was_recorded_weighs_nothing_once_the_store_has_answered() {
    let weight = size_of::<Transfer>();
    let mut group = running(Settings { max_recorded_bytes: 3 * weight, ..settings() });
    group.pay_to(B, A);
    group.pay_to(B, A);
    let first = group.initiate(A).unwrap();
    while group.deliver((B, A)) {}
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    while group.take(A) {}
    group.initiate(A).unwrap();
    group.input(A, |a, _, _| assert!(a.abort(first)));
    assert!(group.serve_oldest(A), "the part of the first");
    for _ in 0..3 {
        group.pay_to(B, A);
    }
    while group.deliver((B, A)) {}
    assert_eq!(group.processes[&A].aborted, [first]);
}

#[test]
fn a_group_that_may_fall_back_takes_no_set_with_another_part_than_the_committed_one() {
    let mut group = running(settings());
    let [good, exchanged, damaged] = [(); 3].map(|()| commit(&mut group));
    group.store.exchange_part(exchanged, B);
    group.store.parts.remove(&Key::Part { snapshot: damaged, node: A });
    group.stop_all();
    group.settings.fall_back = true;
    // What was covered by the two is taken back, which is what was allowed.
    group.promised.clear();
    group.boot_all();
    group.settle();
    for process in group.processes.values() {
        let fell = process.events.iter().find(|event| event.starts_with("FellBack")).expect("it fell back");
        assert!(fell.contains(&format!("to: Some({good:?})")), "{fell}");
    }
}

#[test]
fn a_start_refuses_a_part_that_is_whole_and_not_the_committed_one() {
    let mut group = running(settings());
    let committed = commit(&mut group);
    group.store.exchange_part(committed, B);
    group.stop_all();
    group.boot(B);
    while group.serve(B) {}
    let key = Key::Part { snapshot: committed, node: B };
    assert_eq!(group.processes[&B].failed, Some(Failure::Damaged(PartError::NotTheCommitted { key })));
}
