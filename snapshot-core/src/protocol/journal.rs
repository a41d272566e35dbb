//! The records of the journal and the rules by which the next one may be written. Pure: who reads and writes them is told
//! in the coordinator.
//!
//! Each record sums up all before it (J1), so that the newest one is all that anybody needs: rules J2 to J5 and retention
//! are decided on it alone.

mod pacing;
#[cfg(test)]
mod properties;
mod retention;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::format::envelope::LIMIT;
use crate::format::record::{CommittedSnapshot, Entry, Record, Start};
use crate::vocabulary::id::names;
use crate::vocabulary::id::{Generation, NodeId, SnapshotId};
use crate::vocabulary::part::PartRef;
use crate::vocabulary::retention::Retention;
use crate::vocabulary::topology::Topology;

/// Why a snapshot may not be committed after a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Refusal {
    /// J3: it is not of the newest generation.
    OtherGeneration,
    /// J3: it is in the journal.
    AlreadyCommitted,
    /// J3, J6: a later one of its initiator is in the journal, it is itself and no longer kept, or it was discarded.
    Settled,
    /// J4: there is not just one part of each member, its initiator is no member, or a number in it is beyond all bounds.
    NotWhole,
    /// J5: it is behind the last commit on some node.
    Superseded,
}

impl Record {
    /// The record that opens the first generation of a group.
    pub(crate) fn first(topology: &Topology, retention: Retention, nonce: u64) -> Self {
        Self {
            index: 1,
            nonce,
            author: topology.me(),
            entry: Entry::Generation { given_up: Vec::new() },
            group: topology.group().to_owned(),
            members: topology.members().to_vec(),
            retention: retention.within_bounds(),
            generation: Generation::FIRST,
            opened: Some(nonce),
            start: Start::Initial,
            last: None,
            sequences: BTreeMap::new(),
            kept: Vec::new(),
        }
    }

    /// Where a generation that is opened now begins: the last commit of this one, else this one's own start.
    pub(crate) fn restart_point(&self) -> Start {
        self.last.clone().map_or_else(|| self.start.clone(), Start::Snapshot)
    }

    /// The sequence of the snapshot that this generation begins at, from which its own count on (I1); else 0.
    pub(crate) fn start_sequence(&self) -> u64 {
        match &self.start {
            Start::Initial => 0,
            Start::Snapshot(start) => start.snapshot.sequence,
        }
    }

    /// J2: the record that opens the next generation, at the restart point.
    pub(crate) fn open(&self, author: NodeId, nonce: u64) -> Self {
        self.open_from(self.restart_point(), author, nonce)
    }

    /// J2: the record that opens the next generation at `start`. Commits behind it leave the lineage, and are named as
    /// given up as far as this record names them.
    pub(crate) fn open_from(&self, start: Start, author: NodeId, nonce: u64) -> Self {
        let (mut kept, given_up) = match &start {
            Start::Initial => (Vec::new(), self.kept.clone()),
            Start::Snapshot(start) => self.kept.iter().partition(|(index, _)| *index <= start.index),
        };
        if let Start::Snapshot(start) = &start
            && kept.last() != Some(&(start.index, start.snapshot))
        {
            kept.push((start.index, start.snapshot));
        }
        Self {
            index: self.index + 1,
            nonce,
            author,
            entry: Entry::Generation {
                given_up: given_up.into_iter().map(|(_, snapshot)| snapshot).collect(),
            },
            generation: self.generation.next(),
            opened: Some(nonce),
            start,
            last: None,
            sequences: BTreeMap::new(),
            kept: self.newest(kept),
            ..self.clone()
        }
    }

    /// The record that commits a snapshot.
    ///
    /// # Errors
    ///
    /// The rule that forbids it.
    pub(crate) fn commit(
        &self,
        snapshot: SnapshotId,
        parts: BTreeMap<NodeId, PartRef>,
        author: NodeId,
        nonce: u64,
    ) -> Result<Self, Refusal> {
        if snapshot.generation != self.generation {
            return Err(Refusal::OtherGeneration);
        }
        if self.kept.iter().any(|(_, id)| *id == snapshot) {
            return Err(Refusal::AlreadyCommitted);
        }
        if self.is_settled(snapshot) {
            return Err(Refusal::Settled);
        }
        // A record that nobody can read would end the group for good, so nothing gets in that `decode` refuses.
        let sane = |part: &PartRef| part.turn.0 < LIMIT && part.size < LIMIT;
        let whole = self.members.iter().eq(parts.keys()) && parts.values().all(sane);
        if !whole || !self.members.contains(&snapshot.initiator) || snapshot.sequence >= LIMIT {
            return Err(Refusal::NotWhole);
        }
        if let Some(last) = &self.last
            && last.parts.iter().any(|(node, part)| parts.get(node).is_none_or(|new| new.turn < part.turn))
        {
            return Err(Refusal::Superseded);
        }
        let index = self.index + 1;
        let mut kept = self.kept.clone();
        kept.push((index, snapshot));
        let mut sequences = self.sequences.clone();
        sequences.insert(snapshot.initiator, snapshot.sequence);
        Ok(Self {
            index,
            nonce,
            author,
            entry: Entry::Commit,
            last: Some(CommittedSnapshot { snapshot, index, parts }),
            sequences,
            kept: self.newest(kept),
            ..self.clone()
        })
    }

    /// J6: the record after which no snapshot up to these is committed any more, by initiator. What is settled already stays so.
    pub(crate) fn discard(&self, upto: &BTreeMap<NodeId, u64>, author: NodeId, nonce: u64) -> Self {
        let mut sequences = self.sequences.clone();
        for (node, sequence) in upto {
            let settled = sequences.entry(*node).or_default();
            *settled = (*settled).max(*sequence);
        }
        Self { index: self.index + 1, nonce, author, entry: Entry::Discard, sequences, ..self.clone() }
    }

    /// Whether the store belongs to this group.
    ///
    /// # Errors
    ///
    /// If it is another group's, or this one's with other members.
    pub(crate) fn check(&self, topology: &Topology) -> Result<(), ForeignStore> {
        if self.group != topology.group() {
            return Err(ForeignStore::OtherGroup {
                stored: self.group.clone(),
                ours: topology.group().to_owned(),
            });
        }
        if self.members != topology.members() {
            let (stored, ours) = (self.members.clone(), topology.members().to_vec());
            return Err(ForeignStore::OtherMembers { stored, ours });
        }
        Ok(())
    }

    fn newest(&self, mut kept: Vec<(u64, SnapshotId)>) -> Vec<(u64, SnapshotId)> {
        kept.split_off(kept.len().saturating_sub(self.retention.named()))
    }
}

/// The store belongs to somebody else.
///
/// ```
/// use snapshot_core::ForeignStore;
/// let error = ForeignStore::OtherGroup { stored: "billing".to_owned(), ours: "stock".to_owned() };
/// assert!(error.to_string().contains("Graph::named"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum ForeignStore {
    /// It has the journal of another group.
    #[error(
        "the store is of the group '{stored}', and this one is '{ours}': open the store of this group, \
         or give the graph its name with `Graph::named`"
    )]
    OtherGroup {
        /// The group that it belongs to.
        stored: String,
        /// The group that was to use it.
        ours: String,
    },
    /// It has the journal of a group with other members.
    #[error(
        "the store is of a group with the members {}, and this one has {}: a group cannot change its members yet; \
         give it the members of the store, or a fresh store",
        names(.stored),
        names(.ours)
    )]
    OtherMembers {
        /// The members in the store.
        stored: Vec<NodeId>,
        /// The members of the group that was to use it.
        ours: Vec<NodeId>,
    },
}
