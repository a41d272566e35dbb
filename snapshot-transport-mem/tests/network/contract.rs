//! The clauses of `Transport`, one after the other.

use crate::support::{A, B, C, Heard, batch, empty, hear, message_of, messages, send_all, skip, try_send};
use bytes::Bytes;
use futures::FutureExt;
use snapshot_core::{
    Body, Frame, Frames, Generation, Graph, Inbox, Incoming, NodeId, RawBytes, Stamp, Transport,
};
use snapshot_transport_mem::MemNetwork;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn t1_frames_arrive_in_the_order_in_which_they_were_sent_whatever_their_delays() {
    let graph = Graph::mesh([A, B]);
    let delay = Duration::ZERO..Duration::from_millis(50);
    let network = MemNetwork::builder(&graph).seed(3).delay(delay).build().unwrap();
    let (a, b) = (network.transport(A), network.transport(B));
    hear(&b);
    let mut heard = Vec::new();
    network
        .run(async {
            let send = async {
                for first in (0..300).step_by(3) {
                    send_all(&a, B, &mut batch(first..first + 3)).await.unwrap();
                    let at = network.now() + Duration::from_millis(u64::from(first) % 5);
                    network.clock().sleep_until(at).await;
                }
            };
            let recv = async {
                let mut inbox = Inbox::with_capacity(7);
                while heard.len() < 300 {
                    b.recv(&mut inbox).await.unwrap();
                    heard.extend(empty(&mut inbox));
                }
            };
            futures::join!(send, recv)
        })
        .unwrap();
    assert_eq!(heard, (0..300).map(|message| Heard::Message(A, message)).collect::<Vec<_>>());
}

#[test]
fn t1_control_frames_keep_their_place_among_messages() {
    let (_network, [a, b]) = MemNetwork::mesh::<2>();
    let bodies = [Body::Message(1), Body::Control(Bytes::from_static(b"?")), Body::Message(2)];
    let mut frames = Frames::new();
    for (body, number) in bodies.iter().cloned().zip(1..) {
        frames.push_back(Frame { stamp: Stamp::new(Generation(1), number), body });
    }
    a.send(a.topology().peer(B).unwrap(), &mut frames).now_or_never().unwrap().unwrap();
    let mut inbox = Inbox::with_capacity(8);
    b.recv(&mut inbox).now_or_never().unwrap().unwrap();
    assert!(matches!(inbox.pop(), Some(Incoming::Up(_))));
    for (body, number) in bodies.into_iter().zip(1..) {
        let Some(Incoming::Frame { frame, .. }) = inbox.pop() else { panic!("a frame") };
        assert_eq!(frame, Frame { stamp: Stamp::new(Generation(1), number), body });
    }
}

#[test]
fn t3_recv_pushes_no_more_than_there_is_room_for() {
    let (_network, [a, b]) = MemNetwork::mesh::<2>();
    assert_eq!(hear(&b), [Heard::Up(A)]);
    try_send(&a, B, 0..10);
    let mut inbox = Inbox::with_capacity(4);
    b.recv(&mut inbox).now_or_never().unwrap().unwrap();
    assert_eq!((inbox.len(), inbox.room()), (4, 0));
    let error = b.recv(&mut inbox).now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains("full inbox"), "{error}");
    inbox.pop();
    b.recv(&mut inbox).now_or_never().unwrap().unwrap();
    assert_eq!(inbox.len(), 4);
}

#[test]
fn t3_a_channel_takes_its_capacity_and_no_more() {
    let network = MemNetwork::builder(&Graph::mesh([A, B])).capacity(5).build().unwrap();
    let (a, b) = (network.transport(A), network.transport(B));
    hear(&b);
    assert_eq!(try_send(&a, B, 0..3), [0; 0]);
    assert_eq!(try_send(&a, B, 3..9), [5, 6, 7, 8]);
    assert_eq!(network.in_flight(A, B), 5);
    assert_eq!(try_send(&b, A, 0..9), [5, 6, 7, 8], "a batch over the capacity is not swapped in whole");
    assert_eq!(messages(&b), [0, 1, 2, 3, 4]);
}

