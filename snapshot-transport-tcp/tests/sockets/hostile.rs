//! Neighbours that break the protocol, and strangers that speak another: a reason, no panic, nobody else disturbed.

use crate::common::*;
use snapshot_core::{NodeId, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nodes 1 and 3 as transports, and how node 1 sees the end of node 2, a bare socket that sends `bytes` and closes.
async fn reason_of_loss(bytes: &[u8]) -> String {
    let one = builder(mesh(&[1, 2, 3], 1)).bind().await.unwrap();
    let at = one.local_addr().unwrap();
    let known = [(NodeId(1), address(&one)), (NodeId(2), "127.0.0.1:9".to_owned())];
    let three = builder(mesh(&[1, 2, 3], 3)).peers(known).bind().await.unwrap();
    guarded(async {
        let mut ear = Ear::new(&one);
        ear.up(3).await;
        let mut two = bare_neighbour(&[1, 2, 3], 2, at, 1 << 20).await;
        two.write_all(&[&wire(&message(1, 10))[..], bytes].concat()).await.unwrap();
        two.shutdown().await.unwrap();
        ear.up(2).await;
        assert_eq!(ear.number(2).await, 1, "what came before is handed out");
        let why = ear.lost(2).await;
        assert!(matches!(two.read(&mut [0]).await, Ok(0) | Err(_)), "the connection is closed");
        three.send(peer(&three, 1), &mut frames([message(5, 5)])).await.unwrap();
        assert_eq!(ear.number(3).await, 5, "the other neighbour is not disturbed");
        // And the one that broke the protocol may come again.
        let _two = bare_neighbour(&[1, 2, 3], 2, at, 1 << 20).await;
        ear.up(2).await;
        why
    })
    .await
}

#[tokio::test]
async fn an_end_in_mid_frame_says_so() {
    let frame = wire(&message(2, 100));
    let why = reason_of_loss(&frame[..50]).await;
    assert!(why.contains("in the middle of a frame (50 of 108 bytes had come)"), "{why}");
    let why = reason_of_loss(&frame[..3]).await;
    assert!(why.contains("in the middle of a frame (3 bytes had come)"), "{why}");
}

#[tokio::test]
async fn an_end_without_a_goodbye_says_so() {
    let why = reason_of_loss(&[]).await;
    assert!(why.contains("without a goodbye"), "{why}");
}

#[tokio::test]
async fn a_length_over_the_limit_says_so() {
    let why = reason_of_loss(&u32::MAX.to_le_bytes()).await;
    assert!(why.contains("a frame of 4294967295 bytes, over the limit of 16777216"), "{why}");
}

#[tokio::test]
async fn garbage_says_so() {
    let why = reason_of_loss(&[4, 0, 0, 0, 0xff, 1, 2, 3, 9, 9, 9]).await;
    assert!(why.contains("no frame of this protocol"), "{why}");
    let why = reason_of_loss(&[0, 0, 0, 0]).await;
    assert!(why.contains("it is empty"), "{why}");
}

#[tokio::test]
async fn something_after_the_goodbye_says_so() {
    let why = reason_of_loss(&[&GOODBYE[..], &wire(&message(2, 1))].concat()).await;
    assert!(why.contains("after its goodbye"), "{why}");
}

#[tokio::test]
async fn a_message_that_the_codec_refuses_ends_the_transport_and_says_so() {
    use snapshot_core::{Inbox, Incoming, Postcard};
    use snapshot_transport_tcp::TcpTransport;
    let listen = "127.0.0.1:0".parse().unwrap();
    let one = TcpTransport::<(u64, String)>::builder(mesh(&[1, 2], 1), Postcard).listen(listen);
    let one = one.bind().await.unwrap();
    guarded(async {
        let mut two = bare_neighbour(&[1, 2], 2, one.local_addr().unwrap(), 1 << 20).await;
        two.write_all(&wire(&message(1, 7))).await.unwrap();
        let mut inbox = Inbox::with_capacity(10);
        let error = loop {
            if let Err(error) = one.recv(&mut inbox).await {
                break error;
            }
        };
        assert!(matches!(inbox.pop(), Some(Incoming::Up(_))));
        assert_eq!(inbox.pop(), None, "no loss: it would say the same again");
        assert!(error.is_undecodable());
        assert_eq!(error.peer(), Some(NodeId(2)));
        let text = error.to_string();
        assert!(
            text.starts_with("n2 sent a message that the codec `") && text.contains("Postcard`"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn strangers_that_speak_another_protocol_are_told_and_disturb_nobody() {
    let (one, two) = pair().await;
    let at = one.local_addr().unwrap();
    guarded(async {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut socket = TcpStream::connect(at).await.unwrap();
            let bytes: Vec<u8> = match seed {
                0 => b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
                1 => handshake(VERSION, HELLO, &[1, 2, 3]),
                2 => handshake(VERSION, ACCEPT, &[]),
                3 => [&handshake(VERSION, HELLO, &[])[..7], &[0xff, 0xff]].concat(),
                _ => (0..random.usize(9..3000)).map(|_| random.u8(..)).collect(),
            };
            socket.write_all(&bytes).await.unwrap();
            let (kind, text) = read_handshake(&mut socket).await;
            let text = String::from_utf8(text).unwrap();
            assert_eq!(kind, REFUSAL, "seed {seed}");
            assert!(text.contains("does not speak this protocol"), "seed {seed}: {text}");
        }
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        two.send(peer(&two, 1), &mut frames([message(1, 1)])).await.unwrap();
        assert_eq!(ear.number(2).await, 1);
        one.connected(std::time::Duration::from_secs(60)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn strangers_that_say_nothing_keep_nobody_out() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    guarded(async {
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(TcpStream::connect(one.local_addr().unwrap()).await.unwrap());
        }
        let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), address(&one)).bind().await.unwrap();
        two.connected(std::time::Duration::from_secs(60)).await.unwrap();
        one.connected(std::time::Duration::from_secs(60)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_connection_of_a_neighbour_that_disagrees_does_not_end_the_one_that_stands() {
    let (one, two) = pair().await;
    guarded(async {
        let mut socket = TcpStream::connect(one.local_addr().unwrap()).await.unwrap();
        let hello = account(&graph("other", &[1, 2]).at(NodeId(2)).unwrap(), 1, 4096);
        socket.write_all(&handshake(VERSION, HELLO, &hello)).await.unwrap();
        assert_eq!(read_handshake(&mut socket).await.0, REFUSAL);
        one.connected(std::time::Duration::from_secs(60)).await.unwrap();
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        two.send(peer(&two, 1), &mut frames([message(1, 1)])).await.unwrap();
        assert_eq!(ear.number(2).await, 1);
    })
    .await;
}
