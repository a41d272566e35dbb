//! What many runs were like, in numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use super::FaultKind;

/// What happened in one run, or in all runs of a [`check`](super::SimulatedGroup::check). Whoever asserts on it knows that
/// the check had something to look at.
///
/// ```
/// # use snapshot_core::{Graph, NodeId};
/// # use snapshot_transport_mem::simulation::{Application, Outgoing, SimulatedGroup};
/// # struct Idle;
/// # impl Application for Idle {
/// #     type State = ();
/// #     type Message = ();
/// #     fn start(&mut self, _: NodeId) {}
/// #     fn handle(&mut self, _: &mut (), _: NodeId, _: (), _: &mut Outgoing<'_, ()>) {}
/// # }
/// let summary = SimulatedGroup::new(Graph::mesh([NodeId(1), NodeId(2)]), || Idle).check(0..5);
/// assert!(summary.replayed || summary.runs == 5 && summary.commits >= 5);
/// println!("{summary}");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// How many seeds were run.
    pub runs: u64,
    /// Whether `SEED` has named the only one that was run, so that these numbers say nothing of a search.
    pub replayed: bool,
    /// How many messages were handed to the application.
    pub messages: u64,
    /// How many snapshots were committed; each was checked.
    pub commits: u64,
    /// How many snapshots were given up.
    pub aborts: u64,
    /// How many times a node went back to a snapshot, or to the beginning.
    pub rollbacks: u64,
    /// The virtual time that has passed.
    pub time: Duration,
    /// How often each kind of fault came. A kind that never came is not in it.
    pub faults: BTreeMap<FaultKind, u64>,
    /// A number that is equal for two runs in which the same happened in the same order, and differs for others but by
    /// accident.
    pub trace_hash: u64,
}

impl AddAssign<&Self> for Summary {
    /// What happened in these runs too.
    fn add_assign(&mut self, other: &Self) {
        let Self { runs, replayed, messages, commits, aborts, rollbacks, time, faults, trace_hash } = other;
        self.replayed |= replayed;
        self.runs += runs;
        self.messages += messages;
        self.commits += commits;
        self.aborts += aborts;
        self.rollbacks += rollbacks;
        self.time = self.time.saturating_add(*time);
        for (kind, count) in faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        self.trace_hash = self.trace_hash.rotate_left(5) ^ trace_hash;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, messages, commits, aborts, rollbacks, time, faults, .. } = self;
        write!(
            f,
            "{runs} runs, {messages} messages, {commits} snapshots committed, {aborts} given up, {rollbacks} rollbacks, \
             {} virtual seconds",
            time.as_secs()
        )?;
        faults.iter().try_for_each(|(kind, count)| write!(f, "\n  {kind:<16}{count:>9}"))
    }
}
