//! A group of shipped coordinators over modelled channels and a modelled store, whose every input and output is written down
//! as it is seen from outside.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use snapshot_core::{
    Capture, CaptureFn, Failure, Frame as Sent, Frames, Graph, NodeId, Output, Settings, SnapshotCoordinator,
    StoreAnswer, StoreRequest, Ticket,
};

use super::HEADER;
use super::line::{Event, Line, Message, Operation, weight};
use super::memory::{App, Memory};
use super::seen::{answer, ask, frame, told};

pub(super) type Coordinator = SnapshotCoordinator<Message, App>;

pub(super) struct World {
    pub(super) graph: Graph,
    settings: Settings,
    pub(super) now: Duration,
    pub(super) processes: BTreeMap<NodeId, Process>,
    pub(super) network: BTreeMap<(NodeId, NodeId), VecDeque<Sent<Message>>>,
    /// Connections that are broken, the smaller node first.
    pub(super) broken: BTreeSet<(NodeId, NodeId)>,
    pub(super) operations: BTreeMap<Operation, Pending>,
    /// The transport tells of connections. A bus has none to tell of.
    pub(super) tells: bool,
    /// Frames stay in the outboxes until they are [flushed](Self::flush).
    pub(super) holds_back: bool,
    memory: Memory,
    messages: Message,
    asked: Operation,
    lines: Vec<String>,
}

pub(super) struct Process {
    pub(super) coordinator: Coordinator,
    app: App,
    /// It has come to its end, and its supervisor starts another one.
    pub(super) ended: bool,
    /// Snapshots that it began and that are committed.
    pub(super) reports: usize,
}

/// An operation of the store that is not over.
pub(super) struct Pending {
    pub(super) node: NodeId,
    ticket: Ticket,
    request: StoreRequest<Message, App>,
    answer: Option<StoreAnswer<Message, App>>,
    /// Nobody waits for it any more.
    pub(super) orphan: bool,
}

impl Pending {
    pub(super) fn is_done(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether it may take effect when nobody waits for it any more.
    pub(super) fn is_write(&self) -> bool {
        matches!(
            self.request,
            StoreRequest::Create(..) | StoreRequest::WriteInitial(_) | StoreRequest::WritePart(_)
        )
    }
}

impl World {
    pub(super) fn new(graph: Graph, settings: Settings, kept: u64) -> Self {
        let mut world = Self {
            settings,
            now: Duration::ZERO,
            processes: BTreeMap::new(),
            network: BTreeMap::new(),
            broken: BTreeSet::new(),
            operations: BTreeMap::new(),
            tells: true,
            holds_back: false,
            memory: Memory::default(),
            messages: 0,
            asked: 0,
            lines: vec![HEADER.to_owned()],
            graph,
        };
        for node in world.graph.members().to_vec() {
            world.line(&Line::Member { node });
        }
        let topology = world.graph.at(world.graph.members()[0]).expect("the graph is a topology");
        for (from, to, link) in topology.links() {
            world.network.insert((from, to), VecDeque::new());
            world.line(&Line::Link { from, to, messages: link == snapshot_core::LinkUse::Messages });
        }
        world.line(&Line::Retention { kept });
        let (messages, bytes) = (world.settings.inbox.frames as u64, world.settings.inbox.bytes as u64);
        world.line(&Line::Window { messages, bytes });
        world
    }

