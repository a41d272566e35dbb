//! What a test does to channels: hold, release, let pass, cut, heal.

use crate::support::{A, B, C, Heard, batch, hear, message_of, messages, send_all, skip, try_send};
use futures::FutureExt;
use snapshot_core::{Graph, Inbox, Transport};
use snapshot_transport_mem::{Connection, MemNetwork};
use std::time::Duration;

#[test]
fn a_held_frame_is_in_flight_until_its_channel_is_released() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    try_send(&a, B, [1]);
    network.hold(A, B);
    try_send(&a, B, [2]);
    assert_eq!(hear(&b), [], "also what had arrived before the hold stays");
    assert_eq!((network.in_flight(A, B), network.in_flight(B, A)), (2, 0));
    network.release(A, B);
    assert_eq!(messages(&b), [1, 2]);
    assert_eq!(network.in_flight(A, B), 0);
}

#[test]
fn a_hold_stops_one_direction_of_one_pair() {
    let (network, [a, b, c]) = MemNetwork::mesh::<3>();
    skip(&[&a, &b, &c]);
    network.hold(A, B);
    for (from, to) in [(&a, B), (&a, C), (&b, A), (&c, B)] {
        try_send(from, to, [from.id().0 as u32]);
    }
    assert_eq!((messages(&a), messages(&b), messages(&c)), (vec![2], vec![3], vec![1]));
}

#[test]
fn a_release_wakes_a_recv_that_waits() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.hold(A, B);
    try_send(&a, B, [1]);
    let mut inbox = Inbox::with_capacity(4);
    let release = async { network.release(A, B) };
    let (result, ()) = network.run(async { futures::join!(b.recv(&mut inbox), release) }).unwrap();
    result.unwrap();
    assert_eq!(inbox.len(), 1);
}

#[test]
fn a_held_channel_fills_up_and_then_makes_the_sender_wait() {
    let network = MemNetwork::builder(&Graph::mesh([A, B])).capacity(3).build().unwrap();
    let (a, b) = (network.transport(A), network.transport(B));
    hear(&b);
    network.hold(A, B);
    assert_eq!(try_send(&a, B, 0..5), [3, 4]);
    let status = &network.channels()[0];
    assert!(status.held && status.full && status.sender_waits);
    network.release(A, B);
    assert_eq!(messages(&b), [0, 1, 2]);
}

#[test]
fn as_many_frames_pass_a_held_channel_as_were_let() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.hold(A, B);
    try_send(&a, B, 0..4);
    network.let_pass(A, B, 1);
    assert_eq!(messages(&b), [0]);
    network.let_pass(A, B, 1);
    network.let_pass(A, B, 1);
    assert_eq!(messages(&b), [1, 2]);
    network.let_pass(A, B, 9);
    try_send(&a, B, [4]);
    assert_eq!(messages(&b), [3], "what is sent later is held");
    network.release(A, B);
    assert_eq!(messages(&b), [4]);
    network.let_pass(A, B, 9);
    network.hold(A, B);
    try_send(&a, B, [5]);
    assert_eq!(hear(&b), []);
}

#[test]
fn the_frames_in_flight_can_be_looked_at() {
    let (network, [a, _b]) = MemNetwork::mesh::<2>();
    network.hold(A, B);
    try_send(&a, B, [1, 2]);
    let mut seen = Vec::new();
    network.look(A, B, |frame| seen.push(message_of(frame)));
    assert_eq!(seen, [1, 2]);
}

#[test]
fn a_cut_loses_what_was_under_way_and_tells_both_behind_what_had_arrived() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    skip(&[&a, &b]);
    try_send(&a, B, [1, 2]);
    network.set_delay(A, B, Duration::from_millis(1));
    try_send(&a, B, [3, 4]);
    network.hold(B, A);
    try_send(&b, A, [5]);
    assert_eq!(network.cut(A, B), 3);
    assert_eq!(hear(&b), [Heard::Message(A, 1), Heard::Message(A, 2), Heard::Lost(A)]);
    assert_eq!(hear(&a), [Heard::Lost(B)], "the news passes a hold when no frame is before it");
    assert_eq!((network.in_flight(A, B), network.in_flight(B, A)), (0, 0));
    assert_eq!(network.cut(A, B), 0);
    assert_eq!(hear(&b), [], "one loss is told once");
}

