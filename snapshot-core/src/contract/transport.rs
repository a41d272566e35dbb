//! The trait that stands between a node and its network.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::contract::clock::{Clock, SystemClock};
use crate::contract::codec::MessageCodec;
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::{NodeId, Peer};
use crate::vocabulary::inbox::Inbox;
use crate::vocabulary::topology::Topology;

/// Carries frames between a node and its neighbours. Three methods to write; the rest has defaults.
///
/// The node calls these methods so that an implementor needs **no cancel safety**: it never drops a future of `send` or
/// `recv` before it is done (unless the node itself is dropped), it runs one `send` per peer and one `recv` at a time,
/// and all of them side by side. So the obvious implementation, which takes a frame from the front and awaits, is right.
/// Like any future, one of these may be polled by one task and later by another; the last one is to be woken.
/// None of them may block its thread: a socket or a channel that does gets threads of its own, and a
/// [`LinkTransport`](crate::LinkTransport) between them and the node.
///
/// # Contract
///
/// * **T1** Order: the frames of one channel arrive in the order in which they were sent, control frames included.
/// * **T2** While a connection stands, no frame is lost, repeated or changed. Where that may have happened, the receiving
///   side is told with [`Inbox::lost`], after all frames that arrived before.
///   A message that has come whole and that the codec refuses is no loss, but the end of the transport:
///   [`TransportError::undecodable`].
/// * **T3** Bounded: at most [`Inbox::room`] items are pushed a call, and what is buffered inside has a limit.
/// * **T4** A slow or lost peer delays only itself, and so does one that has left or was never there: `send` to it waits (it
///   does not fail), all others go on.
/// * **T5** `send`, to any number of peers, and `recv` may be under way at the same time and do not wait for each other.
/// * **T6** `send` is ready when `frames` is empty and all of it is handed on: nothing stays behind in a buffer that only a
///   further call would empty.
/// * **T7** Where there are connections, each new one, the first included, is announced at both ends with [`Inbox::up`]
///   before its first frame; nothing from an older connection to that peer comes after that. The end of one is announced
///   once, with [`Inbox::lost`], or [`Inbox::left`] where the peer had said that it was going. A peer that was started again
///   is connected anew. A process of it that was thought dead does not take the connection from its successor: which one that is,
///   the handshake says with a [`Life`](crate::Life).
/// * **T8** `recv` that is ready with nothing pushed is the clean end: nothing will ever arrive again, and each later `recv`
///   says the same. One's own [`close`](Self::close) leads to it. That peers are gone does not, where they may come back.
///
/// An error from any method is the end of the transport, and of the node that uses it.
///
/// Whether an implementation keeps these clauses is tested by a fixture and one line, `snapshot_conformance::transport!(…)`: see
/// the crate `snapshot-conformance`.
///
/// ```
/// use snapshot_core::{Frame, Frames, Graph, Inbox, NodeId, Peer, Topology, Transport, TransportError, async_trait};
/// use tokio::sync::{Mutex, mpsc};
///
/// /// One bounded queue to the only neighbour, and one from it.
/// struct Pipe {
///     topology: Topology,
///     to: mpsc::Sender<Frame<String>>,
///     from: Mutex<mpsc::Receiver<Frame<String>>>,
/// }
///
/// #[async_trait]
/// impl Transport for Pipe {
///     type Message = String;
///
///     fn topology(&self) -> &Topology { &self.topology }
///
///     async fn send(&self, _to: Peer, frames: &mut Frames<String>) -> Result<(), TransportError> {
///         while let Some(frame) = frames.pop_front() {
///             if self.to.send(frame).await.is_err() {
///                 std::future::pending().await // The other end is gone, and will not come back (T4).
///             }
///         }
///         Ok(())
///     }
///
///     async fn recv(&self, into: &mut Inbox<String>) -> Result<(), TransportError> {
///         let neighbour = self.topology.peers().next().expect("there is one");
///         // Nothing pushed at the end is the clean end (T8).
///         if let Some(frame) = self.from.lock().await.recv().await { into.push(neighbour, frame); }
///         Ok(())
///     }
/// }
///
/// # use snapshot_core::{Event, PostcardState, SnapshotNode};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Nothing;
/// # impl PostcardState for Nothing {}
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let graph = Graph::mesh([NodeId(1), NodeId(2)]);
/// let ((to_two, from_one), (to_one, from_two)) = (mpsc::channel(64), mpsc::channel(64));
/// let one = Pipe { topology: graph.at(NodeId(1))?, to: to_two, from: from_two.into() };
/// let two = Pipe { topology: graph.at(NodeId(2))?, to: to_one, from: from_one.into() };
/// let (mut here, mut there) = (Nothing, Nothing);
/// let mut one = SnapshotNode::builder(one).start(&mut here).await?;
/// let mut two = SnapshotNode::builder(two).start(&mut there).await?;
/// one.send(NodeId(2), "hello".to_owned())?;
/// // Each says how much it takes, and sends what it has.
/// tokio::try_join!(two.flush(&mut there), one.flush(&mut here))?;
/// let Event::Message { message, .. } = two.next(&mut there).await? else { panic!() };
/// assert_eq!(message, "hello");
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// What the application sends.
    type Message: Send + 'static;

    /// The group, and this node's place in it.
    fn topology(&self) -> &Topology;

    /// Takes frames from the front of `frames`, in order, and hands them on to a neighbour.
    async fn send(&self, to: Peer, frames: &mut Frames<Self::Message>) -> Result<(), TransportError>;

    /// Waits for one item at least, and pushes at most [`Inbox::room`].
    ///
    /// The inbox may already hold items when this is called: they stay where they are, and are not what it waits for.
    async fn recv(&self, into: &mut Inbox<Self::Message>) -> Result<(), TransportError>;

    /// Says goodbye to all neighbours, so that they see [`Inbox::left`], behind all that was sent, and not a loss.
    ///
    /// One's own `recv`, the one under way too, then comes to the clean end (T8); what has arrived and was not handed out may
    /// be dropped. `send` is called no more. By default there is nothing to do, and neighbours see a loss.
    async fn close(&self) -> Result<(), TransportError> {
        Ok(())
    }

    /// The clock that goes with this transport: by default the system's.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    /// The byte form of messages, where the transport has one: a store then uses the same. By default there is none.
    fn codec(&self) -> Option<Arc<dyn MessageCodec<Self::Message>>> {
        None
    }
}

