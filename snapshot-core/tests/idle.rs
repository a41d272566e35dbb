//! What a neighbour costs with which nothing is going on: bytes, counted, of a node in a star of many.
//!
//! One test alone, since memory is counted for the whole process.

use std::alloc::System;
use std::time::Duration;

use cap::Cap;
use futures::FutureExt;
use futures::future::pending;
use snapshot_core::{
    Capture, Frames, Graph, Inbox, NodeId, Peer, Settings, SnapshotCoordinator, SnapshotNode, Topology,
    Transport, TransportError, async_trait,
};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The most that an idle neighbour may take: both channels, in the rules and in the node around them.
const MOST: usize = 512;

/// So many neighbours, and so many more.
const FEW: u64 = 500;
const MORE: u64 = 1500;

const HUB: NodeId = NodeId(0);

/// The topology takes what it takes, for all nodes of a process together; it is not counted here.
fn hub(neighbours: u64) -> Topology {
    Graph::star((0..=neighbours).map(NodeId)).at(HUB).expect("a good graph")
}

/// What a neighbour takes of what `make` makes, by the difference between many of them and few.
fn each<T>(make: impl Fn(Topology) -> T) -> usize {
    let [few, more] = [FEW, MORE].map(|neighbours| {
        let topology = hub(neighbours);
        let before = ALLOCATOR.allocated();
        let made = make(topology);
        let taken = ALLOCATOR.allocated() - before;
        drop(made);
        taken
    });
    (more - few) / (MORE - FEW) as usize
}

/// Greets all, and lets all send; a snapshot goes by.
fn rules(topology: Topology) -> SnapshotCoordinator<u64, u64> {
    let neighbours = topology.peers().len();
    let mut node = SnapshotCoordinator::new(topology, Settings::default(), 1);
    let now = Duration::ZERO;
    let mut frames = Frames::new();
    node.start(now);
    let mut depart = |node: &mut SnapshotCoordinator<u64, u64>| {
        let mut count = 0;
        while let Some(peer) = node.departing() {
            assert!(node.take_outgoing(peer, &mut frames));
            count += frames.drain(usize::MAX).count();
            node.handle_sent(now, peer);
        }
        count
    };
    assert_eq!(depart(&mut node), neighbours * 2, "a greeting and a grant for each");
    let id = node.initiate(now, &mut || Capture::new(0)).expect("it runs");
    assert_eq!(depart(&mut node), neighbours, "a marker for each");
    assert!(node.abort(id));
    assert_eq!(depart(&mut node), neighbours, "each is told");
    while node.poll_output().is_some() {}
    node
}

/// Takes everything, and brings nothing.
struct Silent(Topology);

#[async_trait]
impl Transport for Silent {
    type Message = u64;

    fn topology(&self) -> &Topology {
        &self.0
    }

    async fn send(&self, _: Peer, frames: &mut Frames<u64>) -> Result<(), TransportError> {
        frames.clear();
        Ok(())
    }

    async fn recv(&self, _: &mut Inbox<u64>) -> Result<(), TransportError> {
        pending().await
    }
}

fn node(topology: Topology) -> SnapshotNode<(), u64> {
    let state = &mut ();
    let start = SnapshotNode::builder(Silent(topology)).start(state);
    let mut node = start.now_or_never().expect("it waits for nobody").expect("it starts");
    assert!(node.next(&mut ()).now_or_never().is_none(), "nothing comes");
    node
}

#[test]
fn an_idle_neighbour_takes_at_most_512_bytes() {
    let (rules, node) = (each(rules), each(node));
    println!("an idle neighbour takes {rules} bytes in the rules, {node} in a node");
    assert!(rules > 100 && node > 100, "{rules} and {node} bytes: nothing was counted");
    assert!(rules <= MOST, "{rules} bytes");
    assert!(node <= MOST, "{node} bytes");
}
