//! F5: a generation has a name, so that what is left of another history of the store is not taken for this one's, though its
//! numbers are the same.

use std::time::Duration;

use crate::group::{Branch, Coordinator, Group, Store, Transfer, greeting, greets, stamp};
use bytes::Bytes;
use futures::executor::block_on;
use snapshot_core::{
    AbortReason, Archive, Body, Capture, Event, Frame, FrameKind, Generation, Graph, InitiateError, Key,
    NodeId, Output, RawBytes, Retention, Settings, Sink, SnapshotStore, Stamp, StoreAnswer, StoreRequest,
    Violation,
};
use snapshot_store::MemoryStore;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

fn durable() -> Settings {
    Settings {
        durable: true,
        deadline: Duration::from_millis(500),
        retention: Retention::All,
        ..Settings::default()
    }
}

fn generations(group: &Group) -> Vec<u64> {
    group.processes.values().map(|process| process.coordinator.generation().0).collect()
}

/// The store is what it was before, or empty, and all start again. What they had said stays on the channels, and nobody's
/// promise holds.
fn exchange_store(group: &mut Group, store: Store) {
    group.stop_all();
    group.store = store;
    group.promised.clear();
    group.rollbacks = 0;
    // What is left speaks of generations that this store never had.
    group.tolerant = true;
}

/// Two more snapshots commit, and they hold what was sent in this history.
fn goes_on(group: &mut Group, generation: u64) {
    let members = group.graph.members().to_vec();
    assert_eq!(generations(group), vec![generation; members.len()], "nobody went anywhere");
    for initiator in [A, B] {
        group.pay_to(A, B);
        group.pay_to(B, A);
        let id = group.initiate(initiator).unwrap();
        group.settle();
        assert_eq!(group.processes[&initiator].reports, [id]);
    }
    assert!(group.check_cuts() >= 2);
    assert_eq!(group.balance(), group.total);
    assert_eq!(generations(group), vec![generation; members.len()]);
}

/// A node is gone and back, which makes a generation.
fn replace(group: &mut Group, id: NodeId) {
    group.crash(id);
    group.boot(id);
    group.settle();
}

/// All that a group says in a generation, and that nobody hears: messages, a marker, what it has become of, grants.
fn leave_frames_behind(group: &mut Group) {
    for (from, to) in [(A, B), (B, A)] {
        (0..3).for_each(|_| group.pay_to(from, to));
        let id = group.initiate(from).unwrap();
        group.input(from, |c, _, _| assert!(c.abort(id)));
    }
    for pair in [(A, B), (B, A)] {
        assert!(group.channels[&pair].len() > 4);
    }
}

#[test]
fn what_is_left_of_a_store_that_was_emptied_is_not_believed() {
    for graph in [Graph::mesh([A, B]), Graph::mesh([A, B, C]), Graph::ring([A, B, C]).link(B, A)] {
        let mut group = Group::new(graph, durable(), 1);
        group.boot_all();
        // The greetings and grants of the first generation are still there, and all that stands behind them.
        group.boot_all();
        let first: Vec<_> = group.channels.clone().into_iter().collect();
        group.settle();
        leave_frames_behind(&mut group);
        for (pair, frames) in first {
            frames
                .into_iter()
                .rev()
                .for_each(|frame| group.channels.get_mut(&pair).unwrap().push_front(frame));
        }
        exchange_store(&mut group, Store::default());
        group.boot_all();
        group.settle();
        assert_eq!(group.rollbacks, 0);
        goes_on(&mut group, 1);
    }
}

/// A group in its second generation, with a commit, and what it says there, in full: nothing of the second generation has been
/// delivered when the frames that it leaves behind are counted.
fn in_the_second_generation(graph: Graph) -> (Group, Store) {
    let mut group = Group::new(graph, durable(), 1);
    group.boot_all();
    group.settle();
    group.pay_to(A, B);
    group.initiate(A).unwrap();
    group.settle();
    let store = group.store.clone();
    replace(&mut group, B);
    assert!(generations(&group).iter().all(|generation| *generation == 2));
    (group, store)
}