    pub(super) fn line(&mut self, line: &Line) {
        self.lines.push(line.to_string());
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    /// Before anything begins: a frame is under way that somebody has sent in another history of the store.
    pub(super) fn leave_over(&mut self, from: NodeId, to: NodeId, sent: Sent<Message>) {
        self.line(&Line::Left { from, to, frame: frame(&sent) });
        self.network.entry((from, to)).or_default().push_back(sent);
    }

    // ---- inputs -----------------------------------------------------------------------------------------------------

    pub(super) fn boot(&mut self, node: NodeId, seed: u64) {
        let topology = self.graph.at(node).expect("a member");
        let coordinator = Coordinator::new(topology, self.settings.clone(), seed)
            .with_weight(|message| usize::try_from(weight(*message)).unwrap_or(usize::MAX));
        self.line(&Line::Boot { node });
        self.processes.insert(node, Process { coordinator, app: App::default(), ended: false, reports: 0 });
        self.input(node, |coordinator, now, _| coordinator.start(now));
        for peer in self.neighbours(node) {
            if !self.broken.contains(&ordered(node, peer)) {
                self.connect(node, peer);
            }
        }
    }

    pub(super) fn crash(&mut self, node: NodeId) {
        self.line(&Line::Crash { node });
        self.processes.remove(&node);
        self.operations.values_mut().filter(|pending| pending.node == node).for_each(|p| p.orphan = true);
        for peer in self.neighbours(node) {
            self.lose(peer, node, usize::MAX);
        }
    }

    pub(super) fn neighbours(&self, node: NodeId) -> Vec<NodeId> {
        self.graph.at(node).expect("a member").peers().map(|peer| peer.id()).collect()
    }

    /// Both ends are told of a new connection.
    pub(super) fn connect(&mut self, a: NodeId, b: NodeId) {
        for (node, peer) in [(a, b), (b, a)] {
            if self.tells && self.processes.contains_key(&a) && self.processes.contains_key(&b) {
                self.line(&Line::Up { node, peer });
                self.input(node, |coordinator, now, _| {
                    let peer = coordinator.topology().peer(peer).expect("a neighbour");
                    coordinator.handle_up(now, peer);
                });
            }
        }
    }

    pub(super) fn disconnect(&mut self, node: NodeId, peer: NodeId) {
        if self.tells && self.processes.contains_key(&node) {
            self.line(&Line::Lost { node, peer });
            self.input(node, |coordinator, now, capture| {
                let peer = coordinator.topology().peer(peer).expect("a neighbour");
                coordinator.handle_lost(now, peer, "it is gone".to_owned(), capture);
            });
        }
    }

    /// At most this many of the last frames are lost.
    pub(super) fn lose(&mut self, from: NodeId, to: NodeId, frames: usize) {
        let Some(channel) = self.network.get_mut(&(from, to)) else { return };
        let frames = frames.min(channel.len());
        channel.truncate(channel.len() - frames);
        if frames > 0 {
            self.line(&Line::Lose { from, to, frames: frames as u64 });
        }
    }

    /// At most this many of the first frames are lost.
    pub(super) fn swallow(&mut self, from: NodeId, to: NodeId, frames: usize) {
        let Some(channel) = self.network.get_mut(&(from, to)) else { return };
        let frames = frames.min(channel.len());
        channel.drain(..frames);
        if frames > 0 {
            self.line(&Line::Swallow { from, to, frames: frames as u64 });
        }
    }

    pub(super) fn deliver(&mut self, from: NodeId, node: NodeId) -> bool {
        if !self.processes.contains_key(&node) {
            return false;
        }
        let Some(sent) = self.network.get_mut(&(from, node)).and_then(VecDeque::pop_front) else {
            return false;
        };
        self.line(&Line::Arrive { node, from, frame: frame(&sent) });
        self.input(node, |coordinator, now, capture| {
            let from = coordinator.topology().peer(from).expect("a neighbour");
            coordinator.handle_frame(now, from, sent, capture);
        });
        true
    }

    /// A turn: takes a message, and sends one on to `to`, if it may.
    pub(super) fn take(&mut self, node: NodeId, to: Option<NodeId>) -> bool {
        let Some(process) = self.processes.get_mut(&node) else { return false };
        let Some((from, message)) = process.coordinator.take_message() else { return false };
        *process.app.taken.entry(from.id()).or_default() += 1;
        self.line(&Line::Take { node, from: from.id(), message });
        if let Some(to) = to {
            self.send(node, to);
        }
        self.end_turn(node);
        true
    }

    /// A turn: sends so many messages.
    pub(super) fn pay(&mut self, node: NodeId, to: NodeId, count: usize) {
        if (0..count).filter(|_| self.send(node, to)).count() > 0 {
            self.end_turn(node);
        }
    }

    fn send(&mut self, node: NodeId, to: NodeId) -> bool {
        let Some(process) = self.processes.get_mut(&node) else { return false };
        let message = self.messages + 1;
        let peer = process.coordinator.topology().peer(to);
        let sent =
            peer.filter(|_| process.coordinator.has_room()).map(|to| process.coordinator.send(to, message));
        if !matches!(sent, Some(Ok(()))) {
            return false;
        }
        self.messages = message;
        *process.app.sent.entry(to).or_default() += 1;
        self.line(&Line::Send { node, to, message });
        true
    }

    fn end_turn(&mut self, node: NodeId) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        let turn = process.coordinator.turn().0;
        if process.coordinator.end_turn().is_ok() {
            self.line(&Line::Turn { node, turn });
        }
        self.drain(node);
    }

    pub(super) fn initiate(&mut self, node: NodeId) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        let (mut captures, app, now) = (0, process.app.clone(), self.now);
        let begun = process.coordinator.initiate(now, &mut || {
            captures += 1;
            Capture::new(app.clone())
        });
        if let Ok(snapshot) = begun {
            self.line(&Line::Initiate { node, snapshot });
            (0..captures).for_each(|_| self.line(&Line::Capture { node }));
        }
        self.drain(node);
    }

