//! A run of messages that is taken over as one is the same as its messages one by one: whatever came before, in whatever state
//! the node is, and whatever is wrong with them.

use std::time::Duration;

use bytes::Bytes;
use snapshot_core::{
    Body, Bound, Capture, Created, Frame, Frames, Generation, Graph, Inbox, NodeId, Output, PartError, Peer,
    Settings, SnapshotCoordinator, Stamp, StoreAnswer, StoreRequest,
};

use crate::group::Random;

const NOW: Duration = Duration::from_secs(1);

type Node = SnapshotCoordinator<u64, u64>;

/// A node that hears of two others what they could say, and what they could not.
struct Twins {
    /// Is given frame by frame.
    one: Node,
    /// Is given runs.
    other: Node,
    /// For each neighbour, the number that comes next.
    next: [u64; 2],
    peers: [Peer; 2],
    taken: u64,
}

fn start(durable: bool) -> Node {
    let topology = Graph::mesh([1, 2, 3].map(NodeId)).at(NodeId(1)).unwrap();
    let (inbox, window_floor) = (Bound::new(80, 600), Bound::new(1, 1));
    let mut node = Node::new(topology, Settings { durable, inbox, window_floor, ..Settings::default() }, 7)
        .with_weight(|message| (*message % 50) as usize);
    node.start(Duration::ZERO);
    // An empty store: whatever is asked is not there, and can be made.
    while let Some(output) = node.poll_output() {
        let capture = &mut || Capture::new(0);
        match output {
            Output::Store { ticket, request } => node.handle_store(NOW, ticket, answer(&request), capture),
            Output::Restore { .. } => node.handle_restored(NOW, capture),
            _ => {}
        }
    }
    assert!(node.is_running());
    node
}

fn answer(request: &StoreRequest<u64, u64>) -> StoreAnswer<u64, u64> {
    match request {
        StoreRequest::Read(_) => StoreAnswer::Read(None),
        StoreRequest::Create(..) | StoreRequest::WriteInitial(_) => StoreAnswer::Created(Created::New),
        StoreRequest::ReadPart { key, .. } => StoreAnswer::Part(Err(PartError::Missing { key: *key })),
        StoreRequest::ListParts(_) => StoreAnswer::Listed(Vec::new()),
        _ => StoreAnswer::Failed("there is no disk".to_owned()),
    }
}

impl Twins {
    fn new(durable: bool) -> Self {
        let mut one = start(durable);
        let peers = [2, 3].map(|id| one.topology().peer(NodeId(id)).unwrap());
        let mut greeted = Frames::new();
        one.take_outgoing(peers[0], &mut greeted);
        one.handle_sent(NOW, peers[0]);
        let greeting = greeted.pop_front().unwrap();
        // Both neighbours greet as this node does: in its history.
        for peer in peers {
            one.handle_frame(NOW, peer, greeting.clone(), &mut || Capture::new(0));
        }
        let other = one.clone();
        Self { one, other, next: [greeting.stamp.number() + STEP; 2], peers, taken: 0 }
    }

    /// Both are given the same, each in its way, and are the same afterwards.
    fn hear(&mut self, heard: &[(Peer, Frame<u64>)]) {
        let mut inbox = Inbox::with_capacity(1000);
        for (at, (from, frame)) in heard.iter().enumerate() {
            self.one.handle_frame(NOW, *from, frame.clone(), &mut || Capture::new(1));
            match &frame.body {
                // A transport may say how long a message is on the wire, which is what it weighs.
                Body::Message(message) if at % 2 == 0 && *message % 50 > 0 => {
                    inbox.push_message(*from, frame.stamp, *message, (*message % 50) as usize);
                }
                _ => inbox.push(*from, frame.clone()),
            }
        }
        while self.other.handle_incoming(NOW, &mut inbox, &mut || Capture::new(1)) {}
    }

    fn do_both<R: PartialEq + std::fmt::Debug>(&mut self, input: impl Fn(&mut Node) -> R) -> R {
        let result = input(&mut self.one);
        assert_eq!(result, input(&mut self.other));
        result
    }
}

/// By how much the numbers of two frames differ that follow each other.
const STEP: u64 = 1 << 16;

fn one_round(twins: &mut Twins, random: &mut Random) {
    match random.below(12) {
        0 => drop(twins.do_both(|node| node.initiate(NOW, &mut || Capture::new(2)).ok())),
        1 => {
            let running = twins.one.running();
            if let Some(snapshot) = running.first().map(|running| running.snapshot) {
                twins.do_both(|node| node.abort(snapshot));
            }
        }
        2..6 => {
            for _ in 0..random.below(20) {
                let taken = twins.do_both(Node::take_message);
                twins.taken += u64::from(taken.is_some());
                twins.do_both(|node| node.end_turn().is_ok());
            }
        }
        _ => {}
    }
    let which = random.below(2);
    let from = twins.peers[which];
    let mut heard = Vec::new();
    for _ in 0..1 + random.below(15) {
        let number = &mut twins.next[which];
        let content = random.draw() % 1000;
        let message = |stamp| Frame { stamp, body: Body::Message(content) };
        let stamp = Stamp::new(Generation(1), *number);
        let frame = match random.below(600) {
            0 => message(Stamp::new(Generation(1), *number + STEP)),
            1 => message(Stamp::new(Generation(1), number.saturating_sub(STEP))),
            2 => message(Stamp::new(Generation(1), *number ^ 1)),
            3 => message(Stamp::new(Generation(2), *number)),
            4 => Frame { stamp, body: Body::Control(Bytes::from_static(b"no control")) },
            _ => {
                *number += STEP;
                message(stamp)
            }
        };
        heard.push((from, frame));
    }
    twins.hear(&heard);
}

#[test]
fn a_run_is_the_same_as_its_messages_one_by_one() {
    let mut most = 0;
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut twins = Twins::new(random.below(2) == 0);
        for round in 0..60 {
            one_round(&mut twins, &mut random);
            let [one, other] = [&mut twins.one, &mut twins.other]
                .map(|node| std::iter::from_fn(|| node.poll_output()).collect::<Vec<_>>());
            assert_eq!(one, other, "seed {seed}, round {round}");
            assert_eq!(twins.one, twins.other, "seed {seed}, round {round}");
        }
        most = most.max(twins.taken);
    }
    assert!(most > 100, "some take a hundred messages: {most}");
}
