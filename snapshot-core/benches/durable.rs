//! How long a snapshot takes until it is durable, as a ratio to four plain writers in the same run: four threads that each write
//! the same bytes to a file of its own and sync it. A group of four nodes in one process over a `DirectoryStore`; from the request
//! to the commit.
//!
//! `cargo bench -p snapshot-core --bench durable`, with `-- 100` for 100 MiB a node alone. `BENCH_DIR` names a folder on the disk that
//! shall be measured.

mod large;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::executor::block_on;
use futures::future::{Either, join_all, select};
use large::{Large, MIB, each_in_a_process, noise, peak, place, show};
use snapshot_core::{Event, Retention, SnapshotNode};
use snapshot_store::DirectoryStore;
use snapshot_transport_mem::MemNetwork;

const NODES: usize = 4;

fn main() {
    each_in_a_process(&[(1, 100), (100, 10), (1024, 4)], one_size);
}

fn one_size(size: usize, rounds: usize) {
    let states: Vec<Arc<Vec<u8>>> =
        (0..NODES).map(|node| Arc::new(noise(size * MIB, node as u64 + 1))).collect();
    let place = place();
    let before = peak();
    let mut group = Group::start(&place.path().join("store"), &states);
    let mut rows = [("four plain writers, each synced", vec![]), ("snapshot, committed", vec![])];
    // Disks are busy for a while with what was removed.
    let rest = Duration::from_millis(5 * size as u64);
    for round in 0..=rounds {
        let mut figures = [0.0; 2];
        // Each goes first as often as the other.
        for turn in [round, round + 1] {
            thread::sleep(rest);
            figures[turn % 2] = if turn % 2 == 0 { plain(place.path(), &states) } else { group.snapshot() };
        }
        // The first one makes folders.
        if round > 0 {
            rows.iter_mut().zip(figures).for_each(|(row, figure)| row.1.push(figure));
        }
    }
    println!("{NODES} x {size} MiB, medians of {rounds} interleaved rounds");
    show(&rows, NODES * size * MIB);
    if let Some((before, peak)) = before.zip(peak()) {
        println!("  peak memory {peak:.0} MiB: {:.0} MiB over what the states take", peak - before);
    }
}

fn plain(folder: &Path, states: &[Arc<Vec<u8>>]) -> f64 {
    let files: Vec<_> = (0..states.len()).map(|n| folder.join(format!("plain-{n}"))).collect();
    let begun = Instant::now();
    thread::scope(|scope| {
        for (path, state) in files.iter().zip(states) {
            scope.spawn(move || {
                let mut file = File::create(path).expect("a file");
                state.chunks(MIB).for_each(|piece| file.write_all(piece).expect("there is room"));
                file.sync_all().expect("it can be synced");
            });
        }
    });
    let took = begun.elapsed().as_secs_f64();
    files.iter().for_each(|path| fs::remove_file(path).expect("it is there"));
    took
}

struct Group {
    nodes: Vec<(SnapshotNode<Large, Bytes>, Large)>,
    folder: std::path::PathBuf,
}

impl Group {
    fn start(folder: &Path, states: &[Arc<Vec<u8>>]) -> Self {
        let store = DirectoryStore::open(folder).expect("a store");
        let (_network, transports) = MemNetwork::<Bytes>::mesh::<NODES>();
        let starts = transports.into_iter().zip(states).map(|(transport, state)| {
            let builder =
                SnapshotNode::builder(transport).store(store.clone()).codec(snapshot_core::RawBytes);
            async move {
                // It grows after the start, so that the initial state is not stored at its full size.
                let mut own = Large::default();
                let node = builder.retention(Retention::last(1)).start(&mut own).await.expect("it starts");
                (node, Large(Arc::clone(state)))
            }
        });
        Self { nodes: block_on(join_all(starts)), folder: folder.to_owned() }
    }

    /// From the request until the first node knows of the commit.
    fn snapshot(&mut self) -> f64 {
        let begun = Instant::now();
        self.nodes[0].0.snapshot();
        self.until_all_have_committed();
        let took = begun.elapsed().as_secs_f64();
        // Retention works behind the commit.
        while self.snapshots() > 1 {
            self.go_on_for(Duration::from_millis(5));
        }
        took
    }

    fn until_all_have_committed(&mut self) {
        block_on(join_all(self.nodes.iter_mut().map(|(node, state)| async move {
            loop {
                match node.next(state).await.expect("it runs") {
                    Event::Committed { .. } => break,
                    Event::SnapshotAborted { reason, .. } => panic!("{reason:?}"),
                    _ => {}
                }
            }
        })));
    }

    fn go_on_for(&mut self, time: Duration) {
        let all = join_all(self.nodes.iter_mut().map(|(node, state)| async move {
            loop {
                node.next(state).await.expect("it runs");
            }
        }));
        let timer = futures_timer::Delay::new(time);
        match block_on(select(Box::pin(all), timer)) {
            Either::Left((never, _)) => drop::<Vec<()>>(never),
            Either::Right(_) => {}
        }
    }

    fn snapshots(&self) -> usize {
        let generations = fs::read_dir(self.folder.join("part")).expect("it is there");
        generations
            .map(|generation| fs::read_dir(generation.unwrap().path()).map_or(0, Iterator::count))
            .sum()
    }
}
