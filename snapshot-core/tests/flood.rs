//! Memory is bounded by what is configured, whoever takes nothing and however large messages are: they own memory, and are weighed
//! by their byte form.
//!
//! One test alone, since memory is counted for the whole process.

use std::alloc::System;
use std::cell::Cell;
use std::time::Duration;

use cap::Cap;
use snapshot_core::{Bound, Event, Graph, NodeBuilder, NodeId, Postcard, SnapshotNode};
use snapshot_transport_mem::MemNetwork;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

const KIB: usize = 1 << 10;
const MESSAGE: usize = 256 * KIB;

/// What may be on its way to a node or wait in it, from all neighbours together.
const WINDOW: usize = 2048 * KIB;

/// What may wait to be sent before there is no more room, at all neighbours together.
const LOW: usize = 1024 * KIB;

/// More than either, and less than what an outbox may hold at all.
const LARGE: usize = 3072 * KIB;

/// Queues, tasks, and what else is not messages.
const SLACK: usize = 256 * KIB;

type Node = SnapshotNode<(), String>;
type Network = MemNetwork<String>;

fn build(builder: NodeBuilder<(), String>) -> NodeBuilder<(), String> {
    let many = 4096;
    builder
        .codec(Postcard)
        .inbox(Bound::new(many, WINDOW))
        .outbox(Bound::new(many, LOW), Bound::new(many, LARGE))
        .outbox_hard(Bound::new(2 * many, 2 * LARGE))
}

fn start<const N: usize>(graph: &Graph, ids: [NodeId; N]) -> (Network, [Node; N]) {
    // The network itself holds up nobody.
    let network = Network::builder(graph).capacity(1 << 20).build().expect("a good graph");
    let nodes = ids.map(|id| {
        let builder = build(SnapshotNode::builder(network.transport(id))).seed(id.0);
        network.run(builder.start(&mut ())).expect("it waits for nobody").expect("it starts")
    });
    (network, nodes)
}

fn message(size: usize) -> String {
    "x".repeat(size)
}

/// What is allocated beyond what there was at the beginning, and the most that was seen.
struct Meter {
    before: usize,
    most: Cell<usize>,
}

impl Meter {
    fn start() -> Self {
        Self { before: ALLOCATOR.allocated(), most: Cell::new(0) }
    }

    fn look(&self) {
        self.most.set(self.most.get().max(ALLOCATOR.allocated().saturating_sub(self.before)));
    }

    /// A bound that is kept, and that says something: a good part of it was used.
    fn kept(&self, bound: usize) {
        let most = self.most.get();
        assert!(most <= bound && most > bound / 2, "{} KiB were allocated, of {}", most / KIB, bound / KIB);
    }
}

/// Sends whenever there is room, for ever.
async fn flood(node: &mut Node, to: &[NodeId], sent: &Cell<usize>, meter: &Meter) {
    loop {
        for to in to {
            while node.has_room_for(*to) {
                node.send(*to, message(MESSAGE)).expect("there is room");
                sent.set(sent.get() + 1);
                meter.look();
            }
        }
        node.next(&mut ()).await.expect("it runs");
        meter.look();
    }
}

/// Takes part in all that goes on, and takes no message.
async fn take_nothing(node: &mut Node, network: &Network, meter: &Meter) {
    let clock = network.clock();
    loop {
        node.flush(&mut ()).await.expect("it runs");
        meter.look();
        clock.sleep_until(clock.now() + Duration::from_millis(100)).await;
    }
}

/// Takes so many messages, one in each `pause`.
async fn take(node: &mut Node, messages: usize, pause: Duration, network: &Network, meter: &Meter) {
    let (clock, mut taken) = (network.clock(), 0);
    while taken < messages {
        let event = node.next(&mut ()).await.expect("it runs");
        taken += usize::from(matches!(event, Event::Message { .. }));
        drop(event);
        meter.look();
        if !pause.is_zero() {
            clock.sleep_until(clock.now() + pause).await;
        }
    }
}

