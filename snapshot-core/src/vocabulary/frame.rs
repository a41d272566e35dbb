//! What crosses a channel.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de};

use crate::vocabulary::id::{Generation, SnapshotId};

/// The two numbers that every frame carries: the generation, and its number in its channel. Opaque to a transport.
///
/// It has a stable byte form of 3 to 21 bytes, so that an application with its own wire format carries it as one extra
/// field.
///
/// ```
/// use snapshot_core::Stamp;
/// # use snapshot_core::Generation;
/// # let stamp = Stamp::new(Generation(1), 300);
/// let bytes = stamp.to_bytes();
/// assert_eq!(Stamp::from_bytes(&bytes)?, stamp);
/// # Ok::<(), snapshot_core::Malformed>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    generation: Generation,
    number: u64,
}

impl Stamp {
    /// How many of the lower bits of a number say which generation it is of, beside the generation's own number.
    const TAG_BITS: u32 = 16;

    /// The stamp with these two numbers. Nodes make them; an application never needs to.
    pub fn new(generation: Generation, number: u64) -> Self {
        Self { generation, number }
    }

    /// The stamp of a frame of the generation that has this nonce: the `count`-th of its channel, or outside the count (0).
    pub(crate) fn tagged(generation: Generation, count: u64, nonce: u64) -> Self {
        Self { generation, number: count << Self::TAG_BITS | Self::tag(nonce) }
    }

    /// Whether it may be of the generation that has this nonce.
    pub(crate) fn is_of(self, nonce: u64) -> bool {
        self.number & Self::tag(u64::MAX) == Self::tag(nonce)
    }

    fn tag(nonce: u64) -> u64 {
        nonce & ((1 << Self::TAG_BITS) - 1)
    }

    /// By how much the numbers of two frames differ that follow each other in a channel.
    pub(crate) const STEP: u64 = 1 << Self::TAG_BITS;

    /// Which frame it is in its channel and generation, counted from 1; 0 for control frames outside the count.
    pub fn count(self) -> u64 {
        self.number >> Self::TAG_BITS
    }

    /// The generation in which the frame was sent.
    pub fn generation(self) -> Generation {
        self.generation
    }

    /// Its number: its [count](Self::count) in the upper 48 bits, and in the lower 16 what tells its generation from another of
    /// the same number, in another history of the store.
    pub fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.generation, self.number)
    }
}

impl Serialize for Stamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.generation.0, self.number).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (generation, number) = <(u64, u64)>::deserialize(deserializer)?;
        if generation == 0 {
            return Err(de::Error::custom("generation 0"));
        }
        Ok(Self { generation: Generation(generation), number })
    }
}

/// What a frame carries.
///
/// ```
/// use snapshot_core::Body;
/// let body = Body::Message("hello");
/// assert!(matches!(body, Body::Message(text) if text.len() == 5));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Body<M> {
    /// A message of the application.
    Message(M),
    /// A control frame of the snapshot protocol, in its own versioned byte format: never empty, and at most 1 KiB. Opaque to
    /// a transport.
    Control(Bytes),
}

/// What crosses a channel: a stamp and a body. A transport carries both and understands neither.
///
/// ```
/// use snapshot_core::{Body, Frame, FrameKind, Generation, Stamp};
/// let frame = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message("hello") };
/// assert_eq!(frame.kind(), Ok(FrameKind::Message));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Frame<M> {
    /// Generation and number.
    pub stamp: Stamp,
    /// Message or control.
    pub body: Body<M>,
}

impl<M> Frame<M> {
    /// The same frame, its message by reference.
    pub fn as_ref(&self) -> Frame<&M> {
        let body = match &self.body {
            Body::Message(message) => Body::Message(message),
            Body::Control(bytes) => Body::Control(bytes.clone()),
        };
        Frame { stamp: self.stamp, body }
    }
}

impl<M: Clone> Frame<&M> {
    /// A frame with a message of its own.
    pub fn cloned(self) -> Frame<M> {
        let body = match self.body {
            Body::Message(message) => Body::Message(message.clone()),
            Body::Control(bytes) => Body::Control(bytes),
        };
        Frame { stamp: self.stamp, body }
    }
}

/// What a frame is, for those who watch channels: tracing, tests, simulations.
///
/// ```
/// use snapshot_core::{FrameKind, Frames, Graph, NodeId, Settings, SnapshotCoordinator};
/// let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
/// let peer = topology.peer(NodeId(2)).unwrap();
/// let mut node = SnapshotCoordinator::<&str, ()>::new(topology, Settings::default(), 1);
/// node.start(std::time::Duration::ZERO);
/// node.send(peer, "hello")?;
/// let mut frames = Frames::new();
/// node.take_outgoing(peer, &mut frames);
/// let kinds: Vec<_> = frames.iter().map(|frame| frame.kind().unwrap()).collect();
/// // The message waits until the neighbour has said how much it takes.
/// assert_eq!(kinds, [FrameKind::Hello, FrameKind::Flow]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FrameKind {
    /// A message of the application.
    Message,
    /// The marker of a snapshot: everything before it on this channel is in the cut.
    Marker(SnapshotId),
    /// The news of a generation.
    Hello,
    /// Says that a node's part of a snapshot is durable.
    Receipt(SnapshotId),
    /// Says how a snapshot ended: committed or aborted.
    Outcome(SnapshotId),
    /// Says how many messages may be outstanding on a channel, or asks for that.
    Flow,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_by_way_of_serde_but_not_of_generation_0() {
        type Numbers = de::value::SeqDeserializer<std::array::IntoIter<u64, 2>, de::value::Error>;
        let read = |numbers: [u64; 2]| Stamp::deserialize(Numbers::new(numbers.into_iter()));
        assert_eq!(read([1, 0]), Ok(Stamp::new(Generation(1), 0)));
        assert!(read([0, 5]).is_err());
    }

    #[test]
    fn a_stamp_is_shown_as_generation_and_number() {
        assert_eq!(format!("{:?}", Stamp::new(Generation(2), 7)), "g2#7");
    }
}
