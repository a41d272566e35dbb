//! What the tests of `LinkTransport` share: frames, short words for what a node is told, and a counter of wake-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::FutureExt;
use snapshot_core::{
    Arrivals, Body, Departures, Frame, Frames, Generation, Graph, Inbox, Incoming, LinkTransport, Links,
    NodeId, Peer, Stamp, Topology, Transport,
};

pub(crate) const ME: NodeId = NodeId(1);
pub(crate) const TWO: NodeId = NodeId(2);
pub(crate) const THREE: NodeId = NodeId(3);

/// What a node was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    Frame(u64, u64),
    Up(u64),
    Lost(u64),
    Left(u64),
    End,
}

pub(crate) use Heard::{End, Left, Lost, Up};

pub(crate) fn mesh() -> Topology {
    Graph::mesh([ME, TWO, THREE]).at(ME).unwrap()
}

pub(crate) fn node(capacity: usize) -> (LinkTransport<u64>, Links<u64>) {
    LinkTransport::with_capacity(mesh(), capacity)
}

/// A node with a connection to n2.
pub(crate) fn connected(capacity: usize) -> (LinkTransport<u64>, Links<u64>, Arrivals<u64>, Departures<u64>) {
    let (node, links) = node(capacity);
    let (arrivals, departures) = links.connect(TWO).unwrap();
    (node, links, arrivals, departures)
}

pub(crate) fn peer(id: NodeId) -> Peer {
    mesh().peer(id).unwrap()
}

pub(crate) fn frame(number: u64) -> Frame<u64> {
    Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(number) }
}

pub(crate) fn frames(numbers: impl IntoIterator<Item = u64>) -> Frames<u64> {
    let mut frames = Frames::new();
    numbers.into_iter().for_each(|number| frames.push_back(frame(number)));
    frames
}

pub(crate) fn number(frame: &Frame<u64>) -> u64 {
    assert!(matches!(frame.body, Body::Message(number) if number == frame.stamp.number()));
    frame.stamp.number()
}

/// All that a node is told without waiting.
pub(crate) fn hear(node: &LinkTransport<u64>) -> Vec<Heard> {
    let (mut heard, mut inbox) = (Vec::new(), Inbox::with_capacity(64));
    while let Some(received) = node.recv(&mut inbox).now_or_never() {
        received.unwrap();
        if inbox.is_empty() {
            heard.push(End);
            break;
        }
        heard.extend(std::iter::from_fn(|| inbox.pop()).map(in_short));
    }
    heard
}

pub(crate) fn in_short(item: Incoming<u64>) -> Heard {
    match item {
        Incoming::Frame { from, frame } => Heard::Frame(from.id().0, number(&frame)),
        Incoming::Up(peer) => Up(peer.id().0),
        Incoming::Lost { peer, why } => {
            assert!(!why.is_empty());
            Lost(peer.id().0)
        }
        Incoming::Left(peer) => Left(peer.id().0),
    }
}

/// Sends, for as long as that needs no waiting; what did not go out.
pub(crate) fn try_send(
    node: &LinkTransport<u64>,
    to: NodeId,
    numbers: impl IntoIterator<Item = u64>,
) -> Vec<u64> {
    let mut frames = frames(numbers);
    if let Some(sent) = node.send(peer(to), &mut frames).now_or_never() {
        sent.unwrap();
        assert!(frames.is_empty());
    }
    frames.iter().map(|frame| number(&frame.cloned())).collect()
}

/// All that is to be written without waiting, and whether that was all for ever.
pub(crate) fn take(departures: &mut Departures<u64>) -> (Vec<u64>, bool) {
    let mut taken = Vec::new();
    loop {
        match departures.next().now_or_never() {
            Some(Some(frame)) => taken.push(number(&frame)),
            Some(None) => return (taken, true),
            None => return (taken, false),
        }
    }
}

/// Counts how often a task would have been woken.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn poll<F: Future + Unpin>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        future.poll_unpin(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    /// How often since it was last asked.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
