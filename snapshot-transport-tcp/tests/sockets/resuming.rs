//! Connections that break between processes that live: they are resumed, and nobody is told.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use snapshot_core::{Body, Frame, Frames, Generation, Incoming, NodeId, Stamp, Transport};
use snapshot_transport_tcp::TcpBuilder;

use crate::common::relay::{End, Fate, Relay};
use crate::common::*;

/// For ever, as far as a test goes.
const LONG: Duration = Duration::from_secs(3600);
/// What a link keeps at most, beside one frame.
const KEEP: usize = 4 << 20;
/// How many break with each seed.
const CONNECTIONS: usize = 25;

/// Node 1, and node 2, which dials it by way of a relay.
async fn relayed(fates: Vec<Fate>, with: impl Fn(u64) -> TcpBuilder<Bytes>) -> (Tcp, Tcp, Relay) {
    let one = with(1).bind().await.unwrap();
    let relay = Relay::start(one.local_addr().unwrap(), fates).await;
    let two = with(2).peer(NodeId(1), relay.at.to_string()).bind().await.unwrap();
    (one, two, relay)
}

fn patient(me: u64) -> TcpBuilder<Bytes> {
    builder(mesh(&[1, 2], me)).resume_within(LONG)
}

/// Each byte tells where it belongs.
fn told_apart(number: u64, len: usize) -> Frame<Bytes> {
    let bytes: Vec<u8> = (number as u8..=u8::MAX).chain(0..=u8::MAX).cycle().take(len).collect();
    let bytes = Bytes::from(bytes);
    let body = if number % 7 == 3 { Body::Control(bytes) } else { Body::Message(bytes) };
    Frame { stamp: Stamp::new(Generation(1), number), body }
}

fn sizes(seed: u64) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(seed);
    let size = |_| match random.u8(..20) {
        0 => 0,
        1..12 => random.usize(..200),
        12..16 => random.usize(200..9000),
        16..19 => random.usize(9000..100_000),
        _ => random.usize(100_000..=1 << 20),
    };
    (0..200).map(size).collect()
}

fn fates(seed: u64) -> Vec<Fate> {
    let mut random = fastrand::Rng::with_seed(seed);
    let fate = |_| Fate {
        from_dialer: random.bool(),
        // Some break in the handshake.
        after: if random.u8(..4) == 0 { random.usize(..250) } else { random.usize(..120_000) },
        end: [End::Close, End::Reset, End::HalfOpen][random.usize(..3)],
    };
    (0..CONNECTIONS).map(fate).collect()
}

async fn sends(node: &Tcp, to: u64, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut all = (1..).zip(sizes(seed)).map(|(number, len)| told_apart(number, len));
    loop {
        let mut out = frames(all.by_ref().take(random.usize(1..20)));
        if out.is_empty() {
            return;
        }
        node.send(peer(node, to), &mut out).await.unwrap();
        assert!(out.is_empty());
    }
}

async fn hears(ear: &mut Ear<'_>, from: u64, seed: u64) {
    for (number, len) in (1..).zip(sizes(seed)) {
        match ear.next().await {
            Incoming::Frame { from: peer, frame } => {
                assert_eq!(peer.id(), NodeId(from));
                assert!(frame == told_apart(number, len), "seed {seed}: {:?} for no. {number}", frame.stamp);
            }
            other => panic!("seed {seed}: {other:?} before no. {number}"),
        }
    }
}

/// Traffic both ways through a relay that breaks many connections, at any byte.
async fn through_cuts(seed: u64, with: impl Fn(u64) -> TcpBuilder<Bytes>) {
    let (one, two, relay) = relayed(fates(seed), with).await;
    let (mut at_one, mut at_two) = (Ear::new(&one), Ear::new(&two));
    let both = async {
        tokio::join!(at_one.up(2), at_two.up(1));
        tokio::join!(
            sends(&one, 2, seed),
            sends(&two, 1, seed + 1000),
            hears(&mut at_one, 2, seed + 1000),
            hears(&mut at_two, 1, seed)
        );
    };
    guarded(both).await;
    // How many depends on how much goes through while the other direction brings it to its end.
    let tried = CONNECTIONS - relay.left();
    assert!(tried >= CONNECTIONS / 5, "seed {seed}: only {tried} connections broke");
}

