//! What the tests of this crate share: small groups on the loopback, and a neighbour made of a bare socket.
#![allow(dead_code, reason = "each test binary uses a part")]

#[cfg(feature = "tls")]
pub(crate) mod authority;
pub(crate) mod relay;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use snapshot_core::{
    Body, Frame, Frames, Generation, Graph, Inbox, Incoming, Life, NodeId, Peer, RawBytes, Stamp, Topology,
    Transport,
};
use snapshot_transport_tcp::{TcpBuilder, TcpTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) type Tcp = TcpTransport<Bytes>;

/// Only so that a test that hangs says so.
pub(crate) async fn guarded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs")
}

pub(crate) fn mesh(members: &[u64], me: u64) -> Topology {
    graph("test", members).at(NodeId(me)).unwrap()
}

pub(crate) fn graph(name: &str, members: &[u64]) -> Graph {
    Graph::mesh(members.iter().copied().map(NodeId)).named(name)
}

pub(crate) fn builder(topology: Topology) -> TcpBuilder<Bytes> {
    TcpTransport::builder(topology, RawBytes)
        .listen("127.0.0.1:0".parse().unwrap())
        .redial(Duration::from_millis(1), Duration::from_millis(20))
        // No connection breaks in these tests but by a death; where one does, it has a time of its own.
        .resume_within(Duration::from_millis(20))
        .close_within(Duration::from_secs(20))
        // No test depends on how long a process may be kept from running.
        .lost_after(Duration::from_secs(3600))
}

pub(crate) fn address(transport: &Tcp) -> String {
    transport.local_addr().unwrap().to_string()
}

/// Nodes 1 to `count`, all linked, all connected.
pub(crate) async fn connected_mesh(count: u64) -> Vec<Tcp> {
    let members: Vec<u64> = (1..=count).collect();
    let mut nodes: Vec<Tcp> = Vec::new();
    for me in &members {
        let known = nodes.iter().map(|node| (node.topology().me(), address(node)));
        nodes.push(builder(mesh(&members, *me)).peers(known.collect::<Vec<_>>()).bind().await.unwrap());
    }
    for node in &nodes {
        node.connected(Duration::from_secs(60)).await.unwrap();
    }
    nodes
}

pub(crate) async fn pair() -> (Tcp, Tcp) {
    let mut nodes = connected_mesh(2).await.into_iter();
    (nodes.next().unwrap(), nodes.next().unwrap())
}

pub(crate) fn peer(node: &Tcp, id: u64) -> Peer {
    node.topology().peer(NodeId(id)).unwrap()
}

pub(crate) fn message(number: u64, len: usize) -> Frame<Bytes> {
    let body = Bytes::from(vec![number as u8; len]);
    Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(body) }
}

pub(crate) fn control(number: u64) -> Frame<Bytes> {
    let body = Body::Control(Bytes::copy_from_slice(&number.to_le_bytes()));
    Frame { stamp: Stamp::new(Generation(1), number), body }
}

pub(crate) fn frames(all: impl IntoIterator<Item = Frame<Bytes>>) -> Frames<Bytes> {
    let mut frames = Frames::new();
    for frame in all {
        frames.push_back(frame);
    }
    frames
}

/// What a node is told, one by one.
pub(crate) struct Ear<'a> {
    pub(crate) node: &'a Tcp,
    pub(crate) inbox: Inbox<Bytes>,
}

impl<'a> Ear<'a> {
    pub(crate) fn new(node: &'a Tcp) -> Self {
        Self { node, inbox: Inbox::with_capacity(64) }
    }

    pub(crate) async fn next(&mut self) -> Incoming<Bytes> {
        while self.inbox.is_empty() {
            self.node.recv(&mut self.inbox).await.unwrap();
            assert!(!self.inbox.is_empty(), "the transport has come to its end");
        }
        self.inbox.pop().unwrap()
    }

    pub(crate) async fn up(&mut self, id: u64) {
        assert_eq!(self.next().await, Incoming::Up(peer(self.node, id)));
    }

    pub(crate) async fn left(&mut self, id: u64) {
        assert_eq!(self.next().await, Incoming::Left(peer(self.node, id)));
    }

