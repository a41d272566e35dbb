//! Meeting places: how one thread is held inside a closure until another has done something.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long one waits at most for another who may be kept waiting by the first: a store may let a second call for a key stand
/// until the first is done. Nothing is wrong when the time is over; the case is then just another one.
const PATIENCE: Duration = Duration::from_millis(250);

/// Counts up, and lets others wait for it.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<(Mutex<usize>, Condvar)>);

impl Tally {
    pub(super) fn add(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.1.notify_all();
    }

    /// Waits until it is `count`. Returns whether it came so far while one was patient.
    pub(super) fn wait_for(&self, count: usize) -> bool {
        let now = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = self.0.1.wait_timeout_while(now, PATIENCE, |now| *now < count);
        *reached.unwrap_or_else(PoisonError::into_inner).0 >= count
    }
}

/// Lets all go on at once, closer together than a barrier does. Any number of times.
pub(super) struct Start {
    arrived: AtomicUsize,
    threads: usize,
}

impl Start {
    pub(super) fn of(threads: usize) -> Self {
        Self { arrived: AtomicUsize::new(0), threads }
    }

    pub(super) fn wait(&self) {
        let before = self.arrived.fetch_add(1, Ordering::SeqCst);
        let all = (before / self.threads + 1) * self.threads;
        let mut looks = 0_u32;
        while self.arrived.load(Ordering::SeqCst) < all {
            looks += 1;
            if looks.is_multiple_of(64) {
                thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }
}
