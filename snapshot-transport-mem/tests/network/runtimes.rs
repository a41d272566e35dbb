//! Any executor will do where there are no delays.

use crate::support::{A, B, Heard, Node, batch, empty, send_all};
use futures::executor::block_on;
use snapshot_core::{Graph, Inbox, Transport};
use snapshot_transport_mem::MemNetwork;

const COUNT: u32 = 2_000;

async fn feed(node: &Node, to: snapshot_core::NodeId) {
    for first in (0..COUNT).step_by(5) {
        send_all(node, to, &mut batch(first..first + 5)).await.unwrap();
    }
}

async fn drain(node: &Node, from: snapshot_core::NodeId) {
    let mut inbox = Inbox::with_capacity(7);
    let mut heard = Vec::new();
    while heard.len() <= COUNT as usize {
        node.recv(&mut inbox).await.unwrap();
        heard.extend(empty(&mut inbox));
    }
    assert_eq!(heard[0], Heard::Up(from));
    assert!(heard[1..].iter().cloned().eq((0..COUNT).map(|message| Heard::Message(from, message))));
}

async fn exchange(a: &Node, b: &Node) {
    futures::join!(feed(a, B), feed(b, A), drain(a, B), drain(b, A));
}

fn pair(capacity: usize) -> (Node, Node) {
    let network = MemNetwork::builder(&Graph::mesh([A, B])).capacity(capacity).build().unwrap();
    (network.transport(A), network.transport(B))
}

#[test]
fn it_works_under_the_executor_of_futures() {
    let (a, b) = pair(3);
    block_on(exchange(&a, &b));
}

#[test]
fn it_works_under_a_tokio_runtime_with_a_task_for_each_direction() {
    let (a, b) = pair(3);
    let (a, b) = (std::sync::Arc::new(a), std::sync::Arc::new(b));
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let mut tasks = Vec::new();
        for (node, other) in [(&a, B), (&b, A)] {
            let (feeder, drainer) = (node.clone(), node.clone());
            tasks.push(tokio::spawn(async move { feed(&feeder, other).await }));
            tasks.push(tokio::spawn(async move { drain(&drainer, other).await }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn it_works_with_a_thread_for_each_direction() {
    for capacity in [1, 64] {
        let (a, b) = pair(capacity);
        let (a, b) = (&a, &b);
        std::thread::scope(|scope| {
            scope.spawn(move || block_on(feed(a, B)));
            scope.spawn(move || block_on(feed(b, A)));
            scope.spawn(move || block_on(drain(a, B)));
            scope.spawn(move || block_on(drain(b, A)));
        });
    }
}

#[test]
fn it_works_under_its_own_executor() {
    let network = MemNetwork::builder(&Graph::mesh([A, B])).capacity(3).build().unwrap();
    let (a, b) = (network.transport(A), network.transport(B));
    network.run(exchange(&a, &b)).unwrap();
}
