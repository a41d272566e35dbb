//! An exhaustive search through everything that can happen to a small group: every order of frames, turns, store
//! operations, crashes and broken connections, within stated bounds.
//!
//! The processes of the model are [`SnapshotCoordinator`](snapshot_core::SnapshotCoordinator)s, the code that is shipped and
//! not a copy of its rules. The checker ([`stateright`]) holds their states as it would hold integers. What they do is
//! judged by an [`oracle`] that shares nothing with them.
//!
//! Every step adds to some count (frames sent, store operations asked, turns taken, what the environment has used up), so
//! no state is ever reached again: a search that ends has shown that everything ends, and what holds in all states at rest is
//! what a group that is left alone always comes to.
//!
//! ```
//! use snapshot_verification::model::{Limits, configs, search};
//! let config = configs::ALL.iter().find(|config| config.name == "cut").unwrap();
//! let found = search::search(config, Limits::default());
//! assert!(found.is_proof(), "{found:?}");
//! ```

pub mod action;
pub mod app;
pub mod config;
pub mod configs;
mod drive;
mod keeping;
mod name;
pub mod oracle;
pub mod record;
pub mod search;
pub mod shared;
pub mod state;
mod step;
pub mod trace;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use snapshot_core::{Bound, LinkUse, NodeId, Settings, Topology};
use stateright::{Model, Property};

use action::Action;
use app::{COINS, MAX_NODES};
use config::{Config, Seen};
use oracle::{Fault, Oracle, Part, Rule};
pub use search::{Found, Limits, search};
use shared::Shared;
use state::{Budget, Histories, State};
use step::Step;

/// A configuration made ready for a search: the model that the checker walks through.
#[derive(Clone, Debug)]
pub struct Group {
    /// What may happen.
    pub config: Config,
    settings: Settings,
    topologies: Vec<Topology>,
    /// The channels that carry messages.
    links: Vec<(u8, u8)>,
    tally: Arc<Tally>,
}

/// More steps than a small group needs for its start.
const PATIENCE: usize = 10_000;

/// What a search has come by so far.
#[derive(Debug)]
struct Tally {
    seen: [AtomicBool; Seen::COUNT],
    expanded: AtomicU64,
    /// The most states that are looked at.
    most: u64,
    /// None is looked at from here on.
    until: Option<Instant>,
    is_limited: AtomicBool,
    is_spent: AtomicBool,
}

/// The clock is read once for so many states.
const LOOKS: u64 = 64;

impl Group {
    /// Makes a configuration ready; the search ends after about so many states.
    ///
    /// # Panics
    ///
    /// If the configuration has too many nodes, or a graph that is none.
    pub fn new(config: &Config, states: u64) -> Self {
        let nodes = config.shape.nodes();
        assert!(usize::from(nodes) <= MAX_NODES, "a model has at most {MAX_NODES} nodes");
        let graph = config.shape.graph();
        let place =
            |node| graph.at(NodeId(u64::from(node) + 1)).expect("the graph of a configuration is valid");
        let topologies: Vec<_> = (0..nodes).map(place).collect();
        let links = topologies[0].links().filter(|(.., link)| *link == LinkUse::Messages);
        let number = |id: NodeId| id.0 as u8 - 1;
        Self {
            links: links.map(|(from, to, _)| (number(from), number(to))).collect(),
            settings: Settings {
                durable: config.durable,
                retention: config.retention(),
                inbox: Bound::new(config.window.0, config.window.1),
                window_floor: Bound::new(1, 1),
                ..marks(config)
            },
            topologies,
            tally: Arc::new(Tally {
                seen: [const { AtomicBool::new(false) }; Seen::COUNT],
                expanded: AtomicU64::new(0),
                most: states,
                until: None,
                is_limited: AtomicBool::new(true),
                is_spent: AtomicBool::new(false),
            }),
            config: config.clone(),
        }
    }

    fn nodes(&self) -> usize {
        self.topologies.len()
    }

    fn saw(&self, what: Seen) {
        self.tally.seen[what as usize].store(true, Relaxed);
    }

    fn note(&self, what: Seen, is_so: bool) {
        if is_so {
            self.saw(what);
        }
    }

    fn saw_cut(&self, cut: &[Part]) {
        self.saw(Seen::Cut);
        let is_in_flight = |messages: &Vec<_>| !messages.is_empty();
        self.note(Seen::InFlight, cut.iter().any(|part| part.channels.iter().any(is_in_flight)));
        self.note(Seen::Overtaken, cut.iter().any(|part| part.outgoing.iter().any(is_in_flight)));
        let is_split = |&(from, to): &(u8, u8)| {
            let (from, to) = (usize::from(from), usize::from(to));
            is_in_flight(&cut[to].channels[from]) && is_in_flight(&cut[from].outgoing[to])
        };
        self.note(Seen::Split, self.links.iter().any(is_split));
    }

    /// Ends the search at this time as well.
    #[must_use]
    fn until(mut self, time: Option<Instant>) -> Self {
        if let Some(tally) = Arc::get_mut(&mut self.tally) {
            tally.until = time;
        }
        self
    }

    /// Whether the search has come to a limit.
    fn is_spent(&self) -> bool {
        self.tally.is_spent.load(Relaxed)
    }

    fn lift_limit(&self) {
        self.tally.is_limited.store(false, Relaxed);
    }

    /// Whether one more state may be looked at.
    fn may_expand(&self) -> bool {
        let Tally { most, until, is_limited, is_spent, .. } = &*self.tally;
        // Each state is expanded once.
        let expanded = self.tally.expanded.fetch_add(1, Relaxed);
        let is_late = || expanded.is_multiple_of(LOOKS) && until.is_some_and(|until| Instant::now() >= until);
        if is_limited.load(Relaxed) && (expanded >= *most || is_late()) {
            is_spent.store(true, Relaxed);
        }
        !is_limited.load(Relaxed) || !is_spent.load(Relaxed)
    }

