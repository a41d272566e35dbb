//! What this node has captured for the newest snapshots, where holding on to it costs nothing: a group that goes back then need
//! not read it.

use std::collections::BTreeMap;

use crate::contract::state::StateProvider;
use crate::protocol::coordinator::{StoreAnswer, StoreRequest, Ticket};
use crate::vocabulary::id::{NodeId, SnapshotId};
use crate::vocabulary::key::Key;
use crate::vocabulary::part::{LocalSnapshot, PartRef, StoredPart};

/// The most that are held: that of the last commit, and those under way.
const MAX_KEPT: usize = 4;

/// What is in flight is copied. Where it is more than this, in messages, the part is read back instead.
const MAX_MESSAGES: usize = 4096;

/// Parts by their snapshots.
pub(super) struct Keeping<M, C> {
    is_wanted: bool,
    parts: BTreeMap<SnapshotId, Kept<M, C>>,
}

struct Kept<M, C> {
    part: StoredPart<C, M>,
    ticket: Ticket,
    /// What is in the store, when that is known: only then is this the same.
    written: Option<PartRef>,
}

impl<M: Clone, C> Keeping<M, C> {
    pub(super) fn new(is_wanted: bool) -> Self {
        Self { is_wanted, parts: BTreeMap::new() }
    }

    /// A part is about to be written.
    pub(super) fn write<S: StateProvider<Captured = C>>(
        &mut self,
        ticket: Ticket,
        local: &LocalSnapshot<C, M>,
    ) {
        if !self.is_wanted || local.messages() > MAX_MESSAGES {
            return;
        }
        let Some(state) = S::keep(&local.state) else { return };
        let (channels, outgoing) = (local.channels.clone(), local.outgoing.clone());
        let part = StoredPart { turn: local.turn, state, channels, outgoing };
        self.parts.insert(local.snapshot, Kept { part, ticket, written: None });
        while self.parts.len() > MAX_KEPT {
            self.parts.pop_first();
        }
    }

    /// The store has answered.
    pub(super) fn answered(&mut self, ticket: Ticket, answer: &StoreAnswer<M, C>) {
        match answer {
            StoreAnswer::Written(part) => {
                let kept = self.parts.values_mut().find(|kept| kept.ticket == ticket);
                kept.into_iter().for_each(|kept| kept.written = Some(*part));
            }
            StoreAnswer::Failed(_) => self.parts.retain(|_, kept| kept.ticket != ticket),
            _ => {}
        }
    }

    /// A commit is known: nobody goes back behind it.
    pub(super) fn committed(&mut self, snapshot: SnapshotId) {
        self.parts = self.parts.split_off(&snapshot);
    }

    pub(super) fn aborted(&mut self, snapshot: SnapshotId) {
        self.parts.remove(&snapshot);
    }

    /// What reading would bring, if it is held here.
    pub(super) fn read<S: StateProvider<Captured = C>>(
        &self,
        me: NodeId,
        request: &StoreRequest<M, C>,
    ) -> Option<StoredPart<C, M>> {
        let StoreRequest::ReadPart { key: Key::Part { snapshot, node }, expected } = request else {
            return None;
        };
        let kept =
            self.parts.get(snapshot).filter(|kept| kept.written.is_some() && kept.written == *expected)?;
        let state = S::keep(&kept.part.state).filter(|_| *node == me)?;
        let (channels, outgoing) = (kept.part.channels.clone(), kept.part.outgoing.clone());
        Some(StoredPart { turn: kept.part.turn, state, channels, outgoing })
    }
}
