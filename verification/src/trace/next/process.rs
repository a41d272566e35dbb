//! What concerns one process alone.

use std::collections::{BTreeMap, BTreeSet};

use snapshot_core::{NodeId, SnapshotId};

use crate::trace::line::{Body, Event, Reason};
use crate::trace::state::{Lane, Own, Phase, Process, Queued, Writing};

impl Process {
    /// Control waits in its order.
    pub(super) fn push(&mut self, to: NodeId, body: Body) {
        self.queue(to, Queued { body, numbered: true, knew: BTreeMap::new() });
    }

    /// A marker, and what this node had taken by then.
    pub(super) fn push_marker(&mut self, to: NodeId, id: SnapshotId) {
        let knew = self.channels.iter().map(|(from, channel)| (*from, channel.intake)).collect();
        self.queue(to, Queued { body: Body::Marker(id), numbered: true, knew });
    }

    fn queue(&mut self, to: NodeId, queued: Queued) {
        self.channels.entry(to).or_default().control.push_back(queued);
    }

    /// Why no snapshot can begin here now.
    pub(super) fn refusal(&self, left: usize) -> Option<Reason> {
        let lost = self.channels.iter().find(|(_, channel)| channel.is_lost());
        let behind = left > 1 || self.writing.values().any(|writing| writing.given_up);
        lost.map(|(peer, _)| Reason::PeerLost(*peer)).or(behind.then_some(Reason::StoreBehind))
    }

    /// Whether this part is left as it is for a process that starts: the newest one alone.
    pub(super) fn is_held(&self, id: SnapshotId, own: Own) -> bool {
        own.held && self.own.last_key_value().is_some_and(|(last, _)| *last == id)
    }

    pub(super) fn note_begun(&mut self, id: SnapshotId) {
        self.largest = self.largest.max(id.sequence);
        let begun = self.begun.entry(id.initiator).or_default();
        *begun = id.sequence.max(*begun);
        self.forestalled.remove(&id);
    }

    pub(super) fn has_ended(&self, id: SnapshotId) -> bool {
        self.begun.get(&id.initiator).is_some_and(|begun| id.sequence <= *begun)
            || self.forestalled.contains(&id)
    }

    /// `Complete`: every channel has brought its marker.
    pub(super) fn complete(&mut self, id: SnapshotId) {
        if self.recordings.get(&id).is_some_and(|recording| recording.open.is_empty())
            && let Some(recording) = self.recordings.remove(&id)
        {
            let turn = recording.stored.part.turn;
            self.writing.insert(id, Writing { turn, given_up: false });
            self.own.insert(id, Own { turn, written: false, given_up: false, held: false });
            self.owed.parts.insert(id, recording.stored);
        }
    }

    /// `Drop`: whether there was anything of it that nobody had given up.
    pub(super) fn drop_snapshot(&mut self, id: SnapshotId, reason: Reason) -> bool {
        if let Some(own) = self.own.get_mut(&id).filter(|own| !own.given_up) {
            (own.given_up, own.held) = (true, matches!(reason, Reason::PeerLost(_)));
        }
        let mut known = self.recordings.remove(&id).is_some();
        known |= self.tallies.remove(&id).is_some();
        for writing in [self.writing.get_mut(&id), self.awaited.get_mut(&id)].into_iter().flatten() {
            known |= !std::mem::replace(&mut writing.given_up, true);
        }
        if known {
            // Who has not got its marker yet has nothing to begin any more.
            let marker = Body::Marker(id);
            let outboxes = self.channels.values_mut().map(|channel| &mut channel.control);
            outboxes.for_each(|control| control.retain(|queued| queued.body != marker));
        }
        known
    }

    /// `Newer`, `Gap`: it takes no part any more until it knows what the journal says.
    pub(super) fn begin_recovery(&mut self, why: Phase) {
        if self.is_running() {
            (self.phase, self.looked, self.at_end) = (why, 0, false);
            // A read that began before may miss what the news is about.
            self.lane.take_if(|(_, lane)| *lane == Lane::Read);
        }
    }

    pub(super) fn learn_commit(&mut self, id: SnapshotId) {
        self.own.remove(&id);
        if let Some(Writing { turn, .. }) = self.awaited.remove(&id) {
            self.awaited.retain(|_, awaited| awaited.turn > turn);
            self.owed.events.push(Event::Committed { snapshot: id, turn });
        }
    }

    /// `Leave`: nothing of this generation counts any more.
    pub(super) fn leave(&mut self, node: NodeId) {
        self.begin_recovery(Phase::Newer);
        let live = |of: &BTreeMap<SnapshotId, Writing>| {
            of.iter().filter(|(_, writing)| !writing.given_up).map(|(id, _)| *id).collect::<Vec<_>>()
        };
        let mut known: BTreeSet<SnapshotId> =
            self.recordings.keys().chain(self.tallies.keys()).copied().collect();
        known.extend(live(&self.writing));
        known.extend(live(&self.awaited));
        let aborted = |snapshot| Event::Aborted { snapshot, by: node, reason: Reason::RolledBack };
        self.owed.events.extend(known.into_iter().map(aborted));
        self.recordings.clear();
        self.tallies.clear();
        self.awaited.clear();
        self.writing.values_mut().for_each(|writing| writing.given_up = true);
        self.begun.clear();
        self.forestalled.clear();
        self.untaken.clear();
    }
}
