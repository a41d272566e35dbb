//! What a shared node costs an application of many tasks, as a ratio to what it replaces, in the same run: a state in an
//! `Arc<Mutex<…>>` and a bounded queue to the neighbour's task. Both on a runtime with two threads, in one process, over the
//! in-memory network, which is as cheap as a transport gets.
//!
//! `cargo bench -p snapshot-core --bench shared`

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use snapshot_core::{Event, PostcardState, SharedNode, SnapshotNode};
use snapshot_transport_mem::MemNetwork;
use tokio::sync::{Notify, mpsc};

const MESSAGES: u64 = 100_000;
const READS: u64 = 1_000_000;
const TASKS: [u64; 4] = [1, 8, 64, 512];
const ROUNDS: usize = 9;

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Counter {
    sent: u64,
    received: u64,
}

impl PostcardState for Counter {}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    println!(
        "{MESSAGES} turns that send 128 bytes, and as many that receive them; median of {ROUNDS} interleaved rounds"
    );
    for tasks in TASKS {
        let (mut mutex, mut shared) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            mutex.push(runtime.block_on(by_mutex(tasks)));
            shared.push(runtime.block_on(by_node(tasks)));
        }
        show(&format!("{tasks:4} tasks"), &mut mutex, &mut shared);
    }
    let (mut mutex, mut shared) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mutex.push(read_mutex());
        shared.push(runtime.block_on(read_node()));
    }
    show("one read ", &mut mutex, &mut shared);
}

fn show(what: &str, mutex: &mut [f64], shared: &mut [f64]) {
    let (mutex, shared) = (median(mutex), median(shared));
    println!(
        "{what}   mutex and queue {mutex:7.1} ns   shared node {shared:7.1} ns   {:5.2} x",
        shared / mutex
    );
}

fn median(rounds: &mut [f64]) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

async fn by_mutex(tasks: u64) -> f64 {
    let (here, there) = (Arc::new(Mutex::new(Counter::default())), Arc::new(Mutex::new(Counter::default())));
    let (to, mut from) = mpsc::channel::<Bytes>(1024);
    let message = Bytes::from_static(&[7; 128]);
    let begun = Instant::now();
    for _ in 0..tasks {
        let (here, to, message) = (Arc::clone(&here), to.clone(), message.clone());
        tokio::spawn(async move {
            for _ in 0..MESSAGES / tasks {
                here.lock().expect("nobody panics").sent += 1;
                to.send(message.clone()).await.expect("it is received");
            }
        });
    }
    let received = tokio::spawn(async move {
        for _ in 0..MESSAGES / tasks * tasks {
            drop(from.recv().await.expect("it is sent"));
            there.lock().expect("nobody panics").received += 1;
        }
    });
    received.await.expect("it ends");
    nanos(begun, MESSAGES)
}

async fn by_node(tasks: u64) -> f64 {
    let (_network, [one, two]) = MemNetwork::<Bytes>::mesh::<2>();
    let (here, drive_here) = SnapshotNode::builder(one).share(Counter::default()).await.expect("it starts");
    let (there, drive_there) = SnapshotNode::builder(two).share(Counter::default()).await.expect("it starts");
    let (to, all) = (here.topology().peer(there.id()).expect("a neighbour"), Arc::new(Notify::new()));
    tokio::spawn(drive_here.run(|_: &mut Counter, _, _| Ok(())));
    let told = Arc::clone(&all);
    tokio::spawn(drive_there.run(move |counter: &mut Counter, event, _| {
        counter.received += u64::from(matches!(event, Event::Message { .. }));
        if counter.received == MESSAGES / tasks * tasks {
            told.notify_one();
        }
        Ok(())
    }));
    let message = Bytes::from_static(&[7; 128]);
    let begun = Instant::now();
    for _ in 0..tasks {
        let (here, message): (SharedNode<Counter, Bytes>, _) = (here.clone(), message.clone());
        tokio::spawn(async move {
            for _ in 0..MESSAGES / tasks {
                let message = message.clone();
                let turn = here.turn(|counter, out| {
                    counter.sent += 1;
                    out.send(to, message).expect("a neighbour");
                });
                turn.await.expect("it runs");
                // As a send into a bounded queue would, now and then.
                tokio::task::consume_budget().await;
            }
        });
    }
    all.notified().await;
    nanos(begun, MESSAGES)
}

fn read_mutex() -> f64 {
    let state = Arc::new(Mutex::new(Counter::default()));
    let begun = Instant::now();
    for _ in 0..READS {
        std::hint::black_box(std::hint::black_box(&state).lock().expect("nobody panics").received);
    }
    nanos(begun, READS)
}

async fn read_node() -> f64 {
    let (_network, [one, _two]) = MemNetwork::<Bytes>::mesh::<2>();
    let (node, _driver) = SnapshotNode::builder(one).share(Counter::default()).await.expect("it starts");
    let begun = Instant::now();
    for _ in 0..READS {
        std::hint::black_box(std::hint::black_box(&node).read(|counter| counter.received));
    }
    nanos(begun, READS)
}

fn nanos(begun: Instant, count: u64) -> f64 {
    begun.elapsed().as_nanos() as f64 / count as f64
}
