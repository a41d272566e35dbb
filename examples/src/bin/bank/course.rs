//! The course of a run, without processes and clocks: who is killed when, whether the bank has come back, when all is done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use snapshot_core::{Generation, NodeId, SnapshotId};
use thiserror::Error;

/// What is known of a run. Times are counted from its beginning.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    branches: Vec<NodeId>,
    seconds: Duration,
    kills: Vec<Kill>,
    done: usize,
    up: BTreeSet<NodeId>,
    /// The committed snapshots, in the order of the journal.
    commits: Vec<SnapshotId>,
    given_up: BTreeSet<SnapshotId>,
    return_to: Option<Return>,
    /// Commits count as progress from this generation on.
    since: Generation,
    possible: Option<Duration>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Kill {
    victim: NodeId,
    due: Duration,
    /// Waited from the moment when it is possible, so that kills fall anywhere between two snapshots.
    delay: Duration,
}

/// The way back of all branches after one was killed, or all were.
#[derive(Clone, Debug)]
struct Return {
    began: Duration,
    /// How many snapshots were committed before.
    covered: usize,
    back: BTreeMap<NodeId, (Generation, Option<SnapshotId>)>,
}

/// All branches stand at the same place again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Back {
    pub(crate) generation: Generation,
    pub(crate) snapshot: Option<SnapshotId>,
    pub(crate) took: Duration,
}

/// The bank did not do what it must.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum Astray {
    #[error(
        "{one} and {other} are in {generation} and went back to different snapshots: {to_one} and {to_other}"
    )]
    Apart { one: NodeId, other: NodeId, generation: Generation, to_one: String, to_other: String },
    #[error("the bank went back to {found}, behind {newest}, which was committed before")]
    Behind { found: String, newest: SnapshotId },
    #[error("the bank went back to {0}, which is not a committed snapshot")]
    NotCommitted(SnapshotId),
    #[error("a generation begins at {found}, before anything was committed")]
    #[cfg(unix)]
    Unheard { found: String },
    #[error("{generation} went back to {found}, and the journal says {written}")]
    NotInJournal { generation: Generation, found: String, written: String },
}

