//! What happened in a run, line by line.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use snapshot_core::Clock;

/// Shared by the group and its store. Of the lines it keeps the last `keep`; the hash is over all.
#[derive(Clone)]
pub(super) struct Trace {
    clock: Arc<dyn Clock>,
    lines: Arc<Mutex<Lines>>,
}

struct Lines {
    keep: usize,
    last: VecDeque<String>,
    hash: u64,
}

impl Trace {
    pub(super) fn new(clock: Arc<dyn Clock>, keep: usize) -> Self {
        // FNV-1a, 64 bits: the same on every machine.
        let lines = Lines { keep, last: VecDeque::new(), hash: 0xcbf2_9ce4_8422_2325 };
        Self { clock, lines: Arc::new(Mutex::new(lines)) }
    }

    pub(super) fn line(&self, text: fmt::Arguments<'_>) {
        let now = self.clock.now();
        let mut lines = self.lines();
        let full = lines.last.len() >= lines.keep;
        let mut line = if full { lines.last.pop_front() } else { None }.unwrap_or_default();
        line.clear();
        // Writing into a string cannot fail, but what is shown may.
        let _ = write!(line, "{:>12} {text}", Seconds(now));
        lines.hash = line
            .bytes()
            .chain([b'\n'])
            .fold(lines.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        lines.last.push_back(line);
    }

    pub(super) fn hash(&self) -> u64 {
        self.lines().hash
    }

    pub(super) fn last(&self) -> Vec<String> {
        self.lines().last.iter().cloned().collect()
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    // A panic of the application while it is shown leaves a line half written, which is what the reader should see.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Microseconds are fine enough to tell moments apart by eye.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:06}s", self.0.as_secs(), self.0.subsec_micros()))
    }
}