#[test]
fn t4_a_full_channel_makes_send_wait_until_there_is_room_and_delays_no_other_peer() {
    let network = MemNetwork::builder(&Graph::mesh([A, B, C])).capacity(2).build().unwrap();
    let [a, b, c] = [A, B, C].map(|id| network.transport(id));
    hear(&b);
    hear(&c);
    let mut frames = batch(0..5);
    let mut send = Box::pin(send_all(&a, B, &mut frames));
    assert!((&mut send).now_or_never().is_none());
    assert_eq!(try_send(&a, C, [7]), [0; 0]);
    assert_eq!(messages(&c), [7]);

    assert_eq!(messages(&b), [0, 1]);
    assert!((&mut send).now_or_never().is_none());
    assert_eq!(messages(&b), [2, 3]);
    send.now_or_never().unwrap().unwrap();
    assert_eq!(messages(&b), [4]);
}

#[test]
fn t4_one_sender_cannot_keep_the_others_from_being_heard() {
    let (_network, [a, b, c]) = MemNetwork::mesh::<3>();
    hear(&c);
    try_send(&a, C, 0..100);
    try_send(&b, C, [7]);
    let mut inbox = Inbox::with_capacity(4);
    let mut heard = Vec::new();
    for _ in 0..2 {
        c.recv(&mut inbox).now_or_never().unwrap().unwrap();
        heard.extend(empty(&mut inbox));
    }
    assert!(heard.contains(&Heard::Message(B, 7)), "{heard:?}");
}

#[test]
fn t5_sends_and_recv_are_under_way_at_the_same_time() {
    let network = MemNetwork::builder(&Graph::mesh([A, B, C])).capacity(1).build().unwrap();
    let [a, b, c] = [A, B, C].map(|id| network.transport(id));
    skip(&[&a, &b, &c]);
    let (mut to_b, mut to_c) = (batch(0..2), batch(0..2));
    let mut send_b = Box::pin(send_all(&a, B, &mut to_b));
    let mut send_c = Box::pin(send_all(&a, C, &mut to_c));
    let mut inbox = Inbox::with_capacity(4);
    let mut recv = Box::pin(a.recv(&mut inbox));
    assert!((&mut send_b).now_or_never().is_none());
    assert!((&mut send_c).now_or_never().is_none());
    assert!((&mut recv).now_or_never().is_none());
    try_send(&b, A, [9]);
    recv.now_or_never().expect("recv does not wait for the sends").unwrap();
    assert_eq!(messages(&c), [0]);
    send_c.now_or_never().expect("one send does not wait for the other").unwrap();
    assert!(send_b.now_or_never().is_none());
}

#[test]
fn t6_what_was_sent_arrives_without_a_further_call() {
    let (_network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    assert_eq!(try_send(&a, B, 0..3), [0; 0]);
    assert_eq!(messages(&b), [0, 1, 2]);
    assert_eq!(try_send(&a, B, []), [0; 0]);
    assert_eq!(messages(&b), [0; 0]);
}

#[test]
fn t7_a_first_connection_is_announced_when_both_run_and_before_its_first_frame() {
    let network = MemNetwork::new(&Graph::mesh([A, B])).unwrap();
    let a = network.transport(A);
    assert_eq!(hear(&a), []);
    assert_eq!(try_send(&a, B, [1]), [1], "a send waits for the connection");
    let b = network.transport(B);
    assert_eq!(try_send(&a, B, [1]), [0; 0]);
    assert_eq!(hear(&a), [Heard::Up(B)]);
    assert_eq!(hear(&b), [Heard::Up(A), Heard::Message(A, 1)]);
}

#[test]
fn t7_both_ends_of_a_one_way_channel_are_told_of_the_connection() {
    let network = MemNetwork::new(&Graph::ring([A, B, C])).unwrap();
    let [a, b, _c] = [A, B, C].map(|id| network.transport(id));
    assert_eq!(hear(&a), [Heard::Up(B), Heard::Up(C)]);
    assert_eq!(hear(&b), [Heard::Up(A), Heard::Up(C)]);
    network.cut(A, B);
    assert_eq!((hear(&a), hear(&b)), (vec![Heard::Lost(B)], vec![Heard::Lost(A)]));
}

#[test]
fn t7_a_goodbye_comes_behind_all_that_was_sent() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.hold(A, B);
    try_send(&a, B, [1, 2]);
    a.close().now_or_never().unwrap().unwrap();
    assert_eq!(hear(&b), []);
    network.release(A, B);
    assert_eq!(hear(&b), [Heard::Message(A, 1), Heard::Message(A, 2), Heard::Left(A)]);
}