#[test]
fn what_is_left_of_a_store_that_went_back_is_not_believed_in_a_generation_of_the_same_number() {
    for graph in [Graph::mesh([A, B]), Graph::mesh([A, B, C])] {
        let (mut group, store) = in_the_second_generation(graph);
        // From the greeting on, so that numbers begin with 1.
        let mut kept = group.channels.clone();
        for (from, to) in [(A, B), (B, A)] {
            group.reconnect(from, to);
        }
        leave_frames_behind(&mut group);
        for (pair, frames) in &mut kept {
            frames.extend(group.channels[pair].iter().enumerate().map(|(at, frame)| Frame {
                stamp: stamp(frame.stamp.generation().0, at as u64 + 1, frame.stamp),
                body: frame.body.clone(),
            }));
        }
        exchange_store(&mut group, store);
        group.channels = kept;
        let first = group.channels[&(A, B)].front().unwrap();
        assert_eq!((first.stamp.count(), first.kind()), (1, Ok(FrameKind::Hello)));
        group.boot_all();
        group.settle();
        // Each has gone back once, to what the store has.
        assert_eq!(group.rollbacks, group.processes.len() as u64);
        goes_on(&mut group, 2);
    }
}

#[test]
fn what_is_left_of_higher_generations_is_no_news_of_this_history() {
    for graph in [Graph::mesh([A, B]), Graph::mesh([A, B, C])] {
        let (mut group, _) = in_the_second_generation(graph);
        replace(&mut group, A);
        group.reconnect(A, B);
        leave_frames_behind(&mut group);
        assert_eq!(group.channels[&(A, B)].front().unwrap().stamp.generation(), Generation(3));
        exchange_store(&mut group, Store::default());
        group.boot_all();
        group.settle();
        assert_eq!(group.rollbacks, 0);
        assert!(group.processes[&B].events.iter().any(|event| event.contains("UnknownGeneration")));
        goes_on(&mut group, 1);
        // This history comes to that number too.
        group.tolerant = false;
        replace(&mut group, A);
        replace(&mut group, B);
        let initiator = group.initiate(A).unwrap();
        group.settle();
        assert_eq!(group.processes[&A].reports, [initiator]);
        assert_eq!(generations(&group)[0], 3);
    }
}

#[test]
fn a_read_for_what_is_left_is_no_evidence_against_news_that_came_while_it_was_under_way() {
    // D4: only "a `read` that begins after a `create` has returned" finds the object.
    let mut group = Group::at_rest(Graph::mesh([A, B]), durable());
    group.tolerant = true;
    let left = Frame { stamp: Stamp::new(Generation(9), 1), body: greeting(5) };
    group.channels.get_mut(&(B, A)).unwrap().push_back(left);
    assert!(group.deliver((B, A)));
    let (ticket, request) = group.processes.get_mut(&A).unwrap().asked.remove(0);
    assert_eq!(request, StoreRequest::Read(Key::Journal(2)), "A looks whether there is such a generation");
    // Meanwhile B comes again, and opens one.
    group.crash(B);
    group.boot(B);
    while group.serve(B) {}
    while group.deliver((B, A)) {}
    let nothing_yet = StoreAnswer::Read(None);
    group.input(A, |a, now, capture| a.handle_store(now, ticket, nothing_yet, capture));
    group.settle();
    assert_eq!(generations(&group), [2, 2]);
    let id = group.initiate(A).unwrap();
    group.settle();
    assert_eq!(group.processes[&A].reports, [id]);
    let unknown = group.processes[&A].events.iter().filter(|event| event.contains("UnknownGeneration"));
    assert_eq!(unknown.count(), 1, "of the other");
}

#[test]
fn a_connection_that_comes_up_while_a_node_looks_for_what_is_not_there_is_greeted_on_when_it_goes_on() {
    // F4. C dies before it has sat, and with it what A, and not B, had said to it; its successor sits in the same generation.
    let mut group = Group::new(Graph::mesh([A, B, C]), durable(), 1);
    group.tolerant = true;
    group.closed = [(B, C)].into();
    group.boot(A);
    group.boot(B);
    while group.deliver((A, B)) || group.deliver((B, A)) || group.serve(A) || group.serve(B) {}
    group.boot(C);
    group.crash(C);
    let left = Frame { stamp: Stamp::new(Generation(9), 1), body: greeting(5) };
    group.channels.get_mut(&(B, A)).unwrap().push_back(left);
    while group.deliver((B, A)) {}
    assert!(!group.processes[&A].coordinator.is_running(), "it looks whether there is such a generation");
    group.boot(C);
    group.closed.clear();
    group.settle();
    let id = group.initiate(A).unwrap();
    group.settle();
    assert_eq!((&group.processes[&A].reports[..], generations(&group)), (&[id][..], vec![2; 3]));
}

// ---- a copy from between a record and the seats -------------------------------------------------------------------------

