//! A node that has come to its end takes no more part.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::bank::{A, App, B, Group, Ledger, still};
use futures::FutureExt;
use futures::executor::block_on;
use snapshot_core::{
    Body, Bound, Event, Failure, Frame, Frames, Generation, Graph, Inbox, NodeBuilder, NodeError, NodeId,
    Peer, SendError, SnapshotError, SnapshotNode, Stamp, Topology, Transport, TransportError, async_trait,
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
    let mut node = block_on(SnapshotNode::builder(transport).clock(still()).start(&mut ())).unwrap();
    assert!(matches!(block_on(node.flush(&mut ())), Err(NodeError::Transport(_))));
    let before = sends.load(Ordering::Relaxed);
    assert!(matches!(block_on(node.flush(&mut ())), Err(NodeError::Ended)));
    assert!(matches!(node.next(&mut ()).now_or_never(), Some(Err(NodeError::Ended))));
    assert_eq!(sends.load(Ordering::Relaxed), before);
}

fn narrow(builder: NodeBuilder<Ledger, u64>) -> NodeBuilder<Ledger, u64> {
    builder.outbox(Bound::new(2, 200), Bound::new(2, 200)).outbox_hard(Bound::new(4, 400))
}

#[test]
fn a_turn_over_the_hard_bound_ends_the_node_at_next_and_nothing_of_it_is_sent() {
    let mut group = Group::tuned(&Graph::mesh([A, B]), None, narrow);
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    group.app(A).pay(B, 1);
    group.until(|apps| apps[1].ledger.received == [1]);
    let handle = group.app(A).node.handle();

    let App { node, ledger, .. } = group.app(A);
    let refused = (2..=9).find_map(|amount| node.send(B, amount).err());
    assert_eq!(refused, Some(SendError::OutboxFull));
    let ended = node.next(ledger).now_or_never();
    assert!(matches!(ended, Some(Err(NodeError::Failed(Failure::OutboxOverflow)))), "{ended:?}");
    assert!(matches!(node.flush(ledger).now_or_never(), Some(Err(NodeError::Ended))));
    assert!(matches!(node.next(ledger).now_or_never(), Some(Err(NodeError::Ended))));
    assert!(!node.has_room());
    assert_eq!(handle.snapshot().now_or_never(), Some(Err(SnapshotError::NodeGone)));
    assert_eq!(group.network.in_flight(A, B), 0);
}

#[test]
fn who_waits_for_a_snapshot_hears_of_the_end_though_the_node_is_still_there() {
    let mut group = Group::tuned(&Graph::mesh([A, B]), None, narrow);
    group.app(B).idle = true;
    let handle = group.app(A).node.handle();
    let mut asked = pin!(handle.snapshot());
    assert!(asked.as_mut().now_or_never().is_none());
    group.until(|apps| apps[0].node.handle().running().len() == 1);
    let App { node, ledger, .. } = group.app(A);
    assert!((1..=9).any(|amount| node.send(B, amount).is_err()));
    assert!(node.next(ledger).now_or_never().is_some_and(|ended| ended.is_err()));
    assert_eq!(asked.now_or_never(), Some(Err(SnapshotError::NodeGone)));
    assert!(handle.running().is_empty());
}

