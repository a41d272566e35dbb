//! Flow: what may depart, windows and grants, room for more.

use std::any::{Any, TypeId};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use super::SnapshotCoordinator;
use super::credit::Granted;
use super::outbox::Kind;
use super::phase::Phase;
use crate::format::control::{Control, Grant};
use crate::protocol::settings::Bound;
use crate::vocabulary::event::{Event, Violation};
use crate::vocabulary::id::{NodeId, Peer};
use crate::vocabulary::shape::LinkUse;

/// How messages are weighed and copied. Part of the configuration: two coordinators do not differ by it.
pub(super) struct Measure<M> {
    weigh: Weigh<M>,
    pub(super) copy: fn(&M) -> M,
}

enum Weigh<M> {
    /// They own nothing beyond themselves.
    Flat,
    By(Arc<dyn Fn(&M) -> usize + Send + Sync>),
}

impl<M> Measure<M> {
    /// What a message weighs, in bytes: one at least.
    pub(super) fn weigh(&self, message: &M) -> usize {
        match &self.weigh {
            Weigh::Flat => size_of::<M>().max(1),
            Weigh::By(weigh) => weigh(message).max(1),
        }
    }

    pub(super) fn weigh_by(&mut self, weigh: impl Fn(&M) -> usize + Send + Sync + 'static) {
        self.weigh = Weigh::By(Arc::new(weigh));
    }
}

/// Slices of [`Bytes`] up to this size are copied when they are recorded, so that they do not keep the whole buffer alive
/// from which they were cut.
const COPY_UP_TO: usize = 8 << 10;

impl<M: Clone + 'static> Default for Measure<M> {
    fn default() -> Self {
        fn copy<M: Clone + 'static>(message: &M) -> M {
            let small =
                (message as &dyn Any).downcast_ref::<Bytes>().filter(|bytes| bytes.len() <= COPY_UP_TO);
            let owned = small.map(|bytes| Bytes::copy_from_slice(bytes));
            let owned = owned.as_ref().and_then(|bytes| (bytes as &dyn Any).downcast_ref::<M>());
            owned.unwrap_or(message).clone()
        }
        // `Bytes` is known here so that its users need not say what is obvious.
        let mut measure = Self { weigh: Weigh::Flat, copy: copy::<M> };
        if TypeId::of::<M>() == TypeId::of::<Bytes>() {
            measure.weigh_by(|message: &M| {
                let bytes = (message as &dyn Any).downcast_ref::<Bytes>();
                size_of::<M>() + bytes.map_or(0, Bytes::len)
            });
        }
        measure
    }
}

impl<M> Clone for Measure<M> {
    fn clone(&self) -> Self {
        let weigh = match &self.weigh {
            Weigh::Flat => Weigh::Flat,
            Weigh::By(weigh) => Weigh::By(Arc::clone(weigh)),
        };
        Self { weigh, copy: self.copy }
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
    // ---- what departs -----------------------------------------------------------------------------------------------

    /// Counts afresh what is queued or under way, after something else than a frame coming or going.
    pub(super) fn weigh_outbox(&mut self) {
        let add = |(m, b), (messages, bytes)| (m + messages, b + bytes);
        self.load = self.channels.iter().map(|channel| channel.outbox.load()).fold((0, 0), add);
        let departing = self.channels.iter().filter(|channel| channel.outbox.may_depart());
        self.departing.set(departing.map(|channel| channel.peer.index()));
    }

    /// What waits for a neighbour, or what may depart to it, has changed: it may go on now, or must be asked to let it (W2).
    pub(super) fn review(&mut self, peer: Peer) {
        let channel = &mut self.channels[peer.index()];
        if channel.outbox.credit.wants_to_ask() && !channel.is_cut() {
            channel.outbox.credit.asks();
            channel.outbox.post(Control::Ask.encode(), Kind::Other);
        }
        if channel.outbox.may_depart() {
            self.departing.insert(peer.index());
        } else {
            self.departing.remove(peer.index());
        }
    }

    /// Whether anything is queued or under way for this neighbour that may still go.
    pub(crate) fn is_busy(&self, peer: Peer) -> bool {
        let channel = &self.channels[peer.index()];
        !channel.broken && (!channel.outbox.is_empty() || channel.outbox.is_sending())
    }

    /// How many messages are queued or under way, to all neighbours together.
    pub(crate) fn outgoing(&self) -> usize {
        self.load.0
    }

    /// Whether anything can depart now.
    pub(crate) fn has_departing(&self) -> bool {
        !self.departing.is_empty()
    }

    /// Whether messages have arrived that are not taken.
    pub(crate) fn has_untaken(&self) -> bool {
        !self.untaken.is_empty()
    }

    /// The neighbours for which messages are queued or under way, and how many.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = (NodeId, usize)> {
        self.channels.iter().map(|c| (c.peer.id(), c.outbox.load().0)).filter(|(_, messages)| *messages > 0)
    }

