//! A `SharedNode` at each end: tasks that send, each message a turn of its own.

use std::hint::black_box;

use bytes::Bytes;
use snapshot_core::{Event, Outbox, RawBytes, SnapshotNode};

use super::connect::pair;
use crate::setup::{End, Setup};
use crate::tally::Tally;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let transport = pair(&setup.end, RawBytes).await;
    let (node, driver) = SnapshotNode::builder(transport).share(()).await.expect("it starts");
    if matches!(setup.end, End::Send(_)) {
        let to = node.topology().peers().next().expect("a neighbour");
        let message = Bytes::from(vec![7; setup.size]);
        for _ in 0..setup.tasks {
            let (node, message) = (node.clone(), message.clone());
            tokio::spawn(async move {
                loop {
                    let message = black_box(message.clone());
                    let sent = node.turn(|(), out| out.send(to, message)).await;
                    sent.expect("it runs").expect("a neighbour");
                    // As a send into a bounded queue would, now and then.
                    tokio::task::consume_budget().await;
                }
            });
        }
    }
    let handle = move |(): &mut (), event, _: &mut Outbox<'_, (), Bytes>| {
        if let Event::Message { message, .. } = event {
            black_box(message);
            tally.one();
        }
        Ok(())
    };
    driver.run(handle).await.expect("it runs");
}
