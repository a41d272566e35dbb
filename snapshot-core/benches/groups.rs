//! What a snapshot costs in groups of any size and shape: the rules alone, all nodes in one thread, time for each channel.
//!
//! `cargo bench -p snapshot-core --bench groups`. The reference is a mesh of as many channels: what grows with anything but the
//! channels shows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use snapshot_core::{Capture, Event, Frames, Graph, NodeId, Output, Settings, SnapshotCoordinator};

type Node = SnapshotCoordinator<u64, u64>;

const ROUNDS: usize = 7;

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

fn nodes(graph: &Graph) -> Vec<Node> {
    let mut members = graph.members().to_vec();
    members.sort_unstable();
    let node = |id: NodeId| {
        let mut node = Node::new(graph.at(id).expect("it is connected"), Settings::default(), id.0 + 1);
        node.start(Duration::ZERO);
        node
    };
    members.into_iter().map(node).collect()
}

/// Carries all frames until none is left. Returns how many local snapshots and reports came out of the nodes in `asked`.
fn settle(nodes: &mut [Node], begun: Option<usize>) -> (usize, usize) {
    let capture = &mut || Capture::new(1);
    let (mut parts, mut reports) = (0, 0);
    let mut waiting: VecDeque<usize> = begun.map_or_else(|| (0..nodes.len()).collect(), |node| [node].into());
    let mut frames = Frames::new();
    while let Some(at) = waiting.pop_front() {
        while let Some(output) = nodes[at].poll_output() {
            match output {
                Output::Event(Event::LocalSnapshot(_)) => parts += 1,
                Output::Report(_) => reports += 1,
                _ => {}
            }
        }
        let (me, peers) = (nodes[at].topology().me(), nodes[at].topology().clone());
        for peer in peers.outgoing() {
            if nodes[at].take_outgoing(peer, &mut frames) {
                nodes[at].handle_sent(Duration::ZERO, peer);
                // Ids are places here.
                let to = peer.id().0 as usize;
                let from = nodes[to].topology().peer(me).expect("a link has two ends");
                for frame in frames.drain(usize::MAX) {
                    nodes[to].handle_frame(Duration::ZERO, from, frame, capture);
                }
                waiting.push_back(to);
            }
        }
    }
    (parts, reports)
}

/// Nanoseconds for each channel: to set the group up, and for a snapshot, which any node begins.
fn measure(graph: &Graph, channels: usize) -> (f64, f64) {
    let begin = Instant::now();
    let mut nodes = nodes(graph);
    settle(&mut nodes, None);
    let set_up = begin.elapsed();
    let snapshots = (0..ROUNDS).map(|round| {
        let initiator = round * 7 % nodes.len();
        let begin = Instant::now();
        nodes[initiator].initiate(Duration::ZERO, &mut || Capture::new(1)).expect("it runs");
        let (parts, reports) = settle(&mut nodes, Some(initiator));
        assert_eq!((parts, reports), (nodes.len(), 1), "all take part, and the initiator hears of it");
        begin.elapsed()
    });
    let mut snapshots: Vec<Duration> = snapshots.collect();
    snapshots.sort_unstable();
    let each = |time: Duration| time.as_nanos() as f64 / channels as f64;
    (each(set_up), each(snapshots[ROUNDS / 2]))
}

fn main() {
    println!(
        "{:<34}{:>10}{:>16}{:>22}{:>8}",
        "group", "channels", "set up ns/ch.", "a snapshot ns/ch.", "ratio"
    );
    for (members, degree) in [(13, 8), (100, 8), (1000, 8), (5000, 8)] {
        let chords = chords(members, degree);
        let channels = (members * degree) as usize;
        let meshed = (1..).find(|n| n * (n - 1) >= channels).expect("some number");
        let mesh = Graph::mesh((0..meshed as u64).map(NodeId));
        let (mesh_up, reference) = measure(&mesh, meshed * (meshed - 1));
        println!(
            "{:<34}{:>10}{mesh_up:>16.0}{reference:>22.0}{:>8}",
            format!("mesh of {meshed}"),
            meshed * (meshed - 1),
            1
        );
        let (set_up, snapshot) = measure(&chords, channels);
        let ratio = snapshot / reference;
        println!(
            "{:<34}{channels:>10}{set_up:>16.0}{snapshot:>22.0}{ratio:>8.2}",
            format!("chords: {members} of degree {degree}")
        );
    }
}
