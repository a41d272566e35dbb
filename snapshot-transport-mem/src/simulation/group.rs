//! A group of whole nodes, each polled by hand: what a seed and a test both drive.

use std::collections::BTreeMap;
use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use snapshot_core::{
    Archive, Event, Failure as Ending, Graph, LinkUse, NodeBuilder, NodeError, NodeId, Retention,
    SnapshotNode, Topology, Turn,
};

use super::codec::SharedCodec;
use super::process::{Life, Process, Progress};
use super::store::{Storage, at_once};
use super::trace::Trace;
use super::{Application, Cut, Outgoing, Random};
use crate::{MemNetwork, MemNetworkBuilder};

pub(super) type Builder<A> = NodeBuilder<<A as Application>::State, <A as Application>::Message>;

/// What went wrong, for people.
pub(super) type Wrong = String;

pub(super) struct Group<A: Application> {
    pub(super) app: A,
    pub(super) network: MemNetwork<A::Message>,
    pub(super) storage: Storage,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
    pub(super) processes: BTreeMap<NodeId, Process<A>>,
    neighbours: BTreeMap<NodeId, Vec<NodeId>>,
    codec: SharedCodec<A::Message>,
    archive: Option<Archive<A::State, A::Message>>,
    /// Commits that nobody has asked for yet.
    new: Vec<Cut<A>>,
    /// The newest turn of each node that is known to be committed, to whichever process of it.
    covered: BTreeMap<NodeId, Turn>,
    /// Decides the names that processes give themselves.
    seeds: Random,
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

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Death {
    /// What it had sent still arrives.
    Killed,
    /// What was under way is gone.
    Crashed,
}

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
            codec,
            archive: None,
            new: Vec::new(),
            covered: BTreeMap::new(),
            seeds: Random::of(seed, 2),
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
        let builder = SnapshotNode::builder(self.network.transport(id));
        let builder = tune(builder).store(self.storage.of(id)).retention(Retention::All);
        let builder = builder.codec(self.codec.clone()).seed(self.seeds.number());
        let mut state = self.app.start(id);
        let starting = Box::pin(async move {
            let node = builder.start(&mut state).await;
            (state, node)
        });
        self.processes.insert(id, Process::new(Life::Starting(starting)));
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

    /// Lets a process end in good order.
    pub(super) fn leave(&mut self, id: NodeId) {
        let Some(Process { life: Life::Running { node, .. }, .. }) = self.processes.remove(&id) else {
            return;
        };
        self.trace.line(format_args!("{id} leaves"));
        self.processes.insert(id, Process::new(Life::Leaving(Box::pin(node.close()))));
    }

    /// Those that have been woken and are not asleep, ascending.
    pub(super) fn awake(&self) -> Vec<NodeId> {
        let now = self.network.now();
        self.processes.iter().filter(|(_, process)| process.is_awake(now)).map(|(id, _)| *id).collect()
    }

    /// When something happens next, if nobody is awake.
    pub(super) fn next_moment(&self) -> Option<Duration> {
        let now = self.network.now();
        let sleepers = self.processes.values().map(|process| process.asleep_until).filter(|at| *at > now);
        sleepers.chain(self.network.fabric.time.next()).min()
    }

    pub(super) fn move_to(&mut self, at: Duration) {
        self.network.fabric.move_to(at);
        self.storage.tide();
    }

