//! What waits, and how much of it: outbox, inbox, recordings.

use std::time::Duration;

use crate::group::{Coordinator, Group, Transfer};
use snapshot_core::{
    Body, Bound, Capture, Created, Failure, Frame, FrameKind, Frames, Generation, Graph, NodeId, Output,
    SendError, Settings, SnapshotPhase, Stamp, StoreAnswer, StoreRequest,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// What a message weighs, in bytes.
const WEIGHT: usize = size_of::<Transfer>();

/// A, which has just started: its greeting is in the outbox.
fn lone(settings: Settings) -> Coordinator {
    let mut coordinator = Coordinator::new(Graph::mesh([A, B]).at(A).unwrap(), settings, 1);
    coordinator.start(Duration::ZERO);
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
    // B greets, and sends a message.
    let mut other = Group::new(Graph::mesh([A, B]), Settings::default(), 1);
    other.boot(B);
    other.pay_to(B, A);
    let from = coordinator.topology().peer(B).unwrap();
    for frame in other.channels.remove(&(B, A)).unwrap() {
        coordinator.handle_frame(Duration::ZERO, from, frame, &mut || unreachable!());
    }
    let to = coordinator.topology().peer(B).unwrap();
    let transfer = Transfer { amount: 1, number: 1 };
    for (sent, room) in [(2, true), (3, false), (4, false), (5, false)] {
        coordinator.send(to, transfer.clone()).unwrap_or_else(|e| panic!("{sent}: {e}")); // `Hello` is the first frame
        assert_eq!(coordinator.has_room(), room && sent < 3, "{sent} frames in the outbox");
    }
    assert_eq!(coordinator.take_message(), None, "over the high mark");
    coordinator.end_turn().unwrap();
    coordinator.send(to, transfer.clone()).unwrap();
    coordinator.send(to, transfer.clone()).unwrap();
    assert_eq!(coordinator.send(to, transfer), Err(SendError::OutboxFull));
    assert_eq!(coordinator.end_turn(), Err(Failure::OutboxOverflow));
    let mut frames = Frames::new();
    coordinator.take_outgoing(to, &mut frames);
    assert_eq!(frames.len(), 5, "nothing of the turn that went over the bound is sent");
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
    assert!(!coordinator.has_room(), "what is under way counts");
    coordinator.handle_sent(Duration::ZERO, to);
    assert!(!coordinator.has_outgoing(to));
    assert!(coordinator.has_room(), "nothing is left");
}

#[test]
fn what_a_rollback_empties_counts_no_longer_and_what_is_under_way_still_does() {
    for outbox_low in [Bound::new(3, usize::MAX), Bound::new(usize::MAX, 2 * WEIGHT)] {
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
        assert!(a.is_running() && a.has_room(), "one frame is under way, and the greeting waits");
        a.handle_sent(Duration::ZERO, to);
        send(a);
        assert!(a.has_room(), "the greeting and a message");
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
    assert_eq!(kinds, [FrameKind::Hello]);
}

#[test]
fn the_answer_to_a_frame_of_an_older_generation_counts_until_it_has_left() {
    let empty = Bound::new(usize::MAX, 1);
    let settings = Settings { durable: true, outbox_low: empty, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.crash(A);
    group.boot(A);
    while group.serve(A) {}
    let greeting = group.channels.get_mut(&(B, A)).unwrap().pop_front().expect("the connection is new");
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    assert!(a.has_room() && greeting.stamp.generation() < a.generation());
    let b = a.topology().peer(B).unwrap();
    a.handle_frame(Duration::ZERO, b, greeting, &mut || unreachable!());
    assert!(!a.has_room());
    assert!(a.take_outgoing(b, &mut Frames::new()));
    assert!(!a.has_room(), "it is under way");
    a.handle_sent(Duration::ZERO, b);
    assert!(a.has_room());
}

#[test]
fn it_is_no_stall_while_frames_can_be_received() {
    let low = Bound::new(2, usize::MAX);
    let settings = Settings { outbox_low: low, outbox_high: low, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    let to = a.topology().peer(B).unwrap();
    for number in 1..=3 {
        a.send(to, Transfer { amount: 1, number }).unwrap();
    }
    assert!(a.wants_frames());
    assert_eq!(a.poll_timeout(), None);
}

#[test]
fn a_stall_counts_from_the_last_frame_that_came_or_went() {
    let settings = Settings {
        outbox_low: Bound::new(2, usize::MAX),
        outbox_high: Bound::new(2, usize::MAX),
        inbox: Bound::new(1, usize::MAX),
        stall: Duration::from_secs(10),
        ..Settings::default()
    };
    let mut coordinator = lone(settings);
    let b = coordinator.topology().peer(B).unwrap();
    let transfer = Transfer { amount: 1, number: 1 };
    coordinator.send(b, transfer.clone()).unwrap();
    assert!(coordinator.take_outgoing(b, &mut Frames::new()), "the greeting and a message");
    let frame = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message(transfer.clone()) };
    coordinator.handle_frame(Duration::from_secs(3), b, frame, &mut || unreachable!());
    assert_eq!(coordinator.poll_timeout(), Some(Duration::from_secs(13)), "a frame came");
    (0..2).for_each(|_| coordinator.send(b, transfer.clone()).unwrap());
    coordinator.handle_sent(Duration::from_secs(5), b);
    assert_eq!(coordinator.poll_timeout(), Some(Duration::from_secs(15)), "frames went");
    coordinator.handle_timeout(Duration::from_secs(14), &mut || unreachable!());
    assert_eq!(coordinator.poll_output(), None, "it is too early for a report");
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
fn frames_are_wanted_while_what_waits_to_be_taken_is_under_its_bound() {
    for inbox in [Bound::new(usize::MAX, WEIGHT), Bound::new(1, usize::MAX)] {
        let mut group = Group::at_rest(Graph::mesh([A, B]), Settings { inbox, ..Settings::default() });
        for _ in 0..2 {
            group.pay_to(B, A);
            assert!(group.deliver((B, A)));
        }
        let wants = |group: &Group| group.processes[&A].coordinator.wants_frames();
        assert!(!wants(&group), "two messages");
        assert!(group.take(A) && !wants(&group), "one message");
        assert!(group.take(A) && wants(&group));
    }
}

#[test]
fn what_waits_to_be_taken_goes_with_its_generation() {
    let settings = Settings { durable: true, inbox: Bound::new(usize::MAX, WEIGHT), ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.pay_to(B, A);
    assert!(group.deliver((B, A)));
    let seen = |group: &Group| {
        let a = &group.processes[&A].coordinator;
        (a.has_message(), a.wants_frames())
    };
    assert_eq!(seen(&group), (true, false));
    lose_a_frame(&mut group);
    while group.serve(A) {}
    assert_eq!(seen(&group), (false, true));
    group.settle();
    assert_eq!(group.balance(), group.total);
}

#[test]
fn while_a_snapshot_records_as_much_more_is_read_as_may_be_recorded() {
    let inbox = Bound::new(1, WEIGHT);
    let settings = Settings { inbox, max_recorded_bytes: 2 * WEIGHT, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), settings);
    group.initiate(A).unwrap();
    assert!(group.deliver((A, B)) && group.deliver((B, A)));
    // The channel from B is closed, that from C is not: A records, and nothing of what follows.
    for wants in [true, true, false] {
        group.pay_to(B, A);
        while group.deliver((B, A)) {}
        assert_eq!(group.processes[&A].coordinator.wants_frames(), wants);
    }
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
