//! The paper, claim by claim: K. M. Chandy and L. Lamport, "Distributed Snapshots: Determining Global States of Distributed
//! Systems", ACM TOCS 3(1), 1985. Each test names its section and runs the shipped rules in the paper's model.
//! `SEED=n cargo test -p snapshot-core --test protocol paper` replays one random computation.

mod world;

use std::collections::BTreeMap;

use crate::group::Random;
use snapshot_core::{Bound, Frame, FrameKind, Graph, NodeId, Settings};
use world::{Anything, GlobalState, Machine, World};

const P: NodeId = NodeId(1);
const Q: NodeId = NodeId(2);
const R: NodeId = NodeId(3);

/// Each seed, and how to see it again.
fn seeds(count: u64, mut test: impl FnMut(&mut Random)) {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..count,
    };
    for seed in seeds {
        let run = std::panic::AssertUnwindSafe(|| test(&mut Random::new(seed)));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("replay: SEED={seed} cargo test -p snapshot-core --test protocol paper");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A strongly connected graph: a ring through all, and some links more.
fn strongly_connected(random: &mut Random) -> Graph {
    let count = 2 + random.below(4) as u64;
    let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
    let mut graph = Graph::ring(ids.clone());
    for _ in 0..random.below(5) {
        let (from, to) = (ids[random.below(ids.len())], ids[random.below(ids.len())]);
        if from != to {
            graph = graph.link(from, to);
        }
    }
    graph
}

/// Windows of any size: small ones leave messages with their senders, which the paper has on their channels.
fn windows(random: &mut Random) -> Settings {
    let frames = [1, 2, 3, 4096][random.below(4)];
    let window = Bound::new(frames, usize::MAX);
    Settings { inbox: window, window_floor: window, ..Settings::default() }
}

/// Any machine on any graph.
fn any_world<P: Machine>(random: &mut Random) -> World<P> {
    let graph = strongly_connected(random);
    World::with(graph, &windows(random))
}

/// A random computation with random snapshots on the way, all of them ended.
fn random_computation(random: &mut Random) -> World<Anything> {
    let mut world = any_world::<Anything>(random);
    let members = world.graph.members().to_vec();
    for _ in 0..40 + random.below(120) {
        if random.chance(4) {
            world.initiate(members[random.below(members.len())]);
        }
        world.step(random, 30);
    }
    world.initiate(members[random.below(members.len())]);
    for _ in 0..random.below(60) {
        world.step(random, 20);
    }
    world.settle();
    world
}

// ---- §2: the model ---------------------------------------------------------------------------------------------------

#[test]
fn section_2_a_channel_is_a_sequence_and_its_messages_are_received_in_the_order_sent() {
    // §2: "The state of a channel is the sequence of messages sent along the channel, excluding the messages received."
    seeds(60, |random| {
        let world = random_computation(random);
        world.replay(&world.computation).expect("what happened is a computation");
    });
}

#[test]
fn section_2_the_check_of_computations_bites_when_two_messages_change_places() {
    let mut world = World::<Anything>::new(Graph::mesh([P, Q]));
    world.send(P, Q);
    world.send(P, Q);
    world.settle();
    let mut wrong = world.computation.clone();
    wrong.swap(2, 3);
    assert!(world.replay(&wrong).unwrap_err().contains("at the head is"));
}

// ---- §3.2: the two rules ---------------------------------------------------------------------------------------------

#[test]
fn section_3_2_marker_sending_rule_one_marker_on_every_outgoing_channel_before_further_messages() {
    // "p sends one marker along c after p records its state and before p sends further messages along c."
    let mut world = World::<Anything>::new(Graph::new([P, Q, R]).link(P, Q).link(P, R).link(Q, P).link(R, P));
    world.send(P, Q);
    let snapshot = world.initiate(P);
    world.send(P, Q);
    world.send(P, R);
    let marker = FrameKind::Marker(snapshot);
    assert_eq!(world.on(P, Q), [FrameKind::Message, marker, FrameKind::Message]);
    assert_eq!(world.on(P, R), [marker, FrameKind::Message]);
}

#[test]
fn section_3_2_marker_receiving_rule_first_marker_records_the_state_and_the_channel_as_empty() {
    // "if q has not recorded its state then q records its state; q records the state c as the empty sequence".
    let mut world = World::<Anything>::new(Graph::mesh([P, Q]));
    world.send(P, Q);
    world.deliver(P, Q);
    world.receive(Q);
    let at_marker = world.states[&Q];
    let snapshot = world.initiate(P);
    world.deliver(P, Q);
    world.send(Q, P);
    world.settle();
    let recorded = world.recorded(snapshot).unwrap();
    assert_eq!(recorded.processes[&Q], at_marker);
    assert_eq!(recorded.channels[&(P, Q)], []);
}

#[test]
fn section_3_2_marker_receiving_rule_later_markers_end_what_was_received_since_the_state_was_recorded() {
    // "q records the state of c as the sequence of messages received along c after q's state was recorded and before q
    // received the marker along c".
    let mut world = World::<Anything>::new(Graph::mesh([P, Q]));
    world.send(P, Q);
    world.deliver(P, Q);
    world.receive(Q); // before the state: in the state
    let snapshot = world.initiate(Q);
    world.send(P, Q); // after the state, before the marker: in the channel
    world.deliver(P, Q);
    world.receive(Q);
    world.deliver(Q, P); // P records its state, and sends its marker
    world.send(P, Q); // after the marker: in neither
    world.settle();
    assert_eq!(world.recorded(snapshot).unwrap().channels[&(P, Q)].len(), 1);
    world.theorem_1(snapshot).unwrap();
}

#[test]
fn section_3_2_a_marker_overtakes_what_has_not_departed_and_the_sender_records_that_as_on_the_channel() {
    // "p sends one marker along c after p records its state and before p sends further messages along c": what p has sent and
    // still holds is on c, in the words of the paper, behind all that has departed.
    let window = Bound::new(1, usize::MAX);
    let settings = Settings { inbox: window, window_floor: window, ..Settings::default() };
    for initiator in [P, Q] {
        let mut world = World::<Anything>::with(Graph::mesh([P, Q]), &settings);
        (0..3).for_each(|_| world.send(P, Q));
        assert_eq!(world.on(P, Q), [FrameKind::Message], "the window is full");
        let snapshot = world.initiate(initiator);
        world.deliver(Q, P); // the marker, if Q has begun
        assert_eq!(world.on(P, Q)[..2], [FrameKind::Message, FrameKind::Marker(snapshot)]);
        world.deliver(P, Q);
        world.deliver(P, Q); // the marker has arrived, and nothing was received
        world.deliver(Q, P);
        let outgoing = |id| world.parts[&snapshot][&id].0.outgoing.clone();
        assert_eq!(world.parts[&snapshot][&Q].0.channels[&P].len(), 1);
        assert_eq!((outgoing(P)[&Q].len(), outgoing(Q)), (2, BTreeMap::new()));
        assert_eq!(world.recorded(snapshot).unwrap().channels[&(P, Q)].len(), 3);
        world.theorem_1(snapshot).unwrap();
        world.settle();
        world.theorem_1(snapshot).unwrap();
    }
}

// ---- §3.3: termination -----------------------------------------------------------------------------------------------

#[test]
fn section_3_3_every_process_records_its_state_in_finite_time_on_every_strongly_connected_graph() {
    // "If the graph is strongly connected and at least one process spontaneously records its state, then all processes will
    // record their states in finite time (assuming reliable delivery)."
    seeds(200, |random| {
        let mut world = any_world::<Anything>(random);
        let members = world.graph.members().to_vec();
        let snapshot = world.initiate(members[random.below(members.len())]);
        world.settle();
        assert!(world.recorded(snapshot).is_some());
        assert!(world.rules.values().all(|rules| rules.running().is_empty()));
    });
}

#[test]
fn section_3_3_several_processes_may_begin_at_once_and_again_before_the_first_has_ended() {
    // "The algorithm can be initiated by one or more processes, each of which records its state spontaneously". Here every
    // initiation is a snapshot of its own.
    seeds(100, |random| {
        let mut world = any_world::<Anything>(random);
        let members = world.graph.members().to_vec();
        let snapshots: Vec<_> = (0..2 + random.below(6))
            .map(|_| {
                for _ in 0..random.below(6) {
                    world.step(random, 50);
                }
                world.initiate(members[random.below(members.len())])
            })
            .collect();
        world.settle();
        for snapshot in snapshots {
            world.theorem_1(snapshot).unwrap();
        }
    });
}

#[test]
fn section_3_3_one_marker_per_channel_and_snapshot() {
    seeds(50, |random| {
        let mut world = any_world::<Anything>(random);
        let links = world.channels.len();
        let members = world.graph.members().to_vec();
        let snapshot = world.initiate(members[random.below(members.len())]);
        let mut markers = BTreeMap::<(NodeId, NodeId), usize>::new();
        loop {
            let found =
                world.channels.iter().find(|(_, frames)| !frames.is_empty()).map(|(channel, _)| *channel);
            let Some((from, to)) = found else { break };
            if world.on(from, to)[0] == FrameKind::Marker(snapshot) {
                *markers.entry((from, to)).or_default() += 1;
            }
            world.deliver(from, to);
        }
        assert_eq!(markers.len(), links);
        assert!(markers.values().all(|count| *count == 1), "{markers:?}");
    });
}

// ---- §4: the recorded global state -----------------------------------------------------------------------------------

#[test]
fn section_4_theorem_1_the_recorded_state_is_reachable_and_the_end_is_reachable_from_it() {
    let mut snapshots = 0;
    let mut strange = 0;
    let mut overtaken = 0;
    seeds(300, |random| {
        let world = random_computation(random);
        for snapshot in world.parts.keys() {
            world.theorem_1(*snapshot).unwrap_or_else(|error| panic!("{snapshot}: {error}"));
            snapshots += 1;
            let recorded = world.recorded(*snapshot).unwrap();
            let occurred = (0..=world.computation.len())
                .any(|length| world.replay(&world.computation[..length]).unwrap() == recorded);
            strange += u32::from(!occurred);
            overtaken += world.parts[snapshot].values().map(|(local, _)| local.outgoing.len()).sum::<usize>();
        }
    });
    if std::env::var("SEED").is_err() {
        assert!(snapshots > 500, "{snapshots}");
        assert!(strange > 50, "some recorded states never occurred, or this test shows little: {strange}");
        assert!(overtaken > 200, "markers have overtaken messages on so few channels: {overtaken}");
    }
}

#[test]
fn section_4_the_channel_is_what_was_sent_before_the_senders_capture_less_what_was_received_before_the_receivers()
 {
    seeds(100, |random| {
        let world = random_computation(random);
        for (snapshot, parts) in &world.parts {
            let before = |process: NodeId| {
                let own = world.computation.iter().filter(move |step| step.process == process);
                own.take(parts[&process].0.state.events)
            };
            for ((from, to), recorded) in world.recorded(*snapshot).unwrap().channels {
                let sent = before(from).filter_map(|step| match &step.act {
                    world::Act::Send { to: target, message } if *target == to => Some(*message),
                    _ => None,
                });
                let received = before(to)
                    .filter(|step| matches!(&step.act, world::Act::Receive { from: source, .. } if *source == from))
                    .count();
                assert_eq!(recorded, sent.skip(received).collect::<Vec<_>>(), "{snapshot}: {from} -> {to}");
            }
        }
    });
}

/// Example 2.2: p in A sends M and is in B; q in C sends M' and is in D; each goes back when it receives the other's.
struct Nondeterministic;

impl Machine for Nondeterministic {
    type State = char;
    type Message = &'static str;

    fn initial(process: NodeId) -> char {
        if process == P { 'A' } else { 'C' }
    }

    fn send(state: &char, _: NodeId) -> (char, &'static str) {
        match state {
            'A' => ('B', "M"),
            'C' => ('D', "M'"),
            other => panic!("no message is sent in {other}"),
        }
    }

    fn receive(state: &char, _: NodeId, _: &&'static str) -> char {
        match state {
            'B' => 'A',
            'D' => 'C',
            other => *other,
        }
    }
}

#[test]
fn section_4_example_the_recorded_state_never_occurred_and_is_reachable_all_the_same() {
    let mut world = World::<Nondeterministic>::new(Graph::mesh([P, Q]));
    let snapshot = world.initiate(P); // S0: p records A, and its marker is on its way
    world.send(P, Q); // e0: p sends M
    world.send(Q, P); // e1: q sends M'
    world.deliver(Q, P);
    world.receive(P); // e2: p receives M'
    assert_eq!(world.computation.len(), 3);
    world.deliver(P, Q); // in S3 the marker comes to q, which records D
    world.deliver(Q, P); // and q's marker to p
    let recorded = world.recorded(snapshot).unwrap();
    let expected = GlobalState {
        processes: BTreeMap::from([(P, 'A'), (Q, 'D')]),
        channels: BTreeMap::from([((P, Q), vec![]), ((Q, P), vec!["M'"])]),
    };
    assert_eq!(recorded, expected);
    for length in 0..=3 {
        assert_ne!(world.replay(&world.computation[..length]).unwrap(), recorded, "S{length}");
    }
    world.theorem_1(snapshot).unwrap();
}

#[test]
fn section_3_1_a_channel_that_does_not_keep_order_records_what_cannot_be_and_the_check_catches_it() {
    // As in the example, but M overtakes the marker. Stamps stay where they were, so that the rules cannot notice.
    let mut world = World::<Nondeterministic>::new(Graph::mesh([P, Q]));
    let snapshot = world.initiate(P);
    world.send(P, Q);
    let channel = world.channels.get_mut(&(P, Q)).unwrap();
    let (marker, message) = (channel.pop_front().unwrap(), channel.pop_front().unwrap());
    channel.push_back(Frame { stamp: marker.stamp, body: message.body });
    channel.push_back(Frame { stamp: message.stamp, body: marker.body });
    world.deliver(P, Q);
    world.receive(Q);
    world.settle();
    // M was received in the cut and not sent in it.
    let error = world.theorem_1(snapshot).unwrap_err();
    assert!(error.contains("S* cannot be reached"), "{error}");
}

/// Example 2.1: one token between two processes.
struct Token;

impl Machine for Token {
    type State = bool;
    type Message = ();

    fn initial(process: NodeId) -> bool {
        process == P
    }

    fn send(state: &bool, _: NodeId) -> (bool, ()) {
        assert!(*state, "only who has the token can send it");
        (false, ())
    }

    fn receive(state: &bool, _: NodeId, (): &()) -> bool {
        assert!(!*state, "there is one token");
        true
    }
}

fn tokens(state: &GlobalState<bool, ()>) -> usize {
    state.processes.values().filter(|has| **has).count()
        + state.channels.values().map(Vec::len).sum::<usize>()
}

#[test]
fn section_2_example_there_is_one_token_in_every_recorded_state_of_the_single_token_system() {
    // §3.1 motivates the rules with what goes wrong here: none, or two.
    seeds(200, |random| {
        let mut world = World::<Token>::with(Graph::mesh([P, Q]), &windows(random));
        for _ in 0..60 {
            let holder = world.states.iter().find(|(_, has)| **has).map(|(id, _)| *id);
            match (random.below(4), holder) {
                (0, Some(holder)) => world.send(holder, if holder == P { Q } else { P }),
                (1, _) if random.chance(25) => drop(world.initiate(if random.chance(50) { P } else { Q })),
                _ => world.step(random, 0),
            }
        }
        world.settle();
        for snapshot in world.parts.keys() {
            assert_eq!(tokens(&world.recorded(*snapshot).unwrap()), 1, "{snapshot}");
            world.theorem_1(*snapshot).unwrap();
        }
    });
}

#[test]
fn section_3_1_a_message_is_definitely_definitely_not_or_possibly_in_the_cut() {
    // What was received before the receiver's state was recorded is definitely not in the channel; what was sent before the
    // sender's and not received, definitely; and for what is sent around the initiation at another process it depends on
    // when the marker comes there.
    let in_channel = |marker_first: bool| {
        let mut world = World::<Anything>::new(Graph::mesh([P, Q]));
        world.send(Q, P);
        world.deliver(Q, P);
        world.receive(P); // definitely not: received before
        world.send(Q, P); // definitely: sent before Q can have heard, received after
        let snapshot = world.initiate(P);
        if marker_first {
            world.deliver(P, Q);
        }
        world.send(Q, P); // possibly
        world.settle();
        world.theorem_1(snapshot).unwrap();
        world.recorded(snapshot).unwrap().channels[&(Q, P)].len()
    };
    assert_eq!((in_channel(true), in_channel(false)), (1, 2));
}

// ---- §5: stable properties -------------------------------------------------------------------------------------------

/// A diffusing computation: each process has a budget of work, and passes on less than it had. When no process has any left
/// and no message is under way, it has ended, and that is stable.
struct Diffusing;

impl Machine for Diffusing {
    type State = u32;
    type Message = u32;

    fn initial(process: NodeId) -> u32 {
        if process == P { 12 } else { 0 }
    }

    fn send(state: &u32, _: NodeId) -> (u32, u32) {
        let passed = state / 2;
        (state - passed - 1, passed)
    }

    fn receive(state: &u32, _: NodeId, message: &u32) -> u32 {
        state + message
    }
}

fn has_terminated(state: &GlobalState<u32, u32>) -> bool {
    state.processes.values().all(|budget| *budget == 0) && state.channels.values().all(Vec::is_empty)
}

#[test]
fn section_5_what_is_stable_and_recorded_holds_at_the_end_and_what_held_at_the_beginning_is_recorded() {
    // "definite = true implies that the stable property holds when the algorithm terminates; definite = false implies that it
    // did not hold when it was initiated": y(S_initiated) -> y(S*) -> y(S_terminated).
    let (mut yes, mut no) = (0, 0);
    seeds(300, |random| {
        let mut world = any_world::<Diffusing>(random);
        let members = world.graph.members().to_vec();
        for _ in 0..400 {
            let id = members[random.below(members.len())];
            if world.states[&id] > 0 && random.chance(20) {
                let to: Vec<NodeId> = world.rules[&id].topology().outgoing().map(|peer| peer.id()).collect();
                world.send(id, to[random.below(to.len())]);
            } else if random.chance(3) {
                world.initiate(id);
            } else {
                world.step(random, 0);
            }
        }
        world.settle();
        for (snapshot, parts) in &world.parts {
            let at = |length: usize| has_terminated(&world.replay(&world.computation[..length]).unwrap());
            let ended = parts.values().map(|(_, whole)| *whole).max().unwrap();
            let definite = has_terminated(&world.recorded(*snapshot).unwrap());
            assert!(!at(world.begun[snapshot]) || definite, "{snapshot}: it held at the beginning");
            assert!(!definite || at(ended), "{snapshot}: it does not hold at the end");
            *(if definite { &mut yes } else { &mut no }) += 1;
        }
    });
    if std::env::var("SEED").is_err() {
        assert!(yes > 20 && no > 100, "both must occur: {yes} and {no}");
    }
}
