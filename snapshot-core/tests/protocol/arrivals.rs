//! What a frame, a connection and the end of a generation change at a node, and what they must leave alone.

use std::time::Duration;

use crate::group::{Branch, Coordinator, Group, Transfer, greeting, greets, stamp};
use bytes::Bytes;
use snapshot_core::{
    Body, Bound, Capture, Event, Frame, FrameKind, Frames, Generation, Graph, NodeId, Output, Settings,
    SnapshotId, SnapshotPhase, Stamp, StoreRequest, Violation,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const D: NodeId = NodeId(4);

fn durable() -> Settings {
    Settings { durable: true, ..Settings::default() }
}

fn lone(settings: Settings) -> Coordinator {
    Coordinator::new(Graph::mesh([A, B]).at(A).unwrap(), settings, 1)
}

// ---- the start ------------------------------------------------------------------------------------------------------

#[test]
fn a_second_start_changes_nothing_and_brings_no_node_back_that_has_ended() {
    for durable in [false, true] {
        let outbox_hard = Bound::new(8, usize::MAX);
        let mut node = lone(Settings { durable, outbox_hard, ..Settings::default() });
        node.start(Duration::ZERO);
        let begun = node.clone();
        node.start(Duration::from_secs(1));
        assert_eq!(node, begun);

        let to = node.topology().peer(B).unwrap();
        while node.send(to, Transfer { amount: 1, number: 1 }).is_ok() {}
        node.end_turn().unwrap_err();
        let ended = node.clone();
        node.start(Duration::from_secs(2));
        assert_eq!(node, ended);
    }
}

// ---- what a frame may say -------------------------------------------------------------------------------------------

/// B says this to A. What A is told of it.
fn tell(node: &mut Coordinator, stamp: Stamp, body: Body<Transfer>) -> Vec<Event<Transfer, Branch>> {
    let from = node.topology().peer(B).unwrap();
    node.handle_frame(Duration::ZERO, from, Frame { stamp, body }, &mut || Capture::new(Branch::default()));
    let outputs = std::iter::from_fn(|| node.poll_output());
    outputs.filter_map(|output| if let Output::Event(event) = output { Some(event) } else { None }).collect()
}

#[test]
fn without_a_store_there_is_no_next_generation_and_a_frame_of_one_is_a_violation() {
    let mut node = lone(Settings::default());
    node.start(Duration::ZERO);
    let from = node.topology().peer(B).unwrap();
    let message = |number| Body::Message(Transfer { amount: 1, number });
    let [hello, _] = greets(&Graph::mesh([A, B]), B, A);
    assert_eq!(tell(&mut node, hello.stamp, hello.body), []);
    let what = Violation::UnknownGeneration { generation: Generation(2) };
    let once = vec![Event::Violation { peer: from, what, times: 1 }];
    for (body, expected) in [(message(1), once), (greeting(7), vec![])] {
        let told = tell(&mut node, stamp(2, 1, hello.stamp), body);
        assert_eq!(told, expected);
        assert_eq!((node.is_running(), node.has_message()), (true, false));
    }
    assert_eq!(tell(&mut node, stamp(1, 2, hello.stamp), message(2)), []);
    assert_eq!(node.take_message().map(|(_, transfer)| transfer.number), Some(2), "it was not counted");
}

/// Version 2 of all that can be said of a snapshot which B has begun; its sequence in LEB128.
fn said_of(generation: u8, sequence: &[u8]) -> [Bytes; 4] {
    let id = [&[generation], sequence, &[2]].concat();
    let frame = |kind, rest: &[u8]| Bytes::from([&[2, kind], &id[..], rest].concat());
    let (marker, receipt) = (frame(1, &[]), frame(2, &[2, 1, 0, 0, 0, 0, 0]));
    [marker, receipt, frame(3, &[1]), frame(4, &[2, 5])]
}

#[test]
fn a_snapshot_that_cannot_be_is_a_violation_whatever_is_said_of_it() {
    let id = |generation, sequence| SnapshotId { generation: Generation(generation), sequence, initiator: B };
    let other = |sequence| Violation::OtherGeneration { snapshot: id(2, sequence) };
    let range = |sequence| Violation::OutOfRange { snapshot: id(1, sequence) };
    // Sequences are below 2^62, so that counting on from one never overflows.
    let (largest, over) = ([&[0xff; 8][..], &[0x3f]].concat(), [&[0x80; 8][..], &[0x40]].concat());
    let cases = [
        (1, &[1][..], None),
        (1, &largest, None),
        (2, &[1], Some(other(1))),
        (1, &[0], Some(range(0))),
        (1, &over, Some(range(1 << 62))),
    ];
    for (generation, sequence, wrong) in cases {
        for said in said_of(generation, sequence) {
            let mut node = lone(Settings::default());
            node.start(Duration::ZERO);
            let from = node.topology().peer(B).unwrap();
            let [hello, _] = greets(&Graph::mesh([A, B]), B, A);
            assert_eq!(tell(&mut node, hello.stamp, hello.body), []);
            let told = tell(&mut node, stamp(1, 2, hello.stamp), Body::Control(said.clone()));
            match &wrong {
                Some(what) => {
                    assert_eq!(
                        told,
                        [Event::Violation { peer: from, what: what.clone(), times: 1 }],
                        "{said:?}"
                    );
                    let mut frames = Frames::new();
                    node.take_outgoing(from, &mut frames);
                    assert_eq!(
                        frames.len(),
                        2,
                        "{said:?}: there is nothing to say but the greeting, and a grant"
                    );
                }
                None => assert!(
                    !told.iter().any(|event| matches!(event, Event::Violation { .. })),
                    "{said:?}: {told:?}"
                ),
            }
        }
    }
}

// ---- what is passed on ----------------------------------------------------------------------------------------------

/// Graphs in which B does not reach everybody itself.
fn sparse() -> [Graph; 2] {
    [Graph::ring([A, B, C, D]), Graph::star([A, B, C, D])]
}

#[test]
fn a_commit_is_passed_on_to_those_that_the_initiator_does_not_reach() {
    for graph in sparse() {
        let mut group = Group::at_rest(graph, durable());
        group.initiate(B).unwrap();
        group.settle();
        for (id, process) in &group.processes {
            let told = process.events.iter().filter(|event| event.starts_with("Committed")).count();
            assert_eq!(told, 1, "{id} is told once");
            assert_eq!(process.coordinator.running(), []);
        }
    }
}

#[test]
fn an_abort_is_passed_on_to_those_that_whoever_has_given_up_does_not_reach() {
    for graph in sparse() {
        let mut group = Group::at_rest(graph, durable());
        let id = group.initiate(A).unwrap();
        assert!(group.deliver((A, B)), "B writes its part");
        group.input(B, |c, _, _| assert!(c.abort(id)));
        group.settle();
        for (node, process) in &group.processes {
            assert_eq!(process.aborted, [id], "{node} is told once");
            let by = format!("by: {B:?}");
            assert!(process.events.iter().any(|event| event.contains(&by)), "{node}: {:?}", process.events);
            assert_eq!(process.coordinator.running(), []);
        }
    }
}

// ---- frames of an older generation ----------------------------------------------------------------------------------

/// C goes and comes back, which opens the next generation. A takes part in it, and B does not hear of it.
fn leave_b_behind(group: &mut Group) {
    group.channels.get_mut(&(C, B)).unwrap().clear();
    group.crash(C);
    group.boot(C);
    while group.serve(C) {}
    group.channels.get_mut(&(C, B)).unwrap().clear();
    while group.deliver((C, A)) || group.serve(A) {}
}

/// The generations of what A has said to B outside the count.
fn answers(group: &Group) -> Vec<u64> {
    let outside = group.channels[&(A, B)].iter().filter(|frame| frame.stamp.count() == 0);
    outside
        .inspect(|frame| assert_eq!(frame.kind(), Ok(FrameKind::Hello)))
        .map(|frame| frame.stamp.generation().0)
        .collect()
}

fn hear_from_b(group: &mut Group) {
    group.pay_to(B, A);
    group.pay_to(B, A);
    while group.deliver((B, A)) {}
    assert_eq!(group.processes[&B].coordinator.generation(), Generation(1));
}

#[test]
fn older_frames_are_answered_once_on_each_connection() {
    // F3a. The answer may be lost with the connection.
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), durable());
    leave_b_behind(&mut group);
    for _ in 0..2 {
        hear_from_b(&mut group);
        assert_eq!(answers(&group), [2]);
        group.channels.get_mut(&(A, B)).unwrap().clear();
        group.reconnect(A, B);
    }
}

