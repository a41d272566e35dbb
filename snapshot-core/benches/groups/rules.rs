//! The rules alone: coordinators, and a queue of those that have something to do.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use snapshot_core::{
    Capture, Event, Frames, Graph, NodeId, Output, Peer, Settings, SnapshotCoordinator, Topology,
};

use crate::{ALLOCATOR, Cost, ROUNDS};

type Node = SnapshotCoordinator<u64, u64>;

struct Group {
    nodes: Vec<Node>,
    /// By node and place of its neighbour: who that is, and what this node is to it.
    ends: Vec<Vec<(usize, Peer)>>,
}

impl Group {
    fn new(graph: &Graph) -> Self {
        let mut members = graph.members().to_vec();
        members.sort_unstable();
        let topologies: Vec<Topology> =
            members.into_iter().map(|id| graph.at(id).expect("it is connected")).collect();
        // Ids are places here.
        let end = |me: NodeId, peer: Peer| {
            let to = peer.id().0 as usize;
            (to, topologies[to].peer(me).expect("a link has two ends"))
        };
        let ends = topologies.iter().map(|of| of.peers().map(|peer| end(of.me(), peer)).collect()).collect();
        let node = |topology: &Topology| {
            let mut node = Node::new(topology.clone(), Settings::default(), topology.me().0 + 1);
            node.start(Duration::ZERO);
            node
        };
        Self { nodes: topologies.iter().map(node).collect(), ends }
    }

    /// Carries all frames until none is left. Returns how many local snapshots and reports came out of the nodes.
    fn settle(&mut self, begun: Option<usize>) -> (usize, usize) {
        let Self { nodes, ends } = self;
        let capture = &mut || Capture::new(1);
        let (mut parts, mut reports) = (0, 0);
        let mut waiting: VecDeque<usize> =
            begun.map_or_else(|| (0..nodes.len()).collect(), |node| [node].into());
        let mut waits: Vec<bool> =
            (0..nodes.len()).map(|node| begun.is_none_or(|only| only == node)).collect();
        let mut frames = Frames::new();
        while let Some(at) = waiting.pop_front() {
            waits[at] = false;
            while let Some(output) = nodes[at].poll_output() {
                match output {
                    Output::Event(Event::LocalSnapshot(_)) => parts += 1,
                    Output::Report(_) => reports += 1,
                    _ => {}
                }
            }
            while let Some(peer) = nodes[at].departing() {
                assert!(nodes[at].take_outgoing(peer, &mut frames));
                nodes[at].handle_sent(Duration::ZERO, peer);
                let (to, from) = ends[at][peer.index()];
                for frame in frames.drain(usize::MAX) {
                    nodes[to].handle_frame(Duration::ZERO, from, frame, capture);
                }
                if !mem::replace(&mut waits[to], true) {
                    waiting.push_back(to);
                }
            }
        }
        (parts, reports)
    }
}

pub(crate) fn measure(graph: &Graph) -> Cost {
    let (begin, before) = (Instant::now(), ALLOCATOR.allocated());
    let mut group = Group::new(graph);
    group.settle(None);
    let set_up = begin.elapsed();
    let snapshots = (0..ROUNDS).map(|round| {
        let initiator = round * 7 % group.nodes.len();
        let begin = Instant::now();
        group.nodes[initiator].initiate(Duration::ZERO, &mut || Capture::new(1)).expect("it runs");
        let (parts, reports) = group.settle(Some(initiator));
        assert_eq!((parts, reports), (group.nodes.len(), 1), "all take part, and the initiator hears of it");
        begin.elapsed()
    });
    let snapshots = snapshots.collect();
    Cost::new(set_up, snapshots, ALLOCATOR.allocated() - before)
}
