//! Time that a group had.

use std::time::{Duration, Instant};

/// Where more passes between two looks at the clock, the whole machine has stood still, and with it the group.
const LOOK: Duration = Duration::from_millis(500);

/// Counts time, but for that in which the whole machine stood still, this process included: that is not taken for a group that did.
///
/// ```
/// use snapshot_examples::chaos::Stopwatch;
/// let mut watch = Stopwatch::start();
/// while watch.passes().is_zero() {} // to be called several times a second
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    passed: Duration,
    seen: Instant,
}

impl Stopwatch {
    /// It begins now.
    pub fn start() -> Self {
        Self { passed: Duration::ZERO, seen: Instant::now() }
    }

    /// What has passed. Of the time since the last call half a second counts at most.
    pub fn passes(&mut self) -> Duration {
        self.passes_until(Instant::now())
    }

    fn passes_until(&mut self, now: Instant) -> Duration {
        self.passed += now.saturating_duration_since(self.seen).min(LOOK);
        self.seen = now;
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_stood_still_is_not_taken_for_a_group_that_did() {
        let mut watch = Stopwatch::start();
        let begun = watch.seen;
        assert_eq!(watch.passes_until(begun + Duration::from_millis(40)), Duration::from_millis(40));
        assert_eq!(watch.passes_until(begun + Duration::from_secs(60)), Duration::from_millis(540));
        assert_eq!(watch.passes_until(begun), Duration::from_millis(540));
    }
}
