//! Graphs and settings that cannot work, transports that break a clause, peers that use a channel for what it is not: each has
//! its error.

use std::time::Duration;

use futures::executor::block_on;
use snapshot_core::{
    Body, Bound, Capture, Event, Frame, Frames, Generation, Graph, Inbox, NodeBuilder, NodeError, NodeId,
    Output, Peer, SendError, Settings, SnapshotCoordinator, SnapshotNode, Stamp, Topology, TopologyError,
    Transport, TransportError, Violation, async_trait,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// Brings too many messages, or takes too few.
struct Breaking {
    topology: Topology,
    brings: usize,
}

impl Breaking {
    fn new(brings: usize) -> Self {
        Self { topology: Graph::mesh([A, B]).at(A).unwrap(), brings }
    }
}

#[async_trait]
impl Transport for Breaking {
    type Message = u64;

    fn topology(&self) -> &Topology {
        &self.topology
    }

    async fn send(&self, _: Peer, frames: &mut Frames<u64>) -> Result<(), TransportError> {
        if self.brings == 0 {
            return Ok(());
        }
        frames.clear();
        std::future::pending().await
    }

    async fn recv(&self, into: &mut Inbox<u64>) -> Result<(), TransportError> {
        if self.brings == 0 {
            return std::future::pending().await;
        }
        let from = self.topology.peer(B).unwrap();
        for number in 1..=self.brings as u64 {
            into.push(from, Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(number) });
        }
        Ok(())
    }
}

fn first_error(brings: usize) -> NodeError {
    block_on(async {
        let mut node = SnapshotNode::builder(Breaking::new(brings)).start(&mut ()).await.unwrap();
        node.next(&mut ()).await.unwrap_err()
    })
}

#[test]
fn a_transport_that_breaks_a_clause_ends_the_node_by_the_name_of_the_clause() {
    assert!(matches!(first_error(1025), NodeError::Contract { clause: "T3", .. }));
    assert!(matches!(first_error(0), NodeError::Contract { clause: "T6", .. }));
}

#[test]
fn settings_that_cannot_work_are_refused_with_what_they_need() {
    type Build = fn(NodeBuilder<(), u64>) -> NodeBuilder<(), u64>;
    let cases: [(Build, &str); 11] = [
        (|b| b.outbox(Bound::new(0, 1), Bound::new(1, 1)), "0 < low <= high < hard"),
        (|b| b.outbox(Bound::new(1, 0), Bound::new(1, 1)), "0 < low <= high < hard"),
        (|b| b.outbox(Bound::new(9, 9), Bound::new(8, 9)), "0 < low <= high < hard"),
        (|b| b.outbox(Bound::new(9, 9), Bound::new(9, 8)), "0 < low <= high < hard"),
        (|b| b.outbox_hard(Bound::new(16 * 4096, usize::MAX)), "0 < low <= high < hard"),
        (|b| b.outbox_hard(Bound::new(usize::MAX, 16 << 20)), "0 < low <= high < hard"),
        (|b| b.outbox_hard(Bound::new(9, 9)), "0 < low <= high < hard"),
        (|b| b.inbox(Bound::new(0, 1)), "room for one message"),
        (|b| b.interval(Duration::ZERO), "longer than nothing"),
        (|b| b.deadline(Duration::ZERO), "longer than nothing"),
        (|b| b.max_running(0), "1 at least"),
    ];
    for (build, text) in cases {
        let error = block_on(build(SnapshotNode::builder(Breaking::new(1))).start(&mut ())).unwrap_err();
        assert!(matches!(&error, NodeError::Configuration(what) if what.contains(text)), "{error:?}: {text}");
    }
    let narrowest =
        |b: NodeBuilder<(), u64>| b.outbox(Bound::new(1, 1), Bound::new(1, 1)).outbox_hard(Bound::new(2, 2));
    block_on(narrowest(SnapshotNode::builder(Breaking::new(1))).start(&mut ())).expect("it is enough");
}

