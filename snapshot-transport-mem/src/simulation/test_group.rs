//! A group that a test drives by hand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use snapshot_core::{Graph, MessageCodec, NodeId, Postcard};
use snapshot_store::MemoryStore;

use super::codec::SharedCodec;
use super::group::{Group, Wrong, plain};
use super::process::{Death, Life};
use super::{Application, Cut, Outgoing};
use crate::MemNetwork;

/// How long a test waits, in virtual time.
const HOUR: Duration = Duration::from_secs(3600);

/// More polls than any honest test needs between two moments of rest.
const POLLS: u32 = 1_000_000;

/// How many lines of what happened a failure shows.
const LINES: usize = 40;

/// An application on whole nodes, driven by hand and deterministic: a test lets nodes take turns, freezes messages in
/// flight, takes a snapshot and looks at the cut, kills processes and starts them again.
///
/// Nothing moves but in the methods that say so, and time only where there is nothing else to do. Nothing goes wrong by
/// itself. The network has no delays; its own [controls](Self::network) hold, cut and delay.
///
/// ```
/// use snapshot_core::{Graph, NodeId, PostcardState};
/// use snapshot_transport_mem::simulation::{Application, Outgoing, TestGroup};
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Ledger { balance: u64 }
/// impl PostcardState for Ledger {}
///
/// struct Bank;
/// impl Application for Bank {
///     type State = Ledger;
///     type Message = u64;
///     fn start(&mut self, _: NodeId) -> Ledger { Ledger { balance: 100 } }
///     fn handle(&mut self, ledger: &mut Ledger, _: NodeId, amount: u64, _: &mut Outgoing<'_, u64>) {
///         ledger.balance += amount;
///     }
/// }
///
/// let (a, b) = (NodeId(1), NodeId(2));
/// let mut group = TestGroup::new(Graph::mesh([a, b]), Bank);
/// group.network().hold(a, b);                    // freeze the channel …
/// group.turn(a, |ledger, out| {                  // … with 30 on it
///     ledger.balance -= 30;
///     out.send(b, 30);
/// });
/// group.begin_snapshot(b);                       // everyone captures: the cut is fixed
/// group.network().release(a, b);
/// let cut = group.committed();
/// assert_eq!((cut.state(a).unwrap().balance, cut.channel(a, b)), (70, &[30][..]));
///
/// group.restart();                               // all are killed, and resume from the store
/// group.settle();
/// assert_eq!((group.state(a).balance, group.state(b).balance), (70, 130));
/// ```
///
/// # Panics
///
/// All methods that move the group do so when a node ends with an error, when a handler sends to a stranger, and when what
/// they wait for does not come; the text says how everything stands and what happened last. All methods that name a node
/// do so where it is no member, or does not run and should.
pub struct TestGroup<A: Application> {
    group: Group<A>,
    /// The commits before the snapshot that was begun last.
    before: usize,
    last: Option<Cut<A>>,
}

impl<A: Application> TestGroup<A> {
    /// A group in which all nodes run, with an empty store.
    ///
    /// # Panics
    ///
    /// If the graph is no topology.
    #[track_caller]
    pub fn new(graph: Graph, app: A) -> Self
    where
        Postcard: MessageCodec<A::Message>,
    {
        Self::with_codec(graph, app, Postcard)
    }

    /// As [`new`](Self::new), for messages without serde's traits.
    ///
    /// # Panics
    ///
    /// If the graph is no topology.
    #[track_caller]
    pub fn with_codec(graph: Graph, app: A, codec: impl MessageCodec<A::Message>) -> Self {
        let codec = SharedCodec(Arc::new(codec) as Arc<dyn MessageCodec<A::Message>>);
        let group = Group::new(MemNetwork::builder(&graph), &graph, app, codec, plain(), 0, LINES);
        let mut group = Self { group, before: 0, last: None };
        group.start_all();
        group
    }

    /// The network, with all that a test can do to it.
    pub fn network(&self) -> &MemNetwork<A::Message> {
        &self.group.network
    }

    /// The store.
    pub fn store(&self) -> &MemoryStore {
        &self.group.storage.memory
    }

    /// The application: what snapshots do not reach.
    pub fn app(&mut self) -> &mut A {
        &mut self.group.app
    }

    /// The state of a node as it is now.
    #[track_caller]
    pub fn state(&self, node: NodeId) -> &A::State {
        match self.group.processes.get(&node).map(|process| &process.life) {
            Some(Life::Running { state, .. }) => state,
            _ => panic!("{node} does not run: `start` it"),
        }
    }

    /// One turn of a node: what it does to its state and what it sends. The messages go out when the group moves.
    ///
    /// A node that has no room, or has not been told that its state went back, is waited for, as an application does.
    #[track_caller]
    pub fn turn<R>(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut A::State, &mut Outgoing<'_, A::Message>) -> R,
    ) -> R {
        self.work(node, |_, state, out| act(state, out))
    }

    /// As [`turn`](Self::turn), with the application's own value at hand.
    #[track_caller]
    pub fn work<R>(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut A, &mut A::State, &mut Outgoing<'_, A::Message>) -> R,
    ) -> R {
        self.state(node);
        self.until(|group| {
            group.group.processes.get(&node).is_some_and(|p| p.has_room(group.network().now()))
        });
        let result = self.group.turn(node, act);
        self.right(result).expect("it has room, so it runs")
    }

