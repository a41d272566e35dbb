//! Does what the coordinator asks of the store: encodes, decodes, and brings the answer. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::contract::codec::MessageCodec;
use crate::contract::state::StateProvider;
use crate::contract::store::{Content, Sink, SnapshotStore, StoreError};
use crate::format::part::{Contents, Expected, PartError, PartLabel, read_part, verify_part, write_part};
use crate::protocol::coordinator::{StoreAnswer, StoreRequest};
use crate::vocabulary::id::{NodeId, Turn};
use crate::vocabulary::key::{Created, Key};
use crate::vocabulary::part::{LocalSnapshot, PartRef};
use crate::vocabulary::topology::Topology;

/// After so many failed deletions, the rest of a request is left for another time.
const MAX_FAILURES: usize = 64;

/// A store, and what it takes to fill it.
pub(crate) struct Persistence<M> {
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) codec: Option<Arc<dyn MessageCodec<M>>>,
    pub(crate) topology: Topology,
}

impl<M> Clone for Persistence<M> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), codec: self.codec.clone(), topology: self.topology.clone() }
    }
}

impl<M: Send + 'static> Persistence<M> {
    pub(crate) fn new(
        store: Arc<dyn SnapshotStore>,
        codec: Option<Arc<dyn MessageCodec<M>>>,
        topology: Topology,
    ) -> Self {
        Self { store, codec, topology }
    }

    /// Does one thing, to its end.
    pub(crate) async fn perform<S: StateProvider>(
        self,
        request: StoreRequest<M, S::Captured>,
    ) -> StoreAnswer<M, S::Captured> {
        match self.attempt::<S>(request).await {
            Ok(answer) => answer,
            Err(error) => StoreAnswer::Failed(chain(&error)),
        }
    }

    async fn attempt<S: StateProvider>(
        self,
        request: StoreRequest<M, S::Captured>,
    ) -> Result<StoreAnswer<M, S::Captured>, StoreError> {
        match request {
            StoreRequest::Read(key) => {
                let (sink, bytes) = Sink::collect();
                let found = self.store.read(key, sink).await?;
                Ok(StoreAnswer::Read(if found { bytes.take().map(Bytes::from) } else { None }))
            }
            StoreRequest::Create(key, bytes) => {
                self.store.create(key, Content::from(bytes)).await.map(StoreAnswer::Created)
            }
            StoreRequest::WriteInitial(state) => {
                let label = self.label(Key::Initial(self.topology.me()), Turn(0));
                let content = Content::new(move |out| {
                    let none = BTreeMap::new();
                    let contents = Contents { state: &state, channels: &none, outgoing: &none };
                    write_part::<S, M>(&label, &contents, None, out).map(drop)
                });
                self.store.create(Key::Initial(self.topology.me()), content).await.map(StoreAnswer::Created)
            }
            StoreRequest::WritePart(local) => {
                let key = Key::Part { snapshot: local.snapshot, node: local.node };
                let label = self.label(key, local.turn);
                let codec = self.codec.clone();
                let (sender, written) = std::sync::mpsc::sync_channel(1);
                let content = Content::new(move |out| {
                    let LocalSnapshot { state, channels, outgoing, .. } = &local;
                    let contents = Contents { state, channels, outgoing };
                    let part = write_part::<S, M>(&label, &contents, codec.as_deref(), out)?;
                    // The receiver outlives the store's answer; if it is gone, nobody wants to know.
                    let _ = sender.send(part);
                    Ok(())
                });
                match (self.store.create(key, content).await?, written.try_recv()) {
                    (Created::New, Ok(part)) => Ok(StoreAnswer::Written(part)),
                    _ => Err(StoreError::other(format!(
                        "{key} exists already: do two processes run as {}?",
                        self.topology.me()
                    ))),
                }
            }
            StoreRequest::ReadPart { key, expected } => {
                let codec = self.codec.clone();
                let topology = self.topology.clone();
                let (sink, part) = Sink::collecting(move |input| {
                    let expected = expectation(&topology, key, expected.as_ref());
                    readable(read_part::<S, M>(&expected, codec.as_deref(), input))
                });
                self.store.read(key, sink).await?;
                Ok(StoreAnswer::Part(part.take().unwrap_or(Err(PartError::Missing { key }))))
            }
            StoreRequest::VerifyPart { key, expected } => {
                let topology = self.topology.clone();
                let (sink, part) = Sink::collecting(move |input| {
                    readable(verify_part(&expectation(&topology, key, expected.as_ref()), input))
                });
                self.store.read(key, sink).await?;
                Ok(StoreAnswer::Verified(part.take().unwrap_or(Err(PartError::Missing { key }))))
            }
            StoreRequest::ListParts(generation) => {
                self.store.list_parts(generation).await.map(StoreAnswer::Listed)
            }
            StoreRequest::Delete(keys) => Ok(self.delete(keys).await),
        }
    }

    /// Whatever cannot be deleted, the others go. A store that has stopped to answer, or to delete anything, is not asked for each.
    async fn delete<C>(&self, keys: Vec<Key>) -> StoreAnswer<M, C> {
        let (mut left, mut first, mut is_over) = (Vec::new(), None, false);
        for key in keys {
            if !is_over {
                match self.store.delete(key).await {
                    Ok(()) => continue,
                    Err(error) => {
                        is_over = error.is_timed_out() || left.len() + 1 >= MAX_FAILURES;
                        first.get_or_insert_with(|| chain(&error));
                    }
                }
            }
            left.push(key);
        }
        match first {
            None => StoreAnswer::Deleted,
            Some(error) => StoreAnswer::Undeleted { keys: left, error },
        }
    }

    fn label(&self, key: Key, turn: Turn) -> PartLabel {
        let members: Vec<NodeId> = self.topology.members().to_vec();
        PartLabel { group: self.topology.group().to_owned(), members, key, turn }
    }
}

pub(crate) fn expectation<'a>(topology: &'a Topology, key: Key, part: Option<&'a PartRef>) -> Expected<'a> {
    Expected { group: topology.group(), members: topology.members(), key, part }
}

/// A store that gives no bytes has failed, which says nothing of the part (D7): it must not count as damaged.
pub(crate) fn readable<T>(part: Result<T, PartError>) -> std::io::Result<Result<T, PartError>> {
    match part {
        Err(error @ PartError::Unreadable { .. }) => Err(std::io::Error::other(error)),
        part => Ok(part),
    }
}

/// An error and all that caused it, in one line: it goes to other nodes as text.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
