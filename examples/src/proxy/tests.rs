//! Each fault over real sockets. What is waited for are conditions; the limit is only so that a test that hangs says so.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{LinkFault, Mesh, Network, Way, pairs};
use crate::ports::free_addresses;

/// Far more than one of these tests ever takes.
const LIMIT: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(LIMIT, test).await.expect("the test hangs") });
}

/// A link to a server.
struct Bench {
    server: TcpListener,
    network: Network,
    at: std::net::SocketAddr,
}

impl Bench {
    async fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = free_addresses(1, 3).expect("a port")[0];
        let network = Network::start([(at, server.local_addr().expect("bound"))]).expect("it can listen");
        Self { server, network, at }
    }

    fn set(&self, fault: LinkFault) {
        self.network.links()[0].set(fault);
    }

    /// Both ends of a new connection over the link.
    async fn connect(&self) -> [TcpStream; 2] {
        let dialed = TcpStream::connect(self.at).await.expect("it listens");
        let (taken, _) = self.server.accept().await.expect("it is carried");
        [dialed, taken]
    }

    async fn until_swallowed(&self, bytes: u64) {
        while self.network.links()[0].swallowed() < bytes {
            tokio::task::yield_now().await;
        }
    }
}

async fn hears(stream: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).await.expect("it is carried");
    assert_eq!(bytes, expected);
}

async fn says(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("it stands");
}

/// What a connection ends with, after no byte more.
async fn end(stream: &mut TcpStream) -> io::Result<()> {
    assert_eq!(stream.read(&mut [0; 64]).await?, 0);
    Ok(())
}

async fn is_reset(stream: &mut TcpStream) {
    assert_eq!(end(stream).await.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn bytes_are_carried_both_ways_and_so_is_an_end() {
    run(async {
        let bench = Bench::new().await;
        let [mut dialed, mut taken] = bench.connect().await;
        says(&mut dialed, b"ping").await;
        hears(&mut taken, b"ping").await;
        dialed.shutdown().await.expect("it stands");
        end(&mut taken).await.expect("an end in good order");
        says(&mut taken, b"pong").await;
        hears(&mut dialed, b"pong").await;
        drop(taken);
        end(&mut dialed).await.expect("an end in good order");
    });
}

#[test]
fn a_cut_closes_what_stands_and_what_comes_until_it_is_over() {
    run(async {
        let bench = Bench::new().await;
        let [mut dialed, mut taken] = bench.connect().await;
        bench.set(LinkFault::Cut);
        end(&mut dialed).await.expect("it is closed");
        end(&mut taken).await.expect("it is closed");
        let mut other = TcpStream::connect(bench.at).await.expect("it listens");
        end(&mut other).await.expect("it is closed");
        bench.set(LinkFault::Clear);
        let [mut dialed, mut taken] = bench.connect().await;
        says(&mut dialed, b"again").await;
        hears(&mut taken, b"again").await;
    });
}

#[test]
fn a_cut_that_is_over_at_once_has_cut_all_the_same() {
    run(async {
        let bench = Bench::new().await;
        let [mut dialed, mut taken] = bench.connect().await;
        bench.set(LinkFault::Cut);
        bench.set(LinkFault::Clear);
        for stream in [&mut dialed, &mut taken] {
            assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));
        }
    });
}

#[test]
fn a_reset_is_one_at_both_ends() {
    run(async {
        let bench = Bench::new().await;
        let [mut dialed, mut taken] = bench.connect().await;
        bench.set(LinkFault::Reset);
        is_reset(&mut dialed).await;
        is_reset(&mut taken).await;
    });
}

#[test]
fn what_one_side_resets_is_reset_at_the_other() {
    run(async {
        let bench = Bench::new().await;
        let [dialed, mut taken] = bench.connect().await;
        dialed.set_zero_linger().expect("it stands");
        drop(dialed);
        is_reset(&mut taken).await;
    });
}

