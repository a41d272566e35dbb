//! Does a clock keep its clauses C1 to C4?
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use snapshot_conformance::ClockFixture;
//! use snapshot_core::{Clock, async_trait};
//!
//! /// A clock of tokio's time.
//! struct Runtime(tokio::time::Instant);
//!
//! #[async_trait]
//! impl Clock for Runtime {
//!     fn now(&self) -> Duration { self.0.elapsed() }
//!     async fn sleep_until(&self, at: Duration) {
//!         if at <= self.now() {
//!             return; // C3: at once
//!         }
//!         match self.0.checked_add(at) {
//!             Some(at) => tokio::time::sleep_until(at).await,
//!             None => std::future::pending().await,
//!         }
//!     }
//! }
//!
//! struct RuntimeFixture(tokio::runtime::Runtime);
//!
//! impl ClockFixture for RuntimeFixture {
//!     fn new() -> Self {
//!         Self(tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap())
//!     }
//!     fn clock(&self) -> Arc<dyn Clock> { Arc::new(Runtime(tokio::time::Instant::now())) }
//!     fn block_on<T>(&self, check: impl Future<Output = T>) -> T { self.0.block_on(check) }
//! }
//!
//! // In a file of tests/: one test for each clause.
//! snapshot_conformance::clock!(RuntimeFixture);
//! #
//! # // What the tests would do.
//! # use snapshot_conformance::{Breach, clock::*};
//! # c1_now_never_goes_back::<RuntimeFixture>()?;
//! # c2_no_sleep_ends_early::<RuntimeFixture>()?;
//! # c3_sleeps_end::<RuntimeFixture>()?;
//! # c4_sleeps_are_independent::<RuntimeFixture>()?;
//! # Ok::<(), Breach>(())
//! ```
//!
//! # What the checks do
//!
//! * [`c1_now_never_goes_back`]: asks for the time over and over, on several threads, while time passes; and now and then for
//!   as long as [`PATIENCE`](ClockFixture::PATIENCE), beside a sleep that is as long: time must not stop either (C3).
//! * [`c2_no_sleep_ends_early`]: sleeps of all lengths, the longest possible one too, which are asked again and again.
//! * [`c3_sleeps_end`]: sleeps until moments that are over, and sleeps that must wake the task that asked last.
//! * [`c4_sleeps_are_independent`]: thousands of sleeps at once, many to the same moment, of which some are dropped; and
//!   two alone, to the same moment, of which one is dropped or ends first.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use snapshot_core::Clock;

use super::trial::Trial;
use super::{Breach, Clause};

const C1: Clause = Clause::new("C1", "now never goes back");
const C2: Clause = Clause::new("C2", "a sleep is not ready before its moment");
const C3: Clause = Clause::new("C3", "a sleep is ready at its moment");
const C4: Clause = Clause::new("C4", "sleeps do not touch each other");

/// How much time passes in one step.
const STEP: Duration = Duration::from_millis(1);

/// How much of it in one step where it is only watched.
const STRIDE: Duration = Duration::from_millis(50);

/// Longer than any check takes.
const LONG: Duration = Duration::from_secs(3600);

/// How the suite makes clocks, and how their time passes. There is an example at the [module](self).
pub trait ClockFixture: Sized + Send + Sync + 'static {
    /// How much time may pass, beyond its moment, until a sleep has ended. Only a check that fails waits as long. By default
    /// 10 s.
    const LIMIT: Duration = Duration::from_secs(10);

    /// For how long the time is watched, by [`pass`](Self::pass), to see that it does not end or begin again: the check of C1
    /// takes as long. By default 6 s, in which 32 bits of nanoseconds overflow.
    const PATIENCE: Duration = Duration::from_secs(6);

    /// What the clock needs: a runtime, a network.
    fn new() -> Self;

    /// The clock. Asked for once in a check.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Lets time pass: the clock's [`now`](Clock::now) is to be later by about `duration`. By default it waits, as is right
    /// for a clock of real time; a clock that stands still until it is moved is moved here.
    fn pass(&self, duration: Duration) -> impl Future<Output = ()> {
        async move { futures_timer::Delay::new(duration).await }
    }

    /// Runs a check, or a part of one on another thread: on the runtime that the clock needs. By default without a runtime.
    fn block_on<T>(&self, check: impl Future<Output = T>) -> T {
        futures::executor::block_on(check)
    }
}