    /// What was expected and has not been seen.
    pub fn missing(&self) -> Vec<Seen> {
        let unseen = |what: &&Seen| !self.tally.seen[**what as usize].load(Relaxed);
        self.config.expects.iter().filter(unseen).copied().collect()
    }

    pub(crate) fn empty(&self) -> State {
        let (config, nodes) = (&self.config, self.nodes());
        State {
            processes: vec![None; nodes],
            channels: vec![Shared::default(); nodes * nodes],
            store: Shared::default(),
            orphans: Shared::default(),
            oracle: Shared::new(Oracle::new(
                nodes as u8,
                self.links.clone(),
                COINS * nodes as u8,
                config.window,
            )),
            budget: Budget {
                sends: config.sends.iter().map(|(.., count)| *count).collect(),
                snapshots: config.snapshots.iter().map(|(_, count)| *count).collect(),
                crashes: config.crashes.0,
                breaks: config.breaks,
                doubles: config.doubles.0,
                store_faults: config.store_faults,
                aborts: config.aborts,
                deadlines: config.deadlines,
                silences: config.silences,
                rewinds: config.rewinds,
            },
            histories: Shared::new(Histories { first: 1, ..Histories::default() }),
            lives: [0; MAX_NODES],
            eras: [0; MAX_NODES],
            fault: None,
        }
    }

    /// A group that runs in its first generation and is at rest.
    fn running(&self) -> State {
        let mut state = self.empty();
        let mut actions = Vec::new();
        for _ in 0..PATIENCE {
            actions.clear();
            action::progress(&self.config, &state, &mut actions);
            match actions.iter().find(|action| !matches!(action, Action::Silence)) {
                Some(action) if state.fault.is_none() => state = Step::from(self, state).after(*action),
                // What the store is now is what it may go back to.
                _ => {
                    let mut step = Step::from(self, state);
                    step.keep_copy();
                    return step.state;
                }
            }
        }
        let what = format!("it has not come to rest after {PATIENCE} steps");
        State { fault: Some(Arc::new(Fault { rule: Rule::Rest, what })), ..state }
    }

    /// What is wrong with a state in which nothing moves any more; `None` where something moves, or all is well.
    pub fn unrest(&self, state: &State) -> Option<String> {
        let mut actions = Vec::new();
        action::progress(&self.config, state, &mut actions);
        if !actions.is_empty() || state.fault.is_some() {
            return None;
        }
        let nodes = self.nodes();
        for place in 0..nodes {
            let Some(process) = state.process(place) else { return Some(format!("n{} is dead", place + 1)) };
            let coordinator = &process.coordinator;
            let stuck = (0..nodes).find(|from| !state.channel(place, *from, nodes).is_empty());
            let what = if !coordinator.is_running() {
                "does not run".to_owned()
            } else if self.config.durable && Some(coordinator.generation().0) != state.oracle.newest() {
                format!("stays in {}", coordinator.generation())
            } else if let Some(status) = coordinator.running().first() {
                format!("still has {status:?}")
            } else if let Some(snapshot) = process.open.first() {
                format!("has not heard how {snapshot} ended")
            } else if let Some(from) = stuck {
                format!("does not receive from n{}", from + 1)
            } else {
                continue;
            };
            return Some(format!("n{} {what}", place + 1));
        }
        if self.config.is_calm()
            && let Some(key) = state.store.list().find(|key| !state.oracle.has_committed(*key))
        {
            return Some(format!("{key} is left in the store, and nobody will need it"));
        }
        for &(from, to) in &self.links {
            let app = |node: u8| state.process(node.into()).map(|process| &process.app);
            let (Some(sender), Some(receiver)) = (app(from), app(to)) else { continue };
            let (sent, took): (Vec<_>, Vec<_>) = (sender.sent(to).collect(), receiver.took(from).collect());
            if sent != took {
                return Some(format!("n{} has sent {sent:?}, and taken is {took:?}", from + 1));
            }
        }
        let told = self.config.silences > 0 && state.budget.silences == 0;
        let undead = state.processes[nodes..].iter().flatten().any(|process| process.failed.is_none());
        (told && undead).then(|| "a process that was replaced does not know it".to_owned())
    }
}

/// Where outboxes are full.
fn marks(config: &Config) -> Settings {
    if config.high == 0 {
        return Settings::default();
    }
    let messages = |messages| Bound::new(messages, usize::MAX);
    let high = messages(config.high);
    Settings {
        outbox_low: high,
        outbox_high: high,
        outbox_hard: messages(8 * config.high),
        ..Settings::default()
    }
}

impl Model for Group {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![if self.config.running { self.running() } else { self.empty() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.fault.is_none() && self.may_expand() {
            action::progress(&self.config, state, actions);
            action::environment(&self.config, state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(Step::from(self, state.clone()).after(action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! holds {
            ($($rule:ident),*) => { vec![$(Property::<Self>::always(Rule::$rule.name(), |_, state| {
                state.fault.as_ref().is_none_or(|fault| fault.rule != Rule::$rule)
            })),*] };
        }
        let mut all = holds![
            Consistent,
            Exact,
            Conserved,
            Bounded,
            Chain,
            Readable,
            Kept,
            Restored,
            OwnGeneration,
            Cause,
            Sound,
            Ends
        ];
        all.push(Property::always(Rule::Rest.name(), |group: &Self, state: &State| match &state.fault {
            Some(fault) => fault.rule != Rule::Rest,
            None => group.unrest(state).is_none(),
        }));
        all
    }
}