    pub(super) fn pass_time(&mut self, by: Duration) {
        self.now += by;
        for node in self.graph.members().to_vec() {
            let due = self.processes.get(&node).and_then(|process| process.coordinator.poll_timeout());
            if due.is_some_and(|at| at <= self.now) {
                self.line(&Line::Timeout { node });
                self.input(node, |coordinator, now, capture| coordinator.handle_timeout(now, capture));
            }
        }
    }

    /// The store does an operation.
    pub(super) fn perform(&mut self, operation: Operation) {
        let Some(pending) = self.operations.get_mut(&operation).filter(|pending| pending.answer.is_none())
        else {
            return;
        };
        pending.answer = Some(self.memory.perform(pending.node, &pending.request));
        let orphan = pending.orphan;
        self.line(&Line::Do { operation });
        if orphan {
            self.operations.remove(&operation);
        }
    }

    /// A process learns what came of an operation. `failed`: as an error, whatever came of it.
    pub(super) fn answer(&mut self, operation: Operation, failed: bool) {
        let Some(pending) = self.operations.get_mut(&operation).filter(|pending| !pending.orphan) else {
            return;
        };
        let given = match (&pending.answer, failed) {
            (Some(answer), false) => answer.clone(),
            (_, true) => StoreAnswer::Failed("so it was decided".to_owned()),
            (None, false) => return,
        };
        let (node, ticket) = (pending.node, pending.ticket);
        if pending.answer.is_some() {
            self.operations.remove(&operation);
        } else {
            pending.orphan = true;
        }
        self.line(&Line::Answer { operation, answer: answer(&given) });
        self.input(node, |coordinator, now, capture| coordinator.handle_store(now, ticket, given, capture));
    }

    // ---- outputs ----------------------------------------------------------------------------------------------------

    fn input(
        &mut self,
        node: NodeId,
        input: impl FnOnce(&mut Coordinator, Duration, &mut CaptureFn<'_, App>),
    ) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&node) else { return };
        let (mut captures, app) = (0, process.app.clone());
        input(&mut process.coordinator, now, &mut || {
            captures += 1;
            Capture::new(app.clone())
        });
        (0..captures).for_each(|_| self.line(&Line::Capture { node }));
        self.drain(node);
    }

    fn drain(&mut self, node: NodeId) {
        while let Some(output) = self.processes.get_mut(&node).and_then(|p| p.coordinator.poll_output()) {
            match output {
                Output::Store { ticket, request } => {
                    self.asked += 1;
                    let operation = self.asked;
                    self.line(&Line::Ask { node, operation, request: ask(&request) });
                    let pending = Pending { node, ticket, request, answer: None, orphan: false };
                    self.operations.insert(operation, pending);
                }
                Output::Restore { state } => {
                    let Some(process) = self.processes.get_mut(&node) else { return };
                    process.app = state.unwrap_or_else(|| process.app.clone());
                    let App { sent, taken } = process.app.clone();
                    self.line(&Line::Restored { node, sent, taken });
                    self.input(node, |coordinator, now, capture| coordinator.handle_restored(now, capture));
                }
                Output::Event(event) => {
                    if let Some(event) = told(event) {
                        self.line(&Line::Told { node, event });
                    }
                }
                Output::Report(report) => {
                    self.processes.entry(node).and_modify(|process| process.reports += 1);
                    self.line(&Line::Told { node, event: Event::Report(report.snapshot) });
                }
                Output::Failed(failure) => {
                    self.processes.entry(node).and_modify(|process| process.ended = true);
                    let store = matches!(failure, Failure::Store { .. });
                    self.line(&Line::Told { node, event: if store { Event::Ended } else { Event::Broken } });
                }
            }
        }
        if !self.holds_back {
            self.flush(node);
        }
    }

    /// The transport takes all that is queued.
    pub(super) fn flush(&mut self, node: NodeId) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        let mut lines = Vec::new();
        for peer in process.coordinator.topology().clone().outgoing() {
            let mut frames = Frames::new();
            if process.coordinator.take_outgoing(peer, &mut frames) {
                let to = peer.id();
                lines.extend(frames.iter().map(|sent| Line::Out { node, to, frame: frame(&sent.cloned()) }));
                self.network.entry((node, to)).or_default().extend(frames.drain(usize::MAX));
                process.coordinator.handle_sent(self.now, peer);
            }
        }
        lines.iter().for_each(|line| self.line(line));
    }
}

pub(super) fn ordered(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}
