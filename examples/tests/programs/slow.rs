//! Snapshots over real sockets, TCP and Unix, while one side keeps every queue full and the other takes nothing, or one message now
//! and then: all of them commit, and none holds more than the one before.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use snapshot_core::{
    Archive, Bound, Deliveries, Event, Graph, NodeBuilder, NodeId, PostcardState, RawBytes, Retention,
    SnapshotHandle, SnapshotId, SnapshotNode, Transport,
};
use snapshot_store::MemoryStore;
use snapshot_transport_tcp::TcpTransport;
use tokio::sync::mpsc;

use crate::custom_transport::unix::UnixTransport;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const SNAPSHOTS: usize = 20;
const SIZES: [usize; 4] = [8, 128, 1 << 10, 256 << 10];

/// Far more than one of these tests ever takes.
const LIMIT: Duration = Duration::from_secs(120);

/// What may be on its way to B, and what waits at A before there is no more room: the defaults.
const WINDOW: Bound = Bound::new(4096, 4 << 20);
const LOW: Bound = Bound::new(4096, 1 << 20);

/// How many messages were sent, at A, or taken, at B.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Count(u64);

impl PostcardState for Count {}

fn message(number: u64, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

fn number(message: &Bytes) -> u64 {
    u64::from_le_bytes(message[..8].try_into().expect("it has as many"))
}

/// How many messages there are when all is full: a window of them, and what waits behind it.
fn all(size: usize) -> u64 {
    let weight = size_of::<Bytes>() + size;
    let window = WINDOW.frames.min(WINDOW.bytes / weight);
    (window + LOW.frames.min(LOW.bytes.div_ceil(weight))) as u64
}

fn build(transport: impl Transport<Message = Bytes>, store: &MemoryStore) -> NodeBuilder<Count, Bytes> {
    SnapshotNode::builder(transport).store(store.clone()).codec(RawBytes).retention(Retention::last(1))
}

/// Sends whenever there is room, for ever.
async fn flood(
    builder: NodeBuilder<Count, Bytes>,
    size: usize,
    sent: Arc<AtomicU64>,
    handle: mpsc::Sender<SnapshotHandle>,
) {
    let mut count = Count::default();
    let mut node = builder.start(&mut count).await.expect("it starts");
    handle.send(node.handle()).await.expect("somebody asks");
    loop {
        while node.has_room() {
            count.0 += 1;
            node.send(B, message(count.0, size)).expect("there is room");
        }
        sent.store(count.0, Ordering::Relaxed);
        node.next(&mut count).await.expect("it runs");
    }
}

/// Waits until all queues are full.
async fn full(sent: &AtomicU64, all: u64) {
    while sent.load(Ordering::Relaxed) < all {
        tokio::task::yield_now().await;
    }
}

/// How many messages are on the channel in a committed snapshot. They are those that were sent and not taken, in order.
async fn on_channel(store: &MemoryStore, snapshot: SnapshotId) -> u64 {
    let archive = Archive::<Count, Bytes>::open(store.clone(), RawBytes).await.expect("it is one");
    let cut = archive.read(snapshot).await.expect("it is committed");
    let [sent, taken] = [A, B].map(|id| cut.state(id).expect("a member").0);
    let numbers: Vec<u64> = cut.channel(A, B).iter().map(number).collect();
    assert!(numbers.iter().copied().eq(taken + 1..=sent), "{taken} to {sent}: {numbers:?}");
    sent - taken
}

/// Takes the next message, and says which one it was.
async fn take(deliveries: &mut Deliveries<Count, Bytes>) {
    loop {
        let delivery = deliveries.next().await.expect("it runs");
        let taken = delivery.take(|count, event, _| {
            let Event::Message { message, .. } = event else { return false };
            count.0 += 1;
            assert_eq!(number(&message), count.0);
            true
        });
        if taken.await.expect("it runs") {
            return;
        }
    }
}

/// Twenty snapshots, begun by one of the two. B takes one message before each of them, or none.
async fn twenty(by: NodeId, takes: bool, size: usize, [a, b]: [impl Transport<Message = Bytes>; 2]) {
    let (store, sent) = (MemoryStore::new(), Arc::new(AtomicU64::new(0)));
    let (tell, mut told) = mpsc::channel(1);
    let flooding = tokio::spawn(flood(build(a, &store), size, Arc::clone(&sent), tell));
    let (node, driver) = build(b, &store).share(Count::default()).await.expect("it starts");
    let (mut deliveries, drive) = driver.stream();
    let driving = tokio::spawn(drive);
    let of_a = told.recv().await.expect("it starts");
    let all = all(size);
    full(&sent, all).await;

    let handle = if by == A { of_a } else { node.handle() };
    for snapshot in 1..=SNAPSHOTS {
        if takes {
            take(&mut deliveries).await;
        }
        let report = handle.snapshot().await.unwrap_or_else(|error| panic!("snapshot {snapshot}: {error}"));
        let found = on_channel(&store, report.snapshot).await;
        let expected = if takes { all.saturating_sub(SNAPSHOTS as u64)..=all } else { all..=all };
        assert!(
            expected.contains(&found),
            "snapshot {snapshot} has {found} messages on the channel, of {all}"
        );
    }
    assert_eq!(node.read(|count| count.0), if takes { SNAPSHOTS as u64 } else { 0 });
    flooding.abort();
    driving.abort();
}

/// With a thread for each of the two nodes.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    // Only so that a test that hangs says so.
    let guarded = async { tokio::time::timeout(LIMIT, test).await.expect("the test hangs") };
    runtime.expect("a runtime").block_on(guarded);
}

fn in_each_way(mut test: impl FnMut(NodeId, bool, usize)) {
    for size in SIZES {
        for (by, takes) in [(A, false), (B, false), (A, true), (B, true)] {
            test(by, takes, size);
        }
    }
}

fn topology(id: NodeId) -> snapshot_core::Topology {
    Graph::mesh([A, B]).at(id).expect("a member")
}

#[test]
fn twenty_of_twenty_snapshots_commit_over_tcp_though_the_receiver_takes_next_to_nothing() {
    in_each_way(|by, takes, size| {
        run(async {
            let listen = "127.0.0.1:0".parse().expect("an address");
            let a = TcpTransport::builder(topology(A), RawBytes).listen(listen).bind().await.expect("a port");
            let address = a.local_addr().expect("it listens").to_string();
            let b = TcpTransport::builder(topology(B), RawBytes).peer(A, address).bind().await.expect("good");
            twenty(by, takes, size, [a, b]).await;
        });
    });
}

#[test]
fn twenty_of_twenty_snapshots_commit_over_unix_sockets_though_the_receiver_takes_next_to_nothing() {
    in_each_way(|by, takes, size| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run(async {
            let ends = [A, B].map(|id| UnixTransport::bind(folder.path(), topology(id)).expect("a socket"));
            twenty(by, takes, size, ends).await;
        });
    });
}