/// Makes tests of all clauses of [`Clock`], C1 to C4, for a [`ClockFixture`](crate::ClockFixture).
///
/// The tests are functions of the same names as the [checks](mod@crate::clock). In a module that imports the checks
/// as well, `c1_now_never_goes_back` is the test (`use clock::*` is shadowed), or a second definition (`use
/// clock::c1_now_never_goes_back`). For that, and for a second fixture in the same file, put the line into a `mod` of its own.
#[macro_export]
macro_rules! clock {
    ($fixture:ty) => {
        $crate::clock!($fixture: c1_now_never_goes_back c2_no_sleep_ends_early c3_sleeps_end
            c4_sleeps_are_independent);
    };
    ($fixture:ty: $($check:ident)*) => {
        $(#[test]
        fn $check() {
            $crate::judge($crate::clock::$check::<$fixture>());
        })*
    };
}

/// C1: `now` never goes back.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn c1_now_never_goes_back<F: ClockFixture>() -> Result<(), Breach> {
    check::<F>(C1, async |fixture, clock| {
        let last = Mutex::new(Duration::ZERO);
        let look = || {
            // Under the lock, so that the order of the looks is known.
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock.now();
            let went_back = (now < *last).then(|| format!("`now` went back from {:?} to {now:?}", *last));
            *last = now;
            went_back.map_or(Ok(()), |seen| Err(C1.broken(seen)))
        };
        for _ in 0..20 {
            (0..1000).try_for_each(|_| look())?;
            thread::scope(|scope| {
                // Where it lives, as a clock may belong to a runtime.
                let looks = || fixture.block_on(async { (0..1000).try_for_each(|_| look()) });
                let threads = [(); 4].map(|()| scope.spawn(looks));
                threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
            })?;
            fixture.pass(STEP).await;
        }
        let end = clock.now().saturating_add(F::PATIENCE);
        let mut passed = Duration::ZERO;
        while passed < F::PATIENCE {
            fixture.pass(STRIDE).await;
            passed += STRIDE;
            look()?;
        }
        passing(fixture, clock.sleep_until(end), C3).await.map_err(|_| {
            C3.broken(format!(
                "a sleep until {end:?} has not ended while {:?} passed; `now` says {:?}",
                passed + F::LIMIT,
                clock.now()
            ))
        })
    })
}

/// C2: `sleep_until(at)` is not ready while `now() < at`.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn c2_no_sleep_ends_early<F: ClockFixture>() -> Result<(), Breach> {
    check::<F>(C2, async |fixture, clock| {
        // Away from the origin, where a moment and a duration are the same.
        fixture.pass(STEP * 20).await;
        // Among them what overflows where milliseconds or nanoseconds are counted.
        let wide =
            [Duration::from_millis(1 << 32), Duration::from_nanos(u64::MAX), Duration::from_millis(u64::MAX)];
        let far =
            [LONG, LONG * 24 * 365, wide[0], wide[1], wide[2], Duration::from_secs(u64::MAX), Duration::MAX];
        let mut sleeps: Vec<_> =
            far.map(|far| (far, clock.sleep_until(clock.now().saturating_add(far)))).into();
        let nanos =
            [1, 1000, 100_000, 999_999, 1_000_000, 1_000_001, 1_499_999, 2_700_000, 5_000_000, 9_999_999];
        let now = clock.now();
        let mut near: Vec<_> = nanos
            .map(|nanos| now + Duration::from_nanos(nanos))
            .map(|at| (at, clock.sleep_until(at), false))
            .into();
        // Asked without being woken, by any number of calls.
        let mut passed = Duration::ZERO;
        while passed < STEP * 15 {
            for _ in 0..50 {
                for (at, sleep, ended) in near.iter_mut().filter(|(_, _, ended)| !ended) {
                    if is_ready(sleep) {
                        let now = clock.now();
                        if now < *at {
                            return Err(C2.broken(format!("a sleep until {at:?} was ready at {now:?}")));
                        }
                        *ended = true;
                    }
                }
                for (far, sleep) in &mut sleeps {
                    if is_ready(sleep) {
                        return Err(
                            C2.broken(format!("a sleep of {far:?} was ready within {:?}", clock.now() - now))
                        );
                    }
                }
            }
            fixture.pass(STEP).await;
            passed += STEP;
        }
        // And awaited, as in use.
        for micros in [1, 300, 999, 1000, 1700, 3001] {
            let at = clock.now() + Duration::from_micros(micros);
            passing(fixture, clock.sleep_until(at), C2).await?;
            let now = clock.now();
            if now < at {
                return Err(C2.broken(format!("a sleep until {at:?} was ready at {now:?}")));
            }
        }
        Ok(())
    })
}

