//! The paper's model of a distributed system (§2), with the shipped rules under it: processes whose events are atomic,
//! channels that are sequences of messages, and every event written down in the order in which it happened.

#![allow(unreachable_pub, reason = "a module of one test")]

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use snapshot_core::{
    Capture, Event, Frame, FrameKind, Frames, Graph, LocalSnapshot, NodeId, Output, Settings,
    SnapshotCoordinator, SnapshotId,
};

use crate::group::Random;

/// An event of the paper: one process, and at most one message on one channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step<Message> {
    pub process: NodeId,
    pub act: Act<Message>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act<Message> {
    Send { to: NodeId, message: Message },
    Receive { from: NodeId, message: Message },
}

/// A process of the paper: a state and what each event makes of it.
pub trait Machine {
    type State: Clone + PartialEq + Eq + Hash + std::fmt::Debug + 'static;
    type Message: Clone + PartialEq + Eq + Hash + std::fmt::Debug + Send + 'static;

    fn initial(process: NodeId) -> Self::State;

    /// The state after sending, and what is sent.
    fn send(state: &Self::State, to: NodeId) -> (Self::State, Self::Message);

    /// The state after receiving.
    fn receive(state: &Self::State, from: NodeId, message: &Self::Message) -> Self::State;
}

/// What a capture holds: the state, and how many events the process had behind it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Captured<S> {
    pub state: S,
    pub events: usize,
}

/// A global state (§2): "a set of component process and channel states".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GlobalState<S, M> {
    pub processes: BTreeMap<NodeId, S>,
    pub channels: BTreeMap<(NodeId, NodeId), Vec<M>>,
}

type Rules<P> = SnapshotCoordinator<<P as Machine>::Message, Captured<<P as Machine>::State>>;
type Local<P> = LocalSnapshot<Captured<<P as Machine>::State>, <P as Machine>::Message>;

pub struct World<P: Machine> {
    pub graph: Graph,
    pub rules: BTreeMap<NodeId, Rules<P>>,
    pub states: BTreeMap<NodeId, P::State>,
    pub channels: BTreeMap<(NodeId, NodeId), VecDeque<Frame<P::Message>>>,
    /// Every event so far.
    pub computation: Vec<Step<P::Message>>,
    /// How many events there were when each snapshot began.
    pub begun: BTreeMap<SnapshotId, usize>,
    /// Each process's part, and how many events there were in all when it was whole.
    pub parts: BTreeMap<SnapshotId, BTreeMap<NodeId, (Local<P>, usize)>>,
}

impl<P: Machine> World<P> {
    pub fn new(graph: Graph) -> Self {
        Self::with(graph, &Settings::default())
    }

    pub fn with(graph: Graph, settings: &Settings) -> Self {
        let members = graph.members().to_vec();
        let links = graph.at(members[0]).unwrap();
        let mut world = Self {
            rules: BTreeMap::new(),
            states: members.iter().map(|id| (*id, P::initial(*id))).collect(),
            channels: links.links().map(|(from, to, _)| ((from, to), VecDeque::new())).collect(),
            computation: Vec::new(),
            begun: BTreeMap::new(),
            parts: BTreeMap::new(),
            graph,
        };
        for id in &members {
            let mut rules = Rules::<P>::new(world.graph.at(*id).unwrap(), settings.clone(), id.0);
            rules.start(Duration::ZERO);
            world.rules.insert(*id, rules);
            world.drain(*id);
        }
        // Greetings and grants are no part of the paper.
        world.deliver_all();
        world
    }

    fn feed<R>(
        &mut self,
        id: NodeId,
        input: impl FnOnce(&mut Rules<P>, &mut dyn FnMut() -> Capture<Captured<P::State>>) -> R,
    ) -> R {
        let events = self.computation.iter().filter(|step| step.process == id).count();
        let captured = Captured { state: self.states[&id].clone(), events };
        let rules = self.rules.get_mut(&id).unwrap();
        let result = input(rules, &mut || Capture::new(captured.clone()));
        self.drain(id);
        result
    }

