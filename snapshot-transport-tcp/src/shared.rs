//! What the transport and its background tasks share.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::task::AtomicWaker;
use snapshot_core::{Life, NodeId, Peer};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::greeting::{Agreed, Failed, Sessions};
use crate::handshake::Identity;
use crate::link::{Connection, Link};
use crate::lock::lock;
use crate::strangers::{Say, Strangers};
use crate::stream::Stream;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// So many handshakes run at a time unless told, in all and from one address. A group that starts on one machine comes from one.
const HALF_OPEN: (usize, usize) = (256, 128);

/// What the transport and its background tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    /// By [`Peer::index`](snapshot_core::Peer::index).
    pub(crate) links: Vec<Link>,
    pub(crate) timing: Timing,
    /// Whether connections that are not encrypted may leave the machine.
    pub(crate) plain_text_anywhere: bool,
    /// The most handshakes that run at a time, in all and from one address.
    pub(crate) half_open: (usize, usize),
    /// Where connections are encrypted.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<Tls>>,
    /// The task in `recv`.
    pub(crate) recv: Arc<AtomicWaker>,
    /// Sends when a link comes or goes, and when the transport is closed.
    pub(crate) changes: Arc<watch::Sender<()>>,
    pub(crate) closed: AtomicBool,
    strangers: Mutex<Strangers>,
    connections: AtomicU64,
}

/// The links as the handshake of one connection sees them.
struct SessionsOf<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Sessions for SessionsOf<'_> {
    fn standing(&self, peer: Peer) -> Option<Life> {
        self.shared.links.get(peer.index()).and_then(Link::standing)
    }

    fn resumable(&self, node: NodeId) -> u64 {
        let peer = self.shared.identity.topology.peer(node);
        peer.and_then(|peer| self.shared.links.get(peer.index())).map_or(0, Link::resumable)
    }

    fn retire(&self, peer: Peer, session: u64) -> Option<u64> {
        self.shared.links.get(peer.index())?.retire(session, self.number)
    }

    fn draw(&self) -> u64 {
        if self.shared.timing.resume.is_zero() {
            return 0;
        }
        // Another one each time: the standard library seeds its hash maps from the operating system's random numbers.
        RandomState::new().hash_one(self.number).max(1)
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) handshake: Duration,
    pub(crate) first_redial: Duration,
    pub(crate) slowest_redial: Duration,
    pub(crate) close: Duration,
    /// How long a neighbour may be silent that has been asked something.
    pub(crate) silence: Duration,
    /// How long a session waits for a new connection. 0: not at all.
    pub(crate) resume: Duration,
}

impl Shared {
    pub(crate) fn new(identity: Identity, timing: Timing, plain_text_anywhere: bool) -> Self {
        let recv = Arc::new(AtomicWaker::new());
        let changes = Arc::new(watch::Sender::new(()));
        let links =
            identity.topology.peers().map(|peer| Link::new(peer, Arc::clone(&recv), Arc::clone(&changes)));
        Self {
            links: links.collect(),
            identity,
            timing,
            plain_text_anywhere,
            half_open: HALF_OPEN,
            #[cfg(feature = "tls")]
            tls: None,
            recv,
            changes,
            closed: AtomicBool::new(false),
            strangers: Mutex::new(Strangers::new(Instant::now())),
            connections: AtomicU64::new(0),
        }
    }

    /// Whether nobody on a network can read along, or somebody has said that it may be so.
    pub(crate) fn may_leave_the_machine(&self) -> bool {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return true;
        }
        self.plain_text_anywhere
    }

    /// Numbers connections, so that of two the newer one wins.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Says whether the connection is taken.
    pub(crate) fn install(&self, socket: Stream, number: u64, agreed: &Agreed) -> bool {
        let takes = self.identity.max_frame as usize;
        let Some(link) = self.links.get(agreed.peer.index()) else { return false };
        let Agreed { life, session, resumed, .. } = *agreed;
        let gives = takes.min(agreed.max_frame);
        link.install(Connection { socket, number, life, session, resumed, takes, gives })
    }

    /// What the handshake of a connection with this number is told.
    pub(crate) fn sessions(&self, number: u64) -> impl Sessions + '_ {
        SessionsOf { shared: self, number }
    }

    /// Keeps why a handshake with somebody who has dialed failed, for [`connected`](crate::TcpTransport::connected), and logs it
    /// when it is news.
    pub(crate) fn note_failure(&self, now: Instant, at: &str, failed: &Failed) {
        let (me, why) = (self.identity.topology.me(), failed.why.to_string());
        let peer = failed.claimed.and_then(|id| self.identity.topology.peer(id));
        let link = peer.and_then(|peer| self.links.get(peer.index()));
        let say = match link.map(|link| link.note(failed.last_seen())) {
            Some(true) if failed.is_refusal() => lock(&self.strangers).may_say(now),
            Some(_) => Say::Nothing,
            None => {
                let text = format!("somebody at {at} was refused: {why}");
                lock(&self.strangers).turned_away(now, text, failed.is_refusal())
            }
        };
        match say {
            Say::Now { untold: 0 } => tracing::warn!(%me, at, why, "a connection was refused"),
            Say::Now { untold } => tracing::warn!(%me, at, why, untold, "a connection was refused"),
            Say::Nothing => tracing::debug!(%me, at, why, "a handshake failed"),
        }
    }

    pub(crate) fn last_stranger(&self) -> Option<String> {
        lock(&self.strangers).last().map(str::to_owned)
    }
}

/// An address without its port, which is another one with each attempt.
pub(crate) fn host(address: SocketAddr) -> String {
    address.ip().to_string()
}
