//! What became of the turns of this node: covered by a commit, undone by a rollback, or open.

use std::collections::BTreeMap;
use std::task::Waker;

use super::waiters::{Place, Waiters};
use super::{TurnError, TurnId};
use crate::{Event, Generation, Turn};

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
