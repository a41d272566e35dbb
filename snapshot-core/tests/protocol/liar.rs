//! A peer that says anything at all: no panic, nothing without a bound, and the channel to an honest peer goes on.

use std::time::Duration;

use crate::group::{Branch, Coordinator, Random, Transfer, first_words, greeting, greets, stamp, windows};
use bytes::Bytes;
use snapshot_core::{
    AbortReason, Body, Bound, Capture, Created, Event, Frame, FrameKind, Frames, Generation, Graph,
    InitiateError, NodeId, Output, PartError, Settings, SnapshotPhase, StoreAnswer, StoreRequest, Violation,
};

const ME: NodeId = NodeId(1);
const LIAR: NodeId = NodeId(2);
const HONEST: NodeId = NodeId(3);

/// Control frames that a node sends in the course of its life, to be bent.
fn samples() -> Vec<Bytes> {
    let graph = Graph::mesh([ME, LIAR, HONEST]);
    let mut group = crate::group::Group::new(graph, windows(8, 10), 1);
    group.weigh = |_, transfer| transfer.amount as usize;
    group.boot_all();
    group.settle();
    // The second one does not fit: it is asked for.
    (0..2).for_each(|_| group.pay_amount(LIAR, ME, 6));
    group.initiate(LIAR);
    group.initiate(ME);
    group.deliver((ME, HONEST));
    group.pass_time(Duration::from_secs(31));
    let frames = group.channels.values().flatten();
    frames
        .filter_map(|frame| if let Body::Control(bytes) = &frame.body { Some(bytes.clone()) } else { None })
        .collect()
}

fn bent(random: &mut Random, samples: &[Bytes]) -> Bytes {
    let mut bytes = samples[random.below(samples.len())].to_vec();
    match random.below(4) {
        0 => {}
        1 => {
            let at = random.below(bytes.len());
            bytes[at] = random.draw() as u8;
        }
        2 => bytes.truncate(random.below(bytes.len() + 1)),
        _ => bytes.extend((0..random.below(30)).map(|_| random.draw() as u8).collect::<Vec<_>>()),
    }
    bytes.into()
}

/// How many messages the liar may send until some are taken.
const WINDOW: usize = 24;

#[test]
fn nothing_that_a_peer_says_can_cause_a_panic_or_break_a_bound() {
    let samples = samples();
    assert!(samples.len() > 8, "there is something to bend");
    let (mut accused, mut begun, mut most) = (0, 0, 0);
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let graph = Graph::mesh([ME, LIAR, HONEST]);
        let (outbox_low, outbox_high) = (Bound::new(10, 1 << 10), Bound::new(20, 1 << 11));
        let outbox_hard = Bound::new(2000, 1 << 20);
        let settings =
            Settings { max_running: 5, outbox_low, outbox_high, outbox_hard, ..windows(2 * WINDOW, 1 << 20) };
        let mut coordinator = Coordinator::new(graph.at(ME).unwrap(), settings, seed);
        coordinator.start(Duration::ZERO);
        let peers = [LIAR, HONEST].map(|id| coordinator.topology().peer(id).unwrap());
        let mut capture = || Capture::new(Branch::default());
        let words = greets(&graph, LIAR, ME);
        let known = words[0].stamp;
        for frame in words {
            coordinator.handle_frame(Duration::ZERO, peers[0], frame, &mut capture);
        }
        let mut number = 2;
        for round in 0..3000_u64 {
            if random.chance(5) {
                for peer in peers {
                    coordinator.take_outgoing(peer, &mut Frames::new());
                    coordinator.handle_sent(Duration::ZERO, peer);
                }
                most = most.max(std::iter::from_fn(|| coordinator.take_message()).count());
                coordinator.end_turn().unwrap();
            }
            // In order, for else the channel is closed at once: the liar keeps to the count.
            let generation = if random.chance(97) { 1 } else { random.draw().max(1) };
            number += u64::from(generation == 1);
            let body = match random.below(6) {
                0 => Body::Message(Transfer { amount: random.draw(), number: 0 }),
                _ => Body::Control(bent(&mut random, &samples)),
            };
            let frame = Frame { stamp: stamp(generation, number, known), body };
            let now = Duration::from_millis(round * 20);
            coordinator.handle_frame(now, peers[0], frame, &mut capture);
            coordinator.handle_timeout(now, &mut capture);
            while let Some(output) = coordinator.poll_output() {
                assert!(!matches!(output, Output::Failed(_)), "seed {seed}: a peer must not end this node");
                accused += usize::from(matches!(output, Output::Event(Event::Violation { .. })));
            }
            let running = coordinator.running().len();
            begun += usize::from(running > 0);
            assert!(running <= 5, "seed {seed}: {running} snapshots at a time");
        }
    }
    assert!(accused > 500 && begun > 10_000, "these seeds try too little: {accused}, {begun}");
    assert_eq!(most, WINDOW, "it was held to its window, and came up to it");
}

