//! The rules of recording, one test each, quoting where the rule comes from. CL85: Chandy & Lamport, "Distributed
//! Snapshots", 1985.

use std::time::Duration;

use crate::group::{Coordinator, Group, Transfer, greets, stamp};
use snapshot_core::{
    AbortReason, Body, Bound, Capture, Event, Failure, Frame, FrameKind, Frames, Graph, InitiateError, Key,
    LinkUse, NodeId, Output, Retention, SendError, Settings, SnapshotId, SnapshotPhase, Stamp, StoreAnswer,
    StoreRequest, Violation,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

fn group(graph: Graph) -> Group {
    Group::at_rest(graph, Settings::default())
}

fn kinds(group: &Group, from: NodeId, to: NodeId) -> Vec<FrameKind> {
    group.channels[&(from, to)].iter().map(|frame| frame.kind().unwrap()).collect()
}

fn recorded(group: &Group, at: NodeId, from: NodeId) -> usize {
    group.processes[&at].locals.last().expect("a local snapshot").channels[&from].len()
}

#[test]
fn a_marker_follows_what_was_sent_before_the_capture_and_precedes_what_is_sent_after() {
    // CL85 §3.2, marker-sending rule: "p sends one marker along c after p records its state and before p sends further
    // messages along c".
    let mut group = group(Graph::mesh([A, B]));
    group.pay_to(A, B);
    let id = group.initiate(A).unwrap();
    group.pay_to(A, B);
    assert_eq!(kinds(&group, A, B), [FrameKind::Message, FrameKind::Marker(id), FrameKind::Message]);
}

#[test]
fn the_sender_of_the_first_marker_gets_a_marker_too() {
    // CL85 §3.2: the rule is "for each channel c, incident on, and directed away from p", the way back included.
    let mut group = group(Graph::mesh([A, B]));
    let id = group.initiate(A).unwrap();
    group.deliver((A, B));
    assert!(kinds(&group, B, A).contains(&FrameKind::Marker(id)));
}

#[test]
fn the_channel_of_the_first_marker_is_empty_and_the_others_hold_what_comes_before_theirs() {
    // CL85 §3.2, marker-receiving rule, both cases.
    let mut group = group(Graph::mesh([A, B, C]));
    group.pay_to(C, B);
    group.initiate(A).unwrap();
    group.deliver((A, B)); // the marker: B captures
    group.deliver((C, B)); // in flight in the cut
    group.settle();
    assert_eq!((recorded(&group, B, A), recorded(&group, B, C)), (0, 1));
    group.check_cuts();
}

#[test]
fn a_message_that_has_arrived_but_was_not_taken_belongs_to_its_channel() {
    let mut group = group(Graph::mesh([A, B]));
    group.pay_to(A, B);
    group.deliver((A, B)); // arrived at B, not taken
    group.initiate(A).unwrap();
    group.deliver((A, B)); // the marker is acted on now, not when B has taken the message
    assert_eq!(recorded(&group, B, A), 1);
    assert_eq!(group.processes[&B].branch.balance, 100);
    group.settle();
    assert_eq!(group.check_cuts(), 1);
}

#[test]
fn snapshots_end_on_every_strongly_connected_graph_and_receipts_find_their_way() {
    // CL85 §3.3: "if the graph is strongly connected and at least one process spontaneously records its state, then all
    // processes will record their states in finite time".
    let ids: Vec<NodeId> = (1..=7).map(NodeId).collect();
    let pipeline =
        ids.windows(2).fold(Graph::new(ids.clone()), |graph, w| graph.link(w[0], w[1])).with_way_back();
    let lonely = Graph::new([A]);
    for graph in [Graph::mesh(ids.clone()), Graph::ring(ids.clone()), Graph::star(ids), pipeline, lonely] {
        let members = graph.members().to_vec();
        let mut group = group(graph);
        for id in &members {
            let snapshot = group.initiate(*id).unwrap();
            group.settle();
            assert_eq!(group.processes[id].reports, [snapshot]);
        }
        assert_eq!(group.check_cuts(), members.len());
    }
}

#[test]
fn several_initiators_and_a_second_snapshot_before_the_first_has_ended() {
    // CL85 §3.3: any process may initiate, several at once.
    let mut group = group(Graph::mesh([A, B, C]));
    for id in [A, B, A, C] {
        group.pay_to(B, C);
        group.initiate(id).unwrap();
    }
    assert_eq!(group.processes[&A].coordinator.running().len(), 2);
    group.settle();
    assert_eq!(group.check_cuts(), 4);
    assert!(group.processes.values().all(|p| p.coordinator.running().is_empty()));
}

#[test]
fn a_graph_without_a_path_is_refused_with_the_remedy() {
    let error = Graph::new([A, B, C]).link(A, B).link(B, C).at(B).unwrap_err().to_string();
    assert!(error.contains("no path from n") && error.contains("with_way_back()"), "{error}");
}

#[test]
fn a_way_back_carries_no_messages() {
    let graph = Graph::new([A, B]).link(A, B).with_way_back();
    assert_eq!(graph.at(A).unwrap().link_use(B, A), Some(LinkUse::ControlOnly));
    let mut group = group(graph);
    let refused = group.input(B, |c, _, _| {
        let to = c.topology().peer(A).unwrap();
        c.send(to, Transfer { amount: 1, number: 1 })
    });
    assert_eq!(refused, Some(Err(SendError::NoMessages { me: B, to: A })));
    group.pay_to(A, B);
    group.initiate(B).unwrap();
    group.settle();
    assert_eq!((group.check_cuts(), recorded(&group, B, A)), (1, 1));
}

#[test]
fn a_snapshot_says_what_it_waits_for() {
    let mut group = group(Graph::mesh([A, B, C]));
    group.initiate(A).unwrap();
    group.deliver((A, B));
    let status = group.processes[&B].coordinator.running().remove(0);
    assert_eq!((status.phase, status.missing_markers), (SnapshotPhase::Recording, vec![C]));
    group.deliver((B, A));
    let status = group.processes[&A].coordinator.running().remove(0);
    assert_eq!((status.missing_markers, status.missing_receipts), (vec![C], vec![A, B, C]));
}

#[test]
fn a_snapshot_that_does_not_end_in_time_is_given_up_everywhere_and_the_next_one_works() {
    let mut group = group(Graph::mesh([A, B, C]));
    let late = group.initiate(A).unwrap();
    group.deliver((A, B));
    group.pass_time(Duration::from_secs(31));
    // Its markers are still in the channels; they are late ones, and ordinary.
    group.settle();
    assert!(group.processes.values().all(|p| p.coordinator.running().is_empty()));
    assert!(group.processes[&A].aborted.contains(&late) && group.processes[&B].aborted.contains(&late));
    let next = group.initiate(B).unwrap();
    group.settle();
    assert_eq!(group.processes[&B].reports, [next]);
}

#[test]
fn each_node_is_told_that_it_has_captured_its_state_and_that_its_part_is_durable() {
    for durable in [false, true] {
        let mut group = Group::at_rest(Graph::mesh([A, B]), Settings { durable, ..Settings::default() });
        group.pay_to(B, A);
        let turn = group.processes[&A].coordinator.turn();
        let id = group.initiate(A).unwrap();
        group.pass_time(Duration::from_secs(3));
        let told = |group: &Group, node, what: &str| -> Vec<String> {
            group.processes[&node].events.iter().filter(|event| event.starts_with(what)).cloned().collect()
        };
        let begun = |turn| vec![format!("SnapshotBegun {{ snapshot: {id:?}, turn: {turn:?} }}")];
        assert_eq!(told(&group, A, "SnapshotBegun"), begun(turn));
        assert_eq!(told(&group, A, "PartDurable"), [""; 0]);
        group.exchange();
        let at_b = told(&group, B, "SnapshotBegun");
        assert_eq!(at_b.len(), 1);
        for (node, messages, after) in [(A, 1, 3), (B, 0, 0)] {
            let durable = told(&group, node, "PartDurable");
            assert_eq!(durable.len(), usize::from(group.settings.durable), "{durable:?}");
            let part = format!("messages: {messages}, capture: 0ns, durable_after: {after}");
            assert!(durable.iter().all(|event| event.contains(&part)), "{durable:?}");
            assert!(durable.iter().all(|event| event.contains(&format!("node: {node:?}"))), "{durable:?}");
        }
    }
}

#[test]
fn a_lost_peer_gives_its_snapshots_up_and_new_ones_are_refused() {
    let mut group = group(Graph::mesh([A, B, C]));
    let id = group.initiate(A).unwrap();
    group.crash(C);
    assert!(group.processes[&A].aborted.contains(&id));
    let refused = group.input(A, |c, now, capture| c.initiate(now, capture));
    assert_eq!(refused, Some(Err(InitiateError::Refused(AbortReason::PeerLost { peer: C }))));
}

#[test]
fn a_lost_peer_gives_up_what_others_have_begun() {
    let mut group = group(Graph::mesh([A, B, C]));
    let id = group.initiate(A).unwrap();
    assert!(group.deliver((A, B)), "B records, and waits for the marker of C");
    group.lost(B, C);
    assert_eq!(group.processes[&B].aborted, [id]);
    assert!(kinds(&group, B, A).contains(&FrameKind::Outcome(id)), "A hears of it");
}

#[test]
fn a_commit_tells_each_node_once_what_it_covers_and_covers_what_older_ones_would() {
    let settings = Settings { durable: true, ..Settings::default() };
    for turns_between in [0, 1] {
        let mut group = Group::at_rest(Graph::mesh([A, B]), settings.clone());
        for _ in 0..2 {
            group.initiate(A).unwrap();
            while group.deliver((A, B)) || group.deliver((B, A)) {}
            assert!(group.serve_oldest(A) && group.serve_oldest(B), "both parts");
            for _ in 0..turns_between {
                group.input(B, |c, _, _| c.end_turn().unwrap());
            }
        }
        group.settle();
        assert_eq!(group.processes[&A].reports.len(), 2);
        let told = group.processes[&B].events.iter().filter(|event| event.starts_with("Committed"));
        assert_eq!(
            told.count(),
            1 + turns_between,
            "the second covers nothing new where B did nothing in between"
        );
    }
}

#[test]
fn no_receipt_is_given_for_a_part_whose_snapshot_was_given_up_while_it_was_written() {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let id = group.initiate(A).unwrap();
    assert!(group.deliver((A, B)));
    group.input(B, |c, _, _| assert!(c.abort(id)));
    while group.serve(B) {}
    assert!(!kinds(&group, B, A).contains(&FrameKind::Receipt(id)));
    assert_eq!(group.processes[&B].coordinator.running(), []);
}

#[test]
fn whole_snapshots_are_committed_one_after_the_other_but_for_those_that_were_given_up() {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let ids = [(); 4].map(|()| group.initiate(A).unwrap());
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    for _ in ids {
        assert!(group.serve_oldest(A) && group.serve_oldest(B), "the parts of both");
    }
    while group.deliver((B, A)) {}
    assert_eq!(group.processes[&A].asked.len(), 1);
    group.input(A, |c, _, _| assert!(c.abort(ids[1])));
    group.settle();
    assert_eq!(group.processes[&A].reports, [ids[0], ids[2], ids[3]]);
}

#[test]
fn an_answer_of_another_kind_than_was_asked_for_counts_as_a_failure() {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.initiate(A).unwrap();
    assert!(group.deliver((A, B)));
    let (ticket, _) = group.processes.get_mut(&B).unwrap().asked.pop().expect("a part");
    group.input(B, |c, now, capture| c.handle_store(now, ticket, StoreAnswer::Deleted, capture));
    let events = &group.processes[&B].events;
    assert!(
        events.iter().any(|e| e.contains("StoreFailed") && e.contains("an answer of another kind")),
        "{events:?}"
    );
}

#[test]
fn a_peer_that_goes_is_told_of_once_and_without_a_store_what_comes_later_is_not_trusted() {
    let told = |group: &Group, what: &str| {
        group.processes[&A].events.iter().filter(|event| event.starts_with(what)).count()
    };
    for durable in [false, true] {
        let mut group = Group::at_rest(Graph::mesh([A, B]), Settings { durable, ..Settings::default() });
        for _ in 0..2 {
            group.lost(A, B);
            assert_eq!(told(&group, "PeerLost"), 1);
        }
        for _ in 0..2 {
            group.input(A, |c, now, capture| {
                let peer = c.topology().peer(B).unwrap();
                c.handle_left(now, peer, capture);
            });
            assert_eq!(told(&group, "PeerLeft"), 1, "it said goodbye after all");
        }
        group.pay_to(B, A);
        assert!(group.deliver((B, A)));
        assert_eq!(group.processes[&A].coordinator.has_message(), durable);
        group.up(A, B);
        assert_eq!(told(&group, "PeerBack"), usize::from(durable));
    }
}

#[test]
fn frames_that_are_missing_are_made_good_by_a_store_and_without_one_the_peer_is_lost() {
    for durable in [false, true] {
        let mut group = Group::at_rest(Graph::mesh([A, B]), Settings { durable, ..Settings::default() });
        for _ in 0..3 {
            group.pay_to(B, A);
        }
        group.channels.get_mut(&(B, A)).unwrap().pop_front();
        while group.deliver((B, A)) {}
        let a = &group.processes[&A];
        assert!(!a.coordinator.has_message(), "nothing that comes behind a gap is handed out");
        let lost = a.events.iter().filter(|event| event.starts_with("PeerLost")).count();
        assert_eq!((lost, a.coordinator.is_running()), if durable { (0, false) } else { (1, true) });
        if durable {
            group.settle();
            assert!(group.processes.values().all(|process| process.coordinator.is_running()));
            assert_eq!(group.balance(), group.total, "the three payments are made again, or never were");
        }
    }
}

#[test]
fn a_lost_peer_gives_up_what_still_waits_for_it_and_nothing_else() {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B, C]), settings);
    let id = group.initiate(A).unwrap();
    for pair in [(A, B), (A, C), (B, C), (C, B), (B, A), (C, A)] {
        assert!(group.deliver(pair));
    }
    assert!(group.serve(A) && group.serve(B) && group.serve(C));
    while group.deliver((B, A)) {}
    group.lost(A, B);
    assert_eq!(group.processes[&A].aborted, [], "its receipt is here");
    group.up(A, B);
    group.lost(A, C);
    assert_eq!(group.processes[&A].aborted, [id], "its receipt is not");
}