#[test]
fn t8_a_recv_under_way_when_its_transport_closes_is_the_clean_end() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&a);
    let mut inbox = Inbox::with_capacity(4);
    let (ended, closed) = network.run(async { futures::join!(a.recv(&mut inbox), a.close()) }).unwrap();
    ended.unwrap();
    closed.unwrap();
    assert!(inbox.is_empty());
    for _ in 0..2 {
        a.recv(&mut inbox).now_or_never().unwrap().unwrap();
        assert!(inbox.is_empty());
    }
    let error = send_all(&a, B, &mut batch([1])).now_or_never().unwrap().unwrap_err();
    assert!(error.is_closed(), "{error}");
    assert_eq!(try_send(&b, A, [1]), [1], "the neighbour waits for the next process");
}

#[test]
fn t8_a_neighbour_that_has_left_is_not_the_end() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    a.close().now_or_never().unwrap().unwrap();
    assert_eq!(hear(&b), [Heard::Up(A), Heard::Left(A)]);
    let mut inbox = Inbox::with_capacity(4);
    assert!(b.recv(&mut inbox).now_or_never().is_none());
    let a = network.transport(A);
    try_send(&a, B, [1]);
    assert_eq!(hear(&b), [Heard::Up(A), Heard::Message(A, 1)]);
}

#[test]
fn a_send_that_is_dropped_leaves_in_its_frames_what_has_not_gone_out() {
    let network = MemNetwork::builder(&Graph::mesh([A, B])).capacity(2).build().unwrap();
    let (a, b) = (network.transport(A), network.transport(B));
    hear(&b);
    let mut frames = batch(0..5);
    assert!(send_all(&a, B, &mut frames).now_or_never().is_none());
    assert_eq!(frames.iter().map(message_of).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(messages(&b), [0, 1]);
}

#[test]
fn a_send_to_a_node_that_has_no_channel_from_here_says_so() {
    let network = MemNetwork::<u32>::new(&Graph::ring([A, B, C])).unwrap();
    let b = network.transport(B);
    let error = send_all(&b, A, &mut batch([1])).now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains("no channel from n2 to n1"), "{error}");
    assert_eq!(error.peer(), Some(A));
}

#[test]
fn the_codec_of_the_builder_is_the_transports() {
    let graph = Graph::mesh([A, B]);
    let network = MemNetwork::<Bytes>::builder(&graph).codec(Arc::new(RawBytes)).build().unwrap();
    assert!(network.transport(A).codec().is_some());
    assert!(MemNetwork::<Bytes>::new(&graph).unwrap().transport(A).codec().is_none());
}

#[test]
fn a_graph_that_is_no_topology_is_refused() {
    assert!(MemNetwork::<u32>::new(&Graph::new([])).is_err());
    assert!(MemNetwork::<u32>::new(&Graph::new([A, B]).link(A, B)).is_err());
    assert!(MemNetwork::<u32>::new(&Graph::mesh([NodeId(u64::MAX), A])).is_ok());
}
