//! What a marker overtakes is recorded by its sender (W6), and is the first to be sent after a restart (W7): nothing of it is
//! lost, nothing comes twice, and nothing changes places.

use std::collections::BTreeMap;

use crate::group::{Coordinator, Group, Transfer, windows};
use snapshot_core::{Body, Bound, FrameKind, Generation, Graph, NodeId, Retention, Settings, SnapshotId};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// How many messages may be outstanding on a channel of two.
const WINDOW: usize = 4;

fn durable() -> Settings {
    Settings { durable: true, retention: Retention::All, ..windows(WINDOW, usize::MAX) }
}

fn numbers(messages: &[Transfer]) -> Vec<u64> {
    messages.iter().map(|transfer| transfer.number).collect()
}

/// What a snapshot has on a channel: what its receiver recorded, and what its sender did.
fn channel(group: &Group, id: SnapshotId, from: NodeId, to: NodeId) -> (Vec<u64>, Vec<u64>) {
    let part = |node| group.parts_of(node).into_iter().find(|part| part.snapshot == id).expect("its part");
    let kept = part(from).outgoing.get(&to).map(|messages| numbers(messages));
    (numbers(&part(to).channels[&from]), kept.unwrap_or_default())
}

/// A has sent ten messages to B, of which four have arrived and one is taken, and a snapshot of this.
fn recorded(settings: Settings, initiator: NodeId) -> (Group, SnapshotId) {
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    (0..10).for_each(|_| group.pay_to(A, B));
    while group.deliver((A, B)) {}
    assert!(group.take(B));
    let id = group.initiate(initiator).unwrap();
    group.exchange();
    assert_eq!(group.processes[&initiator].reports, [id]);
    (group, id)
}

fn received(group: &Group) -> u64 {
    group.processes[&B].branch.received.get(&A).copied().unwrap_or_default()
}

/// What messages are on a channel, by their numbers in it.
fn on_wire(group: &Group, from: NodeId, to: NodeId) -> Vec<u64> {
    let frames = group.channels[&(from, to)].iter();
    frames
        .filter_map(
            |frame| if let Body::Message(transfer) = &frame.body { Some(transfer.number) } else { None },
        )
        .collect()
}

/// All start again, from what was last committed, and nobody has taken anything yet.
fn restart(group: &mut Group) {
    group.stop_all();
    group.channels.values_mut().for_each(|channel| channel.clear());
    group.boot_all();
    while group.serve(A) || group.serve(B) {}
}

// ---- W6 -----------------------------------------------------------------------------------------------------------------

#[test]
fn w6_a_channel_is_what_its_receiver_recorded_and_then_what_its_sender_did() {
    for durable in [false, true] {
        for initiator in [A, B] {
            let (group, id) = recorded(Settings { durable, ..self::durable() }, initiator);
            assert_eq!(channel(&group, id, A, B), (vec![2, 3, 4], vec![5, 6, 7, 8, 9, 10]));
            assert_eq!(channel(&group, id, B, A), (vec![], vec![]));
            assert_eq!(group.check_cuts(), 1);
        }
    }
}

#[test]
fn w6_receivers_for_whom_nothing_waits_are_not_named() {
    let (group, id) = recorded(durable(), A);
    let part = |node| group.parts_of(node).into_iter().find(|part| part.snapshot == id).unwrap();
    assert_eq!(part(A).outgoing.keys().collect::<Vec<_>>(), [&B]);
    assert_eq!(part(B).outgoing, BTreeMap::new());
    assert_eq!((part(A).messages(), part(B).messages()), (6, 3));
}

#[test]
fn w6_what_is_sent_after_the_capture_is_in_no_record_though_it_waits_beside_what_is() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), windows(WINDOW, usize::MAX));
    (0..6).for_each(|_| group.pay_to(A, B));
    let id = group.initiate(A).unwrap();
    (0..6).for_each(|_| group.pay_to(A, B));
    group.settle();
    assert_eq!(channel(&group, id, A, B), (vec![1, 2, 3, 4], vec![5, 6]));
    assert_eq!(received(&group), 12);
}

