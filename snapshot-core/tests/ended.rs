//! A node that has come to its end takes no more part.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::executor::block_on;
use snapshot_core::{
    Frames, Graph, Inbox, NodeError, NodeId, Peer, SnapshotNode, Topology, Transport, TransportError,
    async_trait,
};

/// Counts the calls of `send`, all of which fail.
struct Failing {
    topology: Topology,
    sends: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for Failing {
    type Message = u64;

    fn topology(&self) -> &Topology {
        &self.topology
    }

    async fn send(&self, _: Peer, _: &mut Frames<u64>) -> Result<(), TransportError> {
        self.sends.fetch_add(1, Ordering::Relaxed);
        Err(TransportError::other("it has failed"))
    }

    async fn recv(&self, _: &mut Inbox<u64>) -> Result<(), TransportError> {
        std::future::pending().await
    }
}

#[test]
fn whatever_is_called_behind_the_end_of_a_node_says_so_and_sends_nothing() {
    let sends = Arc::new(AtomicUsize::new(0));
    let topology = Graph::mesh([NodeId(1), NodeId(2), NodeId(3)]).at(NodeId(1)).unwrap();
    let transport = Failing { topology, sends: Arc::clone(&sends) };
    let mut node = block_on(SnapshotNode::builder(transport).start(&mut ())).unwrap();
    assert!(matches!(block_on(node.flush()), Err(NodeError::Transport(_))));
    let before = sends.load(Ordering::Relaxed);
    assert!(matches!(block_on(node.flush()), Err(NodeError::Ended)));
    assert!(matches!(block_on(node.next(&mut ())), Err(NodeError::Ended)));
    assert_eq!(sends.load(Ordering::Relaxed), before);
}
