//! A `SnapshotNode` at each end, and no snapshot.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use snapshot_core::{Event, RawBytes, SnapshotNode, Transport};

use super::connect::pair;
use crate::setup::{End, Job, Setup};
use crate::tally::Tally;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let transport = pair(&setup.end, RawBytes).await;
    let message = Bytes::from(vec![7; setup.size]);
    let mut node = start(transport).await;
    match (setup.end, setup.job) {
        (End::Send(_), Job::OneWay) => send(&mut node, || message.clone()).await,
        (_, Job::OneWay) => receive(&mut node, &tally).await,
        (End::Send(_), Job::RoundTrip) => ask(&mut node, message, &tally).await,
        (_, Job::RoundTrip) => answer(&mut node).await,
    }
}

pub(super) async fn start<M: Clone + Send + 'static>(
    transport: impl Transport<Message = M>,
) -> SnapshotNode<(), M> {
    SnapshotNode::builder(transport).start(&mut ()).await.expect("it starts")
}

pub(super) async fn receive<M: Clone + Send + 'static>(node: &mut SnapshotNode<(), M>, tally: &Tally) {
    loop {
        black_box(next(node).await);
        tally.one();
    }
}

/// As long as there is room; and where there is none, `next` says when there is again.
pub(super) async fn send<M: Clone + Send + 'static>(
    node: &mut SnapshotNode<(), M>,
    mut message: impl FnMut() -> M,
) {
    // In turn, where there are several.
    let peers: Vec<_> = node.topology().peers().collect();
    let mut to = peers.iter().cycle();
    loop {
        while node.has_room() {
            let to = *to.next().expect("a neighbour");
            node.send(to, black_box(message())).expect("there is room");
        }
        black_box(node.next(&mut ()).await.expect("it runs"));
    }
}

async fn ask(node: &mut SnapshotNode<(), Bytes>, message: Bytes, tally: &Tally) {
    let to = node.topology().peers().next().expect("a neighbour");
    loop {
        let begun = Instant::now();
        node.send(to, message.clone()).expect("there is room");
        black_box(next(node).await);
        tally.took(begun.elapsed());
        tally.one();
    }
}

async fn answer(node: &mut SnapshotNode<(), Bytes>) {
    let to = node.topology().peers().next().expect("a neighbour");
    loop {
        let message = next(node).await;
        node.send(to, message).expect("there is room");
    }
}

async fn next<M: Clone + Send + 'static>(node: &mut SnapshotNode<(), M>) -> M {
    loop {
        if let Event::Message { message, .. } = node.next(&mut ()).await.expect("it runs") {
            return message;
        }
    }
}
