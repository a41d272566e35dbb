//! What a transport hands to a node.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use crate::vocabulary::frame::{Body, Frame, Stamp};
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::Peer;
use crate::vocabulary::run::Run;

/// Where a transport puts what has arrived: a landing buffer with a bound.
///
/// ```
/// use snapshot_core::{Body, Frame, Generation, Graph, Inbox, NodeId, Stamp};
/// let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
/// let peer = topology.peer(NodeId(2)).unwrap();
/// let mut inbox = Inbox::with_capacity(2);
/// inbox.push(peer, Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message("hello") });
/// assert_eq!(inbox.room(), 1);
/// # Ok::<(), snapshot_core::TopologyError>(())
/// ```
pub struct Inbox<M> {
    items: VecDeque<Item>,
    /// Of all runs, one behind the other; with what each is known to weigh, in bytes. 0: nothing is known.
    messages: VecDeque<M>,
    weights: VecDeque<usize>,
    /// Items that are no messages.
    others: usize,
    capacity: usize,
}

enum Item {
    /// Not empty.
    Messages {
        from: Peer,
        run: Run,
    },
    Control {
        from: Peer,
        stamp: Stamp,
        bytes: Bytes,
    },
    Up(Peer),
    Lost {
        peer: Peer,
        why: String,
    },
    Left(Peer),
}

/// What a transport can say of a neighbour.
///
/// ```
/// use snapshot_core::{Graph, Inbox, Incoming, NodeId};
/// let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
/// let peer = topology.peer(NodeId(2)).unwrap();
/// let mut inbox = Inbox::<u64>::with_capacity(8);
/// inbox.up(peer);
/// inbox.lost(peer, "the cable was cut");
/// assert_eq!(inbox.pop(), Some(Incoming::Up(peer)));
/// assert!(matches!(inbox.pop(), Some(Incoming::Lost { why, .. }) if why.contains("cable")));
/// # Ok::<(), snapshot_core::TopologyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Incoming<M> {
    /// A frame has arrived.
    Frame {
        /// Who sent it.
        from: Peer,
        /// The frame.
        frame: Frame<M>,
    },
    /// A new connection to this neighbour stands.
    Up(Peer),
    /// The connection is gone; frames may have gone with it.
    Lost {
        /// The neighbour.
        peer: Peer,
        /// What the transport knows of it, for people.
        why: String,
    },
    /// The neighbour said goodbye and closed the connection.
    Left(Peer),
}

