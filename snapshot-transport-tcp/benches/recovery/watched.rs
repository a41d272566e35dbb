//! A transport that tells when the news of a generation arrives: the node itself only tells when it is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use snapshot_core::{
    Clock, Frames, Inbox, Incoming, MessageCodec, Peer, Topology, Transport, TransportError, async_trait,
};
use snapshot_transport_tcp::TcpTransport;

use crate::now;

pub(crate) struct Watched {
    pub(crate) inner: TcpTransport<Bytes>,
    /// The newest generation of which a frame has come.
    pub(crate) newest: AtomicU64,
}

impl Watched {
    fn see(&self, generation: u64) {
        if self.newest.fetch_max(generation, Ordering::Relaxed) < generation {
            println!("news {generation} {}", now());
        }
    }
}

#[async_trait]
impl Transport for Watched {
    type Message = Bytes;

    fn topology(&self) -> &Topology {
        self.inner.topology()
    }

    async fn send(&self, to: Peer, frames: &mut Frames<Bytes>) -> Result<(), TransportError> {
        self.inner.send(to, frames).await
    }

    async fn recv(&self, into: &mut Inbox<Bytes>) -> Result<(), TransportError> {
        let mut arrived = Inbox::with_capacity(into.room());
        self.inner.recv(&mut arrived).await?;
        while let Some(item) = arrived.pop() {
            match item {
                Incoming::Frame { from, frame } => {
                    self.see(frame.stamp.generation().0);
                    into.push(from, frame);
                }
                Incoming::Up(peer) => into.up(peer),
                Incoming::Lost { peer, why } => {
                    println!("lost {} {}", peer.id().0, now());
                    into.lost(peer, why);
                }
                Incoming::Left(peer) => into.left(peer),
            }
        }
        Ok(())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }

    fn codec(&self) -> Option<Arc<dyn MessageCodec<Bytes>>> {
        self.inner.codec()
    }
}
