//! What the transport brings: frames under F2 and F3, connections that come and go (F4).

use std::time::Duration;

use super::channel::{Arrival, Link};
use super::outbox::Kind;
use super::phase::{Phase, Why};
use super::{CaptureFn, SnapshotCoordinator};
use crate::format::control::Control;
use crate::format::envelope::LIMIT;
use crate::vocabulary::event::{Event, Violation};
use crate::vocabulary::frame::{Body, Frame, Stamp};
use crate::vocabulary::id::Peer;
use crate::vocabulary::inbox::{Inbox, Incoming};
use crate::vocabulary::malformed::Malformed;
use crate::vocabulary::outcome::AbortReason;
use crate::vocabulary::shape::LinkUse;

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// A frame has arrived. Markers and other control frames are acted on now, ahead of messages that have arrived but
    /// were not taken; messages wait for [`take_message`](Self::take_message).
    ///
    /// While the node is not running, frames are held, in order; the bound is what the driver had received by then, since
    /// [`wants_frames`](Self::wants_frames) says no.
    pub fn handle_frame(
        &mut self,
        now: Duration,
        from: Peer,
        frame: Frame<M>,
        capture: &mut CaptureFn<'_, C>,
    ) {
        match self.phase {
            Phase::Over => {}
            Phase::Leaving => self.accept_leaving(from, frame),
            Phase::Idle | Phase::Recovering(_) => self.recovery.held.push_back((from, frame)),
            Phase::Running => {
                let message = is_message(&frame);
                self.accept(now, from, frame, capture);
                // A message moves nothing else, unless its stamp says that something is lost or new.
                if !message || self.phase != Phase::Running {
                    self.advance(now, capture);
                }
            }
        }
    }

    /// Handles what a transport has brought first, a whole run of messages where that is what stands there; whether there was
    /// anything.
    ///
    /// ```
    /// use std::time::Duration;
    /// use snapshot_core::{Body, Capture, Frame, Frames, Graph, Inbox, NodeId, Settings, SnapshotCoordinator};
    ///
    /// let graph = Graph::mesh([NodeId(1), NodeId(2)]);
    /// let [mut one, mut two] = [1, 2].map(|id| {
    ///     let topology = graph.at(NodeId(id)).unwrap();
    ///     let mut node = SnapshotCoordinator::<&str, u64>::new(topology, Settings::default(), id);
    ///     node.start(Duration::ZERO);
    ///     node
    /// });
    /// let [from_one, to_two] = [graph.at(NodeId(2))?.peers().next().unwrap(), graph.at(NodeId(1))?.peers().next().unwrap()];
    /// let (mut frames, mut inbox) = (Frames::new(), Inbox::with_capacity(8));
    /// one.take_outgoing(to_two, &mut frames);
    /// inbox.append(from_one, &mut frames);
    /// while two.handle_incoming(Duration::ZERO, &mut inbox, &mut || Capture::new(0)) {}
    /// assert!(inbox.is_empty());
    /// # Ok::<(), snapshot_core::TopologyError>(())
    /// ```
    pub fn handle_incoming(
        &mut self,
        now: Duration,
        inbox: &mut Inbox<M>,
        capture: &mut CaptureFn<'_, C>,
    ) -> bool {
        if self.accept_run(inbox) {
            return true;
        }
        match inbox.pop() {
            Some(Incoming::Frame { from, frame }) => self.handle_frame(now, from, frame, capture),
            Some(Incoming::Up(peer)) => self.handle_up(now, peer),
            Some(Incoming::Lost { peer, why }) => self.handle_lost(now, peer, why, capture),
            Some(Incoming::Left(peer)) => self.handle_left(now, peer, capture),
            None => return false,
        }
        true
    }

    /// Takes over the run that stands first, where all of it is in order and nothing is to be done for any one of its messages: then
    /// it is the same as frame by frame.
    fn accept_run(&mut self, inbox: &mut Inbox<M>) -> bool {
        let Some((from, run)) = inbox.front_run() else { return false };
        let channel = &mut self.channels[from.index()];
        let is_usual = self.phase == Phase::Running
            && self.recordings.is_empty()
            && run.first().generation() == self.generation
            && channel.incoming == Some(LinkUse::Messages)
            && !channel.broken
            && channel.is_next(run, self.nonce);
        if !is_usual {
            return false;
        }
        let bytes = inbox.weigh(run.len(), |message| self.measure.weigh(message));
        if !channel.intake.arrive_all(run.len(), bytes, self.window) {
            return false;
        }
        channel.count(run);
        self.untaken.push_run(from, run.len(), inbox);
        true
    }

    /// A new connection to this neighbour stands (T7).
    pub fn handle_up(&mut self, _now: Duration, peer: Peer) {
        let channel = &mut self.channels[peer.index()];
        let was = channel.link;
        if !self.settings.durable && matches!(was, Link::Lost | Link::Left) {
            // What was lost with the old connection cannot be made good without a store: it stays lost.
            return;
        }
        channel.connected();
        if matches!(was, Link::Lost | Link::Left) {
            self.emit(Event::PeerBack { peer });
        }
        // A node that looks for a generation which is not there goes on in its own as if nothing had been; and one that leaves
        // would wait for grants of what was lost on its way, if nobody saw that.
        let lives = matches!(self.phase, Phase::Running | Phase::Recovering(Why::Newer) | Phase::Leaving);
        if self.settings.durable
            && (lives || self.has_announced())
            && self.channels[peer.index()].outgoing.is_some()
        {
            // Its number shows at once, and not only when the application next sends, whether frames were lost with an
            // older connection, or with an older process of the peer (F4).
            self.greet(peer);
        }
        if self.settings.durable && lives && !self.has_announced() {
            self.post_grant(peer);
        }
    }

    /// The connection to this neighbour is gone, and frames may have gone with it. By itself that opens no generation:
    /// survivors would notice one death at different times and open one each.
    pub fn handle_lost(&mut self, now: Duration, peer: Peer, why: String, capture: &mut CaptureFn<'_, C>) {
        if self.unlink(peer, Link::Lost) {
            self.emit(Event::PeerLost { peer, why });
        }
        self.advance(now, capture);
    }

    /// This neighbour said goodbye.
    pub fn handle_left(&mut self, now: Duration, peer: Peer, capture: &mut CaptureFn<'_, C>) {
        if self.unlink(peer, Link::Left) {
            self.emit(Event::PeerLeft { peer });
        }
        self.advance(now, capture);
    }

    fn unlink(&mut self, peer: Peer, link: Link) -> bool {
        let channel = &mut self.channels[peer.index()];
        let was = std::mem::replace(&mut channel.link, link);
        if !self.settings.durable {
            // Nothing that comes later can be trusted to follow what came before, and what waits would wait for ever.
            channel.broken = true;
            channel.outbox.reset();
            self.weigh_outbox();
        }
        self.give_up_for(peer);
        was != link
    }

    /// No snapshot can end that waits for this neighbour.
    pub(super) fn give_up_for(&mut self, peer: Peer) {
        let members = self.topology.members();
        let waiting =
            self.commits.tallies.iter().filter(|(id, tally)| {
                !self.is_committing(**id) && tally.missing(members).contains(&peer.id())
            });
        let mut doomed: Vec<_> = waiting.map(|(id, _)| *id).collect();
        doomed.extend(self.recordings.ids());
        for id in doomed {
            self.give_up(id, AbortReason::PeerLost { peer: peer.id() });
        }
    }

    /// A frame has come that will be handled behind others: of what it says will be dead by then, nothing is begun any more.
    /// So a node that comes late, or stood still for long, does not capture its state for snapshots that were given up
    /// meanwhile. Changes nothing else; a driver that has a batch tells of each of its frames first.
    pub fn foresee(&mut self, from: Peer, frame: &Frame<M>) {
        if let Body::Control(bytes) = &frame.body {
            self.foresee_control(from, frame.stamp, bytes);
        }
    }

    /// The same for all that waits in an inbox.
    pub fn foresee_all(&mut self, inbox: &Inbox<M>) {
        for (from, stamp, bytes) in inbox.controls() {
            self.foresee_control(from, stamp, bytes);
        }
    }

    fn foresee_control(&mut self, from: Peer, stamp: Stamp, bytes: &[u8]) {
        let is_ours = stamp.generation() == self.generation && stamp.is_of(self.nonce);
        if !is_ours || self.phase != Phase::Running || self.channels[from.index()].broken {
            return;
        }
        if let Ok(control @ Control::Aborted { snapshot, .. }) = Control::decode(bytes)
            && self.objection(&control).is_none()
            && !self.has_begun(snapshot)
        {
            self.forestall(snapshot);
        }
    }

    /// Handles a frame while running.
    pub(super) fn accept(
        &mut self,
        now: Duration,
        from: Peer,
        frame: Frame<M>,
        capture: &mut CaptureFn<'_, C>,
    ) {
        let channel = &mut self.channels[from.index()];
        if channel.incoming.is_none() {
            return self.violated(from, Violation::NoChannel);
        }
        let generation = frame.stamp.generation();
        if generation != self.generation && self.greets_unlike(from, &frame.body) {
            return;
        }
        let channel = &mut self.channels[from.index()];
        if generation < self.generation {
            // F2, F3a: drop it, and tell the sender once what is new.
            if self.settings.durable && channel.take_answer() {
                self.post_as(from, Control::Hello { nonce: self.nonce }.encode(), Kind::Unnumbered);
            }
            return;
        }
        if generation > self.generation {
            if !self.settings.durable {
                if !channel.estranged {
                    self.violated(from, Violation::UnknownGeneration { generation });
                }
            } else if greeting(&frame.body).is_some() {
                // F3: neither drop nor handle; it and all behind it wait for the rollback.
                self.recovery.held.push_back((from, frame));
                self.begin_recovery(now, Why::Newer);
            }
            // Each generation begins with a greeting on each channel, so what comes without one brings no news: it is left over,
            // or it will be missed when this node is there (F5).
            return;
        }
        if channel.broken {
            return;
        }
        match channel.arrive(frame.stamp, greeting(&frame.body), self.nonce) {
            Arrival::InOrder => match frame.body {
                Body::Message(message) => self.arrived(from, message),
                Body::Control(bytes) => match Control::decode(&bytes) {
                    Ok(control) => self.control(now, from, control, capture),
                    Err(error) => self.violated(from, unreadable(error)),
                },
            },
            Arrival::OutsideTheCount => self.outside_the_count(from, &frame.body),
            Arrival::Gap { expected } => self.gap(now, from, expected, frame.stamp.count()),
            Arrival::OtherHistory => self.of_another_history(from, &frame.body),
        }
    }

    /// Left over, as a rule, and costs nothing. But whoever greets so after this generation's greeting lives in that history,
    /// and one who cannot be understood is of another release.
    fn of_another_history(&mut self, from: Peer, body: &Body<M>) {
        let Body::Control(bytes) = body else { return };
        let is_heard = self.channels[from.index()].has_been_heard();
        match Control::decode(bytes) {
            Ok(Control::Hello { .. }) if self.greets_unlike(from, body) => {}
            Ok(Control::Hello { .. }) if !is_heard => self.greets_elsewhere(from),
            Ok(Control::Hello { .. }) => {
                self.violated(from, Violation::OtherHistory { generation: self.generation });
                self.cut(from, "it runs in another history of the store".to_owned());
            }
            Err(error) if !is_heard => self.violated(from, unreadable(error)),
            _ => {}
        }
    }

    fn arrived(&mut self, from: Peer, message: M) {
        if self.channels[from.index()].incoming == Some(LinkUse::ControlOnly) {
            return self.violated(from, Violation::MessageOnWayBack);
        }
        let bytes = self.measure.weigh(&message);
        if !self.channels[from.index()].intake.arrive(bytes, self.window) {
            self.violated(from, Violation::Window);
            return self.cut(from, "it sent more than it was allowed to".to_owned());
        }
        if !self.recordings.is_empty() {
            let copy = self.measure.copy;
            self.recordings.record(from, bytes, || copy(&message));
            self.bound_recordings();
        }
        self.untaken.push(from, message, bytes);
    }

    /// The only frame without a number is the answer to one of ours of an older generation (F3a).
    fn outside_the_count(&mut self, from: Peer, body: &Body<M>) {
        let Body::Control(bytes) = body else { return self.violated(from, Violation::Unnumbered) };
        match Control::decode(bytes) {
            // We have rolled back meanwhile.
            Ok(Control::Hello { .. }) => {}
            Ok(_) => self.violated(from, Violation::Unnumbered),
            Err(error) => self.violated(from, unreadable(error)),
        }
    }

    /// This generation has lost something. With a store that leads to the next one; without, the peer stays lost.
    fn gap(&mut self, now: Duration, from: Peer, expected: u64, number: u64) {
        tracing::warn!(me = %self.topology.me(), %from, expected, number, "frames are missing");
        self.channels[from.index()].broken = true;
        if self.settings.durable {
            self.begin_recovery(now, Why::Gap);
        } else if self.unlink(from, Link::Lost) {
            let why = "frames from it are missing, which cannot be made good without a store".to_owned();
            self.emit(Event::PeerLost { peer: from, why });
        }
    }

    /// A neighbour greets. Where the transport tells of no connections, it may be a new process whose predecessor took with it
    /// what this node had sent in this generation: a greeting that is not the first frame shows that (F2).
    fn greeted(&mut self, from: Peer) {
        let channel = &self.channels[from.index()];
        let is_first = channel.is_first();
        if is_first && channel.link == Link::Untold && self.settings.durable && channel.outgoing.is_some() {
            self.greet(from);
        }
    }

    fn control(&mut self, now: Duration, from: Peer, control: Control, capture: &mut CaptureFn<'_, C>) {
        if let Some(what) = self.objection(&control) {
            return self.violated(from, what);
        }
        match control {
            Control::Hello { .. } => self.greeted(from),
            Control::Grant { sender, receiver, grant } => self.granted(from, sender, receiver, grant),
            Control::Ask => self.asked(from),
            Control::Marker { snapshot } => self.marker(now, from, snapshot, capture),
            Control::Receipt(receipt) => self.receipt(now, receipt),
            Control::Committed { snapshot, index } => {
                self.broadcast(snapshot.initiator, &Control::Committed { snapshot, index });
                self.learn_commit(now, snapshot);
            }
            Control::Aborted { snapshot, by, reason } => {
                self.broadcast(by, &Control::Aborted { snapshot, by, reason: reason.clone() });
                self.aborted(snapshot, by, reason);
            }
        }
    }

    /// What a peer may not say, whatever the state of things.
    fn objection(&self, control: &Control) -> Option<Violation> {
        let (snapshot, named) = match control {
            Control::Hello { .. } | Control::Grant { .. } | Control::Ask => return None,
            Control::Marker { snapshot } | Control::Committed { snapshot, .. } => (snapshot, None),
            Control::Receipt(receipt) => (&receipt.snapshot, Some(receipt.member)),
            Control::Aborted { snapshot, by, .. } => (snapshot, Some(*by)),
        };
        if snapshot.generation != self.generation {
            return Some(Violation::OtherGeneration { snapshot: *snapshot });
        }
        if !(1..LIMIT).contains(&snapshot.sequence) {
            return Some(Violation::OutOfRange { snapshot: *snapshot });
        }
        if !self.is_member(snapshot.initiator) {
            return Some(Violation::UnknownInitiator { node: snapshot.initiator });
        }
        let node = named.filter(|node| !self.is_member(*node))?;
        Some(Violation::UnknownMember { node })
    }
}

/// Why a control frame cannot be taken.
fn unreadable(error: Malformed) -> Violation {
    Violation::Unreadable { error }
}

/// The nonce that a greeting brings.
pub(super) fn greeting<M>(body: &Body<M>) -> Option<u64> {
    match body {
        Body::Control(bytes) => Control::greeting(bytes),
        Body::Message(_) => None,
    }
}

fn is_message<M>(frame: &Frame<M>) -> bool {
    matches!(frame.body, Body::Message(_))
}