    /// Polls one process once, and hands what comes of it to the application.
    pub(super) fn poll(&mut self, id: NodeId) -> Result<Progress, Wrong> {
        let Some(process) = self.processes.get_mut(&id) else { return Ok(Progress::Nothing) };
        process.woken.0.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&process.woken));
        let mut cx = Context::from_waker(&waker);
        match &mut process.life {
            Life::Starting(starting) => {
                let Poll::Ready((state, node)) = starting.as_mut().poll(&mut cx) else {
                    return Ok(Progress::Nothing);
                };
                process.woken.0.store(true, Ordering::Release);
                self.started(id, state, node)
            }
            Life::Leaving(leaving) => {
                let Poll::Ready(left) = leaving.as_mut().poll(&mut cx) else { return Ok(Progress::Nothing) };
                self.trace.line(format_args!("{id} has left"));
                self.processes.remove(&id);
                left.map_err(|error| format!("{id} could not leave: {}", chain(&error)))?;
                Ok(Progress::Event)
            }
            Life::Running { node, state } => {
                let generation = node.generation();
                let event = pin!(node.next(state)).poll(&mut cx);
                let told = matches!(event, Poll::Ready(Ok(Event::RolledBack { .. }) | Err(_)));
                if !told && node.generation() != generation {
                    return Err(format!("{id}: the state went back, and no event told of it"));
                }
                match event {
                    Poll::Pending => Ok(Progress::Nothing),
                    Poll::Ready(Ok(event)) => {
                        process.woken.0.store(true, Ordering::Release);
                        self.hand_out(id, event)
                    }
                    Poll::Ready(Err(error)) => Err(format!("{id} has ended: {}", chain(&error))),
                }
            }
        }
    }

    fn started(
        &mut self,
        id: NodeId,
        state: A::State,
        node: Result<SnapshotNode<A::State, A::Message>, NodeError>,
    ) -> Result<Progress, Wrong> {
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

    fn hand_out(
        &mut self,
        id: NodeId,
        event: Event<A::Message, <A::State as snapshot_core::StateProvider>::Captured>,
    ) -> Result<Progress, Wrong> {
        match event {
            Event::Message { from, message } => {
                self.trace.line(format_args!("{id} takes {message:?} from {from}"));
                self.counts.messages += 1;
                self.turn(id, |app, state, out| app.handle(state, from.id(), message, out))?;
                return Ok(Progress::Message);
            }
            Event::Committed { snapshot, turn, .. } => {
                self.trace.line(format_args!("{id} hears that {snapshot} is committed, up to {turn}"));
                self.read_journal()?;
                let known =
                    |archive: &Archive<_, _>| archive.commits().iter().any(|c| c.snapshot == snapshot);
                if !self.archive.as_ref().is_some_and(known) {
                    return Err(format!(
                        "{id} heard that {snapshot} is committed, and the journal has no such commit"
                    ));
                }
                let covered = self.covered.entry(id).or_default();
                *covered = turn.max(*covered);
                self.turn(id, |app, state, out| app.committed(state, turn, out))?;
            }
            Event::RolledBack { generation, snapshot, turn } => {
                let to = snapshot.map_or_else(|| "the beginning".to_owned(), |snapshot| snapshot.to_string());
                self.trace.line(format_args!("{id} goes back to {to}, after {turn}, in {generation}"));
                self.counts.rollbacks += 1;
                let covered = self.covered.entry(id).or_default();
                if turn < *covered {
                    return Err(format!(
                        "{id} went back to {turn}, though up to {covered} was announced as committed"
                    ));
                }
                *covered = turn;
                self.turn(id, |app, state, out| app.rolled_back(state, turn, out))?;
            }
            Event::SnapshotAborted { snapshot, by, reason } => {
                self.trace.line(format_args!("{id} hears that {by} gave up {snapshot}: {reason}"));
                self.counts.aborts += u64::from(by == id);
                self.counts.last_abort = Some(format!("{by} gave up {snapshot}: {reason}"));
            }
            Event::Violation { peer, what } => {
                return Err(format!("{id} says that {peer} broke the protocol: {what}"));
            }
            Event::FellBack { to, given_up, .. } => {
                return Err(format!("{id} fell back to {to:?} behind {given_up:?}, and nothing was damaged"));
            }
            Event::PeerLost { peer, why } => self.trace.line(format_args!("{id} has lost {peer}: {why}")),
            Event::PeerBack { peer } => self.trace.line(format_args!("{id} has {peer} back")),
            Event::PeerLeft { peer } => self.trace.line(format_args!("{id} hears that {peer} left")),
            Event::StoreFailed { error } => self.trace.line(format_args!("{id}: {error}")),
            Event::Stalled { waiting_for } => {
                self.trace.line(format_args!("{id} stands still, with frames for {waiting_for:?}"));
            }
            Event::CheckFailed { snapshot, check, what, .. } => {
                return Err(format!("the check `{check}` of {id} has failed on {snapshot}: {what}"));
            }
            _ => self.trace.line(format_args!("{id} has another event")),
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
        process.woken.0.store(true, Ordering::Release);
        Ok(Some(result))
    }

    /// The snapshots that have been committed since this was last called, oldest first.
    pub(super) fn new_commits(&mut self) -> Result<Vec<Cut<A>>, Wrong> {
        self.read_journal()?;
        Ok(mem::take(&mut self.new))
    }

    fn read_journal(&mut self) -> Result<(), Wrong> {
        if !self.storage.take_journal_grew() {
            return Ok(());
        }
        let wrong = |error| format!("the store cannot be read: {}", chain(&error));
        let archive = match &mut self.archive {
            Some(archive) => archive,
            none => {
                let opened = Archive::open(self.storage.memory.clone(), self.codec.clone());
                none.insert(at_once(opened).map_err(wrong)?)
            }
        };
        at_once(archive.refresh()).map_err(wrong)?;
        if let Some(lost) = archive.commits().iter().find(|commit| !commit.in_lineage) {
            return Err(format!("the group has gone back behind {}, which is committed", lost.snapshot));
        }
        for commit in archive.commits().iter().skip(self.counts.commits) {
            let cut = at_once(archive.read(commit.snapshot)).map_err(wrong)?;
            let (id, flying) = (cut.id(), cut.in_flight().count());
            self.trace.line(format_args!("{id} is committed, {flying} messages in flight"));
            self.new.push(cut);
        }
        self.counts.commits = archive.commits().len();
        Ok(())
    }

    /// Whether each node runs and has been told of this commit, or of a later one.
    pub(super) fn all_know(&self, cut: &Cut<A>) -> bool {
        cut.members().iter().all(|id| {
            let runs =
                self.processes.get(id).is_some_and(|process| matches!(process.life, Life::Running { .. }));
            runs && self.covered.get(id) >= cut.turn(*id).as_ref()
        })
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
        let busy = self.network.channels().into_iter().filter(|channel| !channel.is_at_rest());
        busy.fold(text, |text, channel| text + &format!("\n  {channel}"))
    }
}

/// An error and all that caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
