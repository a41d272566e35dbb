//! Whole nodes in deterministic simulation: four applications, each with an oracle that looks at every committed snapshot,
//! on seven graphs, under every fault that the simulation has. One seed decides all of it.
//!
//! ```
//! use snapshot_verification::soak::{App, Soak};
//! let mut soak = Soak::new();
//! let summary = soak.run(App::Token, 17).map_err(|defect| defect.to_string())?;
//! assert!(summary.commits >= 3, "one for each calm: {summary}");
//! # Ok::<(), String>(())
//! ```
//!
//! | application | its oracle |
//! | --- | --- |
//! | [`bank`] | money is conserved in every cut; no deposit is lost of which a client was told |
//! | [`token`] | every cut has exactly one token, which was passed on as often as the nodes remember |
//! | [`counters`] | on every channel, each number is received, or in flight in its place, or was never sent |
//! | [`machine`] | every cut is a state to which a sequential reference comes |
//!
//! A run is three storms with a calm after each, all in one store: snapshots, restarts from them, snapshots of what was
//! restarted. The simulation itself checks that nodes end for no reason but a fault, that nothing goes back behind what was
//! announced as committed, and that in each calm a snapshot commits in bounded virtual time.

pub mod bank;
pub mod counters;
pub mod forgetful;
pub mod machine;
pub mod token;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use clap::ValueEnum;
use snapshot_core::{Graph, MessageCodec, NodeId, Postcard};
use snapshot_transport_mem::simulation::{Application, Cut, Failure, SimulatedGroup, Summary};

/// How many storms a run has, and how many steps each of them.
const ROUNDS: usize = 3;
const STEPS: usize = 250;

/// An application that knows what a consistent cut of it looks like.
pub trait Judged: Application + Sized {
    /// What [`judge`](Self::judge) holds it to.
    const RULE: &str;

    /// What [`judge_rest`](Self::judge_rest) holds it to.
    const RULE_AT_REST: &str = Self::RULE;

    /// The application on this graph, before anything has happened.
    fn new(graph: &Graph) -> Self;

    /// What holds in every consistent cut.
    ///
    /// # Errors
    ///
    /// What does not.
    fn judge(cut: &Cut<Self>) -> Result<(), String>;

    /// What holds when the application is at rest.
    ///
    /// # Errors
    ///
    /// What does not.
    fn judge_rest(&self, cut: &Cut<Self>) -> Result<(), String> {
        Self::judge(cut)
    }
}

/// A simulation of this application, judged by its own oracle.
pub fn judged<A: Judged + 'static>(graph: &Graph, codec: impl MessageCodec<A::Message>) -> SimulatedGroup<A> {
    let of = graph.clone();
    SimulatedGroup::with_codec(graph.clone(), move || A::new(&of), codec)
        .invariant(A::RULE, A::judge)
        .at_rest(A::RULE_AT_REST, A::judge_rest)
        .rounds(ROUNDS)
        .steps(STEPS)
}

/// Which application.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, ValueEnum)]
pub enum App {
    /// [`bank`].
    Bank,
    /// [`token`].
    Token,
    /// [`counters`].
    Counters,
    /// [`machine`].
    Machine,
}

impl App {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bank, Self::Token, Self::Counters, Self::Machine];
}

impl fmt::Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bank => "bank",
            Self::Token => "token",
            Self::Counters => "counters",
            Self::Machine => "machine",
        })
    }
}

/// The graphs. A seed takes the one at its remainder.
pub fn graphs() -> [Graph; 7] {
    let nodes = |count| (1..=count).map(NodeId);
    let line = (1..4).fold(Graph::new(nodes(4)), |graph, id| graph.link(NodeId(id), NodeId(id + 1)));
    [
        Graph::mesh(nodes(2)),
        Graph::mesh(nodes(3)),
        Graph::ring(nodes(3)),
        Graph::star(nodes(4)),
        line.with_way_back(),
        Graph::ring(nodes(4)).link(NodeId(3), NodeId(1)),
        Graph::mesh(nodes(5)),
    ]
}

/// Runs seeds of any application.
pub struct Soak {
    lines: usize,
    groups: BTreeMap<(App, usize), Box<Simulation>>,
}

type Simulation = dyn Fn(u64) -> Result<Summary, Failure>;

impl Soak {
    /// With short traces.
    pub fn new() -> Self {
        Self::with_trace(40)
    }

    /// Failures show so many lines of their trace.
    pub fn with_trace(lines: usize) -> Self {
        Self { lines, groups: BTreeMap::new() }
    }

    /// Runs one seed.
    ///
    /// # Errors
    ///
    /// If something did not hold.
    pub fn run(&mut self, app: App, seed: u64) -> Result<Summary, Defect> {
        let graphs = graphs();
        let at = (seed % graphs.len() as u64) as usize;
        let lines = self.lines;
        let simulate = self.groups.entry((app, at)).or_insert_with(|| simulation(app, &graphs[at], lines));
        simulate(seed).map_err(|failure| Defect { app, failure: Box::new(failure) })
    }
}

impl Default for Soak {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Soak").field("lines", &self.lines).finish_non_exhaustive()
    }
}

fn simulation(app: App, graph: &Graph, lines: usize) -> Box<Simulation> {
    fn of<A>(graph: &Graph, lines: usize) -> Box<Simulation>
    where
        A: Judged + 'static,
        Postcard: MessageCodec<A::Message>,
    {
        let group = judged::<A>(graph, Postcard).trace_lines(lines);
        Box::new(move |seed| group.run(seed))
    }
    match app {
        App::Bank => of::<bank::Bank>(graph, lines),
        App::Token => of::<token::TokenRing>(graph, lines),
        App::Counters => of::<counters::Numbered>(graph, lines),
        App::Machine => of::<machine::Machines>(graph, lines),
    }
}

/// A seed under which something did not hold. Its text says what, what came before it, and how to replay it.
#[derive(Clone, PartialEq, Eq)]
pub struct Defect {
    /// The application.
    pub app: App,
    /// What did not hold, and when.
    pub failure: Box<Failure>,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (app, seed) = (self.app, self.failure.seed());
        self.failure.trace().iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        writeln!(f, "{app}: seed {seed} fails after {:?}: {}", self.failure.at(), self.failure.what())?;
        write!(
            f,
            "replay it: cargo run --release -p snapshot-verification --bin soak -- --app {app} --seed {seed}"
        )
    }
}

impl fmt::Debug for Defect {
    /// The same text, which is what a failed test shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Defect {}
