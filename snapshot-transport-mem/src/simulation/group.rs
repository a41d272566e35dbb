//! A group of whole nodes, each polled by hand: what a seed and a test both drive.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use snapshot_core::{
    Archive, Event, Failure as Ending, Generation, Graph, LinkUse, NodeBuilder, NodeError, NodeId, Retention,
    SnapshotNode, SnapshotStore, StateProvider, Topology, Turn,
};

use super::codec::SharedCodec;
use super::line::{Line, Plug};
use super::process::{Death, Life, Process, Progress, Started};
use super::store::Storage;
use super::trace::Trace;
use super::{Application, Cut, Outgoing, Random};
use crate::{MemNetwork, MemNetworkBuilder};

/// How long a process that leaves waits for others to take what it has sent. Longer than any of them stands still.
const PARTING: Duration = Duration::from_secs(3600);

pub(super) type Builder<A> = NodeBuilder<<A as Application>::State, <A as Application>::Message>;

/// Stands between the store and a node, or between it and whoever reads it from outside.
pub(super) type Wrap = dyn Fn(Option<NodeId>, Arc<dyn SnapshotStore>) -> Arc<dyn SnapshotStore>;

/// Nothing stands there.
pub(super) fn plain() -> Rc<Wrap> {
    Rc::new(|_, store| store)
}

/// What went wrong, for people.
pub(super) type Wrong = String;

pub(super) struct Group<A: Application> {
    pub(super) app: A,
    pub(super) network: MemNetwork<A::Message>,
    pub(super) storage: Storage,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
    pub(super) processes: BTreeMap<NodeId, Process<A>>,
    /// Processes that were taken for dead, by their numbers, and whose they are.
    pub(super) zombies: BTreeMap<u64, (NodeId, Process<A>)>,
    /// The nodes that have had a zombie.
    pub(super) haunted: BTreeSet<NodeId>,
    pub(super) wrap: Rc<Wrap>,
    pub(super) codec: SharedCodec<A::Message>,
    pub(super) archive: Option<Archive<A::State, A::Message>>,
    /// How many commits of this history of the store have been read.
    pub(super) read: usize,
    /// The newest generation of a history that was undone.
    pub(super) buried: Option<Generation>,
    /// Commits that nobody has asked for yet.
    pub(super) new: Vec<Cut<A>>,
    /// The newest turn of each node that is known to be committed, to whichever process of it.
    pub(super) covered: BTreeMap<NodeId, Turn>,
    neighbours: BTreeMap<NodeId, Vec<NodeId>>,
    /// Decides the names that processes give themselves.
    seeds: Random,
    /// How many processes there have been.
    begun: u64,
}

/// What happened, in numbers.
#[derive(Clone, Default, Debug)]
pub(super) struct Counts {
    pub(super) messages: u64,
    pub(super) commits: usize,
    pub(super) aborts: u64,
    pub(super) rollbacks: u64,
    pub(super) last_abort: Option<String>,
}

/// What was ready.
enum Polled<A: Application> {
    Started(Box<Started<A>>),
    Left(Result<(), NodeError>),
    Event(Result<EventOf<A>, NodeError>),
}

/// An event as the nodes of the application `A` hand it out.
pub(super) type EventOf<A> =
    Event<<A as Application>::Message, <<A as Application>::State as StateProvider>::Captured>;

impl<A: Application> Group<A> {
    /// Nobody runs yet.
    ///
    /// # Panics
    ///
    /// If the graph is no topology.
    #[track_caller]
    pub(super) fn new(
        network: MemNetworkBuilder<A::Message>,
        graph: &Graph,
        app: A,
        codec: SharedCodec<A::Message>,
        wrap: Rc<Wrap>,
        seed: u64,
        keep: usize,
    ) -> Self {
        let network = match network.codec(Arc::new(codec.clone())).build() {
            Ok(network) => network,
            Err(error) => panic!("{error}"),
        };
        let neighbours = graph.members().iter().map(|id| {
            let topology: Topology = graph.at(*id).expect("the network was built of this graph");
            let carries =
                |peer: &snapshot_core::Peer| topology.outgoing_use(*peer) == Some(LinkUse::Messages);
            (*id, topology.outgoing().filter(carries).map(|peer| peer.id()).collect())
        });
        let trace = Trace::new(network.clock(), keep);
        let storage = Storage::new(network.clock(), trace.clone(), Random::of(seed, 1));
        Self {
            app,
            neighbours: neighbours.collect(),
            network,
            storage,
            trace,
            counts: Counts::default(),
            processes: BTreeMap::new(),
            zombies: BTreeMap::new(),
            haunted: BTreeSet::new(),
            wrap,
            codec,
            archive: None,
            read: 0,
            buried: None,
            new: Vec::new(),
            covered: BTreeMap::new(),
            seeds: Random::of(seed, 2),
            begun: 0,
        }
    }

