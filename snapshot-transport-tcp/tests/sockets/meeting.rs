//! How nodes find each other: orders of starting, restarts, disagreements, and what is said of those who do not come.

use std::time::Duration;

use crate::common::*;
use snapshot_core::{Graph, Inbox, Life, NodeId, Transport};
use snapshot_transport_tcp::{BindError, LastSeen, NotConnected, TcpTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(60);

/// An address of the loopback that nobody listens on.
async fn free_address() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn the_node_that_is_dialed_may_start_last() {
    guarded(async {
        let at = free_address().await;
        let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), at.to_string()).bind().await.unwrap();
        reason(&two, "refused").await;
        let mut out = frames([message(1, 1)]);
        let start = async {
            let one = builder(mesh(&[1, 2], 1)).listen(at).bind().await.unwrap();
            let mut ear = Ear::new(&one);
            ear.up(2).await;
            assert_eq!(ear.number(2).await, 1);
            one
        };
        // What was sent before there was anybody waits for it.
        let (sent, _one) = tokio::join!(two.send(peer(&two, 1), &mut out), start);
        sent.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_node_that_dials_may_start_last() {
    guarded(async {
        let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
        let mut out = frames([message(1, 1)]);
        let start = async {
            let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), address(&one)).bind().await.unwrap();
            let mut ear = Ear::new(&two);
            ear.up(1).await;
            assert_eq!(ear.number(1).await, 1);
            two
        };
        let (sent, _two) = tokio::join!(one.send(peer(&one, 2), &mut out), start);
        sent.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_name_is_resolved() {
    guarded(async {
        let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
        let at = format!("localhost:{}", one.local_addr().unwrap().port());
        let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), at).bind().await.unwrap();
        two.connected(LONG).await.unwrap();
        let three = builder(mesh(&[1, 2], 2)).peer(NodeId(1), "no such host:1");
        let three = three.allow_plain_text_outside_loopback().bind().await.unwrap();
        reason(&three, "n1 at no such host:1 is out of reach").await;
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_is_bound_already_is_taken() {
    guarded(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let one = builder(mesh(&[1, 2, 3], 1)).bind_on(listener).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let two = builder(mesh(&[1, 2, 3], 2)).peer(NodeId(1), address(&one)).bind_on(listener).unwrap();
        assert_eq!(two.local_addr(), Some(at));
        let known = [(NodeId(1), address(&one)), (NodeId(2), address(&two))];
        // The largest of all is dialed by nobody, and needs no listener.
        let three =
            TcpTransport::builder(mesh(&[1, 2, 3], 3), snapshot_core::RawBytes).peers(known).bind().await;
        let three = three.unwrap();
        assert_eq!(three.local_addr(), None);
        three.connected(LONG).await.unwrap();
        one.connected(LONG).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_dialer_that_starts_again_is_taken_at_once() {
    guarded(async {
        let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
        let mut ear = Ear::new(&one);
        for life in 1..=3 {
            let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), address(&one)).bind().await.unwrap();
            two.send(peer(&two, 1), &mut frames([message(life, 1)])).await.unwrap();
            ear.up(2).await;
            assert_eq!(ear.number(2).await, life);
            if life == 2 {
                let (closed, ()) = tokio::join!(two.close(), ear.left(2));
                closed.unwrap();
            } else {
                drop(two);
                ear.lost(2).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_starts_again_at_its_address_is_dialed_again() {
    guarded(async {
        let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
        let at = one.local_addr().unwrap();
        let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), at.to_string()).bind().await.unwrap();
        let mut ear = Ear::new(&two);
        ear.up(1).await;
        one.connected(LONG).await.unwrap(); // the side that is dialed is done a little later
        let (closed, ()) = tokio::join!(one.close(), ear.left(1));
        closed.unwrap();
        drop(one);
        reason(&two, "n1").await;
        let one = builder(mesh(&[1, 2], 1)).listen(at).bind().await.unwrap();
        let mut out = frames([message(7, 7)]);
        let mut other = Ear::new(&one);
        let receive = async {
            other.up(2).await;
            assert_eq!(other.number(2).await, 7);
        };
        let (sent, (), ()) = tokio::join!(two.send(peer(&two, 1), &mut out), ear.up(1), receive);
        sent.unwrap();
    })
    .await;
}

#[tokio::test]
async fn after_a_loss_only_frames_that_were_not_begun_are_sent() {
    const COUNT: u64 = 400;
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    let at = one.local_addr().unwrap();
    guarded(async {
        let mut out = frames((1..=COUNT).map(|n| message(n, 60_000)));
        let size = wire(&message(1, 60_000)).len();
        let listen = async {
            let mut inbox = Inbox::with_capacity(100);
            while one.recv(&mut inbox).await.is_ok() {
                inbox = Inbox::with_capacity(100);
            }
        };
        let neighbour = async {
            let mut first = bare_neighbour(&[1, 2], 2, at, 1 << 20).await;
            let mut bytes = vec![0; size * 3 + 1000];
            first.read_exact(&mut bytes).await.unwrap();
            drop(first);
            let mut second = bare_neighbour(&[1, 2], 2, at, 1 << 20).await;
            let mut numbers = Vec::new();
            while numbers.last() != Some(&COUNT) {
                let mut head = [0; 4];
                second.read_exact(&mut head).await.unwrap();
                let mut frame = vec![0; u32::from_le_bytes(head) as usize];
                second.read_exact(&mut frame).await.unwrap();
                let stamp = snapshot_core::Stamp::from_bytes(&frame[1..=usize::from(frame[0] & 31)]).unwrap();
                assert_eq!(
                    [&head[..], &frame].concat(),
                    wire(&message(stamp.number(), 60_000)),
                    "a whole frame"
                );
                numbers.push(stamp.number());
            }
            numbers
        };
        let mut sends = std::pin::pin!(async { tokio::join!(one.send(peer(&one, 2), &mut out), neighbour) });
        let mut listen = std::pin::pin!(listen);
        let (sent, numbers) = std::future::poll_fn(|cx| {
            let _ = listen.as_mut().poll(cx);
            sends.as_mut().poll(cx)
        })
        .await;
        sent.unwrap();
        assert!(numbers[0] > 4, "what had come is sent again: {}", numbers[0]);
        assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_group_is_told_on_both_sides() {
    let one = builder(graph("left", &[1, 2]).at(NodeId(1)).unwrap()).bind().await.unwrap();
    let two = builder(graph("right", &[1, 2]).at(NodeId(2)).unwrap()).peer(NodeId(1), address(&one));
    let two = two.bind().await.unwrap();
    guarded(async {
        for node in [&one, &two] {
            reason(
                node,
                r#"refused: n1 is of group "left" and n2 of group "right": give both the same name"#,
            )
            .await;
        }
        let error = two.connected(Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(&error.missing()[0].last, LastSeen::Refused { .. }));
        // It is asked again, and taken when it is right.
        let two = builder(graph("left", &[1, 2]).at(NodeId(2)).unwrap()).peer(NodeId(1), address(&one));
        let two = two.bind().await.unwrap();
        two.connected(LONG).await.unwrap();
        one.connected(LONG).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_different_graph_is_told_on_both_sides() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    let two = builder(mesh(&[1, 2, 3], 2)).peer(NodeId(1), address(&one)).bind().await.unwrap();
    guarded(async {
        for node in [&one, &two] {
            reason(node, "refused: n1 and n2 know different graphs").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_node_at_an_address_is_told_on_both_sides() {
    let one = builder(mesh(&[1, 2, 3], 1)).bind().await.unwrap();
    let two = builder(mesh(&[1, 2, 3], 2)).peer(NodeId(1), address(&one)).bind().await.unwrap();
    let swapped = [(NodeId(1), address(&two)), (NodeId(2), address(&one))];
    let three = builder(mesh(&[1, 2, 3], 3)).peers(swapped).bind().await.unwrap();
    guarded(async {
        let text = reason(&three, "refused: n3 wants n1 at this address, where n2 is").await;
        assert!(text.contains("correct the address of n1"));
        reason(&three, "n3 wants n2 at this address, where n1 is").await;
        reason(&two, "n3 wants n1 at this address, where n2 is").await;
        reason(&one, "n3 wants n2 at this address, where n1 is").await;
    })
    .await;
}

#[tokio::test]
async fn a_stranger_is_told_on_both_sides_and_disturbs_nobody() {
    let (one, two) = pair().await;
    let stranger = builder(mesh(&[1, 9], 9)).peer(NodeId(1), address(&one)).bind().await.unwrap();
    guarded(async {
        reason(&stranger, "refused: n9 is no neighbour of n1").await;
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        two.send(peer(&two, 1), &mut frames([message(1, 1)])).await.unwrap();
        assert_eq!(ear.number(2).await, 1);
        one.connected(LONG).await.unwrap();
        drop(two);
        ear.lost(2).await;
        reason(&one, "also, somebody at 127.0.0.1 was refused: n9 is no neighbour of n1").await;
    })
    .await;
}

#[tokio::test]
async fn somebody_with_our_own_id_is_refused() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    guarded(async {
        let mut socket = tokio::net::TcpStream::connect(one.local_addr().unwrap()).await.unwrap();
        let hello = account(&mesh(&[1, 2], 1), 1, 4096);
        socket.write_all(&handshake(VERSION, HELLO, &hello)).await.unwrap();
        let (kind, text) = read_handshake(&mut socket).await;
        assert_eq!(kind, REFUSAL);
        assert!(String::from_utf8(text).unwrap().contains("two nodes say that they are n1"));
        reason(&one, "two nodes say that they are n1").await;
    })
    .await;
}

#[tokio::test]
async fn another_version_is_told_to_the_dialer_and_here() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    guarded(async {
        let mut socket = tokio::net::TcpStream::connect(one.local_addr().unwrap()).await.unwrap();
        let mut hello = account(&mesh(&[1, 2], 2), 1, 4096);
        hello.extend([0xff; 100]); // a later version may say more
        socket.write_all(&handshake(9, HELLO, &hello)).await.unwrap();
        let (kind, text) = read_handshake(&mut socket).await;
        assert_eq!(kind, REFUSAL);
        assert!(
            String::from_utf8(text).unwrap().contains("n1 speaks version 3 and its counterpart version 9")
        );
        reason(&one, "n2 was refused: n1 speaks version 3 and its counterpart version 9").await;
    })
    .await;
}

#[tokio::test]
async fn another_version_is_told_to_the_listener_and_here() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), at).bind().await.unwrap();
    guarded(async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (kind, hello) = read_handshake(&mut socket).await;
        // Behind the numbers stands which process it is.
        let life = Life::from_bytes(&hello[28..28 + Life::LEN]).unwrap();
        assert_eq!(life.generation(), None, "it has said nothing yet");
        assert_eq!((kind, hello), (HELLO, account_of(life, &mesh(&[1, 2], 2), 1, 16 << 20)));
        let welcome = account(&mesh(&[1, 2], 1), 2, 4096);
        socket.write_all(&handshake(9, WELCOME, &welcome)).await.unwrap();
        let (kind, text) = read_handshake(&mut socket).await;
        assert_eq!(kind, REFUSAL);
        assert!(
            String::from_utf8(text).unwrap().contains("n2 speaks version 3 and its counterpart version 9")
        );
        reason(&two, "refused: n2 speaks version 3 and its counterpart version 9").await;
        // A refusal of any version can be read.
        let (mut socket, _) = listener.accept().await.unwrap();
        read_handshake(&mut socket).await;
        socket.write_all(&handshake(77, REFUSAL, b"not today")).await.unwrap();
        reason(&two, "was refused: not today").await;
    })
    .await;
}

#[tokio::test]
async fn at_the_deadline_each_missing_neighbour_is_named() {
    guarded(async {
        let (at, silent) = (free_address().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
        let silent_at = silent.local_addr().unwrap().to_string();
        let three =
            builder(mesh(&[1, 2, 3, 4], 3)).peers([(NodeId(1), at.to_string()), (NodeId(2), silent_at)]);
        let three = three.bind().await.unwrap();
        let text = reason(&three, "refused").await;
        assert!(text.contains(&format!("n1 at {at} is out of reach: Connection refused")), "{text}");
        assert!(text.contains("n2 at 127.0.0.1:") && text.contains("has not answered yet"), "{text}");
        assert!(text.contains("n4 has never dialed this node"), "{text}");
        assert!(text.contains(&address(&three)), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up() {
    guarded(async {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let limit = Duration::from_millis(20);
        let at = silent.local_addr().unwrap().to_string();
        let two = builder(mesh(&[1, 2], 2)).handshake_within(limit).peer(NodeId(1), at).bind().await.unwrap();
        reason(&two, "not done in time").await;
        let one = builder(mesh(&[1, 2], 1)).handshake_within(limit).bind().await.unwrap();
        let mut silent = tokio::net::TcpStream::connect(one.local_addr().unwrap()).await.unwrap();
        assert_eq!(silent.read(&mut [0; 100]).await.unwrap(), 0, "closed by the other side");
    })
    .await;
}

#[tokio::test]
async fn who_was_connected_and_is_gone_is_told_so() {
    let (one, two) = pair().await;
    guarded(async {
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        drop(two);
        ear.lost(2).await;
        reason(&one, "n2 was lost: it closed the connection without a goodbye").await;
        one.close().await.unwrap();
        let error: NotConnected = one.connected(LONG).await.unwrap_err();
        assert!(error.is_closed());
    })
    .await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    let error = builder(mesh(&[1, 2], 1)).listen(one.local_addr().unwrap()).bind().await.unwrap_err();
    assert!(
        matches!(&error, BindError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse)
    );
    assert!(error.to_string().contains(&address(&one)), "{error}");
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_it_starts() {
    let bare = |me| TcpTransport::builder(mesh(&[1, 2], me), snapshot_core::RawBytes);
    let error = bare(2).bind().await.unwrap_err();
    assert!(error.to_string().contains(r#".peer(NodeId(1), "host:port")"#), "{error}");
    let error = bare(1).bind().await.unwrap_err();
    assert!(matches!(error, BindError::NoListener { me: NodeId(1), peer: NodeId(2) }));
    let error = builder(mesh(&[1, 2], 1)).peer(NodeId(5), "x:1").bind().await.unwrap_err();
    assert!(matches!(error, BindError::NotAMember { node: NodeId(5) }));
    for bytes in [0, 1023, usize::MAX] {
        let error = builder(mesh(&[1, 2], 1)).max_frame(bytes).bind().await.unwrap_err();
        assert!(matches!(error, BindError::MaxFrame { given, .. } if given == bytes));
    }
    let long = graph(&"x".repeat(1025), &[1, 2]).at(NodeId(1)).unwrap();
    assert!(matches!(builder(long).bind().await.unwrap_err(), BindError::GroupName { len: 1025, .. }));
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error =
        TcpTransport::builder(mesh(&[1, 2], 1), snapshot_core::RawBytes).bind_on(listener).unwrap_err();
    assert!(matches!(error, BindError::NoRuntime));
}

#[tokio::test]
async fn no_task_outlives_the_transport() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    guarded(async {
        for close in [false, true] {
            let (one, two) = pair().await;
            // `one` listens, `two` listens and dials.
            // Each has one more for what neither `send` nor `recv` is there for.
            assert_eq!(tasks(), 5);
            if close {
                let (a, b) = tokio::join!(one.close(), two.close());
                a.and(b).unwrap();
                assert_eq!(tasks(), 0);
            }
            let at = one.local_addr().unwrap();
            drop((one, two));
            while tasks() > 0 {
                tokio::task::yield_now().await;
            }
            TcpListener::bind(at).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_group_of_one_is_connected_and_waits_until_it_is_closed() {
    let alone = Graph::new([NodeId(1)]).at(NodeId(1)).unwrap();
    let one = TcpTransport::builder(alone, snapshot_core::RawBytes).bind().await.unwrap();
    guarded(async {
        one.connected(LONG).await.unwrap();
        let mut inbox = Inbox::<bytes::Bytes>::with_capacity(1);
        let (received, closed) = tokio::join!(one.recv(&mut inbox), one.close());
        received.and(closed).unwrap();
        assert!(inbox.is_empty());
    })
    .await;
}

#[tokio::test]
async fn plain_text_leaves_the_machine_only_where_somebody_has_said_so() {
    let outside = "0.0.0.0:0".parse().unwrap();
    let plain = |bound: Result<Tcp, BindError>| match bound {
        Err(error @ BindError::PlainText { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let why = plain(builder(mesh(&[1, 2], 1)).listen(outside).bind().await);
    assert!(why.contains("0.0.0.0:0") && why.contains(".allow_plain_text_outside_loopback()"), "{why}");
    for address in ["b.example.com:7", "10.1.2.3:7", "[2001:db8::1]:7"] {
        let why = plain(builder(mesh(&[1, 2], 2)).peer(NodeId(1), address).bind().await);
        assert!(why.contains(address), "{why}");
    }
    // Whom it does not dial it may have in its table.
    builder(mesh(&[1, 2], 1)).peer(NodeId(2), "b.example.com:7").bind().await.unwrap();
    let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), "no such host:7").allow_plain_text_outside_loopback();
    two.bind().await.unwrap();
}
