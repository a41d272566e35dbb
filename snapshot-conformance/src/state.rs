//! The clauses of [`StateProvider`], P1 to P5.
//!
//! The suite makes pairs of the same state, does the same to both but for the thing that is tried, and compares what the
//! application can see of them, then and after every further change.
//!
//! | test | what it does |
//! | --- | --- |
//! | `p1_capture_has_no_effect` | captures one of a pair, once and many times, and lets both go on |
//! | `p2_captures_are_owned` | changes or drops the state after a capture, and then looks what the capture holds |
//! | `p3_restored_state_is_the_same` | encodes to and decodes from readers and writers of all kinds, on other threads, beside others, again and again |
//! | `p4_install_replaces_all` | installs each state over each other one |
//! | `p5_decode_refuses_what_it_does_not_know` | bytes cut short, too long, changed, without sense, nested without end, with lengths that promise too much; unknown versions |
//!
//! What no test sees is whether `capture` does I/O, and whether it is cheap.
//!
//! How much memory `decode` takes is noticed on Linux. One that asks for more than the machine has ends the test program with
//! `memory allocation of … bytes failed`, and one that calls itself for each level of what is nested, however deep, with `has
//! overflowed its stack`: these, too, are breaches of P5.
//!
//! All this happens in one process. That the bytes mean the same in another one, after a restart, on another machine, is
//! what the fixture's `earlier` is for: bytes that were written once and for all.

mod captures;
mod decoding;
mod lab;
mod restoring;

use std::fmt::Debug;
use std::time::Duration;

use snapshot_core::StateProvider;

use self::lab::Lab;
use super::{Breach, Clause};

/// How the suite makes states of yours, changes them, and looks at them.
///
/// ```
/// use snapshot_core::PostcardState;
/// use snapshot_conformance::StateFixture;
/// use serde::{Deserialize, Serialize};
/// use std::collections::BTreeMap;
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Stock { pieces: BTreeMap<String, u64> }
/// impl PostcardState for Stock {}
///
/// struct Stocks;
///
/// impl StateFixture for Stocks {
///     type State = Stock;
///     type Seen = BTreeMap<String, u64>;
///
///     fn new() -> Self { Self }
///     fn state(&self, number: u64) -> Stock {
///         Stock { pieces: (0..number).map(|n| (format!("article {n}"), n * 10)).collect() }
///     }
///     fn change(&self, stock: &mut Stock, step: u64) {
///         *stock.pieces.entry(format!("article {}", step % 5)).or_default() += step + 1;
///     }
///     fn observe(&self, stock: &mut Stock) -> Self::Seen { stock.pieces.clone() }
/// }
///
/// // In a test file, or beside the state: one line, five tests.
/// snapshot_conformance::state!(Stocks);
/// # fn main() { snapshot_conformance::state::p3_restored_state_is_the_same::<Stocks>().unwrap(); }
/// ```
pub trait StateFixture: Sized + 'static {
    /// The state.
    type State: StateProvider;

    /// What the application can see of a state.
    type Seen: PartialEq + Debug;

    /// How many states there are, numbered from 0. Those of different numbers look different; where all states are alike, it
    /// is 1.
    const STATES: u64 = 4;

    /// How long one step of a test may take, in real time, before the test fails.
    const LIMIT: Duration = Duration::from_secs(30);

    /// What the fixture itself needs.
    fn new() -> Self;

    /// The state of this number: each time another that is like it. An empty one and a large one should be among them.
    fn state(&self, number: u64) -> Self::State;

    /// Changes a state, as the application would. It depends on nothing but the state and `step`, which counts from 0, and
    /// should touch all that a state is made of.
    fn change(&self, state: &mut Self::State, step: u64);

    /// All that the application can see of a state: not only what a getter shows, but how it answers. Two states that look
    /// alike here are taken to be the same. A look leaves the state as it is: what is taken out to be seen goes back.
    fn observe(&self, state: &mut Self::State) -> Self::Seen;

    /// Bytes that were stored by earlier releases: their version, what `encode` wrote, and the state that it is now. Keep one
    /// of each version that is still read, this one's too: that is what finds a change of the form that nobody meant.
    fn earlier(&self) -> Vec<(u32, Vec<u8>, Self::State)> {
        Vec::new()
    }
}

/// Makes tests of all clauses of [`StateProvider`](snapshot_core::StateProvider), P1 to P5, for a
/// [`StateFixture`](crate::StateFixture).
///
/// For a second fixture in the same file, put the line into a `mod` of its own.
#[macro_export]
macro_rules! state {
    ($fixture:ty) => {
        $crate::state!($fixture: p1_capture_has_no_effect p2_captures_are_owned p3_restored_state_is_the_same
            p4_install_replaces_all p5_decode_refuses_what_it_does_not_know);
    };
    ($fixture:ty: $($check:ident)*) => {
        $(#[test]
        fn $check() {
            $crate::judge($crate::state::$check::<$fixture>());
        })*
    };
}

const P1: Clause = Clause::new("P1", "capture has no effect");
const P2: Clause = Clause::new("P2", "captures are owned");
const P3: Clause = Clause::new("P3", "the restored state is the same");
const P4: Clause = Clause::new("P4", "install replaces all");
const P5: Clause = Clause::new("P5", "decode refuses what it does not know");

/// A state that was captured, and the capture dropped or encoded, goes on like one that was not.
///
/// # Errors
///
/// If P1 is broken, or the state does not work well enough to tell.
pub fn p1_capture_has_no_effect<F: StateFixture>() -> Result<(), Breach> {
    Lab::<F>::run(P1, captures::no_effect)
}

/// A capture holds what the state was, whatever becomes of the state, and of other captures.
///
/// # Errors
///
/// If P2 is broken, or the state does not work well enough to tell.
pub fn p2_captures_are_owned<F: StateFixture>() -> Result<(), Breach> {
    Lab::<F>::run(P2, captures::owned)
}

/// A state that was encoded, decoded and installed looks like the one that was captured, and goes on like it.
///
/// # Errors
///
/// If P3 is broken, or the state does not work well enough to tell.
pub fn p3_restored_state_is_the_same<F: StateFixture>() -> Result<(), Breach> {
    Lab::<F>::run(P3, restoring::the_same)
}

/// A state that another one is installed over shows nothing of what it was.
///
/// # Errors
///
/// If P4 is broken, or the state does not work well enough to tell.
pub fn p4_install_replaces_all<F: StateFixture>() -> Result<(), Breach> {
    Lab::<F>::run(P4, restoring::replaces_all)
}

/// Bytes and versions that are none of its own are refused, without a panic and without much memory.
///
/// # Errors
///
/// If P5 is broken, or the state does not work well enough to tell.
pub fn p5_decode_refuses_what_it_does_not_know<F: StateFixture>() -> Result<(), Breach> {
    Lab::<F>::run(P5, decoding::refuses)
}
