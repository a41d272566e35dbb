//! A process's end of the network that can be pulled out while the process lives on.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use snapshot_core::{Clock, Frames, Inbox, MessageCodec, Peer, Topology, Transport, TransportError};

use crate::MemTransport;

/// Pulls out the line of a process.
#[derive(Clone, Default)]
pub(super) struct Plug(Arc<AtomicBool>);

impl Plug {
    /// From now on nothing comes and nothing goes, and nobody is told: as on a connection whose other end has been given to
    /// somebody else, before any timeout.
    pub(super) fn pull(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_out(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A transport with a plug.
pub(super) struct Line<M: Send + 'static> {
    pub(super) transport: MemTransport<M>,
    pub(super) plug: Plug,
}

#[async_trait]
impl<M: Send + 'static> Transport for Line<M> {
    type Message = M;

    fn topology(&self) -> &Topology {
        self.transport.topology()
    }

    async fn send(&self, to: Peer, frames: &mut Frames<M>) -> Result<(), TransportError> {
        let mut sending = self.transport.send(to, frames);
        // Whoever is out is woken by other things, if at all.
        poll_fn(|cx| if self.plug.is_out() { Poll::Pending } else { sending.as_mut().poll(cx) }).await
    }

    async fn recv(&self, into: &mut Inbox<M>) -> Result<(), TransportError> {
        let mut receiving = self.transport.recv(into);
        poll_fn(|cx| if self.plug.is_out() { Poll::Pending } else { receiving.as_mut().poll(cx) }).await
    }

    async fn close(&self) -> Result<(), TransportError> {
        self.transport.close().await
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.transport.clock()
    }

    fn codec(&self) -> Option<Arc<dyn MessageCodec<M>>> {
        self.transport.codec()
    }
}
