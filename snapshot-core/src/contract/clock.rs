//! Time, as the node sees it.

use std::time::{Duration, Instant};

use async_trait::async_trait;

/// Where a node takes its time from: real, or virtual in tests.
///
/// A transport names the clock that goes with it ([`Transport::clock`](crate::Transport::clock)); the builder can name
/// another.
///
/// # Contract
///
/// * **C1** `now` never goes back.
/// * **C2** `sleep_until(at)` is not ready while `now() < at`.
/// * **C3** `sleep_until(at)` is ready at once when `now() >= at`, and wakes its task when `now()` comes to `at`.
/// * **C4** Any number of sleeps may run at the same time, and dropping one changes nothing for the others.
///
/// ```
/// use snapshot_core::{Clock, SystemClock};
/// use std::time::Duration;
/// # futures::executor::block_on(async {
/// let clock = SystemClock::new();
/// let soon = clock.now() + Duration::from_millis(1);
/// clock.sleep_until(soon).await;
/// assert!(clock.now() >= soon);
/// # });
/// ```
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The time since an origin that the clock chose, the same for its whole life.
    fn now(&self) -> Duration;

    /// Waits until [`now`](Self::now) is at least `at`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and has no other effect (C4).
    async fn sleep_until(&self, at: Duration);
}

/// The monotonic clock of the operating system, on any runtime: one helper thread of the process serves all sleeps.
///
/// ```
/// use snapshot_core::{Clock, SystemClock};
/// let clock = SystemClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Clone, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose origin is this moment.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn sleep_until(&self, at: Duration) {
        // The timer may fire a little early against this origin; C2 says never.
        while let Some(left) = at.checked_sub(self.now()).filter(|left| !left.is_zero()) {
            futures_timer::Delay::new(left).await;
        }
    }
}
