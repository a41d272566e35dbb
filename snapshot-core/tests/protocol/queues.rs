//! What waits, and how much of it: outbox, inbox, recordings.

use std::time::Duration;

use crate::group::{Coordinator, Group, Transfer, greets, stamp, windows};
use snapshot_core::{
    Body, Bound, Capture, Created, Failure, Frame, FrameKind, Frames, Graph, NodeId, Output, SendError,
    Settings, SnapshotPhase, StoreAnswer, StoreRequest,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const D: NodeId = NodeId(4);
const E: NodeId = NodeId(5);

/// What a message weighs, in bytes.
const WEIGHT: usize = size_of::<Transfer>();

/// A, which has just started: its greeting and a grant wait to depart. B has greeted it, and takes as much as anybody.
fn lone(settings: Settings) -> Coordinator {
    let graph = Graph::mesh([A, B]);
    let mut coordinator = Coordinator::new(graph.at(A).unwrap(), settings, 1);
    coordinator.start(Duration::ZERO);
    let b = coordinator.topology().peer(B).unwrap();
    for frame in greets(&graph, B, A) {
        coordinator.handle_frame(Duration::ZERO, b, frame, &mut || unreachable!());
    }
    coordinator
}

/// A frame of B is lost, which A finds out: it opens the next generation.
fn lose_a_frame(group: &mut Group) {
    group.pay_to(B, A);
    group.channels.get_mut(&(B, A)).unwrap().clear();
    group.pay_to(B, A);
    assert!(group.deliver((B, A)));
    assert!(!group.processes[&A].coordinator.is_running());
}

// ---- outbox ---------------------------------------------------------------------------------------------------------

#[test]
fn new_work_waits_at_the_low_mark_and_messages_at_the_high_mark() {
    let bound = |frames| Bound::new(frames, usize::MAX);
    let settings = Settings {
        outbox_low: bound(3),
        outbox_high: bound(5),
        outbox_hard: bound(7),
        ..Settings::default()
    };
    let mut coordinator = lone(settings);
    let b = coordinator.topology().peer(B).unwrap();
    let transfer = Transfer { amount: 1, number: 1 };
    let [hello, _] = greets(&Graph::mesh([A, B]), B, A);
    let frame = Frame { stamp: stamp(1, 3, hello.stamp), body: Body::Message(transfer.clone()) };
    coordinator.handle_frame(Duration::ZERO, b, frame, &mut || unreachable!());
    for sent in 1..=5 {
        coordinator.send(b, transfer.clone()).unwrap();
        assert_eq!(coordinator.has_room(), sent < 3, "{sent} messages in the outbox");
        assert_eq!(coordinator.has_message(), sent < 5, "{sent} messages in the outbox");
    }
    assert_eq!(coordinator.take_message(), None, "over the high mark");
    coordinator.end_turn().unwrap();
    coordinator.send(b, transfer.clone()).unwrap();
    coordinator.send(b, transfer.clone()).unwrap();
    assert_eq!(coordinator.send(b, transfer), Err(SendError::OutboxFull));
    assert_eq!(coordinator.end_turn(), Err(Failure::OutboxOverflow));
    let mut frames = Frames::new();
    coordinator.take_outgoing(b, &mut frames);
    let kinds: Vec<_> = frames.iter().map(|frame| frame.kind().unwrap()).collect();
    assert_eq!(kinds[..2], [FrameKind::Hello, FrameKind::Flow]);
    assert_eq!(kinds[2..], [FrameKind::Message; 5], "nothing of the turn that went over the bound is sent");
}

#[test]
fn room_for_a_neighbour_is_its_share_of_the_low_mark_whatever_waits_for_others() {
    // One slow neighbour does not take up the room for all; 64 messages are room for each, if all have so much together.
    for (low, senders, share) in [(400, 4, 100), (100, 4, 64), (30, 4, 30), (100, 1, 100)] {
        let graph = Graph::star([A, B, C, D, E].into_iter().take(senders + 1));
        let settings = Settings { outbox_low: Bound::new(low, usize::MAX), ..Settings::default() };
        let mut coordinator = Coordinator::new(graph.at(A).unwrap(), settings, 1);
        coordinator.start(Duration::ZERO);
        let peers: Vec<_> = coordinator.topology().outgoing().collect();
        for sent in 1..=low {
            coordinator.send(peers[0], Transfer { amount: 1, number: 1 }).unwrap();
            assert_eq!(coordinator.has_room_for(peers[0]), sent < share, "{sent} of {low} wait");
            assert!(peers[1..].iter().all(|peer| coordinator.has_room_for(*peer)));
            assert_eq!(coordinator.has_room(), sent < low);
        }
    }
}

#[test]
fn room_for_a_neighbour_goes_by_weight_too_and_there_is_none_before_the_start() {
    let graph = Graph::star([A, B, C]);
    let settings = Settings { outbox_low: Bound::new(usize::MAX, 256 << 10), ..Settings::default() };
    let heavy = 32 << 10;
    let mut coordinator = Coordinator::new(graph.at(A).unwrap(), settings, 1).with_weight(move |_| heavy);
    let b = coordinator.topology().peer(B).unwrap();
    assert!(!coordinator.has_room_for(b));
    coordinator.start(Duration::ZERO);
    for sent in 1..=4 {
        assert!(coordinator.has_room_for(b));
        coordinator.send(b, Transfer { amount: 1, number: sent }).unwrap();
    }
    assert!(!coordinator.has_room_for(b), "half of the low mark");
}

#[test]
fn those_to_whom_messages_go_share_the_low_mark_and_64_kib_are_room_for_each() {
    // Two of three neighbours; from the third one messages come.
    let graph = Graph::new([A, B, C, D]).link(A, B).link(A, C).link(D, A).with_way_back();
    let (unbound, kib) = (usize::MAX, 1 << 10);
    for (low, share) in [
        (Bound::new(400, unbound), 200),
        (Bound::new(unbound, 400 * kib), 200),
        (Bound::new(unbound, 100 * kib), 64),
        (Bound::new(unbound, 30 * kib), 30),
    ] {
        let settings = Settings { outbox_low: low, ..Settings::default() };
        let mut coordinator = Coordinator::new(graph.at(A).unwrap(), settings, 1).with_weight(move |_| kib);
        coordinator.start(Duration::ZERO);
        let [b, c] = [B, C].map(|id| coordinator.topology().peer(id).unwrap());
        for sent in 0..share {
            assert!(coordinator.has_room_for(b), "{sent} of {share} wait");
            coordinator.send(b, Transfer { amount: 1, number: 1 }).unwrap();
        }
        assert!(!coordinator.has_room_for(b) && coordinator.has_room_for(c), "{share} wait");
    }
}

#[test]
fn one_batch_a_neighbour_is_under_way_at_a_time_and_it_counts_until_it_has_left() {
    let mut coordinator =
        lone(Settings { outbox_low: Bound::new(usize::MAX, WEIGHT), ..Settings::default() });
    let to = coordinator.topology().peer(B).unwrap();
    let mut frames = Frames::new();
    assert!(coordinator.has_outgoing(to), "the greeting");
    assert!(coordinator.take_outgoing(to, &mut frames));
    assert!(!coordinator.has_outgoing(to), "nothing is queued");
    coordinator.send(to, Transfer { amount: 1, number: 1 }).unwrap();
    coordinator.end_turn().unwrap();
    assert!(!coordinator.has_outgoing(to), "a batch is under way");
    let mut more = Frames::new();
    assert!(!coordinator.take_outgoing(to, &mut more) && more.is_empty());
    coordinator.handle_sent(Duration::ZERO, to);
    assert!(!coordinator.has_room(), "the message weighs just as much");
    assert!(coordinator.has_outgoing(to));
    assert!(!coordinator.take_outgoing(to, &mut frames), "there is something in it");
    assert!(coordinator.take_outgoing(to, &mut more));
    assert!(!coordinator.has_room() && !coordinator.has_room_for(to), "what is under way counts");
    coordinator.handle_sent(Duration::ZERO, to);
    assert!(!coordinator.has_outgoing(to));
    assert!(coordinator.has_room(), "nothing is left");
}

#[test]
fn what_a_rollback_empties_counts_no_longer_and_what_is_under_way_still_does() {
    for outbox_low in [Bound::new(2, usize::MAX), Bound::new(usize::MAX, 2 * WEIGHT)] {
        let settings = Settings { durable: true, outbox_low, ..Settings::default() };
        let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
        lose_a_frame(&mut group);
        let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
        let to = a.topology().peer(B).unwrap();
        let send = |a: &mut Coordinator| {
            a.send(to, Transfer { amount: 1, number: 1 }).unwrap();
            a.end_turn().unwrap();
        };
        send(a);
        let mut flight = Frames::new();
        assert!(a.take_outgoing(to, &mut flight));
        (0..3).for_each(|_| send(a));
        while group.serve(A) {}
        let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
        assert!(a.is_running() && a.has_room(), "one message is under way, and the greeting is none");
        send(a);
        assert!(!a.has_room(), "one is under way, and one waits");
        a.handle_sent(Duration::ZERO, to);
        assert!(a.has_room());
        send(a);
        assert!(!a.has_room());
    }
}

#[test]
fn after_a_rollback_too_nothing_of_a_turn_over_the_bound_is_sent_and_all_that_came_before_it_is() {
    let settings = Settings { durable: true, outbox_hard: Bound::new(8, usize::MAX), ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    let to = a.topology().peer(B).unwrap();
    let transfer = Transfer { amount: 1, number: 1 };
    a.send(to, transfer.clone()).unwrap();
    assert!(a.take_outgoing(to, &mut Frames::new()), "what follows waits behind it");
    for _ in 0..3 {
        a.end_turn().unwrap();
        a.send(to, transfer.clone()).unwrap();
    }
    let turn = a.turn();
    lose_a_frame(&mut group);
    while group.serve(A) {}
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    assert!(a.is_running() && a.turn() < turn);
    // The turn of that number comes again, and sends too much.
    while a.turn() < turn {
        a.end_turn().unwrap();
    }
    while a.send(to, transfer.clone()).is_ok() {}
    assert_eq!(a.end_turn(), Err(Failure::OutboxOverflow));
    a.handle_sent(Duration::ZERO, to);
    let mut frames = Frames::new();
    a.take_outgoing(to, &mut frames);
    let kinds: Vec<_> = frames.iter().map(|frame| frame.kind().unwrap()).collect();
    assert_eq!(kinds, [FrameKind::Hello, FrameKind::Flow]);
}

#[test]
fn a_turn_whose_number_comes_again_after_a_rollback_is_taken_back_as_a_whole() {
    let settings = Settings { durable: true, outbox_hard: Bound::new(8, usize::MAX), ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.closed.insert((A, B));
    (0..2).for_each(|_| group.pay_to(A, B));
    let turn = group.processes[&A].coordinator.turn();
    group.pay_to(A, B);
    lose_a_frame(&mut group);
    group.closed.clear();
    group.settle();
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    assert!(a.is_running() && a.turn() < turn);
    while a.turn() < turn {
        a.end_turn().unwrap();
    }
    // All of these might depart.
    let to = a.topology().peer(B).unwrap();
    while a.send(to, Transfer { amount: 1, number: 1 }).is_ok() {}
    assert!(a.has_outgoing(to));
    assert_eq!(a.end_turn(), Err(Failure::OutboxOverflow));
    assert!(!a.has_outgoing(to), "nothing is left of it");
}

#[test]
fn control_takes_up_no_room_and_the_answer_to_a_frame_of_an_older_generation_goes_first() {
    // W1: what a node says to keep the group going does not stand against what the application may send.
    let full = Bound::new(1, 1);
    let settings = Settings {
        durable: true,
        outbox_low: full,
        outbox_high: full,
        outbox_hard: full,
        ..Settings::default()
    };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.crash(A);
    group.lazy = 100;
    group.boot(A);
    while group.serve(A) {}
    group.initiate(A).unwrap();
    let greeting = loop {
        assert!(group.depart((B, A)), "the connection is new");
        if let Some(greeting) = group.channels.get_mut(&(B, A)).unwrap().pop_front() {
            break greeting;
        }
    };
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    assert!(greeting.stamp.generation() < a.generation());
    let b = a.topology().peer(B).unwrap();
    a.handle_frame(Duration::ZERO, b, greeting, &mut || unreachable!());
    assert!(a.has_room());
    a.send(b, Transfer { amount: 1, number: 1 }).unwrap();
    assert!(!a.has_room());
    let mut frames = Frames::new();
    assert!(a.take_outgoing(b, &mut frames));
    let said: Vec<_> = frames.iter().map(|frame| (frame.stamp.count(), frame.kind().unwrap())).collect();
    assert_eq!(said[..3], [(0, FrameKind::Hello), (1, FrameKind::Hello), (2, FrameKind::Flow)]);
    assert!(matches!(said[3..], [(3, FrameKind::Marker(_))]), "{said:?}");
}

#[test]
fn who_is_over_the_high_mark_and_hands_nothing_out_receives_all_the_same() {
    // W1, "neither untaken messages, nor a full outbox" stop receiving: grants and markers are wanted just then.
    let low = Bound::new(2, usize::MAX);
    let settings = Settings { outbox_low: low, outbox_high: low, outbox_hard: low, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    let to = a.topology().peer(B).unwrap();
    for number in 1..=2 {
        a.send(to, Transfer { amount: 1, number }).unwrap();
    }
    assert!(a.wants_frames() && !a.has_room());
    assert_eq!(a.send(to, Transfer { amount: 1, number: 3 }), Err(SendError::OutboxFull));
    assert!(a.wants_frames());
}

/// The state of a start is installed when the node has ended meanwhile.
#[test]
fn a_node_that_has_come_to_its_end_does_not_run_again_when_its_state_is_installed() {
    let hard = Bound::new(3, usize::MAX);
    let (outbox_low, outbox_high) = (Bound::new(1, usize::MAX), Bound::new(2, usize::MAX));
    let settings =
        Settings { durable: true, outbox_low, outbox_high, outbox_hard: hard, ..Settings::default() };
    let mut group = Group::new(Graph::mesh([A, B]), settings, 1);
    group.boot(A);
    let is_initial =
        |group: &Group| matches!(group.processes[&A].asked[..], [(_, StoreRequest::WriteInitial(_))]);
    while !is_initial(&group) {
        assert!(group.serve(A), "it asks until it begins");
    }
    let process = group.processes.get_mut(&A).unwrap();
    let (ticket, _) = process.asked.remove(0);
    let (a, branch) = (&mut process.coordinator, process.branch.clone());
    let mut capture = || Capture::new(branch.clone());
    a.handle_store(Duration::ZERO, ticket, StoreAnswer::Created(Created::New), &mut capture);
    let to = a.topology().peer(B).unwrap();
    while a.send(to, Transfer { amount: 1, number: 1 }).is_ok() {}
    assert_eq!(a.end_turn(), Err(Failure::OutboxOverflow));
    let restore = std::iter::from_fn(|| a.poll_output()).find(|o| matches!(o, Output::Restore { .. }));
    assert!(restore.is_some(), "it was asked for before");
    a.handle_restored(Duration::ZERO, &mut capture);
    assert!(!a.is_running());
    assert_eq!((a.poll_output(), a.poll_timeout()), (None, None));
}

// ---- inbox ----------------------------------------------------------------------------------------------------------

#[test]
fn what_waits_to_be_taken_is_bounded_by_what_its_senders_may_send_and_not_by_reading_no_more() {
    // W1. Each of the two has a window of its own.
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), windows(4, usize::MAX));
    for sent in 1..=5 {
        for from in [B, C] {
            group.pay_to(from, A);
            while group.deliver((from, A)) {}
        }
        let a = &group.processes[&A].coordinator;
        assert!(a.wants_frames());
        let waiting = [B, C].map(|from| undeparted(&group, from, A));
        assert_eq!(waiting, [sent.max(2) - 2; 2]);
    }
    // One more of each departs for each that is taken; half a window is one.
    assert!(group.take(A) && group.take(A));
    for from in [B, C] {
        while group.deliver((A, from)) || group.deliver((from, A)) {}
    }
    assert_eq!([B, C].map(|from| undeparted(&group, from, A)), [2; 2]);
}

/// How many messages of a node wait for this neighbour.
fn undeparted(group: &Group, from: NodeId, to: NodeId) -> usize {
    let process = &group.processes[&from];
    let mut frames = group.channels[&(from, to)].iter();
    assert!(!frames.any(|frame| frame.kind() == Ok(FrameKind::Message)), "all that departed has arrived");
    let sent = process.branch.sent.get(&to).copied().unwrap_or_default();
    let mut copy = group.processes[&to].coordinator.clone();
    let arrived = std::iter::from_fn(|| copy.take_message()).filter(|(peer, _)| peer.id() == from).count();
    let taken = group.processes[&to].branch.received.get(&from).copied().unwrap_or_default();
    (sent - taken) as usize - arrived
}

#[test]
fn what_waits_to_be_taken_goes_with_its_generation() {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.pay_to(B, A);
    assert!(group.deliver((B, A)));
    let has_message = |group: &Group| group.processes[&A].coordinator.has_message();
    assert!(has_message(&group));
    lose_a_frame(&mut group);
    assert!(!group.processes[&A].coordinator.wants_frames(), "F3: it reads nothing until it has gone back");
    while group.serve(A) {}
    assert!(!has_message(&group) && group.processes[&A].coordinator.wants_frames());
    group.settle();
    assert_eq!(group.balance(), group.total);
}

#[test]
fn while_a_snapshot_records_no_more_can_come_than_at_other_times() {
    // W6: "A receiver's record is at most one window", for as long as nothing is taken.
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), windows(4, usize::MAX));
    let id = group.initiate(A).unwrap();
    assert!(group.deliver((A, B)) && group.deliver((B, A)));
    for _ in 0..5 {
        // The channel from B is closed, that from C is not.
        group.pay_to(B, A);
        group.pay_to(C, A);
        while group.deliver((B, A)) || group.deliver((C, A)) {}
    }
    let status = group.processes[&A].coordinator.running().remove(0);
    assert_eq!((status.snapshot, status.recorded_messages), (id, 2));
    assert_eq!(group.processes[&A].aborted, []);
}

