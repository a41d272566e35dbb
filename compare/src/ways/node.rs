//! A `SnapshotNode` at each end, and no snapshot.

use std::hint::black_box;

use bytes::Bytes;
use snapshot_core::{Event, RawBytes, SnapshotNode};

use super::transport;
use crate::setup::{End, Setup};
use crate::tally::Tally;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let transport = transport::open(&setup.end, RawBytes).await;
    let mut node = SnapshotNode::builder(transport).start(&mut ()).await.expect("it starts");
    match setup.end {
        End::Receive => receive(&mut node, &tally).await,
        End::Send(_) => {
            let message = Bytes::from(vec![7; setup.size]);
            send(&mut node, || message.clone()).await;
        }
    }
}

pub(super) async fn receive<M: Clone + Send + 'static>(node: &mut SnapshotNode<(), M>, tally: &Tally) {
    loop {
        if let Event::Message { message, .. } = node.next(&mut ()).await.expect("it runs") {
            black_box(message);
            tally.one();
        }
    }
}

/// As long as there is room; and where there is none, `next` says when there is again.
pub(super) async fn send<M: Clone + Send + 'static>(
    node: &mut SnapshotNode<(), M>,
    mut message: impl FnMut() -> M,
) {
    let to = node.topology().peers().next().expect("a neighbour");
    loop {
        while node.has_room() {
            node.send(to, black_box(message())).expect("there is room");
        }
        black_box(node.next(&mut ()).await.expect("it runs"));
    }
}
