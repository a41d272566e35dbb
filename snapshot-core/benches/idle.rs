//! What a message costs through a node, as a ratio to the bare transport under it, in the same run: with no snapshot
//! running, and with one after the other. Both ends are in one thread over the in-memory network, which is as cheap as a
//! transport gets, so that the node's share shows. And once more with a thousand neighbours that are idle.
//!
//! `cargo bench -p snapshot-core --bench idle`

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use snapshot_core::{
    Body, Event, Frame, Frames, Generation, Graph, Inbox, Incoming, NodeId, SnapshotNode, Stamp, Transport,
};
use snapshot_transport_mem::MemNetwork;

const MESSAGES: u64 = 200_000;
const BATCH: u64 = 256;
const ROUNDS: usize = 9;
const NEIGHBOURS: u64 = 1000;

fn main() {
    let message = Bytes::from_static(&[7; 128]);
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        figures[0].push(bare(&message));
        figures[1].push(node(&message, false, 0));
        figures[2].push(node(&message, true, 0));
        figures[3].push(node(&message, false, NEIGHBOURS));
    }
    let names =
        ["bare transport", "node, no snapshot", "node, snapshots all the time", "node, 1000 idle neighbours"];
    let base = median(&mut figures[0]);
    println!("{MESSAGES} messages of 128 bytes in batches of {BATCH}, median of {ROUNDS} interleaved rounds");
    for (name, rounds) in names.iter().zip(&mut figures) {
        let median = median(rounds);
        println!("{name:30} {median:7.1} ns a message   {:5.2} x", median / base);
    }
}

fn median(rounds: &mut [f64]) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// Runs a future that never has to wait for anything outside itself.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

fn bare(message: &Bytes) -> f64 {
    let (_network, [one, two]) = MemNetwork::<Bytes>::mesh::<2>();
    let to = one.topology().peer(two.id()).expect("a neighbour");
    let (mut frames, mut inbox) = (Frames::new(), Inbox::with_capacity(1024));
    let (mut number, mut received) = (0, 0);
    let begun = Instant::now();
    run(async {
        while received < MESSAGES {
            for _ in 0..BATCH {
                number += 1;
                let stamp = Stamp::new(Generation::FIRST, number);
                frames.push_back(Frame { stamp, body: Body::Message(message.clone()) });
            }
            one.send(to, &mut frames).await.expect("it stands");
            two.recv(&mut inbox).await.expect("it stands");
            while let Some(item) = inbox.pop() {
                received += u64::from(matches!(item, Incoming::Frame { .. }));
            }
        }
    });
    begun.elapsed().as_nanos() as f64 / received as f64
}

/// From the hub of a star to one of its neighbours, beside so many idle ones.
fn node(message: &Bytes, snapshots: bool, idle: u64) -> f64 {
    let network = MemNetwork::<Bytes>::new(&Graph::star((1..=2 + idle).map(NodeId))).expect("a star");
    let (one, two) = (network.transport(NodeId(1)), network.transport(NodeId(2)));
    run(async {
        let to = one.topology().peer(two.id()).expect("a neighbour");
        let mut one = SnapshotNode::builder(one).start(&mut ()).await.expect("it starts");
        let mut two = SnapshotNode::builder(two).start(&mut ()).await.expect("it starts");
        let mut received = 0;
        let begun = Instant::now();
        while received < MESSAGES {
            for _ in 0..BATCH {
                one.send(to, message.clone()).expect("there is room");
            }
            if snapshots && one.handle().running().is_empty() {
                one.snapshot();
            }
            // Both ends run until neither has anything left to do.
            poll_fn(|cx| {
                while pin!(one.next(&mut ())).poll(cx).map(|event| event.expect("it runs")).is_ready() {}
                while let Poll::Ready(event) = pin!(two.next(&mut ())).poll(cx) {
                    received += u64::from(matches!(event.expect("it runs"), Event::Message { .. }));
                }
                Poll::Ready(())
            })
            .await;
        }
        begun.elapsed().as_nanos() as f64 / received as f64
    })
}
