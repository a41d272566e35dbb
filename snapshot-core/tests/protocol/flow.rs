//! What may depart, and when (W1 to W5, W12): windows, grants, what asks for them, and the order in which frames go.

use std::time::Duration;

use crate::group::{Coordinator, Group, Transfer, greets, windows};
use snapshot_core::{Body, Bound, Capture, FrameKind, Frames, Generation, Graph, LinkUse, NodeId, Settings};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const D: NodeId = NodeId(4);
const E: NodeId = NodeId(5);

fn pair(messages: usize, bytes: usize) -> Group {
    weighing(|_, transfer| transfer.amount as usize, Graph::mesh([A, B]), windows(messages, bytes))
}

/// A group at rest in which messages weigh this.
fn weighing(weigh: fn(NodeId, &Transfer) -> usize, graph: Graph, settings: Settings) -> Group {
    let mut group = Group::new(graph, settings, 1);
    group.weigh = weigh;
    group.boot_all();
    group.settle();
    group
}

fn kinds(group: &Group, from: NodeId, to: NodeId) -> Vec<FrameKind> {
    group.channels[&(from, to)].iter().map(|frame| frame.kind().unwrap()).collect()
}

fn count(group: &Group, from: NodeId, to: NodeId, kind: FrameKind) -> usize {
    kinds(group, from, to).into_iter().filter(|found| *found == kind).count()
}

/// What the messages weigh that are on a channel.
fn on_wire(group: &Group, from: NodeId, to: NodeId) -> Vec<u64> {
    let frames = group.channels[&(from, to)].iter();
    frames
        .filter_map(
            |frame| if let Body::Message(transfer) = &frame.body { Some(transfer.amount) } else { None },
        )
        .collect()
}

fn deliver_all(group: &mut Group, from: NodeId, to: NodeId) {
    while group.deliver((from, to)) {}
}

fn taken(group: &Group) -> u64 {
    group.processes[&B].branch.received.get(&A).copied().unwrap_or_default()
}

// ---- W1: the window ---------------------------------------------------------------------------------------------------

#[test]
fn w1_as_many_messages_are_outstanding_as_the_window_has_room_for_until_they_are_taken() {
    let mut group = pair(4, usize::MAX);
    (0..10).for_each(|_| group.pay_to(A, B));
    assert_eq!(on_wire(&group, A, B), [1; 4]);
    deliver_all(&mut group, A, B);
    deliver_all(&mut group, B, A);
    assert_eq!(on_wire(&group, A, B), [], "that they have arrived makes no room");
    assert!(group.take(B));
    deliver_all(&mut group, B, A);
    assert_eq!(on_wire(&group, A, B), [], "the sender hears of half a window");
    assert!(group.take(B));
    deliver_all(&mut group, B, A);
    assert_eq!(on_wire(&group, A, B), [1; 2]);
    group.settle();
    assert_eq!(taken(&group), 10);
}

#[test]
fn w1_as_much_is_outstanding_as_the_window_has_room_for_by_weight() {
    let mut group = pair(100, 10);
    for amount in [4, 3, 3, 1, 4] {
        group.pay_amount(A, B, amount);
    }
    assert_eq!(on_wire(&group, A, B), [4, 3, 3]);
    group.settle();
    assert_eq!(taken(&group), 5);
}

#[test]
fn w1_a_message_that_is_larger_than_the_window_goes_alone() {
    let mut group = pair(100, 10);
    for amount in [1, 50, 1] {
        group.pay_amount(A, B, amount);
    }
    assert_eq!(on_wire(&group, A, B), [1], "something is outstanding");
    deliver_all(&mut group, A, B);
    assert!(group.take(B));
    deliver_all(&mut group, B, A);
    assert_eq!(on_wire(&group, A, B), [50]);
    deliver_all(&mut group, A, B);
    deliver_all(&mut group, B, A);
    assert_eq!(on_wire(&group, A, B), []);
    assert!(group.take(B));
    deliver_all(&mut group, B, A);
    assert_eq!(on_wire(&group, A, B), [1]);
}