#[test]
fn an_abort_ends_a_snapshot_on_all_nodes() {
    let mut group = group(Graph::mesh([A, B, C]));
    let id = group.initiate(A).unwrap();
    group.deliver((A, B));
    assert_eq!(group.input(B, |c, _, _| c.abort(id)), Some(true));
    group.settle();
    assert!(group.processes.values().all(|p| p.coordinator.running().is_empty() && p.reports.is_empty()));
    assert_eq!(group.input(B, |c, _, _| c.abort(id)), Some(false), "there is nothing left to give up");
}

#[test]
fn an_interval_counts_from_the_last_snapshot_seen_from_anyone() {
    let interval = Some(Duration::from_secs(10));
    let mut group = Group::new(Graph::mesh([A, B]), Settings { interval, ..Settings::default() }, 1);
    group.boot_all();
    group.pass_time(Duration::from_secs(9));
    group.initiate(B).unwrap();
    group.settle();
    group.pass_time(Duration::from_secs(9));
    group.settle();
    assert_eq!(group.check_cuts(), 1, "9 s after the last one nothing is due");
    group.pass_time(Duration::from_secs(1));
    group.settle();
    assert_eq!(group.check_cuts(), 2);
    assert_eq!(group.processes[&A].reports.len(), 1, "the first member begins, the other only follows");
}

