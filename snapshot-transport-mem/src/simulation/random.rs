//! What an application draws from.

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use crate::delay::nanos;
use crate::seed::SplitMix64;

/// Random numbers that the seed decides: the only ones that an application may use in a simulation, or a run could not be
/// repeated. Nothing here is secret or strong.
///
/// ```
/// use snapshot_transport_mem::simulation::Random;
/// let (mut one, mut two) = (Random::new(7), Random::new(7));
/// assert_eq!(one.number(), two.number());
/// assert!(one.below(6) < 6);
/// assert!(["a", "b"].contains(one.pick(&["a", "b"])));
/// ```
#[derive(Clone, Debug)]
pub struct Random(SplitMix64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// A sequence of its own for one purpose, so that drawing more for it changes nothing elsewhere.
    pub(crate) fn of(seed: u64, purpose: u64) -> Self {
        Self(SplitMix64::new(SplitMix64::new(seed).next() ^ purpose))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next()
    }

    /// A number under `bound`, each as likely as any other.
    ///
    /// # Panics
    ///
    /// If `bound` is 0: there is none.
    #[track_caller]
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        // The upper half of the product is even over 0..bound but for 1 part in 2^64 / bound.
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether something happens that does so in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// If there are none.
    #[track_caller]
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        assert!(!of.is_empty(), "there is nothing to pick from");
        &of[self.below(of.len() as u64) as usize]
    }

    /// A length of time, in steps of 1 ns; the start where the range is empty.
    pub(crate) fn time(&mut self, range: impl RangeBounds<Duration>) -> Duration {
        let start = match range.start_bound() {
            Bound::Included(at) | Bound::Excluded(at) => nanos(*at),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(at) => nanos(*at).saturating_add(1),
            Bound::Excluded(at) => nanos(*at),
            Bound::Unbounded => u64::MAX,
        };
        Duration::from_nanos(start + self.below(end.saturating_sub(start).max(1)))
    }
}