/// The store when A has opened the second generation, and nobody sits in it; and a group that went on from there. The channel
/// from A to B has all that A says in it, from its greeting on, with a payment.
fn put_back_to_before_the_seats() -> (Group, Store) {
    let mut group = Group::at_rest(Graph::mesh([A, B]), durable());
    group.pay_to(A, B);
    group.settle();
    group.initiate(A).unwrap();
    group.settle();
    group.stop_all();
    group.channels.values_mut().for_each(|frames| frames.clear());
    let records = |store: &Store| store.small.keys().filter(|key| matches!(key, Key::Journal(_))).count();
    let before = records(&group.store);
    group.boot(A);
    while records(&group.store) == before {
        assert!(group.serve(A));
    }
    let store = group.store.clone();
    while group.serve(A) {}
    group.boot(B);
    while group.serve(B) || group.deliver((B, A)) {}
    group.pay_to(A, B);
    assert_eq!(generations(&group), [2, 2]);
    let said: Vec<_> = group.channels[&(A, B)].iter().map(Frame::kind).collect();
    assert_eq!((said[0], said.last()), (Ok(FrameKind::Hello), Some(&Ok(FrameKind::Message))));
    (group, store)
}

/// All start on this store, and B hears what was left for it, and nothing else.
fn hear_what_is_left(group: &mut Group, store: Store) {
    let left = group.channels[&(A, B)].len();
    group.channels.get_mut(&(B, A)).unwrap().clear();
    exchange_store(group, store);
    group.boot_all();
    while group.serve(A) || group.serve(B) {}
    assert!(!group.processes[&B].coordinator.has_message(), "nothing was in flight in the snapshot");
    for _ in 0..left {
        assert!(group.deliver((A, B)));
    }
}

/// As whoever puts a backup in place would do.
fn open_a_generation(store: &Store) -> Store {
    let (mut renewed, memory) = (store.clone(), MemoryStore::new());
    block_on(async {
        for (key, bytes) in &store.small {
            memory.create(*key, bytes.clone().into()).await.unwrap();
        }
        let mut archive = Archive::<(), Bytes>::open(memory.clone(), RawBytes).await.unwrap();
        archive.open_generation().await.unwrap();
        for key in memory.keys() {
            let (sink, place) = Sink::collect();
            memory.read(key, sink).await.unwrap();
            renewed.small.insert(key, place.take().unwrap().into());
        }
    });
    renewed
}

#[test]
fn where_a_generation_has_its_record_and_not_its_seats_what_was_said_in_it_is_believed() {
    // The name is the record's: that is why such a copy is no good as it is.
    let (mut group, store) = put_back_to_before_the_seats();
    hear_what_is_left(&mut group, store);
    assert_eq!(generations(&group), [2, 2]);
    assert!(group.processes[&B].coordinator.has_message(), "A has never sent it");
}

#[test]
fn where_a_generation_was_opened_in_it_first_such_a_copy_is_as_good_as_any() {
    let (mut group, store) = put_back_to_before_the_seats();
    let store = open_a_generation(&store);
    hear_what_is_left(&mut group, store);
    assert!(!group.processes[&B].coordinator.has_message());
    group.settle();
    assert_eq!(group.rollbacks, 2, "each has gone back once, to what the copy has");
    goes_on(&mut group, 4);
}

/// A course of the group's own choice.
fn course(group: &mut Group, steps: usize) {
    let members = group.graph.members().to_vec();
    let pairs: Vec<_> = group.channels.keys().copied().collect();
    for _ in 0..steps {
        let node = members[group.random.below(members.len())];
        let pair = pairs[group.random.below(pairs.len())];
        match group.random.below(100) {
            0..30 => drop(group.deliver(pair)),
            30..32 => drop(group.deliver_batch(pair)),
            32..55 => drop(group.serve(node)),
            55..70 => drop(group.take(node)),
            70..90 => group.pay(node),
            90..95 => drop(group.initiate(node)),
            95..98 => group.pass_time(Duration::from_millis(5)),
            98 if !group.processes.contains_key(&node) => group.boot(node),
            99 if group.random.chance(20) && group.processes.contains_key(&node) => group.crash(node),
            _ => {}
        }
    }
}

