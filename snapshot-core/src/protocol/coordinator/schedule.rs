//! When something is due without anybody asking: interval, deadlines, a look at the journal, a stall.

use std::time::Duration;

use super::phase::Phase;
use super::{CaptureFn, SnapshotCoordinator};
use crate::vocabulary::event::Event;
use crate::vocabulary::id::SnapshotId;
use crate::vocabulary::outcome::AbortReason;

/// The moments from which time is counted.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Schedule {
    /// The last capture here, or the start.
    last_snapshot: Duration,
    /// The last time that the journal was read to its end, or a commit was heard of.
    last_news: Duration,
    /// The last time that a frame came or went.
    last_move: Duration,
}

impl Schedule {
    pub(super) fn heard(&mut self, now: Duration) {
        *self = Self { last_snapshot: now, last_news: now, last_move: now };
    }

    pub(super) fn captured(&mut self, now: Duration) {
        self.last_snapshot = now;
    }

    pub(super) fn news(&mut self, now: Duration) {
        self.last_news = now;
    }

    pub(super) fn moved(&mut self, now: Duration) {
        self.last_move = now;
    }
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: not until there is other input. Changes with every
    /// input.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Idle | Phase::Over => None,
            Phase::Recovering(_) => self.recovery.retry_at,
            Phase::Running => {
                let stall =
                    self.is_stuck().then(|| self.schedule.last_move.saturating_add(self.settings.stall));
                [self.next_deadline(), self.next_interval(), self.next_look(), stall]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// Does what is due at `now`. A call that comes early does nothing.
    pub fn handle_timeout(&mut self, now: Duration, capture: &mut CaptureFn<'_, C>) {
        match self.phase {
            Phase::Idle | Phase::Over => {}
            Phase::Recovering(_) => self.retry_recovery(now),
            Phase::Running => {
                for id in self.overdue(now) {
                    self.give_up(id, AbortReason::Deadline);
                }
                if self.next_interval().is_some_and(|at| at <= now) {
                    // A refusal changes nothing: the next one is due an interval later.
                    self.schedule.captured(now);
                    let _ = self.initiate(now, capture);
                }
                if self.next_look().is_some_and(|at| at <= now) {
                    self.schedule.news(now);
                    self.lane.look = true;
                }
                if self.is_stuck() && self.schedule.last_move.saturating_add(self.settings.stall) <= now {
                    self.schedule.moved(now);
                    let queued = self.channels.iter().filter(|c| c.load().0 > 0);
                    let waiting_for = queued.map(|c| c.peer.id()).collect();
                    self.emit(Event::Stalled { waiting_for });
                }
            }
        }
        self.advance(now, capture);
    }

    fn deadlines(&self) -> impl Iterator<Item = (SnapshotId, Duration)> {
        let recording = self.recordings.iter().map(|(id, recording)| (id, recording.begun));
        let writing = self.commits.writing.iter().filter(|(_, w)| !w.given_up).map(|(id, w)| (*id, w.begun));
        // Once the record is being written, only the store can say how it ends.
        let tallies = self.commits.tallies.iter().filter(|(id, _)| !self.is_committing(**id));
        let tallies = tallies.map(|(id, tally)| (*id, tally.begun));
        recording
            .chain(writing)
            .chain(tallies)
            .map(|(id, begun)| (id, begun.saturating_add(self.settings.deadline)))
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.deadlines().map(|(_, at)| at).min()
    }

    fn overdue(&self, now: Duration) -> Vec<SnapshotId> {
        self.deadlines().filter(|(_, at)| *at <= now).map(|(id, _)| id).collect()
    }

    /// The next snapshot by the interval: none while one is under way here, or while a neighbour is lost.
    fn next_interval(&self) -> Option<Duration> {
        let interval = self.settings.interval?;
        let busy = !self.recordings.is_empty()
            || !self.commits.tallies.is_empty()
            || self.commits.writing.values().any(|writing| !writing.given_up);
        if busy || self.lost_peer().is_some() {
            return None;
        }
        // Staggered, so that members who saw the last one together do not begin the next one together.
        let members = self.topology.members();
        let rank = members.binary_search(&self.topology.me()).unwrap_or(0);
        let share = u32::try_from(4 * members.len()).unwrap_or(u32::MAX);
        let stagger = (interval / share).saturating_mul(u32::try_from(rank).unwrap_or(0));
        Some(self.schedule.last_snapshot.saturating_add(interval).saturating_add(stagger))
    }

    /// The next look at the journal: where none commits, this node may have been left behind (F3a). One that is wanted
    /// and not under way is due at once: what brought the wish may have been the last input for long.
    fn next_look(&self) -> Option<Duration> {
        if self.lane.look {
            return self.lane.is_free().then_some(Duration::ZERO);
        }
        let patience =
            self.settings.interval.map_or(self.settings.deadline, |interval| interval.saturating_mul(2));
        let next = self.schedule.last_news.saturating_add(patience.max(Duration::from_millis(10)));
        self.settings.durable.then_some(next)
    }
}
