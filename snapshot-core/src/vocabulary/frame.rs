//! What crosses a channel.

use std::collections::VecDeque;
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

/// Frames on their way to one neighbour, in the order in which they must arrive.
///
/// ```
/// use snapshot_core::{Body, Frame, Frames, Generation, Stamp};
/// let mut frames = Frames::new();
/// frames.push_back(Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message(7) });
/// assert_eq!(frames.len(), 1);
/// assert_eq!(frames.pop_front().unwrap().body, Body::Message(7));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Frames<M> {
    queue: VecDeque<Frame<M>>,
}

impl<M> Frames<M> {
    /// None yet.
    pub const fn new() -> Self {
        Self { queue: VecDeque::new() }
    }

    /// Adds one at the back.
    pub fn push_back(&mut self, frame: Frame<M>) {
        self.queue.push_back(frame);
    }

    pub(crate) fn push_front(&mut self, frame: Frame<M>) {
        self.queue.push_front(frame);
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Frame<M>> {
        self.queue.iter_mut()
    }

    /// Takes the one at the front.
    pub fn pop_front(&mut self) -> Option<Frame<M>> {
        self.queue.pop_front()
    }

    /// Looks at the one at the front.
    pub fn front(&self) -> Option<&Frame<M>> {
        self.queue.front()
    }

    /// Looks at the one at the back.
    pub fn back(&self) -> Option<&Frame<M>> {
        self.queue.back()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Looks at them from front to back.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Frame<M>> {
        self.queue.iter()
    }

    /// Takes the first `count` of them, or all where there are fewer, and keeps the buffer.
    pub fn drain(&mut self, count: usize) -> impl ExactSizeIterator<Item = Frame<M>> {
        let count = count.min(self.queue.len());
        self.queue.drain(..count)
    }

    /// Drops all, and keeps the buffer.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.queue.truncate(len);
    }
}

impl<M> Default for Frames<M> {
    fn default() -> Self {
        Self::new()
    }
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

    #[test]
    fn frames_leave_in_the_order_in_which_they_came() {
        let frame = |number| Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(()) };
        let mut frames = Frames::new();
        (1..=3).for_each(|number| frames.push_back(frame(number)));
        assert_eq!((frames.front(), frames.back(), frames.len()), (Some(&frame(1)), Some(&frame(3)), 3));
        assert_eq!(frames.pop_front(), Some(frame(1)));
        frames.clear();
        assert_eq!((frames.pop_front(), frames.is_empty()), (None, true));
    }
}