#[test]
fn w1_through_a_window_for_nothing_messages_go_one_at_a_time() {
    let nothing = Bound::new(0, 0);
    let settings = Settings { inbox: nothing, window_floor: nothing, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    for taken in 0..3 {
        (0..2).for_each(|_| group.pay_to(A, B));
        assert_eq!(on_wire(&group, A, B), [1], "{taken} are taken");
        deliver_all(&mut group, A, B);
        assert!(group.take(B));
        deliver_all(&mut group, B, A);
    }
    group.settle();
    assert_eq!(taken(&group), 6);
}

#[test]
fn w1_control_takes_up_no_part_of_a_window() {
    let mut group = pair(3, usize::MAX);
    for _ in 0..20 {
        group.initiate(A).unwrap();
        group.settle();
    }
    (0..5).for_each(|_| group.pay_to(A, B));
    assert_eq!(on_wire(&group, A, B).len(), 3);
}

#[test]
fn w1_a_turn_of_many_messages_departs_as_far_as_the_window_goes_and_in_its_order() {
    let mut group = pair(5, usize::MAX);
    group.input(A, |c, _, _| {
        let to = c.topology().peer(B).unwrap();
        (1..=12).for_each(|number| c.send(to, Transfer { amount: 0, number }).unwrap());
        c.end_turn().unwrap();
    });
    let numbers: Vec<u64> = (1..=12).collect();
    let mut arrived = Vec::new();
    while arrived.len() < 12 {
        let departed = group.channels.get_mut(&(A, B)).unwrap();
        let messages = departed.iter().filter_map(|frame| match &frame.body {
            Body::Message(transfer) => Some(transfer.number),
            Body::Control(_) => None,
        });
        arrived.extend(messages);
        assert!(arrived.len() <= 5 + taken(&group) as usize);
        deliver_all(&mut group, A, B);
        while group.take(B) {}
        deliver_all(&mut group, B, A);
    }
    assert_eq!(arrived, numbers);
}

// ---- W2: grants, and asking for them ----------------------------------------------------------------------------------

#[test]
fn w2_a_grant_follows_half_a_window_by_number_or_by_the_receivers_weights() {
    for (messages, bytes, amount, half) in [(8, usize::MAX, 1, 4), (7, usize::MAX, 1, 4), (100, 20, 5, 2)] {
        let mut group = pair(messages, bytes);
        for _ in 0..4 {
            group.pay_amount(A, B, amount);
        }
        deliver_all(&mut group, A, B);
        for taken in 1..=4 {
            assert!(group.take(B));
            assert_eq!(kinds(&group, B, A), vec![FrameKind::Flow; taken / half], "{taken} of {messages}");
        }
    }
}

#[test]
fn w2_who_is_held_up_by_a_message_over_half_a_window_asks_once_and_is_answered_when_all_is_taken() {
    let mut group = pair(100, 10);
    (0..3).for_each(|_| group.pay_amount(A, B, 4));
    group.pay_amount(A, B, 4);
    assert_eq!(on_wire(&group, A, B), [4, 4]);
    assert_eq!(count(&group, A, B, FrameKind::Flow), 1, "it asks, and once only");
    deliver_all(&mut group, A, B);
    assert_eq!(kinds(&group, B, A), [], "two are untaken");
    assert!(group.take(B));
    assert_eq!(kinds(&group, B, A), [], "one is");
    assert!(group.take(B));
    assert_eq!(kinds(&group, B, A), [FrameKind::Flow]);
    group.settle();
    assert_eq!(taken(&group), 4);
}

#[test]
fn w2_the_answer_to_who_asks_when_all_is_taken_comes_at_once() {
    let mut group = pair(100, 10);
    group.pay_amount(A, B, 4);
    deliver_all(&mut group, A, B);
    assert!(group.take(B));
    assert_eq!(kinds(&group, B, A), [], "less than half a window was taken");
    group.pay_amount(A, B, 7);
    assert_eq!(kinds(&group, A, B), [FrameKind::Flow]);
    assert!(group.deliver((A, B)));
    assert!(group.deliver((B, A)));
    assert_eq!(on_wire(&group, A, B), [7]);
}

#[test]
fn w2_a_message_larger_than_the_window_is_asked_for_too() {
    let mut group = pair(100, 10);
    group.pay_amount(A, B, 1);
    group.pay_amount(A, B, 30);
    group.settle();
    assert_eq!(taken(&group), 2);
}

#[test]
fn w2_the_two_ends_may_weigh_differently() {
    // The receiver finds all of it lighter, and so never sees half a window taken.
    let lighter = |node, transfer: &Transfer| transfer.amount as usize * if node == A { 2 } else { 1 };
    let heavier = |node, transfer: &Transfer| transfer.amount as usize * if node == B { 2 } else { 1 };
    for weigh in [lighter, heavier] {
        let mut group = weighing(weigh, Graph::mesh([A, B]), windows(100, 20));
        for amount in [4, 4, 4, 9, 1, 12, 3, 11, 2, 10, 10] {
            group.pay_amount(A, B, amount);
        }
        group.settle();
        assert_eq!(taken(&group), 11);
    }
}

#[test]
fn w2_nobody_asks_where_a_grant_comes_anyway() {
    let mut group = pair(4, usize::MAX);
    for _ in 0..5 {
        (0..8).for_each(|_| group.pay_to(A, B));
        assert_eq!(count(&group, A, B, FrameKind::Flow), 0);
        group.settle();
    }
}

#[test]
fn w2_where_there_is_no_way_back_grants_go_round_behind_the_markers_of_every_hop() {
    let graph = Graph::ring([A, B, C]);
    let mut group = Group::at_rest(graph, windows(4, usize::MAX));
    (0..6).for_each(|_| group.pay_to(A, B));
    deliver_all(&mut group, A, B);
    let id = group.initiate(B).unwrap();
    assert!(group.take(B) && group.take(B));
    for (from, to) in [(B, C), (C, A)] {
        let mut kinds = kinds(&group, from, to);
        kinds.retain(|kind| *kind != FrameKind::Receipt(id));
        assert_eq!(kinds, [FrameKind::Marker(id), FrameKind::Flow]);
        deliver_all(&mut group, from, to);
    }
    assert_eq!(kinds(&group, A, B)[0], FrameKind::Marker(id));
    assert_eq!(on_wire(&group, A, B).len(), 2);
}

#[test]
fn w2_what_was_held_up_while_a_connection_was_gone_is_asked_for_when_it_is_back() {
    // There is no link back, on which the receiver would grant anew.
    let settings = Settings { durable: true, ..windows(100, 10) };
    let weigh = |_, transfer: &Transfer| transfer.amount as usize;
    let mut group = weighing(weigh, Graph::ring([A, B, C]), settings);
    group.pay_amount(A, B, 4);
    deliver_all(&mut group, A, B);
    assert!(group.take(B));
    group.lost(A, B);
    group.pay_amount(A, B, 7);
    assert_eq!(kinds(&group, A, B), [], "nobody is there to be asked");
    group.up(A, B);
    group.settle();
    assert_eq!(taken(&group), 2);
    assert_eq!(group.rollbacks, 0);
}

// ---- W3: nothing before the first grant -------------------------------------------------------------------------------

#[test]
fn w3_no_message_departs_before_the_receiver_has_granted() {
    let graph = Graph::mesh([A, B]);
    let mut a = Coordinator::new(graph.at(A).unwrap(), Settings::default(), 1);
    a.start(Duration::ZERO);
    let b = a.topology().peer(B).unwrap();
    let departs = |a: &mut Coordinator| {
        let mut frames = Frames::new();
        a.take_outgoing(b, &mut frames);
        a.handle_sent(Duration::ZERO, b);
        frames.iter().map(|frame| frame.kind().unwrap()).collect::<Vec<_>>()
    };
    a.send(b, Transfer { amount: 1, number: 1 }).unwrap();
    a.end_turn().unwrap();
    assert_eq!(departs(&mut a), [FrameKind::Hello, FrameKind::Flow]);
    let [hello, grant] = greets(&graph, B, A);
    for (frame, expected) in [(hello, &[][..]), (grant, &[FrameKind::Message])] {
        a.handle_frame(Duration::ZERO, b, frame, &mut || unreachable!());
        assert_eq!(departs(&mut a), expected);
    }
}

#[test]
fn w3_no_message_of_a_new_generation_comes_to_a_node_that_has_not_restored() {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    (0..3).for_each(|_| group.pay_to(A, B));
    group.crash(A);
    group.boot(A);
    while group.serve(A) {}
    assert_eq!(group.processes[&A].coordinator.generation(), Generation(2));
    (0..3).for_each(|_| group.pay_to(A, B));
    // B has gone back when it grants, and only then.
    while !group.processes[&B].coordinator.is_running() || group.deliver((A, B)) {
        assert_eq!(on_wire(&group, A, B), []);
        group.serve(B);
    }
    assert_eq!(group.processes[&B].coordinator.generation(), Generation(2));
    assert_eq!(on_wire(&group, A, B), []);
    deliver_all(&mut group, B, A);
    assert_eq!(on_wire(&group, A, B), [1; 3]);
    group.settle();
    assert_eq!(group.balance(), group.total);
}

#[test]
fn w3_what_was_granted_in_the_last_generation_lets_nothing_go_in_the_next() {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.crash(A);
    group.boot(A);
    while group.serve(A) {}
    assert!(group.deliver((A, B)), "the greeting, and not yet the grant");
    while group.serve(B) {}
    let b = &group.processes[&B].coordinator;
    assert!(b.is_running() && b.generation() == Generation(2));
    group.pay_to(B, A);
    assert_eq!(on_wire(&group, B, A), []);
    assert!(group.deliver((A, B)));
    assert_eq!(on_wire(&group, B, A), [1]);
    group.settle();
    assert_eq!(group.balance(), group.total);
}

#[test]
fn w3_a_new_connection_brings_the_grant_again_behind_its_greeting() {
    let settings = Settings { durable: true, ..windows(2, usize::MAX) };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.reconnect(A, B);
    assert_eq!(kinds(&group, B, A), [FrameKind::Hello, FrameKind::Flow]);
    group.settle();
    assert_eq!(group.rollbacks, 0, "nothing was lost");
    // And it is no second window beside the first.
    (0..5).for_each(|_| group.pay_to(A, B));
    group.reconnect(A, B);
    deliver_all(&mut group, B, A);
    assert_eq!(on_wire(&group, A, B).len(), 2);
    group.settle();
    assert_eq!((group.rollbacks, taken(&group)), (0, 5));
}

// ---- W4, W5: the order of frames ----------------------------------------------------------------------------------------

#[test]
fn w4_control_overtakes_messages_and_never_control() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), windows(4, usize::MAX));
    (0..4).for_each(|_| group.pay_to(A, B));
    deliver_all(&mut group, A, B);
    group.lazy = 100; // nothing departs by itself
    (0..2).for_each(|_| group.pay_to(B, A));
    let first = group.initiate(B).unwrap();
    assert!(group.take(B) && group.take(B)); // a grant is due
    (0..2).for_each(|_| group.pay_to(B, A));
    let second = group.initiate(B).unwrap();
    assert!(group.take(B) && group.take(B)); // and another
    group.input(B, |b, _, _| assert!(b.abort(second)));
    assert!(group.depart((B, A)));
    let (flow, message) = (FrameKind::Flow, FrameKind::Message);
    // The marker of the one that was given up has left the queue, and all else is where it was.
    let control = [FrameKind::Marker(first), flow, flow, FrameKind::Outcome(second)];
    assert_eq!(kinds(&group, B, A)[..4], control);
    assert_eq!(kinds(&group, B, A)[4..], [message; 4]);
}