/// A course, another one that the store forgets, and a third; then a snapshot. How many frames the second one left behind, and
/// whether the store went back and was not emptied.
fn survives(graph: Graph, seed: u64) -> [usize; 2] {
    let mut back = 0;
    let mut group = Group::new(graph, durable(), seed);
    group.boot_all();
    let steps = 100 + group.random.below(100);
    course(&mut group, steps);
    // A store that forgets who sat in a generation, and not the generation, would let the same names sit in it again.
    let nodes = || group.processes.values().map(|process| &process.coordinator);
    let all_sit = nodes().count() == group.graph.members().len()
        && nodes()
            .all(|node| node.is_running() && nodes().all(|other| other.generation() == node.generation()));
    let store = if all_sit && !seed.is_multiple_of(4) { group.store.clone() } else { Store::default() };
    back += usize::from(!store.small.is_empty());
    course(&mut group, steps);
    let left = group.channels.values().map(|frames| frames.len()).sum();
    exchange_store(&mut group, store);
    group.boot_all();
    course(&mut group, steps);
    for _ in 0..10 {
        for id in group.graph.members().to_vec() {
            if !group.processes.contains_key(&id) {
                group.boot(id);
            }
        }
        group.settle();
        group.pass_time(Duration::from_millis(600));
        group.settle();
    }
    let id = group.initiate(A).expect("nothing stands against it");
    group.settle();
    assert!(group.processes[&A].reports.contains(&id), "{:?}", group.processes[&A].events);
    group.check_cuts();
    assert_eq!(group.balance(), group.total);
    [left, back]
}

#[test]
fn random_courses_end_well_though_the_store_went_back_between_them() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..200).collect(),
    };
    let (mut left, mut back) = (0, 0);
    for seed in seeds {
        for graph in [Graph::mesh([A, B]), Graph::mesh([A, B, C])] {
            let run = std::panic::AssertUnwindSafe(|| survives(graph, seed));
            let [frames, went_back] = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
                eprintln!("replay: SEED={seed} cargo test -p snapshot-core --test protocol histories");
                std::panic::resume_unwind(panic)
            });
            left += frames;
            back += went_back;
        }
    }
    let enough = left > 4000 && back > 100 && back < 300;
    assert!(enough || std::env::var("SEED").is_ok(), "these seeds try too little: {left}, {back}");
}

// ---- who looks ahead --------------------------------------------------------------------------------------------------

#[test]
fn an_end_that_is_foreseen_in_another_history_ends_nothing_in_this_one() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), durable());
    let ended = group.initiate(A).unwrap();
    group.input(A, |a, _, _| assert!(a.abort(ended)));
    exchange_store(&mut group, Store::default());
    group.boot_all();
    while group.serve(A) || group.serve(B) {}
    let id = group.initiate(A).unwrap();
    assert_eq!(id, ended, "they have the same name");
    while group.deliver_batch((A, B)) || group.deliver_batch((B, A)) || group.serve(A) || group.serve(B) {}
    assert_eq!(group.processes[&A].reports, [id]);
}

#[test]
fn an_end_that_is_foreseen_behind_the_greeting_of_this_history_counts() {
    let mut group = Group::new(Graph::mesh([A, B]), durable(), 1);
    group.boot_all();
    while group.serve(A) || group.serve(B) {}
    let ended = group.initiate(A).unwrap();
    group.input(A, |a, _, _| assert!(a.abort(ended)));
    assert!(group.deliver_batch((A, B)), "greeting, marker and end in one batch");
    assert_eq!(group.captures(B), 0);
}

// ---- two histories at once ----------------------------------------------------------------------------------------------

/// A group, and what B says to A in another history, numbered as if it came next.
fn two_histories() -> (Group, Vec<Frame<Transfer>>) {
    let mut group = Group::at_rest(Graph::mesh([A, B]), durable());
    group.pay_to(B, A);
    let next = group.channels.get_mut(&(B, A)).unwrap().pop_front().unwrap().stamp.count();
    let mut other = Group::new(Graph::mesh([A, B]), durable(), 7);
    other.boot_all();
    while other.serve(A) || other.serve(B) {}
    other.reconnect(A, B);
    let hello = other.channels[&(B, A)].front().cloned().unwrap();
    assert_eq!(hello.kind(), Ok(FrameKind::Hello));
    let message = Body::Message(Transfer { amount: 50, number: 1 });
    let frame = |count, body| Frame { stamp: stamp(1, count, hello.stamp), body };
    let said = vec![frame(next, hello.body.clone()), frame(next, message.clone()), frame(next + 1, message)];
    (group, said)
}