impl<M> Inbox<M> {
    /// An empty one that takes `capacity` items: each message is one.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            items: VecDeque::new(),
            messages: VecDeque::new(),
            weights: VecDeque::new(),
            others: 0,
            capacity,
        }
    }

    /// How many more items it takes. A transport that pushes more breaks clause T3, and the node ends with an error.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.len())
    }

    /// A frame has arrived.
    pub fn push(&mut self, from: Peer, frame: Frame<M>) {
        let Frame { stamp, body } = frame;
        match body {
            Body::Message(message) => self.push_weighed(from, stamp, message, 0),
            Body::Control(bytes) => self.other(Item::Control { from, stamp, bytes }),
        }
    }

    /// A message has arrived whose encoding is `bytes` long. A transport that has just decoded it knows that, and the node need not
    /// find it out again.
    #[inline]
    pub fn push_message(&mut self, from: Peer, stamp: Stamp, message: M, bytes: usize) {
        self.push_weighed(from, stamp, message, bytes.max(1));
    }

    /// Messages have arrived that follow each other, the first of them with this stamp and each other with a number that is `step` more:
    /// `read` adds them to the first row, and to the second how long the encoding of each is. Returns how many there are, and what
    /// `read` says. Of a row that has become longer than the other, the rest is dropped.
    ///
    /// ```
    /// use snapshot_core::{Body, Frame, Generation, Graph, Inbox, Incoming, NodeId, Stamp};
    /// let peer = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?.peers().next().unwrap();
    /// let stamp = |number| Stamp::new(Generation(1), number);
    /// let mut inbox = Inbox::with_capacity(8);
    /// let (count, ()) = inbox.push_run(peer, stamp(10), 2, |messages, lengths| {
    ///     messages.extend(["a", "bc"]);
    ///     lengths.extend([1, 2]);
    /// });
    /// assert_eq!(count, 2);
    /// inbox.pop();
    /// assert_eq!(inbox.pop(), Some(Incoming::Frame { from: peer, frame: Frame { stamp: stamp(12), body: Body::Message("bc") } }));
    /// # Ok::<(), snapshot_core::TopologyError>(())
    /// ```
    pub fn push_run<R>(
        &mut self,
        from: Peer,
        first: Stamp,
        step: u64,
        read: impl FnOnce(&mut VecDeque<M>, &mut VecDeque<usize>) -> R,
    ) -> (usize, R) {
        let before = self.messages.len();
        let result = read(&mut self.messages, &mut self.weights);
        let end = self.messages.len().min(self.weights.len()).max(before);
        self.messages.truncate(end);
        self.weights.truncate(end);
        let run = Run::new(first, step, end - before);
        if !run.is_empty() {
            self.items.push_back(Item::Messages { from, run });
        }
        (run.len(), result)
    }

    /// Frames have arrived: moves them here, in order, as many as there is room for.
    pub fn append(&mut self, from: Peer, frames: &mut Frames<M>) {
        while self.room() > 0 {
            let Some((run, messages)) = frames.take_run(self.room()) else {
                let Some(frame) = frames.pop_front() else { return };
                self.push(from, frame);
                continue;
            };
            self.messages.extend(messages);
            self.weights.resize(self.messages.len(), 0);
            self.items.push_back(Item::Messages { from, run });
        }
    }

    #[inline]
    fn push_weighed(&mut self, from: Peer, stamp: Stamp, message: M, weight: usize) {
        self.messages.push_back(message);
        self.weights.push_back(weight);
        if let Some(Item::Messages { from: before, run }) = self.items.back_mut()
            && *before == from
            && run.push(stamp)
        {
            return;
        }
        self.items.push_back(Item::Messages { from, run: Run::of(stamp) });
    }

    fn other(&mut self, item: Item) {
        self.items.push_back(item);
        self.others += 1;
    }

    /// A new connection to this neighbour stands (T7).
    pub fn up(&mut self, peer: Peer) {
        self.other(Item::Up(peer));
    }

    /// The connection to this neighbour is gone, and frames may have gone with it (T2).
    pub fn lost(&mut self, peer: Peer, why: impl Into<String>) {
        self.other(Item::Lost { peer, why: why.into() });
    }

    /// This neighbour said goodbye (T7).
    pub fn left(&mut self, peer: Peer) {
        self.other(Item::Left(peer));
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<Incoming<M>> {
        if let Item::Messages { from, run } = self.items.front_mut()? {
            let (from, stamp) = (*from, run.split_to(1).first());
            if run.is_empty() {
                self.items.pop_front();
            }
            self.weights.pop_front();
            let body = Body::Message(self.messages.pop_front()?);
            return Some(Incoming::Frame { from, frame: Frame { stamp, body } });
        }
        self.others -= 1;
        Some(match self.items.pop_front()? {
            Item::Control { from, stamp, bytes } => {
                Incoming::Frame { from, frame: Frame { stamp, body: Body::Control(bytes) } }
            }
            Item::Up(peer) => Incoming::Up(peer),
            Item::Lost { peer, why } => Incoming::Lost { peer, why },
            Item::Left(peer) => Incoming::Left(peer),
            Item::Messages { .. } => return None,
        })
    }

    /// The messages that come first, where they are one run.
    pub(crate) fn front_run(&self) -> Option<(Peer, Run)> {
        match self.items.front()? {
            Item::Messages { from, run } => Some((*from, *run)),
            _ => None,
        }
    }

    /// What the first `count` messages weigh, where what is not known is found out by `weigh`.
    pub(crate) fn weigh(&mut self, count: usize, weigh: impl Fn(&M) -> usize) -> usize {
        let (mut total, mut is_known) = (0_usize, true);
        for weight in self.weights.range(..count) {
            total = total.saturating_add(*weight);
            is_known &= *weight > 0;
        }
        if is_known {
            return total;
        }
        for (weight, message) in self.weights.range_mut(..count).zip(self.messages.range(..count)) {
            if *weight == 0 {
                *weight = weigh(message);
                total = total.saturating_add(*weight);
            }
        }
        total
    }

    /// Moves the messages that come first, a run, to the end of these rows.
    pub(crate) fn move_run(&mut self, messages: &mut VecDeque<M>, weights: &mut VecDeque<usize>) {
        let Some(Item::Messages { run, .. }) =
            self.items.pop_front_if(|item| matches!(item, Item::Messages { .. }))
        else {
            return;
        };
        if run.len() == self.messages.len() {
            messages.append(&mut self.messages);
            weights.append(&mut self.weights);
        } else {
            messages.extend(self.messages.drain(..run.len()));
            weights.extend(self.weights.drain(..run.len()));
        }
    }

    /// Looks at the control frames among them, oldest first.
    pub(crate) fn controls(&self) -> impl Iterator<Item = (Peer, Stamp, &Bytes)> {
        self.items.iter().filter_map(|item| match item {
            Item::Control { from, stamp, bytes } => Some((*from, *stamp, bytes)),
            _ => None,
        })
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.others + self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<M> fmt::Debug for Inbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::{Generation, NodeId};

    fn peers() -> [Peer; 2] {
        [Peer::new(0, NodeId(7)), Peer::new(1, NodeId(8))]
    }

    fn message(number: u64) -> Frame<u64> {
        Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(number) }
    }

    #[test]
    fn an_inbox_is_a_queue_of_all_that_comes() {
        let [one, two] = peers();
        let control = Frame { stamp: Stamp::new(Generation(1), 5), body: Body::Control(Bytes::new()) };
        let frame = |from, frame| Incoming::Frame { from, frame };
        let mut inbox = Inbox::with_capacity(8);
        assert!(inbox.is_empty());
        inbox.up(one);
        inbox.push(one, message(3));
        inbox.push(one, message(4));
        inbox.push(two, message(5));
        inbox.push(one, control.clone());
        inbox.lost(two, "torn");
        inbox.left(one);
        assert_eq!((inbox.len(), inbox.room(), inbox.is_empty()), (7, 1, false));
        let taken: Vec<_> = std::iter::from_fn(|| inbox.pop()).collect();
        let lost = Incoming::Lost { peer: two, why: "torn".to_owned() };
        let messages = [frame(one, message(3)), frame(one, message(4)), frame(two, message(5))];
        let rest = [frame(one, control), lost, Incoming::Left(one)];
        assert_eq!(taken, [&[Incoming::Up(one)], &messages[..], &rest[..]].concat());
        assert_eq!((inbox.len(), inbox.room(), inbox.is_empty()), (0, 8, true));
    }

    #[test]
    fn as_many_frames_move_in_as_there_is_room_for() {
        let [one, _] = peers();
        let mut frames = Frames::new();
        (1..=5).for_each(|number| frames.push_back(message(number)));
        let mut inbox = Inbox::with_capacity(4);
        inbox.up(one);
        inbox.append(one, &mut frames);
        assert_eq!((inbox.len(), frames.len()), (4, 2));
        inbox.pop();
        inbox.append(one, &mut frames);
        assert_eq!((inbox.len(), frames.len()), (4, 1));
        for number in 1..=4 {
            assert_eq!(inbox.pop(), Some(Incoming::Frame { from: one, frame: message(number) }));
        }
    }

    #[test]
    fn a_run_moves_as_one_with_what_its_messages_weigh() {
        let [one, two] = peers();
        let mut inbox = Inbox::with_capacity(8);
        inbox.push_message(one, Stamp::new(Generation(1), 1), 10, 100);
        inbox.push(one, message(2));
        inbox.push(two, message(3));
        assert_eq!(inbox.front_run(), Some((one, Run::new(Stamp::new(Generation(1), 1), 1, 2))));
        assert_eq!(inbox.weigh(2, |message| *message as usize), 102);
        let (mut messages, mut weights) = (VecDeque::new(), VecDeque::new());
        inbox.move_run(&mut messages, &mut weights);
        assert_eq!((inbox.len(), inbox.weigh(1, |_| 7)), (1, 7));
        inbox.move_run(&mut messages, &mut weights);
        assert_eq!((messages, weights), (VecDeque::from([10, 2, 3]), VecDeque::from([100, 2, 7])));
        assert!(inbox.front_run().is_none() && inbox.is_empty());
    }
}
