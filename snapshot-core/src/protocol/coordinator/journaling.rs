//! Reading and writing the journal: each record is created only after the one before it was read (J1). Commit records.

use std::time::Duration;

use bytes::Bytes;

use super::SnapshotCoordinator;
use super::lane::{Asked, Purpose};
use super::output::{Failure, StoreAnswer};
use super::phase::{Phase, Step, Why};
use crate::format::control::Control;
use crate::format::record::{Entry, Record};
use crate::protocol::journal::Refusal;
use crate::vocabulary::id::SnapshotId;
use crate::vocabulary::key::Key;
use crate::vocabulary::outcome::AbortReason;

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// Writes the commit record of the next snapshot whose receipts are all in, if the rules still allow it.
    pub(super) fn commit_next(&mut self, now: Duration) {
        while let Some(id) = self.commits.queue.front().copied() {
            let Some((last, tally)) = self.lane.last.as_ref().zip(self.commits.tallies.get(&id)) else {
                self.commits.queue.pop_front();
                continue;
            };
            let nonce = self.random.draw();
            match last.commit(id, tally.parts(), self.topology.me(), nonce) {
                Ok(record) => return self.append(record, Purpose::Receipts(id)),
                // Whoever started meanwhile has found the set and committed it.
                Err(Refusal::AlreadyCommitted) => {
                    self.commits.queue.pop_front();
                }
                Err(Refusal::OtherGeneration) => {
                    self.give_up(id, AbortReason::RolledBack);
                }
                Err(Refusal::Settled | Refusal::Superseded | Refusal::NotWhole) => {
                    self.give_up(id, AbortReason::Superseded);
                }
            }
        }
        if !self.discard(now) {
            self.sweep();
        }
    }

    pub(super) fn read_next(&mut self, now: Duration, bytes: Option<Bytes>) {
        let index = self.lane.next_index();
        match bytes {
            None => {
                self.lane.look = false;
                self.schedule.news(now);
                if let Phase::Recovering(_) = self.phase {
                    self.recovery.step = Step::Decide;
                }
            }
            Some(bytes) => match Record::decode(index, &bytes) {
                Err(error) if error.is_damage() => self.ask(Asked::Behind { index, error }),
                _ => {
                    if let Some(record) = self.decode(index, &bytes) {
                        self.learn(now, record);
                    }
                }
            },
        }
    }

    /// Read the journal to its end before anything else.
    pub(super) fn read_on(&mut self) {
        self.lane.look = true;
        self.recovery.step = Step::ReadOn;
    }

    pub(super) fn decode(&mut self, index: u64, bytes: &[u8]) -> Option<Record> {
        let record = Record::decode(index, bytes).map_err(|error| {
            self.fail(Failure::Record { key: Key::Journal(index), error });
        });
        let record = record.ok()?;
        if let Err(error) = record.check(&self.topology) {
            self.fail(Failure::Foreign(error));
            return None;
        }
        Some(record)
    }

    /// The journal has this record after the last one.
    pub(super) fn learn(&mut self, now: Duration, record: Record) {
        let committed =
            (record.entry == Entry::Commit).then(|| record.last.as_ref().map(|c| c.snapshot)).flatten();
        let generation = record.generation;
        let index = record.index;
        self.lane.last = Some(record);
        committed.into_iter().for_each(|id| self.leftovers.committed(id));
        self.settle_leftovers();
        if let Some(id) = committed.filter(|id| id.generation == self.generation) {
            self.learn_commit(now, id);
            // Somebody else has written what this node was about to write.
            if self.commits.tallies.contains_key(&id) {
                self.announce(now, id, index);
            }
        }
        if generation > self.generation && !matches!(self.phase, Phase::Recovering(Why::Start)) {
            self.leave_generation(now);
        }
    }

    pub(super) fn announce(&mut self, now: Duration, id: SnapshotId, index: u64) {
        self.broadcast(self.topology.me(), &Control::Committed { snapshot: id, index });
        self.ended_well(now, id, true);
    }

    pub(super) fn appended(&mut self, now: Duration, record: Record, purpose: Purpose) {
        // Whoever opens a generation removes what is left of the ones before.
        self.sweeping.is_due |= purpose != Purpose::Found;
        self.learn(now, record);
        match purpose {
            Purpose::Open => self.recovery.step = Step::Decide,
            Purpose::Found => {
                // It was the newest: the others are behind it, or crossed it.
                self.recovery.looked = self.lane.last.as_ref().map(|last| last.generation);
                self.recovery.step = Step::Decide;
            }
            Purpose::Receipts(_) | Purpose::Discard => {}
        }
    }

    /// What became of a record whose creation had an ambiguous answer: ours is known by its nonce.
    pub(super) fn confirmed(
        &mut self,
        now: Duration,
        record: Record,
        purpose: Purpose,
        error: String,
        answer: StoreAnswer<M, C>,
    ) {
        match answer {
            StoreAnswer::Read(Some(bytes)) => {
                let Some(found) = self.decode(record.index, &bytes) else { return };
                if found.nonce == record.nonce && found.author == record.author {
                    self.appended(now, record, purpose);
                } else {
                    self.learn(now, found);
                    self.read_on();
                }
            }
            // Not there, or not to be known: what was to be committed is given up, though it may yet come to light.
            _ => {
                if let Purpose::Receipts(id) = purpose {
                    self.give_up(id, AbortReason::StoreFailed { error: error.clone() });
                    self.lane.look = true;
                }
                if purpose == Purpose::Discard {
                    self.discard_failed(now, &error);
                }
                if self.phase != Phase::Running {
                    self.store_failed(now, error);
                }
            }
        }
    }
}
