//! Sets of parts that are looked at as a whole: one that nobody has committed, at a start; an older commit to fall back to.

use std::collections::{BTreeMap, VecDeque};

use super::SnapshotCoordinator;
use super::lane::{Asked, Goal, Purpose, Verification};
use super::output::Failure;
use super::phase::Step;
use crate::format::part::PartError;
use crate::format::record::{CommittedSnapshot, Record, Start};
use crate::vocabulary::id::SnapshotId;
use crate::vocabulary::key::Key;
use crate::vocabulary::part::PartRef;

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// The newest first: it covers the others, or crossed them, and so no other is looked at once it is committed. However many
    /// were left behind, one is read.
    pub(super) fn verify_next_set(&mut self, mut rest: VecDeque<SnapshotId>) {
        match rest.pop_back() {
            None => {
                self.recovery.looked = self.lane.last.as_ref().map(|last| last.generation);
                self.recovery.step = Step::Decide;
            }
            Some(snapshot) => {
                let key = |node| Key::Part { snapshot, node };
                let todo = self.topology.members().iter().map(|node| (*node, key(*node), None)).collect();
                self.ask(Asked::Verify(Verification {
                    goal: Goal::Commit { snapshot, rest },
                    todo,
                    found: BTreeMap::new(),
                }));
            }
        }
    }

    pub(super) fn verified(&mut self, mut verification: Verification, part: Result<PartRef, PartError>) {
        let checked = verification.todo.pop_front().zip(part.ok());
        let Verification { goal, todo, mut found } = verification;
        let Some(((node, ..), part)) = checked else { return self.not_whole(goal) };
        found.insert(node, part);
        if !todo.is_empty() {
            return self.ask(Asked::Verify(Verification { goal, todo, found }));
        }
        let Some(last) = self.lane.last.clone() else { return };
        let (me, nonce) = (self.topology.me(), self.random.draw());
        match goal {
            Goal::Commit { snapshot, rest } => match last.commit(snapshot, found, me, nonce) {
                // The others are looked at after it: the journal has then changed.
                Ok(record) => self.append(record, Purpose::Found),
                Err(_) => self.verify_next_set(rest),
            },
            Goal::FallBack { to, .. } => {
                let start = to.map_or(Start::Initial, Start::Snapshot);
                self.append(last.open_from(start, me, nonce), Purpose::Open);
            }
        }
    }

    pub(super) fn not_whole(&mut self, goal: Goal) {
        match goal {
            Goal::Commit { rest, .. } => self.verify_next_set(rest),
            Goal::FallBack { to: Some(_), rest } => self.fall_back_to(rest),
            Goal::FallBack { to: None, .. } => {
                if let Some((_, error)) = self.recovery.damaged.clone() {
                    self.fail(Failure::Damaged(error));
                }
            }
        }
    }

    /// Looks for the newest commit before the start whose parts are all whole; the initial states come last.
    pub(super) fn fall_back(&mut self, last: &Record, error: PartError) {
        match &last.start {
            Start::Initial => self.fail(Failure::Damaged(error)),
            Start::Snapshot(start) => {
                let older = last.kept.iter().copied().filter(|(index, _)| *index < start.index).collect();
                self.fall_back_to(older);
            }
        }
    }

    pub(super) fn fall_back_to(&mut self, rest: Vec<(u64, SnapshotId)>) {
        if !rest.is_empty() {
            return self.ask(Asked::OlderCommit { rest });
        }
        let todo = self.topology.members().iter().map(|node| (*node, Key::Initial(*node), None)).collect();
        let goal = Goal::FallBack { to: None, rest };
        self.ask(Asked::Verify(Verification { goal, todo, found: BTreeMap::new() }));
    }

    pub(super) fn older_commit(&mut self, mut rest: Vec<(u64, SnapshotId)>, bytes: &[u8]) {
        let Some((index, snapshot)) = rest.pop() else { return };
        // One that cannot be read is no place to go back to, and the one before it may be.
        let record = match Record::decode(index, bytes) {
            Err(error) if error.is_damage() => return self.fall_back_to(rest),
            _ => self.decode(index, bytes),
        };
        let Some(record) = record else { return };
        let Some(to) = record.last.filter(|commit| commit.snapshot == snapshot) else {
            return self.fall_back_to(rest);
        };
        let CommittedSnapshot { parts, .. } = &to;
        let todo = parts
            .iter()
            .map(|(node, part)| (*node, Key::Part { snapshot, node: *node }, Some(*part)))
            .collect();
        self.ask(Asked::Verify(Verification {
            goal: Goal::FallBack { to: Some(to), rest },
            todo,
            found: BTreeMap::new(),
        }));
    }
}
