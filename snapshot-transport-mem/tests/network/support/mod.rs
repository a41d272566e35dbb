//! What the tests share: sending and receiving in one line, and what was received in short words.
#![allow(dead_code, reason = "each test file uses a part")]

use futures::FutureExt;
use snapshot_core::{
    Body, Frame, Frames, Generation, Inbox, Incoming, NodeId, Stamp, Transport, TransportError,
};
use snapshot_transport_mem::MemTransport;

pub(crate) type Node = MemTransport<u32>;

pub(crate) const A: NodeId = NodeId(1);
pub(crate) const B: NodeId = NodeId(2);
pub(crate) const C: NodeId = NodeId(3);

/// What a receiver was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    Message(NodeId, u32),
    Up(NodeId),
    Lost(NodeId),
    Left(NodeId),
}

pub(crate) fn batch(messages: impl IntoIterator<Item = u32>) -> Frames<u32> {
    let mut frames = Frames::new();
    for message in messages {
        let stamp = Stamp::new(Generation(1), u64::from(message));
        frames.push_back(Frame { stamp, body: Body::Message(message) });
    }
    frames
}

pub(crate) async fn send_all(
    from: &Node,
    to: NodeId,
    frames: &mut Frames<u32>,
) -> Result<(), TransportError> {
    let peer = from.topology().peer(to).expect("a neighbour");
    from.send(peer, frames).await
}

/// Polls a send once; the messages that did not go out.
pub(crate) fn try_send(from: &Node, to: NodeId, messages: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut frames = batch(messages);
    if let Some(result) = send_all(from, to, &mut frames).now_or_never() {
        result.expect("a send");
    }
    frames.iter().map(message_of).collect()
}

pub(crate) fn message_of(frame: Frame<&u32>) -> u32 {
    match frame.body {
        Body::Message(message) => *message,
        Body::Control(_) => panic!("a control frame"),
    }
}

pub(crate) fn empty(inbox: &mut Inbox<u32>) -> Vec<Heard> {
    std::iter::from_fn(|| inbox.pop())
        .map(|item| match item {
            Incoming::Frame { from, frame } => Heard::Message(from.id(), message_of(frame.as_ref())),
            Incoming::Up(peer) => Heard::Up(peer.id()),
            Incoming::Lost { peer, why } => {
                assert!(!why.is_empty());
                Heard::Lost(peer.id())
            }
            Incoming::Left(peer) => Heard::Left(peer.id()),
        })
        .collect()
}

/// All that has arrived.
pub(crate) fn hear(node: &Node) -> Vec<Heard> {
    let mut heard = Vec::new();
    let mut inbox = Inbox::with_capacity(64);
    while let Some(result) = node.recv(&mut inbox).now_or_never() {
        result.expect("a recv");
        assert!(!inbox.is_empty(), "the clean end");
        heard.extend(empty(&mut inbox));
    }
    heard
}

/// The messages that have arrived; nothing else may have.
pub(crate) fn messages(node: &Node) -> Vec<u32> {
    let message = |heard| match heard {
        Heard::Message(_, message) => message,
        other => panic!("{other:?}"),
    };
    hear(node).into_iter().map(message).collect()
}

/// Takes all that has arrived, unheard.
pub(crate) fn skip(nodes: &[&Node]) {
    for node in nodes {
        hear(node);
    }
}