    /// The most control frames that wait for one neighbour. One that reads none for so long is as good as lost.
    const MAX_CONTROL: usize = 65_536;

    /// Queues a control frame, unless there are too many already: then the channel is broken at this end (W11). A number is
    /// left out, so that the neighbour finds out if it ever reads on.
    pub(super) fn post_as(&mut self, to: Peer, control: Bytes, kind: Kind) {
        let channel = &mut self.channels[to.index()];
        if channel.outbox.control() >= Self::MAX_CONTROL {
            channel.forsake();
            channel.outbox.post(Control::Hello { nonce: self.speaks.1 }.encode(), Kind::Other);
            self.weigh_outbox();
            self.cut(to, format!("it has read none of {} control frames", Self::MAX_CONTROL));
            return;
        }
        channel.outbox.post(control, kind);
        if !channel.outbox.is_sending() {
            self.departing.insert(to.index());
        }
    }

    /// This neighbour has broken the rules of a channel, or will not hear of anything any more: it counts as lost for the rest
    /// of this generation. No generation is opened: it would do the same in the next one (W11).
    pub(super) fn cut(&mut self, peer: Peer, why: String) {
        let news = !self.channels[peer.index()].is_cut();
        self.channels[peer.index()].broken = true;
        self.give_up_for(peer);
        if news {
            self.emit(Event::PeerLost { peer, why });
        }
    }

    // ---- windows ----------------------------------------------------------------------------------------------------

    /// The receiver's first word in a generation, without which nothing departs (W3).
    pub(super) fn post_grants(&mut self) {
        for peer in self.topology.clone().incoming() {
            self.post_grant(peer);
        }
    }

    /// Tells the sender of a channel to this node what it may send. By another way where there is no link back: then the
    /// grant is passed on, behind the markers that were posted before it on every hop.
    pub(super) fn post_grant(&mut self, from: Peer) {
        let channel = &mut self.channels[from.index()];
        if channel.incoming != Some(LinkUse::Messages) {
            return;
        }
        let grant = channel.intake.grant(self.window);
        let control = Control::Grant { sender: from.id(), receiver: self.topology.me(), grant };
        if let Some(hop) = self.topology.next_hop(from.id()) {
            self.post(hop, &control);
        }
    }

    pub(super) fn post_grant_if_due(&mut self, from: Peer) {
        if self.channels[from.index()].intake.is_grant_due(self.window) {
            self.post_grant(from);
        }
    }

    /// A grant has come: for a channel of this node, or to be passed on.
    pub(super) fn granted(&mut self, from: Peer, sender: NodeId, receiver: NodeId, grant: Grant) {
        let me = self.topology.me();
        if self.topology.link_use(sender, receiver) != Some(LinkUse::Messages) {
            return self.violated(from, Violation::NoChannel);
        }
        if sender != me {
            if let Some(hop) = self.topology.next_hop(sender) {
                self.post(hop, &Control::Grant { sender, receiver, grant });
            }
            return;
        }
        let Some(peer) = self.topology.peer(receiver) else { return };
        let channel = &mut self.channels[peer.index()];
        if channel.broken {
            return;
        }
        match channel.outbox.credit.granted(grant) {
            Granted::News => self.review(peer),
            Granted::Old => {}
            Granted::TooMuch => self.violated(from, Violation::Grant { receiver }),
        }
    }

    /// The sender of a channel to this node is held up.
    pub(super) fn asked(&mut self, from: Peer) {
        if self.channels[from.index()].incoming != Some(LinkUse::Messages) {
            return self.violated(from, Violation::NoChannel);
        }
        self.channels[from.index()].intake.ask();
        self.post_grant_if_due(from);
    }

    // ---- room -------------------------------------------------------------------------------------------------------

