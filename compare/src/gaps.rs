//! A histogram of times that costs a few nanoseconds to add to, and can be read by another thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Each power of two has this many steps, so that a time is known within 1.6 %.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.ilog2();
/// Up to 2^40 ns, 18 minutes.
const BUCKETS: usize = (STEPS * (41 - STEP_BITS as u64)) as usize;

/// Written by one thread at a time.
pub(crate) struct Gaps {
    counts: Box<[AtomicU64]>,
    longest: AtomicU64,
}

/// What is to be known of many times, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Times {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) longest: f64,
}

impl Gaps {
    pub(crate) fn new() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), longest: AtomicU64::new(0) }
    }

    pub(crate) fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let count = &self.counts[bucket(nanos)];
        count.store(count.load(Relaxed) + 1, Relaxed);
        if nanos > self.longest.load(Relaxed) {
            self.longest.store(nanos, Relaxed);
        }
    }

    /// What was added since the last time.
    pub(crate) fn take(&self) -> Times {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.swap(0, Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let at = |part: f64| {
            let rank = (all as f64 * part) as u64;
            let mut seen = 0;
            let reached = counts.iter().position(|count| {
                seen += count;
                seen > rank
            });
            reached.map_or(0.0, middle)
        };
        let longest = self.longest.swap(0, Relaxed) as f64;
        Times { p50: at(0.5), p99: at(0.99), p999: at(0.999), longest }
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - STEP_BITS;
    let bucket = u64::from(shift + 1) * STEPS + (nanos >> shift) - STEPS;
    (bucket as usize).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket as f64;
    }
    let width = 1_u64 << (bucket / STEPS - 1);
    ((bucket % STEPS + STEPS) * width) as f64 + width as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_within_two_percent() {
        let gaps = Gaps::new();
        for nanos in [3, 63, 64, 65, 1_000, 123_456, 987_654_321] {
            gaps.add(Duration::from_nanos(nanos));
            let times = gaps.take();
            assert!((times.p50 / nanos as f64 - 1.0).abs() < 0.02, "{nanos}: {times:?}");
            assert_eq!(times.longest, nanos as f64);
        }
        assert_eq!(gaps.take(), Times::default());
    }

    #[test]
    fn a_rare_long_time_is_in_the_last_thousandth_alone() {
        let gaps = Gaps::new();
        (0..9_985).for_each(|_| gaps.add(Duration::from_nanos(10)));
        (0..15).for_each(|_| gaps.add(Duration::from_millis(1)));
        let times = gaps.take();
        assert_eq!((times.p50, times.p99), (10.0, 10.0));
        assert!(times.p999 > 900_000.0, "{times:?}");
    }
}
