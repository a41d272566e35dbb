//! The suite for clocks, judged itself: it passes what keeps the contract, and finds each fault by the test of the clause that
//! the fault breaks.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use snapshot_conformance::ClockFixture;
use snapshot_conformance::clock::*;
use snapshot_core::{Clock, SystemClock, async_trait};

struct System;

impl ClockFixture for System {
    fn new() -> Self {
        Self
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }
}

mod the_systems_clock {
    snapshot_conformance::clock!(super::System);
}

/// What implementors get wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Fault {
    None,

    // C1
    /// Set right by a time server.
    JumpsBack,
    /// Each thread has a clock of its own.
    DiffersByThread,
    /// Every thousandth look is a little late.
    Trembles,
    /// Nanoseconds of 32 bits.
    BeginsAgain,
    /// After a second and a half time is over.
    Stops,

    // C2
    /// Whole milliseconds, rounded down.
    RoundsDown,
    /// A millisecond is nothing.
    EarlyByAMillisecond,
    /// Ready when it is asked a second time.
    ReadyWhenAskedAgain,
    /// A moment that is far away overflows, and is now.
    Overflows,
    /// Milliseconds of 32 bits.
    Wraps,
    Panics,

    // C3
    /// Takes a moment for a duration.
    SleepsFor,
    /// Even for no time at all it waits for the next tick.
    WaitsForTheNextTick,
    /// The waker of the first who asked.
    KeepsTheFirstWaker,
    NeverWakes,
    StandsStill,
    /// Not when it is first asked after its moment.
    MissesWhatIsOver,

    // C4
    /// The waker of the last sleep, for all.
    OneWaker,
    /// Of those until one moment only the last is woken.
    OneForEachMoment,
    /// All are ready when the first one is.
    AllWithTheFirst,
    /// The thread that waits for the first one does not hear of an earlier one.
    InTheOrderOfAsking,
    /// Not woken where another one waits.
    NotBesideAnother,
    /// A table of a thousand.
    NoMoreThanAThousand,
    /// One sleep at a time.
    OneAtATime,
    /// Who is dropped takes the others along.
    DropsAll,
    /// Who is dropped takes those to the same moment along.
    DropsThoseOfItsMoment,
}

/// Time that stands still until it is moved, with the fault of this number.
#[derive(Clone, Default)]
struct Double<const FAULT: u8>(Arc<Shared>);

#[derive(Default)]
struct Shared {
    nanos: AtomicU64,
    looks: AtomicU64,
    /// By moment, and the number of the sleep.
    wakers: Mutex<BTreeMap<(Duration, u64), Waker>>,
    busy: AtomicBool,
    /// Sleeps of lower numbers are over.
    released: AtomicU64,
}

impl<const FAULT: u8> ClockFixture for Double<FAULT> {
    fn new() -> Self {
        Self::default()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clone())
    }

    async fn pass(&self, duration: Duration) {
        if !is::<FAULT>(Fault::StandsStill) {
            self.0.nanos.fetch_add(duration.as_nanos() as u64, Ordering::SeqCst);
        }
        let mut wakers = self.0.wakers.lock().unwrap();
        if is::<FAULT>(Fault::InTheOrderOfAsking) {
            while let Some((at, number)) = wakers.keys().min_by_key(|(_, number)| *number).copied()
                && at <= self.truth()
            {
                wakers.remove(&(at, number)).into_iter().for_each(Waker::wake);
            }
            return;
        }
        if is::<FAULT>(Fault::AllWithTheFirst) && wakers.keys().any(|(at, _)| *at <= self.truth()) {
            self.0.released.store(self.0.looks.load(Ordering::SeqCst), Ordering::SeqCst);
            std::mem::take(&mut *wakers).into_values().for_each(Waker::wake);
        }
        let later = wakers.split_off(&(self.truth() + Duration::from_nanos(1), 0));
        let due = std::mem::replace(&mut *wakers, later);
        drop(wakers);
        if !is::<FAULT>(Fault::NeverWakes) {
            due.into_values().for_each(Waker::wake);
        }
    }
}

impl<const FAULT: u8> Double<FAULT> {
    fn truth(&self) -> Duration {
        let now = Duration::from_nanos(self.0.nanos.load(Ordering::SeqCst));
        if is::<FAULT>(Fault::Stops) { now.min(Duration::from_millis(1500)) } else { now }
    }
}

#[async_trait]
impl<const FAULT: u8> Clock for Double<FAULT> {
    fn now(&self) -> Duration {
        let now = self.truth();
        let look = self.0.looks.fetch_add(1, Ordering::SeqCst);
        match () {
            () if is::<FAULT>(Fault::JumpsBack) && now > Duration::from_millis(10) => {
                now - Duration::from_millis(9)
            }
            () if is::<FAULT>(Fault::BeginsAgain) => Duration::from_nanos(u64::from(now.as_nanos() as u32)),
            () if is::<FAULT>(Fault::Trembles) && look % 1000 == 999 => {
                now.saturating_sub(Duration::from_nanos(1))
            }
            () if is::<FAULT>(Fault::DiffersByThread) => {
                let name = format!("{:?}", std::thread::current().id());
                now + Duration::from_nanos(name.bytes().map(u64::from).sum())
            }
            () => now,
        }
    }

