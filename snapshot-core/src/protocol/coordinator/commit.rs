//! From receipts to the commit record: who still owes what for which snapshot. J3, J4 and J5 are in
//! [`Record::commit`](crate::journal::Record::commit).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::output::Ticket;
use crate::format::control::Receipt;
use crate::vocabulary::id::{NodeId, SnapshotId, Turn};
use crate::vocabulary::outcome::{PartReport, SnapshotReport};
use crate::vocabulary::part::PartRef;

/// The most outcomes that a node waits for; the oldest is forgotten beyond that, which only delays what its commit would
/// have released until the next one.
const MAX_AWAITED: usize = 1024;

/// Where the snapshots stand that this node has finished recording.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Commits {
    /// Parts on their way to the store. An aborted one stays until the store answers, since its memory is in use.
    pub(super) writing: BTreeMap<SnapshotId, Writing>,
    /// At the initiator: the receipts of each snapshot that it began.
    pub(super) tallies: BTreeMap<SnapshotId, Tally>,
    /// Snapshots that this node has given a receipt for, and whose outcome it does not know.
    awaited: BTreeMap<SnapshotId, Awaited>,
    /// At the initiator: whole snapshots that want a commit record.
    pub(super) queue: VecDeque<SnapshotId>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Writing {
    pub(super) ticket: Ticket,
    pub(super) turn: Turn,
    pub(super) messages: u64,
    pub(super) bytes: usize,
    pub(super) begun: Duration,
    pub(super) capture: Duration,
    pub(super) given_up: bool,
    /// The application knows that the store has not answered.
    pub(super) is_told: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Tally {
    pub(super) begun: Duration,
    receipts: BTreeMap<NodeId, Receipt>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Awaited {
    turn: Turn,
    given_up: bool,
}

impl Tally {
    pub(super) fn new(begun: Duration) -> Self {
        Self { begun, receipts: BTreeMap::new() }
    }

    /// The members whose receipt has not arrived.
    pub(super) fn missing(&self, members: &[NodeId]) -> Vec<NodeId> {
        members.iter().copied().filter(|id| !self.receipts.contains_key(id)).collect()
    }

    pub(super) fn parts(&self) -> BTreeMap<NodeId, PartRef> {
        let part = |r: &Receipt| PartRef { turn: r.turn, size: r.size, checksum: r.checksum };
        self.receipts.iter().map(|(id, receipt)| (*id, part(receipt))).collect()
    }

    pub(super) fn report(&self, snapshot: SnapshotId, now: Duration, durable: bool) -> SnapshotReport {
        let part = |r: &Receipt| PartReport {
            node: r.member,
            turn: r.turn,
            bytes: r.size,
            messages: r.messages,
            capture: r.capture,
            durable_after: r.durable_after,
        };
        let took = now.saturating_sub(self.begun);
        SnapshotReport { snapshot, durable, took, parts: self.receipts.values().map(part).collect() }
    }
}

impl Commits {
    /// Counts a receipt. Returns whether the snapshot is whole with it; a repeat and one that nobody waits for change
    /// nothing.
    pub(super) fn count(&mut self, receipt: Receipt, members: &[NodeId]) -> bool {
        let Some(tally) = self.tallies.get_mut(&receipt.snapshot) else { return false };
        let new = tally.receipts.insert(receipt.member, receipt).is_none();
        new && tally.receipts.len() == members.len()
    }

    /// What recorded messages weigh whose parts are on their way to the store.
    pub(super) fn bytes(&self) -> usize {
        self.writing.values().map(|writing| writing.bytes).sum()
    }

    /// Waits for the outcome of a snapshot that this node has given its receipt for.
    pub(super) fn await_outcome(&mut self, snapshot: SnapshotId, turn: Turn) {
        self.awaited.insert(snapshot, Awaited { turn, given_up: false });
        while self.awaited.len() > MAX_AWAITED {
            self.awaited.pop_first();
        }
    }

    /// A commit is known: the turn of this node that it covers, if it waited for that. Older ones are covered with it.
    pub(super) fn committed(&mut self, snapshot: SnapshotId) -> Option<Turn> {
        let Awaited { turn, .. } = self.awaited.remove(&snapshot)?;
        self.awaited.retain(|_, awaited| awaited.turn > turn);
        Some(turn)
    }

    /// The initiator, or somebody on the way, has given up. The outcome is still waited for: it may be committed by whoever
    /// starts next. Returns whether that is news.
    pub(super) fn give_up(&mut self, snapshot: SnapshotId) -> bool {
        let writing = self.writing.get_mut(&snapshot).map(|w| &mut w.given_up);
        let awaited = self.awaited.get_mut(&snapshot).map(|a| &mut a.given_up);
        let mut news = false;
        for given_up in [writing, awaited].into_iter().flatten() {
            news |= !std::mem::replace(given_up, true);
        }
        news
    }

    /// Whether this node has finished recording this snapshot and remembers it.
    pub(super) fn knows(&self, snapshot: SnapshotId) -> bool {
        self.writing.contains_key(&snapshot) || self.awaited.contains_key(&snapshot)
    }

    /// The snapshots whose outcome is waited for and that nobody has given up.
    pub(super) fn awaited(&self) -> impl Iterator<Item = SnapshotId> {
        self.awaited.iter().filter(|(_, awaited)| !awaited.given_up).map(|(id, _)| *id)
    }

    /// The generation has ended: nothing is waited for any more, but parts under way keep their memory.
    pub(super) fn leave_generation(&mut self) {
        self.tallies.clear();
        self.awaited.clear();
        self.queue.clear();
        for writing in self.writing.values_mut() {
            writing.given_up = true;
        }
    }
}
