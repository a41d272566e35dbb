//! What a prefix of the journal sums up, and which record may follow it: the definitions of the same names in the
//! specification.

use std::collections::{BTreeMap, BTreeSet};

use snapshot_core::{NodeId, SnapshotId};

use super::line::{Counts, Entry, PartKey, Record};

/// The records that somebody has read.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a>(pub(super) &'a [Record]);

impl View<'_> {
    pub(super) fn newest(self) -> u64 {
        self.opens().last().map_or(0, |(_, generation, _)| generation)
    }

    fn opens(&self) -> impl DoubleEndedIterator<Item = (usize, u64, Option<SnapshotId>)> {
        self.0.iter().enumerate().filter_map(|(at, record)| match &record.entry {
            Entry::Open(generation, start) => Some((at, generation.0, *start)),
            Entry::Commit(..) | Entry::Discard(_) => None,
        })
    }

    fn commits(&self) -> impl DoubleEndedIterator<Item = (SnapshotId, &Counts)> {
        self.0.iter().filter_map(|record| match &record.entry {
            Entry::Commit(snapshot, turns) => Some((*snapshot, turns)),
            Entry::Open(..) | Entry::Discard(_) => None,
        })
    }

    /// The commits of the newest generation.
    fn own(&self) -> impl DoubleEndedIterator<Item = (SnapshotId, &Counts)> {
        let newest = self.newest();
        self.commits().filter(move |(id, _)| id.generation.0 == newest)
    }

    /// J7: whether so many generations in a row have committed nothing that the next one is not opened at once.
    pub(super) fn pauses(self) -> bool {
        let fruitful = self.restart().map_or(0, |last| last.generation.0);
        self.newest().saturating_sub(fruitful) > 4
    }

    /// Where the next generation begins.
    pub(super) fn restart(self) -> Option<SnapshotId> {
        self.commits().next_back().map(|(id, _)| id)
    }

    /// Where the newest generation began.
    pub(super) fn start(self) -> Option<SnapshotId> {
        self.opens().next_back().and_then(|(_, _, start)| start)
    }

    /// Whether its initiator has committed it, or a later one of this generation, or it was discarded.
    pub(super) fn is_settled(self, id: SnapshotId) -> bool {
        self.is_discarded(id)
            || self.own().any(|(own, _)| own.initiator == id.initiator && own.sequence >= id.sequence)
    }

    /// J6: by a record of the newest generation.
    fn is_discarded(self, id: SnapshotId) -> bool {
        let own = self.0.iter().rev().take_while(|record| !matches!(record.entry, Entry::Open(..)));
        own.filter_map(|record| match &record.entry {
            Entry::Discard(upto) => upto.get(&id.initiator),
            _ => None,
        })
        .any(|sequence| *sequence >= id.sequence)
    }

    /// Whether this part of a node is of a snapshot that no later record commits, if none before has: J3, J5, J6.
    pub(super) fn is_dead(self, node: NodeId, id: SnapshotId, turn: u64) -> bool {
        let newest = self.newest();
        let behind =
            self.own().next_back().and_then(|(_, turns)| turns.get(&node)).is_some_and(|last| turn < *last);
        id.generation.0 < newest || id.generation.0 == newest && (behind || self.is_settled(id))
    }

    /// J3, J5 and J6.
    pub(super) fn may_commit(self, id: SnapshotId, turns: &Counts) -> Result<(), String> {
        if id.generation.0 != self.newest() {
            return Err(format!("J3: {id} is not of the newest generation"));
        }
        if self.commits().any(|(other, _)| other == id) {
            return Err(format!("J3: {id} is committed already"));
        }
        if let Some((later, _)) =
            self.own().find(|(o, _)| o.initiator == id.initiator && o.sequence > id.sequence)
        {
            return Err(format!("J3: its initiator has committed {later}, which is later"));
        }
        if self.is_discarded(id) {
            return Err(format!("J6: {id} was discarded"));
        }
        let behind = self.own().next_back().and_then(|(last, before)| {
            let node = before.iter().find(|(node, turn)| turns.get(node).is_none_or(|new| new < turn))?.0;
            Some(format!("J5: {id} is behind {last} on {node}"))
        });
        behind.map_or(Ok(()), Err)
    }

    /// The commits that are kept; `keep` 0: all.
    pub(super) fn kept(self, keep: u64) -> Vec<SnapshotId> {
        let all: Vec<_> = self.commits().map(|(id, _)| id).collect();
        let dropped =
            if keep == 0 { 0 } else { all.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX)) };
        all[dropped..].to_vec()
    }

    /// The parts that may be deleted, of those listed.
    pub(super) fn doomed(self, keep: u64, listed: &[PartKey]) -> Vec<PartKey> {
        if keep == 0 {
            return Vec::new();
        }
        let (kept, newest) = (self.kept(keep), self.newest());
        let gone = |id: SnapshotId| {
            !kept.contains(&id)
                && (id.generation.0 < newest || id.generation.0 == newest && self.is_settled(id))
        };
        listed.iter().filter(|(_, id)| id.is_some_and(gone)).copied().collect()
    }

    /// The snapshots with a part of every member that J3 does not exclude, of those listed; ascending.
    pub(super) fn whole(self, members: usize, listed: &[PartKey]) -> Vec<SnapshotId> {
        let mut sets = BTreeMap::<SnapshotId, BTreeSet<_>>::new();
        for (node, id) in listed {
            if let Some(id) = id.filter(|id| id.generation.0 == self.newest() && !self.is_settled(*id)) {
                sets.entry(id).or_default().insert(*node);
            }
        }
        sets.into_iter().filter(|(_, nodes)| nodes.len() == members).map(|(id, _)| id).collect()
    }
}
