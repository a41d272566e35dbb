//! How long a node takes to come back with its state, as a ratio to a raw read of the same bytes in the same run: `std::fs::read` of
//! the file that holds its part. From the start of the node to the state in place, over a `DirectoryStore`; and the whole cut by an
//! `Archive`. The files were read before, so they come from the system's cache, which is as fast as a disk gets.
//!
//! `cargo bench -p snapshot-core --bench restore`, with `-- 100` for 100 MiB alone. `BENCH_DIR` names a folder on another disk.

mod large;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::executor::block_on;
use large::{Large, MIB, each_in_a_process, noise, peak, place, show};
use snapshot_core::{Archive, Event, Graph, Key, NodeId, RawBytes, SnapshotId, SnapshotNode};
use snapshot_store::DirectoryStore;
use snapshot_transport_mem::MemNetwork;

const ME: NodeId = NodeId(1);

fn main() {
    each_in_a_process(&[(100, 11), (1024, 5)], one_size);
}

fn one_size(size: usize, rounds: usize) {
    let place = place();
    let store = DirectoryStore::open(place.path().join("store")).expect("a store");
    let state = Arc::new(noise(size * MIB, 1));
    let snapshot = block_on(commit(&store, &state));
    let part = Key::Part { snapshot, node: ME }.to_string();
    let file = store.path().join(part);
    let before = peak();
    let mut rows = [
        ("raw read of the part's file", vec![]),
        ("node started, state in place", vec![]),
        ("the cut, read by an archive", vec![]),
        ("the cut, verified by an archive", vec![]),
    ];
    for round in 0..=rounds {
        let figures = [raw(&file), start(&store, &state), read(&store, &state), verify(&store)];
        if round > 0 {
            rows.iter_mut().zip(figures).for_each(|(row, figure)| row.1.push(figure));
        }
    }
    println!("{size} MiB, medians of {rounds} interleaved rounds");
    show(&rows, size * MIB);
    if let Some((before, peak)) = before.zip(peak()) {
        println!("  peak memory {peak:.0} MiB: {:.0} MiB over two states", peak - before - size as f64);
    }
}

fn network() -> MemNetwork<Bytes> {
    MemNetwork::builder(&Graph::mesh([ME])).build().expect("a group of one")
}

async fn commit(store: &DirectoryStore, state: &Arc<Vec<u8>>) -> SnapshotId {
    let mut own = Large::default();
    let transport = network().transport(ME);
    let builder = SnapshotNode::builder(transport).store(store.clone()).codec(RawBytes);
    let mut node = builder.start(&mut own).await.expect("it starts");
    own.0 = Arc::clone(state);
    node.snapshot();
    loop {
        if let Event::Committed { snapshot, .. } = node.next(&mut own).await.expect("it runs") {
            return snapshot;
        }
    }
}

fn raw(file: &Path) -> f64 {
    let begun = Instant::now();
    let bytes = fs::read(file).expect("it is there");
    let took = begun.elapsed().as_secs_f64();
    assert!(bytes.len() > MIB);
    took
}

fn start(store: &DirectoryStore, expected: &[u8]) -> f64 {
    let mut own = Large::default();
    let transport = network().transport(ME);
    let builder = SnapshotNode::builder(transport).store(store.clone()).codec(RawBytes);
    let begun = Instant::now();
    block_on(async {
        let mut node = builder.start(&mut own).await.expect("it starts");
        let event = node.next(&mut own).await.expect("it runs");
        assert!(matches!(event, Event::RolledBack { .. }));
    });
    let took = begun.elapsed().as_secs_f64();
    assert!(own.0[..] == *expected);
    took
}

fn read(store: &DirectoryStore, expected: &[u8]) -> f64 {
    let begun = Instant::now();
    let cut = block_on(async {
        let archive = Archive::<Large, Bytes>::open(store.clone(), RawBytes).await.expect("a journal");
        archive.read(archive.latest().expect("a commit")).await.expect("it is whole")
    });
    let took = begun.elapsed().as_secs_f64();
    assert!(cut.state(ME).expect("a member")[..] == *expected);
    took
}

fn verify(store: &DirectoryStore) -> f64 {
    let begun = Instant::now();
    block_on(async {
        let archive = Archive::<Large, Bytes>::open(store.clone(), RawBytes).await.expect("a journal");
        archive.verify(archive.latest().expect("a commit")).await.expect("it is whole");
    });
    begun.elapsed().as_secs_f64()
}
