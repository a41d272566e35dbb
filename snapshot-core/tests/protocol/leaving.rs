//! W9: a node that leaves sends what it has, and receives only so that others can do the same.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::group::{Branch, Coordinator, Group, Transfer, greeting, stamp, windows};
use snapshot_core::{Body, Capture, Frame, FrameKind, Frames, Graph, InitiateError, NodeId, Settings};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// How many messages may be outstanding on a channel of two.
const WINDOW: usize = 4;

/// Everything moves but what applications do. How many messages have arrived on each channel.
fn arrived(group: &mut Group) -> BTreeMap<(NodeId, NodeId), usize> {
    let mut arrived = BTreeMap::new();
    loop {
        let mut moved = false;
        for pair in group.channels.keys().copied().collect::<Vec<_>>() {
            moved |= group.depart(pair);
            while let Some(frame) = group.channels[&pair].front() {
                *arrived.entry(pair).or_default() += usize::from(matches!(frame.body, Body::Message(_)));
                assert!(group.deliver(pair));
                moved = true;
            }
        }
        if !moved {
            return arrived;
        }
    }
}

fn leave(group: &mut Group, id: NodeId) {
    group.input(id, |c, _, _| c.leave());
}

/// Nothing of this node waits for anybody.
fn has_sent_all(group: &Group, id: NodeId) -> bool {
    let coordinator = &group.processes[&id].coordinator;
    coordinator.topology().outgoing().all(|peer| !coordinator.has_outgoing(peer))
}

/// How many messages each sends to each other.
const SENT: usize = 12;

/// All have been sent, and nobody has taken any: all windows are full.
fn full(graph: Graph, settings: Settings) -> Group {
    let mut group = Group::new(graph, settings, 1);
    group.weigh = |_, transfer| transfer.amount as usize;
    group.boot_all();
    group.settle();
    for (from, to) in group.channels.keys().copied().collect::<Vec<_>>() {
        (0..SENT).for_each(|number| group.pay_amount(from, to, 2 + 2 * (number as u64 % 2)));
    }
    group.exchange();
    group
}

#[test]
fn nodes_that_leave_at_once_do_not_wait_for_each_other() {
    for durable in [false, true] {
        for (graph, settings) in [
            (Graph::mesh([A, B]), windows(WINDOW, usize::MAX)),
            (Graph::mesh([A, B, C]), windows(2 * WINDOW, usize::MAX)),
            (Graph::ring([A, B, C]), windows(WINDOW, usize::MAX)),
            // One at a time, and each larger one must be asked for: the smaller is no half of a window.
            (Graph::mesh([A, B]), windows(100, 5)),
        ] {
            let senders = graph.at(A).unwrap().incoming().count();
            let mut group = full(graph, Settings { durable, ..settings });
            let window =
                if group.settings.inbox.bytes == 5 { 1 } else { group.settings.inbox.frames / senders };
            for id in group.graph.members().to_vec() {
                leave(&mut group, id);
            }
            let arrived = arrived(&mut group);
            // All that had not departed before.
            assert_eq!(arrived.len(), group.channels.len());
            assert!(arrived.values().all(|count| *count == SENT - window), "{arrived:?}");
            assert!(group.graph.members().iter().all(|id| has_sent_all(&group, *id)));
        }
    }
}

#[test]
fn who_leaves_lets_those_that_stay_send_to_it_what_they_have() {
    let mut group = full(Graph::mesh([A, B]), windows(WINDOW, usize::MAX));
    leave(&mut group, A);
    let arrived = arrived(&mut group);
    assert_eq!((arrived[&(B, A)], arrived[&(A, B)]), (SENT - WINDOW, 0), "B has taken nothing");
    // And it goes on to send as B takes.
    for _ in 0..SENT {
        assert!(group.take(B));
        group.exchange();
    }
    assert!(has_sent_all(&group, A));
    assert_eq!(group.processes[&B].branch.received[&A], SENT as u64);
}

#[test]
fn who_leaves_passes_on_the_grants_of_others() {
    // A grant of B for A goes by way of C.
    let mut group = full(Graph::ring([A, B, C]), windows(WINDOW, usize::MAX));
    leave(&mut group, C);
    for _ in 0..SENT {
        assert!(group.take(B));
        group.exchange();
    }
    assert_eq!(group.processes[&B].branch.received[&A], SENT as u64);
}

