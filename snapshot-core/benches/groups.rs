//! What a snapshot costs in groups of any size and shape: the rules alone, all nodes in one thread, time for each channel.
//!
//! `cargo bench -p snapshot-core --bench groups` (`-- 100 1000`: groups of so many members alone). The reference is a mesh of as many channels: what grows with anything but the
//! channels shows.

use std::alloc::System;
use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use cap::Cap;
use snapshot_core::{
    Capture, Event, Frames, Graph, NodeId, Output, Peer, Settings, SnapshotCoordinator, Topology,
};

type Node = SnapshotCoordinator<u64, u64>;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const ROUNDS: usize = 15;

/// A ring in which each node has a link to those at distances of a quarter of the way round, of a sixteenth, and so on: so that
/// paths are short, at any size, with few links.
fn chords(members: u64, degree: u64) -> Graph {
    let mut graph = Graph::new((0..members).map(NodeId));
    for node in 0..members {
        let mut step = members;
        for chord in 0..degree {
            step = if chord + 1 == degree { 1 } else { (step / 3).max(degree - chord) };
            graph = graph.link(NodeId(node), NodeId((node + step) % members));
        }
    }
    graph
}

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

/// For each channel, nanoseconds to set the group up, and for a snapshot, which any node begins; and the bytes that it takes when
/// nothing is under way, both ends and their share of the nodes together.
fn measure(graph: &Graph, channels: usize) -> (f64, f64, f64) {
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
    let mut snapshots: Vec<Duration> = snapshots.collect();
    snapshots.sort_unstable();
    let bytes = (ALLOCATOR.allocated() - before) as f64;
    let each = |time: Duration| time.as_nanos() as f64 / channels as f64;
    (each(set_up), each(snapshots[ROUNDS / 2]), bytes / channels as f64)
}

fn main() {
    println!(
        "{:<26}{:>10}{:>16}{:>20}{:>8}{:>20}",
        "group", "channels", "set up ns/ch.", "a snapshot ns/ch.", "ratio", "idle bytes/ch."
    );
    let row = |name: String, channels: usize, (set_up, snapshot, bytes): (f64, f64, f64), reference: f64| {
        let ratio = snapshot / reference;
        println!("{name:<26}{channels:>10}{set_up:>16.0}{snapshot:>20.0}{ratio:>8.2}{bytes:>20.0}");
    };
    let asked: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    for (members, degree) in [(13, 8), (100, 8), (1000, 8), (5000, 8)] {
        if !asked.is_empty() && !asked.contains(&members) {
            continue;
        }
        let chords = chords(members, degree);
        let channels = (members * degree) as usize;
        let meshed = (1..).find(|n| n * (n - 1) >= channels).expect("some number");
        let mesh = Graph::mesh((0..meshed as u64).map(NodeId));
        let in_mesh = meshed * (meshed - 1);
        let reference = measure(&mesh, in_mesh);
        row(format!("mesh of {meshed}"), in_mesh, reference, reference.1);
        row(
            format!("chords: {members} of degree {degree}"),
            channels,
            measure(&chords, channels),
            reference.1,
        );
    }
}