#[test]
fn w6_each_snapshot_has_a_record_of_its_own() {
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), windows(2 * WINDOW, usize::MAX));
    (0..6).for_each(|_| group.pay_to(A, B));
    let first = group.initiate(A).unwrap();
    (0..2).for_each(|_| group.pay_to(A, B));
    (0..5).for_each(|_| group.pay_to(A, C));
    let second = group.initiate(A).unwrap();
    group.settle();
    assert_eq!(channel(&group, first, A, B), (vec![1, 2, 3, 4], vec![5, 6]));
    assert_eq!(channel(&group, second, A, B), (vec![1, 2, 3, 4], vec![5, 6, 7, 8]));
    assert_eq!(channel(&group, first, A, C), (vec![], vec![]));
    assert_eq!(channel(&group, second, A, C), (vec![1, 2, 3, 4], vec![5]));
    assert_eq!(group.check_cuts(), 2);
}

#[test]
fn w6_what_its_markers_overtake_counts_against_what_a_node_may_record() {
    const WEIGHT: usize = size_of::<Transfer>();
    for (bound, given_up) in [(6 * WEIGHT, 0), (6 * WEIGHT - 1, 1)] {
        let settings = Settings { max_recorded_bytes: bound, ..windows(WINDOW, usize::MAX) };
        let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
        (0..10).for_each(|_| group.pay_to(A, B));
        group.initiate(A).unwrap();
        let a = &group.processes[&A];
        assert_eq!(a.aborted.len(), given_up, "six wait, and at most {bound} bytes may");
        if given_up == 0 {
            let status = a.coordinator.running().remove(0);
            assert_eq!((status.recorded_messages, status.recorded_bytes), (6, bound as u64));
        }
        group.settle();
        assert_eq!(received(&group), 10);
    }
}

#[test]
fn w6_a_backlog_can_refuse_a_second_snapshot_at_once_and_never_the_first() {
    // `max_recorded_bytes` "must be at least `inbox` + `outbox_hard`".
    const WEIGHT: usize = size_of::<Transfer>();
    let (inbox, full) = (Bound::new(usize::MAX, WINDOW * WEIGHT), Bound::new(usize::MAX, 6 * WEIGHT));
    let settings = Settings {
        outbox_low: full,
        outbox_high: full,
        outbox_hard: full,
        max_recorded_bytes: inbox.bytes + full.bytes,
        ..windows(usize::MAX, inbox.bytes)
    };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    for (from, to) in [(A, B), (B, A)] {
        group.flood(from, to);
        group.exchange();
        group.flood(from, to);
    }
    for round in 1..=5 {
        let id = group.initiate(A).unwrap();
        group.exchange();
        assert_eq!(group.processes[&A].reports.len(), round);
        assert_eq!([A, B].map(|node| group.parts_of(node).last().unwrap().messages()), [WINDOW + 6; 2]);
        assert_eq!(group.processes[&A].reports.last(), Some(&id));
    }
    let both = [group.initiate(A).unwrap(), group.initiate(A).unwrap()];
    group.exchange();
    assert_eq!(group.processes[&A].aborted.len(), 1, "of {both:?}");
    assert_eq!(group.processes[&A].reports.len(), 6);
}

// ---- W7 -----------------------------------------------------------------------------------------------------------------

#[test]
fn w7_after_a_restart_all_is_handed_out_once_and_in_order_and_what_is_sent_anew_comes_behind() {
    let (mut group, _) = recorded(durable(), B);
    // Nothing of what happens after the snapshot has happened.
    group.settle();
    assert_eq!(received(&group), 10);
    (0..3).for_each(|_| group.pay_to(A, B));
    group.settle();
    restart(&mut group);
    assert_eq!((received(&group), group.processes[&A].branch.sent[&B]), (1, 10));
    // Whoever takes them sees that no number is left out, and none comes twice.
    (0..5).for_each(|_| group.pay_to(A, B));
    group.settle();
    assert_eq!(received(&group), 15);
    assert_eq!(group.balance(), group.total);
    assert_eq!(group.store.replayed, 9, "three of B and six of A");
}

