//! One neighbour: the frame numbers of both directions (F1, F2, F5), what waits for it, how much it may send, and whether there
//! is a connection.

use super::intake::Intake;
use super::outbox::Outbox;
use crate::vocabulary::frame::Stamp;
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::{Generation, Peer};
use crate::vocabulary::run::Run;
use crate::vocabulary::shape::LinkUse;

/// In this order, and not in one of the compiler's, so that a frame of control looks at two lines of the cache and not at five:
/// where channels are many, that is what a snapshot costs.
#[repr(C, align(64))]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Channel<M> {
    pub(super) peer: Peer,
    last_in: u64,
    next_out: u64,
    pub(super) outgoing: Option<LinkUse>,
    pub(super) incoming: Option<LinkUse>,
    pub(super) link: Link,
    /// A gap was found, the link is lost for good, or the peer broke the window: nothing more is handled from here in this
    /// generation.
    pub(super) broken: bool,
    /// A frame of an older generation was answered already, on this connection and in this generation (F3a).
    answered: bool,
    /// It lives in another history of the store, or has none (F6).
    pub(super) estranged: bool,
    pub(super) outbox: Outbox<M>,
    pub(super) intake: Intake,
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

/// What a frame of the present generation is to its channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    InOrder,
    OutsideTheCount,
    Gap {
        expected: u64,
    },
    /// It is of another generation of the same number, in another history of the store (F5).
    OtherHistory,
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
            estranged: false,
            last_in: 0,
            next_out: 1,
            outbox: Outbox::new(),
            intake: Intake::default(),
        }
    }

    /// Whether the application can send to this neighbour, and this is that neighbour.
    #[inline]
    pub(super) fn takes_messages_for(&self, peer: Peer) -> bool {
        self.peer == peer && self.outgoing == Some(LinkUse::Messages)
    }

    /// Whether an older frame from here should be answered now (F3a: once per connection and generation).
    pub(super) fn take_answer(&mut self) -> bool {
        self.outgoing.is_some() && !std::mem::replace(&mut self.answered, true)
    }

    pub(super) fn connected(&mut self) {
        self.link = Link::Up;
        self.answered = false;
    }

    /// Whether nothing can be expected of this neighbour.
    pub(super) fn is_cut(&self) -> bool {
        self.broken || self.estranged || matches!(self.link, Link::Lost | Link::Left)
    }

    /// Judges a frame of the present generation by its number (F2), and counts it if it is the next one. `greeting` is the
    /// nonce that it brings, if it is a `Hello`; `nonce` is that of the generation. Every frame has a part of it in its number,
    /// so that what is left over of another generation of this number is told from what is missing of this one; and the
    /// first one has all of it (F5).
    pub(super) fn arrive(&mut self, stamp: Stamp, greeting: Option<u64>, nonce: u64) -> Arrival {
        let expected = self.last_in + 1;
        if !stamp.is_of(nonce) || greeting.is_some_and(|found| found != nonce) {
            return Arrival::OtherHistory;
        }
        match stamp.count() {
            0 => Arrival::OutsideTheCount,
            count if count == expected => {
                self.last_in = count;
                self.estranged = false;
                Arrival::InOrder
            }
            _ => Arrival::Gap { expected },
        }
    }

    /// Whether a whole run of frames of the present generation is what comes next. What is not may be a gap, or of another
    /// history: that is found out frame by frame.
    pub(super) fn is_next(&self, run: Run, nonce: u64) -> bool {
        let has_no_gap = run.step() == Stamp::STEP || run.len() == 1;
        has_no_gap && run.first().is_of(nonce) && run.first().count() == self.last_in + 1
    }

    /// Counts frames that are next.
    pub(super) fn count(&mut self, run: Run) {
        self.last_in += run.len() as u64;
    }

    /// Whether what has arrived last is the first frame of the present generation.
    pub(super) fn is_first(&self) -> bool {
        self.last_in == 1
    }

    /// Whether anything of the present generation has arrived.
    pub(super) fn has_been_heard(&self) -> bool {
        self.last_in > 0
    }

    /// Moves what may depart into `into`, which must be empty; whether there was anything.
    pub(super) fn take(&mut self, generation: Generation, nonce: u64, into: &mut Frames<M>) -> bool {
        let counted = self.outbox.take(generation, nonce, self.next_out, into);
        self.next_out += counted.unwrap_or(0);
        counted.is_some()
    }

    /// Nothing more will be read at the other end, it seems: what waits is dropped, and a number left out, so that the
    /// neighbour finds a gap should it read on.
    pub(super) fn forsake(&mut self) {
        self.outbox.reset();
        self.next_out += 1;
    }

    /// A new generation: counters to nothing, unsent frames gone.
    pub(super) fn reset(&mut self) {
        self.broken = false;
        self.answered = false;
        self.estranged = false;
        self.last_in = 0;
        self.next_out = 1;
        self.outbox.reset();
        self.intake = Intake::default();
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
    const NONCE: u64 = 7;

    #[test]
    fn f2_a_gap_and_a_repeat_are_not_in_order() {
        let mut channel = channel();
        let mut arrive = |count| channel.arrive(Stamp::tagged(G, count, NONCE), None, NONCE);
        assert_eq!(arrive(1), Arrival::InOrder);
        assert_eq!(arrive(3), Arrival::Gap { expected: 2 });
        assert_eq!(arrive(1), Arrival::Gap { expected: 2 });
        assert_eq!(arrive(0), Arrival::OutsideTheCount);
        assert_eq!(arrive(2), Arrival::InOrder);
    }

    #[test]
    fn f5_what_is_left_over_of_another_history_is_neither_counted_nor_a_gap() {
        let mut channel = channel();
        let mut arrive = |count, of, greeting| channel.arrive(Stamp::tagged(G, count, of), greeting, NONCE);
        assert_eq!(arrive(1, 8, Some(8)), Arrival::OtherHistory);
        assert_eq!(arrive(57, 8, None), Arrival::OtherHistory);
        assert_eq!(arrive(0, 8, None), Arrival::OtherHistory);
        // The lower bits of two nonces may be the same; the greeting has all of them.
        let (twin, seen) = (NONCE | 1 << 40, Arrival::OtherHistory);
        assert_eq!(arrive(1, twin, Some(twin)), seen);
        assert_eq!(arrive(1, NONCE, Some(NONCE)), Arrival::InOrder);
        assert_eq!(arrive(2, 8, None), seen);
        assert_eq!(arrive(2, NONCE, None), Arrival::InOrder);
        assert_eq!(arrive(3, NONCE, Some(NONCE)), Arrival::InOrder, "the connection is new");
    }

    #[test]
    fn f5_who_has_missed_the_greeting_finds_a_gap() {
        let mut channel = channel();
        assert_eq!(channel.arrive(Stamp::tagged(G, 2, NONCE), None, NONCE), Arrival::Gap { expected: 1 });
        assert!(!channel.has_been_heard());
    }
}
