//! The suites of snapshot-core, with the network's own executor and virtual time, and with an executor that knows nothing
//! of it.

use std::sync::Arc;
use std::time::Duration;

use snapshot_conformance::{ClockFixture, TransportFixture};
use snapshot_core::{Clock, Graph, NodeId, Topology};
use snapshot_transport_mem::{MemNetwork, MemTransport};

/// A network whose channels hold so many frames, each of which takes up to so many milliseconds.
struct Mem<const CAPACITY: usize, const DELAY: u64>(MemNetwork<String>);

impl<const CAPACITY: usize, const DELAY: u64> TransportFixture for Mem<CAPACITY, DELAY> {
    type Message = String;
    type Transport = MemTransport<String>;

    fn new(graph: &Graph) -> Self {
        let delay = Duration::ZERO..=Duration::from_millis(DELAY);
        Self(MemNetwork::builder(graph).seed(7).capacity(CAPACITY).delay(delay).build().unwrap())
    }

    async fn start(&self, topology: Topology) -> MemTransport<String> {
        self.0.transport(topology.me())
    }

    fn message(&self, number: u64, size: usize) -> String {
        format!("{number}{}", ".".repeat(size))
    }

    async fn cut(&self, a: NodeId, b: NodeId) -> bool {
        self.0.cut(a, b);
        self.0.heal(a, b);
        true
    }

    fn block_on<T>(&self, scenario: impl Future<Output = T>) -> T {
        self.0.run(scenario).unwrap()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock()
    }
}

/// Real time and the executor of futures, as the trait has it by default.
struct Plain(MemNetwork<u64>);

impl TransportFixture for Plain {
    type Message = u64;
    type Transport = MemTransport<u64>;

    fn new(graph: &Graph) -> Self {
        Self(MemNetwork::new(graph).unwrap())
    }

    async fn start(&self, topology: Topology) -> MemTransport<u64> {
        self.0.transport(topology.me())
    }

    fn message(&self, number: u64, _size: usize) -> u64 {
        number
    }
}

struct Virtual(MemNetwork<u64>);

impl ClockFixture for Virtual {
    fn new() -> Self {
        Self(MemNetwork::mesh::<2>().0)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock()
    }

    async fn pass(&self, duration: Duration) {
        self.0.advance(duration);
    }
}

mod a_channel_of_one_frame {
    snapshot_conformance::transport!(super::Mem<1, 0>);
}

mod a_channel_of_three_frames_with_delays {
    snapshot_conformance::transport!(super::Mem<3, 5>);
}

mod a_channel_as_built_by_default {
    snapshot_conformance::transport!(super::Mem<1024, 0>);
}

mod a_channel_with_delays {
    snapshot_conformance::transport!(super::Mem<1024, 5>);
}

mod under_an_executor_that_knows_nothing_of_it {
    snapshot_conformance::transport!(super::Plain);
}

mod the_virtual_clock {
    snapshot_conformance::clock!(super::Virtual);
}
