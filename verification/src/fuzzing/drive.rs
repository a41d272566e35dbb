//! A whole node on a transport that says nothing, and the polling of what it does.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use snapshot_core::{
    Frames, Graph, Inbox, NodeBuilder, NodeId, Peer, SnapshotNode, SnapshotStore, Topology, Transport,
    TransportError, async_trait,
};

use super::blob::{Blob, Picky};
use super::records::GROUP;

/// More than anything that ends takes.
const POLLS: usize = 10_000;

/// Whether somebody wants to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls until it is done, or can do nothing more without news from outside.
///
/// # Panics
///
/// Where it is busy without end.
pub(super) fn drive<T>(what: impl Future<Output = T>) -> Option<T> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let (mut what, mut cx) = (pin!(what), Context::from_waker(&waker));
    for _ in 0..POLLS {
        if let Poll::Ready(result) = what.as_mut().poll(&mut cx) {
            return Some(result);
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
    }
    panic!("busy without end")
}

/// Takes all frames, and never brings any.
struct Silent(Topology);

#[async_trait]
impl Transport for Silent {
    type Message = Bytes;

    fn topology(&self) -> &Topology {
        &self.0
    }

    async fn send(&self, _: Peer, frames: &mut Frames<Bytes>) -> Result<(), TransportError> {
        frames.clear();
        Ok(())
    }

    async fn recv(&self, _: &mut Inbox<Bytes>) -> Result<(), TransportError> {
        std::future::pending().await
    }
}

/// A node with this store, on a transport that says nothing.
pub(super) fn lonely(me: u64, members: &[u64], store: impl SnapshotStore) -> NodeBuilder<Blob, Bytes> {
    let topology = Graph::mesh(members.iter().copied().map(NodeId)).named(GROUP).at(NodeId(me));
    SnapshotNode::builder(Silent(topology.expect("it is a member"))).store(store).codec(Picky).seed(99)
}
