//! Bounds of queues: how much is on its way out, how much waits to be taken, when to receive.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;

use super::phase::Phase;
use super::{Channel, SnapshotCoordinator};
use crate::vocabulary::id::Peer;

/// Messages that have arrived and that the application has not taken, replayed ones first. One queue in the order of
/// arrival, which keeps the order of each channel.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Untaken<M> {
    queue: VecDeque<(Peer, M, usize)>,
    bytes: usize,
}

impl<M> Untaken<M> {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, from: Peer, message: M, bytes: usize) {
        self.bytes += bytes;
        self.queue.push_back((from, message, bytes));
    }

    pub(super) fn pop(&mut self) -> Option<(Peer, M)> {
        let (from, message, bytes) = self.queue.pop_front()?;
        self.bytes -= bytes;
        Some((from, message))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Peer, &M, usize)> {
        self.queue.iter().map(|(from, message, bytes)| (*from, message, *bytes))
    }
}

/// How messages are weighed and copied. Part of the configuration: two coordinators do not differ by it.
pub(super) struct Measure<M> {
    pub(super) weigh: fn(&M) -> usize,
    pub(super) copy: fn(&M) -> M,
}

/// Slices of [`Bytes`] up to this size are copied when they are recorded, so that they do not keep the whole buffer alive
/// from which they were cut.
const COPY_UP_TO: usize = 8 << 10;

impl<M: Clone + 'static> Default for Measure<M> {
    fn default() -> Self {
        // `Bytes` is known here so that its users need not say what is obvious.
        fn weigh<M: 'static>(message: &M) -> usize {
            match (message as &dyn Any).downcast_ref::<Bytes>() {
                Some(bytes) => size_of::<M>() + bytes.len(),
                None => size_of::<M>(),
            }
        }
        fn copy<M: Clone + 'static>(message: &M) -> M {
            let small =
                (message as &dyn Any).downcast_ref::<Bytes>().filter(|bytes| bytes.len() <= COPY_UP_TO);
            let owned = small.map(|bytes| Bytes::copy_from_slice(bytes));
            let owned = owned.as_ref().and_then(|bytes| (bytes as &dyn Any).downcast_ref::<M>());
            owned.unwrap_or(message).clone()
        }
        Self { weigh: weigh::<M>, copy: copy::<M> }
    }
}

impl<M> Clone for Measure<M> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<M> PartialEq for Measure<M> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<M> Eq for Measure<M> {}

impl<M> Hash for Measure<M> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<M> fmt::Debug for Measure<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measure")
    }
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// Counts afresh what is queued or under way, after something else than a frame coming or going.
    pub(super) fn weigh_outbox(&mut self) {
        let add = |(f, b), (frames, bytes)| (f + frames, b + bytes);
        self.load = self.channels.iter().map(Channel::load).fold((0, 0), add);
        let departing = self.channels.iter().filter(|channel| channel.has_queued() && !channel.is_sending());
        self.departing = departing.map(|channel| channel.peer.index()).collect();
    }

    /// Something is about to be queued for this neighbour.
    pub(super) fn note_departure(&mut self, peer: Peer) {
        let channel = &self.channels[peer.index()];
        if !channel.has_queued() && !channel.is_sending() {
            self.departing.insert(peer.index());
        }
    }

    /// The first neighbour for which a batch can be taken.
    pub(crate) fn departing(&self) -> Option<Peer> {
        self.departing.first().map(|index| self.channels[*index].peer)
    }

    /// Whether frames are queued or under way for this neighbour.
    pub(crate) fn is_busy(&self, peer: Peer) -> bool {
        let channel = &self.channels[peer.index()];
        channel.has_queued() || channel.is_sending()
    }

    /// How many frames are queued or under way, to all neighbours together.
    pub(crate) fn outgoing(&self) -> usize {
        self.load.0
    }

    /// Whether there is room for what the transport may have. While a snapshot records, the node reads ahead, so that the
    /// snapshot depends on the links and not on how fast the application takes messages; while it rolls back, it reads
    /// nothing (F3). Nor at the hard bound of the outbox, since frames that are passed on or answered fill it too.
    pub fn wants_frames(&self) -> bool {
        let bound = self.settings.inbox;
        let (messages, bytes) = (self.untaken.queue.len(), self.untaken.bytes);
        self.phase == Phase::Running
            && !self.settings.outbox_hard.is_reached(self.load.0, self.load.1)
            && (!bound.is_reached(messages, bytes)
                || !self.recordings.is_empty()
                    && bytes < bound.bytes.saturating_add(self.settings.max_recorded_bytes))
    }

    /// Over the high mark and unable to receive: only the neighbours can move anything.
    pub(super) fn is_stuck(&self) -> bool {
        let (frames, bytes) = self.load;
        self.phase == Phase::Running
            && self.settings.outbox_high.is_reached(frames, bytes)
            && !self.wants_frames()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::settings::{Bound, Settings};
    use crate::vocabulary::frame::Frames;
    use crate::vocabulary::id::NodeId;
    use crate::vocabulary::topology::Graph;

    #[test]
    fn a_small_slice_is_copied_when_recorded_and_a_large_one_shared() {
        let measure = Measure::<Bytes>::default();
        let buffer = Bytes::from(vec![7; 64 << 10]);
        let (small, large) = (buffer.slice(..16), buffer.slice(..32 << 10));
        assert_ne!((measure.copy)(&small).as_ptr(), small.as_ptr());
        assert_eq!((measure.copy)(&large).as_ptr(), large.as_ptr());
        assert_eq!((measure.copy)(&small), small);
        assert_eq!((measure.weigh)(&small), 16 + size_of::<Bytes>());
        assert_eq!((Measure::<u64>::default().weigh)(&1), 8);
    }

    #[test]
    fn a_neighbour_is_departing_just_while_a_batch_can_be_taken_for_it() {
        let topology = Graph::star([1, 2, 3].map(NodeId)).at(NodeId(1)).unwrap();
        let [two, three] = [2, 3].map(|id| topology.peer(NodeId(id)).unwrap());
        let settings = Settings { outbox_hard: Bound::new(6, 1 << 20), ..Settings::default() };
        let mut node = SnapshotCoordinator::<u64, ()>::new(topology, settings, 1);
        let now = Duration::ZERO;
        let mut frames = Frames::new();
        let holds = |node: &SnapshotCoordinator<u64, ()>, expected: &[Peer]| {
            let departing: Vec<Peer> =
                node.departing.iter().map(|index| node.channels[*index].peer).collect();
            assert_eq!(departing, expected);
            assert_eq!(node.departing(), expected.first().copied());
            for peer in [two, three] {
                assert_eq!(node.has_outgoing(peer), expected.contains(&peer), "{peer}");
            }
        };
        holds(&node, &[]);
        node.start(now);
        holds(&node, &[two, three]);
        assert!(node.take_outgoing(two, &mut frames));
        holds(&node, &[three]);
        node.send(two, 7).unwrap();
        holds(&node, &[three]);
        assert!(!node.take_outgoing(two, &mut Frames::new()), "one batch is under way");
        node.handle_sent(now, two);
        holds(&node, &[two, three]);
        for peer in [three, two] {
            frames.clear();
            assert!(node.take_outgoing(peer, &mut frames));
            node.handle_sent(now, peer);
        }
        holds(&node, &[]);
        node.end_turn().unwrap();
        while node.send(three, 8).is_ok() {}
        holds(&node, &[three]);
        assert!(node.end_turn().is_err(), "the turn is over the bound, and taken back");
        holds(&node, &[]);
        assert!(!node.is_busy(two) && !node.is_busy(three));
    }
}
