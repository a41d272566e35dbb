//! How the checks of all suites run: watched step by step, and with panics told as breaches.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Breach, Clause};

/// One run of a check: knows which clause it is about, and what it is doing.
#[derive(Clone)]
pub(super) struct Trial {
    pub(super) clause: Clause,
    step: Arc<Mutex<Step>>,
}

#[derive(Default)]
struct Step {
    number: u64,
    doing: String,
    /// The calls that were begun and have not returned to their thread.
    calls: BTreeMap<u64, Begun>,
    next: u64,
}

struct Begun {
    at: Instant,
    limit: Duration,
    clause: Clause,
    what: Arc<str>,
}

/// How often it is looked whether a call is late.
const LOOK: Duration = Duration::from_millis(50);

/// A call that has not returned yet.
struct Call<'t>(&'t Trial, u64);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.lock().calls.remove(&self.1);
    }
}

impl Trial {
    /// Runs a check on a thread of its own. Where one step takes longer than `limit`, by real time, that is a breach, and the
    /// thread is left behind; so is a panic.
    pub(super) fn run(
        clause: Clause,
        limit: Duration,
        check: impl FnOnce(&Self) -> Result<(), Breach> + Send + 'static,
    ) -> Result<(), Breach> {
        let trial = Self { clause, step: Arc::default() };
        let (done, outcome) = mpsc::sync_channel(1);
        let running = trial.clone();
        thread::spawn(move || {
            let result = caught(|| check(&running)).unwrap_or_else(|panic| {
                let doing = running.now().1;
                Err(clause.broken(format!("a panic at {doing}: {panic}")))
            });
            // Nobody listens any more if it took too long.
            let _ = done.send(result);
        });
        let (mut seen, mut since) = (trial.now().0, Instant::now());
        loop {
            match outcome.recv_timeout(limit.min(LOOK)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => {
                    let (number, doing) = trial.now();
                    if number != seen {
                        (seen, since) = (number, Instant::now());
                    }
                    if let Some(late) = trial.late() {
                        return Err(late);
                    }
                    if since.elapsed() > limit {
                        return Err(clause.broken(format!("waited {limit:?} for {doing}, which did not end")));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the check sends its outcome, panics included")
                }
            }
        }
    }

    /// The same trial, about another clause.
    pub(super) fn of(&self, clause: Clause) -> Self {
        Self { clause, step: Arc::clone(&self.step) }
    }

    /// Says what comes next: the limit begins anew.
    pub(super) fn step(&self, doing: impl Into<String>) {
        let mut step = self.lock();
        step.number += 1;
        step.doing = doing.into();
    }

    /// What the trial is at.
    pub(super) fn doing(&self) -> String {
        self.now().1
    }

    /// Runs what has to return to its thread within `limit`, by real time: one poll of a future, or a drop. Where it does
    /// not, that is a breach of `clause`.
    pub(super) fn call<T>(
        &self,
        clause: Clause,
        limit: Duration,
        what: &Arc<str>,
        call: impl FnOnce() -> T,
    ) -> T {
        let begun = Begun { at: Instant::now(), limit, clause, what: Arc::clone(what) };
        let _call = {
            let mut step = self.lock();
            step.next += 1;
            let number = step.next;
            step.calls.insert(number, begun);
            Call(self, number)
        };
        call()
    }

    /// A call that should have returned.
    fn late(&self) -> Option<Breach> {
        let step = self.lock();
        let Begun { at, clause, what, .. } =
            step.calls.values().find(|begun| begun.at.elapsed() > begun.limit)?;
        let (waited, doing) = (at.elapsed(), &step.doing);
        Some(clause.broken(format!(
            "{what} was begun and has not returned for {waited:.1?}: it blocks its thread (at: {doing})"
        )))
    }

    pub(super) fn broken(&self, seen: impl Into<String>) -> Breach {
        self.clause.broken(seen)
    }

    fn now(&self) -> (u64, String) {
        let step = self.lock();
        (step.number, step.doing.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `call` returns, or what it said in a panic.
pub(super) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    // Unwind safety: whoever asks either ends at once, or asks the one that panicked whether it is still in order.
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| text_of(&*panic).to_owned())
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
