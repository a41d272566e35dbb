//! A store in memory for the recorder: objects under keys, each operation one step.

use std::collections::BTreeMap;

use bytes::Bytes;
use snapshot_core::{Created, Key, NodeId, PartError, PartRef, StoreAnswer, StoreRequest, StoredPart, Turn};

use super::line::{Counts, Message};

/// The state of an application: how many messages it has sent to, and taken from, each neighbour.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct App {
    pub(super) sent: Counts,
    pub(super) taken: Counts,
}

pub(super) const NEW: Created = Created::New;

#[derive(Default)]
pub(super) struct Memory {
    small: BTreeMap<Key, Bytes>,
    parts: BTreeMap<Key, StoredPart<App, Message>>,
}

impl Memory {
    pub(super) fn perform(
        &mut self,
        node: NodeId,
        request: &StoreRequest<Message, App>,
    ) -> StoreAnswer<Message, App> {
        match request {
            StoreRequest::Read(key) => StoreAnswer::Read(self.small.get(key).cloned()),
            StoreRequest::Create(key, bytes) => {
                let exists = self.small.contains_key(key);
                if !exists {
                    self.small.insert(*key, bytes.clone());
                }
                StoreAnswer::Created(if exists { Created::Exists } else { NEW })
            }
            StoreRequest::WriteInitial(state) => {
                let key = Key::Initial(node);
                let exists = self.parts.contains_key(&key);
                if !exists {
                    let (channels, outgoing) = (BTreeMap::new(), BTreeMap::new());
                    let part = StoredPart { turn: Turn(0), state: state.clone(), channels, outgoing };
                    self.parts.insert(key, part);
                }
                StoreAnswer::Created(if exists { Created::Exists } else { NEW })
            }
            StoreRequest::WritePart(local) => {
                let part = StoredPart {
                    turn: local.turn,
                    state: local.state.clone(),
                    channels: local.channels.clone(),
                    outgoing: local.outgoing.clone(),
                };
                let written = reference(&part);
                self.parts.insert(Key::Part { snapshot: local.snapshot, node: local.node }, part);
                StoreAnswer::Written(written)
            }
            StoreRequest::ReadPart { key, .. } => {
                StoreAnswer::Part(self.parts.get(key).cloned().ok_or(PartError::Missing { key: *key }))
            }
            StoreRequest::VerifyPart { key, .. } => StoreAnswer::Verified(
                self.parts.get(key).map(reference).ok_or(PartError::Missing { key: *key }),
            ),
            StoreRequest::ListParts(of) => {
                let listed = |key: &&Key| match key {
                    Key::Part { snapshot, .. } => {
                        of.is_none_or(|generation| snapshot.generation == generation)
                    }
                    _ => false,
                };
                StoreAnswer::Listed(self.parts.keys().filter(listed).copied().collect())
            }
            StoreRequest::Delete(keys) => {
                keys.iter().for_each(|key| drop(self.parts.remove(key)));
                StoreAnswer::Deleted
            }
        }
    }
}

fn reference(part: &StoredPart<App, Message>) -> PartRef {
    PartRef { turn: part.turn, size: 1, checksum: 1 }
}
