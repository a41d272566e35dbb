//! The store of the honest nodes: each operation one step, which may fail before or after it was done.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{
    Created, Key, LocalSnapshot, NodeId, PartError, PartRef, SnapshotId, StoreAnswer, StoreRequest,
    StoredPart, Turn,
};

use super::application::{Message, State};

pub(super) type Request = StoreRequest<Message, State>;
pub(super) type Answer = StoreAnswer<Message, State>;

/// How an operation goes wrong.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It does not.
    None,
    /// It is not done.
    Before,
    /// It is done, and reported as failed (D7).
    After,
}

#[derive(Default)]
pub(super) struct Store {
    small: BTreeMap<Key, Bytes>,
    parts: BTreeMap<Key, (StoredPart<State, Message>, PartRef)>,
    written: u32,
}

impl Store {
    pub(super) fn perform(&mut self, me: NodeId, request: Request, fault: Fault) -> Answer {
        if fault == Fault::Before {
            return StoreAnswer::Failed("not now".to_owned());
        }
        let answer = self.done(me, request);
        if fault == Fault::After { StoreAnswer::Failed("who knows".to_owned()) } else { answer }
    }

    /// A part of the liar, which it may have written or not.
    pub(super) fn write_liars(&mut self, snapshot: SnapshotId, liar: NodeId, turn: Turn) {
        let (channels, outgoing) = (BTreeMap::new(), BTreeMap::new());
        let part = StoredPart { turn, state: State::default(), channels, outgoing };
        self.put(Key::Part { snapshot, node: liar }, part);
    }

    fn done(&mut self, me: NodeId, request: Request) -> Answer {
        match request {
            StoreRequest::Read(key) => StoreAnswer::Read(self.small.get(&key).cloned()),
            StoreRequest::Create(key, bytes) => StoreAnswer::Created(match self.small.entry(key) {
                Entry::Occupied(_) => Created::Exists,
                Entry::Vacant(place) => {
                    place.insert(bytes);
                    Created::New
                }
            }),
            StoreRequest::WriteInitial(state) => {
                let (channels, outgoing) = (BTreeMap::new(), BTreeMap::new());
                let part = StoredPart { turn: Turn(0), state, channels, outgoing };
                let created = self.put(Key::Initial(me), part);
                StoreAnswer::Created(created.map_or(Created::Exists, |_| Created::New))
            }
            StoreRequest::WritePart(local) => {
                let key = Key::Part { snapshot: local.snapshot, node: local.node };
                let LocalSnapshot { turn, state, channels, outgoing, .. } = local;
                let part = StoredPart { turn, state, channels, outgoing };
                match self.put(key, part) {
                    Some(part) => StoreAnswer::Written(part),
                    None => StoreAnswer::Failed("it exists".to_owned()),
                }
            }
            StoreRequest::ReadPart { key, expected } => {
                StoreAnswer::Part(self.read(key, expected).map(|(part, _)| part))
            }
            StoreRequest::VerifyPart { key, expected } => {
                StoreAnswer::Verified(self.read(key, expected).map(|(_, part)| part))
            }
            StoreRequest::ListParts(generation) => {
                let wanted = |key: &Key| match key {
                    Key::Part { snapshot, .. } => {
                        generation.is_none_or(|wanted| snapshot.generation == wanted)
                    }
                    _ => false,
                };
                StoreAnswer::Listed(self.parts.keys().copied().filter(wanted).collect())
            }
            StoreRequest::Delete(keys) => {
                for key in keys {
                    assert!(matches!(key, Key::Part { .. }), "{key} is deleted");
                    self.parts.remove(&key);
                }
                StoreAnswer::Deleted
            }
        }
    }

    fn put(&mut self, key: Key, part: StoredPart<State, Message>) -> Option<PartRef> {
        if self.parts.contains_key(&key) {
            return None;
        }
        self.written += 1;
        let described = PartRef { turn: part.turn, size: 100, checksum: self.written };
        self.parts.insert(key, (part, described));
        Some(described)
    }

    fn read(
        &self,
        key: Key,
        expected: Option<PartRef>,
    ) -> Result<(StoredPart<State, Message>, PartRef), PartError> {
        match self.parts.get(&key) {
            None => Err(PartError::Missing { key }),
            Some((_, part)) if expected.is_some_and(|expected| expected != *part) => {
                Err(PartError::NotTheCommitted { key })
            }
            Some((part, described)) => Ok((part.clone(), *described)),
        }
    }
}
