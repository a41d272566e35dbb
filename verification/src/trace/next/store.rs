//! What the store does.

use std::collections::btree_map::Entry;

use snapshot_core::{NodeId, SnapshotId};

use super::{Step, sure};
use crate::trace::line::Entry::Commit;
use crate::trace::line::{Answer, Counts, Operation, Part, PartKey, Record, Request};
use crate::trace::show;
use crate::trace::state::{Asked, State, Stored};

impl State {
    pub(super) fn perform(&mut self, operation: Operation) -> Step {
        let asked = self.operations.get_mut(&operation).ok_or("nobody has asked for that")?;
        sure(asked.result.is_none(), || "it is done already".into())?;
        let Asked { node, request, logs, .. } = asked.clone();
        if let Request::CreateJournal(record) = &request {
            self.check_commit(record)?;
        }
        let store = &mut self.store;
        let result = match request {
            Request::ReadJournal(index) => {
                let record =
                    usize::try_from(index).ok().and_then(|index| store.journal.get(index.checked_sub(1)?));
                record.cloned().map_or(Answer::Absent, Answer::Record)
            }
            Request::CreateJournal(record) => {
                let free = record.index == store.journal.len() as u64 + 1;
                // J1 leaves no holes: what is not the next index is taken.
                if free {
                    store.journal.push(record);
                }
                if free { Answer::New } else { Answer::Exists }
            }
            Request::CreateSeat { generation, life } => match store.seats.entry((generation.0, node)) {
                Entry::Occupied(_) => Answer::Exists,
                Entry::Vacant(free) => {
                    free.insert(life);
                    Answer::New
                }
            },
            Request::ReadSeat(generation) => {
                store.seats.get(&(generation.0, node)).map_or(Answer::Absent, |life| Answer::Seat(*life))
            }
            Request::WriteInitial { sent, taken } => {
                let part = Part { sent, taken, ..Default::default() };
                match store.parts.entry((node, None)) {
                    Entry::Occupied(_) => Answer::Exists,
                    Entry::Vacant(free) => {
                        free.insert(Stored { part, logs });
                        Answer::New
                    }
                }
            }
            Request::WritePart { snapshot, part } => {
                let old = store.parts.insert((node, Some(snapshot)), Stored { part, logs });
                sure(old.is_none(), || format!("I1: {node} has written its part of {snapshot} before"))?;
                Answer::Written
            }
            Request::ReadPart(key) => store.parts.get(&key).map_or(Answer::Absent, |_| Answer::Found),
            Request::VerifyPart(key) => store
                .parts
                .get(&key)
                .map_or(Answer::Absent, |stored| Answer::Whole { turn: stored.part.turn }),
            Request::ListParts(of) => {
                let listed = |key: &&PartKey| {
                    key.1.is_some_and(|id| of.is_none_or(|generation| id.generation == generation))
                };
                Answer::Listed(store.parts.keys().filter(listed).copied().collect())
            }
            Request::Delete(keys) => {
                keys.iter().for_each(|key| drop(store.parts.remove(key)));
                Answer::Deleted
            }
        };
        if let Some(asked) = self.operations.get_mut(&operation) {
            asked.result = Some(result);
        }
        Ok(())
    }

    /// J4, and `ChannelExact`: a snapshot whose record takes its place is whole, and a consistent cut, message by message. A
    /// record that comes too late may be of one whose parts are gone meanwhile.
    fn check_commit(&self, record: &Record) -> Step {
        let Commit(id, turns) = &record.entry else { return Ok(()) };
        if record.index != self.store.journal.len() as u64 + 1 {
            return Ok(());
        }
        let turn = |node: &NodeId| Some((*node, self.store.parts.get(&(*node, Some(*id)))?.part.turn));
        let durable: Option<Counts> = self.graph.members.iter().map(turn).collect();
        sure(durable.as_ref() == Some(turns), || format!("J4: {id} is not whole in the store"))?;
        self.check_cut(*id)
    }

    fn check_cut(&self, id: SnapshotId) -> Step {
        for (from, to) in self.graph.links.keys() {
            let (Some(sender), Some(receiver)) =
                (self.store.parts.get(&(*from, Some(id))), self.store.parts.get(&(*to, Some(id))))
            else {
                return Err(format!("J4: {id} is not whole"));
            };
            let sent = sender.logs.sent.get(to).cloned().unwrap_or_default();
            let mut had = receiver.logs.taken.get(from).cloned().unwrap_or_default();
            had.extend(receiver.part.channels.get(from).into_iter().flatten());
            had.extend(sender.part.outgoing.get(to).into_iter().flatten());
            sure(sent == had, || {
                format!(
                    "{id} is no cut: {from} has sent {}, and the parts have {} of it",
                    show::messages(&sent),
                    show::messages(&had)
                )
            })?;
        }
        Ok(())
    }
}
