//! This node's own parts of snapshots that are not committed: which of them nobody can need any more, and the record that makes it so
//! (J6).
//!
//! A snapshot that was given up may yet be committed: by a process that starts, and finds all of its parts. So a part of it may be
//! deleted only where no later record can commit it. That is so if its generation is closed (J3), if its initiator has committed a later
//! one (J3), if it is behind a commit (J5), or, since none of these may ever come to pass, if a `Discard` record says so (J6). Such a
//! record takes an index of the journal like any other: whoever was about to commit the snapshot at that index finds it taken,
//! and reads; whoever comes later has read it (J1). If the commit was first, the author of the `Discard` reads that.
//!
//! Any member may write one, of snapshots that it knows to have been given up. The newest one that was given up because a neighbour was
//! lost is left as it is, until there is a newer one: a process that starts in place of a dead initiator shall find it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::SnapshotCoordinator;
use super::lane::Purpose;
use crate::format::record::Record;
use crate::vocabulary::event::Event;
use crate::vocabulary::id::{NodeId, SnapshotId, Turn};
use crate::vocabulary::key::Key;
use crate::vocabulary::outcome::AbortReason;

/// The most parts of its own that a node knows of. Beyond that the oldest is left to others, who list what there is.
const MAX_KNOWN: usize = 1024;

/// As many given-up parts that are still there are a sign that the store is behind: nothing more is captured.
pub(super) const MAX_LEFTOVERS: usize = 2;

/// After the store has failed to take a `Discard`, that is tried again this much later, twice as late each time.
const RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);