    fn drain(&mut self, id: NodeId) {
        let rules = self.rules.get_mut(&id).unwrap();
        while let Some(output) = rules.poll_output() {
            match output {
                Output::Event(Event::LocalSnapshot(local)) => {
                    let whole = self.computation.len();
                    self.parts.entry(local.snapshot).or_default().insert(id, (*local, whole));
                }
                Output::Event(Event::Violation { peer, what, .. }) => panic!("{id} accuses {peer}: {what}"),
                Output::Event(_) | Output::Report(_) => {}
                other => panic!("not without a store: {other:?}"),
            }
        }
        let peers: Vec<_> = rules.topology().outgoing().collect();
        for peer in peers {
            let mut frames = Frames::new();
            while rules.take_outgoing(peer, &mut frames) {
                let channel = self.channels.get_mut(&(id, peer.id())).unwrap();
                channel.extend(frames.drain(usize::MAX));
                assert!(channel.len() < 10_000, "{id} never comes to rest");
                rules.handle_sent(Duration::ZERO, peer);
            }
        }
    }

    /// The event in which a process sends.
    pub fn send(&mut self, from: NodeId, to: NodeId) {
        let (state, message) = P::send(&self.states[&from], to);
        self.computation.push(Step { process: from, act: Act::Send { to, message: message.clone() } });
        self.states.insert(from, state);
        self.feed(from, |rules, _| {
            let to = rules.topology().peer(to).unwrap();
            rules.send(to, message).unwrap();
            rules.end_turn().unwrap();
        });
    }

    /// The event in which a process receives: whatever stands first of what has arrived.
    pub fn receive(&mut self, to: NodeId) -> bool {
        let Some((from, message)) = self.rules.get_mut(&to).unwrap().take_message() else { return false };
        let state = P::receive(&self.states[&to], from.id(), &message);
        self.computation.push(Step { process: to, act: Act::Receive { from: from.id(), message } });
        self.states.insert(to, state);
        self.feed(to, |rules, _| rules.end_turn().unwrap());
        true
    }

    pub fn initiate(&mut self, id: NodeId) -> SnapshotId {
        let begun = self.computation.len();
        let snapshot = self.feed(id, |rules, capture| rules.initiate(Duration::ZERO, capture)).unwrap();
        self.begun.insert(snapshot, begun);
        snapshot
    }

    /// The first frame of a channel arrives.
    pub fn deliver(&mut self, from: NodeId, to: NodeId) -> bool {
        let Some(frame) = self.channels.get_mut(&(from, to)).unwrap().pop_front() else { return false };
        self.feed(to, |rules, capture| {
            let from = rules.topology().peer(from).unwrap();
            rules.handle_frame(Duration::ZERO, from, frame, capture);
        });
        true
    }

    pub fn deliver_all(&mut self) {
        let channels: Vec<_> = self.channels.keys().copied().collect();
        while channels.iter().any(|(from, to)| self.deliver(*from, *to)) {}
    }

    /// Everything arrives and is received.
    pub fn settle(&mut self) {
        let members = self.graph.members().to_vec();
        loop {
            self.deliver_all();
            if !members.iter().any(|id| self.receive(*id)) && self.channels.values().all(VecDeque::is_empty) {
                return;
            }
        }
    }

    /// What is on a channel, as words: messages and markers.
    pub fn on(&self, from: NodeId, to: NodeId) -> Vec<FrameKind> {
        self.channels[&(from, to)].iter().map(|frame| frame.kind().unwrap()).collect()
    }

    /// One step of the seed's choice; work is begun with this chance in percent.
    pub fn step(&mut self, random: &mut Random, sends: u64) {
        let members = self.graph.members().to_vec();
        let id = members[random.below(members.len())];
        if random.chance(sends) {
            let to: Vec<NodeId> = self.rules[&id].topology().outgoing().map(|peer| peer.id()).collect();
            self.send(id, to[random.below(to.len())]);
        } else if random.chance(40) {
            self.receive(id);
        } else {
            let channels: Vec<_> = self.channels.keys().copied().collect();
            let (from, to) = channels[random.below(channels.len())];
            self.deliver(from, to);
        }
    }

