//! Where the branches stand, without processes and clocks: whether they agree with each other and with the journal, and whether a
//! snapshot has committed since the last fault was over.

use snapshot_core::{Generation, NodeId, SnapshotId};

use crate::course::{Astray, place};

/// What is known of the branches, counted from 0.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    at: Vec<Option<Place>>,
    /// The newest snapshot that was begun anywhere.
    begun: Option<SnapshotId>,
    /// A snapshot that counts was begun later than this one.
    lifted: Option<SnapshotId>,
}

/// Where one branch stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    generation: Generation,
    /// Where its generation begins, as it says. A process that has just started says it a moment later.
    start: Option<Option<SnapshotId>>,
}

impl Standing {
    /// So many branches, none of which takes part yet.
    pub(super) fn of(nodes: usize) -> Self {
        Self { at: vec![None; nodes], begun: None, lifted: None }
    }

    pub(super) fn started(&mut self, node: usize, generation: Generation) {
        // What it said of its way back may have come before.
        let known = self.at[node].filter(|place| place.generation == generation);
        self.at[node] = known.or(Some(Place { generation, start: None }));
    }

    pub(super) fn rolled_back(&mut self, node: usize, generation: Generation, start: Option<SnapshotId>) {
        self.at[node] = Some(Place { generation, start: Some(start) });
    }

    pub(super) fn ended(&mut self, node: usize) {
        self.at[node] = None;
    }

    /// A snapshot was begun at some branch.
    pub(super) fn begun(&mut self, snapshot: SnapshotId) {
        if self.begun.is_none_or(|begun| age(snapshot) > age(begun)) {
            self.begun = Some(snapshot);
        }
    }

    /// All faults are over: only snapshots count that are begun from now on.
    pub(super) fn lift(&mut self) {
        self.lifted = self.begun;
    }

    /// Whether all branches are in one generation, and a snapshot of it has committed that was begun since [`lift`](Self::lift).
    pub(super) fn is_settled(&self, commits: &[SnapshotId]) -> bool {
        let Some(generation) = self.generation() else { return false };
        let fresh = |id: &SnapshotId| self.lifted.is_none_or(|lifted| age(*id) > age(lifted));
        commits.last().is_some_and(|id| id.generation == generation && fresh(id))
    }

    /// The generation in which all branches are.
    pub(super) fn generation(&self) -> Option<Generation> {
        let first = self.at.first()?.as_ref()?.generation;
        let same = |place: &Option<Place>| place.is_some_and(|place| place.generation == first);
        self.at.iter().all(same).then_some(first)
    }

    /// Compares what the branches say with each other and with the journal: its generations and where they begin, and its
    /// commits, both in its order.
    ///
    /// # Errors
    ///
    /// If branches of one generation went back to different snapshots, or to another one than the journal says, or if a generation
    /// began behind what was committed before.
    pub(super) fn check(
        &self,
        generations: impl Iterator<Item = (Generation, Option<SnapshotId>)>,
        commits: &[SnapshotId],
    ) -> Result<(), Astray> {
        let journal: Vec<_> = generations.collect();
        let mut committed = commits.iter().copied().peekable();
        let mut newest = None;
        for (generation, start) in &journal {
            while let Some(commit) = committed.next_if(|commit| commit.generation < *generation) {
                newest = Some(commit);
            }
            match newest {
                _ if *start == newest => {}
                Some(newest) => return Err(Astray::Behind { found: place(*start), newest }),
                None => return Err(Astray::Unheard { found: place(*start) }),
            }
        }
        let mut said: Vec<(NodeId, Generation, Option<SnapshotId>)> = Vec::new();
        for (node, at) in self.at.iter().enumerate() {
            let Some(Place { generation, start: Some(start) }) = *at else { continue };
            let one = NodeId(node as u64 + 1);
            if let Some((other, _, its)) =
                said.iter().find(|(_, other, its)| *other == generation && *its != start)
            {
                let (to_one, to_other) = (place(start), place(*its));
                return Err(Astray::Apart { one, other: *other, generation, to_one, to_other });
            }
            said.push((one, generation, start));
            let written = journal.iter().find(|(opened, _)| *opened == generation).map(|(_, start)| *start);
            if written != Some(start) {
                let written = written.map_or_else(|| "nothing of it".to_owned(), place);
                return Err(Astray::NotInJournal { generation, found: place(start), written });
            }
        }
        Ok(())
    }

