//! Time as tokio has it.

use std::time::Duration;

use async_trait::async_trait;
use snapshot_core::Clock;
use tokio::time::Instant;

/// The clock of the tokio runtime: real, or paused and advanced where a test does so.
///
/// It must be used inside a runtime whose timer is enabled.
///
/// ```
/// use snapshot_core::Clock;
/// use snapshot_transport_tcp::TokioClock;
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
/// let clock = TokioClock::new();
/// clock.sleep_until(Duration::from_secs(3600)).await; // at once, where the time is paused
/// assert!(clock.now() >= Duration::from_secs(3600));
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    /// A clock whose origin is this moment.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn sleep_until(&self, at: Duration) {
        if at <= self.now() {
            // At once (C3), and not at the runtime's next millisecond.
            return;
        }
        match self.origin.checked_add(at) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}
