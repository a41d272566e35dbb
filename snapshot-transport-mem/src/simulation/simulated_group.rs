//! What a test says of a simulation, and what it gets to know.

use std::any::Any;
use std::env;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use snapshot_core::{Graph, MessageCodec, NodeBuilder, NodeId, Postcard, SnapshotStore};

use super::checks::Checks;
use super::codec::SharedCodec;
use super::group::{Group, Wrap, plain};
use super::plan::Plan;
use super::run::Run;
use super::{Application, Cut, Failure, Faults, Random, Summary};
use crate::MemNetwork;

/// How many lines of the trace a failure shows.
const LINES: usize = 40;

/// An application on whole nodes, over the network in memory and a store that fails, under schedules and faults that a seed
/// decides. See the [module](super) for an example.
///
/// A run begins with a *storm*: work comes, snapshots are taken, and [`Faults`] happen. Then comes *calm*: whoever is dead is
/// started again, all is mended, and in bounded virtual time a snapshot must be committed, every process that was wrongly
/// taken for dead must find out, and, where there is an [`at_rest`](Self::at_rest), the application must come to rest. With
/// [`rounds`](Self::rounds) storm and calm follow on each other. Every `next` is dropped whenever it waits, so that each run
/// is one of cancel safety too; and a process can die wherever it waits.
///
/// What is checked, besides what the test asks for:
///
/// * every committed snapshot can be read, and every [`invariant`](Self::invariant) holds in it, at the moment at which it
///   is committed;
/// * no node ends but by a fault, breaks the protocol, or goes back behind what was announced as committed; only
///   [`PutBack`](super::FaultKind::PutBack) takes that back, to what the copy has;
/// * no handler panics, sends to a stranger, or sends without bound.
pub struct SimulatedGroup<A: Application> {
    graph: Graph,
    start: Box<dyn Fn() -> A>,
    codec: Arc<dyn MessageCodec<A::Message>>,
    faults: Faults,
    steps: usize,
    rounds: usize,
    lines: usize,
    wrap: Rc<Wrap>,
    checks: Checks<A>,
}

impl<A: Application> SimulatedGroup<A> {
    /// A group of this graph. `start` makes the application of each run: a new one for each seed, so that runs know nothing
    /// of each other. Everything may go wrong; a storm has 400 steps.
    pub fn new(graph: Graph, start: impl Fn() -> A + 'static) -> Self
    where
        Postcard: MessageCodec<A::Message>,
    {
        Self::with_codec(graph, start, Postcard)
    }

    /// As [`new`](Self::new), for messages without serde's traits.
    pub fn with_codec(
        graph: Graph,
        start: impl Fn() -> A + 'static,
        codec: impl MessageCodec<A::Message>,
    ) -> Self {
        let checks =
            Checks { invariants: Vec::new(), at_rest: Vec::new(), tune: Box::new(|builder| builder) };
        let start = Box::new(start);
        Self {
            graph,
            start,
            codec: Arc::new(codec),
            faults: Faults::all(),
            steps: 400,
            rounds: 1,
            lines: LINES,
            wrap: plain(),
            checks,
        }
    }

    /// What holds in every consistent cut, states and messages in flight together. Checked on each committed snapshot.
    #[must_use]
    pub fn invariant(
        mut self,
        name: impl Into<String>,
        check: impl Fn(&Cut<A>) -> Result<(), String> + 'static,
    ) -> Self {
        self.checks.invariants.push((name.into(), Box::new(check)));
        self
    }

    /// What holds when everything has come to rest after the faults: in a committed snapshot that was begun when no more work
    /// came, has no message in flight, and of which all nodes have been told. The application's own value shows what its clients know,
    /// but for what a backup has undone ([`Application::put_back`]).
    ///
    /// Only for applications that come to rest when no new work comes.
    #[must_use]
    pub fn at_rest(
        mut self,
        name: impl Into<String>,
        check: impl Fn(&A, &Cut<A>) -> Result<(), String> + 'static,
    ) -> Self {
        self.checks.at_rest.push((name.into(), Box::new(check)));
        self
    }

    /// What may go wrong. By default [everything](Faults::all).
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// How long each storm is. By default 400 steps, of which some 100 bring work.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// How many times a storm and the calm after it follow on each other, in one store. At the end of each calm all processes
    /// crash, so that the next storm begins with a restart from the snapshot of the one before. By default once.
    #[must_use]
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds.max(1);
        self
    }

    /// How many lines of its trace a failure shows. By default 40.
    #[must_use]
    pub fn trace_lines(mut self, lines: usize) -> Self {
        self.lines = lines;
        self
    }

