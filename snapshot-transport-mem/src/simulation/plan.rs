//! What a seed decides before a run begins.

use std::time::Duration;

use snapshot_core::{Bound, NodeBuilder, StateProvider};

use super::store::Weather;
use super::{FaultKind, Faults, Random};

const MS: Duration = Duration::from_millis(1);

/// Two nodes that each have this many frames for the other, and a full inbox, would wait for each other for good, as they
/// would with any bound. So it stays well over what is alive at a time.
const HIGH: usize = 256;

/// A bound that is never reached: the number of frames counts.
const BYTES: usize = 128 << 20;

/// How a run is to be.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What may go wrong in this run.
    pub(super) faults: Faults,
    /// Of 1000 steps, how many bring trouble, work and requests for snapshots.
    pub(super) trouble: u64,
    pub(super) work: u64,
    pub(super) snapshots: u64,
    /// The longest way of a frame.
    pub(super) delay: Duration,
    /// The longest turn.
    pub(super) slow_turn: Duration,
    /// How many polls of 100 come unasked.
    pub(super) dropped: u64,
    queue: Option<usize>,
    recording: Option<usize>,
    deadline: Option<Duration>,
    /// The interval, and for how many nodes of three.
    pub(super) interval: Option<Duration>,
}

impl Plan {
    pub(super) fn draw(allowed: &Faults, random: &mut Random) -> Self {
        // A quarter of the seeds has all that is allowed, the others about half of it.
        let all = random.chance(25);
        let faults: Faults = allowed.kinds().filter(|_| random.chance(50) || all).collect();
        let mut when = |kind, range: std::ops::RangeInclusive<u32>| {
            let drawn = random.time(MS * *range.start()..=MS * *range.end());
            faults.has(kind).then_some(drawn)
        };
        let delay = when(FaultKind::Delay, 1..=40).unwrap_or_default();
        let slow_turn = when(FaultKind::SlowTurn, 1..=40).unwrap_or_default();
        let deadline = when(FaultKind::ShortDeadline, 20..=300);
        let interval = when(FaultKind::ManyInitiators, 30..=500);
        let mut some = |kind, most| {
            let drawn = 1 + random.below(most);
            faults.has(kind).then_some(drawn as usize)
        };
        let queue = some(FaultKind::SmallQueues, 3);
        let recording = some(FaultKind::SmallRecordings, 8);
        let dropped = some(FaultKind::DroppedNext, 30).unwrap_or_default() as u64;
        Self {
            trouble: 5 + random.below(40),
            work: 50 + random.below(300),
            snapshots: 5 + random.below(30),
            delay,
            slow_turn,
            dropped,
            queue,
            recording,
            deadline,
            interval: interval.filter(|_| random.chance(50)),
            faults,
        }
    }

    /// How many frames a channel of the network holds.
    pub(super) fn capacity(&self) -> usize {
        self.queue.unwrap_or(1024)
    }

    /// What is so small for the whole run that it is counted once.
    pub(super) fn standing_faults(&self) -> impl Iterator<Item = FaultKind> {
        const STANDING: [FaultKind; 5] = [
            FaultKind::Delay,
            FaultKind::SmallQueues,
            FaultKind::SmallRecordings,
            FaultKind::ShortDeadline,
            FaultKind::ManyInitiators,
        ];
        STANDING.into_iter().filter(|kind| self.faults.has(*kind))
    }

    pub(super) fn settings<S: StateProvider, M: Clone + Send + 'static>(
        &self,
        mut builder: NodeBuilder<S, M>,
    ) -> NodeBuilder<S, M> {
        if let Some(frames) = self.queue {
            let bound = |frames| Bound::new(frames, BYTES);
            builder = builder.inbox(bound(frames)).outbox(bound(frames), bound(HIGH));
        }
        if let Some(messages) = self.recording {
            builder = builder.max_recorded_bytes(messages * size_of::<M>().max(1));
        }
        if let Some(deadline) = self.deadline {
            builder = builder.deadline(deadline);
        }
        if let Some(interval) = self.interval {
            builder = builder.interval(interval);
        }
        builder
    }

    pub(super) fn store(&self, weather: &mut Weather, random: &mut Random) {
        let mut percent = |kind, most| if self.faults.has(kind) { 1 + random.below(most) } else { 0 };
        weather.errors = percent(FaultKind::StoreError, 10);
        weather.lost_answers = percent(FaultKind::LostAnswer, 10);
        weather.stale_listings = percent(FaultKind::StaleListing, 100);
        weather.crashes = percent(FaultKind::StoreCrash, 3);
        weather.torn_writes = percent(FaultKind::TornWrite, 5);
        weather.late_writes = percent(FaultKind::LateWrite, 100);
        weather.slowness = MS * u32::try_from(percent(FaultKind::SlowStore, 30)).unwrap_or(0);
    }
}
