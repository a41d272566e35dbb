//! What the store does.

use std::sync::Arc;

use snapshot_core::{Created, Generation, Key, NodeId, PartError, StoreRequest, Turn};

use super::action::{How, journal_index};
use super::config::Seen;
use super::name::name;
use super::oracle::{Part, Rule};
use super::record::{self, Entry};
use super::state::{Answer, Histories, Pending, Request, part, stored};
use super::step::Step;

/// Whose operation it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Author {
    Running,
    Recovering,
    /// A process that lives on beside its successor.
    Replaced,
    Dead,
}

impl Step<'_> {
    /// An operation of a process goes as `how` says.
    pub(super) fn operate(&mut self, place: usize, operation: usize, how: How) {
        self.with(place, |step, process| {
            let by = match place < step.group.nodes() {
                false => Author::Replaced,
                true if process.coordinator.is_running() => Author::Running,
                true => Author::Recovering,
            };
            let Pending { ticket, request, answer } = process.pending.remove(operation);
            if matches!(how, How::Refused | How::Denied | How::Late | How::Lagging) {
                step.state.budget.store_faults -= 1;
            }
            let failed = || Answer::Failed("injected".to_owned());
            let answer = match how {
                How::Done => step.perform(process.node, request, by),
                How::Answer => answer.unwrap_or_else(failed),
                How::Refused => failed(),
                How::Late => {
                    let node = process.node;
                    step.state.orphans.update(|orphans| orphans.push((node, request)));
                    failed()
                }
                How::Denied => {
                    step.perform(process.node, request, by);
                    failed()
                }
                How::Lagging => Answer::Listed(Vec::new()),
                How::Effect => {
                    let answer = step.effect(process.node, &request, by);
                    let waiting = match (answer, request) {
                        (Some(answer), request) => Pending { ticket, request, answer: Some(answer) },
                        // Keys are deleted one after the other.
                        (None, StoreRequest::Delete(keys)) => Pending {
                            ticket,
                            request: StoreRequest::Delete(keys[1..].to_vec()),
                            answer: None,
                        },
                        (None, request) => Pending { ticket, request, answer: None },
                    };
                    return process.pending.insert(operation, waiting);
                }
            };
            step.input(place, process, |c, now, capture| c.handle_store(now, ticket, answer, capture));
        });
    }

    /// An operation happens whose process has died.
    pub(super) fn land(&mut self, orphan: usize) {
        let (node, request) = self.state.orphans.update(|orphans| orphans.remove(orphan));
        self.group.saw(Seen::Zombie);
        self.perform(node, request, Author::Dead);
    }

    /// All of an operation.
    fn perform(&mut self, node: u8, request: Request, by: Author) -> Answer {
        match request {
            StoreRequest::Delete(keys) => {
                for key in keys {
                    self.delete(key);
                }
                Answer::Deleted
            }
            request => self.effect(node, &request, by).unwrap_or(Answer::Deleted),
        }
    }

    /// One step of an operation; its answer, if that was the last.
    fn effect(&mut self, node: u8, request: &Request, by: Author) -> Option<Answer> {
        let id = NodeId(u64::from(node) + 1);
        Some(match request {
            StoreRequest::Read(key) => Answer::Read(self.state.store.read(*key)),
            StoreRequest::Create(key, bytes) => {
                let new = self.state.store.update(|store| store.create(*key, bytes.clone()));
                if let Some(index) = journal_index(*key) {
                    self.group.note(Seen::LostRace, !new);
                    if new {
                        self.appended(index, bytes, by);
                    }
                }
                Answer::Created(if new { Created::New } else { Created::Exists })
            }
            StoreRequest::WriteInitial(app) => {
                let key = Key::Initial(id);
                if self.state.store.has_part(key) {
                    return Some(Answer::Created(Created::Exists));
                }
                let nothing = || vec![Vec::new(); self.group.nodes()];
                let part = Part { app: Arc::clone(app), channels: nothing(), outgoing: nothing() };
                self.state.store.update(|store| store.put(key, part, Turn(0)));
                Answer::Created(Created::New)
            }
            StoreRequest::WritePart(local) => {
                let key = Key::Part { snapshot: local.snapshot, node: local.node };
                if local.node != id || self.state.store.has_part(key) {
                    self.broke(Rule::Sound, format!("{key} is written twice, or by {id}"));
                }
                let (turn, snapshot) = (local.turn, name(local.snapshot));
                let nodes = self.group.config.shape.nodes();
                let part = part(local.clone(), nodes);
                let described = self.state.store.update(|store| store.put(key, part, turn));
                if let Some(cut) = self.state.store.cut(snapshot, nodes) {
                    self.group.saw_cut(&cut);
                    let verdict = self.state.oracle.whole(&cut);
                    self.judge(verdict);
                }
                Answer::Written(described)
            }
            StoreRequest::ReadPart { key, expected } => {
                let part = self.state.store.part(*key, *expected);
                let part = part.map(|(part, described)| stored(part, described.turn));
                if let Err(error) = &part {
                    self.unreadable(error);
                }
                Answer::Part(part)
            }
            StoreRequest::VerifyPart { key, expected } => {
                Answer::Verified(self.state.store.part(*key, *expected).map(|(_, described)| described))
            }
            StoreRequest::ListParts(generation) => {
                let wanted = |key: &Key| match key {
                    Key::Part { snapshot, .. } => {
                        generation.is_none_or(|generation: Generation| generation == snapshot.generation)
                    }
                    _ => false,
                };
                Answer::Listed(self.state.store.list().filter(wanted).collect())
            }
            StoreRequest::Delete(keys) => {
                if let Some(key) = keys.first() {
                    self.delete(*key);
                }
                return (keys.len() < 2).then_some(Answer::Deleted);
            }
        })
    }

    fn appended(&mut self, index: u64, bytes: &[u8], by: Author) {
        let record = record::read(bytes);
        if let Some(record) = record {
            let is_commit = record.entry == Entry::Commit;
            self.group.note(Seen::Commit, is_commit);
            self.group.note(Seen::FoundSet, is_commit && by == Author::Recovering);
            self.group.note(Seen::ZombieCommit, is_commit && matches!(by, Author::Replaced | Author::Dead));
            let opens = |generation| record.entry == Entry::Generation && record.generation == generation;
            self.group.note(Seen::Generation, opens(2));
            self.group.note(Seen::ThirdGeneration, opens(3));
            self.group.note(Seen::Discarded, record.entry == Entry::Discard);
        }
        let (store, nodes) = (self.state.store.clone(), self.group.config.shape.nodes());
        let verdict = self.state.oracle.update(|o| o.appended(index, record, |name| store.cut(name, nodes)));
        self.judge(verdict);
        let Histories { first, failures, .. } = *self.state.histories;
        let (newest, causes) = (self.state.oracle.newest().unwrap_or(0), self.causes() - failures);
        if newest > first + causes {
            let what =
                format!("generation {newest} is opened after {causes} failures, and {first} before them");
            self.broke(Rule::Cause, what);
        }
        if record.is_some_and(|record| record.entry == Entry::Commit) {
            self.keep_copy();
        }
    }

    /// How many generations the failures so far account for.
    pub(super) fn causes(&self) -> u64 {
        let (config, left) = (&self.group.config, &self.state.budget);
        let failures = [
            (config.crashes.0, left.crashes),
            (config.breaks, left.breaks),
            (config.store_faults, left.store_faults),
        ];
        // A second process starts, the first one may be before it in the generation that it opens, and may come back later.
        let doubles = 3 * u64::from(config.doubles.0 - left.doubles);
        doubles + failures.iter().map(|(all, left)| u64::from(all - left)).sum::<u64>()
    }

    fn delete(&mut self, key: Key) {
        self.group.saw(Seen::Deleted);
        if !matches!(key, Key::Part { .. }) {
            self.broke(Rule::Readable, format!("{key} is deleted, which is no part"));
        }
        self.state.store.update(|store| store.delete(key));
        let (kept, nodes) = (self.group.config.kept(), self.group.config.shape.nodes());
        let verdict = self.state.oracle.deleted(kept, |name| self.state.store.cut(name, nodes));
        self.judge(verdict);
    }

    /// A part that is gone may be read by a process that has not heard yet of a newer generation; another than the one
    /// that was committed may not be there at all.
    fn unreadable(&mut self, error: &PartError) {
        if !matches!(error, PartError::Missing { .. }) {
            self.broke(Rule::Readable, error.to_string());
        }
    }
}