#[test]
fn w7_what_was_recorded_by_its_sender_waits_in_its_outbox_and_departs_first() {
    let (mut group, _) = recorded(durable(), A);
    restart(&mut group);
    group.pay_to(A, B);
    let a = &group.processes[&A].coordinator;
    let b = a.topology().peer(B).unwrap();
    assert!(a.is_running() && a.has_room_for(b));
    // Three replayed ones leave room for one.
    while group.deliver((B, A)) {}
    assert_eq!(on_wire(&group, A, B), [5]);
    while group.deliver((A, B)) {}
    assert!(group.take(B) && group.take(B), "two of the replayed ones are half a window");
    while group.deliver((B, A)) {}
    assert_eq!(on_wire(&group, A, B), [6, 7]);
    while group.deliver((A, B)) {}
    assert!((0..4).all(|_| group.take(B)));
    while group.deliver((B, A)) {}
    assert_eq!(on_wire(&group, A, B), [8, 9, 10, 11]);
}

#[test]
fn w7_what_waits_after_a_restart_counts_to_the_outbox() {
    let (mut group, _) = recorded(durable(), A);
    for (low, room) in [(6, false), (7, true)] {
        group.settings.outbox_low = Bound::new(low, usize::MAX);
        restart(&mut group);
        let a: &Coordinator = &group.processes[&A].coordinator;
        assert_eq!(a.has_room(), room, "six wait");
    }
}

#[test]
fn w7_what_is_replayed_takes_up_its_part_of_the_window_at_each_restart_anew() {
    // Else each restart would add a window to what the receiver has to keep.
    let mut group = Group::at_rest(Graph::mesh([A, B]), durable());
    (0..30).for_each(|_| group.pay_to(A, B));
    for generation in 1..=6 {
        group.exchange();
        let id = group.initiate(B).unwrap();
        group.exchange();
        assert_eq!(group.processes[&B].reports.last(), Some(&id));
        let (at_b, at_a) = channel(&group, id, A, B);
        assert_eq!((at_b.len(), at_a.len()), (WINDOW, 26), "generation {generation}");
        restart(&mut group);
        assert_eq!(group.processes[&B].coordinator.generation(), Generation(generation + 1));
    }
    group.settle();
    assert_eq!((received(&group), group.balance()), (30, group.total));
}

#[test]
fn w7_a_message_larger_than_the_window_waits_until_what_is_replayed_is_taken() {
    let mut group = Group::new(Graph::mesh([A, B]), Settings { durable: true, ..windows(100, 10) }, 1);
    group.weigh = |_, transfer| transfer.amount as usize;
    group.boot_all();
    group.settle();
    group.pay_amount(A, B, 3);
    group.pay_amount(A, B, 40);
    group.exchange();
    group.initiate(A).unwrap();
    group.exchange();
    restart(&mut group);
    group.exchange();
    assert_eq!(on_wire(&group, A, B), []);
    assert!(group.take(B), "the replayed one");
    while group.deliver((B, A)) || group.deliver((A, B)) {}
    assert!(group.take(B), "it was asked for, since the replayed one is far less than half a window");
    assert_eq!(received(&group), 2);
    assert_eq!(group.balance(), group.total);
}

#[test]
fn w7_a_snapshot_of_what_has_just_been_restored_records_the_same_again() {
    let (mut group, first) = recorded(durable(), A);
    restart(&mut group);
    let again = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.serve(A) || group.serve(B) || group.deliver((B, A)) {}
    assert_eq!(again.sequence, first.sequence + 1);
    let (mut before, mut after) = (channel(&group, first, A, B), channel(&group, again, A, B));
    before.0.append(&mut before.1);
    after.0.append(&mut after.1);
    assert_eq!(before.0, after.0);
    assert_eq!(group.check_cuts(), 2);
}

#[test]
fn w7_grants_of_an_older_generation_let_nothing_go() {
    let (mut group, _) = recorded(durable(), A);
    // B takes all, and its grants are on the way when A is replaced.
    group.closed = [(B, A)].into();
    while group.take(B) {}
    group.closed.clear();
    while group.depart((B, A)) {}
    let grants: Vec<_> = group.channels[&(B, A)].iter().cloned().collect();
    assert!(grants.iter().any(|frame| frame.kind() == Ok(FrameKind::Flow)));
    restart(&mut group);
    group.channels.get_mut(&(B, A)).unwrap().extend(grants);
    while group.deliver((B, A)) {}
    assert_eq!(on_wire(&group, A, B), [5], "three are replayed, and B has taken none");
    group.settle();
    assert_eq!((received(&group), group.balance()), (10, group.total));
}
