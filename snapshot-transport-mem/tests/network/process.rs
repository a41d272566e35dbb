//! Processes that end and start again.

use crate::support::{A, B, Heard, batch, hear, send_all, try_send};
use futures::FutureExt;
use snapshot_core::{Inbox, Transport};
use snapshot_transport_mem::{Connection, MemNetwork};
use std::time::Duration;

#[test]
fn what_a_killed_process_sent_arrives_before_its_loss_and_the_next_process_comes_after() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.set_delay(A, B, Duration::from_millis(5));
    try_send(&a, B, [1]);
    drop(a);
    let a = network.transport(A);
    try_send(&a, B, [2]);
    assert_eq!(hear(&b), []);
    network.advance(Duration::from_millis(20));
    assert_eq!(hear(&b), [Heard::Message(A, 1), Heard::Lost(A), Heard::Up(A), Heard::Message(A, 2)]);
    assert_eq!(hear(&a), [Heard::Up(B)]);
}

#[test]
fn what_was_under_way_to_a_killed_process_is_gone() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    try_send(&b, A, [1]);
    drop(a);
    assert_eq!(network.in_flight(B, A), 0);
    assert_eq!(try_send(&b, A, [2]), [2], "a send waits for the next process");
    assert_eq!(network.channels()[0].connection, Connection::Down);
    let a = network.transport(A);
    assert_eq!(hear(&a), [Heard::Up(B)]);
}

#[test]
fn the_process_before_gets_nothing_in_and_nothing_out_once_the_next_one_runs() {
    let (network, [old, b]) = MemNetwork::mesh::<2>();
    hear(&old);
    let mut inbox = Inbox::with_capacity(4);
    let mut recv = Box::pin(old.recv(&mut inbox));
    assert!((&mut recv).now_or_never().is_none());
    let new = network.transport(A);
    try_send(&b, A, [1]);
    let error = recv.now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains("this process of n1 has ended") && !error.is_closed(), "{error}");
    assert!(send_all(&old, B, &mut batch([9])).now_or_never().unwrap().is_err());
    old.close().now_or_never().unwrap().unwrap();
    drop(old);
    try_send(&new, B, [2]);
    assert_eq!(hear(&new), [Heard::Up(B), Heard::Message(B, 1)]);
    assert_eq!(hear(&b), [Heard::Up(A), Heard::Lost(A), Heard::Up(A), Heard::Message(A, 2)]);
}

#[test]
fn a_send_and_a_recv_that_wait_are_woken_when_their_process_ends() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&a);
    drop(b);
    hear(&a);
    let (mut frames, mut inbox) = (batch([1]), Inbox::with_capacity(4));
    let crash = async { network.crash(A) };
    let all = async { futures::join!(send_all(&a, B, &mut frames), a.recv(&mut inbox), crash) };
    let (sent, received, _) = network.run(all).unwrap();
    assert!(sent.is_err() && received.is_err());
    assert_eq!(frames.len(), 1);
}

#[test]
fn a_send_that_waits_alone_is_woken_when_its_process_ends() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    drop(b);
    let mut frames = batch([1]);
    let crash = async { network.crash(A) };
    let (sent, _) = network.run(async { futures::join!(send_all(&a, B, &mut frames), crash) }).unwrap();
    assert!(sent.is_err());
}

#[test]
fn a_crash_loses_what_was_under_way_in_both_directions() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    try_send(&a, B, [1]);
    network.hold(A, B);
    network.let_pass(A, B, 1);
    try_send(&a, B, [2, 3]);
    try_send(&b, A, [4]);
    assert_eq!(network.crash(A), 3);
    assert_eq!(hear(&b), [Heard::Message(A, 1), Heard::Lost(A)], "what had arrived stays");
    assert_eq!(network.crash(A), 0);
    assert!(a.recv(&mut Inbox::with_capacity(1)).now_or_never().unwrap().is_err());
    let a = network.transport(A);
    network.release(A, B);
    try_send(&a, B, [5]);
    assert_eq!(hear(&b), [Heard::Up(A), Heard::Message(A, 5)]);
}

#[test]
fn a_process_started_behind_a_cut_is_connected_when_it_is_healed() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.cut(A, B);
    drop(a);
    let a = network.transport(A);
    assert_eq!((hear(&a), hear(&b)), (vec![], vec![Heard::Lost(A)]));
    network.heal(A, B);
    assert_eq!((hear(&a), hear(&b)), (vec![Heard::Up(B)], vec![Heard::Up(A)]));
}

#[test]
fn a_cut_loses_what_a_killed_process_left_under_way() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.set_delay(A, B, Duration::from_millis(5));
    try_send(&a, B, [1]);
    drop(a);
    assert_eq!(network.cut(A, B), 1);
    assert_eq!(hear(&b), [Heard::Lost(A)]);
}
