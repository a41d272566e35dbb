//! One test or more for each clause of `Transport`, over sockets of the loopback.

use std::pin::pin;
use std::time::Duration;

use crate::common::*;
use bytes::Bytes;
use futures::FutureExt;
use snapshot_core::{Body, Frame, Frames, Generation, Inbox, Incoming, NodeId, Postcard, Stamp, Transport};
use snapshot_transport_tcp::TcpTransport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// T1, T2, T5.
#[tokio::test]
async fn a_hundred_thousand_frames_each_way_arrive_in_order_and_unchanged() {
    const COUNT: u64 = 100_000;
    let seed = 7;
    let (one, two) = pair().await;
    let sender = |node, to, seed| async move {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut next = 1;
        while next <= COUNT {
            let numbers = next..next + random.u64(1..3000).min(COUNT + 1 - next);
            next = numbers.end;
            let all = numbers.map(|n| if n % 10 == 0 { control(n) } else { message(n, (n % 50) as usize) });
            let mut out = frames(all);
            Tcp::send(node, peer(node, to), &mut out).await.unwrap();
            assert!(out.is_empty());
        }
    };
    let receiver = |node, from: u64, seed| async move {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut ear = Ear::new(node);
        ear.up(from).await;
        for number in 1..=COUNT {
            if ear.inbox.is_empty() {
                ear.inbox = Inbox::with_capacity(random.usize(1..2000));
            }
            let (id, frame) = ear.frame().await;
            let expected =
                if number % 10 == 0 { control(number) } else { message(number, (number % 50) as usize) };
            assert_eq!((id, &frame), (NodeId(from), &expected), "seed {seed}");
        }
    };
    let both = async {
        tokio::join!(
            sender(&one, 2, seed),
            sender(&two, 1, seed + 1),
            receiver(&one, 2, seed),
            receiver(&two, 1, seed)
        )
    };
    guarded(both).await;
}

/// T2: what goes by reference and what is copied, around the sizes where that changes.
#[tokio::test]
async fn payloads_of_every_size_arrive_unchanged() {
    let sizes = [0, 1, 8191, 8192, 8193, 65_536, 262_143, 262_144, 1_000_000, 5_000_000, 3];
    let (one, two) = pair().await;
    let mut out = frames((1..).zip(sizes).map(|(n, len)| message(n, len)));
    let receive = async {
        let mut ear = Ear::new(&two);
        ear.up(1).await;
        for (number, len) in (1..).zip(sizes) {
            assert_eq!(ear.frame().await.1, message(number, len));
        }
    };
    let (sent, ()) = guarded(async { tokio::join!(one.send(peer(&one, 2), &mut out), receive) }).await;
    sent.unwrap();
}

/// T2, with messages of a type.
#[tokio::test]
async fn messages_of_a_type_arrive_unchanged() {
    #[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
    enum Order {
        Move { amount: u64, note: String },
        Stop,
    }
    let listen = "127.0.0.1:0".parse().unwrap();
    let one = TcpTransport::<Order>::builder(mesh(&[1, 2], 1), Postcard).listen(listen).bind().await.unwrap();
    let at = one.local_addr().unwrap().to_string();
    let two =
        TcpTransport::<Order>::builder(mesh(&[1, 2], 2), Postcard).peer(NodeId(1), at).bind().await.unwrap();
    let orders = [Order::Move { amount: 5, note: "x".repeat(20_000) }, Order::Stop];
    let mut out = Frames::new();
    for (number, order) in (1..).zip(orders.clone()) {
        out.push_back(Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(order) });
    }
    let mut inbox = Inbox::with_capacity(10);
    guarded(async {
        two.send(two.topology().peer(NodeId(1)).unwrap(), &mut out).await.unwrap();
        while inbox.len() < 3 {
            one.recv(&mut inbox).await.unwrap();
        }
    })
    .await;
    assert!(matches!(inbox.pop(), Some(Incoming::Up(_))));
    for order in orders {
        let Some(Incoming::Frame { frame, .. }) = inbox.pop() else { panic!("no frame") };
        assert_eq!(frame.body, Body::Message(order));
    }
}

/// T2, T7.
#[tokio::test]
async fn a_loss_is_told_after_all_frames_that_arrived_before() {
    let (one, two) = pair().await;
    guarded(async {
        two.send(peer(&two, 1), &mut frames((1..=700).map(|n| message(n, 100)))).await.unwrap();
        drop(two);
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        for number in 1..=700 {
            assert_eq!(ear.number(2).await, number);
        }
        assert!(ear.lost(2).await.contains("without a goodbye"));
    })
    .await;
}

