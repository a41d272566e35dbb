//! How long a group of three processes is away when one of them is killed and started again: over TCP on the loopback, a folder as
//! the store, messages among all. What is held against it is `std::fs::read` of the same parts in the same run, by as many processes
//! at the same time.
//!
//! `cargo bench -p snapshot-transport-tcp --bench recovery_time`: ten kills a row, 1 MiB and 100 MiB. `-- --large` adds 1 GiB, for
//! which it takes 10 GiB of memory and as much of disk; `-- --many` kills sixty times. Words such as `-- '1 MiB' kept` name the rows that have them all. `BENCH_DIR`
//! names the folder below which the store lies.
//!
//! A state is a `Vec` that is copied for each capture and gives no handle on it ('copied'), or an `Arc` of one that does ('kept'). The
//! parent kills with SIGKILL, waits until the process is gone, and starts it again at once: this time is shown apart, since the system and
//! a supervisor would take it in any case. Moments of several processes are compared by the system's clock of the day.

mod recovery {
    pub(super) mod node;
    pub(super) mod parent;
    pub(super) mod state;
    pub(super) mod watched;
}

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [role, rest @ ..] if role == "node" => recovery::node::run(rest),
        [role, file] if role == "raw" => recovery::parent::read_raw(file),
        _ => {
            let (flags, words): (Vec<String>, Vec<String>) =
                arguments.into_iter().partition(|argument| argument.starts_with("--"));
            recovery::parent::compare(&flags, &words);
        }
    }
}

/// The time of the day, in microseconds: the one clock that all processes have.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than that");
    u64::try_from(since.as_micros()).expect("it is not that late")
}