// ---- recordings -----------------------------------------------------------------------------------------------------

#[test]
fn recorded_messages_are_bounded_in_bytes() {
    let settings = Settings { max_recorded_bytes: 3 * size_of::<Transfer>(), ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), settings);
    let id = group.initiate(B).unwrap();
    for _ in 0..4 {
        group.pay_to(C, B);
        group.deliver((C, B));
    }
    assert!(group.processes[&B].aborted.contains(&id));
    assert!(group.processes[&B].events.iter().any(|e| e.contains("RecordingFull")));
    group.settle();
    assert_eq!(group.balance(), group.total, "the application runs on");
}

#[test]
fn recordings_may_weigh_just_their_bound_and_as_many_are_given_up_as_weigh_more() {
    for (bound, given_up) in [(2 * WEIGHT, 0), (2 * WEIGHT - 1, 1), (WEIGHT - 1, 2)] {
        let settings = Settings { max_recorded_bytes: bound, ..Settings::default() };
        let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
        // Two recordings at A take the same message each.
        group.pay_to(B, A);
        group.initiate(A).unwrap();
        group.initiate(A).unwrap();
        assert!(group.deliver((B, A)));
        assert_eq!(group.processes[&A].aborted.len(), given_up, "at most {bound} bytes");
    }
}

