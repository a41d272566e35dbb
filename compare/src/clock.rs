//! The CPU time of this process.

use rustix::time::{ClockId, clock_gettime};

/// What all threads of this process have used so far, in user and system mode, in nanoseconds.
pub(crate) fn cpu() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let [seconds, nanos] =
        [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).expect("it runs forwards"));
    seconds * 1_000_000_000 + nanos
}