impl Course {
    /// A run of so many seconds and kills.
    pub(crate) fn new(
        branches: &[NodeId],
        seconds: Duration,
        kills: u32,
        interval: Duration,
        seed: u64,
    ) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let kill = |i: u32| Kill {
            victim: branches[dice.usize(..branches.len())],
            due: seconds * (i + 1) / (kills + 1),
            delay: interval.mul_f64(dice.f64()),
        };
        Self {
            kills: (0..kills).map(kill).collect(),
            branches: branches.to_vec(),
            seconds,
            done: 0,
            up: BTreeSet::new(),
            commits: Vec::new(),
            given_up: BTreeSet::new(),
            return_to: None,
            since: Generation::FIRST,
            possible: None,
        }
    }

    /// There are commits of earlier runs: the branches must begin by going back to the newest.
    pub(crate) fn resumed(mut self, commits: Vec<SnapshotId>) -> Self {
        if !commits.is_empty() {
            self.return_to =
                Some(Return { began: Duration::ZERO, covered: commits.len(), back: BTreeMap::new() });
        }
        self.commits = commits;
        self
    }

    /// A branch takes part.
    pub(crate) fn started(&mut self, branch: NodeId, generation: Generation) {
        self.up.insert(branch);
        if self.done == 0 && self.return_to.is_none() {
            self.since = self.since.max(generation);
        }
    }

    /// A snapshot is committed; they come in the order of the journal.
    pub(crate) fn committed(&mut self, snapshot: SnapshotId) {
        self.commits.push(snapshot);
    }

    /// These are damaged, and the group has gone back behind them, as it was allowed to.
    pub(crate) fn gave_up(&mut self, snapshots: impl IntoIterator<Item = SnapshotId>) {
        self.given_up.extend(snapshots);
    }

    /// Whether all of these were given up.
    pub(crate) fn has_given_up(&self, snapshots: &[SnapshotId]) -> bool {
        snapshots.iter().all(|id| self.given_up.contains(id))
    }

    /// The committed snapshots, in the order of the journal.
    pub(crate) fn commits(&self) -> &[SnapshotId] {
        &self.commits
    }

    /// Whether all branches have said that they went back, be it not to the same place.
    pub(crate) fn has_gone_back(&self) -> bool {
        self.return_to.as_ref().is_some_and(|way| way.back.len() == self.branches.len())
    }

    /// A branch has gone back.
    pub(crate) fn rolled_back(&mut self, branch: NodeId, to: (Generation, Option<SnapshotId>)) {
        if let Some(way) = &mut self.return_to {
            way.back.insert(branch, to);
        }
    }

    /// Whether all branches have come back since the last kill; told once. All that is committed must be known.
    ///
    /// # Errors
    ///
    /// If not all went to the same place, or if that is behind what was committed.
    ///
    /// `start_of` tells where the journal says that a generation begins.
    pub(crate) fn returned(
        &mut self,
        now: Duration,
        start_of: impl Fn(Generation) -> Option<Option<SnapshotId>>,
    ) -> Result<Option<Back>, Astray> {
        let Some(way) = &self.return_to else { return Ok(None) };
        let Some(generation) = way.back.values().map(|(generation, _)| *generation).max() else {
            return Ok(None);
        };
        let mut there =
            way.back.iter().filter(|(_, back)| back.0 == generation).map(|(node, back)| (*node, back.1));
        let Some((one, snapshot)) = there.next() else { return Ok(None) };
        let mut count = 1;
        for (other, its) in there {
            if its != snapshot {
                let (to_one, to_other) = (place(snapshot), place(its));
                return Err(Astray::Apart { one, other, generation, to_one, to_other });
            }
            count += 1;
        }
        if count < self.branches.len() || self.up.len() < self.branches.len() {
            return Ok(None);
        }
        self.check_start(snapshot, way.covered)?;
        let written = start_of(generation);
        if written != Some(snapshot) {
            let written = written.map_or_else(|| "nothing of it".to_owned(), place);
            return Err(Astray::NotInJournal { generation, found: place(snapshot), written });
        }
        let back = Back { generation, snapshot, took: now.saturating_sub(way.began) };
        self.return_to = None;
        self.since = generation;
        Ok(Some(back))
    }

    fn check_start(&self, snapshot: Option<SnapshotId>, covered: usize) -> Result<(), Astray> {
        let position = |id: &SnapshotId| self.commits.iter().position(|commit| commit == id);
        if let Some(unknown) = snapshot.filter(|id| position(id).is_none()) {
            return Err(Astray::NotCommitted(unknown));
        }
        let newest = self.commits[..covered].iter().rev().find(|id| !self.given_up.contains(id));
        match newest {
            Some(newest) if snapshot.as_ref().and_then(position) < position(newest) => {
                Err(Astray::Behind { found: place(snapshot), newest: *newest })
            }
            _ => Ok(()),
        }
    }

    /// The branch to be killed now, if one is.
    pub(crate) fn kill(&mut self, now: Duration) -> Option<NodeId> {
        let kill = self.kills.get(self.done)?;
        if !self.is_sound() {
            return None;
        }
        let possible = *self.possible.get_or_insert(now);
        if now < kill.due.max(possible + kill.delay) {
            return None;
        }
        let victim = kill.victim;
        self.possible = None;
        self.done += 1;
        self.up.remove(&victim);
        self.return_to = Some(Return { began: now, covered: self.commits.len(), back: BTreeMap::new() });
        Some(victim)
    }

    /// Whether all that was to be shown has been.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        now >= self.seconds && self.done == self.kills.len() && self.is_sound()
    }

    /// How many kills there were.
    pub(crate) fn kills(&self) -> usize {
        self.done
    }

    /// Whether a branch takes part.
    pub(crate) fn is_up(&self, branch: NodeId) -> bool {
        self.up.contains(&branch)
    }

    /// What is being waited for, for people.
    pub(crate) fn waiting_for(&self) -> String {
        let missing = |there: &dyn Fn(&NodeId) -> bool| -> String {
            let names: Vec<String> =
                self.branches.iter().filter(|b| !there(b)).map(ToString::to_string).collect();
            names.join(", ")
        };
        if self.up.len() < self.branches.len() {
            return format!("{} to start", missing(&|branch| self.up.contains(branch)));
        }
        if let Some(way) = &self.return_to {
            let newest = way.back.values().map(|back| back.0).max();
            let back = |branch: &NodeId| way.back.get(branch).is_some_and(|back| Some(back.0) == newest);
            return format!("{} to go back to the newest committed snapshot", missing(&back));
        }
        "the next committed snapshot".to_owned()
    }

    /// All branches are there, and there was a commit since the last kill.
    fn is_sound(&self) -> bool {
        let fresh = self.commits.last().is_some_and(|id| id.generation >= self.since);
        self.up.len() == self.branches.len() && self.return_to.is_none() && fresh
    }
}