#[test]
fn who_greets_in_another_history_is_not_believed_any_more_and_nothing_is_written_into_this_one() {
    let (mut group, said) = two_histories();
    group.tolerant = true;
    let records = group.store.small.clone();
    group.channels.get_mut(&(B, A)).unwrap().extend(said);
    while group.deliver((B, A)) {}
    let a = &group.processes[&A];
    let tells = |what: &str| a.events.iter().filter(|event| event.contains(what)).count();
    assert_eq!((tells("OtherHistory"), tells("PeerLost")), (1, 1), "{:?}", a.events);
    assert!(a.coordinator.is_running() && !a.coordinator.has_message());
    let refused = group.input(A, |c, now, capture| c.initiate(now, capture));
    assert_eq!(refused, Some(Err(InitiateError::Refused(AbortReason::PeerLost { peer: B }))));
    group.pass_time(Duration::from_secs(31));
    while group.serve(A) {}
    assert_eq!(group.store.small, records);

    // When B is back in this history, both go on.
    group.tolerant = false;
    group.channels.get_mut(&(B, A)).unwrap().clear();
    replace(&mut group, B);
    let id = group.initiate(A).unwrap();
    group.settle();
    assert_eq!(group.processes[&A].reports, [id]);
    assert_eq!(group.balance(), group.total);
}

#[test]
fn a_snapshot_under_way_is_given_up_when_a_neighbour_turns_out_to_be_in_another_history() {
    let (mut group, said) = two_histories();
    group.tolerant = true;
    let id = group.initiate(A).unwrap();
    group.channels.get_mut(&(B, A)).unwrap().extend(said);
    while group.deliver((B, A)) {}
    assert_eq!(group.processes[&A].aborted, [id]);
}

// ---- what is not believed -----------------------------------------------------------------------------------------------

/// B says this to A, which has just begun, as a frame of a history that has this nonce. What A is told of it.
fn told(body: Body<Transfer>, count: u64, nonce: u64) -> Vec<Event<Transfer, Branch>> {
    let graph = Graph::mesh([A, B]);
    let of = |count: u64, nonce: u64| Stamp::new(Generation(1), count << 16 | nonce & 0xffff);
    let mut a = Coordinator::new(graph.at(A).unwrap(), Settings::default(), 1);
    a.start(Duration::ZERO);
    let b = a.topology().peer(B).unwrap();
    let mut capture = || Capture::new(Branch::default());
    a.handle_frame(Duration::ZERO, b, Frame { stamp: of(count, nonce), body }, &mut capture);
    let outputs: Vec<_> = std::iter::from_fn(|| a.poll_output()).collect();
    // Nor does it stand in the way of those who greet.
    for frame in greets(&graph, B, A) {
        a.handle_frame(Duration::ZERO, b, frame, &mut capture);
    }
    assert_eq!(a.poll_output(), None);
    let message = Body::Message(Transfer { amount: 1, number: 1 });
    let frame = Frame { stamp: of(3, a.topology().fingerprint()), body: message };
    a.handle_frame(Duration::ZERO, b, frame, &mut capture);
    assert!(a.has_message());
    outputs
        .into_iter()
        .filter_map(|output| if let Output::Event(event) = output { Some(event) } else { None })
        .collect()
}

#[test]
fn what_is_of_another_history_is_dropped_and_is_no_gap() {
    let message = Body::Message(Transfer { amount: 1, number: 1 });
    // A marker of B, of version 2.
    let marker = Body::Control(Bytes::from_static(&[2, 1, 1, 1, 2]));
    for number in [1, 2, 57] {
        for body in [message.clone(), marker.clone(), greeting(3)] {
            assert_eq!(told(body, number, 3), []);
        }
    }
}

#[test]
fn a_greeting_of_an_older_release_is_told_of() {
    for bytes in [&[1, 0][..], &[3, 0, 5]] {
        // Its frames have nothing but a number in theirs.
        let events = told(Body::Control(Bytes::from_static(bytes)), 0, 1);
        assert!(
            matches!(events[..], [Event::Violation { what: Violation::Unreadable { .. }, .. }]),
            "{events:?}"
        );
    }
}

#[test]
fn without_a_store_the_graph_is_the_name() {
    let wide = Graph::mesh([A, B, C]);
    for body in greets(&wide, B, A).map(|frame| frame.body) {
        assert_eq!(told(body, 1, wide.at(A).unwrap().fingerprint()), []);
    }
}

#[test]
fn a_generation_without_a_name_is_not_joined() {
    // An older release has opened it, and would not understand a word.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/record-1/first.bin");
    let graph = Graph::mesh([A, NodeId(300)]).named("ledger ö");
    let mut group = Group::new(graph, durable(), 1);
    group.store.small.insert(Key::Journal(1), std::fs::read(path).unwrap().into());
    group.boot_all();
    group.settle();
    assert_eq!(generations(&group), [2, 2]);
    let id = group.initiate(A).unwrap();
    group.settle();
    assert_eq!(group.processes[&A].reports, [id]);
    // The next start, and what runs, goes on from there.
    group.crash(A);
    group.boot(A);
    group.settle();
    assert_eq!(generations(&group), [3, 3]);
}