/// A transport has come to its end. Questions in place of kinds, so that every implementor can fill it.
///
/// ```
/// use snapshot_core::TransportError;
/// let error = TransportError::frame_too_large("a frame of 20 MiB is over the limit of 16 MiB: raise `max_frame`");
/// assert!(error.is_frame_too_large() && !error.is_closed());
/// ```
#[derive(Debug)]
pub struct TransportError {
    kind: Kind,
    peer: Option<NodeId>,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Closed,
    FrameTooLarge,
    Undecodable,
    Other,
}

impl TransportError {
    /// The transport was closed on this side.
    pub fn closed(message: impl Into<String>) -> Self {
        Self { kind: Kind::Closed, peer: None, message: message.into(), source: None }
    }

    /// A frame to be sent is over the transport's limit.
    pub fn frame_too_large(message: impl Into<String>) -> Self {
        Self { kind: Kind::FrameTooLarge, peer: None, message: message.into(), source: None }
    }

    /// A neighbour sent a message that the codec of this node cannot decode. That is no loss of a connection: on a new one, and in the
    /// next generation, it would say the same again.
    ///
    /// ```
    /// use snapshot_core::{NodeId, RawBytes, TransportError};
    /// let why = std::io::Error::other("an unknown variant");
    /// let error = TransportError::undecodable::<bytes::Bytes>(NodeId(2), &RawBytes, why);
    /// assert!(error.is_undecodable() && error.to_string().contains("RawBytes"));
    /// assert_eq!(error.peer(), Some(NodeId(2)));
    /// ```
    pub fn undecodable<M: 'static>(
        peer: NodeId,
        codec: &dyn MessageCodec<M>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let (codec, message) = (codec.name(), std::any::type_name::<M>());
        let message = format!(
            "{peer} sent a message that the codec `{codec}` of this node cannot decode as `{message}`: run the same release \
             on both, or one here that understands it, before this node is started again"
        );
        Self { kind: Kind::Undecodable, peer: Some(peer), message, source: Some(source.into()) }
    }

    /// Anything else that the transport cannot go on from.
    pub fn other(message: impl Into<String>) -> Self {
        Self { kind: Kind::Other, peer: None, message: message.into(), source: None }
    }

    /// Names the neighbour that it was about.
    #[must_use]
    pub fn with_peer(mut self, peer: NodeId) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the transport was closed on this side.
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// Whether a frame to be sent was over the limit.
    pub fn is_frame_too_large(&self) -> bool {
        self.kind == Kind::FrameTooLarge
    }

    /// Whether a neighbour sent a message that cannot be decoded here: started again, the node would meet it again.
    pub fn is_undecodable(&self) -> bool {
        self.kind == Kind::Undecodable
    }

    /// The neighbour that it was about, where the transport said.
    pub fn peer(&self) -> Option<NodeId> {
        self.peer
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.peer {
            Some(peer) if self.kind != Kind::Undecodable => write!(f, " (peer {peer})"),
            _ => Ok(()),
        }
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_answers_what_is_asked_of_it_and_says_about_whom() {
        let asked = |error: &TransportError| (error.is_closed(), error.is_frame_too_large(), error.peer());
        assert_eq!(asked(&TransportError::closed("over")), (true, false, None));
        assert_eq!(asked(&TransportError::frame_too_large("long")), (false, true, None));
        let error = TransportError::other("torn").with_peer(NodeId(7)).with_source("a cable");
        assert_eq!(asked(&error), (false, false, Some(NodeId(7))));
        assert_eq!(error.to_string(), "torn (peer n7)");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("a cable"));
    }
}