#[test]
fn f1_frames_are_numbered_when_they_depart_and_no_number_is_left_out() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), windows(4, usize::MAX));
    group.lazy = 100;
    (0..2).for_each(|_| group.pay_to(A, B));
    let first = group.initiate(A).unwrap();
    group.depart((A, B));
    (0..3).for_each(|_| group.pay_to(A, B));
    let second = group.initiate(A).unwrap();
    group.input(A, |a, _, _| assert!(a.abort(first)));
    group.depart((A, B));
    let numbers: Vec<u64> = group.channels[&(A, B)].iter().map(|frame| frame.stamp.count()).collect();
    let before = numbers[0];
    assert_eq!(numbers, (before..before + numbers.len() as u64).collect::<Vec<_>>());
    let message = FrameKind::Message;
    let expected = [
        FrameKind::Marker(first),
        message,
        message,
        FrameKind::Marker(second),
        FrameKind::Outcome(first),
        message,
        message,
    ];
    assert_eq!(kinds(&group, A, B), expected);
    group.lazy = 0;
    group.settle();
    assert_eq!(group.check_cuts(), 1);
}

#[test]
fn w5_what_has_been_taken_for_the_transport_is_on_the_channel_and_no_marker_overtakes_it() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), windows(4, usize::MAX));
    group.lazy = 100;
    (0..2).for_each(|_| group.pay_to(A, B));
    group.depart((A, B)); // the batch is under way: the transport has not said that it was sent
    (0..2).for_each(|_| group.pay_to(A, B));
    let id = group.initiate(A).unwrap();
    group.depart((A, B));
    let message = FrameKind::Message;
    assert_eq!(kinds(&group, A, B), [message, message, FrameKind::Marker(id), message, message]);
    group.lazy = 0;
    group.exchange();
    let (at_a, at_b) = (group.parts_of(A)[0].clone(), group.parts_of(B)[0].clone());
    assert_eq!((at_b.channels[&A].len(), at_a.outgoing[&B].len()), (2, 2));
}

