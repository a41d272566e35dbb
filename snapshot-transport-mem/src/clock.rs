//! Virtual time: it stands still until somebody moves it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use snapshot_core::Clock;

use crate::delay::nanos;

/// When, and the order among those of one moment: that in which they were set.
pub(crate) type AlarmKey = (Duration, u64);

#[derive(Debug)]
pub(crate) enum Alarm {
    /// A sleep ends.
    Wake(Waker),
    /// The item at the front of the channel of this index arrives.
    Arrival(usize),
}

/// The time of one network, and what is due later: at most one alarm for each channel and each sleep under way.
#[derive(Debug, Default)]
pub(crate) struct Time {
    /// In nanoseconds since the network was made. Written only under the lock.
    now: AtomicU64,
    alarms: Mutex<Alarms>,
}

#[derive(Debug, Default)]
struct Alarms {
    queue: BTreeMap<AlarmKey, Alarm>,
    count: u64,
}

impl Time {
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.now.load(Ordering::Acquire))
    }

    /// Sets an alarm; `None` where that moment is not in the future.
    pub(crate) fn set(&self, at: Duration, alarm: Alarm) -> Option<AlarmKey> {
        let mut alarms = self.alarms();
        // Under the lock, so that time cannot pass by between the question and the alarm.
        if at <= self.now() {
            return None;
        }
        let key = (at, alarms.count);
        alarms.count += 1;
        alarms.queue.insert(key, alarm);
        Some(key)
    }

    pub(crate) fn unset(&self, key: AlarmKey) {
        let alarm = self.alarms().queue.remove(&key);
        // A waker is somebody else's code, and no lock is held while that runs.
        drop(alarm);
    }

    /// When the next alarm is due.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.alarms().queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves time on to `at` (never back), and takes all alarms that are due then, in order.
    pub(crate) fn move_to(&self, at: Duration) -> Vec<(AlarmKey, Alarm)> {
        let mut alarms = self.alarms();
        self.now.fetch_max(nanos(at), Ordering::AcqRel);
        let later = alarms.queue.split_off(&(self.now(), u64::MAX));
        std::mem::replace(&mut alarms.queue, later).into_iter().collect()
    }

    /// Makes the alarm wake another task; `false` where it is no longer set.
    fn wake_by(&self, key: AlarmKey, waker: &Waker) -> bool {
        let waker = waker.clone();
        let old = match self.alarms().queue.get_mut(&key) {
            Some(Alarm::Wake(old)) => std::mem::replace(old, waker),
            _ => return false,
        };
        drop(old);
        true
    }

    fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network's time as a [`Clock`].
#[derive(Debug)]
pub(crate) struct MemClock(pub(crate) Arc<Time>);

#[async_trait]
impl Clock for MemClock {
    fn now(&self) -> Duration {
        self.0.now()
    }

    async fn sleep_until(&self, at: Duration) {
        Sleep { time: &self.0, at, alarm: None }.await;
    }
}

struct Sleep<'a> {
    time: &'a Time,
    at: Duration,
    alarm: Option<AlarmKey>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.alarm.is_some_and(|key| self.time.wake_by(key, cx.waker())) {
            return Poll::Pending;
        }
        self.alarm = self.time.set(self.at, Alarm::Wake(cx.waker().clone()));
        if self.alarm.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.alarm {
            self.time.unset(key);
        }
    }
}
