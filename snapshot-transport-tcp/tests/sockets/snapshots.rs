//! Whole nodes on connections that break.

use std::time::Duration;

use bytes::Bytes;
use snapshot_core::{Event, NodeId, PostcardState, RawBytes, SnapshotNode};
use snapshot_store::MemoryStore;

use crate::common::relay::Relay;
use crate::common::*;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Seen(u64);

impl PostcardState for Seen {}

fn body(number: u64) -> Bytes {
    vec![number as u8; (number % 50 * 997) as usize].into()
}

#[tokio::test]
async fn snapshots_commit_through_connections_that_break_and_nobody_goes_back() {
    const SNAPSHOTS: u64 = 20;
    let builder = |me| builder(mesh(&[1, 2], me)).resume_within(Duration::from_secs(3600));
    let one = builder(1).bind().await.unwrap();
    let relay = Relay::start(one.local_addr().unwrap(), vec![]).await;
    let two = builder(2).peer(NodeId(1), relay.at.to_string()).bind().await.unwrap();
    guarded(async {
        one.connected(Duration::from_secs(60)).await.unwrap();
        two.connected(Duration::from_secs(60)).await.unwrap();
        let store = MemoryStore::new();
        let (mut here, mut there) = (Seen(0), Seen(0));
        let one = SnapshotNode::builder(one).store(store.clone()).codec(RawBytes).start(&mut here);
        let two = SnapshotNode::builder(two).store(store.clone()).codec(RawBytes).start(&mut there);
        let (one, two) = tokio::join!(one, two);
        let (mut one, mut two) = (one.unwrap(), two.unwrap());

        let begins = async {
            let (mut committed, mut cuts) = (0, 0);
            (0..8).for_each(|number| one.send(NodeId(2), body(number)).unwrap());
            one.snapshot();
            while committed < SNAPSHOTS {
                match one.next(&mut here).await.unwrap() {
                    Event::Message { .. } => {
                        here.0 += 1;
                        one.send(NodeId(2), body(here.0 + 8)).unwrap();
                        if here.0 % 16 == 0 {
                            relay.cut();
                            cuts += 1;
                        }
                    }
                    // In the midst of the next one.
                    Event::Committed { .. } => {
                        committed += 1;
                        one.snapshot();
                        relay.cut();
                        cuts += 1;
                    }
                    event => expected(&event),
                }
            }
            assert!(cuts >= SNAPSHOTS);
        };
        let answers = async {
            loop {
                match two.next(&mut there).await.unwrap() {
                    Event::Message { message, .. } => {
                        there.0 += 1;
                        two.send(NodeId(1), message).unwrap();
                    }
                    Event::Committed { .. } => {}
                    event => expected(&event),
                }
            }
        };
        tokio::select! { () = begins => {}, () = answers => {} }
    })
    .await;
}

/// No loss, no way back, no snapshot that was given up.
fn expected(event: &Event<Bytes, Seen>) {
    assert!(
        !matches!(
            event,
            Event::RolledBack { .. }
                | Event::FellBack { .. }
                | Event::SnapshotAborted { .. }
                | Event::PeerLost { .. }
                | Event::PeerBack { .. }
                | Event::PeerLeft { .. }
                | Event::Violation { .. }
        ),
        "a node was told of it"
    );
}
