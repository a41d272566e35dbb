//! Strangers in numbers, strangers that stall, strangers that claim much: each is let go in time, and the group goes on.

use std::time::Duration;

use futures::future::join_all;
use snapshot_core::{NodeId, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::common::*;

const SOON: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);
/// So many strangers at a time, fewer than there may be.
const BATCH: usize = 100;

/// Waits until the other side has closed, whatever it says before.
async fn closed(mut socket: TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    // A reset is an end too.
    let _ = socket.read_to_end(&mut heard).await;
    heard
}

/// Sends these bytes and then nothing, until the other side closes.
async fn stall(at: std::net::SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(at).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    closed(socket).await;
}

async fn goes_on(ear: &mut Ear<'_>, other: &Tcp, number: u64) {
    other.send(peer(other, 1), &mut frames([message(number, 100)])).await.unwrap();
    let from = other.topology().me().0;
    assert_eq!(ear.number(from).await, number);
}

fn hello() -> Vec<u8> {
    handshake(VERSION, HELLO, &account(&mesh(&[1, 2], 2), 1, 4096))
}

/// Nodes 1 and 2, connected; node 1 gives nobody more time than this.
async fn impatient_pair() -> (Tcp, Tcp) {
    let one = builder(mesh(&[1, 2], 1)).handshake_within(SOON).bind().await.unwrap();
    let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), address(&one)).bind().await.unwrap();
    two.connected(LONG).await.unwrap();
    (one, two)
}

#[tokio::test]
async fn a_stranger_that_stalls_at_any_byte_of_its_greeting_is_let_go() {
    let (one, two) = impatient_pair().await;
    guarded(async {
        let at = one.local_addr().unwrap();
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        let hello = hello();
        let ends: Vec<usize> = (0..=hello.len()).collect();
        for (number, some) in ends.chunks(BATCH).enumerate() {
            join_all(some.iter().map(|end| stall(at, &hello[..*end]))).await;
            goes_on(&mut ear, &two, number as u64 + 1).await;
        }
    })
    .await;
}

#[tokio::test]
async fn of_a_flood_only_the_newest_are_kept_and_a_neighbour_is_among_them() {
    let one = builder(mesh(&[1, 2], 1)).half_open(8, 4).handshake_within(LONG * 60).bind().await.unwrap();
    guarded(async {
        let mut flood = Vec::new();
        for _ in 0..300 {
            flood.push(TcpStream::connect(one.local_addr().unwrap()).await.unwrap());
        }
        // Nobody's time is over before the end of this test: they were made to give way.
        let newest = flood.split_off(296);
        join_all(flood.into_iter().map(closed)).await;
        for socket in &newest {
            let error = socket.try_read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
        let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), address(&one)).bind().await.unwrap();
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        goes_on(&mut ear, &two, 1).await;
    })
    .await;
}

/// On Linux all of 127.0.0.0/8 is the loopback.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_flood_from_one_address_pushes_out_nobody_at_another() {
    let one = builder(mesh(&[1, 2], 1)).half_open(8, 4).handshake_within(LONG * 60).bind().await.unwrap();
    guarded(async {
        let at = one.local_addr().unwrap();
        let slow_start = async |bytes: &[u8]| {
            let mut socket = TcpStream::connect(at).await.unwrap();
            socket.write_all(bytes).await.unwrap();
            socket
        };
        let hello = hello();
        let mut slow = slow_start(&hello[..5]).await;
        let mut flood = Vec::new();
        for _ in 0..100 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            flood.push(socket.connect(at).await.unwrap());
        }
        flood.truncate(96);
        join_all(flood.into_iter().map(closed)).await;
        slow.write_all(&hello[5..]).await.unwrap();
        assert_eq!(read_handshake(&mut slow).await.0, WELCOME);
    })
    .await;
}