    pub(super) fn members(&self) -> Vec<NodeId> {
        self.neighbours.keys().copied().collect()
    }

    /// Starts a process where none runs.
    pub(super) fn start(&mut self, id: NodeId, tune: impl FnOnce(Builder<A>) -> Builder<A>) {
        if self.processes.contains_key(&id) {
            return;
        }
        self.trace.line(format_args!("{id} starts"));
        self.begun += 1;
        let (number, plug) = (self.begun, Plug::default());
        let line = Line { transport: self.network.transport(id), plug: plug.clone() };
        let store = (self.wrap)(Some(id), Arc::new(self.storage.of(id, number)));
        let builder = tune(SnapshotNode::builder(line)).store(store).retention(Retention::All);
        let builder = builder.codec(self.codec.clone()).seed(self.seeds.number());
        let mut state = self.app.start(id);
        let starting = Box::pin(async move {
            let node = builder.start(&mut state).await;
            (state, node)
        });
        self.processes.insert(id, Process::new(number, plug, Life::Starting(starting)));
    }

    pub(super) fn stop(&mut self, id: NodeId, death: Death) {
        let Some(process) = self.processes.remove(&id) else { return };
        self.trace
            .line(format_args!("{id} is {}", if death == Death::Killed { "killed" } else { "crashed" }));
        if death == Death::Crashed {
            self.network.crash(id);
        }
        drop(process);
    }

    /// Takes out the process of a node, if it runs.
    pub(super) fn take_running(&mut self, id: NodeId) -> Option<Process<A>> {
        self.processes.get(&id).filter(|process| process.is_running())?;
        self.processes.remove(&id)
    }

    /// Lets a process that runs end in good order. Returns whether there was one.
    pub(super) fn leave(&mut self, id: NodeId) -> bool {
        let Some(Process { life: Life::Running { node, .. }, number, plug, .. }) = self.take_running(id)
        else {
            return false;
        };
        self.trace.line(format_args!("{id} leaves"));
        let leaving = Box::pin(async move { node.close(PARTING).await.map(drop) });
        self.processes.insert(id, Process::new(number, plug, Life::Leaving(leaving)));
        true
    }

    /// Those that have been woken and are not asleep, ascending.
    pub(super) fn awake(&self) -> Vec<NodeId> {
        let now = self.network.now();
        self.processes.iter().filter(|(_, process)| process.is_awake(now)).map(|(id, _)| *id).collect()
    }

    /// When something happens next, if nobody is awake.
    pub(super) fn next_moment(&self) -> Option<Duration> {
        let now = self.network.now();
        let zombies = self.zombies.values().map(|(_, process)| process);
        let sleepers = self.processes.values().chain(zombies).map(|process| process.asleep_until);
        sleepers.filter(|at| *at > now).chain(self.network.fabric.time.next()).min()
    }

    pub(super) fn move_to(&mut self, at: Duration) {
        self.network.fabric.move_to(at);
        self.storage.tide();
    }