#[tokio::test]
async fn everything_arrives_once_and_in_order_through_connections_that_break_anywhere() {
    for seed in 0..6 {
        through_cuts(seed, patient).await;
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn encrypted_connections_are_resumed_as_well() {
    let authority = authority::Authority::new();
    for seed in 50..52 {
        through_cuts(seed, |me| patient(me).tls(authority.certificates("test", me))).await;
    }
}

/// Nobody calls `send` any more.
#[tokio::test]
async fn what_was_handed_to_the_system_is_sent_again_without_a_further_send() {
    for end in [End::Close, End::Reset, End::HalfOpen] {
        for after in [400, 5_000, 90_000] {
            let (one, two, relay) = relayed(vec![Fate { from_dialer: true, after, end }], patient).await;
            guarded(async {
                two.send(peer(&two, 1), &mut frames([told_apart(1, 60), told_apart(2, 100_000)]))
                    .await
                    .unwrap();
                let mut ear = Ear::new(&one);
                let mut silent = Ear::new(&two);
                ear.up(2).await;
                silent.up(1).await;
                let heard = async {
                    assert_eq!(ear.frame().await.1, told_apart(1, 60));
                    assert!(ear.frame().await.1 == told_apart(2, 100_000));
                };
                tokio::select! {
                    () = heard => {}
                    told = silent.next() => panic!("{told:?}"),
                }
                assert_eq!(relay.left(), 0);
            })
            .await;
        }
    }
}

#[tokio::test]
async fn another_process_in_its_place_is_a_loss_at_once() {
    let (one, two, relay) = relayed(vec![], patient).await;
    guarded(async {
        let mut ear = Ear::new(&one);
        two.send(peer(&two, 1), &mut frames([message(1, 9)])).await.unwrap();
        ear.up(2).await;
        assert_eq!(ear.number(2).await, 1);
        drop(two);
        let two = patient(2).peer(NodeId(1), relay.at.to_string()).bind().await.unwrap();
        two.send(peer(&two, 1), &mut frames([message(7, 9)])).await.unwrap();
        ear.lost(2).await;
        ear.up(2).await;
        assert_eq!(ear.number(2).await, 7);
    })
    .await;
}

/// The one that is dialed.
#[tokio::test]
async fn another_process_at_its_address_is_a_loss_at_once() {
    let (one, two, _relay) = relayed(vec![], patient).await;
    guarded(async {
        let at = one.local_addr().unwrap();
        let mut ear = Ear::new(&two);
        ear.up(1).await;
        one.connected(LONG).await.unwrap();
        // Never read there.
        two.send(peer(&two, 1), &mut frames([message(1, 9)])).await.unwrap();
        drop(one);
        let one = loop {
            // Its background tasks end when the runtime comes to it.
            match patient(1).listen(at).bind().await {
                Ok(one) => break one,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        ear.lost(1).await;
        ear.up(1).await;
        two.send(peer(&two, 1), &mut frames([message(2, 9)])).await.unwrap();
        let mut other = Ear::new(&one);
        other.up(2).await;
        assert_eq!(other.number(2).await, 2, "what the first life was sent is not for the second");
    })
    .await;
}

#[tokio::test]
async fn without_a_connection_in_time_it_is_a_loss_on_both_sides_and_a_later_one_is_new() {
    let hasty = |me| patient(me).resume_within(Duration::from_millis(50));
    let (one, two, relay) = relayed(vec![], hasty).await;
    guarded(async {
        let (mut at_one, mut at_two) = (Ear::new(&one), Ear::new(&two));
        two.send(peer(&two, 1), &mut frames([message(1, 9)])).await.unwrap();
        at_one.up(2).await;
        at_two.up(1).await;
        assert_eq!(at_one.number(2).await, 1);
        relay.stop();
        at_one.lost(2).await;
        at_two.lost(1).await;
        // At the same address.
        let _again = Relay::start_at(relay.at, one.local_addr().unwrap()).await;
        let mut out = frames([message(2, 9)]);
        let (sent, (), ()) = tokio::join!(two.send(peer(&two, 1), &mut out), at_one.up(2), at_two.up(1));
        sent.unwrap();
        assert_eq!(at_one.number(2).await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_does_not_resume_is_lost_with_its_connection() {
    for who in [1, 2] {
        let with = |me| if me == who { patient(me).resume_within(Duration::ZERO) } else { patient(me) };
        let (one, two, relay) = relayed(vec![], with).await;
        guarded(async {
            let (mut at_one, mut at_two) = (Ear::new(&one), Ear::new(&two));
            at_one.up(2).await;
            at_two.up(1).await;
            relay.cut();
            at_one.lost(2).await;
            at_two.lost(1).await;
            at_one.up(2).await;
            at_two.up(1).await;
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_kept_for_a_peer_that_reads_nothing_has_a_bound() {
    const LEN: usize = 64 << 10;
    let (one, two, relay) = relayed(vec![], patient).await;
    let body = Bytes::from(vec![1; LEN]);
    let frame =
        |number| Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(body.clone()) };
    guarded(async {
        one.connected(LONG).await.unwrap();
        let mut out: Frames<Bytes> = frames((1..=1000).map(frame));
        {
            let mut send = pin!(one.send(peer(&one, 2), &mut out));
            for _ in 0..20 {
                assert!(send.as_mut().now_or_never().is_none(), "62 MiB went to a peer that does not read");
                relay.cut();
                tokio::time::timeout(Duration::from_millis(5), send.as_mut()).await.unwrap_err();
            }
        }
        let taken = (1000 - out.len()) * (LEN + 8);
        assert!(taken < KEEP + LEN + 256, "{taken} bytes");
        // And goes on when it reads.
        let mut ear = Ear::new(&two);
        ear.up(1).await;
        let hear = async {
            for number in 1..=1000 {
                assert_eq!(ear.number(1).await, number);
            }
        };
        let (sent, ()) = tokio::join!(one.send(peer(&one, 2), &mut out), hear);
        sent.unwrap();
    })
    .await;
}

/// T5: it is not only for `recv` to see what has arrived at the other end.
#[tokio::test]
async fn a_send_does_not_wait_for_its_own_recv() {
    const LEN: usize = 100_000;
    let (one, two) = pair().await;
    guarded(async {
        // Something is there for `recv`, and stays there.
        two.send(peer(&two, 1), &mut frames([message(1, 20_000), message(2, 30_000)])).await.unwrap();
        let mut out = frames((1..=500).map(|number| message(number, LEN)));
        let mut ear = Ear::new(&two);
        let hear = async {
            ear.up(1).await;
            for number in 1..=500 {
                assert_eq!(ear.number(1).await, number);
            }
        };
        let (sent, ()) = tokio::join!(one.send(peer(&one, 2), &mut out), hear);
        sent.unwrap();
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        assert_eq!((ear.number(2).await, ear.number(2).await), (1, 2));
    })
    .await;
}

#[tokio::test]
async fn a_goodbye_is_said_through_a_connection_that_was_resumed_and_a_close_waits_for_none() {
    let (one, two, relay) = relayed(vec![], patient).await;
    guarded(async {
        let (mut at_one, mut at_two) = (Ear::new(&one), Ear::new(&two));
        at_one.up(2).await;
        at_two.up(1).await;
        relay.cut();
        let mut out = frames([message(1, 9)]);
        let (sent, number) = tokio::select! {
            done = async { tokio::join!(two.send(peer(&two, 1), &mut out), at_one.number(2)) } => done,
            told = at_two.next() => panic!("{told:?}"),
        };
        sent.unwrap();
        assert_eq!(number, 1);
        let (closed, ()) = tokio::join!(two.close(), at_one.left(2));
        closed.unwrap();
    })
    .await;
    let (one, two, relay) = relayed(vec![], patient).await;
    guarded(async {
        two.connected(LONG).await.unwrap();
        one.connected(LONG).await.unwrap();
        relay.stop();
        let (mut at_one, mut at_two) = (Ear::new(&one), Ear::new(&two));
        at_one.up(2).await;
        at_two.up(1).await;
        // So that both know of the end.
        tokio::select! {
            _ = async { tokio::join!(at_one.next(), at_two.next()) } => panic!("something was told"),
            _ = async { tokio::join!(reason(&one, "was lost"), reason(&two, "n1")) } => {}
        }
        one.close().await.unwrap();
        two.close().await.unwrap();
    })
    .await;
}