#[tokio::test]
async fn while_strangers_come_without_end_neighbours_meet_and_speak() {
    let one = builder(mesh(&[1, 2], 1)).half_open(16, 8).bind().await.unwrap();
    guarded(async {
        let at = one.local_addr().unwrap();
        let flood = async {
            for seed in 0.. {
                let mut random = fastrand::Rng::with_seed(seed);
                let Ok(mut socket) = TcpStream::connect(at).await else { continue };
                let bytes: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
                let _ = socket.write_all(&bytes).await;
            }
        };
        let group = async {
            let mut ear = Ear::new(&one);
            for life in 1..=5 {
                let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), address(&one)).bind().await.unwrap();
                two.send(peer(&two, 1), &mut frames([message(life, 1)])).await.unwrap();
                ear.up(2).await;
                assert_eq!(ear.number(2).await, life);
                drop(two);
                ear.lost(2).await;
            }
        };
        tokio::select! {
            () = group => {}
            () = flood => unreachable!(),
        }
    })
    .await;
}

#[tokio::test]
async fn who_claims_much_is_refused_or_let_go() {
    let (one, two) = impatient_pair().await;
    guarded(async {
        let at = one.local_addr().unwrap();
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        let over = [&handshake(VERSION, HELLO, &[])[..7], &[0xff, 0xff]].concat();
        let mut socket = TcpStream::connect(at).await.unwrap();
        socket.write_all(&over).await.unwrap();
        let heard = closed(socket).await;
        assert!(String::from_utf8_lossy(&heard).contains("a message over the size limit"), "{heard:?}");
        // As long as it may be, and nothing behind it.
        let most = [&handshake(VERSION, HELLO, &[])[..7], &2048_u16.to_le_bytes()].concat();
        stall(at, &most).await;
        // A version of which nothing is known may have all of it.
        let unknown = [&most[..4], &[9, 9], &most[6..], &[0; 2048]].concat();
        let mut socket = TcpStream::connect(at).await.unwrap();
        socket.write_all(&unknown).await.unwrap();
        let heard = closed(socket).await;
        assert!(String::from_utf8_lossy(&heard).contains("run the same release on both"), "{heard:?}");
        goes_on(&mut ear, &two, 1).await;
    })
    .await;
}