#[test]
fn half_open_swallows_bytes_and_ends_and_what_has_lost_some_is_reset_afterwards() {
    run(async {
        let bench = Bench::new().await;
        let [mut dialed, mut taken] = bench.connect().await;
        bench.set(LinkFault::HalfOpen);
        says(&mut dialed, b"lost").await;
        says(&mut taken, b"lost as well").await;
        bench.until_swallowed(16).await;
        dialed.shutdown().await.expect("it stands");
        for stream in [&dialed, &taken] {
            assert_eq!(stream.try_read(&mut [0; 8]).expect_err("nothing").kind(), io::ErrorKind::WouldBlock);
        }
        bench.set(LinkFault::Clear);
        is_reset(&mut dialed).await;
        is_reset(&mut taken).await;
    });
}

#[test]
fn what_was_idle_while_half_open_goes_on() {
    run(async {
        let bench = Bench::new().await;
        let [mut dialed, mut taken] = bench.connect().await;
        bench.set(LinkFault::HalfOpen);
        bench.set(LinkFault::Clear);
        says(&mut dialed, b"still here").await;
        hears(&mut taken, b"still here").await;
    });
}

#[test]
fn one_way_swallows_one_direction_and_carries_the_other() {
    run(async {
        for (way, lost) in [(Way::Forth, 0), (Way::Back, 1)] {
            let bench = Bench::new().await;
            let mut ends = bench.connect().await;
            bench.set(LinkFault::OneWay(way));
            says(&mut ends[lost], b"lost").await;
            says(&mut ends[1 - lost], b"here").await;
            hears(&mut ends[lost], b"here").await;
            bench.until_swallowed(4).await;
            bench.set(LinkFault::Clear);
            is_reset(&mut ends[0]).await;
            is_reset(&mut ends[1]).await;
        }
    });
}

#[test]
fn slow_links_and_those_of_a_byte_at_a_time_carry_all_in_order() {
    run(async {
        for fault in [LinkFault::Slow, LinkFault::Split] {
            let bench = Bench::new().await;
            bench.set(fault);
            let [mut dialed, mut taken] = bench.connect().await;
            let bytes: Vec<u8> = (0..5000_u32).map(|i| (i % 251) as u8).collect();
            says(&mut dialed, &bytes).await;
            hears(&mut taken, &bytes).await;
            assert_eq!(bench.network.links()[0].swallowed(), 0);
        }
        assert_eq!(LinkFault::Split.pace().piece, 1);
        assert!(LinkFault::Slow.pace().pause > LinkFault::Clear.pace().pause);
    });
}

#[test]
fn a_mesh_has_a_link_for_each_pair_and_the_later_node_dials() {
    run(async {
        let mesh = Mesh::start(3, 5).expect("free ports");
        let mut listeners = Vec::new();
        for node in 0..3 {
            listeners.push(TcpListener::bind(mesh.address(node)).await.expect("it is free"));
        }
        for (dialed, dials) in pairs(3) {
            let mut one = TcpStream::connect(mesh.seen_by(dials)[dialed]).await.expect("a link");
            let (mut other, _) = listeners[dialed].accept().await.expect("it leads here");
            mesh.set((dialed, dials), LinkFault::Reset);
            is_reset(&mut one).await;
            is_reset(&mut other).await;
        }
        assert_eq!(pairs(3).collect::<Vec<_>>(), [(0, 1), (0, 2), (1, 2)]);
    });
}

#[test]
fn a_node_that_moves_loses_its_connections_and_is_found_at_the_new_place() {
    run(async {
        let mut mesh = Mesh::start(3, 6).expect("free ports");
        let old = TcpListener::bind(mesh.address(1)).await.expect("it is free");
        let way = mesh.seen_by(2)[1];
        let mut before = TcpStream::connect(way).await.expect("a link");
        let (mut there, _) = old.accept().await.expect("it leads here");
        let new = TcpListener::bind(mesh.relocate(1).expect("a port")).await.expect("it is free");
        is_reset(&mut before).await;
        is_reset(&mut there).await;
        let _after = TcpStream::connect(way).await.expect("a link");
        new.accept().await.expect("it leads there now");
    });
}