#[test]
fn limits_may_be_as_large_as_one_likes() {
    let endless = Duration::MAX;
    let settings =
        Settings { interval: Some(endless), deadline: endless, stall: endless, ..Settings::default() };
    let mut group = Group::new(Graph::mesh([A, B]), settings, 1);
    group.pass_time(Duration::from_secs(1));
    group.boot_all();
    group.initiate(A).unwrap();
    assert_eq!(group.processes[&A].coordinator.poll_timeout(), Some(endless));
    group.settle();
    assert_eq!(group.check_cuts(), 1);
}

#[test]
fn a_process_whose_node_was_taken_over_ends_with_an_error() {
    // S1: "a running one has been replaced and ends with an error".
    let settings = Settings { durable: true, deadline: Duration::from_secs(1), ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let paused = group.processes.remove(&A).unwrap();
    group.boot(A); // a second process of A, while the first is only paused
    group.settle();
    let generation = group.processes[&A].coordinator.generation();
    assert_eq!(generation, snapshot_core::Generation(2));
    group.processes.insert(A, paused); // it wakes, and looks at the journal
    group.pass_time(Duration::from_secs(2));
    group.settle();
    assert_eq!(group.processes[&A].failed, Some(Failure::Replaced { generation }));
}

/// A has gone on to generation 2, and B has not heard of it.
fn left_behind() -> Group {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.crash(A);
    group.boot(A);
    while group.serve(A) {}
    group.channels.get_mut(&(A, B)).unwrap().clear();
    assert_eq!(group.processes[&A].coordinator.generation().0, 2);
    group
}

#[test]
fn a_frame_of_an_older_generation_is_dropped_and_answered_once() {
    // F3a: "a dropped older frame is answered with the dropper's `Hello`, number 0".
    let mut group = left_behind();
    group.pay_to(B, A);
    group.pay_to(B, A);
    while group.deliver((B, A)) {}
    assert_eq!(kinds(&group, A, B), [FrameKind::Hello], "one answer, however many frames");
    assert_eq!(group.channels[&(A, B)][0].stamp.count(), 0);
    group.settle();
    assert_eq!(group.processes[&B].coordinator.generation().0, 2);
    assert_eq!(group.balance(), group.total);
}

#[test]
fn a_node_that_was_left_behind_in_silence_learns_it_from_the_journal() {
    // F3a: "a node reads its end whenever a snapshot aborts or none commits within an interval".
    let mut group = left_behind();
    group.pass_time(Duration::from_secs(31));
    group.settle();
    assert_eq!(group.processes[&B].coordinator.generation().0, 2);
}

#[test]
fn a_snapshot_that_was_given_up_brings_a_look_at_the_journal_though_nothing_else_happens() {
    // F3a: "a node reads its end whenever a snapshot aborts".
    let settings = Settings { durable: true, max_recorded_bytes: 1, ..Settings::default() };
    for by_request in [true, false] {
        let mut group = Group::at_rest(Graph::mesh([A, B]), settings.clone());
        let id = group.initiate(B).unwrap();
        if by_request {
            group.input(B, |c, _, _| c.abort(id));
        } else {
            group.pay_to(A, B);
            group.deliver((A, B));
        }
        assert_eq!(group.processes[&B].aborted, [id]);
        group.pass_time(Duration::ZERO);
        let looks = |(_, request): &(_, StoreRequest<_, _>)| *request == StoreRequest::Read(Key::Journal(2));
        assert!(group.processes[&B].asked.iter().any(looks), "by request: {by_request}");
    }
}

#[test]
fn a_read_that_began_before_the_news_of_a_generation_is_no_evidence_against_it() {
    // D4: only "a `read` that begins after a `create` has returned" finds the object.
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.pass_time(Duration::from_secs(31));
    let (ticket, request) = group.processes.get_mut(&B).unwrap().asked.remove(0);
    assert_eq!(request, StoreRequest::Read(Key::Journal(2)), "B looks for news");
    group.crash(A);
    group.boot(A);
    while group.serve(A) {}
    while group.deliver((A, B)) {}
    let nothing_yet = StoreAnswer::Read(None);
    group.input(B, |c, now, capture| c.handle_store(now, ticket, nothing_yet, capture));
    group.settle(); // nobody is accused
    assert_eq!(group.processes[&B].coordinator.generation().0, 2);
}

#[test]
fn a_tail_that_was_lost_shows_as_soon_as_the_connection_is_back() {
    // F4: nothing else is sent, no snapshot is taken, no time passes.
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::ring([A, B, C]), settings);
    group.pay_to(A, B);
    group.channels.get_mut(&(A, B)).unwrap().clear();
    for (id, peer) in [(A, B), (B, A)] {
        group.lost(id, peer);
    }
    for (id, peer) in [(A, B), (B, A)] {
        group.up(id, peer);
    }
    group.settle();
    assert!(group.processes.values().all(|p| p.coordinator.generation().0 == 2));
    assert_eq!(group.balance(), group.total);
}

