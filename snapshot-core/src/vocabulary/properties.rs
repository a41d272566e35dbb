//! Properties of random values: what is written is read, what is cut or bent is refused, what is drawn up holds together.
//!
//! Every run tries the same values. `PROPTEST_CASES=100000` tries more of them, `PROPTEST_RNG_SEED=7` others.

mod topology;

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use crate::vocabulary::id::{Generation, NodeId, SnapshotId};

/// Tries a property on values of a strategy.
///
/// # Panics
///
/// With the smallest value for which it does not hold, and how to see that again.
#[track_caller]
pub(crate) fn holds<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S::Value: Debug,
{
    let mut config = Config { failure_persistence: None, ..Config::default() };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => 0,
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let cases = config.cases;
    config.max_global_rejects = cases.max(config.max_global_rejects);
    if let Err(error) = TestRunner::new(config).run(&strategy, property) {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        panic!(
            "{error}\nreplay: PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} cargo test --all-features {test}"
        );
    }
}

/// Numbers of all lengths, the ends of the range among them.
pub(crate) fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), (0..64_u32, any::<u64>()).prop_map(|(bits, n)| n >> bits)]
}

pub(crate) fn nodes() -> impl Strategy<Value = NodeId> {
    numbers().prop_map(NodeId)
}

pub(crate) fn generations() -> impl Strategy<Value = Generation> {
    numbers().prop_map(|n| Generation(n.max(1)))
}

pub(crate) fn snapshots() -> impl Strategy<Value = SnapshotId> {
    (generations(), numbers(), nodes()).prop_map(|(generation, sequence, initiator)| SnapshotId {
        generation,
        sequence,
        initiator,
    })
}