#[test]
fn older_frames_are_answered_once_in_each_generation() {
    // F3a.
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), durable());
    leave_b_behind(&mut group);
    hear_from_b(&mut group);
    assert_eq!(answers(&group), [2]);
    leave_b_behind(&mut group);
    hear_from_b(&mut group);
    assert_eq!(answers(&group), [2, 3]);
    group.settle();
    assert_eq!(group.processes[&B].coordinator.generation(), Generation(3));
    assert_eq!(group.balance(), group.total);
}

// ---- the end of a generation ----------------------------------------------------------------------------------------

#[test]
fn a_snapshot_is_under_way_no_longer_than_its_generation() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), durable());
    let id = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    assert!(group.serve(B));
    let phase = |group: &Group, id| group.processes[&id].coordinator.running()[0].phase;
    assert_eq!(
        (phase(&group, A), phase(&group, B)),
        (SnapshotPhase::Writing, SnapshotPhase::AwaitingOutcome)
    );
    // The receipt of B is lost, and A finds out.
    group.channels.get_mut(&(B, A)).unwrap().clear();
    group.pay_to(B, A);
    assert!(group.deliver((B, A)));
    // The store is slow with the part of A.
    let part = group.processes.get_mut(&A).unwrap().asked.remove(0);
    assert!(matches!(part.1, StoreRequest::WritePart(_)));
    group.settle();
    let at_rest = |group: &Group| {
        for (node, process) in &group.processes {
            assert_eq!(process.coordinator.generation(), Generation(2));
            assert_eq!(process.coordinator.running(), [], "{node}");
            assert_eq!(process.aborted, [id], "{node}");
        }
    };
    at_rest(&group);
    // Nor does its deadline count, or its end: the others would take word of it for a violation.
    group.pass_time(Duration::from_secs(31));
    group.settle();
    at_rest(&group);
    group.processes.get_mut(&A).unwrap().asked.push(part);
    group.settle();
    at_rest(&group);
    let next = group.initiate(B).unwrap();
    group.settle();
    assert_eq!(group.processes[&B].reports, [next]);
}