    pub(crate) async fn lost(&mut self, id: u64) -> String {
        match self.next().await {
            Incoming::Lost { peer, why } if peer.id() == NodeId(id) => why,
            other => panic!("expected the loss of n{id}, found {other:?}"),
        }
    }

    pub(crate) async fn frame(&mut self) -> (NodeId, Frame<Bytes>) {
        match self.next().await {
            Incoming::Frame { from, frame } => (from.id(), frame),
            other => panic!("expected a frame, found {other:?}"),
        }
    }

    pub(crate) async fn number(&mut self, id: u64) -> u64 {
        let (from, frame) = self.frame().await;
        assert_eq!(from, NodeId(id));
        frame.stamp.number()
    }
}

/// Asks until the reason why not all are connected holds `text`.
pub(crate) async fn reason(node: &Tcp, text: &str) -> String {
    loop {
        match node.connected(Duration::from_millis(5)).await {
            Err(error) if error.to_string().contains(text) => return error.to_string(),
            _ => tokio::task::yield_now().await,
        }
    }
}

// The wire as the documentation tells it, written down a second time so that a change of it is seen.

pub(crate) const HELLO: u8 = 1;
pub(crate) const WELCOME: u8 = 2;
pub(crate) const ACCEPT: u8 = 3;
pub(crate) const REFUSAL: u8 = 4;

pub(crate) fn handshake(version: u16, kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    [&[0xf3, b'S', b'N', b'P'][..], &version.to_le_bytes(), &[kind], &len.to_le_bytes(), payload].concat()
}

pub(crate) fn account(topology: &Topology, to: u64, max_frame: u32) -> Vec<u8> {
    account_of(Life::new(topology.me().0), topology, to, max_frame)
}

pub(crate) fn account_of(life: Life, topology: &Topology, to: u64, max_frame: u32) -> Vec<u8> {
    let [from, fingerprint] = [topology.me().0, topology.fingerprint()];
    let numbers = [from, to, fingerprint].map(u64::to_le_bytes).concat();
    [&numbers[..], &max_frame.to_le_bytes(), &life.to_bytes(), &[0; 16], topology.group().as_bytes()].concat()
}

pub(crate) async fn read_handshake(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut prefix = [0; 9];
    socket.read_exact(&mut prefix).await.unwrap();
    let mut payload = vec![0; usize::from(u16::from_le_bytes([prefix[7], prefix[8]]))];
    socket.read_exact(&mut payload).await.unwrap();
    (prefix[6], payload)
}

pub(crate) fn wire(frame: &Frame<Bytes>) -> Vec<u8> {
    let stamp = frame.stamp.to_bytes();
    let (kind, body) = match &frame.body {
        Body::Message(body) => (0, body),
        Body::Control(body) => (1, body),
    };
    let len = u32::try_from(1 + stamp.len() + body.len()).unwrap();
    [&len.to_le_bytes()[..], &[kind << 5 | stamp.len() as u8], &stamp, body].concat()
}

/// What both ends speak.
pub(crate) const VERSION: u16 = 3;

/// What is said of a session by somebody who will resume none.
pub(crate) const NO_SESSION: [u8; 16] = [0; 16];

pub(crate) const GOODBYE: [u8; 5] = [1, 0, 0, 0, 0x40];

/// A neighbour made of a bare socket: node `me` of the mesh dials node 1, and the handshake is done.
pub(crate) async fn bare_neighbour(members: &[u64], me: u64, at: SocketAddr, max_frame: u32) -> TcpStream {
    let mut socket = TcpStream::connect(at).await.unwrap();
    socket.set_nodelay(true).unwrap(); // what is written has then arrived, here on the loopback
    let hello = account(&mesh(members, me), 1, max_frame);
    socket.write_all(&handshake(VERSION, HELLO, &hello)).await.unwrap();
    assert_eq!(read_handshake(&mut socket).await.0, WELCOME);
    socket.write_all(&handshake(VERSION, ACCEPT, &NO_SESSION)).await.unwrap();
    socket
}