#[test]
fn what_is_recorded_counts_until_its_part_is_written() {
    for (bound, given_up) in [(2 * WEIGHT, 0), (2 * WEIGHT - 1, 1)] {
        let settings = Settings { durable: true, max_recorded_bytes: bound, ..Settings::default() };
        let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
        for _ in 0..2 {
            // A records a message, and then begins to write.
            group.pay_to(B, A);
            group.initiate(A).unwrap();
            while group.deliver((A, B)) {}
            while group.deliver((B, A)) {}
            assert!(group.take(A));
        }
        assert_eq!(group.processes[&A].aborted.len(), given_up, "at most {bound} bytes");
    }
}

#[test]
fn what_nobody_has_taken_counts_from_the_capture_on() {
    for (bound, given_up) in [(2 * WEIGHT, 0), (2 * WEIGHT - 1, 1)] {
        let settings = Settings { max_recorded_bytes: bound, ..Settings::default() };
        let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
        for _ in 0..2 {
            group.pay_to(B, A);
            assert!(group.deliver((B, A)));
        }
        group.initiate(A).unwrap();
        assert_eq!(group.processes[&A].aborted.len(), given_up, "at most {bound} bytes");
    }
}

#[test]
fn a_snapshot_that_was_refused_for_their_number_is_not_begun_by_a_later_marker_of_it() {
    let settings = Settings { max_running: 1, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), settings);
    let first = group.initiate(A).unwrap();
    assert!(group.deliver((A, B)));
    // C has not seen the first one, and begins a second.
    let second = group.initiate(C).unwrap();
    assert!(group.deliver((C, B)));
    assert_eq!(group.processes[&B].aborted, [second]);
    assert_eq!(group.input(B, |b, _, _| b.abort(first)), Some(true));
    assert!(group.processes[&B].coordinator.running().is_empty(), "there is room again");
    // A does not know that B has refused, and sends its marker on.
    assert_eq!(group.input(A, |a, _, _| a.abort(first)), Some(true));
    while group.deliver((C, A)) {}
    while group.deliver((A, B)) {}
    assert!(group.processes[&B].coordinator.running().is_empty());
    assert_eq!(group.processes[&B].aborted, [second, first], "each is told once");
}

