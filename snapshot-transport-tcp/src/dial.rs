//! The background task that keeps one neighbour connected from the side that dials.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::dialer::Dialer;
use crate::shared::{Shared, Timing};

/// An eighth of the time that a neighbour is away may be spent on not noticing that it is back.
const SHARE: u32 = 8;

/// A connection that stood for so many of the shortest waits was a good one.
const GOOD: u32 = 10;

/// Dials whenever no connection stands, for as long as the transport lives. `address` is resolved each time.
///
/// # Cancel safety
///
/// Ends by being dropped: an attempt under way goes with it, a connection that stands does not.
pub(crate) async fn keep_connected(shared: Arc<Shared>, index: usize, address: String) {
    let Some(link) = shared.links.get(index) else { return };
    let timing = shared.timing;
    let mut dialer = Dialer::new(&shared, link, &address);
    let mut absence = Absence { since: Instant::now() };
    loop {
        if dialer.dial().await {
            let begun = Instant::now();
            link.wait_until_down().await;
            if !absence.goes_on(&timing, begun, Instant::now()) {
                dialer.broke_at_once();
            }
        }
        let random = RandomState::new().hash_one(index);
        sleep(jittered(absence.pause(&timing, Instant::now()), random)).await;
    }
}

/// Up to a quarter less, so that those whom one failure has disconnected do not all dial at the same time.
fn jittered(pause: Duration, random: u64) -> Duration {
    pause - pause / 4096 * (random % 1025) as u32
}

/// The time in which a neighbour was not to be had.
struct Absence {
    since: Instant,
}

impl Absence {
    /// A connection has stood, and is down. One that breaks as soon as it stands ends no absence, and is redialed as slowly as one
    /// that does not come about. Says whether it was a good one.
    fn goes_on(&mut self, timing: &Timing, begun: Instant, down: Instant) -> bool {
        let good = down - begun >= timing.first_redial.saturating_mul(GOOD);
        if good {
            self.since = down;
        }
        good
    }

    /// How long to wait before the next attempt.
    fn pause(&self, timing: &Timing, now: Instant) -> Duration {
        ((now - self.since) / SHARE).clamp(timing.first_redial, timing.slowest_redial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const TIMING: Timing = Timing {
        handshake: Duration::from_secs(5),
        first_redial: Duration::from_millis(10),
        slowest_redial: Duration::from_secs(1),
        close: Duration::from_secs(1),
        silence: Duration::from_secs(15),
        resume: Duration::from_secs(10),
    };

    #[test]
    fn a_neighbour_that_is_back_is_missed_for_an_eighth_of_its_absence_at_most() {
        let since = Instant::now();
        let absence = Absence { since };
        let pause = |away: u32| absence.pause(&TIMING, since + away * MS);
        assert_eq!([0, 1, 80, 800].map(pause), [10 * MS, 10 * MS, 10 * MS, 100 * MS]);
        assert_eq!([8_000, 3_600_000].map(pause), [1_000 * MS; 2], "and for a second at most");
    }

    #[test]
    fn neighbours_that_are_lost_again_and_again_are_dialed_soon_if_they_stood() {
        let mut now = Instant::now();
        let mut absence = Absence { since: now };
        // Away for long, then there, if only for a tenth of a second.
        now += 8_000 * MS;
        assert!(absence.goes_on(&TIMING, now, now + 100 * MS));
        now += 100 * MS;
        assert_eq!(absence.pause(&TIMING, now), 10 * MS);
    }

    #[test]
    fn a_connection_that_breaks_at_once_is_redialed_more_and_more_slowly() {
        let mut now = Instant::now();
        let mut absence = Absence { since: now };
        let mut pauses = vec![];
        for _ in 0..100 {
            assert!(!absence.goes_on(&TIMING, now, now + 99 * MS));
            now += 99 * MS;
            pauses.push(absence.pause(&TIMING, now));
            now += *pauses.last().unwrap();
        }
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&(1_000 * MS)));
    }

    #[test]
    fn a_wait_is_shorter_by_a_quarter_at_most() {
        let pauses: Vec<_> = (0..4096).map(|random| jittered(1_000 * MS, random)).collect();
        assert_eq!(pauses.iter().min().unwrap().as_millis(), 750);
        assert_eq!(pauses.iter().max(), Some(&(1_000 * MS)));
        assert!(jittered(Duration::MAX, 1024) > Duration::MAX / 2);
    }

    #[test]
    fn waits_may_all_be_the_same() {
        let timing = Timing { first_redial: Duration::MAX, slowest_redial: Duration::MAX, ..TIMING };
        let now = Instant::now();
        let mut absence = Absence { since: now };
        absence.goes_on(&timing, now, now + MS);
        assert_eq!(absence.pause(&timing, now + MS), Duration::MAX);
    }
}
