//! What a message weighs, and how it is copied, is the application's to say.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use snapshot_core::{
    Bound, Event, Graph, LocalSnapshot, NodeBuilder, NodeId, SendError, Settings, SnapshotCoordinator,
    SnapshotNode,
};
use snapshot_transport_mem::MemNetwork;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// Holds bytes that a receive buffer may own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Slice {
    bytes: Arc<Vec<u8>>,
    own: bool,
}

impl Slice {
    fn of(size: usize) -> Self {
        Self { bytes: Arc::new(vec![7; size]), own: false }
    }
}

fn weigh(slice: &Slice) -> usize {
    slice.bytes.len()
}

fn own(slice: &Slice) -> Slice {
    Slice { bytes: Arc::new(slice.bytes.to_vec()), own: true }
}

/// Of the hard bound of an outbox: what fits under it, by weight.
#[test]
fn a_coordinator_weighs_messages_as_it_is_told() {
    let settings = Settings {
        outbox_low: Bound::new(usize::MAX, 100),
        outbox_high: Bound::new(usize::MAX, 200),
        outbox_hard: Bound::new(usize::MAX, 1000),
        ..Settings::default()
    };
    let topology = Graph::mesh([A, B]).at(A).unwrap();
    let to = topology.peer(B).unwrap();
    let mut coordinator = SnapshotCoordinator::<Slice, ()>::new(topology, settings, 1).with_weight(weigh);
    coordinator.start(Duration::ZERO);
    coordinator.send(to, Slice::of(50)).unwrap();
    assert!(coordinator.has_room(), "50 bytes and a greeting");
    coordinator.send(to, Slice::of(60)).unwrap();
    assert!(!coordinator.has_room(), "110 bytes");
    coordinator.send(to, Slice::of(900)).unwrap();
    assert_eq!(coordinator.send(to, Slice::of(1)), Err(SendError::OutboxFull));
}

/// Two nodes; the parts of a snapshot that is begun by A when two messages have come to it: one that nobody has taken, and one
/// that comes before B's marker.
fn parts(tune: fn(NodeBuilder<(), Slice>) -> NodeBuilder<(), Slice>) -> Vec<LocalSnapshot<(), Slice>> {
    let (network, transports) = MemNetwork::mesh::<2>();
    let mut states = [(); 2];
    let mut nodes: Vec<SnapshotNode<(), Slice>> = (1..)
        .zip(transports)
        .zip(&mut states)
        .map(|((seed, transport), state)| {
            let builder = tune(SnapshotNode::builder(transport).seed(seed));
            network.run(builder.start(state)).unwrap().unwrap()
        })
        .collect();
    let mut parts = Vec::new();
    nodes[1].send(A, Slice::of(10)).unwrap();
    network.run(nodes[1].flush(&mut ())).unwrap().unwrap();
    // Not through `next`, which would hand the message out.
    nodes[0].snapshot();
    nodes[1].send(A, Slice::of(20)).unwrap();
    for _ in 0..100 {
        for (node, state) in nodes.iter_mut().zip(&mut states) {
            while let Some(event) = node.next(state).now_or_never() {
                match event.unwrap() {
                    Event::LocalSnapshot(part) => parts.push(*part),
                    Event::SnapshotAborted { reason, .. } => panic!("{reason:?}"),
                    _ => {}
                }
            }
        }
        network.advance(Duration::from_millis(1));
    }
    parts
}

#[test]
fn recorded_messages_are_copied_as_the_builder_is_told() {
    for (by_hand, parts) in
        [(false, parts(|builder| builder)), (true, parts(|builder| builder.message_copy(own)))]
    {
        let recorded: Vec<&Slice> = parts.iter().flat_map(|part| part.channels.values().flatten()).collect();
        assert_eq!(recorded.iter().map(|slice| weigh(slice)).sum::<usize>(), 30, "{recorded:?}");
        assert!(recorded.iter().all(|slice| slice.own == by_hand), "{recorded:?}");
    }
}

#[test]
fn a_node_weighs_messages_as_its_builder_is_told() {
    let (network, [transport, _]) = MemNetwork::mesh::<2>();
    let builder = SnapshotNode::builder(transport)
        .outbox(Bound::new(usize::MAX - 1, 100), Bound::new(usize::MAX - 1, 200))
        .outbox_hard(Bound::new(usize::MAX, 1000))
        .message_weight(weigh);
    let mut node: SnapshotNode<(), Slice> = network.run(builder.start(&mut ())).unwrap().unwrap();
    node.send(B, Slice::of(900)).unwrap();
    assert!(!node.has_room());
    node.send(B, Slice::of(100)).unwrap();
    assert_eq!(node.send(B, Slice::of(1)), Err(SendError::OutboxFull));
}
