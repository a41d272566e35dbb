//! The clauses of `Transport`, over connections that threads carry by hand, with little room and with much.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use bytes::Bytes;
use futures::executor::block_on;
use futures::future::{AbortHandle, abortable};
use snapshot_conformance::TransportFixture;
use snapshot_core::{Arrivals, Departures, Graph, LinkTransport, Links, NodeId, Topology};

mod of_one_frame {
    snapshot_conformance::transport!(super::Switchboard<1>);
}

mod of_many_frames {
    snapshot_conformance::transport!(super::Switchboard<1024>);
}

/// Connects those that run.
struct Switchboard<const CAPACITY: usize> {
    running: Mutex<BTreeMap<NodeId, Links<Bytes>>>,
    wires: Mutex<Vec<(NodeId, NodeId, AbortHandle)>>,
}

impl<const CAPACITY: usize> TransportFixture for Switchboard<CAPACITY> {
    type Message = Bytes;
    type Transport = LinkTransport<Bytes>;

    fn new(_: &Graph) -> Self {
        Self { running: Mutex::default(), wires: Mutex::default() }
    }

    async fn start(&self, topology: Topology) -> LinkTransport<Bytes> {
        let me = topology.me();
        let (transport, links) = LinkTransport::with_capacity(topology.clone(), CAPACITY);
        let mut running = self.running.lock().unwrap();
        running.insert(me, links.clone());
        for (id, other) in running.iter().filter(|(id, _)| topology.peer(**id).is_some()) {
            self.connect((me, &links), (*id, other));
        }
        transport
    }

    fn message(&self, number: u64, size: usize) -> Bytes {
        let mut bytes = number.to_le_bytes().repeat(size.div_ceil(8));
        bytes.truncate(size);
        bytes.into()
    }

    async fn cut(&self, a: NodeId, b: NodeId) -> bool {
        let cut =
            |(from, to, _): &(NodeId, NodeId, AbortHandle)| [*from, *to] == [a, b] || [*from, *to] == [b, a];
        let wires: Vec<_> = self.wires.lock().unwrap().extract_if(.., |wire| cut(wire)).collect();
        wires.iter().for_each(|(_, _, wire)| wire.abort());
        let running = self.running.lock().unwrap();
        self.connect((a, &running[&a]), (b, &running[&b]));
        true
    }
}

impl<const CAPACITY: usize> Switchboard<CAPACITY> {
    fn connect(&self, (a, links_of_a): (NodeId, &Links<Bytes>), (b, links_of_b): (NodeId, &Links<Bytes>)) {
        // One that has ended takes none, and the other is told of a loss by what is dropped here.
        let (Ok((to_a, from_a)), Ok((to_b, from_b))) = (links_of_a.connect(b), links_of_b.connect(a)) else {
            return;
        };
        for (from, to, departures, arrivals) in [(a, b, from_a, to_b), (b, a, from_b, to_a)] {
            let (wire, handle) = abortable(carry(departures, arrivals));
            self.wires.lock().unwrap().push((from, to, handle));
            thread::spawn(move || block_on(wire));
        }
    }
}

async fn carry(mut departures: Departures<Bytes>, mut arrivals: Arrivals<Bytes>) {
    while let Some(frame) = departures.next().await {
        if arrivals.push(frame).await.is_err() {
            return;
        }
    }
    if departures.is_closing() {
        arrivals.leave();
    }
}
