//! What a simulation found, and how to see it again.

use std::env;
use std::error::Error;
use std::fmt;
use std::thread;
use std::time::Duration;

use super::trace::Seconds;

/// One seed under which the application did not do what it should. Its text says what happened, what came before it, and
/// how to replay it.
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
/// let group = SimulatedGroup::new(Graph::mesh([NodeId(1), NodeId(2)]), || Idle)
///     .invariant("impossible", |_| Err("as ever".to_owned()));
/// let failure = group.run(17).unwrap_err();
/// assert_eq!(failure.seed(), 17);
/// assert!(failure.what().contains("impossible"));
/// assert!(failure.to_string().contains("SEED=17 cargo test"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    pub(super) seed: u64,
    pub(super) at: Duration,
    pub(super) what: String,
    pub(super) trace: Vec<String>,
}

impl Failure {
    /// The seed that brings it about.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The virtual time at which it showed.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// What it was: the invariant that did not hold, the error with which a node ended, what never came to pass.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What happened before it, oldest first: the last [lines](super::SimulatedGroup::trace_lines), or all of them where `SEED`
    /// is set.
    pub fn trace(&self) -> &[String] {
        &self.trace
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, what, trace } = self;
        writeln!(f, "seed {seed} fails at {}: {what}", Seconds(*at))?;
        writeln!(f, "what came before it:")?;
        trace.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        write!(f, "replay it with its whole trace: SEED={seed} cargo test")?;
        // Cargo tells a test its package, and the test harness names the thread after the test.
        if let Ok(package) = env::var("CARGO_PKG_NAME") {
            write!(f, " -p {package}")?;
        }
        match thread::current().name().filter(|name| *name != "main") {
            Some(test) => write!(f, " {test}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Failure {
    /// The same text, which is what a failed test shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failure {}