/// C3: `sleep_until(at)` is ready at once when `now() >= at`, and wakes its task when `now()` comes to `at`.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn c3_sleeps_end<F: ClockFixture>() -> Result<(), Breach> {
    check::<F>(C3, async |fixture, clock| {
        for round in 0..5 {
            let now = clock.now();
            for ago in [Duration::ZERO, Duration::from_nanos(1), STEP, STEP * 7, now] {
                let at = now.saturating_sub(ago);
                if !is_ready(&mut clock.sleep_until(at)) {
                    return Err(C3.broken(format!("a sleep until {at:?} was not ready at once at {now:?}")));
                }
            }
            // First asked when it is over.
            let at = clock.now() + STEP * round * 2;
            let mut late = clock.sleep_until(at);
            fixture.pass(STEP * round * 4).await;
            let now = clock.now();
            if now >= at && !is_ready(&mut late) {
                let seen = format!("a sleep until {at:?}, first asked at {now:?}, was not ready at once");
                return Err(C3.broken(seen));
            }
        }
        for micros in [1, 500, 1000, 1001, 5000, 12_345] {
            let at = clock.now() + Duration::from_micros(micros);
            passing(fixture, clock.sleep_until(at), C3).await?;
        }
        // Asked by one task and then by another: the last one is woken.
        let mut sleep = clock.sleep_until(clock.now() + STEP * 5);
        if is_ready(&mut sleep) {
            // A slow machine; there is nothing to be seen.
            return Ok(());
        }
        passing(fixture, sleep, C3).await
    })
}