    fn sleep_until<'a, 'b>(&'a self, at: Duration) -> BoxFuture<'b, ()>
    where
        'a: 'b,
    {
        Box::pin(self.sleep(self.truth(), at))
    }
}

impl<const FAULT: u8> Double<FAULT> {
    async fn sleep(&self, created: Duration, at: Duration) {
        let shared = &*self.0;
        let at = match () {
            () if is::<FAULT>(Fault::SleepsFor) => self.truth().saturating_add(at),
            () if is::<FAULT>(Fault::RoundsDown) => {
                Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(u64::MAX))
            }
            () if is::<FAULT>(Fault::Overflows) && at > Duration::from_nanos(u64::MAX) => Duration::ZERO,
            () if is::<FAULT>(Fault::Wraps) => Duration::from_millis(u64::from(at.as_millis() as u32)),
            () if is::<FAULT>(Fault::Panics) => Duration::from_nanos(u64::try_from(at.as_nanos()).unwrap()),
            () if is::<FAULT>(Fault::EarlyByAMillisecond) => at.saturating_sub(Duration::from_millis(1)),
            () if is::<FAULT>(Fault::WaitsForTheNextTick) => at.max(self.truth() + Duration::from_millis(1)),
            () => at,
        };
        if is::<FAULT>(Fault::OneAtATime) {
            poll_fn(|cx| {
                if shared.busy.swap(true, Ordering::SeqCst) {
                    shared.wakers.lock().unwrap().insert((self.truth(), u64::MAX), cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
        }
        let number = match () {
            () if is::<FAULT>(Fault::OneForEachMoment) => 0,
            () => shared.looks.fetch_add(1, Ordering::SeqCst),
        };
        if created < at && self.truth() >= at && is::<FAULT>(Fault::MissesWhatIsOver) {
            return pending().await;
        }
        let _dropped = is::<FAULT>(Fault::DropsAll).then(|| Clears(shared, None));
        let _dropped_moment = is::<FAULT>(Fault::DropsThoseOfItsMoment).then(|| Clears(shared, Some(at)));
        let mut asked = false;
        poll_fn(|cx| {
            let released = shared.released.load(Ordering::SeqCst) > number;
            if self.truth() >= at || released || asked && is::<FAULT>(Fault::ReadyWhenAskedAgain) {
                return Poll::Ready(());
            }
            let mut wakers = shared.wakers.lock().unwrap();
            if is::<FAULT>(Fault::OneWaker) {
                wakers.clear();
            }
            let room = match () {
                () if is::<FAULT>(Fault::NotBesideAnother) => 1,
                () if is::<FAULT>(Fault::NoMoreThanAThousand) => 1000,
                () => usize::MAX,
            };
            if wakers.len() < room && !(asked && is::<FAULT>(Fault::KeepsTheFirstWaker)) {
                wakers.insert((at, number), cx.waker().clone());
            }
            asked = true;
            Poll::Pending
        })
        .await;
        shared.busy.store(false, Ordering::SeqCst);
    }
}

/// All, or those to one moment.
struct Clears<'a>(&'a Shared, Option<Duration>);

impl Drop for Clears<'_> {
    fn drop(&mut self) {
        self.0.wakers.lock().unwrap().retain(|(at, _), _| self.1.is_some_and(|moment| moment != *at));
    }
}

fn is<const FAULT: u8>(fault: Fault) -> bool {
    FAULT == fault as u8
}

/// Each fault is found by this check, which names this clause.
macro_rules! finds {
    ($($name:ident: $check:ident, $clause:literal, [$($fault:ident)*];)*) => {
        $(#[test]
        fn $name() {
            let mut wrong = Vec::new();
            $(match $check::<Double<{ Fault::$fault as u8 }>>() {
                Err(breach) if breach.clause() == $clause => println!("{:?}: {breach}", Fault::$fault),
                Err(breach) => wrong.push(format!("{:?} is told as: {breach}", Fault::$fault)),
                Ok(()) => wrong.push(format!("{:?} is not found", Fault::$fault)),
            })*
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        })*
    };
}

mod a_clock_without_fault {
    snapshot_conformance::clock!(super::Double<{ super::Fault::None as u8 }>);
}

finds! {
    c1_finds_time_that_goes_back: c1_now_never_goes_back, "C1", [JumpsBack DiffersByThread Trembles BeginsAgain];
    c1_finds_time_that_stops: c1_now_never_goes_back, "C3", [Stops];
    c2_finds_sleeps_that_end_early: c2_no_sleep_ends_early, "C2",
        [RoundsDown EarlyByAMillisecond ReadyWhenAskedAgain Overflows Wraps Panics];
    c3_finds_sleeps_that_do_not_end: c3_sleeps_end, "C3",
        [SleepsFor WaitsForTheNextTick KeepsTheFirstWaker NeverWakes StandsStill MissesWhatIsOver];
    c4_finds_sleeps_that_touch_each_other: c4_sleeps_are_independent, "C4",
        [OneWaker OneForEachMoment AllWithTheFirst InTheOrderOfAsking NotBesideAnother NoMoreThanAThousand OneAtATime DropsAll
         DropsThoseOfItsMoment];
}