    /// Polls one process once, and hands what comes of it to the application.
    pub(super) fn poll(&mut self, id: NodeId) -> Result<Progress, Wrong> {
        let Some(process) = self.processes.get_mut(&id) else { return Ok(Progress::Nothing) };
        let (number, waker) = (process.number, process.waker());
        let mut cx = Context::from_waker(&waker);
        let polled = match &mut process.life {
            Life::Starting(starting) => {
                starting.as_mut().poll(&mut cx).map(|started| Polled::<A>::Started(Box::new(started)))
            }
            Life::Leaving(leaving) => leaving.as_mut().poll(&mut cx).map(Polled::<A>::Left),
            Life::Running { node, state } => {
                let generation = node.generation();
                let event = pin!(node.next(state)).poll(&mut cx);
                let told = matches!(event, Poll::Ready(Ok(Event::RolledBack { .. }) | Err(_)));
                if !told && node.generation() != generation {
                    return Err(format!("{id}: the state went back, and no event told of it"));
                }
                event.map(Polled::<A>::Event)
            }
        };
        if let Some(death) = self.storage.take_doom(number) {
            // What it would have done next it did not live to do.
            self.stop(id, death);
            return Ok(Progress::Event);
        }
        let Poll::Ready(polled) = polled else { return Ok(Progress::Nothing) };
        process.wake();
        match polled {
            Polled::Started(started) => self.started(id, *started),
            Polled::Left(left) => {
                self.trace.line(format_args!("{id} has left"));
                self.processes.remove(&id);
                left.map_err(|error| format!("{id} could not leave: {}", chain(&error)))?;
                Ok(Progress::Event)
            }
            Polled::Event(Ok(event)) => self.hand_out(id, event),
            Polled::Event(Err(error)) => self.ended(id, &error),
        }
    }

    fn ended(&mut self, id: NodeId, error: &NodeError) -> Result<Progress, Wrong> {
        // A zombie that woke while the group went back, and was first to take the seat of its node.
        if error.is_replaced() && self.haunted.contains(&id) {
            self.trace.line(format_args!("{id} has ended: {error}"));
            self.processes.remove(&id);
            return Ok(Progress::Event);
        }
        Err(format!("{id} has ended: {}", chain(error)))
    }

    fn started(&mut self, id: NodeId, (state, node): Started<A>) -> Result<Progress, Wrong> {
        let Some(process) = self.processes.get_mut(&id) else { return Ok(Progress::Nothing) };
        match node {
            Ok(node) => {
                self.trace.line(format_args!("{id} runs, in {}", node.generation()));
                process.life = Life::Running { node: Box::new(node), state };
            }
            // Its supervisor starts it again.
            Err(NodeError::Failed(error @ Ending::Store { .. })) => {
                self.trace.line(format_args!("{id} could not start: {error}"));
                self.processes.remove(&id);
            }
            Err(error) => return Err(format!("{id} could not start: {}", chain(&error))),
        }
        Ok(Progress::Event)
    }

    /// One turn of a process that runs: what `act` does to the state and what it sends. `None`: it does not run.
    pub(super) fn turn<R>(
        &mut self,
        id: NodeId,
        act: impl FnOnce(&mut A, &mut A::State, &mut Outgoing<'_, A::Message>) -> R,
    ) -> Result<Option<R>, Wrong> {
        let Some(process) = self.processes.get_mut(&id) else { return Ok(None) };
        let Life::Running { node, state } = &mut process.life else { return Ok(None) };
        let neighbours = self.neighbours.get(&id).map_or(&[][..], Vec::as_slice);
        let mut out = Outgoing::new(id, node.turn(), self.network.now(), neighbours);
        let result = act(&mut self.app, state, &mut out);
        for (to, message) in out.into_messages() {
            self.trace.line(format_args!("{id} sends {message:?} to {to}"));
            node.send(to, message).map_err(|error| format!("{id} could not send to {to}: {error}"))?;
        }
        process.wake();
        Ok(Some(result))
    }

    /// How everything stands, for whoever asks why nothing happens any more.
    pub(super) fn standing(&self) -> String {
        let mut text = String::new();
        for id in self.neighbours.keys() {
            let how = match self.processes.get(id).map(|process| &process.life) {
                None => "does not run".to_owned(),
                Some(Life::Starting(_)) => "is starting".to_owned(),
                Some(Life::Leaving(_)) => "is leaving".to_owned(),
                Some(Life::Running { node, .. }) => {
                    let running = node.handle().running();
                    let snapshots = running.iter().map(|s| format!(", {} is {:?}", s.snapshot, s.phase));
                    format!("runs, in {}{}", node.generation(), snapshots.collect::<String>())
                }
            };
            text += &format!("\n  {id} {how}");
        }
        for (id, _) in self.zombies.values() {
            text += &format!("\n  {id} has a process that was taken for dead");
        }
        let busy = self.network.channels().into_iter().filter(|channel| !channel.is_at_rest());
        busy.fold(text, |text, channel| text + &format!("\n  {channel}"))
    }
}

/// An error and all that caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