#[test]
fn who_leaves_does_nothing_else() {
    let settings =
        Settings { durable: true, interval: Some(Duration::from_secs(1)), ..windows(WINDOW, usize::MAX) };
    let mut group = full(Graph::mesh([A, B]), settings);
    leave(&mut group, A);
    let captures = group.captures(A);
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    assert!(!a.is_running() && a.wants_frames() && !a.has_room() && !a.has_message());
    assert_eq!((a.take_message(), a.poll_timeout()), (None, None));
    let mut capture = || Capture::new(Branch::default());
    assert_eq!(a.initiate(Duration::ZERO, &mut capture), Err(InitiateError::NotRunning));
    // Nor does it take part in what others begin, or hear that something was lost, or that the group goes back.
    assert!(group.initiate(B).is_some());
    group.exchange();
    assert_eq!(group.captures(A), captures);
    assert!(group.processes[&B].reports.is_empty());
    let known = group.last_on((B, A));
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    let before = a.clone();
    let b = a.topology().peer(B).unwrap();
    let frame = |generation, count, body| Frame { stamp: stamp(generation, count, known), body };
    let message = Body::Message(Transfer { amount: 1, number: 1 });
    a.handle_frame(Duration::ZERO, b, frame(2, 2, message.clone()), &mut || unreachable!());
    assert_eq!(*a, before);
    // Where the group has gone on, nothing that is left would be taken: it is done. And where it must go back, since something
    // is missing.
    for over in [frame(2, 1, greeting(5)), frame(1, 1000, message)] {
        let mut a = before.clone();
        a.handle_frame(Duration::ZERO, b, over, &mut || unreachable!());
        assert!(!a.wants_frames());
        assert_eq!(a.poll_output(), None);
    }
}

#[test]
fn who_leaves_waits_for_no_neighbour_of_which_something_is_missing() {
    // A grant may be, which will not come again. Without a store the others are waited for.
    let mut group = full(Graph::mesh([A, B, C]), windows(WINDOW, usize::MAX));
    leave(&mut group, A);
    let known = group.last_on((B, A));
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    let b = a.topology().peer(B).unwrap();
    let body = Body::Message(Transfer { amount: 1, number: 1 });
    let frame = Frame { stamp: stamp(1, 1000, known), body };
    a.handle_frame(Duration::ZERO, b, frame, &mut || unreachable!());
    assert_eq!(a.unreachable().collect::<Vec<_>>(), [b]);
    assert!(a.wants_frames());
    assert_eq!(a.poll_output(), None);
}

#[test]
fn who_leaves_does_not_wait_for_a_grant_that_was_lost_on_its_way() {
    // Those of B for A come by way of C, and only A can find out that one was lost.
    let settings = Settings { durable: true, ..windows(WINDOW, usize::MAX) };
    let mut group = full(Graph::ring([A, B, C]), settings);
    leave(&mut group, A);
    for _ in 0..WINDOW {
        assert!(group.take(B));
    }
    assert!(group.deliver((B, C)));
    group.channels.get_mut(&(C, A)).unwrap().clear();
    assert!(group.processes[&A].coordinator.wants_frames());
    group.reconnect(C, A);
    group.exchange();
    assert!(!group.processes[&A].coordinator.wants_frames(), "it is done");
}

#[test]
fn who_leaves_before_it_runs_runs_no_more() {
    let mut group = Group::new(Graph::mesh([A, B]), Settings { durable: true, ..Settings::default() }, 1);
    group.boot_all();
    leave(&mut group, A);
    group.settle();
    let a = &group.processes[&A].coordinator;
    let b = a.topology().peer(B).unwrap();
    assert!(!a.is_running() && !a.has_outgoing(b), "and it has nothing to say");
}

#[test]
fn who_leaves_while_it_goes_back_has_nothing_to_send_of_what_is_over() {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.closed.insert((A, B));
    group.pay_to(A, B);
    // Of two that B has sent the first is lost.
    (0..2).for_each(|_| group.pay_to(B, A));
    group.channels.get_mut(&(B, A)).unwrap().pop_front();
    assert!(group.deliver((B, A)));
    leave(&mut group, A);
    assert!(has_sent_all(&group, A));
}

#[test]
fn to_a_node_that_is_gone_nothing_is_sent_that_waits_for_its_word() {
    // Its greeting never comes, and so no grant: what there is to say departs, and the messages stay.
    let graph = Graph::mesh([A, B]);
    let mut a = Coordinator::new(graph.at(A).unwrap(), Settings::default(), 1);
    a.start(Duration::ZERO);
    let b = a.topology().peer(B).unwrap();
    a.send(b, Transfer { amount: 1, number: 1 }).unwrap();
    a.end_turn().unwrap();
    a.leave();
    let mut frames = Frames::new();
    assert!(a.take_outgoing(b, &mut frames));
    assert_eq!(
        frames.iter().map(|frame| frame.kind().unwrap()).collect::<Vec<_>>(),
        [FrameKind::Hello, FrameKind::Flow]
    );
    a.handle_sent(Duration::ZERO, b);
    assert!(!a.has_outgoing(b));
}
