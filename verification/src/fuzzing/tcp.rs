//! What both targets on TCP share: nodes that listen on the loopback, and the messages of the handshake.
//!
//! The decoder of frames and the rules of the handshake are private, and are reached as a neighbour would reach them: by a
//! socket. A node is used for many inputs, one connection each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use snapshot_core::{Graph, Inbox, NodeId, Topology};
use snapshot_transport_tcp::{TcpBuilder, TcpTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::blob::Picky;

/// Far more than any input takes: what is still waited for then will never come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The steps of the handshake.
pub(super) const HELLO: u8 = 1;
pub(super) const WELCOME: u8 = 2;
pub(super) const ACCEPT: u8 = 3;
pub(super) const REFUSAL: u8 = 4;

/// Node `me` of a mesh of three.
pub(super) fn topology(me: u64) -> Topology {
    Graph::mesh([1, 2, 3].map(NodeId)).named("fuzz").at(NodeId(me)).expect("it is a member")
}

pub(super) fn builder(me: u64, max_frame: usize) -> TcpBuilder<Bytes> {
    // Who dials does so once.
    let never = Duration::from_secs(24 * 60 * 60);
    TcpTransport::builder(topology(me), Picky)
        .listen("127.0.0.1:0".parse().expect("an address"))
        .redial(never, never)
        // The end of a connection is told at once.
        .resume_within(Duration::ZERO)
        .max_frame(max_frame)
}

pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Says so where something never comes.
pub(super) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("the node is stuck")
}

/// One message of the handshake.
pub(super) fn step(version: u16, kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_le_bytes();
    [&[0xf3, b'S', b'N', b'P'][..], &version.to_le_bytes(), &[kind], &len, payload].concat()
}

/// What somebody says of a session who resumes none.
pub(super) const NO_SESSION: [u8; 16] = [0; 16];

/// The payload of HELLO and WELCOME, of a process that nobody has heard of.
pub(super) fn account(from: u64, to: u64, fingerprint: u64, max_frame: u32, group: &[u8]) -> Vec<u8> {
    static LIVES: AtomicU64 = AtomicU64::new(1);
    let numbers = [from, to, fingerprint].map(u64::to_le_bytes).concat();
    let life = [LIVES.fetch_add(1, Ordering::Relaxed), 0].map(u64::to_le_bytes).concat();
    [&numbers[..], &max_frame.to_le_bytes(), &life, &NO_SESSION, group].concat()
}

/// Node 2 dials node 1, and both agree.
pub(super) async fn greeted(at: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(at).await.expect("the node listens");
    socket.set_nodelay(true).expect("a socket");
    let hello = account(2, 1, topology(2).fingerprint(), u32::MAX, b"fuzz");
    socket.write_all(&step(3, HELLO, &hello)).await.expect("the node reads");
    let mut prefix = [0; 9];
    socket.read_exact(&mut prefix).await.expect("the node answers");
    assert_eq!(prefix[6], WELCOME);
    let mut payload = vec![0; usize::from(u16::from_le_bytes([prefix[7], prefix[8]]))];
    socket.read_exact(&mut payload).await.expect("the node answers");
    socket.write_all(&step(3, ACCEPT, &NO_SESSION)).await.expect("the node reads");
    socket
}

/// Writes as long as the other side takes anything.
pub(super) async fn write_until_closed(socket: &mut TcpStream, pieces: &[Vec<u8>]) {
    for piece in pieces {
        if socket.write_all(piece).await.is_err() {
            return;
        }
        // The node may read each piece alone: what comes of it must not depend on that.
        tokio::task::yield_now().await;
    }
    // It may be closed already.
    let _ = socket.shutdown().await;
}

/// An inbox of a size that the input chooses.
pub(super) fn inbox(room: u8) -> Inbox<Bytes> {
    Inbox::with_capacity(1 + usize::from(room % 16))
}
