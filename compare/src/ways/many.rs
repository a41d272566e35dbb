//! One node and many neighbours, which share a process, and a runtime with one thread in it.

use bytes::Bytes;
use snapshot_core::{Graph, NodeId, RawBytes, Topology};

use super::connect::{dial, listen};
use super::node;
use crate::setup::{End, Setup};
use crate::tally::Tally;
use crate::way::Way;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let message = Bytes::from(vec![7; setup.size]);
    let gathers = setup.way == Way::ManyIn;
    let End::Send(address) = setup.end else {
        let mut node = node::start(listen(at(setup.neighbours, 0), RawBytes).await).await;
        return match gathers {
            true => node::receive(&mut node, &tally).await,
            false => node::send(&mut node, || message.clone()).await,
        };
    };
    for neighbour in 1..=setup.neighbours {
        let (address, message, tally) = (address.clone(), message.clone(), tally.clone());
        let topology = at(setup.neighbours, neighbour);
        tokio::spawn(async move {
            let mut node = node::start(dial(topology, &address, RawBytes).await).await;
            match gathers {
                true => node::send(&mut node, || message.clone()).await,
                false => node::receive(&mut node, &tally).await,
            }
        });
    }
    std::future::pending::<()>().await;
}

/// The first member is linked with all, and they with none but it.
fn at(neighbours: usize, index: usize) -> Topology {
    let members: Vec<NodeId> = (1..=neighbours as u64 + 1).map(NodeId).collect();
    Graph::star(members.iter().copied()).at(members[index]).expect("a member")
}
