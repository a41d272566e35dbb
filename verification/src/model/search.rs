//! Walking through all states of a configuration.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model as _};

use super::Group;
use super::config::{Config, Seen};
use super::trace::Trace;

/// When a search stops before its end, and how it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// After about so many different states.
    pub states: u64,
    /// After this time.
    pub time: Duration,
    /// How many threads search. With one, a counterexample of a search in breadth is the shortest there is.
    pub threads: usize,
    /// Depth first: less memory, and longer counterexamples.
    pub deep: bool,
}

impl Default for Limits {
    /// Ten million states, ten minutes, one thread, in breadth.
    fn default() -> Self {
        Self { states: 10_000_000, time: Duration::from_secs(600), threads: 1, deep: false }
    }
}

/// What a search has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// How many different states were reached.
    pub states: usize,
    /// How many steps were taken, those to known states included.
    pub steps: usize,
    /// How many steps the longest way has that was looked at.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// Whether there is nothing more to search.
    pub ended: bool,
    /// The property that does not hold, and a way to a state in which it does not.
    pub broken: Option<(&'static str, Trace)>,
    /// What should have happened somewhere, and did not, in a search that has ended.
    pub missing: Vec<Seen>,
}

impl Found {
    /// Whether all properties hold in all states, and the states are the ones that were meant.
    pub fn is_proof(&self) -> bool {
        self.ended && self.broken.is_none() && self.missing.is_empty()
    }
}

/// Searches a configuration.
///
/// States are told apart by a hash of 64 bits: of ten million, two fall together with a probability of about three in a
/// million.
///
/// # Panics
///
/// If the configuration is no valid one, see [`Group::new`].
pub fn search(config: &Config, limits: Limits) -> Found {
    let began = Instant::now();
    let group = Group::new(config, limits.states).until(began.checked_add(limits.time));
    let builder = group.clone().checker().threads(limits.threads).finish_when(HasDiscoveries::AnyFailures);
    if limits.deep {
        found(&group, builder.spawn_dfs(), began)
    } else {
        found(&group, builder.spawn_bfs(), began)
    }
}

fn found(group: &Group, checker: impl Checker<Group>, began: Instant) -> Found {
    let checker = checker.join();
    let time = began.elapsed();
    let stopped = group.is_spent();
    // Walking a way again looks at its states again.
    group.lift_limit();
    let shortest =
        checker.discoveries().into_iter().min_by_key(|(_, path)| path.clone().into_actions().len());
    let broken = shortest.map(|(name, path)| (name, Trace::of(group, &path.into_actions())));
    Found {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        time,
        ended: !stopped && broken.is_none(),
        missing: if broken.is_none() && !stopped { group.missing() } else { Vec::new() },
        broken,
    }
}
