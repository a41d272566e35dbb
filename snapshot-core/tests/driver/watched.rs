//! Nodes that are run for some time, and what they say; captured states are counted while they are in memory.

#![allow(unreachable_pub, reason = "a part of the tests")]

use std::io::{self, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use snapshot_core::{
    Event, NodeBuilder, NodeId, Postcard, Retention, SnapshotNode, SnapshotStore, StateProvider,
};
use snapshot_transport_mem::MemNetwork;

pub const A: NodeId = NodeId(1);
pub const SECOND: Duration = Duration::from_secs(1);

/// A state whose captures are counted while they are in memory.
#[derive(Default)]
pub struct State {
    pub alive: Arc<AtomicUsize>,
    pub most: Arc<AtomicUsize>,
}

pub struct Captured(Arc<AtomicUsize>);

impl Captured {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(alive))
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl StateProvider for State {
    type Captured = Captured;

    fn capture(&mut self) -> Captured {
        let captured = Captured::new(&self.alive);
        self.most.fetch_max(self.alive.load(Ordering::Relaxed), Ordering::Relaxed);
        captured
    }

    fn install(&mut self, _: Captured) {}

    fn encode(_: &Captured, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"state")
    }

    fn decode(_: u32, input: &mut dyn Read) -> io::Result<Captured> {
        input.read_to_end(&mut Vec::new()).map(|_| Captured(Arc::new(AtomicUsize::new(1))))
    }
}

pub type Node = SnapshotNode<State, u64>;

pub fn builder(network: &MemNetwork<u64>, id: NodeId, store: impl SnapshotStore) -> NodeBuilder<State, u64> {
    SnapshotNode::builder(network.transport(id))
        .store(store)
        .codec(Postcard)
        .retention(Retention::last(1))
        .deadline(3 * SECOND)
        .store_timeout(5 * SECOND)
}

/// Runs nodes for so long; all that they say.
pub fn watch(
    network: &MemNetwork<u64>,
    nodes: &mut [(&mut Node, &mut State)],
    time: Duration,
) -> Vec<Vec<String>> {
    let clock = network.clock();
    let end = network.now() + time;
    let watched = nodes.iter_mut().map(|(node, state)| {
        let clock = Arc::clone(&clock);
        async move {
            let mut said = Vec::new();
            loop {
                match select(pin!(node.next(state)), clock.sleep_until(end)).await {
                    Either::Left((event, _)) => said.push(tell(event.expect("it runs"))),
                    Either::Right(_) => return said,
                }
            }
        }
    });
    network.run(futures::future::join_all(watched)).expect("time passes")
}

fn tell(event: Event<u64, Captured>) -> String {
    match event {
        Event::StoreFailed { error } => format!("store failed: {error}"),
        Event::SnapshotAborted { reason, .. } => format!("aborted: {reason}"),
        Event::Committed { .. } => "committed".to_owned(),
        Event::RolledBack { .. } => "rolled back".to_owned(),
        _ => "something else".to_owned(),
    }
}

pub fn count(said: &[String], what: &str) -> usize {
    said.iter().filter(|said| said.contains(what)).count()
}

/// A node that has committed once, on an interval of a second.
pub fn running(store: impl SnapshotStore) -> (MemNetwork<u64>, Node, State) {
    let (network, [_]) = MemNetwork::<u64>::mesh::<1>();
    let mut state = State::default();
    let started = network.run(builder(&network, A, store).interval(SECOND).seed(1).start(&mut state));
    let mut node = started.unwrap().unwrap();
    let said = watch(&network, &mut [(&mut node, &mut state)], 2 * SECOND);
    assert!(count(&said[0], "committed") > 0, "{said:?}");
    (network, node, state)
}
