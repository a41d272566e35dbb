//! One neighbour: the frame numbers of both directions (F1, F2), the outbox, and whether there is a connection.

use bytes::Bytes;

use crate::vocabulary::frame::{Body, Frame, Frames, Stamp};
use crate::vocabulary::id::{Generation, Peer};
use crate::vocabulary::shape::LinkUse;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Channel<M> {
    pub(super) peer: Peer,
    pub(super) outgoing: Option<LinkUse>,
    pub(super) incoming: Option<LinkUse>,
    pub(super) link: Link,
    /// A gap was found, or the link is lost for good: nothing more is handled from here in this generation.
    pub(super) broken: bool,
    /// A frame of an older generation was answered already, on this connection and in this generation (F3a).
    answered: bool,
    last_in: u64,
    next_out: u64,
    outbox: Frames<M>,
    outbox_bytes: usize,
    flight: Option<Flight>,
    turn_mark: TurnMark,
}

/// What is known of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Link {
    /// The transport has said nothing; some have no connections.
    Untold,
    Up,
    Lost,
    Left,
}

/// The batch that the driver has taken and not yet reported as sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Flight {
    frames: usize,
    bytes: usize,
}

/// Where the outbox stood when the present turn first sent here, so that a turn that goes over the bound can be undone.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
struct TurnMark {
    turn: u64,
    len: usize,
    bytes: usize,
}

/// What a frame of the present generation is to its channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    InOrder,
    OutsideTheCount,
    Gap { expected: u64 },
}

impl<M> Channel<M> {
    pub(super) fn new(peer: Peer, outgoing: Option<LinkUse>, incoming: Option<LinkUse>) -> Self {
        Self {
            peer,
            outgoing,
            incoming,
            link: Link::Untold,
            broken: false,
            answered: false,
            last_in: 0,
            next_out: 1,
            outbox: Frames::new(),
            outbox_bytes: 0,
            flight: None,
            turn_mark: TurnMark::default(),
        }
    }

    /// Queues a numbered frame; the number is given here, not when it is sent (F1).
    pub(super) fn post(&mut self, generation: Generation, body: Body<M>, bytes: usize) {
        let stamp = Stamp::new(generation, self.next_out);
        self.next_out += 1;
        self.outbox_bytes += bytes;
        self.outbox.push_back(Frame { stamp, body });
    }

    /// Queues a message of the present turn.
    pub(super) fn post_message(&mut self, generation: Generation, turn: u64, message: M, bytes: usize) {
        if self.turn_mark.turn != turn {
            self.turn_mark = TurnMark { turn, len: self.outbox.len(), bytes: self.outbox_bytes };
        }
        self.post(generation, Body::Message(message), bytes);
    }

    /// Takes back all that the present turn has queued here.
    pub(super) fn undo(&mut self, turn: u64) {
        if self.turn_mark.turn == turn && self.turn_mark.len < self.outbox.len() {
            self.next_out -= (self.outbox.len() - self.turn_mark.len) as u64;
            self.outbox.truncate(self.turn_mark.len);
            self.outbox_bytes = self.turn_mark.bytes;
        }
    }

    /// Queues a control frame outside the count, ahead of all others.
    pub(super) fn post_unnumbered(&mut self, generation: Generation, control: Bytes) {
        self.outbox_bytes += control.len();
        // What the turn has queued moves back by one.
        self.turn_mark.len += 1;
        self.turn_mark.bytes += control.len();
        self.outbox.push_front(Frame { stamp: Stamp::new(generation, 0), body: Body::Control(control) });
    }

    /// Whether an older frame from here should be answered now (F3a: once per connection and generation).
    pub(super) fn take_answer(&mut self) -> bool {
        self.outgoing.is_some() && !std::mem::replace(&mut self.answered, true)
    }

    pub(super) fn connected(&mut self) {
        self.link = Link::Up;
        self.answered = false;
    }

    /// Judges the number of a frame of the present generation (F2), and counts it if it is the next one.
    pub(super) fn arrive(&mut self, stamp: Stamp) -> Arrival {
        match stamp.number() {
            0 => Arrival::OutsideTheCount,
            number if number == self.last_in + 1 => {
                self.last_in = number;
                Arrival::InOrder
            }
            _ => Arrival::Gap { expected: self.last_in + 1 },
        }
    }

