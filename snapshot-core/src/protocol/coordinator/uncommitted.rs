//! Work that can still be lost, and a bound on it: beyond that, new work waits for a commit.

use std::time::Duration;

use super::SnapshotCoordinator;
use super::phase::Phase;
use crate::vocabulary::event::Event;
use crate::vocabulary::id::Turn;

/// The turns that no commit covers.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Uncommitted {
    /// The last turn that a commit covers.
    covered: Turn,
    /// When there was first seen to be a turn that none covers.
    since: Option<Duration>,
    /// They are too many, or too old: new work waits.
    pub(super) too_much: bool,
    /// The application was told.
    told: bool,
}

impl Uncommitted {
    /// The group begins at a state as of this turn.
    pub(super) fn begin(&mut self, at: Turn) {
        *self = Self { covered: at, ..Self::default() };
    }
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    fn uncommitted_turns(&self) -> u64 {
        self.ended.0.saturating_sub(self.uncommitted.covered.0)
    }

    /// A turn has ended.
    #[inline]
    pub(super) fn count_turn(&mut self) {
        if let Some(most) = self.settings.max_uncommitted {
            self.uncommitted.too_much |= self.uncommitted_turns() > most.turns;
        }
    }

    /// A commit covers all up to this turn.
    pub(super) fn covered(&mut self, now: Duration, turn: Turn) {
        let Some(most) = self.settings.max_uncommitted else { return };
        self.uncommitted.covered = self.uncommitted.covered.max(turn);
        let left = self.uncommitted_turns();
        // Those that are left are younger than the capture, and so younger than the commit by no more than that took.
        self.uncommitted.since = (left > 0).then_some(now);
        self.uncommitted.too_much = left > most.turns;
        self.uncommitted.told &= self.uncommitted.too_much;
    }

    /// When the application is to be told, or the oldest turn is too old.
    pub(super) fn next_uncommitted(&self) -> Option<Duration> {
        let most = self.settings.max_uncommitted?;
        if self.phase != Phase::Running || self.uncommitted.told || self.uncommitted_turns() == 0 {
            return None;
        }
        match self.uncommitted.since {
            // At once: only then it is known what time it is.
            None => Some(Duration::ZERO),
            Some(_) if self.uncommitted.too_much => Some(Duration::ZERO),
            Some(since) => Some(since.saturating_add(most.age)),
        }
    }

    pub(super) fn bound_uncommitted(&mut self, now: Duration) {
        let Some(most) = self.settings.max_uncommitted else { return };
        if self.uncommitted_turns() == 0 {
            return;
        }
        let since = *self.uncommitted.since.get_or_insert(now);
        let age = now.saturating_sub(since);
        self.uncommitted.too_much |= age >= most.age;
        if self.uncommitted.too_much && !std::mem::replace(&mut self.uncommitted.told, true) {
            let oldest = self.running().into_iter().next();
            self.emit(Event::Uncommitted {
                turns: self.uncommitted_turns(),
                age,
                lost: self.unreachable().map(|peer| peer.id()).collect(),
                awaiting: oldest.map(|status| status.awaiting()),
            });
        }
    }
}