#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;

    use rustls::ClientConnection;
    use rustls::pki_types::ServerName;
    use tokio_rustls::rustls;

    use super::*;
    use crate::common::authority::{Authority, Shown, client};

    /// Nodes 1 and 3 of three, connected; node 1 gives nobody more time than this.
    async fn impatient(authority: &Authority) -> (Tcp, Tcp) {
        let node = |me: u64| builder(mesh(&[1, 2, 3], me)).tls(authority.certificates("test", me));
        let one = node(1).handshake_within(SOON).bind().await.unwrap();
        let known = [(NodeId(1), address(&one)), (NodeId(2), "127.0.0.1:9".to_owned())];
        let three = node(3).peers(known).bind().await.unwrap();
        let mut ear = Ear::new(&one);
        ear.up(3).await;
        goes_on(&mut ear, &three, 1).await;
        drop(ear);
        (one, three)
    }

    fn session(shown: Option<&Shown>) -> ClientConnection {
        ClientConnection::new(Arc::clone(&client(shown)), ServerName::try_from("anybody").unwrap()).unwrap()
    }

    fn written(session: &mut ClientConnection) -> Vec<u8> {
        let mut bytes = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Dials, and gives what the client says last in the TLS handshake: its certificate and the proof that it has the key.
    async fn last_flight(
        at: std::net::SocketAddr,
        shown: &Shown,
    ) -> Option<(TcpStream, ClientConnection, Vec<u8>)> {
        let mut socket = TcpStream::connect(at).await.ok()?;
        let mut session = session(Some(shown));
        socket.write_all(&written(&mut session)).await.ok()?;
        let mut some = [0; 4096];
        while session.is_handshaking() {
            let count = socket.read(&mut some).await.ok().filter(|count| *count > 0)?;
            session.read_tls(&mut &some[..count]).unwrap();
            session.process_new_packets().unwrap();
        }
        let flight = written(&mut session);
        Some((socket, session, flight))
    }

    #[tokio::test]
    async fn a_stranger_that_stalls_at_any_byte_of_a_tls_handshake_is_let_go() {
        let authority = Authority::new();
        let (one, three) = impatient(&authority).await;
        guarded(async {
            let at = one.local_addr().unwrap();
            let mut ear = Ear::new(&one);
            let first = written(&mut session(None));
            let ends: Vec<usize> = (0..=first.len()).collect();
            for (number, some) in ends.chunks(BATCH).enumerate() {
                join_all(some.iter().map(|end| stall(at, &first[..*end]))).await;
                goes_on(&mut ear, &three, number as u64 + 2).await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_member_that_stalls_at_any_byte_of_its_proof_or_behind_it_is_let_go() {
        let authority = Authority::new();
        let (one, three) = impatient(&authority).await;
        guarded(async {
            let at = one.local_addr().unwrap();
            let mut ear = Ear::new(&one);
            let shown = authority.sign("test", 2, |_| {});
            let stall = async |end: usize| {
                // On a slow machine its time may be over before it came so far.
                let Some((mut socket, _session, flight)) = last_flight(at, &shown).await else { return 0 };
                let _ = socket.write_all(&flight[..end.min(flight.len())]).await;
                closed(socket).await;
                flight.len()
            };
            let len = stall(usize::MAX).await.max(400);
            let ends: Vec<usize> = (0..=len).collect();
            for (number, some) in ends.chunks(BATCH).enumerate() {
                join_all(some.iter().map(|end| stall(*end))).await;
                goes_on(&mut ear, &three, number as u64 + 2).await;
            }
            // Behind the TLS handshake there is the greeting.
            let greeting = handshake(VERSION, HELLO, &account(&mesh(&[1, 2, 3], 2), 1, 4096));
            let stall = async |end: usize| {
                let Some((mut socket, mut session, flight)) = last_flight(at, &shown).await else { return };
                std::io::Write::write_all(&mut session.writer(), &greeting[..end]).unwrap();
                let bytes = [flight, written(&mut session)].concat();
                let _ = socket.write_all(&bytes).await;
                closed(socket).await;
            };
            join_all((0..=greeting.len()).map(stall)).await;
            goes_on(&mut ear, &three, 1000).await;
        })
        .await;
    }

    #[tokio::test]
    async fn strangers_that_speak_no_tls_or_claim_much_disturb_nobody() {
        let authority = Authority::new();
        let (one, three) = impatient(&authority).await;
        guarded(async {
            let at = one.local_addr().unwrap();
            let mut ear = Ear::new(&one);
            let first = written(&mut session(None));
            let mut longer = first.clone();
            longer[6..9].copy_from_slice(&[0xff; 3]);
            for seed in 0..60 {
                let mut random = fastrand::Rng::with_seed(seed);
                let bytes: Vec<u8> = match seed {
                    0 => b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
                    // A record of the most bytes that its length can name; a message of the most.
                    1 => vec![0x16, 3, 1, 0xff, 0xff],
                    2 => [0x16, 3, 1, 0x3f, 0xff].into_iter().chain([0; 0x3fff]).collect(),
                    3 => longer.clone(),
                    // Full records of a message that has no end.
                    4 => {
                        [&[0x16, 3, 1, 0x40, 0][..], &[1, 0xff, 0xff, 0xff], &[0; 0x3ffc]].concat().repeat(8)
                    }
                    _ if seed % 2 == 0 => {
                        let mut bytes = first.clone();
                        for _ in 0..random.usize(1..6) {
                            let at = random.usize(..bytes.len());
                            bytes[at] = random.u8(..);
                        }
                        bytes
                    }
                    _ => (0..random.usize(1..3000)).map(|_| random.u8(..)).collect(),
                };
                let mut socket = TcpStream::connect(at).await.unwrap();
                // It may have closed before all is said.
                let _ = socket.write_all(&bytes).await;
                let _ = socket.shutdown().await;
                closed(socket).await;
                goes_on(&mut ear, &three, seed + 2).await;
            }
        })
        .await;
    }
}
