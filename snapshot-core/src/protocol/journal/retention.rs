//! What the listed parts are to a record: sets that are whole, and parts that nobody will need again.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::record::Record;
use crate::vocabulary::id::{NodeId, SnapshotId};
use crate::vocabulary::key::Key;
use crate::vocabulary::retention::Retention;

impl Record {
    /// The uncommitted snapshots of this generation with a part of every member, that J3 does not exclude; ascending.
    pub(crate) fn whole(&self, listed: &[Key]) -> Vec<SnapshotId> {
        let mut sets = BTreeMap::<SnapshotId, BTreeSet<NodeId>>::new();
        for key in listed {
            if let Key::Part { snapshot, node } = *key
                && snapshot.generation == self.generation
                && self.members.contains(&snapshot.initiator)
                && self.members.contains(&node)
                && !self.is_settled(snapshot)
            {
                sets.entry(snapshot).or_default().insert(node);
            }
        }
        sets.into_iter().filter(|(_, parts)| parts.len() == self.members.len()).map(|(id, _)| id).collect()
    }

    /// The parts among those listed that may be deleted, given what this record sums up; ascending, each once.
    ///
    /// A newer record may doom more, never less: a commit that has left `kept` never returns to it, and what this record
    /// excludes from being committed stays so. So acting on an old record is safe. Snapshots that J5 excludes are left until
    /// a later commit of their initiator or generation settles them, or a discard: keys do not tell turns.
    pub(crate) fn doomed(&self, listed: &[Key]) -> Vec<Key> {
        if self.retention == Retention::All {
            return Vec::new();
        }
        let kept: BTreeSet<SnapshotId> = self.kept.iter().map(|(_, snapshot)| *snapshot).collect();
        let is_doomed = |key: &&Key| match key {
            Key::Part { snapshot, .. } if !kept.contains(snapshot) => {
                // Committed and old, given up, or never committed in a generation that is closed.
                snapshot.generation < self.generation
                    || snapshot.generation == self.generation && self.is_settled(*snapshot)
            }
            _ => false,
        };
        listed.iter().filter(is_doomed).copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether a snapshot of this generation is committed, or can never be, since its initiator has committed a later one
    /// (J3), or it was discarded (J6).
    pub(crate) fn is_settled(&self, snapshot: SnapshotId) -> bool {
        self.is_settled_up_to(snapshot.initiator, snapshot.sequence)
    }

    pub(crate) fn is_settled_up_to(&self, initiator: NodeId, sequence: u64) -> bool {
        self.sequences.get(&initiator).is_some_and(|settled| *settled >= sequence)
    }
}