/// A snapshot, or the beginning, for people.
pub(crate) fn place(snapshot: Option<SnapshotId>) -> String {
    snapshot.map_or_else(|| "the beginning".to_owned(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const SECOND: Duration = Duration::from_secs(1);

    fn id(generation: u64, sequence: u64) -> SnapshotId {
        SnapshotId { generation: Generation(generation), sequence, initiator: A }
    }

    /// A journal in which generation 2 begins here.
    fn journal(start: SnapshotId) -> impl Fn(Generation) -> Option<Option<SnapshotId>> {
        move |generation| (generation == Generation(2)).then_some(Some(start))
    }

    fn course(kills: u32) -> Course {
        let mut course = Course::new(&[A, B], 10 * SECOND, kills, SECOND, 7);
        course.started(A, Generation(1));
        course.started(B, Generation(1));
        course
    }

    fn killed(course: &mut Course) -> NodeId {
        // Asked once when it becomes possible, once when any delay has passed.
        assert_eq!(course.kill(20 * SECOND), None);
        let victim = course.kill(30 * SECOND).expect("a kill is due");
        course.started(victim, Generation(2));
        victim
    }

    #[test]
    fn nobody_is_killed_before_a_snapshot_is_committed() {
        let mut course = course(1);
        assert_eq!((course.kill(60 * SECOND), course.kill(90 * SECOND)), (None, None));
        course.committed(id(1, 1));
        assert!(!course.is_over(90 * SECOND));
        course.kill(90 * SECOND);
        assert!(course.kill(91 * SECOND).is_some());
    }

    #[test]
    fn a_kill_waits_for_its_time() {
        let mut course = course(1);
        course.committed(id(1, 1));
        assert_eq!(course.kill(SECOND), None);
        assert_eq!(course.kill(4 * SECOND), None);
        assert!(course.kill(5 * SECOND).is_some());
    }

    #[test]
    fn the_run_is_over_when_all_have_come_back_and_a_snapshot_has_followed() {
        let mut course = course(1);
        course.committed(id(1, 1));
        killed(&mut course);
        assert_eq!(course.returned(31 * SECOND, journal(id(1, 1))), Ok(None));
        course.rolled_back(A, (Generation(2), Some(id(1, 1))));
        assert_eq!(course.returned(31 * SECOND, journal(id(1, 1))), Ok(None));
        assert!(course.waiting_for().starts_with("n2 to go back"), "{}", course.waiting_for());
        course.rolled_back(B, (Generation(2), Some(id(1, 1))));
        let back = Back { generation: Generation(2), snapshot: Some(id(1, 1)), took: SECOND };
        assert_eq!(course.returned(31 * SECOND, journal(id(1, 1))), Ok(Some(back)));
        assert!(!course.is_over(32 * SECOND));
        course.committed(id(2, 2));
        assert!(course.is_over(32 * SECOND));
    }

    #[test]
    fn branches_that_go_back_to_different_snapshots_are_found() {
        let mut course = course(1);
        course.committed(id(1, 1));
        course.committed(id(1, 2));
        killed(&mut course);
        course.rolled_back(A, (Generation(2), Some(id(1, 2))));
        course.rolled_back(B, (Generation(2), Some(id(1, 1))));
        assert!(matches!(course.returned(31 * SECOND, journal(id(1, 1))), Err(Astray::Apart { .. })));
    }

    #[test]
    fn going_back_behind_a_commit_is_found() {
        let mut course = course(1);
        course.committed(id(1, 1));
        course.committed(id(1, 2));
        killed(&mut course);
        for branch in [A, B] {
            course.rolled_back(branch, (Generation(2), Some(id(1, 1))));
        }
        let mut allowed = course.clone();
        let behind = Astray::Behind { found: "g1/1@n1".to_owned(), newest: id(1, 2) };
        assert_eq!(course.returned(31 * SECOND, journal(id(1, 1))), Err(behind));
        allowed.gave_up([id(1, 2)]);
        assert!(matches!(allowed.returned(31 * SECOND, journal(id(1, 1))), Ok(Some(_))));
    }

    #[test]
    fn a_start_that_was_never_committed_is_found() {
        let mut course = course(1);
        course.committed(id(1, 1));
        killed(&mut course);
        for branch in [A, B] {
            course.rolled_back(branch, (Generation(2), Some(id(1, 9))));
        }
        assert_eq!(course.returned(31 * SECOND, journal(id(1, 1))), Err(Astray::NotCommitted(id(1, 9))));
    }

    #[test]
    fn branches_that_agree_on_what_the_journal_does_not_say_are_found() {
        let mut course = course(1);
        course.committed(id(1, 1));
        killed(&mut course);
        course.committed(id(1, 2));
        for branch in [A, B] {
            course.rolled_back(branch, (Generation(2), Some(id(1, 1))));
        }
        assert!(matches!(course.returned(31 * SECOND, journal(id(1, 2))), Err(Astray::NotInJournal { .. })));
    }

    #[test]
    fn a_branch_that_stays_in_the_old_generation_is_waited_for() {
        let mut course = course(1);
        course.committed(id(1, 1));
        killed(&mut course);
        course.rolled_back(A, (Generation(2), Some(id(1, 1))));
        course.rolled_back(B, (Generation(2), Some(id(1, 1))));
        course.rolled_back(B, (Generation(3), Some(id(1, 1))));
        assert_eq!(course.returned(31 * SECOND, journal(id(1, 1))), Ok(None));
        assert!(course.waiting_for().starts_with("n1 to go back"), "{}", course.waiting_for());
    }

    #[test]
    fn a_resumed_run_goes_back_to_the_newest_commit_first() {
        let mut course = Course::new(&[A], SECOND, 0, SECOND, 7).resumed(vec![id(1, 1), id(1, 2)]);
        course.started(A, Generation(2));
        assert!(!course.is_over(5 * SECOND));
        course.rolled_back(A, (Generation(2), Some(id(1, 1))));
        assert!(matches!(course.clone().returned(5 * SECOND, journal(id(1, 2))), Err(Astray::Behind { .. })));
        course.rolled_back(A, (Generation(2), Some(id(1, 2))));
        assert!(matches!(course.returned(5 * SECOND, journal(id(1, 2))), Ok(Some(_))));
        course.committed(id(2, 3));
        assert!(course.is_over(5 * SECOND));
    }
}