/// C4: any number of sleeps may run at the same time, and dropping one changes nothing for the others.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn c4_sleeps_are_independent<F: ClockFixture>() -> Result<(), Breach> {
    check::<F>(C4, async |fixture, clock| {
        for gone in 0..2 {
            for end in [Gone::Unasked, Gone::Dropped, Gone::Over] {
                two_alone(fixture, clock, gone, end).await?;
            }
        }
        let mut long = clock.sleep_until(clock.now() + LONG);
        if is_ready(&mut long) {
            return Err(C2.broken(format!("a sleep of {LONG:?} was ready at once")));
        }
        let start = clock.now();
        let mut dropped = Vec::new();
        let mut kept = Vec::new();
        for number in 0..3600_u32 {
            // Twenty-nine moments, in no order: at each there are some that are kept and some that are dropped.
            let at = start + STEP * (5 + number * 7 % 29);
            let mut sleep = Box::pin(async move {
                clock.sleep_until(at).await;
                (at, clock.now())
            });
            match number % 3 {
                0 => kept.push(sleep),
                1 => drop(sleep),
                _ => {
                    // Under way, and to be dropped when others are.
                    let _ = is_ready(&mut sleep);
                    dropped.push(sleep);
                }
            }
        }
        // Each a task of its own.
        let mut running: FuturesUnordered<_> = kept.into_iter().collect();
        let count = running.len();
        let mut ended = Vec::new();
        let all = async {
            // Once under way all of them, before the others are dropped.
            poll_fn(|cx| match running.poll_next_unpin(cx) {
                Poll::Ready(Some(end)) => {
                    ended.push(end);
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
            .await;
            dropped.clear();
            while let Some(end) = running.next().await {
                ended.push(end);
            }
        };
        passing(fixture, all, C4).await?;
        if let Some((at, now)) = ended.iter().find(|(at, now)| now < at) {
            return Err(
                C4.broken(format!("a sleep until {at:?} was ready at {now:?}, beside {count} others"))
            );
        }
        if is_ready(&mut long) {
            return Err(C4.broken(format!("a sleep of {LONG:?} was ready when others beside it were")));
        }
        Ok(())
    })
}

/// What becomes of the one sleep, before the other ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gone {
    /// Dropped, and never asked.
    Unasked,
    /// Dropped when it was under way.
    Dropped,
    /// It has ended, and then was dropped.
    Over,
}

/// Two tasks, each with a waker and a sleep of its own, to the same moment, and nothing beside them: one is gone, and the other
/// is woken nevertheless. Each is asked when it was woken and not otherwise.
async fn two_alone<F: ClockFixture>(
    fixture: &F,
    clock: &dyn Clock,
    gone: usize,
    end: Gone,
) -> Result<(), Breach> {
    let at = clock.now() + STEP * 5;
    let mut sleeps = [0; 2].map(|_| Some(clock.sleep_until(at)));
    let woken = [0; 2].map(|_| Arc::new(Woken::default()));
    let ask = |number: usize, sleeps: &mut [Option<_>; 2]| {
        let waker = Waker::from(Arc::clone(&woken[number]));
        let ready =
            |sleep: &mut BoxFuture<'_, ()>| sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if sleeps[number].as_mut().is_some_and(ready) {
            sleeps[number] = None;
        }
    };
    for number in (0..2).filter(|number| end != Gone::Unasked || *number != gone) {
        ask(number, &mut sleeps);
    }
    if end != Gone::Over {
        sleeps[gone] = None;
    }
    let mut passed = Duration::ZERO;
    while passed < F::LIMIT {
        // The one that is to be gone goes first.
        for number in [gone, 1 - gone] {
            if woken[number].0.swap(false, Ordering::SeqCst) {
                ask(number, &mut sleeps);
            }
        }
        if sleeps.iter().all(Option::is_none) {
            return Ok(());
        }
        fixture.pass(STEP).await;
        passed += STEP;
    }
    let what = match end {
        Gone::Unasked => "was dropped, which had not been asked",
        Gone::Dropped => "was dropped",
        Gone::Over => "has ended",
    };
    let seen = format!(
        "of two sleeps until {at:?} one {what}, and the other has not woken its task while {passed:?} passed"
    );
    Err(C4.broken(seen))
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn check<F: ClockFixture>(
    clause: Clause,
    check: impl AsyncFnOnce(&F, &dyn Clock) -> Result<(), Breach> + Send + 'static,
) -> Result<(), Breach> {
    Trial::run(clause, F::LIMIT * 6 + F::PATIENCE, |trial| {
        trial.step("the clock");
        let fixture = F::new();
        let clock = fixture.block_on(async { fixture.clock() });
        fixture.block_on(check(&fixture, &*clock))
    })
}

/// Lets time pass until the future, as a task of its own, is ready.
async fn passing<F: ClockFixture>(
    fixture: &F,
    future: impl Future<Output = ()>,
    clause: Clause,
) -> Result<(), Breach> {
    let mut task = FuturesUnordered::from_iter([future]);
    let mut passed = Duration::ZERO;
    while passed < F::LIMIT {
        match select(task.next(), pin!(fixture.pass(STEP))).await {
            Either::Left(_) => return Ok(()),
            Either::Right(_) => passed += STEP,
        }
    }
    let seen = format!("a sleep of a few milliseconds has not woken its task while {passed:?} passed");
    Err(clause.broken(seen))
}

/// Asks once, on behalf of nobody.
fn is_ready<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}