#[test]
fn what_is_allocated_is_bounded_by_windows_outboxes_and_one_message() {
    nobody_takes_anything();
    one_is_taken_now_and_then();
    snapshots_record_what_there_is();
    one_is_larger_than_every_window();
    one_of_two_neighbours_takes_nothing();
}

fn nobody_takes_anything() {
    let meter = Meter::start();
    let (network, [mut a, mut b]) = start(&Graph::mesh([A, B]), [A, B]);
    let (sent, clock) = (Cell::new(0), network.clock());
    let run = network.run(async {
        tokio::select! {
            () = flood(&mut a, &[B], &sent, &meter) => {}
            () = take_nothing(&mut b, &network, &meter) => {}
            () = clock.sleep_until(Duration::from_secs(60)) => {}
        }
    });
    run.expect("time goes on");
    assert!(sent.get() <= (WINDOW + LOW) / MESSAGE);
    meter.kept(WINDOW + LOW + MESSAGE + SLACK);
}

fn one_is_taken_now_and_then() {
    let meter = Meter::start();
    let (network, [mut a, mut b]) = start(&Graph::mesh([A, B]), [A, B]);
    let sent = Cell::new(0);
    let run = network.run(async {
        tokio::select! {
            () = flood(&mut a, &[B], &sent, &meter) => {}
            () = take(&mut b, 300, Duration::from_secs(1), &network, &meter) => {}
        }
    });
    run.expect("time goes on");
    meter.kept(WINDOW + LOW + MESSAGE + SLACK);
    drop((a, b, network));
    let left = ALLOCATOR.allocated().saturating_sub(meter.before);
    assert!(left < SLACK, "{left} bytes are still allocated");
}

/// Every message that is on its way is copied once, and the copy goes with the snapshot.
fn snapshots_record_what_there_is() {
    let meter = Meter::start();
    let (network, [mut a, mut b]) = start(&Graph::mesh([A, B]), [A, B]);
    let (sent, handle, clock) = (Cell::new(0), a.handle(), network.clock());
    let run = network.run(async {
        let snapshots = async {
            for _ in 0..20 {
                clock.sleep_until(clock.now() + Duration::from_secs(1)).await;
                handle.snapshot().await.expect("it ends well");
            }
        };
        tokio::select! {
            () = flood(&mut a, &[B], &sent, &meter) => {}
            () = take(&mut b, usize::MAX, Duration::from_millis(300), &network, &meter) => {}
            () = snapshots => {}
        }
    });
    run.expect("time goes on");
    meter.kept(2 * (WINDOW + LOW + MESSAGE) + SLACK);
}

fn one_is_larger_than_every_window() {
    let meter = Meter::start();
    let (network, [mut a, mut b]) = start(&Graph::mesh([A, B]), [A, B]);
    let (clock, sent) = (network.clock(), Cell::new(0));
    let run = network.run(async {
        let sends = async {
            for _ in 0..5 {
                while !a.has_room() {
                    a.next(&mut ()).await.expect("it runs");
                }
                a.send(B, message(LARGE)).expect("an outbox holds it");
                meter.look();
            }
            flood(&mut a, &[B], &sent, &meter).await;
        };
        tokio::select! {
            () = sends => {}
            () = take(&mut b, 100, Duration::from_millis(100), &network, &meter) => {}
            () = clock.sleep_until(Duration::from_secs(600)) => panic!("it never goes"),
        }
    });
    run.expect("time goes on");
    // One on its way, one that waits.
    meter.kept(2 * LARGE + SLACK);
}

fn one_of_two_neighbours_takes_nothing() {
    let meter = Meter::start();
    let (network, [mut hub, mut idle, mut busy]) = start(&Graph::star([A, B, C]), [A, B, C]);
    let sent = Cell::new(0);
    let run = network.run(async {
        tokio::select! {
            () = flood(&mut hub, &[B, C], &sent, &meter) => {}
            () = take_nothing(&mut idle, &network, &meter) => {}
            () = take(&mut busy, 500, Duration::ZERO, &network, &meter) => {}
        }
    });
    run.expect("time goes on");
    // Each leaf has one neighbour, and its whole inbox for it.
    meter.kept(2 * WINDOW + LOW + MESSAGE + SLACK);
}
