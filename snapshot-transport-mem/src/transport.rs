//! One node's end of the network.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use async_trait::async_trait;
use snapshot_core::{Clock, Frames, Inbox, MessageCodec, NodeId, Peer, Topology, Transport, TransportError};

use crate::clock::MemClock;
use crate::fabric::Fabric;
use crate::process::Death;

/// One node's end of a [`MemNetwork`](crate::MemNetwork), and one process of that node: it ends with
/// [`close`](Transport::close), when it is dropped (as if the process had been killed), with
/// [`crash`](crate::MemNetwork::crash), or when [`MemNetwork::transport`](crate::MemNetwork::transport) starts the next
/// process of the node. After the last two, `send` and `recv` are errors.
///
/// It keeps every clause of [`Transport`]. As that says, one `recv` and one `send` per peer at a time: of two at once that
/// wait in different tasks, only the last is woken.
///
/// # Cancel safety
///
/// A `send` or `recv` that is dropped has done part of its work or none: what it took from its frames is in the channel,
/// the rest is still there; what it put into its inbox stays there. Nothing is lost or done twice.
///
/// ```
/// use snapshot_core::{Body, Frame, Frames, Generation, Inbox, Incoming, Stamp, Transport};
/// use snapshot_transport_mem::MemNetwork;
/// # futures::executor::block_on(async {
/// let (_network, [a, b]) = MemNetwork::mesh::<2>();
/// let to_b = a.topology().peer(b.id()).unwrap();
/// let from_a = b.topology().peer(a.id()).unwrap();
///
/// let frame = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message("hello") };
/// let mut frames = Frames::new();
/// frames.push_back(frame.clone());
/// a.send(to_b, &mut frames).await?;
///
/// let mut inbox = Inbox::with_capacity(16);
/// b.recv(&mut inbox).await?;
/// assert_eq!(inbox.pop(), Some(Incoming::Up(from_a)));
/// assert_eq!(inbox.pop(), Some(Incoming::Frame { from: from_a, frame }));
/// # Ok::<(), snapshot_core::TransportError>(())
/// # }).unwrap();
/// ```
pub struct MemTransport<M: Send + 'static> {
    fabric: Arc<Fabric<M>>,
    topology: Topology,
    peers: Vec<Peer>,
    node: usize,
    life: u64,
}

impl<M: Send + 'static> MemTransport<M> {
    pub(crate) fn new(fabric: Arc<Fabric<M>>, topology: Topology, node: usize) -> Self {
        let peers = topology.peers().collect();
        let life = fabric.start(node);
        Self { fabric, topology, peers, node, life }
    }

    /// The node.
    pub fn id(&self) -> NodeId {
        self.topology.me()
    }
}

#[async_trait]
impl<M: Send + 'static> Transport for MemTransport<M> {
    type Message = M;

    fn topology(&self) -> &Topology {
        &self.topology
    }

    async fn send(&self, to: Peer, frames: &mut Frames<M>) -> Result<(), TransportError> {
        if self.topology.outgoing_use(to).is_none() {
            let text = format!(
                "there is no channel from {} to {to}: add it to the graph with `Graph::link`",
                self.id()
            );
            return Err(TransportError::other(text).with_peer(to.id()));
        }
        poll_fn(|cx| self.fabric.poll_send(cx, (self.node, self.life), to.index(), frames)).await
    }

    async fn recv(&self, into: &mut Inbox<M>) -> Result<(), TransportError> {
        poll_fn(|cx| self.fabric.poll_recv(cx, (self.node, self.life), &self.peers, into)).await
    }

    async fn close(&self) -> Result<(), TransportError> {
        self.fabric.stop(self.node, Some(self.life), Death::Closed);
        Ok(())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(MemClock(Arc::clone(&self.fabric.time)))
    }

    fn codec(&self) -> Option<Arc<dyn MessageCodec<M>>> {
        self.fabric.codec.clone()
    }
}

impl<M: Send + 'static> Drop for MemTransport<M> {
    fn drop(&mut self) {
        self.fabric.stop(self.node, Some(self.life), Death::Killed);
    }
}

impl<M: Send + 'static> fmt::Debug for MemTransport<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemTransport").field("topology", &self.topology).finish_non_exhaustive()
    }
}