#[test]
fn graphs_that_cannot_be_are_refused_by_what_is_wrong_with_them() {
    let error = |graph: Graph| graph.at(A).unwrap_err();
    assert_eq!(error(Graph::new([])), TopologyError::NoMembers);
    assert_eq!(error(Graph::new([A, B, C, B])), TopologyError::DuplicateMember { node: B });
    assert_eq!(error(Graph::new([A]).link(A, A)), TopologyError::SelfLink { node: A });
    let unknown = TopologyError::UnknownMember { from: A, to: C, node: C };
    assert_eq!(error(Graph::mesh([A, B]).link(A, C)), unknown);
    assert_eq!(error(Graph::mesh([B, C])), TopologyError::NotAMember { node: A });
}

type Coordinator = SnapshotCoordinator<u64, ()>;

fn started(topology: Topology, settings: Settings) -> Coordinator {
    let mut node = Coordinator::new(topology, settings, 1);
    node.start(Duration::ZERO);
    node
}

fn events(node: &mut Coordinator) -> Vec<Event<u64, ()>> {
    let outputs = std::iter::from_fn(|| node.poll_output());
    outputs.filter_map(|output| if let Output::Event(event) = output { Some(event) } else { None }).collect()
}

#[test]
fn a_channel_is_used_for_what_the_graph_says_and_for_nothing_else() {
    // Messages go round; the way back carries only markers and control.
    let ring = Graph::ring([A, B, C]).with_way_back();
    let mut node = started(ring.at(A).unwrap(), Settings::default());
    let [b, c] = [B, C].map(|id| node.topology().peer(id).unwrap());
    assert_eq!(node.send(c, 1), Err(SendError::NoMessages { me: A, to: C }));
    let stranger = Graph::mesh([A, NodeId(9)]).at(A).unwrap().peer(NodeId(9)).unwrap();
    assert_eq!(node.send(stranger, 1), Err(SendError::UnknownPeer { me: A, to: NodeId(9) }));

    let tag = node.topology().fingerprint() & 0xffff;
    let mut violation = |from, count: u64, body| {
        let frame = Frame { stamp: Stamp::new(Generation(1), count << 16 | tag), body };
        node.handle_frame(Duration::ZERO, from, frame, &mut || Capture::new(()));
        match &events(&mut node)[..] {
            [Event::Violation { what, .. }] => what.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(violation(b, 1, Body::Message(7)), Violation::MessageOnWayBack);
    assert_eq!(violation(c, 0, Body::Message(7)), Violation::Unnumbered);
    let nonsense = Body::Control(bytes::Bytes::from_static(b"?"));
    assert!(matches!(violation(c, 0, nonsense), Violation::Unreadable { .. }));

    // Without a way back there is no channel from the next one at all.
    let mut node = started(Graph::ring([A, B, C]).at(A).unwrap(), Settings::default());
    let b = node.topology().peer(B).unwrap();
    assert_eq!(node.send(node.topology().peer(C).unwrap(), 1), Err(SendError::NoMessages { me: A, to: C }));
    let frame = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message(7) };
    node.handle_frame(Duration::ZERO, b, frame, &mut || Capture::new(()));
    assert!(matches!(events(&mut node)[..], [Event::Violation { what: Violation::NoChannel, .. }]));
}

#[test]
fn a_node_from_which_nothing_departs_says_so_once_for_each_time_that_it_has_stood_still() {
    let settings = Settings {
        outbox_low: Bound::new(1, 1 << 10),
        outbox_high: Bound::new(2, 1 << 10),
        stall: Duration::from_secs(10),
        ..Settings::default()
    };
    let mut node = started(Graph::mesh([A, B]).at(A).unwrap(), settings);
    let b = node.topology().peer(B).unwrap();
    for message in 0..2 {
        node.send(b, message).unwrap();
    }
    node.end_turn().unwrap();
    let mut at = |seconds| {
        node.handle_timeout(Duration::from_secs(seconds), &mut || Capture::new(()));
        events(&mut node)
    };
    let stalled = [Event::Stalled { waiting_for: vec![B] }];
    assert_eq!(at(0), [], "this is when it is first seen");
    assert_eq!(at(9), []);
    assert_eq!(at(10), stalled);
    assert_eq!(at(19), []);
    assert_eq!(at(20), stalled);
}