/// T3.
#[tokio::test]
async fn no_more_is_pushed_than_there_is_room_for() {
    let (one, two) = pair().await;
    guarded(async {
        two.send(peer(&two, 1), &mut frames((1..=100).map(|n| message(n, 10)))).await.unwrap();
        let mut pushed = 0;
        for room in (1..8).cycle() {
            let mut inbox = Inbox::with_capacity(room);
            one.recv(&mut inbox).await.unwrap();
            assert!((1..=room).contains(&inbox.len()));
            pushed += inbox.len();
            if pushed == 101 {
                break;
            }
        }
        let mut full = Inbox::with_capacity(0);
        let error = one.recv(&mut full).await.unwrap_err();
        assert!(error.to_string().contains("full"));
    })
    .await;
}

/// T3, T4.
#[tokio::test]
async fn a_peer_that_does_not_read_delays_only_itself_and_fills_no_memory() {
    const MANY: u64 = 2000;
    let nodes = connected_mesh(3).await;
    let [one, _two, three] = &nodes[..] else { unreachable!() };
    let body = Bytes::from(vec![1; 64 * 1024]);
    let large = |n| Frame { stamp: Stamp::new(Generation(1), n), body: Body::Message(body.clone()) };
    let mut stuck = frames((1..=MANY).map(large));
    let mut quick = frames((1..=MANY).map(large));
    guarded(async {
        {
            let mut to_two = pin!(one.send(peer(one, 2), &mut stuck).fuse());
            let to_three = async {
                let mut ear = Ear::new(three);
                assert!(matches!(ear.next().await, Incoming::Up(_)));
                assert!(matches!(ear.next().await, Incoming::Up(_)));
                let receive = async {
                    for number in 1..=MANY {
                        assert_eq!(ear.number(1).await, number);
                    }
                };
                let (sent, ()) = tokio::join!(one.send(peer(one, 3), &mut quick), receive);
                sent.unwrap();
            };
            let mut to_three = pin!(to_three.fuse());
            futures::future::poll_fn(|cx| {
                assert!(to_two.poll_unpin(cx).is_pending(), "125 MiB went to a peer that does not read");
                to_three.poll_unpin(cx)
            })
            .await;
        }
        // What was taken from it is in the system's buffers, but for a quarter of a MiB.
        assert!(stuck.len() as u64 > MANY / 2, "{} are left", stuck.len());
    })
    .await;
}

/// T4: many have sent, and none is left to the end.
#[tokio::test]
async fn peers_that_all_have_sent_are_served_by_turns() {
    const EACH: u64 = 3000; // what the system's buffers hold
    let nodes = connected_mesh(4).await;
    let (one, others) = nodes.split_first().unwrap();
    guarded(async {
        for node in others {
            node.send(peer(node, 1), &mut frames((1..=EACH).map(|n| message(n, 8)))).await.unwrap();
        }
        // One turn of the runtime, which then knows of all that has arrived.
        tokio::task::yield_now().await;
        let mut ear = Ear::new(one);
        let mut counts = [0; 3];
        while counts.iter().all(|count| *count < EACH) {
            if let Incoming::Frame { from, .. } = ear.next().await {
                counts[from.index()] += 1;
            }
        }
        assert!(counts.iter().all(|count| *count > EACH / 2), "{counts:?}");
    })
    .await;
}

/// T5: both send more than all buffers hold, so that both must receive meanwhile.
#[tokio::test]
async fn sending_and_receiving_do_not_wait_for_each_other() {
    const COUNT: u64 = 1500;
    let (one, two) = pair().await;
    async fn run(node: &Tcp, other: u64) {
        let mut out = frames((1..=COUNT).map(|n| message(n, 64 * 1024)));
        let receive = async {
            let mut ear = Ear::new(node);
            ear.up(other).await;
            for number in 1..=COUNT {
                assert_eq!(ear.number(other).await, number);
            }
        };
        let (sent, ()) = tokio::join!(node.send(peer(node, other), &mut out), receive);
        sent.unwrap();
    }
    guarded(async { tokio::join!(run(&one, 2), run(&two, 1)) }).await;
}

/// T6.
#[tokio::test]
async fn a_send_that_is_ready_has_handed_on_everything() {
    let (one, two) = pair().await;
    guarded(async {
        let mut ear = Ear::new(&two);
        ear.up(1).await;
        for number in 1..=50 {
            one.send(peer(&one, 2), &mut frames([message(number, (number * 400) as usize)])).await.unwrap();
            assert_eq!(ear.number(1).await, number);
        }
    })
    .await;
}

/// T7: raw bytes, for a peer that vanishes at once cannot be made from a transport.
#[tokio::test]
async fn a_newer_connection_comes_after_all_of_the_older_one() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    let at = one.local_addr().unwrap();
    guarded(async {
        let mut first = bare_neighbour(&[1, 2], 2, at, 1 << 20).await;
        first.write_all(&[wire(&message(1, 5)), wire(&message(2, 5))].concat()).await.unwrap();
        one.connected(Duration::from_secs(60)).await.unwrap();
        let mut second = bare_neighbour(&[1, 2], 2, at, 1 << 20).await;
        second.write_all(&wire(&message(3, 5))).await.unwrap();
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        assert_eq!((ear.number(2).await, ear.number(2).await), (1, 2));
        assert!(ear.lost(2).await.contains("newer connection"));
        ear.up(2).await;
        assert_eq!(ear.number(2).await, 3);
        assert_eq!(first.read(&mut [0]).await.unwrap(), 0, "the older one is closed");
    })
    .await;
}