/// Brings nothing any more, which it says once; what is sent is counted.
struct Closed {
    topology: Topology,
    has_said: AtomicBool,
    frames: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for Closed {
    type Message = u64;

    fn topology(&self) -> &Topology {
        &self.topology
    }

    async fn send(&self, _: Peer, frames: &mut Frames<u64>) -> Result<(), TransportError> {
        self.frames.fetch_add(frames.len(), Ordering::Relaxed);
        frames.clear();
        Ok(())
    }

    async fn recv(&self, _: &mut Inbox<u64>) -> Result<(), TransportError> {
        assert!(!self.has_said.swap(true, Ordering::Relaxed), "it was asked again");
        Ok(())
    }
}

#[test]
fn a_transport_that_has_closed_is_told_of_once_and_not_asked_again_and_takes_what_is_sent() {
    let frames = Arc::new(AtomicUsize::new(0));
    let topology = Graph::mesh([A, B]).at(A).unwrap();
    let transport = Closed { topology, has_said: AtomicBool::new(false), frames: Arc::clone(&frames) };
    let mut node = block_on(SnapshotNode::builder(transport).clock(still()).start(&mut ())).unwrap();
    assert!(matches!(node.next(&mut ()).now_or_never(), Some(Ok(Event::Closed))));
    assert!(node.next(&mut ()).now_or_never().is_none(), "it is not the end of the node");
    node.send(B, 1).unwrap();
    assert!(node.next(&mut ()).now_or_never().is_none());
    assert_eq!(frames.load(Ordering::Relaxed), 2, "the greeting, and what was sent");
    assert!(matches!(node.close(Duration::ZERO).now_or_never(), Some(Ok(_))));
}

#[test]
fn a_turn_over_the_hard_bound_ends_the_node_at_flush_and_close_too_and_nothing_of_it_is_sent() {
    for close in [false, true] {
        let mut group = Group::tuned(&Graph::mesh([A, B]), None, narrow);
        group.until(|apps| apps.iter().all(|app| app.node.has_room()));
        let App { mut node, mut ledger, .. } = group.apps.remove(0);
        assert!((2..=9).any(|amount| node.send(B, amount).is_err()));
        let ended = if close {
            node.close(Duration::ZERO).now_or_never().map(|closed| closed.map(drop))
        } else {
            let ended = node.flush(&mut ledger).now_or_never().map(|flushed| flushed.map(drop));
            assert!(matches!(node.flush(&mut ledger).now_or_never(), Some(Err(NodeError::Ended))));
            assert!(matches!(node.next(&mut ledger).now_or_never(), Some(Err(NodeError::Ended))));
            ended
        };
        assert!(matches!(ended, Some(Err(NodeError::Failed(Failure::OutboxOverflow)))), "{ended:?}");
        assert_eq!(group.network.in_flight(A, B), 0);
    }
}

/// Brings ten messages; the first `send` goes well, and no other. What is granted is of no use here.
struct BringsTen {
    topology: Topology,
    /// The number of the first of them.
    first: u64,
    sends: AtomicUsize,
    has_brought: AtomicBool,
}

#[async_trait]
impl Transport for BringsTen {
    type Message = u64;

    fn topology(&self) -> &Topology {
        &self.topology
    }

    async fn send(&self, _: Peer, frames: &mut Frames<u64>) -> Result<(), TransportError> {
        frames.clear();
        match self.sends.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(TransportError::other("it has failed")),
        }
    }

    async fn recv(&self, into: &mut Inbox<u64>) -> Result<(), TransportError> {
        if self.has_brought.swap(true, Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let from = self.topology.peer(B).unwrap();
        for count in self.first..self.first + 10 {
            // Without a store, the group itself stands for the generation.
            let number = count << 16 | self.topology.fingerprint() & 0xffff;
            into.push(from, Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(count) });
        }
        Ok(())
    }
}

fn brings_ten_from(first: u64) -> SnapshotNode<(), u64> {
    let topology = Graph::mesh([A, B]).at(A).unwrap();
    let (sends, has_brought) = (AtomicUsize::new(0), AtomicBool::new(false));
    let transport = BringsTen { topology, first, sends, has_brought };
    block_on(SnapshotNode::builder(transport).clock(still()).start(&mut ())).unwrap()
}

#[test]
fn who_closes_waits_for_no_neighbour_of_which_something_is_missing() {
    // The grant, it may be, which does not come again.
    let mut node = brings_ten_from(2);
    node.send(B, 1).unwrap();
    let farewell = node.close(Duration::from_secs(60)).now_or_never();
    assert_eq!(farewell.expect("at once").unwrap().unsent, [(B, 1)].into());
}

#[test]
fn behind_the_end_no_message_is_handed_out() {
    let mut node = brings_ten_from(1);
    let first = node.next(&mut ()).now_or_never();
    assert!(matches!(first, Some(Ok(Event::Message { message: 1, .. }))), "{first:?}");
    node.snapshot(); // which sends a marker
    assert!(matches!(node.flush(&mut ()).now_or_never(), Some(Err(NodeError::Transport(_)))));
    for _ in 0..100 {
        let ended = node.next(&mut ()).now_or_never();
        assert!(matches!(ended, Some(Err(NodeError::Ended))), "{ended:?}");
    }
}
