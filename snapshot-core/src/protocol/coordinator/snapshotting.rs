//! A snapshot from its first marker to its end: recording, part, receipt, outcome.

use std::time::Duration;

use super::commit::Writing;
use super::leftovers::MAX_LEFTOVERS;
use super::outbox::Kind;
use super::output::{Output, StoreRequest};
use super::recording::Closed;
use super::{CaptureFn, MAX_FORESTALLED, SnapshotCoordinator};
use crate::format::control::{Control, Receipt};
use crate::vocabulary::event::{Event, Violation};
use crate::vocabulary::id::{NodeId, Peer, SnapshotId};
use crate::vocabulary::outcome::{AbortReason, PartReport};
use crate::vocabulary::part::PartRef;

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// Why a snapshot cannot begin here now.
    pub(super) fn refusal(&self) -> Option<AbortReason> {
        if let Some(peer) = self.lost_peer() {
            return Some(AbortReason::PeerLost { peer });
        }
        let is_behind = self.commits.writing.values().any(|writing| writing.given_up);
        if is_behind || self.leftovers.count() >= MAX_LEFTOVERS {
            return Some(AbortReason::StoreBehind);
        }
        let running = self.recordings.len() + self.commits.writing.len();
        (running >= self.settings.max_running).then_some(AbortReason::TooMany)
    }

    /// Records the own state and sends a marker on every outgoing channel, the one back to the sender of the first marker
    /// included (Chandy & Lamport 1985, §3.2, marker-sending rule). Nothing can come between the two. What has been sent and has
    /// not departed, the marker will overtake: it is recorded here, in the same step (W6).
    pub(super) fn begin(
        &mut self,
        now: Duration,
        id: SnapshotId,
        brought_by: Option<Peer>,
        capture: &mut CaptureFn<'_, C>,
    ) {
        let captured = capture();
        self.note_begun(id);
        self.schedule.captured(now);
        self.recordings.begin(id, &self.topology, captured, self.ended, now, brought_by);
        for (from, message, bytes) in self.untaken.iter() {
            self.recordings.add_untaken(id, from, (self.measure.copy)(message), bytes);
        }
        for channel in &self.channels {
            for (message, bytes) in channel.outbox.undeparted() {
                self.recordings.add_undeparted(id, channel.peer, (self.measure.copy)(message), bytes);
            }
        }
        self.changed();
        self.emit(Event::SnapshotBegun { snapshot: id, turn: self.ended });
        let marker = Control::Marker { snapshot: id }.encode();
        for peer in self.topology.clone().outgoing() {
            self.post_as(peer, marker.clone(), Kind::Marker(id));
        }
        self.bound_recordings();
        if self.recordings.is_complete(id) {
            self.complete(now, id);
        }
    }

    /// The marker-receiving rule (§3.2), acted on when the marker arrives.
    pub(super) fn marker(
        &mut self,
        now: Duration,
        from: Peer,
        id: SnapshotId,
        capture: &mut CaptureFn<'_, C>,
    ) {
        match self.recordings.close(id, from) {
            Closed::Waiting => self.changed(),
            Closed::Complete => self.complete(now, id),
            Closed::Twice => self.violated(from, Violation::MarkerTwice { snapshot: id }),
            // All channels had brought their marker already.
            Closed::NotRunning if self.commits.knows(id) => {
                self.violated(from, Violation::MarkerTwice { snapshot: id });
            }
            Closed::NotRunning if self.has_ended(id) => {}
            Closed::NotRunning => match self.refusal() {
                None => self.begin(now, id, Some(from), capture),
                Some(reason) => {
                    self.note_begun(id);
                    self.tell_aborted(id, reason);
                }
            },
        }
    }

    /// Remembers that this snapshot has had its turn here. Markers of one initiator come in the order of their sequences
    /// on every channel, so a later marker with a sequence up to this one belongs to a snapshot that has ended here.
    fn note_begun(&mut self, id: SnapshotId) {
        self.largest = self.largest.max(id.sequence);
        let begun = self.begun.entry(id.initiator).or_default();
        *begun = (*begun).max(id.sequence);
        self.forestalled.remove(&id);
    }

    /// Whether a marker of this snapshot would begin nothing here.
    pub(super) fn has_begun(&self, id: SnapshotId) -> bool {
        self.has_ended(id) || self.commits.knows(id)
    }

    fn has_ended(&self, id: SnapshotId) -> bool {
        let begun = self.begun.get(&id.initiator).copied().unwrap_or(0);
        id.sequence <= begun || self.forestalled.contains(&id)
    }

    /// Every channel has brought its marker: the local snapshot is whole.
    fn complete(&mut self, now: Duration, id: SnapshotId) {
        let Some(recording) = self.recordings.remove(id) else { return };
        self.changed();
        let writing = Writing {
            ticket: self.lane.ticket(),
            turn: recording.turn,
            messages: recording.messages,
            bytes: recording.bytes,
            begun: recording.begun,
            capture: recording.capture,
            given_up: false,
            is_told: false,
        };
        let local = recording.finish(id, &self.topology);
        if self.settings.durable {
            self.leftovers.write(id, writing.turn);
            // It may have been discarded before its markers had come.
            self.settle_leftovers();
            self.outputs
                .push_back(Output::Store { ticket: writing.ticket, request: StoreRequest::WritePart(local) });
            self.commits.writing.insert(id, writing);
        } else {
            self.emit(Event::LocalSnapshot(Box::new(local)));
            let nothing = PartRef { turn: writing.turn, size: 0, checksum: 0 };
            self.give_receipt(now, id, &writing, nothing);
        }
    }

    /// The store has taken a part, or has failed to.
    pub(super) fn part_answered(&mut self, now: Duration, id: SnapshotId, part: Result<PartRef, String>) {
        let Some(writing) = self.commits.writing.remove(&id) else { return };
        self.changed();
        self.leftovers.written(id);
        if writing.given_up || id.generation != self.generation {
            return;
        }
        match part {
            Ok(part) => self.give_receipt(now, id, &writing, part),
            Err(error) => {
                // Put back for a moment: giving up needs to find it.
                self.commits.writing.insert(id, writing);
                self.give_up(id, AbortReason::StoreFailed { error });
                self.commits.writing.remove(&id);
            }
        }
    }

    /// Only now that the part is durable (J4) does the initiator hear of it.
    fn give_receipt(&mut self, now: Duration, id: SnapshotId, writing: &Writing, part: PartRef) {
        if self.settings.durable {
            self.commits.await_outcome(id, writing.turn);
        }
        if self.settings.durable {
            let part = PartReport {
                node: self.topology.me(),
                turn: writing.turn,
                bytes: part.size,
                messages: writing.messages,
                capture: writing.capture,
                durable_after: now.saturating_sub(writing.begun),
            };
            self.emit(Event::PartDurable { snapshot: id, part });
        }
        let receipt = Receipt {
            snapshot: id,
            member: self.topology.me(),
            turn: writing.turn,
            size: part.size,
            checksum: part.checksum,
            messages: writing.messages,
            capture: writing.capture,
            durable_after: now.saturating_sub(writing.begun),
        };
        self.receipt(now, receipt);
    }

    /// Counts a receipt here, or passes it on towards the initiator.
    pub(super) fn receipt(&mut self, now: Duration, receipt: Receipt) {
        let id = receipt.snapshot;
        if id.initiator != self.topology.me() {
            if let Some(hop) = self.topology.next_hop(id.initiator) {
                self.post(hop, &Control::Receipt(receipt));
            }
            return;
        }
        self.changed();
        if self.commits.count(receipt, self.topology.members()) {
            if self.settings.durable {
                self.commits.queue.push_back(id);
            } else {
                self.ended_well(now, id, false);
            }
        }
    }

    /// At the initiator: the snapshot is done.
    pub(super) fn ended_well(&mut self, now: Duration, id: SnapshotId, durable: bool) {
        if let Some(tally) = self.commits.tallies.remove(&id) {
            self.commits.queue.retain(|queued| *queued != id);
            self.changed();
            self.report(tally.report(id, now, durable));
        }
    }

    /// The journal has a commit record of this snapshot.
    pub(super) fn learn_commit(&mut self, now: Duration, id: SnapshotId) {
        self.schedule.news(now);
        self.leftovers.committed(id);
        if let Some(turn) = self.commits.committed(id) {
            self.changed();
            self.covered(now, turn);
            let report = self.commits.tallies.get(&id).map(|tally| Box::new(tally.report(id, now, true)));
            self.emit(Event::Committed { snapshot: id, turn, report });
        }
    }

    /// Gives a snapshot up here, and tells everyone why. Returns whether there was anything to give up.
    pub(super) fn give_up(&mut self, id: SnapshotId, reason: AbortReason) -> bool {
        if self.is_committing(id) {
            return false;
        }
        let known = self.drop_snapshot(id, &reason);
        if known {
            self.tell_aborted(id, reason);
        }
        known
    }

    fn tell_aborted(&mut self, id: SnapshotId, reason: AbortReason) {
        let by = self.topology.me();
        self.broadcast(by, &Control::Aborted { snapshot: id, by, reason: reason.clone() });
        self.note_aborted(id, by, reason);
    }

    /// Somebody else has given it up.
    pub(super) fn aborted(&mut self, id: SnapshotId, by: NodeId, reason: AbortReason) {
        if self.is_committing(id) {
            return;
        }
        if self.drop_snapshot(id, &reason) {
            self.note_aborted(id, by, reason);
        } else if !self.has_ended(id) {
            self.forestall(id);
        }
    }

    /// It was given up before it has begun here.
    pub(super) fn forestall(&mut self, id: SnapshotId) {
        self.largest = self.largest.max(id.sequence);
        self.forestalled.insert(id);
        while self.forestalled.len() > MAX_FORESTALLED {
            self.forestalled.pop_first();
        }
    }

    fn note_aborted(&mut self, snapshot: SnapshotId, by: NodeId, reason: AbortReason) {
        // It may have been a sign that this node was left behind.
        self.lane.look |= self.settings.durable;
        let me = self.topology.me();
        if reason.is_harmless() {
            tracing::debug!(%me, %snapshot, %by, %reason, "a snapshot was given up");
        } else {
            tracing::warn!(%me, %snapshot, %by, %reason, "a snapshot was given up");
        }
        self.emit(Event::SnapshotAborted { snapshot, by, reason });
    }

    fn drop_snapshot(&mut self, id: SnapshotId, reason: &AbortReason) -> bool {
        self.leftovers.give_up(id, reason);
        let recording = self.recordings.remove(id).is_some();
        let tally = self.commits.tallies.remove(&id).is_some();
        self.commits.queue.retain(|queued| *queued != id);
        let given_up = self.commits.give_up(id);
        let known = recording || tally || given_up;
        if known {
            self.changed();
            // Who has not got its marker yet has nothing to begin any more.
            self.channels.iter_mut().for_each(|channel| channel.outbox.forget_marker(id));
            // It may have been all that there was to say.
            self.weigh_outbox();
        }
        known
    }

    /// Keeps what is recorded under its bound: the recording that holds most is given up.
    pub(super) fn bound_recordings(&mut self) {
        while self.recordings.bytes() + self.commits.bytes() > self.settings.max_recorded_bytes {
            let Some(id) = self.recordings.heaviest() else { return };
            if !self.give_up(id, AbortReason::RecordingFull) {
                return;
            }
        }
    }

    /// The generation is over: nothing of its snapshots will come to an end here.
    pub(super) fn abandon_snapshots(&mut self) {
        let by = self.topology.me();
        for id in self.running().into_iter().map(|status| status.snapshot).collect::<Vec<_>>() {
            self.recordings.remove(id);
            self.emit(Event::SnapshotAborted { snapshot: id, by, reason: AbortReason::RolledBack });
        }
        self.sum_up_complaints();
        self.commits.leave_generation();
        self.begun.clear();
        self.forestalled.clear();
        self.changed();
    }
}