    /// Puts something around the store, as the application does in production: what encrypts, compresses, or tries again.
    /// Called for each process with its node, and with `None` for the simulation's own eye on the store, which sees no
    /// faults. The faults are within: the wrapper is what a node talks to.
    ///
    /// Where it waits for anything but the store that it is given, the run panics or stands still.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use snapshot_core::{Graph, NodeId, SnapshotStore};
    /// # use snapshot_transport_mem::simulation::{Application, Outgoing, SimulatedGroup};
    /// # struct Idle;
    /// # impl Application for Idle {
    /// #     type State = ();
    /// #     type Message = ();
    /// #     fn start(&mut self, _: NodeId) {}
    /// #     fn handle(&mut self, _: &mut (), _: NodeId, _: (), _: &mut Outgoing<'_, ()>) {}
    /// # }
    /// # fn encrypted(store: Arc<dyn SnapshotStore>) -> Arc<dyn SnapshotStore> { store }
    /// SimulatedGroup::new(Graph::mesh([NodeId(1), NodeId(2)]), || Idle)
    ///     .wrap_store(|_node, store| encrypted(store))
    ///     .check(0..5);
    /// ```
    #[must_use]
    pub fn wrap_store(
        mut self,
        wrap: impl Fn(Option<NodeId>, Arc<dyn SnapshotStore>) -> Arc<dyn SnapshotStore> + 'static,
    ) -> Self {
        self.wrap = Rc::new(wrap);
        self
    }

    /// Settings of the nodes, as the application would make them; they override what a seed has drawn. Store, codec, seed and
    /// retention are the simulation's own.
    #[must_use]
    pub fn tune(
        mut self,
        tune: impl Fn(NodeBuilder<A::State, A::Message>) -> NodeBuilder<A::State, A::Message> + 'static,
    ) -> Self {
        self.checks.tune = Box::new(tune);
        self
    }

    /// Runs all of these seeds, up to the first that fails; with `SEED=n` in the environment only that one, and prints its
    /// trace.
    ///
    /// # Panics
    ///
    /// With the text of the [`Failure`], whose last line replays it; if the graph is no topology; if `SEED` is no number.
    #[track_caller]
    pub fn check(&self, seeds: impl IntoIterator<Item = u64>) -> Summary {
        let replayed = replayed();
        let mut summary = Summary { replayed: replayed.is_some(), ..Summary::default() };
        let seeds: Box<dyn Iterator<Item = u64>> = match replayed {
            Some(seed) => Box::new(std::iter::once(seed)),
            None => Box::new(seeds.into_iter()),
        };
        for seed in seeds {
            let (result, trace) = self.trace(seed, if replayed.is_some() { usize::MAX } else { self.lines });
            match result {
                Ok(run) => summary += &run,
                Err(failure) => panic!("{failure}"),
            }
            if replayed.is_some() {
                trace.iter().for_each(|line| println!("{line}"));
                println!("seed {seed} holds");
            }
        }
        summary
    }

    /// Runs one seed.
    ///
    /// # Errors
    ///
    /// If something did not hold. The failure shows the last [lines](Self::trace_lines) of its trace; all of them where `SEED` is set.
    ///
    /// # Panics
    ///
    /// If the graph is no topology.
    #[track_caller]
    pub fn run(&self, seed: u64) -> Result<Summary, Failure> {
        self.trace(seed, if env::var_os("SEED").is_some() { usize::MAX } else { self.lines }).0
    }

    #[track_caller]
    fn trace(&self, seed: u64, keep: usize) -> (Result<Summary, Failure>, Vec<String>) {
        let plan = Plan::draw(&self.faults, &mut Random::of(seed, 0));
        let network = MemNetwork::builder(&self.graph).seed(seed).capacity(plan.capacity());
        let codec = SharedCodec(Arc::clone(&self.codec));
        let group =
            Group::new(network, &self.graph, (self.start)(), codec, Rc::clone(&self.wrap), seed, keep);
        let trace = group.trace.clone();
        // What a panic leaves behind is dropped, but for the trace.
        let run =
            AssertUnwindSafe(|| Run::new(group, &self.checks, plan, seed).finish(self.rounds, self.steps));
        let result = catch_unwind(run).unwrap_or_else(|panic| Err(format!("it panicked: {}", text(&*panic))));
        let failed = |what| Failure { seed, at: trace.now(), what, trace: trace.last() };
        (result.map_err(failed), trace.last())
    }
}

impl<A: Application> fmt::Debug for SimulatedGroup<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedGroup")
            .field("graph", &self.graph)
            .field("faults", &self.faults)
            .field("steps", &self.steps)
            .field("rounds", &self.rounds)
            .finish_non_exhaustive()
    }
}

/// The one seed to run, if there is one.
fn replayed() -> Option<u64> {
    let seed = env::var("SEED").ok()?;
    match seed.parse() {
        Ok(seed) => Some(seed),
        Err(_) => panic!("SEED={seed} is no number: take it from the failure that it shall replay"),
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("with something that is no text")
}