/// The parts that this process has asked the store to create, until they are committed or deleted.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Leftovers {
    parts: BTreeMap<SnapshotId, Part>,
    /// When the next `Discard` may be written, and the time that was waited for it.
    retry: Option<(Duration, Duration)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Part {
    turn: Turn,
    /// Whether the store has answered: it may be there.
    is_written: bool,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Fate {
    /// It may be committed by its initiator.
    Open,
    /// Given up, and it may be committed by somebody who starts. `held`: since a neighbour was lost.
    GivenUp { held: bool },
    /// It can never be committed, and is being deleted when that was asked for.
    Dead { asked: bool },
}

impl Leftovers {
    /// A part is about to be written.
    pub(super) fn write(&mut self, id: SnapshotId, turn: Turn) {
        self.parts.insert(id, Part { turn, is_written: false, fate: Fate::Open });
        while self.parts.len() > MAX_KNOWN {
            self.parts.pop_first();
        }
    }

    /// The store has answered: the part is there, or may be.
    pub(super) fn written(&mut self, id: SnapshotId) {
        if let Some(part) = self.parts.get_mut(&id) {
            part.is_written = true;
        }
    }

    pub(super) fn give_up(&mut self, id: SnapshotId, reason: &AbortReason) {
        let held = matches!(reason, AbortReason::PeerLost { .. });
        if let Some(part) = self.parts.get_mut(&id).filter(|part| part.fate == Fate::Open) {
            part.fate = Fate::GivenUp { held };
        }
    }

    /// There is a commit of this snapshot: retention has it from here on. What is behind it is judged in the order of the journal alone:
    /// the news of an earlier commit may come later.
    pub(super) fn committed(&mut self, id: SnapshotId) {
        self.parts.remove(&id);
    }

    /// The journal has this record, and all before it were learnt. What it commits is not among the parts any more.
    fn learn(&mut self, record: &Record, me: NodeId) {
        let covered = record.last.as_ref().and_then(|last| last.parts.get(&me)).map(|part| part.turn);
        for (id, part) in &mut self.parts {
            let is_closed = id.generation < record.generation;
            let is_own = id.generation == record.generation;
            // J5 forbids a part that is behind the last commit.
            let is_behind = covered.is_some_and(|turn| part.turn < turn);
            if is_closed || is_own && (is_behind || record.is_settled(*id)) {
                part.bury();
            }
        }
    }

    /// The parts that are dead and there, and that nobody has asked to delete.
    fn take_dead(&mut self) -> Vec<SnapshotId> {
        let is_due = |(_, part): &(&SnapshotId, &mut Part)| {
            part.is_written && part.fate == Fate::Dead { asked: false }
        };
        let due = self.parts.iter_mut().filter(is_due);
        due.map(|(id, part)| {
            part.fate = Fate::Dead { asked: true };
            *id
        })
        .collect()
    }

    fn forget(&mut self, id: SnapshotId) {
        self.parts.remove(&id);
    }

    /// How many given-up parts are there that shall go.
    pub(super) fn count(&self) -> usize {
        let mut count = 0;
        for (id, part) in &self.parts {
            if part.fate != Fate::Open && !self.is_held(*id, *part) {
                count += 1;
            }
        }
        count
    }

    /// Whether it is left for a process that starts: the newest one alone.
    fn is_held(&self, id: SnapshotId, part: Part) -> bool {
        part.fate == Fate::GivenUp { held: true }
            && self.parts.last_key_value().is_some_and(|(last, _)| *last == id)
    }

    /// Up to which sequence the snapshots of each initiator can be discarded: those given up, and none that is not.
    fn discardable(&self, record: &Record) -> BTreeMap<NodeId, u64> {
        let (mut upto, mut open) = (BTreeMap::new(), BTreeSet::new());
        for (id, part) in self.parts.iter().filter(|(id, _)| id.generation == record.generation) {
            match part.fate {
                Fate::Open => drop(open.insert(id.initiator)),
                Fate::GivenUp { .. }
                    if part.is_written && !self.is_held(*id, *part) && !open.contains(&id.initiator) =>
                {
                    upto.insert(id.initiator, id.sequence);
                }
                Fate::GivenUp { .. } | Fate::Dead { .. } => {}
            }
        }
        upto
    }

    pub(super) fn next_retry(&self) -> Option<Duration> {
        self.retry.map(|(at, _)| at)
    }
}

impl Part {
    fn bury(&mut self) {
        if !matches!(self.fate, Fate::Dead { .. }) {
            self.fate = Fate::Dead { asked: false };
        }
    }
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// J6: asks for the record that settles what was given up here. Whether it did.
    pub(super) fn discard(&mut self, now: Duration) -> bool {
        let Some(last) = self.lane.last.as_ref().filter(|last| last.generation == self.generation) else {
            return false;
        };
        let upto = self.leftovers.discardable(last);
        let is_news = upto.iter().any(|(node, sequence)| !last.is_settled_up_to(*node, *sequence));
        if !is_news {
            self.leftovers.retry = None;
        }
        if !is_news || self.leftovers.retry.is_some_and(|(at, _)| at > now) {
            return false;
        }
        let record = last.discard(&upto, self.topology.me(), self.random.draw());
        self.append(record, Purpose::Discard);
        true
    }

    /// The store did not take it, or cannot be asked: later.
    pub(super) fn discard_failed(&mut self, now: Duration, error: &str) {
        let before = self.leftovers.retry.map(|(_, wait)| wait);
        let wait = before.map_or(RETRY, |wait| wait.saturating_mul(2).min(MAX_RETRY));
        self.leftovers.retry = Some((now.saturating_add(wait), wait));
        if before.is_none() {
            let error = format!("parts of snapshots that were given up stay for now: {error}");
            self.emit(Event::StoreFailed { error });
        }
    }

    /// What a record of the journal means for what this node has written.
    pub(super) fn settle_leftovers(&mut self) {
        if let Some(last) = &self.lane.last {
            self.leftovers.learn(last, self.topology.me());
        }
    }

    /// This node's dead parts that are to be deleted now, each once.
    pub(super) fn dead_parts(&mut self) -> Vec<Key> {
        let node = self.topology.me();
        self.leftovers.take_dead().into_iter().map(|snapshot| Key::Part { snapshot, node }).collect()
    }

    /// These were deleted, or are left to be tried again.
    pub(super) fn forget_leftovers(&mut self, keys: &[Key]) {
        let me = self.topology.me();
        for key in keys {
            if let Key::Part { snapshot, node } = key
                && *node == me
            {
                self.leftovers.forget(*snapshot);
            }
        }
    }
}