    /// For people.
    pub(super) fn describe(&self, commits: &[SnapshotId]) -> String {
        let at = |(node, at): (usize, &Option<Place>)| match at {
            Some(Place { generation, start: Some(start) }) => {
                format!("n{} in {generation} from {}", node + 1, place(*start))
            }
            Some(Place { generation, start: None }) => format!("n{} in {generation}", node + 1),
            None => format!("n{} nowhere", node + 1),
        };
        let places: Vec<String> = self.at.iter().enumerate().map(at).collect();
        let newest = |id: Option<SnapshotId>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let committed = newest(commits.last().copied());
        format!("{}; newest begun: {}, committed: {committed}", places.join(", "), newest(self.begun))
    }
}

/// Later snapshots have larger ones.
fn age(snapshot: SnapshotId) -> (Generation, u64) {
    (snapshot.generation, snapshot.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(generation: u64, sequence: u64) -> SnapshotId {
        SnapshotId { generation: Generation(generation), sequence, initiator: NodeId(1) }
    }

    /// A journal: generation 1 from the beginning, and generation 2 from here.
    fn journal(start: Option<SnapshotId>) -> impl Iterator<Item = (Generation, Option<SnapshotId>)> {
        [(Generation(1), None), (Generation(2), start)].into_iter()
    }

    fn back(starts: &[SnapshotId]) -> Standing {
        let mut standing = Standing::of(starts.len());
        for (node, start) in starts.iter().enumerate() {
            standing.started(node, Generation(2));
            standing.rolled_back(node, Generation(2), Some(*start));
        }
        standing
    }

    #[test]
    fn a_group_has_settled_when_all_are_in_one_generation_and_a_snapshot_of_it_has_followed() {
        let mut standing = Standing::of(2);
        standing.started(0, Generation(1));
        assert!(!standing.is_settled(&[id(1, 1)]), "one is missing");
        standing.started(1, Generation(1));
        assert!(standing.is_settled(&[id(1, 1)]));
        standing.begun(id(1, 3));
        standing.begun(id(1, 2));
        standing.lift();
        assert!(!standing.is_settled(&[id(1, 1), id(1, 3)]), "it was begun before");
        assert!(standing.is_settled(&[id(1, 1), id(1, 4)]));
        standing.rolled_back(0, Generation(2), Some(id(1, 4)));
        assert!(!standing.is_settled(&[id(1, 4), id(2, 5)]), "one is in the generation before");
        standing.ended(1);
        standing.rolled_back(1, Generation(2), Some(id(1, 4)));
        standing.started(1, Generation(2));
        assert!(!standing.is_settled(&[id(1, 4)]), "it is of the generation before");
        assert!(standing.is_settled(&[id(1, 4), id(2, 5)]));
        assert_eq!(standing.check(journal(Some(id(1, 4))), &[id(1, 4), id(2, 5)]), Ok(()));
    }

    #[test]
    fn a_process_that_has_only_started_contradicts_nobody() {
        let mut standing = Standing::of(2);
        standing.started(0, Generation(2));
        standing.rolled_back(1, Generation(2), Some(id(1, 1)));
        assert_eq!(standing.check(journal(Some(id(1, 1))), &[id(1, 1)]), Ok(()));
    }

    #[test]
    fn members_that_went_back_to_different_snapshots_are_found() {
        let standing = back(&[id(1, 2), id(1, 1)]);
        let found = standing.check(journal(Some(id(1, 2))), &[id(1, 1), id(1, 2)]);
        assert!(matches!(found, Err(Astray::Apart { .. })), "{found:?}");
    }

    #[test]
    fn a_generation_that_begins_behind_a_commit_is_found() {
        let found = back(&[]).check(journal(Some(id(1, 1))), &[id(1, 1), id(1, 2), id(2, 3)]);
        assert_eq!(found, Err(Astray::Behind { found: "g1/1@n1".to_owned(), newest: id(1, 2) }));
        let found = back(&[]).check(journal(None), &[id(1, 1)]);
        assert!(matches!(found, Err(Astray::Behind { .. })), "{found:?}");
    }

    #[test]
    fn a_generation_that_begins_where_nothing_was_committed_is_found() {
        let found = back(&[]).check(journal(Some(id(1, 1))), &[]);
        assert!(matches!(found, Err(Astray::Unheard { .. })), "{found:?}");
    }

    #[test]
    fn members_that_agree_on_what_the_journal_does_not_say_are_found() {
        let found = back(&[id(1, 1), id(1, 1)]).check(journal(Some(id(1, 2))), &[id(1, 1), id(1, 2)]);
        assert!(matches!(found, Err(Astray::NotInJournal { .. })), "{found:?}");
    }
}