#[test]
fn a_part_that_could_not_be_written_leaves_room_for_the_next() {
    let settings = Settings { durable: true, max_running: 1, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let failed = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    let (ticket, request) = group.processes.get_mut(&B).unwrap().asked.remove(0);
    assert!(matches!(request, StoreRequest::WritePart(_)), "{request:?}");
    let answer = StoreAnswer::Failed("the disk is full".to_owned());
    group.input(B, |b, now, capture| b.handle_store(now, ticket, answer, capture));
    group.settle();
    assert_eq!(group.processes[&B].aborted, [failed]);
    let next = group.initiate(B).unwrap();
    group.settle();
    assert_eq!(group.processes[&B].reports, [next]);
}

#[test]
fn what_is_recorded_and_what_is_written_count_together() {
    let settings = Settings { durable: true, max_running: 2, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), settings);
    let first = group.initiate(A).unwrap();
    assert!(group.deliver((A, B)) && group.deliver((A, C)) && group.deliver((C, B)));
    let second = group.initiate(A).unwrap();
    assert!(group.deliver((A, B)));
    let phases = |group: &Group| -> Vec<_> {
        let running = group.processes[&B].coordinator.running();
        running.iter().map(|status| (status.snapshot, status.phase)).collect()
    };
    let both = [(first, SnapshotPhase::Writing), (second, SnapshotPhase::Recording)];
    assert_eq!(phases(&group), both);
    let third = group.initiate(C).unwrap();
    assert!(group.deliver((C, B)));
    assert_eq!(phases(&group), both);
    assert_eq!(group.processes[&B].aborted, [third]);
}

#[test]
fn what_is_recorded_for_others_counts_to_the_bound_in_number() {
    let settings = Settings { max_running: 1, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), settings);
    let (first, second) = (group.initiate(A).unwrap(), group.initiate(C).unwrap());
    assert!(group.deliver((A, B)) && group.deliver((C, B)));
    let running = group.processes[&B].coordinator.running();
    assert_eq!(running.iter().map(|status| status.snapshot).collect::<Vec<_>>(), [first]);
    assert_eq!(group.processes[&B].aborted, [second]);
}

#[test]
fn what_is_recorded_shows_while_it_is_recorded_and_while_it_is_written() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), Settings { durable: true, ..Settings::default() });
    group.pay_to(B, A);
    group.initiate(A).unwrap();
    for phase in [SnapshotPhase::Recording, SnapshotPhase::Writing] {
        assert!(group.deliver((B, A)) || group.deliver((A, B)) && group.deliver((B, A)));
        let status = group.processes[&A].coordinator.running().remove(0);
        assert_eq!(
            (status.phase, status.recorded_messages, status.recorded_bytes),
            (phase, 1, WEIGHT as u64)
        );
    }
}
