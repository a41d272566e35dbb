//! What the transport and its background tasks share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::task::AtomicWaker;
use snapshot_core::NodeId;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::error::LastSeen;
use crate::greeting::{Agreed, Failed};
use crate::handshake::Identity;
use crate::link::{Connection, Link, lock};

/// How long a connection may be silent before the system asks whether the other machine is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long it waits for each answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// What the transport and its background tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    /// By [`Peer::index`](snapshot_core::Peer::index).
    pub(crate) links: Vec<Link>,
    pub(crate) timing: Timing,
    /// The task in `recv`.
    pub(crate) recv: Arc<AtomicWaker>,
    /// Sends when a link comes or goes, and when the transport is closed.
    pub(crate) changes: Arc<watch::Sender<()>>,
    pub(crate) closed: AtomicBool,
    /// The last refusal of somebody who is no neighbour.
    stranger: Mutex<Option<String>>,
    connections: AtomicU64,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) handshake: Duration,
    pub(crate) first_redial: Duration,
    pub(crate) slowest_redial: Duration,
    pub(crate) close: Duration,
}

impl Shared {
    pub(crate) fn new(identity: Identity, timing: Timing) -> Self {
        let recv = Arc::new(AtomicWaker::new());
        let changes = Arc::new(watch::Sender::new(()));
        let links =
            identity.topology.peers().map(|peer| Link::new(peer, Arc::clone(&recv), Arc::clone(&changes)));
        Self {
            links: links.collect(),
            identity,
            timing,
            recv,
            changes,
            closed: AtomicBool::new(false),
            stranger: Mutex::default(),
            connections: AtomicU64::new(0),
        }
    }

    /// Numbers connections, so that of two the newer one wins.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn install(&self, socket: TcpStream, number: u64, agreed: &Agreed) {
        let takes = self.identity.max_frame as usize;
        if let Some(link) = self.links.get(agreed.peer.index()) {
            tracing::info!(peer = %agreed.peer, "connected");
            link.install(Connection { socket, number, takes, gives: takes.min(agreed.max_frame) });
        }
    }

    /// Keeps why a handshake failed, for [`connected`](crate::TcpTransport::connected), and logs it when it is news.
    pub(crate) fn note_failure(&self, peer: Option<NodeId>, at: &str, failed: &Failed) {
        let why = failed.why.to_string();
        let link =
            peer.and_then(|id| self.identity.topology.peer(id)).and_then(|peer| self.links.get(peer.index()));
        let news = match (link, failed.is_refusal()) {
            (Some(link), true) => link.note(LastSeen::Refused { why: why.clone() }),
            (Some(link), false) => link.note(LastSeen::Unreachable { why: why.clone() }),
            (None, _) => {
                let text = format!("somebody at {at} was refused: {why}");
                let before = lock(&self.stranger).replace(text.clone());
                before != Some(text)
            }
        };
        if news && failed.is_refusal() {
            tracing::warn!(me = %self.identity.topology.me(), at, why, "a connection was refused");
        } else {
            tracing::debug!(me = %self.identity.topology.me(), at, why, "a handshake failed");
        }
    }

    pub(crate) fn last_stranger(&self) -> Option<String> {
        lock(&self.stranger).clone()
    }
}

/// What every connection gets, on both sides.
pub(crate) fn prepare(socket: &TcpStream) {
    // Neither is needed for a connection to work, so a system that refuses them is no reason to give it up.
    let _ = socket.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    let _ = SockRef::from(socket).set_tcp_keepalive(&keepalive);
}

/// An address without its port, which is another one with each attempt.
pub(crate) fn host(address: SocketAddr) -> String {
    address.ip().to_string()
}
