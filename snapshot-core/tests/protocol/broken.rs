//! W11: who breaks the window, or reads nothing any more, counts as lost at the other end. No generation is opened for it: it
//! would do the same in the next one.

use std::time::Duration;

use crate::group::{Coordinator, Group, Transfer, ask, grant, stamp, windows};
use snapshot_core::{
    AbortReason, Body, Bound, Frame, FrameKind, Generation, Graph, InitiateError, NodeId, Settings,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// How many messages of each neighbour may be outstanding, and what they may weigh.
const WINDOW: usize = 4;
const BYTES: usize = 40;

fn mesh(durable: bool) -> Group {
    let settings = Settings { durable, ..windows(2 * WINDOW, 2 * BYTES) };
    let mut group = Group::new(Graph::mesh([A, B, C]), settings, 1);
    group.weigh = |_, transfer| transfer.amount as usize;
    group.tolerant = true;
    group.boot_all();
    group.settle();
    group
}

fn message(amount: u64) -> Body<Transfer> {
    Body::Message(Transfer { amount, number: 1 })
}

fn told(group: &Group, at: NodeId, what: &str) -> usize {
    group.processes[&at].events.iter().filter(|event| event.contains(what)).count()
}

fn untaken(group: &Group, at: NodeId) -> usize {
    let mut copy = group.processes[&at].coordinator.clone();
    std::iter::from_fn(|| copy.take_message()).count()
}

/// B sends messages that weigh this to A, though it may not send the last one.
fn breaks_the_window(group: &mut Group, amounts: &[u64]) {
    for (sent, amount) in amounts.iter().enumerate() {
        assert_eq!(told(group, A, "Window"), 0, "{sent} were allowed");
        assert_eq!(untaken(group, A), sent);
        group.forge((B, A), message(*amount));
    }
    assert_eq!(told(group, A, "what: Window"), 1);
    assert_eq!(untaken(group, A), amounts.len() - 1, "the last one was dropped");
}

/// What A holds of B from then on.
fn counts_as_lost(group: &mut Group) {
    let records = group.store.small.clone();
    assert_eq!(told(group, A, "PeerLost { peer"), 1);
    let waiting = untaken(group, A);
    for body in [message(1), ask(), grant(A, B, 0, 100)] {
        group.forge((B, A), body);
    }
    assert_eq!((untaken(group, A), told(group, A, "Violation")), (waiting, 1), "it is not heard any more");
    let refused = group.input(A, |a, now, capture| a.initiate(now, capture));
    assert_eq!(refused, Some(Err(InitiateError::Refused(AbortReason::PeerLost { peer: B }))));
    // No generation is opened, and with C all goes on.
    group.pass_time(Duration::from_secs(31));
    while group.serve(A) {}
    assert!(group.processes[&A].coordinator.is_running());
    assert_eq!(group.processes[&A].coordinator.generation(), Generation(1));
    assert_eq!(group.store.small, records);
    group.pay_to(C, A);
    while group.deliver((C, A)) {}
    assert_eq!(untaken(group, A), waiting + 1);
}

#[test]
fn one_message_more_than_was_granted_is_one_too_many() {
    for durable in [false, true] {
        let mut group = mesh(durable);
        breaks_the_window(&mut group, &[1; WINDOW + 1]);
        counts_as_lost(&mut group);
    }
}

#[test]
fn more_than_twice_the_weight_is_too_much_and_up_to_that_it_may_be_seen_differently() {
    for durable in [false, true] {
        let mut group = mesh(durable);
        breaks_the_window(&mut group, &[40, 40, 1]);
        counts_as_lost(&mut group);
    }
    // One that is larger than the window comes alone.
    let mut group = mesh(true);
    breaks_the_window(&mut group, &[1000, 1]);
}

#[test]
fn what_is_taken_makes_room_only_when_it_was_granted() {
    let mut group = mesh(true);
    (0..WINDOW).for_each(|_| group.forge((B, A), message(1)));
    // One is taken, and B has no grant for it.
    assert!(group.processes.get_mut(&A).unwrap().coordinator.take_message().is_some());
    group.forge((B, A), message(1));
    assert_eq!(told(&group, A, "what: Window"), 1);
}

#[test]
fn a_snapshot_under_way_is_given_up_for_who_breaks_the_window() {
    let mut group = mesh(true);
    let id = group.initiate(A).unwrap();
    for _ in 0..=WINDOW {
        group.forge((B, A), message(1));
    }
    assert_eq!(group.processes[&A].aborted, [id]);
    let lost = format!("by: {A:?}, reason: PeerLost {{ peer: {B:?} }}");
    assert_eq!(told(&group, A, &lost), 1, "{:?}", group.processes[&A].events);
    while group.deliver((A, C)) {}
    assert_eq!(group.processes[&C].aborted, [id], "C hears of it");
}

#[test]
fn who_is_lost_already_is_not_told_of_a_second_time() {
    let mut group = mesh(true);
    group.lost(A, B);
    // These were on their way.
    for _ in 0..=WINDOW {
        group.forge((B, A), message(1));
    }
    assert_eq!((told(&group, A, "what: Window"), told(&group, A, "PeerLost { peer")), (1, 1));
}

#[test]
fn with_one_that_has_left_no_snapshot_is_begun_either() {
    let mut group = mesh(true);
    let refused = group.input(A, |a, now, capture| {
        let b = a.topology().peer(B).unwrap();
        a.handle_left(now, b, capture);
        assert_eq!(a.unreachable().collect::<Vec<_>>(), [b]);
        a.initiate(now, capture)
    });
    assert_eq!(refused, Some(Err(InitiateError::Refused(AbortReason::PeerLost { peer: B }))));
}

#[test]
fn in_the_next_generation_it_may_begin_anew() {
    let mut group = mesh(true);
    // These are taken before the group goes back, and have then never been.
    for number in 1..=WINDOW as u64 + 1 {
        group.forge((B, A), Body::Message(Transfer { amount: 1, number }));
    }
    assert_eq!(told(&group, A, "what: Window"), 1);
    // Another process runs as B, and keeps to the rules.
    group.closed.clear();
    group.crash(B);
    group.boot(B);
    group.settle();
    let id = group.initiate(A).unwrap();
    group.settle();
    assert_eq!(group.processes[&A].reports, [id]);
    assert_eq!(group.balance(), group.total);
}

// ---- grants and questions that cannot be ----------------------------------------------------------------------------------

#[test]
fn a_grant_of_more_than_was_sent_is_a_violation_and_lets_nothing_go() {
    let mut group = mesh(true);
    (0..6).for_each(|_| group.pay_to(A, B));
    while group.deliver((A, B)) {}
    group.forge((B, A), grant(A, B, 5, 100));
    assert_eq!(told(&group, A, "what: Grant"), 1);
    assert_eq!(group.channels[&(A, B)].len(), 0);
    assert_eq!(
        (told(&group, A, "PeerLost"), group.processes[&A].coordinator.generation()),
        (0, Generation(1))
    );
    // One that can be is believed all the same.
    group.forge((B, A), grant(A, B, 4, 100));
    assert_eq!(group.channels[&(A, B)].len(), 2);
}

#[test]
fn a_grant_that_cannot_be_is_laid_to_the_account_of_who_brought_it() {
    let mut group = Group::at_rest(Graph::ring([A, B, C]), Settings::default());
    group.tolerant = true;
    group.forge((C, A), grant(A, B, 1, 100));
    let violations: Vec<_> =
        group.processes[&A].events.iter().filter(|event| event.starts_with("Violation")).collect();
    let c = group.processes[&A].coordinator.topology().peer(C).unwrap();
    assert_eq!(
        violations,
        [&format!("Violation {{ peer: {c:?}, what: Grant {{ receiver: {B:?} }}, times: 1 }}")]
    );
}

#[test]
fn a_grant_for_a_channel_that_there_is_not_and_a_question_on_a_way_back_are_violations() {
    let graph = Graph::new([A, B, C]).link(A, B).link(B, C).with_way_back();
    let mut group = Group::at_rest(graph.clone(), Settings::default());
    group.tolerant = true;
    // From C to B, and from B to A, there is a way back only; between A and C there is nothing; n9 is a stranger.
    // The first of a kind is told, so that each has a group of its own.
    let accused = |body| {
        let mut group = Group::at_rest(graph.clone(), Settings::default());
        group.tolerant = true;
        group.forge((C, B), body);
        told(&group, B, "NoChannel")
    };
    for (sender, receiver) in [(C, B), (B, A), (A, C), (C, A), (A, A), (NodeId(9), B), (B, NodeId(9))] {
        assert_eq!(accused(grant(sender, receiver, 0, 1)), 1, "{sender} -> {receiver}");
    }
    assert_eq!(accused(ask()), 1);
    let before = told(&group, B, "NoChannel");
    group.forge((A, B), ask());
    assert_eq!(told(&group, B, "NoChannel"), before, "here messages come");
}

#[test]
fn a_grant_for_a_channel_of_others_is_passed_on_towards_its_sender() {
    let mut group = Group::at_rest(Graph::ring([A, B, C]), Settings::default());
    group.forge((B, C), grant(A, B, 0, 7));
    let passed_on = group.channels[&(C, A)].back().unwrap();
    assert_eq!(passed_on.kind(), Ok(FrameKind::Flow));
    assert_eq!(passed_on.body, grant(A, B, 0, 7), "as it came");
}

// ---- control that nobody reads --------------------------------------------------------------------------------------------

/// How many control frames may wait for a neighbour.
const MOST: usize = 65_536;

#[test]
fn who_reads_no_control_frames_is_given_up_at_a_bound_and_finds_a_gap_should_it_read_on() {
    for durable in [false, true] {
        let graph = Graph::ring([A, B, C]);
        let outbox_low = Bound::new(1, usize::MAX);
        let mut group = Group::at_rest(graph, Settings { durable, outbox_low, ..Settings::default() });
        (0..2).for_each(|_| group.pay_to(C, A));
        while group.deliver((C, A)) {}
        // What C has to say to A waits: a message, and grants of B, that C passes on.
        group.closed = [(C, A)].into();
        group.pay_to(C, A);
        let last = group.last_on((B, C));
        let c = &mut group.processes.get_mut(&C).unwrap().coordinator;
        let (a, b) = (c.topology().peer(A).unwrap(), c.topology().peer(B).unwrap());
        let mut number = last.count() + 1;
        let mut hears = |c: &mut Coordinator, body| {
            let frame = Frame { stamp: stamp(1, number, last), body };
            number += 1;
            c.handle_frame(Duration::ZERO, b, frame, &mut || unreachable!());
            c.poll_output()
        };
        for waiting in 0..MOST {
            assert_eq!(hears(c, grant(A, B, 0, 1)), None, "{waiting} wait");
        }
        assert!(!c.has_room());
        let lost = hears(c, grant(A, B, 0, 1));
        assert!(format!("{lost:?}").contains("PeerLost"), "{lost:?}");
        assert_eq!(c.unreachable().collect::<Vec<_>>(), [a]);
        assert!(c.has_room(), "the message is gone, too");
        assert_eq!((c.is_running(), c.generation()), (true, Generation(1)));
        // What A has taken comes by way of B, and nobody is accused for it, though C remembers nothing of what it has sent.
        assert_eq!(hears(c, grant(C, A, 2, 100)), None);
        // What waited is gone, and what A finds instead shows that something is missing.
        let last = group.number_on((C, A));
        group.closed.clear();
        assert!(group.depart((C, A)));
        let rest: Vec<_> =
            group.channels[&(C, A)].iter().map(|f| (f.stamp.count(), f.kind().unwrap())).collect();
        assert_eq!(rest, [(last + 2, FrameKind::Hello)]);
        assert!(group.deliver((C, A)));
        assert_eq!(group.processes[&A].coordinator.is_running(), !durable, "a gap");
        assert_eq!(told(&group, A, "PeerLost"), usize::from(!durable));
    }
}
