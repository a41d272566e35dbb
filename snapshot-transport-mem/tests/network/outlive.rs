//! A network that outlives all its processes.

use crate::support::{A, B, C, Heard, batch, hear, send_all, try_send};
use futures::FutureExt;
use snapshot_core::Graph;
use snapshot_transport_mem::MemNetwork;
use std::time::Duration;

#[test]
fn what_was_under_way_reaches_the_next_processes_in_order_and_ahead_of_their_connections() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.set_delay(A, B, Duration::from_millis(5));
    try_send(&a, B, [1, 2]);
    try_send(&b, A, [3]);
    assert_eq!(network.outlive(), 3);
    // The sender need not be there.
    let b = network.transport(B);
    assert_eq!(hear(&b), []);
    network.advance(Duration::from_millis(5));
    assert_eq!(hear(&b), [Heard::Message(A, 1), Heard::Message(A, 2)]);
    let a = network.transport(A);
    assert_eq!(hear(&a), [Heard::Message(B, 3), Heard::Up(B)]);
    assert_eq!(hear(&b), [Heard::Up(A)]);
    try_send(&a, B, [4]);
    network.advance(Duration::from_millis(5));
    assert_eq!(hear(&b), [Heard::Message(A, 4)]);
}

#[test]
fn nobody_is_told_of_ends_that_came_before() {
    let network = MemNetwork::<u32>::new(&Graph::mesh([A, B, C])).unwrap();
    let [a, _b, c] = [A, B, C].map(|id| network.transport(id));
    try_send(&a, B, [1]);
    drop(a); // b would hear of this
    network.outlive();
    let b = network.transport(B);
    assert_eq!(hear(&b), [Heard::Message(A, 1)]);
    drop(c); // is of the past: it ends nothing
    let c = network.transport(C);
    assert_eq!((hear(&b), hear(&c)), (vec![Heard::Up(C)], vec![Heard::Up(B)]));
}

#[test]
fn the_processes_before_are_woken_and_can_do_nothing_more() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    let mut inbox = snapshot_core::Inbox::with_capacity(4);
    {
        let mut receiving = snapshot_core::Transport::recv(&b, &mut inbox);
        assert!((&mut receiving).now_or_never().is_none());
        network.outlive();
        assert!(receiving.now_or_never().unwrap().is_err());
    }
    assert!(send_all(&a, B, &mut batch([1])).now_or_never().unwrap().is_err());
    assert_eq!(network.outlive(), 0, "nobody runs, and nothing is under way");
}

#[test]
fn a_held_channel_stays_held_and_keeps_what_is_behind_each_other() {
    let (network, [a, _b]) = MemNetwork::mesh::<2>();
    network.hold(A, B);
    try_send(&a, B, [1]);
    network.outlive();
    let (a, _b) = (network.transport(A), network.transport(B));
    try_send(&a, B, [2]);
    network.outlive();
    let b = network.transport(B);
    assert_eq!((hear(&b), network.in_flight(A, B)), (vec![], 2));
    network.release(A, B);
    assert_eq!(hear(&b), [Heard::Message(A, 1), Heard::Message(A, 2)]);
}

#[test]
fn what_outlived_one_process_ends_with_the_next_one_that_dies_alone() {
    let (network, [a, _b]) = MemNetwork::mesh::<2>();
    network.hold(A, B);
    try_send(&a, B, [1]);
    network.outlive();
    drop(network.transport(B));
    network.release(A, B);
    assert_eq!(hear(&network.transport(B)), []);
}
