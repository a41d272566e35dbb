//! Four nodes with a small state, each of which sends to all others; with a store, and perhaps snapshots.

use std::hint::black_box;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use snapshot_core::{Event, Graph, NodeId, PostcardState, RawBytes, SnapshotNode};
use snapshot_store::DirectoryStore;
use snapshot_transport_tcp::TcpTransport;

use super::connect::any_port;
use crate::setup::{End, Setup};
use crate::tally::{Tally, say};

/// Each in a process of its own.
pub(crate) const MEMBERS: u64 = 4;

#[derive(Clone, Default, Debug, Serialize, Deserialize)]
struct Counters {
    sent: u64,
    received: [u64; MEMBERS as usize],
}

impl PostcardState for Counters {}

pub(super) async fn run(setup: Setup, tally: Tally) {
    let End::Member(addresses) = setup.end else { panic!("a group has members") };
    let me = NodeId(addresses.len() as u64 + 1);
    let topology = Graph::mesh((1..=MEMBERS).map(NodeId)).at(me).expect("a member");
    let transport = TcpTransport::builder(topology, RawBytes)
        .peers((1..).map(NodeId).zip(addresses))
        .listen(any_port())
        .bind()
        .await
        .expect("a port");
    say(&format!("address {}", transport.local_addr().expect("it listens")));
    let store = DirectoryStore::open(setup.folder.expect("it has a store")).expect("a folder");
    let mut builder = SnapshotNode::builder(transport).store(store);
    if let Some(interval) = setup.interval {
        builder = builder.interval(interval);
    }
    let mut counters = Counters::default();
    let mut node = builder.start(&mut counters).await.expect("it starts");
    let peers: Vec<_> = node.topology().peers().collect();
    let (mut to, message) = (peers.iter().cycle(), Bytes::from(vec![7; setup.size]));
    loop {
        // A turn receives or sends, and after each comes the other where both can be.
        for _ in 0..peers.len() {
            let to = *to.next().expect("there are others");
            if node.has_room_for(to) {
                counters.sent += 1;
                node.send(to, black_box(message.clone())).expect("there is room");
            }
        }
        match node.next(&mut counters).await.expect("it runs") {
            Event::Message { from, message } => {
                black_box(message);
                counters.received[from.id().0 as usize - 1] += 1;
                tally.one();
            }
            Event::Committed { .. } => tally.committed(),
            event @ (Event::RolledBack { .. } | Event::SnapshotAborted { .. }) => panic!("{event:?}"),
            _ => {}
        }
    }
}
