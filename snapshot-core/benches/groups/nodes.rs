//! Whole nodes, over the in-memory network.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use snapshot_core::{Graph, SnapshotNode};
use snapshot_transport_mem::MemNetwork;

use crate::{ALLOCATOR, Cost, ROUNDS};

pub(crate) fn measure(graph: &Graph) -> Cost {
    let (begin, before) = (Instant::now(), ALLOCATOR.allocated());
    let network = MemNetwork::<u64>::new(graph).expect("a good graph");
    let (mut lives, mut handles) = (FuturesUnordered::new(), Vec::new());
    for id in graph.members().iter().copied() {
        let builder = SnapshotNode::builder(network.transport(id)).seed(id.0 + 1);
        let mut node = network.run(builder.start(&mut ())).expect("it waits for nobody").expect("it starts");
        handles.push(node.handle());
        lives.push(async move {
            loop {
                node.next(&mut ()).await.expect("it runs");
            }
        });
    }
    let (mut set_up, mut snapshots) = (Duration::ZERO, Vec::new());
    let taken = async {
        for round in 0..=ROUNDS {
            let begun = Instant::now();
            handles[round * 7 % handles.len()].snapshot().await.expect("all take part");
            // The first one waits until all have greeted each other.
            if round == 0 {
                set_up = begin.elapsed();
            } else {
                snapshots.push(begun.elapsed());
            }
        }
    };
    let Ok(Either::Left(_)) = network.run(select(Box::pin(taken), lives.next())) else {
        panic!("no node ends");
    };
    Cost::new(set_up, snapshots, ALLOCATOR.allocated() - before)
}