#[test]
fn snapshots_whose_receipts_never_come_are_under_way_and_their_number_has_a_bound() {
    let settings = Settings { max_running: 5, ..Settings::default() };
    let mut coordinator = Coordinator::new(Graph::mesh([ME, LIAR]).at(ME).unwrap(), settings, 1);
    coordinator.start(Duration::ZERO);
    let liar = coordinator.topology().peer(LIAR).unwrap();
    let mut capture = || Capture::new(Branch::default());
    let words = greets(&Graph::mesh([ME, LIAR]), LIAR, ME);
    let known = words[0].stamp;
    for frame in words {
        coordinator.handle_frame(Duration::ZERO, liar, frame, &mut capture);
    }
    let (mut begun, mut number) = (0, 2);
    let refused = loop {
        match coordinator.initiate(Duration::ZERO, &mut capture) {
            Ok(_) => begun += 1,
            Err(refused) => break refused,
        }
        let mut frames = Frames::new();
        coordinator.take_outgoing(liar, &mut frames);
        coordinator.handle_sent(Duration::ZERO, liar);
        // It sends every marker back, and nothing else.
        for frame in frames.drain(usize::MAX).filter(|f| matches!(f.kind(), Ok(FrameKind::Marker(_)))) {
            number += 1;
            let frame = Frame { stamp: stamp(1, number, known), ..frame };
            coordinator.handle_frame(Duration::ZERO, liar, frame, &mut capture);
        }
        assert!(begun < 1000, "they have no bound");
    };
    assert_eq!((begun, refused), (5, InitiateError::Refused(AbortReason::TooMany)));
    assert!(coordinator.running().iter().all(|status| status.phase == SnapshotPhase::AwaitingReceipts));
}

/// Does all that a node of a young group asks of its store: there is nothing in it but what it has created itself.
fn serve(node: &mut Coordinator) -> Vec<Event<Transfer, Branch>> {
    let (mut events, mut capture) = (Vec::new(), || Capture::new(Branch::default()));
    while let Some(output) = node.poll_output() {
        let (ticket, answer) = match output {
            Output::Event(event) => {
                events.push(event);
                continue;
            }
            Output::Restore { .. } => {
                node.handle_restored(Duration::ZERO, &mut capture);
                continue;
            }
            Output::Store { ticket, request } => match request {
                StoreRequest::Read(_) => (ticket, StoreAnswer::Read(None)),
                StoreRequest::Create(..) | StoreRequest::WriteInitial(_) => {
                    (ticket, StoreAnswer::Created(Created::New))
                }
                StoreRequest::ReadPart { key, .. } => {
                    (ticket, StoreAnswer::Part(Err(PartError::Missing { key })))
                }
                StoreRequest::ListParts(_) => (ticket, StoreAnswer::Listed(Vec::new())),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        node.handle_store(Duration::ZERO, ticket, answer, &mut capture);
    }
    events
}

#[test]
fn a_generation_that_the_journal_does_not_have_is_a_violation_and_the_node_runs_on() {
    // F3: the frame and all behind it wait until the journal has been read to its end.
    let settings = Settings { durable: true, ..Settings::default() };
    let mut node = Coordinator::new(Graph::mesh([ME, LIAR]).at(ME).unwrap(), settings, 1);
    node.start(Duration::ZERO);
    serve(&mut node);
    assert!(node.is_running());
    let liar = node.topology().peer(LIAR).unwrap();
    let [hello, _] = first_words(&mut node, LIAR);
    let message = Body::Message(Transfer { amount: 0, number: 1 });
    let tell = |node: &mut Coordinator, generation, number, body: &Body<Transfer>| {
        let frame = Frame { stamp: stamp(generation, number, hello.stamp), body: body.clone() };
        node.handle_frame(Duration::ZERO, liar, frame, &mut || unreachable!());
        node.is_running()
    };
    assert!(tell(&mut node, 9, 1, &message), "F5: what comes without a greeting is no news");
    assert!(tell(&mut node, 1, 1, &hello.body), "the greeting of its own generation");
    assert!(!tell(&mut node, 9, 1, &greeting(1)), "it looks at the journal first");
    assert!(!tell(&mut node, 1, 2, &message), "and what comes behind waits");
    let events = serve(&mut node);
    let unknown = Violation::UnknownGeneration { generation: Generation(9) };
    assert_eq!(events, [Event::Violation { peer: liar, what: unknown, times: 1 }]);
    assert_eq!((node.is_running(), node.generation()), (true, Generation(1)));
    assert!(node.take_message().is_some(), "what came behind it was taken up");
}
