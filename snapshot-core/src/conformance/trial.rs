//! How the checks of all suites run: watched step by step, and with panics told as breaches.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

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
        let mut seen = trial.now().0;
        loop {
            match outcome.recv_timeout(limit) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => {
                    let (number, doing) = trial.now();
                    if number == seen {
                        return Err(clause.broken(format!("waited {limit:?} for {doing}, which did not end")));
                    }
                    seen = number;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the check sends its outcome, panics included")
                }
            }
        }
    }

    /// Says what comes next: the limit begins anew.
    pub(super) fn step(&self, doing: impl Into<String>) {
        let mut step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        step.number += 1;
        step.doing = doing.into();
    }

    pub(super) fn broken(&self, seen: impl Into<String>) -> Breach {
        self.clause.broken(seen)
    }

    fn now(&self) -> (u64, String) {
        let step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        (step.number, step.doing.clone())
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