    /// Whether there is room for what the transport may have: always while the node runs, whatever the application does (W1).
    /// How much can come is bounded by what was granted. While the node rolls back, it reads nothing (F3).
    pub fn wants_frames(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Leaving)
    }

    /// Whether new work is welcome: the node runs, the outbox is under its low mark, and not too much is uncommitted.
    pub fn has_room(&self) -> bool {
        let (messages, bytes) = self.load;
        self.phase == Phase::Running
            && !self.uncommitted.too_much
            && !self.settings.outbox_low.is_reached(messages, bytes)
    }

    /// Whether new work that sends to this neighbour is welcome: what waits for it is under its share of the low mark. So one
    /// neighbour that is slow does not take up the room for all others. Every neighbour has an equal share, and 64 messages
    /// and 64 KiB at least where the low mark is not below that.
    pub fn has_room_for(&self, to: Peer) -> bool {
        let (messages, bytes) = self.channels[to.index()].outbox.load();
        self.phase == Phase::Running && !self.uncommitted.too_much && !self.share.is_reached(messages, bytes)
    }

    /// Whether the outbox is over its high mark, so that messages are not handed out but one by one (W8).
    pub(super) fn is_over_high_mark(&self) -> bool {
        let (messages, bytes) = self.load;
        self.phase == Phase::Running && self.settings.outbox_high.is_reached(messages, bytes)
    }

    /// Whether one more message may be handed out over the high mark: beyond half of the hard bound, none.
    pub(super) fn may_hand_out_one_more(&self) -> bool {
        let (messages, bytes) = self.load;
        let Bound { frames: most, bytes: most_bytes } = self.settings.outbox_hard;
        !self.untaken.is_empty() && !self.extra && messages < most / 2 && bytes < most_bytes / 2
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::coordinator::random::SplitMix;
    use crate::protocol::coordinator::recording::Capture;
    use crate::protocol::settings::{Bound, Settings};
    use crate::vocabulary::frame::{Body, Frame, Stamp};
    use crate::vocabulary::frames::Frames;
    use crate::vocabulary::id::{NodeId, SnapshotId};
    use crate::vocabulary::outcome::AbortReason;
    use crate::vocabulary::topology::Graph;

    #[test]
    fn a_small_slice_is_copied_when_recorded_and_a_large_one_shared() {
        let measure = Measure::<Bytes>::default();
        let buffer = Bytes::from(vec![7; 64 << 10]);
        let (small, large) = (buffer.slice(..16), buffer.slice(..32 << 10));
        assert_ne!((measure.copy)(&small).as_ptr(), small.as_ptr());
        assert_eq!((measure.copy)(&large).as_ptr(), large.as_ptr());
        assert_eq!((measure.copy)(&small), small);
        assert_eq!(measure.weigh(&small), 16 + size_of::<Bytes>());
        assert_eq!(Measure::<u64>::default().weigh(&1), 8);
    }

    #[test]
    fn a_neighbour_is_departing_just_while_a_batch_can_be_taken_for_it() {
        let topology = Graph::star([1, 2, 3].map(NodeId)).at(NodeId(1)).unwrap();
        let [two, three] = [2, 3].map(|id| topology.peer(NodeId(id)).unwrap());
        let settings = Settings { outbox_hard: Bound::new(6, 1 << 20), ..Settings::default() };
        let mut node = SnapshotCoordinator::<u64, ()>::new(topology, settings, 1);
        let now = Duration::ZERO;
        let holds = |node: &SnapshotCoordinator<u64, ()>, expected: &[Peer]| {
            assert_eq!(node.departing(), expected.first().copied());
            for peer in [two, three] {
                assert_eq!(node.has_outgoing(peer), expected.contains(&peer), "{peer}");
            }
        };
        let grant = |node: &mut SnapshotCoordinator<u64, ()>, from: Peer, taken, messages| {
            let grant = Grant { taken, messages, bytes: 1 << 20, whole: true };
            node.granted(from, NodeId(1), from.id(), grant);
        };
        let take = |node: &mut SnapshotCoordinator<u64, ()>, from: Peer| {
            let mut frames = Frames::new();
            assert!(node.take_outgoing(from, &mut frames));
            frames.len()
        };
        holds(&node, &[]);
        node.start(now);
        holds(&node, &[two, three]);
        assert_eq!(take(&mut node, two), 2);
        holds(&node, &[three]);
        node.send(two, 7).unwrap();
        holds(&node, &[three]);
        assert!(!node.take_outgoing(two, &mut Frames::new()), "one batch is under way");
        grant(&mut node, two, 0, 2);
        holds(&node, &[three]);
        node.handle_sent(now, two);
        holds(&node, &[two, three]);
        for peer in [three, two] {
            take(&mut node, peer);
            node.handle_sent(now, peer);
        }
        holds(&node, &[]);
        node.send(three, 7).unwrap();
        holds(&node, &[]);
        assert!(node.is_busy(three), "it waits for the first grant");
        grant(&mut node, three, 0, 1);
        holds(&node, &[three]);
        node.end_turn().unwrap();

        // Of these one fits.
        (0..3).for_each(|message| node.send(two, message).unwrap());
        holds(&node, &[two, three]);
        assert_eq!(take(&mut node, two), 1);
        node.handle_sent(now, two);
        holds(&node, &[three]);
        grant(&mut node, two, 1, 2);
        holds(&node, &[two, three]);
        take(&mut node, two);
        node.handle_sent(now, two);
        grant(&mut node, two, 3, 2);
        holds(&node, &[two, three]);
        take(&mut node, two);
        take(&mut node, three);
        [two, three].iter().for_each(|peer| node.handle_sent(now, *peer));
        holds(&node, &[]);
        node.end_turn().unwrap();

        while node.send(two, 8).is_ok() {}
        holds(&node, &[two]);
        assert!(node.end_turn().is_err(), "the turn is over the bound, and taken back");
        holds(&node, &[]);
        assert!(!node.is_busy(two) && !node.is_busy(three));
    }

    #[test]
    fn nobody_is_departing_for_whom_a_marker_was_all_there_was_and_it_is_forgotten() {
        // Two greets in the middle of a line, then says a marker and its end in one batch: what is queued for it is the marker
        // back, which is of no use any more.
        let topology = Graph::star([1, 2, 3].map(NodeId)).at(NodeId(1)).unwrap();
        let [two, three] = [2, 3].map(|id| topology.peer(NodeId(id)).unwrap());
        let mut node = SnapshotCoordinator::<u64, ()>::new(topology, Settings::default(), 1);
        let now = Duration::ZERO;
        node.start(now);
        for peer in [two, three] {
            assert!(node.take_outgoing(peer, &mut Frames::new()));
            node.handle_sent(now, peer);
        }
        let snapshot = SnapshotId { generation: node.generation, sequence: 1, initiator: two.id() };
        let end = Control::Aborted { snapshot, by: two.id(), reason: AbortReason::Requested };
        let said = [Control::Hello { nonce: node.nonce }, Control::Marker { snapshot }, end];
        for (number, control) in (1..).zip(said) {
            let stamp = Stamp::new(node.generation, number << 16 | node.nonce & 0xffff);
            let frame = Frame { stamp, body: Body::Control(control.encode()) };
            node.handle_frame(now, two, frame, &mut || Capture::new(()));
        }
        assert!(!node.has_outgoing(two));
        assert!(node.has_outgoing(three), "it hears of the end");
        assert_eq!(node.departing(), Some(three));
        assert!(node.take_outgoing(three, &mut Frames::new()));
        assert_eq!(node.departing(), None);
    }

    /// One random input of those that can change what may depart. Those that the rules leave to the driver keep to them.
    fn disturb(node: &mut SnapshotCoordinator<u64, ()>, random: &mut SplitMix, departed: &mut [u64; 2]) {
        let now = Duration::ZERO;
        let index = (random.draw() % 2) as usize;
        let peer = node.topology.peers().nth(index).unwrap();
        let mut capture = || Capture::new(());
        match random.draw() % 12 {
            0..4 if !node.channels[index].is_cut() => {
                node.send(peer, random.draw()).unwrap();
                node.end_turn().unwrap();
            }
            4 | 5 => {
                let mut frames = Frames::new();
                node.take_outgoing(peer, &mut frames);
                let messages = frames.iter().filter(|frame| matches!(frame.body, Body::Message(_)));
                departed[index] += messages.count() as u64;
            }
            6 | 7 => node.handle_sent(now, peer),
            8 | 9 => {
                let (taken, messages) = (random.draw() % (departed[index] + 1), random.draw() % 4);
                let grant = Grant { taken, messages, bytes: 20, whole: messages == 3 };
                node.granted(peer, NodeId(1), peer.id(), grant);
            }
            10 => {
                let begun = node.initiate(now, &mut capture);
                let _ = begun.map(|id| random.draw().is_multiple_of(2) && node.abort(id));
            }
            11 if random.draw().is_multiple_of(4) => {
                let (sequence, initiator) = (node.largest + 1, peer.id());
                let snapshot = SnapshotId { generation: node.generation, sequence, initiator };
                node.marker(now, peer, snapshot, &mut capture);
                node.aborted(snapshot, initiator, AbortReason::Requested);
            }
            _ if random.draw().is_multiple_of(40) => {
                node.handle_lost(now, peer, String::new(), &mut capture);
            }
            _ => {}
        }
    }

    #[test]
    fn whatever_happens_those_are_departing_for_whom_there_is_a_batch_and_the_load_is_what_waits() {
        for seed in 0..200 {
            let mut random = SplitMix(seed);
            let topology = Graph::star([1, 2, 3].map(NodeId)).at(NodeId(1)).unwrap();
            let mut node = SnapshotCoordinator::<u64, ()>::new(topology, Settings::default(), seed)
                .with_weight(|message| (*message % 30) as usize);
            node.start(Duration::ZERO);
            let mut departed = [0; 2];
            for step in 0..400 {
                disturb(&mut node, &mut random, &mut departed);
                while node.poll_output().is_some() {}
                let (departing, load) = (node.departing.clone(), node.load);
                node.weigh_outbox();
                assert_eq!(
                    (departing, load),
                    (node.departing.clone(), node.load),
                    "seed {seed}, step {step}"
                );
            }
        }
    }
}
