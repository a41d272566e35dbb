//! What waits to depart to one neighbour: two queues (W4). Control goes first, and waits for nothing; messages wait for the
//! window. Frames are numbered when they depart (F1).

use std::collections::VecDeque;

use bytes::Bytes;

use super::credit::Credit;
use crate::vocabulary::frame::{Body, Frame, Stamp};
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::{Generation, SnapshotId};
use crate::vocabulary::run::Run;

/// The order is that of [`Channel`](super::channel::Channel).
#[repr(C)]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Outbox<M> {
    control: Vec<Queued>,
    flight: Option<Flight>,
    messages: VecDeque<M>,
    bytes: usize,
    turn_mark: TurnMark,
    pub(super) credit: Credit,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Queued {
    bytes: Bytes,
    kind: Kind,
}

/// What a control frame that waits is, as far as it matters to the queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    /// A marker: of no use when its snapshot has ended here before it departs.
    Marker(SnapshotId),
    /// Any other.
    Other,
    /// An answer outside the count (F3a).
    Unnumbered,
}

/// Messages that the driver has taken and not yet reported as sent, and what they weigh.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Flight {
    messages: usize,
    bytes: usize,
}

/// Where the messages ended when the present turn first sent here, so that a turn that goes over the bound can be undone.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
struct TurnMark {
    turn: u64,
    messages: usize,
    bytes: usize,
}

impl TurnMark {
    fn depart(&mut self, messages: usize, bytes: usize) {
        let past = messages >= self.messages;
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = if past { 0 } else { self.bytes - bytes };
    }
}

impl<M> Outbox<M> {
    pub(super) fn new() -> Self {
        Self {
            control: Vec::new(),
            messages: VecDeque::new(),
            bytes: 0,
            turn_mark: TurnMark::default(),
            flight: None,
            credit: Credit::new(),
        }
    }

    pub(super) fn post(&mut self, bytes: Bytes, kind: Kind) {
        let queued = Queued { bytes, kind };
        if kind == Kind::Unnumbered {
            self.control.insert(0, queued);
        } else {
            self.control.push(queued);
        }
    }

    /// Queues a message of the present turn.
    #[inline]
    pub(super) fn post_message(&mut self, turn: u64, message: M, weight: usize) {
        if self.turn_mark.turn != turn {
            self.turn_mark = TurnMark { turn, messages: self.messages.len(), bytes: self.bytes };
        }
        self.bytes += weight;
        self.credit.queue(weight);
        self.messages.push_back(message);
    }

    /// Takes back all that the present turn has queued here. None of it has departed: nothing departs inside of a turn (W5).
    pub(super) fn undo(&mut self, turn: u64) {
        let TurnMark { turn: marked, messages, bytes } = self.turn_mark;
        if marked == turn && messages < self.messages.len() {
            self.credit.take_back(self.messages.len() - messages);
            self.messages.truncate(messages);
            self.bytes = bytes;
        }
    }

    /// The markers of a snapshot that have not departed are of no use any more.
    pub(super) fn forget_marker(&mut self, snapshot: SnapshotId) {
        self.control.retain(|queued| queued.kind != Kind::Marker(snapshot));
    }

    /// Moves what may depart into `into`, which must be empty, numbered from `next_number` on, and returns how many of that
    /// count; `None` if there is nothing, or a batch is under way.
    pub(super) fn take(
        &mut self,
        generation: Generation,
        nonce: u64,
        next_number: u64,
        into: &mut Frames<M>,
    ) -> Option<u64> {
        if !self.may_depart() || !into.is_empty() {
            return None;
        }
        let (messages, bytes) = match self.messages.len() {
            0 => (0, 0),
            queued => self.credit.departable(queued, self.bytes),
        };
        let mut number = next_number;
        // Control is rare, and channels may be many: the buffer that is freed here is the next one's, and still in the caches.
        for Queued { bytes, kind } in std::mem::take(&mut self.control) {
            let mut given = 0;
            if kind != Kind::Unnumbered {
                given = number;
                number += 1;
            }
            let stamp = Stamp::tagged(generation, given, nonce);
            into.push_back(Frame { stamp, body: Body::Control(bytes) });
        }
        let run = Run::new(Stamp::tagged(generation, number, nonce), Stamp::STEP, messages);
        // As a rule all of it goes, and only the buffers change hands; an idle channel has none.
        into.push_run(run, &mut self.messages);
        number += messages as u64;
        if messages > 0 {
            self.credit.depart(messages, bytes);
            self.bytes -= bytes;
            self.turn_mark.depart(messages, bytes);
        }
        self.flight = Some(Flight { messages, bytes });
        Some(number - next_number)
    }

    /// The flight has landed; returns the messages that it held, and their weight.
    pub(super) fn landed(&mut self) -> (usize, usize) {
        self.flight.take().map_or((0, 0), |flight| (flight.messages, flight.bytes))
    }

    /// Whether a batch can be taken now.
    pub(super) fn may_depart(&self) -> bool {
        self.flight.is_none() && (!self.control.is_empty() || self.credit.lets_one_go())
    }

    pub(super) fn is_sending(&self) -> bool {
        self.flight.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.messages.is_empty()
    }