    /// The recorded global state S*, when every process has its part.
    pub fn recorded(&self, snapshot: SnapshotId) -> Option<GlobalState<P::State, P::Message>> {
        let parts = self.parts.get(&snapshot)?;
        if parts.len() < self.graph.members().len() {
            return None;
        }
        let processes = parts.iter().map(|(id, (local, _))| (*id, local.state.state.clone())).collect();
        let received = parts.iter().flat_map(|(to, (local, _))| {
            local.channels.iter().map(|(from, messages)| ((*from, *to), messages.clone()))
        });
        let mut channels: BTreeMap<_, Vec<_>> = received.collect();
        for (from, (local, _)) in parts {
            for (to, messages) in &local.outgoing {
                channels.entry((*from, *to)).or_default().extend(messages.iter().cloned());
            }
        }
        Some(GlobalState { processes, channels })
    }

    /// The global state after the first events of a sequence; an error where that is no computation: §2, an event "may occur
    /// in global state S" only if what is received is "at the head of" its channel.
    pub fn replay(&self, events: &[Step<P::Message>]) -> Result<GlobalState<P::State, P::Message>, String> {
        let mut processes: BTreeMap<_, _> =
            self.graph.members().iter().map(|id| (*id, P::initial(*id))).collect();
        let mut channels: BTreeMap<_, VecDeque<_>> =
            self.channels.keys().map(|channel| (*channel, VecDeque::new())).collect();
        for (number, step) in events.iter().enumerate() {
            let state = &processes[&step.process];
            let next = match &step.act {
                Act::Send { to, message } => {
                    let (next, sent) = P::send(state, *to);
                    if sent != *message {
                        return Err(format!("event {number}: {step:?} cannot occur in {state:?}"));
                    }
                    channels.get_mut(&(step.process, *to)).unwrap().push_back(sent);
                    next
                }
                Act::Receive { from, message } => {
                    let head = channels.get_mut(&(*from, step.process)).unwrap().pop_front();
                    if head.as_ref() != Some(message) {
                        return Err(format!("event {number}: {step:?}, but at the head is {head:?}"));
                    }
                    P::receive(state, *from, message)
                }
            };
            processes.insert(step.process, next);
        }
        let channels = channels.into_iter().map(|(c, messages)| (c, messages.into())).collect();
        Ok(GlobalState { processes, channels })
    }

    /// §4, Theorem 1, for one snapshot: there is a computation seq' in which only events between the beginning and the end of
    /// the algorithm are permuted, and S* is one of its states.
    ///
    /// As in the paper's proof: all prerecording events first, then all postrecording ones, each kind in the order in which
    /// it happened.
    pub fn theorem_1(&self, snapshot: SnapshotId) -> Result<(), String> {
        let recorded = self.recorded(snapshot).ok_or("it is not whole")?;
        let parts = &self.parts[&snapshot];
        let (begun, ended) =
            (self.begun[&snapshot], parts.values().map(|(_, whole)| *whole).max().unwrap_or_default());
        let mut seen = BTreeMap::<NodeId, usize>::new();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (number, step) in self.computation[..ended].iter().enumerate() {
            let count = seen.entry(step.process).or_default();
            *count += 1;
            let is_prerecording = *count <= parts[&step.process].0.state.events;
            if number < begun && !is_prerecording {
                return Err(format!("{step:?} occurred before the algorithm began, and is postrecording"));
            }
            if is_prerecording { before.push(step.clone()) } else { after.push(step.clone()) }
        }
        let reached = self.replay(&before).map_err(|error| format!("S* cannot be reached: {error}"))?;
        if reached != recorded {
            return Err(format!("S* is {recorded:?}, and the prerecording events lead to {reached:?}"));
        }
        let permuted: Vec<_> = before.into_iter().chain(after).collect();
        let end = self.replay(&permuted).map_err(|error| format!("nothing leads on from S*: {error}"))?;
        let really = self.replay(&self.computation[..ended])?;
        if end == really { Ok(()) } else { Err(format!("from S* to {end:?} and not {really:?}")) }
    }
}

/// A machine whose state is all that ever happened to it, so that no two different pasts look alike.
pub struct Anything;

impl Machine for Anything {
    type State = u64;
    type Message = u64;

    fn initial(process: NodeId) -> u64 {
        process.0
    }

    fn send(state: &u64, to: NodeId) -> (u64, u64) {
        (digest(&(state, "sends", to)), digest(&(state, "message", to)))
    }

    fn receive(state: &u64, from: NodeId, message: &u64) -> u64 {
        digest(&(state, "receives", from, message))
    }
}

fn digest(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
