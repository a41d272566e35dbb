//! What became of the turns of this node: covered by a commit, undone by a rollback, or open.

use std::collections::BTreeMap;
use std::task::Waker;

use super::waiters::{Place, Waiters};
use super::{TurnError, TurnId};
use crate::vocabulary::event::Event;
use crate::vocabulary::id::{Generation, Turn};

/// Of this many rollbacks it is known which turns survived them. What began before counts as undone.
const ROLLBACKS: usize = 1024;

/// What the application of this node has been told.
#[derive(Debug)]
pub(super) struct History {
    generation: Generation,
    /// The last turn that is covered.
    covered: Turn,
    /// For each generation that began after this process did: the last turn that it kept of those before it.
    kept: BTreeMap<Generation, Turn>,
    /// The last generation that has left `kept`.
    forgotten: Generation,
    ended: bool,
    closed: bool,
    waiting: Waiters<TurnId>,
}

impl History {
    pub(super) fn new(generation: Generation) -> Self {
        Self {
            generation,
            covered: Turn(0),
            kept: BTreeMap::new(),
            forgotten: Generation(0),
            ended: false,
            closed: false,
            waiting: Waiters::new(),
        }
    }

    /// Learns from an event that is being handed out, and gives the tasks that this concerns.
    pub(super) fn observe<M, C>(&mut self, event: &Event<M, C>, due: &mut Vec<Waker>) {
        match *event {
            Event::Committed { turn, .. } => {
                self.covered = self.covered.max(turn);
                due.extend(self.waiting.up_to(TurnId { generation: self.generation, turn }));
            }
            Event::RolledBack { generation, turn, .. } => {
                self.generation = generation;
                self.covered = turn;
                self.kept.insert(generation, turn);
                if self.kept.len() > ROLLBACKS
                    && let Some((forgotten, _)) = self.kept.pop_first()
                {
                    self.forgotten = forgotten;
                }
                due.extend(self.waiting.all());
            }
            _ => {}
        }
    }

    pub(super) fn end(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.ended = true;
        self.waiting.all()
    }

    pub(super) fn close(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.closed = true;
        self.waiting.all()
    }

    /// Something, when the driver is done.
    pub(super) fn is_closed(&self) -> Option<()> {
        self.closed.then_some(())
    }

    /// What became of a turn; `None`: that is open.
    pub(super) fn verdict(&self, at: TurnId) -> Option<Result<(), TurnError>> {
        // Every rollback since then counts: one that falls back behind a damaged snapshot keeps less than those before it.
        let mut later = self.kept.iter().filter(|(generation, _)| **generation > at.generation);
        if at.generation < self.forgotten || later.any(|(_, kept)| at.turn > *kept) {
            return Some(Err(TurnError::RolledBack));
        }
        if at.generation < self.generation || at.turn <= self.covered {
            return Some(Ok(()));
        }
        self.ended.then_some(Err(TurnError::Ended))
    }

    /// Why nothing of this generation goes on, where that is so.
    pub(super) fn is_over(&self, generation: Generation) -> Option<TurnError> {
        if generation != self.generation {
            Some(TurnError::RolledBack)
        } else {
            self.ended.then_some(TurnError::Ended)
        }
    }

    pub(super) fn wait(&mut self, place: &mut Place<TurnId>, at: TurnId, waker: &Waker) {
        self.waiting.wait(place, at, waker);
    }

    pub(super) fn leave(&mut self, place: &mut Place<TurnId>) {
        self.waiting.leave(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::{NodeId, SnapshotId};

    const UNDONE: Option<Result<(), TurnError>> = Some(Err(TurnError::RolledBack));
    const COVERED: Option<Result<(), TurnError>> = Some(Ok(()));

    fn committed(history: &mut History, turn: u64) -> usize {
        let snapshot = SnapshotId { generation: history.generation, sequence: 1, initiator: NodeId(1) };
        observed(history, &Event::Committed { snapshot, turn: Turn(turn), report: None })
    }

    fn rolled_back(history: &mut History, generation: u64, turn: u64) -> usize {
        let generation = Generation(generation);
        observed(history, &Event::RolledBack { generation, snapshot: None, turn: Turn(turn) })
    }

    /// How many tasks are woken by it.
    fn observed(history: &mut History, event: &Event<(), ()>) -> usize {
        let mut due = Vec::new();
        history.observe(event, &mut due);
        due.len()
    }

    fn at(generation: u64, turn: u64) -> TurnId {
        TurnId { generation: Generation(generation), turn: Turn(turn) }
    }

    #[test]
    fn a_turn_is_open_until_a_commit_covers_it_or_a_rollback_undoes_it() {
        let mut history = History::new(Generation(1));
        assert_eq!(history.verdict(at(1, 5)), None);
        committed(&mut history, 5);
        assert_eq!([5, 6].map(|turn| history.verdict(at(1, turn))), [COVERED, None]);
        rolled_back(&mut history, 2, 5);
        assert_eq!([5, 6].map(|turn| history.verdict(at(1, turn))), [COVERED, UNDONE]);
        assert_eq!([5, 6].map(|turn| history.verdict(at(2, turn))), [COVERED, None], "the numbers go on");
        committed(&mut history, 6);
        assert_eq!([6, 7].map(|turn| history.verdict(at(2, turn))), [COVERED, None]);
        assert_eq!(history.verdict(at(1, 6)), UNDONE, "that was another turn of this number");
        rolled_back(&mut history, 3, 4);
        assert_eq!([4, 5].map(|turn| history.verdict(at(1, turn))), [COVERED, UNDONE], "the group fell back");
        assert_eq!(
            [4, 5].map(|turn| history.verdict(at(3, turn))),
            [COVERED, None],
            "5 is not that of before"
        );
        assert_eq!([4, 5].map(|turn| history.verdict(at(3, turn))), [COVERED, None], "so did the numbers");
    }

    #[test]
    fn who_waits_is_woken_by_what_decides_and_leaves_nothing_behind() {
        let mut history = History::new(Generation(1));
        let (mut early, mut late) = (Place::new(), Place::new());
        history.wait(&mut early, at(1, 5), Waker::noop());
        history.wait(&mut late, at(1, 6), Waker::noop());
        assert_eq!(committed(&mut history, 5), 1);
        history.leave(&mut early);
        assert_eq!(rolled_back(&mut history, 2, 5), 1);
        history.leave(&mut late);
        history.wait(&mut late, at(2, 6), Waker::noop());
        history.leave(&mut late);
        assert_eq!((history.end().count(), history.close().count()), (0, 0));
        assert_eq!(history.verdict(at(2, 6)), Some(Err(TurnError::Ended)));
        assert_eq!(history.verdict(at(2, 5)), COVERED, "what was covered stays so");
    }

    #[test]
    fn what_began_before_all_rollbacks_that_are_remembered_counts_as_undone() {
        let rollbacks = |count: u64| {
            let mut history = History::new(Generation(1));
            for n in 0..count {
                rolled_back(&mut history, n + 2, 10);
            }
            history
        };
        let many = ROLLBACKS as u64;
        assert_eq!(rollbacks(many).verdict(at(1, 10)), COVERED, "all of them are remembered");
        // That of generation 2 is forgotten: what it kept of generation 1 is not known any more.
        let history = rollbacks(many + 1);
        assert_eq!([1, 2].map(|generation| history.verdict(at(generation, 10))), [UNDONE, COVERED]);
        assert_eq!(rollbacks(many + 2).verdict(at(2, 10)), UNDONE);
    }
}