// ---- W12: shares --------------------------------------------------------------------------------------------------------

#[test]
fn w12_each_sender_has_its_share_of_the_inbox_and_the_floor_at_least() {
    for (inbox, floor, share) in [(40, 1, 10), (40, 16, 16), (2, 1, 1)] {
        let settings = Settings {
            inbox: Bound::new(inbox, usize::MAX),
            window_floor: Bound::new(floor, 1),
            ..Settings::default()
        };
        let mut group = Group::at_rest(Graph::star([A, B, C, D, E]), settings);
        for leaf in [B, C, D, E] {
            (0..50).for_each(|_| group.pay_to(leaf, A));
            assert_eq!(on_wire(&group, leaf, A).len(), share);
        }
        (0..50).for_each(|_| group.pay_to(A, B));
        assert_eq!(on_wire(&group, A, B).len(), inbox.max(floor), "a leaf hears from one");
    }
}

#[test]
fn w12_the_floor_is_one_of_weight_too() {
    let settings = Settings {
        inbox: Bound::new(usize::MAX, 40),
        window_floor: Bound::new(1, 16),
        ..Settings::default()
    };
    let mut group = weighing(|_, _| 4, Graph::star([A, B, C, D, E]), settings);
    (0..9).for_each(|_| group.pay_to(B, A));
    assert_eq!(on_wire(&group, B, A).len(), 4);
}

#[test]
fn w12_who_sends_no_messages_has_no_share() {
    let graph = Graph::new([A, B, C, D]).link(A, B).link(B, C).link(B, D).with_way_back();
    assert_eq!(graph.at(B).unwrap().link_use(C, B), Some(LinkUse::ControlOnly));
    let mut group = Group::at_rest(graph, windows(6, usize::MAX));
    (0..10).for_each(|_| group.pay_to(A, B));
    assert_eq!(on_wire(&group, A, B).len(), 6);
}

#[test]
fn default_windows_are_wide_enough_for_thousands_and_narrow_enough_to_be_a_bound() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), Settings::default());
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    let b = a.topology().peer(B).unwrap();
    (1..=5000).for_each(|number| a.send(b, Transfer { amount: 0, number }).unwrap());
    a.end_turn().unwrap();
    let mut frames = Frames::new();
    a.take_outgoing(b, &mut frames);
    assert_eq!(frames.len(), 4096);
    a.handle_sent(Duration::ZERO, b);
    assert!(!a.has_outgoing(b));
    // A marker still can.
    a.initiate(Duration::ZERO, &mut || Capture::new(crate::group::Branch::default())).unwrap();
    assert!(a.has_outgoing(b));
}
