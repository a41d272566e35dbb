//! What a seed decides before a run begins.

use std::time::Duration;

use snapshot_core::{Bound, NodeBuilder, StateProvider};

use super::store::Weather;
use super::{FaultKind, Faults, Random};

const MS: Duration = Duration::from_millis(1);

/// Over so many messages in an outbox, others are handed out only now and then: well over what is alive at a time, so that
/// runs come to rest soon.
const HIGH: usize = 256;

/// Where sends fail: never, in applications that look at `has_room`.
const HARD: usize = 1 << 20;

/// A bound that is never reached: the number of messages counts.
const BYTES: usize = 16 << 20;

/// What small messages weigh at most. Where recordings are small, all else must be that fits into one of them.
const SMALL: usize = 64;

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
        let unit = size_of::<M>().max(SMALL);
        let bytes = |few: usize| if self.recording.is_some() { few * unit } else { BYTES };
        if self.queue.is_some() || self.recording.is_some() {
            let frames = self.queue.unwrap_or(HIGH);
            builder = builder
                .inbox(Bound::new(frames, bytes(8)))
                .window_floor(Bound::new(1, 1))
                .outbox(Bound::new(frames, bytes(8)), Bound::new(HIGH, bytes(32)))
                .outbox_hard(Bound::new(HARD, if self.recording.is_some() { 256 * unit } else { 2 * BYTES }));
        }
        if let Some(messages) = self.recording {
            builder = builder.max_recorded_bytes((8 + 256 + messages) * unit);
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