    pub(super) fn take(&mut self, into: &mut Frames<M>) -> bool {
        if self.flight.is_some() || self.outbox.is_empty() || !into.is_empty() {
            return false;
        }
        self.flight = Some(Flight { frames: self.outbox.len(), bytes: self.outbox_bytes });
        self.outbox_bytes = 0;
        self.turn_mark = TurnMark { len: 0, bytes: 0, ..self.turn_mark };
        std::mem::swap(&mut self.outbox, into);
        true
    }

    /// The flight has landed; returns what it held.
    pub(super) fn landed(&mut self) -> (usize, usize) {
        self.flight.take().map_or((0, 0), |flight| (flight.frames, flight.bytes))
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(super) fn is_sending(&self) -> bool {
        self.flight.is_some()
    }

    /// Frames and bytes that are queued or under way.
    pub(super) fn load(&self) -> (usize, usize) {
        let (frames, bytes) = self.flight.as_ref().map_or((0, 0), |flight| (flight.frames, flight.bytes));
        (frames + self.outbox.len(), bytes + self.outbox_bytes)
    }

    /// A new generation: counters to nothing, unsent frames gone. A flight goes on; its frames are of an older generation
    /// and will be dropped by the receiver.
    pub(super) fn reset(&mut self) {
        self.broken = false;
        self.answered = false;
        self.last_in = 0;
        self.next_out = 1;
        self.outbox.clear();
        self.outbox_bytes = 0;
        self.turn_mark = TurnMark::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::NodeId;
    use crate::vocabulary::topology::Graph;

    fn channel() -> Channel<u8> {
        let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1)).unwrap();
        Channel::new(topology.peer(NodeId(2)).unwrap(), Some(LinkUse::Messages), Some(LinkUse::Messages))
    }

    const G: Generation = Generation(1);

    #[test]
    fn f1_frames_are_numbered_from_one_when_they_enter_the_outbox() {
        let mut channel = channel();
        channel.post_message(G, 1, 7, 1);
        channel.post(G, Body::Control(Bytes::new()), 0);
        let mut frames = Frames::new();
        assert!(channel.take(&mut frames));
        assert_eq!(frames.iter().map(|f| f.stamp.number()).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn f2_a_gap_and_a_repeat_are_not_in_order() {
        let mut channel = channel();
        assert_eq!(channel.arrive(Stamp::new(G, 1)), Arrival::InOrder);
        assert_eq!(channel.arrive(Stamp::new(G, 3)), Arrival::Gap { expected: 2 });
        assert_eq!(channel.arrive(Stamp::new(G, 1)), Arrival::Gap { expected: 2 });
        assert_eq!(channel.arrive(Stamp::new(G, 0)), Arrival::OutsideTheCount);
        assert_eq!(channel.arrive(Stamp::new(G, 2)), Arrival::InOrder);
    }

    #[test]
    fn a_turn_that_is_undone_leaves_what_earlier_turns_sent() {
        let mut channel = channel();
        channel.post_message(G, 1, 7, 1);
        for message in 8..=11 {
            channel.post_message(G, 2, message, 1);
        }
        channel.undo(1); // not the present turn
        assert_eq!(channel.load(), (5, 5));
        channel.undo(2);
        assert_eq!(channel.load(), (1, 1));
        channel.post_message(G, 3, 9, 1);
        assert_eq!(channel.outbox.back().map(|frame| frame.stamp.number()), Some(2), "numbers leave no gap");
    }

    #[test]
    fn a_turn_that_is_undone_leaves_what_was_put_before_it_meanwhile() {
        let mut channel = channel();
        channel.post_message(G, 1, 7, 1);
        channel.post_message(G, 2, 8, 1);
        channel.post_unnumbered(G, Bytes::from_static(b"news"));
        assert_eq!(channel.outbox.front().map(|frame| frame.stamp.number()), Some(0));
        channel.undo(2);
        assert_eq!(channel.load(), (2, 1 + 4));
    }

    #[test]
    fn a_turn_that_is_undone_leaves_the_batch_that_is_under_way() {
        let mut channel = channel();
        channel.post_message(G, 1, 7, 1);
        channel.post_message(G, 2, 8, 1);
        assert!(channel.take(&mut Frames::new()));
        channel.post_message(G, 2, 9, 1);
        channel.undo(2);
        assert_eq!(channel.load(), (2, 2));
        assert!(!channel.has_queued());
        assert_eq!(channel.landed(), (2, 2));
    }
}