    /// Moves the group until everything that can arrive has been taken: what is left in a channel is held or cut off.
    #[track_caller]
    pub fn settle(&mut self) {
        let network = self.group.network.clone();
        self.drive("to settle", |group| {
            let moving = |c: &crate::ChannelStatus| c.in_flight > 0 && !c.held;
            group.awake().is_empty() && !network.channels().iter().any(moving)
        });
    }

    /// Moves the group until `done`, while time passes where it must.
    #[track_caller]
    pub fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let mut polls = 0;
        let end = self.network().now() + HOUR;
        while !done(self) {
            self.advance("what `until` waits for", end, &mut polls);
        }
    }

    /// Takes a snapshot that this node begins, and returns it when it is committed.
    #[track_caller]
    pub fn snapshot(&mut self, by: NodeId) -> Cut<A> {
        self.begin_snapshot(by);
        self.committed()
    }

    /// Begins a snapshot, and moves the group until it [settles](Self::settle): then every node that could be reached has
    /// captured its state. What is held now and released later is in flight in the cut.
    #[track_caller]
    pub fn begin_snapshot(&mut self, by: NodeId) {
        self.before = self.group.counts.commits;
        self.group.counts.last_abort = None;
        match self.group.processes.get_mut(&by).map(|process| &mut process.life) {
            Some(Life::Running { node, .. }) => node.snapshot(),
            _ => panic!("{by} does not run: `start` it"),
        }
        self.group.processes[&by].wake();
        self.settle();
    }

    /// Waits until the snapshot that was begun is committed and all nodes have been told, and returns it as it was read
    /// from the store.
    #[track_caller]
    pub fn committed(&mut self) -> Cut<A> {
        let mut polls = 0;
        let end = self.network().now() + HOUR;
        loop {
            if self.group.counts.commits > self.before
                && let Some(cut) = self.last.take_if(|cut| self.group.all_know(cut))
            {
                return cut;
            }
            if let Some(aborted) = &self.group.counts.last_abort {
                self.fail(&format!("there is no snapshot: {aborted}"));
            }
            self.advance("a commit", end, &mut polls);
        }
    }

    /// Kills the process of a node: what it has sent still arrives.
    #[track_caller]
    pub fn kill(&mut self, node: NodeId) {
        self.member(node);
        self.group.stop(node, Death::Killed);
    }

    /// The machine of a node fails: what was under way to and from it is gone.
    #[track_caller]
    pub fn crash(&mut self, node: NodeId) {
        self.member(node);
        self.group.stop(node, Death::Crashed);
    }

    /// Starts a process of a node, where none runs.
    #[track_caller]
    pub fn start(&mut self, node: NodeId) {
        self.member(node);
        self.group.start(node, |builder| builder);
        self.until(|group| {
            let life = group.group.processes.get(&node).map(|process| &process.life);
            matches!(life, Some(Life::Running { .. }))
        });
    }

    /// All processes crash, and new ones resume from the store.
    #[track_caller]
    pub fn restart(&mut self) {
        for node in self.group.members() {
            self.group.stop(node, Death::Crashed);
        }
        self.start_all();
    }

    #[track_caller]
    fn start_all(&mut self) {
        for node in self.group.members() {
            self.start(node);
        }
        self.settle();
    }

    #[track_caller]
    fn member(&self, node: NodeId) {
        assert!(self.group.members().contains(&node), "{node} is no member: the graph does not name it");
    }

    #[track_caller]
    fn drive(&mut self, what: &str, done: impl Fn(&Group<A>) -> bool) {
        let mut polls = 0;
        let end = self.network().now() + HOUR;
        while !done(&self.group) {
            self.advance(what, end, &mut polls);
        }
    }

    /// Polls all who are awake, in the order of their names; where nobody is, time moves on.
    #[track_caller]
    fn advance(&mut self, what: &str, end: Duration, polls: &mut u32) {
        let awake = self.group.awake();
        if awake.is_empty() {
            match self.group.next_moment() {
                Some(at) if at <= end => self.group.move_to(at),
                _ => self.fail(&format!("waited an hour of virtual time for {what}")),
            }
        }
        for id in awake {
            let moved = self.group.poll(id);
            self.right(moved);
            *polls += 1;
        }
        if *polls > POLLS {
            self.fail(&format!("waited for {what}, and messages go round without end"));
        }
        let cuts = self.group.new_commits();
        if let Some(cut) = self.right(cuts).pop() {
            self.last = Some(cut);
        }
    }

    #[track_caller]
    fn right<T>(&self, result: Result<T, Wrong>) -> T {
        result.unwrap_or_else(|what| self.fail(&what))
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        let trace = self.group.trace.last().join("\n  ");
        panic!("{what}{}\nwhat came before it:\n  {trace}", self.group.standing());
    }
}

impl<A: Application> fmt::Debug for TestGroup<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestGroup").field("network", &self.group.network).finish_non_exhaustive()
    }
}
