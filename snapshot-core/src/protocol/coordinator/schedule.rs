//! When something is due without anybody asking: interval, deadlines, a look at the journal, a stall.

use std::time::Duration;

use super::phase::Phase;
use super::{CaptureFn, SnapshotCoordinator};
use crate::vocabulary::event::Event;
use crate::vocabulary::id::SnapshotId;
use crate::vocabulary::key::Key;
use crate::vocabulary::outcome::{AbortReason, Awaiting};

/// The moments from which time is counted.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Schedule {
    /// The last capture here, or the start.
    last_snapshot: Duration,
    /// The last time that the journal was read to its end, or a commit was heard of.
    last_news: Duration,
    /// The outbox is over its high mark, and nothing has departed since it was seen to be.
    held_up: Option<HeldUp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct HeldUp {
    since: Duration,
    /// How many messages were handed out all the same.
    extras: u32,
    /// How often it was reported.
    reports: u32,
}

/// However short the configured time is, something must happen in between.
const LEAST: Duration = Duration::from_millis(1);

impl HeldUp {
    /// When the next one of those is due that come every so often.
    fn next(self, every: Duration, so_far: u32) -> Duration {
        self.since.saturating_add(every.max(LEAST).saturating_mul(so_far.saturating_add(1)))
    }

    /// How many of them are past.
    fn passed(self, now: Duration, every: Duration) -> u32 {
        let passed = now.saturating_sub(self.since).as_nanos() / every.max(LEAST).as_nanos();
        u32::try_from(passed).unwrap_or(u32::MAX)
    }
}

impl Schedule {
    pub(super) fn heard(&mut self, now: Duration) {
        *self = Self { last_snapshot: now, last_news: now, held_up: None };
    }

    pub(super) fn captured(&mut self, now: Duration) {
        self.last_snapshot = now;
    }

    pub(super) fn news(&mut self, now: Duration) {
        self.last_news = now;
    }

    /// Messages have left the outbox.
    pub(super) fn departed(&mut self) {
        self.held_up = None;
    }
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: not until there is other input. Changes with every
    /// input.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Idle | Phase::Leaving | Phase::Over => None,
            Phase::Recovering(_) => self.recovery.retry_at,
            Phase::Running => [
                self.next_deadline(),
                self.next_interval(),
                self.next_look(),
                self.next_relief(),
                self.next_uncommitted(),
                self.next_silence(),
                self.sweeping.next_retry(),
                self.next_discard(),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    /// Does what is due at `now`. A call that comes early does nothing.
    pub fn handle_timeout(&mut self, now: Duration, capture: &mut CaptureFn<'_, C>) {
        match self.phase {
            Phase::Idle | Phase::Leaving | Phase::Over => {}
            Phase::Recovering(_) => self.retry_recovery(now),
            Phase::Running => {
                for id in self.overdue(now) {
                    let awaiting = self.awaiting(id).unwrap_or(Awaiting::Unknown);
                    self.give_up(id, AbortReason::Deadline { awaiting });
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
                self.tell_silence(now);
                self.retry_sweep(now);
                self.relieve(now);
                self.bound_uncommitted(now);
            }
        }
        self.advance(now, capture);
    }

    /// When an outbox over its high mark is looked at again: at once when that is news.
    fn next_relief(&self) -> Option<Duration> {
        if !self.is_over_high_mark() {
            return None;
        }
        let Some(held_up) = self.schedule.held_up else { return Some(Duration::ZERO) };
        let report = held_up.next(self.settings.stall, held_up.reports);
        let extra =
            self.may_hand_out_one_more().then(|| held_up.next(self.settings.stall / 10, held_up.extras));
        extra.into_iter().chain([report]).min()
    }

    /// W8: two nodes that both stop handing out would wait for each other for ever, so the high mark only delays. What cannot
    /// go on is reported.
    fn relieve(&mut self, now: Duration) {
        if !self.is_over_high_mark() {
            self.schedule.held_up = None;
            return;
        }
        let stall = self.settings.stall;
        let mut held_up = self.schedule.held_up.unwrap_or(HeldUp { since: now, extras: 0, reports: 0 });
        if held_up.next(stall / 10, held_up.extras) <= now && self.may_hand_out_one_more() {
            held_up.extras = held_up.passed(now, stall / 10);
            self.extra = true;
        }
        if held_up.next(stall, held_up.reports) <= now {
            held_up.reports = held_up.passed(now, stall);
            let waiting_for = self.unsent().map(|(node, _)| node).collect();
            self.emit(Event::Stalled { waiting_for });
        }
        self.schedule.held_up = Some(held_up);
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

    /// Parts that were given up and that the store still has not answered for, and when that is told. Nothing is captured
    /// meanwhile, and nothing else would say why.
    fn silences(&self) -> impl Iterator<Item = (SnapshotId, Duration)> {
        let patience = self.settings.deadline.max(self.settings.store_timeout);
        let untold = self.commits.writing.iter().filter(|(_, writing)| writing.given_up && !writing.is_told);
        untold.map(move |(id, writing)| (*id, writing.begun.saturating_add(patience)))
    }

    fn next_silence(&self) -> Option<Duration> {
        self.silences().map(|(_, at)| at).min()
    }

    fn tell_silence(&mut self, now: Duration) {
        let due: Vec<_> = self.silences().filter(|(_, at)| *at <= now).map(|(id, _)| id).collect();
        for snapshot in due {
            if let Some(writing) = self.commits.writing.get_mut(&snapshot) {
                writing.is_told = true;
            }
            let key = Key::Part { snapshot, node: self.topology.me() };
            let error = format!(
                "the store has not answered yet to the creation of {key}, which was given up: no state is captured until it \
                 lets go of that one; see what is wrong with it"
            );
            self.emit(Event::StoreFailed { error });
        }
    }

    /// One that is due while the lane is busy is asked for when that is free.
    fn next_discard(&self) -> Option<Duration> {
        self.leftovers.next_retry().filter(|_| self.lane.is_free())
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
            || !self.commits.writing.is_empty();
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
