//! What a snapshot costs in groups of any size and shape, all in one thread, time for each channel: the rules alone, and whole nodes
//! over the in-memory network.
//!
//! `cargo bench -p snapshot-core --bench groups` (`-- 100 1000`: groups of so many members alone). The reference is a mesh of as
//! many channels: what grows with anything but the channels shows.

mod nodes;
mod rules;

use std::alloc::System;
use std::env;
use std::time::Duration;

use cap::Cap;
use snapshot_core::{Graph, NodeId};

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

/// What a group costs.
struct Cost {
    /// To set it up.
    set_up: Duration,
    /// For a snapshot, which any node begins: the median.
    snapshot: Duration,
    /// What it takes when nothing is under way.
    bytes: usize,
}

impl Cost {
    fn new(set_up: Duration, mut snapshots: Vec<Duration>, bytes: usize) -> Self {
        snapshots.sort_unstable();
        Self { set_up, snapshot: snapshots[snapshots.len() / 2], bytes }
    }

    /// The share of each channel, both ends and their share of the nodes together.
    fn show(&self, name: &str, channels: usize, reference: f64) -> f64 {
        let each = |time: Duration| time.as_nanos() as f64 / channels as f64;
        let (snapshot, bytes) = (each(self.snapshot), self.bytes as f64 / channels as f64);
        let ratio = if reference > 0.0 { snapshot / reference } else { 1.0 };
        let set_up = each(self.set_up);
        println!("{name:<26}{channels:>10}{set_up:>16.0}{snapshot:>20.0}{ratio:>8.2}{bytes:>20.0}");
        snapshot
    }
}

fn main() {
    let asked: Vec<u64> = env::args().filter_map(|argument| argument.parse().ok()).collect();
    for (what, measure) in [("rules", rules::measure as fn(&Graph) -> Cost), ("nodes", nodes::measure)] {
        println!(
            "{what:<26}{:>10}{:>16}{:>20}{:>8}{:>20}",
            "channels", "set up ns/ch.", "a snapshot ns/ch.", "ratio", "idle bytes/ch."
        );
        for (members, degree) in [(13, 8), (100, 8), (1000, 8), (5000, 8)] {
            if !asked.is_empty() && !asked.contains(&members) {
                continue;
            }
            let channels = (members * degree) as usize;
            let meshed = (1..).find(|n| n * (n - 1) >= channels).expect("some number");
            let mesh = measure(&Graph::mesh((0..meshed as u64).map(NodeId)));
            let reference = mesh.show(&format!("mesh of {meshed}"), meshed * (meshed - 1), 0.0);
            let name = format!("chords: {members} of degree {degree}");
            measure(&chords(members, degree)).show(&name, channels, reference);
        }
    }
}