#[test]
fn a_set_that_is_whole_is_committed_by_whoever_starts_next() {
    // Recovery, "Start": "for a set of parts of the newest generation that is whole and may be committed: write `Commit`".
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let id = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    assert!(group.serve(A) && group.serve(B), "both parts are durable");
    while group.deliver((B, A)) {}
    assert_eq!(group.processes[&A].asked.len(), 1, "the commit record is asked for, and not yet written");
    group.crash(A);
    group.boot(A);
    group.settle();
    for process in group.processes.values() {
        let back =
            process.events.iter().find(|event| event.starts_with("RolledBack")).expect("all have gone back");
        assert!(back.contains(&format!("snapshot: Some({id:?})")), "{back}");
    }
}

#[test]
fn parts_that_are_spared_outlive_retention_until_they_are_let_go_of() {
    // Recovery, "Retention": deleting late is safe, since the next sweep finds again what this one left.
    let settings = Settings { durable: true, retention: Retention::last(1), ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    let commit = |group: &mut Group, spared: &[SnapshotId]| {
        group.input(A, |c, _, _| c.spare(spared.iter().copied()));
        let id = group.initiate(A).unwrap();
        group.settle();
        let stored = group.store.parts.keys().filter_map(|key| match key {
            Key::Part { snapshot, .. } => Some(*snapshot),
            _ => None,
        });
        (id, stored.collect::<Vec<_>>())
    };
    let (first, stored) = commit(&mut group, &[]);
    assert_eq!(stored, [first; 2]);
    let (second, stored) = commit(&mut group, &[first]);
    assert_eq!(stored, [first, first, second, second]);
    let (third, stored) = commit(&mut group, &[first]);
    assert_eq!(stored, [first, first, third, third], "only what is spared");
    let (fourth, stored) = commit(&mut group, &[third]);
    assert_eq!(stored, [third, third, fourth, fourth]);
}

// ---- what a peer may not do -----------------------------------------------------------------------------------------

fn lone(settings: Settings) -> Coordinator {
    let mut coordinator = Coordinator::new(Graph::mesh([A, B]).at(A).unwrap(), settings, 1);
    coordinator.start(Duration::ZERO);
    coordinator
}

#[test]
fn a_copy_of_a_coordinator_is_equal_until_one_of_them_is_told_something() {
    let group = group(Graph::mesh([A, B]));
    let coordinator = &group.processes[&A].coordinator;
    let mut copy = coordinator.clone();
    assert_eq!(&copy, coordinator);
    assert_eq!(format!("{copy:?}"), format!("{coordinator:?}"));
    assert!(format!("{copy:?}").contains("measure: Measure"));
    let peer = copy.topology().peer(B).unwrap();
    copy.handle_lost(Duration::ZERO, peer, "gone".to_owned(), &mut || unreachable!());
    assert_ne!(&copy, coordinator);
}

#[test]
fn a_node_runs_from_its_start_to_its_end_by_the_settings_that_it_was_given() {
    let tight = Bound::new(1, usize::MAX);
    let settings = Settings { outbox_hard: tight, ..Settings::default() };
    let mut coordinator = Coordinator::new(Graph::mesh([A, B]).at(A).unwrap(), settings.clone(), 1);
    assert_eq!(coordinator.settings(), &settings);
    assert!(!coordinator.is_running());
    coordinator.start(Duration::ZERO);
    assert!(coordinator.is_running());
    let to = coordinator.topology().peer(B).unwrap();
    let mut sends = || coordinator.send(to, Transfer { amount: 1, number: 1 });
    assert_eq!([sends(), sends()], [Ok(()), Err(SendError::OutboxFull)]);
    assert_eq!(coordinator.end_turn(), Err(Failure::OutboxOverflow));
    assert!(!coordinator.is_running());
}

fn accused(coordinator: &mut Coordinator) -> Option<Violation> {
    std::iter::from_fn(|| coordinator.poll_output()).find_map(|output| match output {
        Output::Event(Event::Violation { what, .. }) => Some(what),
        _ => None,
    })
}

/// What a node of another graph has to say to A when it begins a snapshot, behind a greeting and a grant as A expects them: a
/// coordinator that lies about who is in the group.
fn lies(graph: &Graph, rounds: usize) -> Vec<Frame<Transfer>> {
    let mut liar = Coordinator::new(graph.at(B).unwrap(), Settings::default(), 2);
    liar.start(Duration::ZERO);
    for _ in 0..rounds {
        liar.initiate(Duration::ZERO, &mut || Capture::new(crate::group::Branch::default())).unwrap();
    }
    let mut frames = Frames::new();
    liar.take_outgoing(liar.topology().peer(A).unwrap(), &mut frames);
    believable(frames.drain(usize::MAX).skip(2).collect())
}

/// The same frames behind the first words of B in the group of A and B.
fn believable(frames: Vec<Frame<Transfer>>) -> Vec<Frame<Transfer>> {
    let first = greets(&Graph::mesh([A, B]), B, A);
    let known = first[0].stamp;
    let numbered = frames.into_iter().zip(3..).map(|(frame, count)| numbered(&frame, count, known));
    first.into_iter().chain(numbered).collect()
}

fn numbered(frame: &Frame<Transfer>, count: u64, known: Stamp) -> Frame<Transfer> {
    Frame { stamp: stamp(1, count, known), body: frame.body.clone() }
}

fn tell(coordinator: &mut Coordinator, frame: Frame<Transfer>) {
    let from = coordinator.topology().peer(B).unwrap();
    coordinator
        .handle_frame(Duration::ZERO, from, frame, &mut || Capture::new(crate::group::Branch::default()));
}

#[test]
fn a_marker_of_a_stranger_is_a_violation() {
    // B passes on the marker of n9, which it believes to be a member.
    let mut coordinator = lone(Settings::default());
    let stranger = NodeId(9);
    let wide = Graph::mesh([A, B, stranger]);
    let mut nine = Coordinator::new(wide.at(stranger).unwrap(), Settings::default(), 3);
    let mut two = Coordinator::new(wide.at(B).unwrap(), Settings::default(), 4);
    nine.start(Duration::ZERO);
    two.start(Duration::ZERO);
    let mut capture = || Capture::new(crate::group::Branch::default());
    nine.initiate(Duration::ZERO, &mut capture).unwrap();
    let mut frames = Frames::new();
    nine.take_outgoing(nine.topology().peer(B).unwrap(), &mut frames);
    let from = two.topology().peer(stranger).unwrap();
    frames.drain(9).for_each(|frame| two.handle_frame(Duration::ZERO, from, frame, &mut capture));
    two.take_outgoing(two.topology().peer(A).unwrap(), &mut frames);
    let passed_on = frames.drain(9).skip(2).collect();
    believable(passed_on).into_iter().for_each(|frame| tell(&mut coordinator, frame));
    assert_eq!(accused(&mut coordinator), Some(Violation::UnknownInitiator { node: stranger }));
}

#[test]
fn the_same_marker_twice_on_a_channel_is_a_violation() {
    // The third member is yet to send its marker.
    let mesh = Graph::mesh([A, B, C]);
    let mut coordinator = Coordinator::new(mesh.at(A).unwrap(), Settings::default(), 1);
    coordinator.start(Duration::ZERO);
    let [_, _, marker] = &lies(&mesh, 1)[..] else { panic!("it begins one") };
    let words = greets(&mesh, B, A);
    let [once, twice] = [3, 4].map(|count| numbered(marker, count, words[0].stamp));
    let Ok(FrameKind::Marker(snapshot)) = marker.kind() else { panic!("{marker:?}") };
    words.into_iter().chain([once, twice]).for_each(|frame| tell(&mut coordinator, frame));
    assert_eq!(accused(&mut coordinator), Some(Violation::MarkerTwice { snapshot }));
}

#[test]
#[should_panic(expected = "it sent the marker of g1/1@n2 twice")]
fn the_same_marker_after_all_others_have_come_is_a_violation() {
    let settings = Settings { durable: true, ..Settings::default() };
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.initiate(B).unwrap();
    let marker = group.channels[&(B, A)].front().cloned().unwrap();
    assert!(group.deliver((B, A)), "A has all markers, and writes its part");
    let again = numbered(&marker, marker.stamp.count() + 1, marker.stamp);
    group.channels.get_mut(&(B, A)).unwrap().push_front(again);
    group.deliver((B, A)); // the group panics at an accusation
}

#[test]
fn only_a_greeting_may_come_outside_the_count() {
    let mut coordinator = lone(Settings::default());
    let [greeting, grant, marker] = &lies(&Graph::mesh([A, B]), 1)[..] else { panic!("it begins one") };
    tell(&mut coordinator, numbered(greeting, 0, greeting.stamp));
    assert_eq!(accused(&mut coordinator), None, "the answer to a frame of an older generation");
    for said in [grant, marker] {
        // The first of a kind is told.
        let mut coordinator = lone(Settings::default());
        tell(&mut coordinator, numbered(said, 0, greeting.stamp));
        assert_eq!(accused(&mut coordinator), Some(Violation::Unnumbered));
        assert!(coordinator.running().is_empty());
    }
}

#[test]
fn garbage_in_a_control_frame_is_a_violation_and_the_channel_goes_on() {
    let mut coordinator = lone(Settings::default());
    let mut frames = lies(&Graph::mesh([A, B]), 0);
    let known = frames[0].stamp;
    frames.push(Frame {
        stamp: stamp(1, 3, known),
        body: Body::Control(bytes::Bytes::from_static(b"\xff\x00nonsense")),
    });
    frames.into_iter().for_each(|frame| tell(&mut coordinator, frame));
    assert!(matches!(accused(&mut coordinator), Some(Violation::Unreadable { .. })));
    let message = Frame { stamp: stamp(1, 4, known), body: Body::Message(Transfer { amount: 1, number: 1 }) };
    tell(&mut coordinator, message);
    assert!(coordinator.take_message().is_some());
}

// ---- bounds of the outbox -------------------------------------------------------------------------------------------