#[test]
fn what_was_let_pass_has_arrived_when_the_connection_is_cut() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.hold(A, B);
    try_send(&a, B, 0..5);
    network.let_pass(A, B, 2);
    assert_eq!(network.cut(A, B), 3);
    assert_eq!(hear(&b), [Heard::Message(A, 0), Heard::Message(A, 1), Heard::Lost(A)]);
}

#[test]
fn sends_wait_while_a_connection_is_cut_and_go_on_when_it_is_healed() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    skip(&[&a, &b]);
    network.cut(A, B);
    let mut frames = batch([1, 2]);
    let mut send = Box::pin(send_all(&a, B, &mut frames));
    assert!((&mut send).now_or_never().is_none());
    assert!(network.channels().iter().all(|channel| channel.connection == Connection::Cut));
    let heal = async { network.heal(A, B) };
    network.run(async { futures::join!(send, heal) }).unwrap().0.unwrap();
    assert_eq!(hear(&b), [Heard::Lost(A), Heard::Up(A), Heard::Message(A, 1), Heard::Message(A, 2)]);
    assert_eq!(hear(&a), [Heard::Lost(B), Heard::Up(B)]);
    network.heal(A, B);
    assert_eq!(hear(&a), [], "there was nothing to heal");
}

#[test]
fn the_rest_of_a_batch_that_a_cut_divides_goes_out_on_the_next_connection() {
    let network = MemNetwork::builder(&Graph::mesh([A, B])).capacity(2).build().unwrap();
    let (a, b) = (network.transport(A), network.transport(B));
    hear(&b);
    network.hold(A, B);
    let mut frames = batch(0..4);
    let mut send = Box::pin(send_all(&a, B, &mut frames));
    assert!((&mut send).now_or_never().is_none());
    assert_eq!(network.cut(A, B), 2);
    network.heal(A, B);
    network.release(A, B);
    send.now_or_never().unwrap().unwrap();
    assert_eq!(hear(&b), [Heard::Lost(A), Heard::Up(A), Heard::Message(A, 2), Heard::Message(A, 3)]);
}

#[test]
fn connections_that_came_and_went_unnoticed_are_forgotten_so_that_memory_is_bounded() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    for _ in 0..100 {
        network.cut(A, B);
        network.heal(A, B);
    }
    assert_eq!(hear(&b), [Heard::Up(A), Heard::Lost(A), Heard::Up(A)]);
    let mut a = a;
    for round in 0..100 {
        if round % 2 == 0 {
            a.close().now_or_never().unwrap().unwrap();
        }
        a = network.transport(A);
    }
    let heard = hear(&b);
    assert!(heard.len() <= 5, "{heard:?}");
    assert_eq!(heard.last(), Some(&Heard::Up(A)));
    let ups = heard.iter().skip(1).step_by(2);
    assert!(ups.clone().all(|told| *told == Heard::Up(A)), "{heard:?}");
}

#[test]
fn a_pair_with_a_channel_one_way_can_be_cut_from_either_side() {
    let network = MemNetwork::<u32>::new(&Graph::ring([A, B, C])).unwrap();
    network.cut(B, A);
    assert_eq!(network.channels()[0].connection, Connection::Cut);
}

#[test]
#[should_panic(expected = "no channel from n2 to n1")]
fn the_hold_of_a_channel_that_does_not_exist_panics_and_names_it() {
    let network = MemNetwork::<u32>::new(&Graph::ring([A, B, C])).unwrap();
    network.hold(B, A);
}

#[test]
fn networks_know_nothing_of_each_other() {
    let (one, [a, b]) = MemNetwork::mesh::<2>();
    let (other, [_a, other_b]) = MemNetwork::mesh::<2>();
    hear(&other_b);
    other.cut(A, B);
    try_send(&a, B, [1]);
    assert_eq!(hear(&other_b), [Heard::Lost(A)]);
    assert_eq!(hear(&b), [Heard::Up(A), Heard::Message(A, 1)]);
    other.advance(Duration::from_secs(1));
    assert_eq!(one.now(), Duration::ZERO);
    assert!(a.clock().now().is_zero());
}
