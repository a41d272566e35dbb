//! Meeting places: how one thread is held inside a closure until another has done something.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// How long one waits at most for another who may be kept waiting by the first: a store may let a second call for a key stand
/// until the first is done. Nothing is wrong when the time is over; the case is then just another one.
const PATIENCE: Duration = Duration::from_millis(250);

/// Counts up, and lets others wait for it.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<(Mutex<usize>, Condvar)>);

impl Tally {
    pub(super) fn add(&self) {
        *self.now() += 1;
        self.0.1.notify_all();
    }

    /// Waits until it is `count`. Returns whether it came so far while one was patient.
    pub(super) fn wait_for(&self, count: usize) -> bool {
        let reached = self.0.1.wait_timeout_while(self.now(), PATIENCE, |now| *now < count);
        *reached.unwrap_or_else(PoisonError::into_inner).0 >= count
    }

    /// Waits until it is `count`, however long that takes: only for what nobody keeps waiting.
    fn wait_long_for(&self, count: usize) {
        drop(self.0.1.wait_while(self.now(), |now| *now < count).unwrap_or_else(PoisonError::into_inner));
    }

    fn now(&self) -> MutexGuard<'_, usize> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the middle of a call, where it is held while another does something.
#[derive(Clone, Default)]
pub(super) struct Pause {
    reached: Tally,
    over: Tally,
}

impl Pause {
    /// Here is the place. Goes on when the pause is over, or patience is.
    pub(super) fn here(&self) {
        self.until(&self.over);
    }

    /// Here is the place. Goes on when something else has happened, or patience is over.
    pub(super) fn until(&self, over: &Tally) {
        self.reached.add();
        over.wait_for(1);
    }

    /// Waits until the call has come to its place, if it does while one is patient.
    pub(super) fn wait_until_reached(&self) {
        self.reached.wait_for(1);
    }

    /// Lets the call go on.
    pub(super) fn end(&self) {
        self.over.add();
    }
}

/// Does something else while a call on another thread is held at its [place](Pause::here), or has returned without having come
/// there. What both gave.
pub(super) fn while_half_way<T: Send, U>(
    call: impl FnOnce(Pause) -> T + Send,
    meanwhile: impl FnOnce() -> U,
) -> (T, U) {
    struct ReachedAtLast(Tally);

    impl Drop for ReachedAtLast {
        fn drop(&mut self) {
            self.0.add();
        }
    }

    let pause = Pause::default();
    thread::scope(|scope| {
        let (reached, held) = (ReachedAtLast(pause.reached.clone()), pause.clone());
        let call = scope.spawn(move || {
            let _reached = reached;
            call(held)
        });
        pause.reached.wait_long_for(1);
        let other = meanwhile();
        pause.end();
        (joined(call), other)
    })
}

/// What a thread returned; its panic goes on.
pub(super) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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
