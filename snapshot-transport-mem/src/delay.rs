//! How long frames take.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use crate::seed::SplitMix64;

/// How long a frame is on its way, in virtual time: one fixed time, or a span from which the seed draws anew for every
/// frame, evenly.
///
/// Frames never overtake each other: one whose draw is shorter than what is left of the frame before it arrives together
/// with that frame, right behind it.
///
/// ```
/// use snapshot_transport_mem::Delay;
/// use std::time::Duration;
/// let ms = Duration::from_millis;
/// assert_eq!(Delay::from(ms(5)), Delay::from(ms(5)..=ms(5)));
/// assert_eq!(Delay::default(), Delay::NONE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Delay {
    shortest: Duration,
    longest: Duration,
}

impl Delay {
    /// Frames arrive in the moment in which they are sent.
    pub const NONE: Self = Self { shortest: Duration::ZERO, longest: Duration::ZERO };

    pub(crate) fn is_none(self) -> bool {
        self.longest.is_zero()
    }

    pub(crate) fn draw(self, random: &mut SplitMix64) -> Duration {
        let span = nanos(self.longest).saturating_sub(nanos(self.shortest));
        // The upper half of the product is even over 0..=span but for 1 part in 2^64 / span.
        let part = (u128::from(random.next()) * (u128::from(span) + 1)) >> 64;
        self.shortest.saturating_add(Duration::from_nanos(part as u64))
    }
}

impl From<Duration> for Delay {
    /// Always this long.
    fn from(fixed: Duration) -> Self {
        Self { shortest: fixed, longest: fixed }
    }
}

impl From<RangeInclusive<Duration>> for Delay {
    /// Anything in the range. One that ends before it starts is its start.
    fn from(range: RangeInclusive<Duration>) -> Self {
        Self { shortest: *range.start(), longest: *range.end().max(range.start()) }
    }
}

impl From<Range<Duration>> for Delay {
    /// Anything in the range, in steps of 1 ns. One that is empty is its start.
    fn from(range: Range<Duration>) -> Self {
        Self::from(range.start..=range.end.saturating_sub(Duration::from_nanos(1)))
    }
}

/// In nanoseconds; 584 years and more are the same.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use snapshot_core::NodeId;

    #[test]
    fn a_draw_lies_in_the_range_and_reaches_both_ends() {
        let ns = Duration::from_nanos;
        let mut random = SplitMix64::of_channel(1, NodeId(1), NodeId(2));
        let drawn: Vec<_> = (0..200).map(|_| Delay::from(ns(3)..ns(6)).draw(&mut random)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&ns(3)), Some(&ns(5))));
    }

    #[test]
    fn the_longest_range_does_not_overflow() {
        let mut random = SplitMix64::of_channel(1, NodeId(1), NodeId(2));
        assert!(Delay::from(Duration::ZERO..Duration::MAX).draw(&mut random) > Duration::ZERO);
        assert_eq!(Delay::from(Duration::MAX).draw(&mut random), Duration::MAX);
    }
}
