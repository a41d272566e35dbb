//! The transport itself: hands each call to the links.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use snapshot_core::{Clock, Frames, Inbox, MessageCodec, NodeId, Peer, Topology, Transport, TransportError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::TokioClock;
use crate::config::TcpBuilder;
use crate::dial::keep_connected;
use crate::error::{BindError, LastSeen, Missing, NotConnected};
use crate::link::Link;
use crate::listen::take_connections;
use crate::lock::lock;
use crate::shared::Shared;
use crate::tend::tend;

/// The most frames that one `recv` hands out; the rest stays as bytes.
const FRAMES_PER_RECV: usize = 512;

/// A [`Transport`] over TCP. See the [crate](crate) for an example.
///
/// `send` and `recv` do their I/O in the task that calls them; in the background there are only one task that listens and
/// one for each neighbour that this node dials, and they end with the transport.
///
/// Dropping it closes all connections without a goodbye, and the neighbours see a loss; [`close`](Transport::close) says
/// goodbye.
pub struct TcpTransport<M> {
    shared: Arc<Shared>,
    codec: Arc<dyn MessageCodec<M>>,
    clock: TokioClock,
    local: Option<SocketAddr>,
    /// By peer: where it is dialed.
    addresses: Vec<Option<String>>,
    tasks: Mutex<JoinSet<()>>,
    /// The link that is served first by the next `recv`.
    first: AtomicUsize,
}