    /// Whether one message waits, and no batch is under way.
    pub(super) fn has_just_one(&self) -> bool {
        self.messages.len() == 1 && self.flight.is_none()
    }

    /// How many control frames wait.
    pub(super) fn control(&self) -> usize {
        self.control.len()
    }

    /// The messages that have not departed, with their weights.
    pub(super) fn undeparted(&self) -> impl Iterator<Item = (&M, usize)> {
        self.messages.iter().zip(self.credit.queued())
    }

    /// Messages, and their weight, that are queued or under way.
    pub(super) fn load(&self) -> (usize, usize) {
        let (messages, bytes) = self.flight.map_or((0, 0), |flight| (flight.messages, flight.bytes));
        (messages + self.messages.len(), bytes + self.bytes)
    }

    /// A new generation: what has not departed is gone. A flight goes on; its frames are of an older generation and will be
    /// dropped by the receiver.
    pub(super) fn reset(&mut self) {
        self.control.clear();
        self.messages.clear();
        self.bytes = 0;
        self.turn_mark = TurnMark::default();
        self.credit.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::control::Grant;
    use crate::vocabulary::id::NodeId;

    const G: Generation = Generation(3);

    /// An outbox whose window has room for so many messages.
    fn outbox(messages: u64) -> Outbox<u8> {
        let mut outbox = Outbox::new();
        outbox.credit.granted(Grant { taken: 0, messages, bytes: 1000, whole: true });
        outbox
    }

    fn control(outbox: &mut Outbox<u8>, kind: Kind) {
        outbox.post(Bytes::from_static(b"c"), kind);
    }

    fn take(outbox: &mut Outbox<u8>, next_number: u64) -> Vec<(u64, Option<u8>)> {
        let mut frames = Frames::new();
        outbox.take(G, 7, next_number, &mut frames);
        let shown = frames.drain(usize::MAX).map(|frame| {
            assert_eq!(frame.stamp.generation(), G);
            let message = if let Body::Message(message) = frame.body { Some(message) } else { None };
            (frame.stamp.count(), message)
        });
        shown.collect()
    }

    #[test]
    fn f1_w4_control_goes_first_and_frames_are_numbered_when_they_depart() {
        let mut outbox = outbox(2);
        for message in 7..=9 {
            outbox.post_message(1, message, 1);
        }
        control(&mut outbox, Kind::Other);
        control(&mut outbox, Kind::Unnumbered);
        assert_eq!(take(&mut outbox, 5), [(0, None), (5, None), (6, Some(7)), (7, Some(8))]);
        assert_eq!(outbox.load(), (3, 3));
        assert_eq!(outbox.landed(), (2, 2));
        assert_eq!(take(&mut outbox, 8), [], "the window is used up");
        control(&mut outbox, Kind::Other);
        assert_eq!(take(&mut outbox, 8), [(8, None)], "control waits for none");
    }

    #[test]
    fn what_has_not_departed_is_told_in_order_and_with_its_weight() {
        let mut outbox = outbox(1);
        for (message, weight) in [(7, 1), (8, 20), (9, 300)] {
            outbox.post_message(1, message, weight);
        }
        assert_eq!(take(&mut outbox, 1), [(1, Some(7))]);
        assert_eq!(outbox.undeparted().collect::<Vec<_>>(), [(&8, 20), (&9, 300)]);
    }

    #[test]
    fn the_marker_of_a_snapshot_that_has_ended_leaves_the_queue_and_no_number_is_lost() {
        let id = |sequence| SnapshotId { generation: G, sequence, initiator: NodeId(1) };
        let mut outbox = outbox(1);
        control(&mut outbox, Kind::Marker(id(1)));
        control(&mut outbox, Kind::Marker(id(2)));
        control(&mut outbox, Kind::Other);
        outbox.forget_marker(id(1));
        assert_eq!(take(&mut outbox, 1), [(1, None), (2, None)]);
    }

    #[test]
    fn a_turn_that_is_undone_leaves_what_earlier_turns_sent() {
        let mut outbox = outbox(9);
        outbox.post_message(1, 7, 1);
        for message in 8..=11 {
            outbox.post_message(2, message, 1);
        }
        outbox.undo(1); // not the present turn
        assert_eq!(outbox.load(), (5, 5));
        outbox.undo(2);
        assert_eq!(outbox.load(), (1, 1));
        outbox.post_message(3, 9, 1);
        assert_eq!(take(&mut outbox, 1), [(1, Some(7)), (2, Some(9))]);
    }

    #[test]
    fn a_turn_that_is_undone_leaves_what_departed_meanwhile_and_what_waits_of_earlier_ones() {
        let mut outbox = outbox(2);
        for message in 1..=4 {
            outbox.post_message(1, message, 1);
        }
        outbox.post_message(2, 5, 1);
        assert_eq!(take(&mut outbox, 1).len(), 2);
        control(&mut outbox, Kind::Other);
        outbox.undo(2);
        assert_eq!(outbox.load(), (4, 4), "two are under way, two wait");
        assert_eq!(outbox.undeparted().count(), 2);
    }
}