/// T7.
#[tokio::test]
async fn a_goodbye_is_still_seen_where_the_peer_is_back_already() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    let at = one.local_addr().unwrap();
    guarded(async {
        let mut first = bare_neighbour(&[1, 2], 2, at, 1 << 20).await;
        first.write_all(&[&wire(&message(1, 5))[..], &GOODBYE].concat()).await.unwrap();
        first.shutdown().await.unwrap();
        one.connected(Duration::from_secs(60)).await.unwrap();
        let _second = bare_neighbour(&[1, 2], 2, at, 1 << 20).await;
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        assert_eq!(ear.number(2).await, 1);
        ear.left(2).await;
        ear.up(2).await;
    })
    .await;
}

/// T7.
#[tokio::test]
async fn a_peer_that_closes_has_left_and_its_last_frames_have_come() {
    let (one, two) = pair().await;
    guarded(async {
        two.send(peer(&two, 1), &mut frames([message(1, 5), message(2, 300_000)])).await.unwrap();
        let listen = async {
            let mut ear = Ear::new(&one);
            ear.up(2).await;
            assert_eq!((ear.number(2).await, ear.number(2).await), (1, 2));
            ear.left(2).await;
        };
        let (closed, ()) = tokio::join!(two.close(), listen);
        closed.unwrap();
    })
    .await;
}

/// T8.
#[tokio::test]
async fn after_close_recv_ends_with_nothing_and_send_fails() {
    let (one, _two) = pair().await;
    guarded(async {
        let mut inbox = Inbox::with_capacity(10);
        one.recv(&mut inbox).await.unwrap();
        inbox.pop();
        {
            let mut waiting = pin!(one.recv(&mut inbox));
            assert!(waiting.as_mut().now_or_never().is_none());
            let mut closing = pin!(one.close());
            assert!(closing.as_mut().now_or_never().is_none(), "it waits for the peer, which does not read");
            waiting.await.unwrap();
        }
        assert!(inbox.is_empty());
        one.recv(&mut inbox).await.unwrap();
        assert!(inbox.is_empty());
        let error = one.send(peer(&one, 2), &mut frames([message(1, 1)])).await.unwrap_err();
        assert!(error.is_closed() && error.peer() == Some(NodeId(2)));
        one.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_frame_too_large_names_size_limit_peer_and_remedy() {
    let one = builder(mesh(&[1, 2], 1)).max_frame(4096).bind().await.unwrap();
    let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), address(&one)).bind().await.unwrap();
    guarded(async {
        two.connected(Duration::from_secs(60)).await.unwrap();
        // Over the other side's limit, and not sent to be lost there.
        let mut out = frames([message(1, 4092), message(2, 4093)]);
        let error = two.send(peer(&two, 1), &mut out).await.unwrap_err();
        assert!(error.is_frame_too_large());
        for part in ["4097 bytes", "4096 bytes", "n1", "max_frame"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_send_that_was_dropped_half_way_leaves_the_channel_in_order() {
    let (one, two) = pair().await;
    guarded(async {
        let mut out = frames((1..=1000).map(|n| message(n, 64 * 1024)));
        {
            let mut send = pin!(one.send(peer(&one, 2), &mut out));
            assert!(send.as_mut().now_or_never().is_none());
        }
        assert!(!out.is_empty() && out.len() < 1000);
        let mut ear = Ear::new(&two);
        let receive = async {
            ear.up(1).await;
            for number in 1..=1000 {
                assert_eq!(ear.number(1).await, number);
            }
        };
        let (sent, ()) = tokio::join!(one.send(peer(&one, 2), &mut out), receive);
        sent.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_one_way_link_is_one_connection_with_frames_one_way() {
    use snapshot_core::Graph;
    let ring = Graph::ring([NodeId(1), NodeId(2), NodeId(3)]);
    let one = builder(ring.at(NodeId(1)).unwrap()).bind().await.unwrap();
    let two = builder(ring.at(NodeId(2)).unwrap()).peer(NodeId(1), address(&one)).bind().await.unwrap();
    let known = [(NodeId(1), address(&one)), (NodeId(2), address(&two))];
    let three = builder(ring.at(NodeId(3)).unwrap()).peers(known).bind().await.unwrap();
    guarded(async {
        for (from, to, id, other) in [(&one, &two, 2, 1), (&two, &three, 3, 2), (&three, &one, 1, 3)] {
            from.send(peer(from, id), &mut frames([message(9, 9)])).await.unwrap();
            let mut ear = Ear::new(to);
            loop {
                match ear.next().await {
                    Incoming::Up(_) => {}
                    Incoming::Frame { from, frame } => {
                        assert_eq!((from.id(), frame), (NodeId(other), message(9, 9)));
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    })
    .await;
}