impl<M: 'static> TcpTransport<M> {
    /// Begins with the group, this node's place in it, and the byte form of messages.
    pub fn builder(topology: Topology, codec: impl MessageCodec<M>) -> TcpBuilder<M> {
        TcpBuilder::new(topology, codec)
    }

    pub(crate) fn start(
        builder: TcpBuilder<M>,
        shared: Shared,
        listener: Option<TcpListener>,
    ) -> Result<Self, BindError> {
        let TcpBuilder { topology, codec, mut addresses, .. } = builder;
        let local = listener.as_ref().map(TcpListener::local_addr).transpose();
        let local = local.map_err(|source| BindError::Listener { source })?;
        let dialed =
            topology.peers().map(|peer| addresses.remove(&peer.id()).filter(|_| peer.id() < topology.me()));
        let addresses: Vec<Option<String>> = dialed.collect();
        let shared = Arc::new(shared);
        let mut tasks = JoinSet::new();
        tasks.spawn(tend(Arc::clone(&shared)));
        if let Some(listener) = listener {
            tasks.spawn(take_connections(Arc::clone(&shared), listener));
        }
        for (index, address) in addresses.iter().enumerate() {
            if let Some(address) = address {
                tasks.spawn(keep_connected(Arc::clone(&shared), index, address.clone()));
            }
        }
        let (tasks, first) = (Mutex::new(tasks), AtomicUsize::new(0));
        Ok(Self { shared, codec, clock: TokioClock::new(), local, addresses, tasks, first })
    }

    /// Where this node listens, if it does.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Where certificates were given, what exchanges them while the transport runs. Take it before a node takes the transport.
    #[cfg(feature = "tls")]
    pub fn certificates(&self) -> Option<crate::CertificateHandle> {
        self.shared.tls.clone().map(crate::CertificateHandle)
    }

    /// Waits until every neighbour is connected, `within` at most.
    ///
    /// Nothing depends on it: `send` waits for its peer anyway. It is for a start that wants to say what is missing.
    ///
    /// # Errors
    ///
    /// At the deadline, with the name of each missing neighbour and what was last seen of it; at once where this side was
    /// closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the transport.
    pub async fn connected(&self, within: Duration) -> Result<(), NotConnected> {
        let mut changes = self.shared.changes.subscribe();
        let all = async {
            while !self.shared.is_closed() && !self.missing().is_empty() {
                // The sender lives as long as `self`.
                let _ = changes.changed().await;
            }
        };
        let _ = timeout(within, all).await;
        let (missing, closed) = (self.missing(), self.shared.is_closed());
        if missing.is_empty() && !closed {
            return Ok(());
        }
        Err(NotConnected {
            within,
            closed,
            listens: self.local,
            missing,
            stranger: self.shared.last_stranger(),
        })
    }

    fn missing(&self) -> Vec<Missing> {
        let links = self.shared.links.iter().zip(&self.addresses);
        let seen = links.map(|(link, address)| (NodeId::from(link.peer), address, link.last_seen()));
        seen.filter(|(_, _, last)| *last != LastSeen::Connected)
            .map(|(peer, address, last)| Missing { peer, address: address.clone(), last })
            .collect()
    }

    fn poll_recv(&self, cx: &Context<'_>, into: &mut Inbox<M>) -> Poll<Result<(), TransportError>> {
        if into.room() == 0 {
            let text = "`recv` was called with an inbox that is full: call it only while there is room";
            return Poll::Ready(Err(TransportError::other(text)));
        }
        // Before the first look, so that what comes after it wakes this task.
        self.shared.recv.register(cx.waker());
        if self.shared.is_closed() {
            return Poll::Ready(Ok(()));
        }
        let count = self.shared.links.len();
        let first = self.first.load(Ordering::Relaxed);
        let before = into.len();
        let mut budget = FRAMES_PER_RECV;
        let mut more = false;
        for index in (0..count).map(|n| (first + n) % count) {
            let link = &self.shared.links[index];
            if link.signal.take()
                && let Poll::Ready(received) = link.poll_recv(&*self.codec, into, &mut budget)
            {
                received?;
                link.signal.keep();
                more = true;
                if into.room() == 0 || budget == 0 {
                    self.first.store(index + 1, Ordering::Relaxed);
                    break;
                }
            }
        }
        if into.len() > before {
            return Poll::Ready(Ok(()));
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn link(&self, peer: Peer) -> Result<&Link, TransportError> {
        self.shared.links.get(peer.index()).filter(|link| link.peer == peer).ok_or_else(|| {
            let me = self.shared.identity.topology.me();
            let text =
                format!("this is no neighbour of {me}: take peers from the transport's own `topology()`");
            TransportError::other(text).with_peer(peer.id())
        })
    }
}

#[async_trait]
impl<M: Send + 'static> Transport for TcpTransport<M> {
    type Message = M;

    fn topology(&self) -> &Topology {
        &self.shared.identity.topology
    }

    /// # Cancel safety
    ///
    /// Frames that were taken are kept and go out with the next `send` to this peer; the others are still in `frames`.
    async fn send(&self, to: Peer, frames: &mut Frames<M>) -> Result<(), TransportError> {
        let link = self.link(to)?;
        if let Some(frame) = frames.front() {
            self.shared.identity.own.speaks(frame.stamp.generation());
        }
        std::future::poll_fn(|cx| link.poll_send(cx, frames, &*self.codec)).await
    }

    /// # Cancel safety
    ///
    /// Nothing is lost: what was taken from a connection is in `into`, or kept.
    async fn recv(&self, into: &mut Inbox<M>) -> Result<(), TransportError> {
        std::future::poll_fn(|cx| self.poll_recv(cx, into)).await
    }

    /// Sends what is on its way and a goodbye to all connected neighbours, and waits for them to close too, up to the limit
    /// of [`close_within`](TcpBuilder::close_within). A neighbour that does not take it in time sees a loss. A `recv` under
    /// way ends, what it had not handed out is dropped, and a `send` under way fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transport closed; neighbours may see a loss.
    async fn close(&self) -> Result<(), TransportError> {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.shared.recv.wake();
        self.shared.changes.send_replace(());
        // All links first: from here on a link takes no connection, whatever the tasks have under way.
        let partings: Vec<_> =
            self.shared.links.iter().filter_map(|link| Some((link.peer, link.close()?))).collect();
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.shutdown().await;
        let goodbyes = partings.into_iter().map(|(peer, parting)| async move {
            let why = match timeout(self.shared.timing.close, parting.say_goodbye()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "not in time".to_owned(),
            };
            tracing::debug!(%peer, why, "a neighbour has not taken the goodbye");
        });
        join_all(goodbyes).await;
        Ok(())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    fn codec(&self) -> Option<Arc<dyn MessageCodec<M>>> {
        Some(Arc::clone(&self.codec))
    }
}

impl<M> Drop for TcpTransport<M> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // The background tasks end when the runtime comes to it; the connections end now.
        for link in &self.shared.links {
            link.close();
        }
    }
}

impl<M> fmt::Debug for TcpTransport<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTransport")
            .field("topology", &self.shared.identity.topology)
            .field("local_addr", &self.local)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
