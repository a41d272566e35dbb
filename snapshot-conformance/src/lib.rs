//! Suites that judge an implementation of one of the traits of `snapshot-core`, clause by clause.
//!
//! The docs of each trait number what an implementation must do. For each number there is a check here, and one line makes
//! them tests of your crate, one `#[test]` for each clause. So this crate belongs into `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! snapshot-conformance = { path = "../snapshot/snapshot-conformance" }
//! ```
//!
//! You write a *fixture*, which says how one of yours is made, and the line:
//!
//! | you have written a | fixture | line |
//! | --- | --- | --- |
//! | [`Transport`](snapshot_core::Transport) | [`TransportFixture`] | `snapshot_conformance::transport!(MyFixture);` |
//! | [`SnapshotStore`](snapshot_core::SnapshotStore) | [`StoreFixture`] | `snapshot_conformance::store!(MyFixture);` |
//! | [`StateProvider`](snapshot_core::StateProvider), [`PostcardState`](snapshot_core::PostcardState) | [`StateFixture`] | `snapshot_conformance::state!(MyFixture);` |
//! | [`MessageCodec`](snapshot_core::MessageCodec) | [`CodecFixture`] | `snapshot_conformance::codec!(MyFixture);` |
//! | [`Clock`] | [`ClockFixture`] | `snapshot_conformance::clock!(MyFixture);` |
//!
//! A test that fails names the clause that was broken and says what was seen: `T1 order: frame 18 from n2 came before
//! frame 17`. That need not be the clause that the test is named after: where the first frame is lost, no test gets far.
//!
//! Nothing here waits for ever: each wait has a limit, which a fixture can set, and a call that blocks its thread is
//! found too. A wait that is as long as the limit allows is only ever one for something that should have happened, so a
//! slow machine needs no more than a higher limit.
//!
//! The checks are plain functions as well, such as [`transport::t1_order`], which return a [`Breach`] in place of a
//! panic.

pub mod clock;
pub mod codec;
mod hostile;
mod memory;
mod pieces;
pub mod state;
pub mod store;
pub mod transport;
mod trial;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use snapshot_core::Clock;

pub use self::clock::ClockFixture;
pub use self::codec::CodecFixture;
pub use self::state::StateFixture;
pub use self::store::StoreFixture;
pub use self::transport::TransportFixture;

/// How a clause was broken, as a failed check tells it.
///
/// ```
/// use std::sync::Arc;
/// use snapshot_conformance::{ClockFixture, clock};
/// use snapshot_core::{Clock, SystemClock};
///
/// struct Mine;
/// impl ClockFixture for Mine {
///     fn new() -> Self { Self }
///     fn clock(&self) -> Arc<dyn Clock> { Arc::new(SystemClock::new()) }
/// }
/// match clock::c1_now_never_goes_back::<Mine>() {
///     Ok(()) => println!("it keeps C1"),
///     Err(breach) => panic!("{breach}"), // such as `C1 time: now went back from 5s to 4s`
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Breach {
    clause: Clause,
    seen: String,
}

/// A clause: its number, and in a word what it is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clause {
    number: &'static str,
    gist: &'static str,
}

impl Clause {
    pub(crate) const fn new(number: &'static str, gist: &'static str) -> Self {
        Self { number, gist }
    }

    pub(crate) fn broken(self, seen: impl Into<String>) -> Breach {
        Breach { clause: self, seen: seen.into() }
    }
}

impl Breach {
    /// The number of the clause, such as `T1`.
    pub fn clause(&self) -> &'static str {
        self.clause.number
    }

    /// What was seen.
    pub fn seen(&self) -> &str {
        &self.seen
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.clause.number, self.clause.gist, self.seen)
    }
}

impl fmt::Debug for Breach {
    /// The same text, which is what `unwrap` shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Breach {}

/// How long a check waits for one thing, by which clock.
#[derive(Clone)]
pub(crate) struct Limit {
    clock: Arc<dyn Clock>,
    after: Duration,
}

impl Limit {
    pub(crate) fn new(clock: Arc<dyn Clock>, after: Duration) -> Self {
        Self { clock, after }
    }

    /// The future's output, or `None` where the limit came first.
    pub(crate) async fn within<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let end = self.clock.now().saturating_add(self.after);
        let (future, sleep) = (std::pin::pin!(future), self.clock.sleep_until(end));
        match select(future, sleep).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(((), _)) => None,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.after)
    }
}

/// Ends a test. For the macros of the suites.
#[doc(hidden)]
#[track_caller]
pub fn judge(outcome: Result<(), Breach>) {
    if let Err(breach) = outcome {
        panic!("{breach}");
    }
}
