//! Two processes of one node that both live: the older one does not take the connection from its successor.

use std::net::SocketAddr;

use bytes::Bytes;
use snapshot_core::{Frame, Generation, Inbox, Incoming, Life, NodeId, Stamp, Transport};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::*;

/// A message of a generation.
fn said(generation: u64, number: u64) -> Frame<Bytes> {
    Frame { stamp: Stamp::new(Generation(generation), number), ..message(number, 8) }
}

/// A process of node 2 that dials node 1 with a bare socket: the kind of what it is answered, and the text of a refusal.
async fn dials(at: SocketAddr, life: Life) -> (TcpStream, u8, String) {
    let mut socket = TcpStream::connect(at).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let hello = account_of(life, &mesh(&[1, 2], 2), 1, 4096);
    socket.write_all(&handshake(VERSION, HELLO, &hello)).await.unwrap();
    let (kind, text) = read_handshake(&mut socket).await;
    if kind == WELCOME {
        socket.write_all(&handshake(VERSION, ACCEPT, &NO_SESSION)).await.unwrap();
    }
    (socket, kind, String::from_utf8_lossy(&text).into_owned())
}

/// Notices when its connection is gone, for as long as it is polled.
async fn listen(node: &Tcp) {
    loop {
        node.recv(&mut Inbox::with_capacity(64)).await.unwrap();
    }
}

#[tokio::test]
async fn a_process_that_is_behind_the_one_that_is_connected_is_refused_and_disturbs_nobody() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    let at = one.local_addr().unwrap();
    guarded(async {
        let mut ear = Ear::new(&one);
        let (mut successor, kind, _) = dials(at, Life::new(9).speaking(Generation(5))).await;
        assert_eq!(kind, WELCOME);
        ear.up(2).await;
        for generation in [1, 4] {
            let (_, kind, text) = dials(at, Life::new(7).speaking(Generation(generation))).await;
            assert_eq!(kind, REFUSAL);
            assert!(text.contains("another process of n2 is connected with n1"), "{text}");
        }
        successor.write_all(&wire(&said(5, 1))).await.unwrap();
        assert_eq!(ear.number(2).await, 1, "nothing was lost");
    })
    .await;
}

#[tokio::test]
async fn what_has_come_on_a_connection_tells_how_far_its_process_is() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    let at = one.local_addr().unwrap();
    guarded(async {
        let mut ear = Ear::new(&one);
        // It had said nothing when it connected.
        let (mut successor, ..) = dials(at, Life::new(9)).await;
        ear.up(2).await;
        successor.write_all(&wire(&said(5, 1))).await.unwrap();
        assert_eq!(ear.number(2).await, 1);
        let old = Life::new(7).speaking(Generation(4));
        assert_eq!(dials(at, old).await.1, REFUSAL);
        // But one that is further takes its place, and so does one that has just started.
        for next in [Life::new(11).speaking(Generation(6)), Life::new(13)] {
            assert_eq!(dials(at, next).await.1, WELCOME);
            ear.lost(2).await;
            ear.up(2).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_same_process_connects_anew_whatever_it_has_spoken_in() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    let at = one.local_addr().unwrap();
    guarded(async {
        let mut ear = Ear::new(&one);
        let (mut first, ..) = dials(at, Life::new(9).speaking(Generation(5))).await;
        ear.up(2).await;
        first.write_all(&wire(&said(6, 1))).await.unwrap();
        assert_eq!(ear.number(2).await, 1);
        assert_eq!(dials(at, Life::new(9).speaking(Generation(5))).await.1, WELCOME);
        ear.lost(2).await;
        ear.up(2).await;
    })
    .await;
}

#[tokio::test]
async fn a_transport_whose_successor_is_connected_tries_on_and_never_gets_in() {
    let one = builder(mesh(&[1, 2], 1)).bind().await.unwrap();
    let two = || builder(mesh(&[1, 2], 2)).peer(NodeId(1), address(&one)).bind();
    guarded(async {
        let mut ear = Ear::new(&one);
        let old = two().await.unwrap();
        ear.up(2).await;
        old.send(peer(&old, 1), &mut frames([said(4, 1)])).await.unwrap();
        assert_eq!(ear.number(2).await, 1);
        let successor = two().await.unwrap();
        let listening = async { tokio::join!(listen(&old), listen(&successor)) };
        let settling = async {
            // Until it is heard, each may take the connection from the other.
            let mut unsent = frames([said(5, 2)]);
            let heard = loop {
                tokio::select! {
                    event = ear.next() => match event {
                        Incoming::Frame { frame, .. } => break frame.stamp.number(),
                        Incoming::Lost { .. } if unsent.is_empty() => unsent = frames([said(5, 2)]),
                        _ => {}
                    },
                    sent = successor.send(peer(&successor, 1), &mut unsent), if !unsent.is_empty() => sent.unwrap(),
                }
            };
            assert_eq!(heard, 2);
            reason(&old, "another process of n2 is connected with n1").await;
            for number in 3..20 {
                successor.send(peer(&successor, 1), &mut frames([said(5, number)])).await.unwrap();
                // The one before may come twice: it was sent again when the loss of the old process was told.
                let heard = loop {
                    match ear.number(2).await {
                        2 => {}
                        heard => break heard,
                    }
                };
                assert_eq!(heard, number, "neither lost nor up");
                reason(&old, "another process of n2 is connected with n1").await;
            }
        };
        tokio::select! { _ = listening => {}, () = settling => {} }
    })
    .await;
}
