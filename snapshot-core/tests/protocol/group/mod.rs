//! A whole group of coordinators over modelled channels and a modelled store. One seed decides everything: who moves next,
//! what is lost, who dies.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use snapshot_core::{
    Body, Bound, Capture, Created, Event, Failure, Frame, Frames, Generation, Graph, Key, LocalSnapshot,
    NodeId, Output, PartError, PartRef, Settings, SnapshotCoordinator, SnapshotId, Stamp, StoreAnswer,
    StoreRequest, StoredPart, Ticket, Turn,
};

pub type Coordinator = SnapshotCoordinator<Transfer, Branch>;

/// Money on its way, with its number in its channel.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Transfer {
    pub amount: u64,
    pub number: u64,
}

/// A branch of a bank that counts what it sends and receives.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Branch {
    pub balance: u64,
    pub sent: BTreeMap<NodeId, u64>,
    pub received: BTreeMap<NodeId, u64>,
}

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.draw() % n.max(1) as u64) as usize
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }
}

/// The store: objects under keys, each operation one step.
#[derive(Clone, Default)]
pub struct Store {
    pub small: BTreeMap<Key, Bytes>,
    pub parts: BTreeMap<Key, (LocalSnapshot<Branch, Transfer>, PartRef)>,
    /// Percentage of operations that fail, half of them after they were done.
    pub faults: u64,
    /// Broken on purpose: restored parts come without the messages of their channels.
    pub forgets_channels: bool,
    /// How many recorded messages were read to be handed out again.
    pub replayed: usize,
}

pub struct Process {
    pub coordinator: Coordinator,
    pub branch: Branch,
    pub asked: Vec<(Ticket, StoreRequest<Transfer, Branch>)>,
    /// The newest turn that was announced as covered in this life.
    pub covered: Turn,
    pub locals: Vec<LocalSnapshot<Branch, Transfer>>,
    pub reports: Vec<SnapshotId>,
    pub aborted: Vec<SnapshotId>,
    pub failed: Option<Failure>,
    pub events: Vec<String>,
}

pub struct Group {
    pub graph: Graph,
    pub settings: Settings,
    pub random: Random,
    pub now: Duration,
    pub total: u64,
    pub processes: BTreeMap<NodeId, Process>,
    pub channels: BTreeMap<(NodeId, NodeId), VecDeque<Frame<Transfer>>>,
    pub store: Store,
    /// The stores of nodes that by mistake have one of their own.
    pub apart: BTreeMap<NodeId, Store>,
    /// Turns that were announced as covered, by node: no rollback may go behind them.
    pub promised: BTreeMap<NodeId, Turn>,
    pub rollbacks: u64,
    pub commits: u64,
    /// The transport leaves what could depart where it is, with this chance in percent each time that it looks, and tells as
    /// late what it has sent.
    pub lazy: u64,
    /// Channels on which the transport takes nothing, as before there is a connection.
    pub closed: BTreeSet<(NodeId, NodeId)>,
    /// What a node finds a message to weigh.
    pub weigh: fn(NodeId, &Transfer) -> usize,
    /// Somebody may be accused of breaking the protocol: it is in its events.
    pub tolerant: bool,
    /// Channels whose last batch has departed, of which the sender has not been told.
    flying: BTreeSet<(NodeId, NodeId)>,
    /// The stamp of the last frame that arrived on each channel.
    numbers: BTreeMap<(NodeId, NodeId), Stamp>,
    /// Frames delivered, requests served and outputs taken so far.
    moves: u32,
}

/// Many times what any test needs: a group that never comes to rest fails its test at once.
const MAX_MOVES: u32 = 200_000;

const START: u64 = 100;

impl Group {
    pub fn new(graph: Graph, settings: Settings, seed: u64) -> Self {
        let members = graph.members().to_vec();
        let mut channels = BTreeMap::new();
        for (from, to, _) in graph.at(members[0]).unwrap().links() {
            channels.insert((from, to), VecDeque::new());
        }
        Self {
            total: START * members.len() as u64,
            graph,
            settings,
            random: Random::new(seed),
            now: Duration::ZERO,
            processes: BTreeMap::new(),
            channels,
            store: Store::default(),
            apart: BTreeMap::new(),
            promised: BTreeMap::new(),
            rollbacks: 0,
            commits: 0,
            lazy: 0,
            closed: BTreeSet::new(),
            weigh: |_, _| size_of::<Transfer>(),
            tolerant: false,
            flying: BTreeSet::new(),
            numbers: BTreeMap::new(),
            moves: 0,
        }
    }

    /// All run, have greeted and granted, and nothing is under way.
    pub fn at_rest(graph: Graph, settings: Settings) -> Self {
        let mut group = Self::new(graph, settings, 1);
        group.boot_all();
        group.settle();
        group
    }

    pub fn boot(&mut self, id: NodeId) {
        let seed = self.random.draw();
        let weigh = self.weigh;
        let mut coordinator = Coordinator::new(self.graph.at(id).unwrap(), self.settings.clone(), seed)
            .with_weight(move |transfer| weigh(id, transfer));
        coordinator.start(self.now);
        let process = Process {
            coordinator,
            branch: Branch { balance: START, ..Branch::default() },
            asked: Vec::new(),
            covered: Turn(0),
            locals: Vec::new(),
            reports: Vec::new(),
            aborted: Vec::new(),
            failed: None,
            events: Vec::new(),
        };
        self.processes.insert(id, process);
        self.drain(id);
        for peer in self.neighbours(id) {
            if self.processes.contains_key(&peer) {
                self.up(id, peer);
                self.up(peer, id);
            }
        }
    }

    pub fn boot_all(&mut self) {
        for id in self.graph.members().to_vec() {
            self.boot(id);
        }
    }

    fn neighbours(&self, id: NodeId) -> Vec<NodeId> {
        self.graph.at(id).unwrap().peers().map(|p| p.id()).collect()
    }

    pub fn up(&mut self, id: NodeId, peer: NodeId) {
        let now = self.now;
        if let Some(process) = self.processes.get_mut(&id) {
            let peer = process.coordinator.topology().peer(peer).unwrap();
            process.coordinator.handle_up(now, peer);
            self.drain(id);
        }
    }

    pub fn lost(&mut self, id: NodeId, peer: NodeId) {
        self.input(id, |c, now, capture| {
            let peer = c.topology().peer(peer).unwrap();
            c.handle_lost(now, peer, "gone".to_owned(), capture);
        });
    }

    /// The connection breaks: a suffix of what is in flight in both directions is lost. It comes back at once.
    pub fn break_link(&mut self, a: NodeId, b: NodeId) {
        for pair in [(a, b), (b, a)] {
            let Some(channel) = self.channels.get_mut(&pair) else { continue };
            let keep = self.random.below(channel.len() + 1);
            // What is kept had arrived before the connection broke.
            let arrived: Vec<_> = channel.drain(..).take(keep).collect();
            for frame in arrived {
                self.deliver_frame(pair, frame);
            }
        }
        self.reconnect(a, b);
    }

    /// Both are told that their connection is gone, and that another one stands.
    pub fn reconnect(&mut self, a: NodeId, b: NodeId) {
        for (id, peer) in [(a, b), (b, a)] {
            self.lost(id, peer);
        }
        for (id, peer) in [(a, b), (b, a)] {
            self.up(id, peer);
        }
    }

    /// The process is gone, with what was on its way to it and a part of what it had sent.
    pub fn crash(&mut self, id: NodeId) {
        self.processes.remove(&id);
        self.flying.retain(|(from, _)| *from != id);
        for ((from, to), channel) in &mut self.channels {
            if *to == id {
                channel.clear();
            } else if *from == id {
                let keep = self.random.below(channel.len() + 1);
                channel.truncate(keep);
            }
        }
        for peer in self.neighbours(id) {
            // What it had sent arrives before the loss is noticed.
            while let Some(frame) = self.channels.get_mut(&(id, peer)).and_then(VecDeque::pop_front) {
                self.deliver_frame((id, peer), frame);
            }
            self.lost(peer, id);
        }
    }

    /// Gives one input and does what comes of it.
    pub fn input<R>(
        &mut self,
        id: NodeId,
        input: impl FnOnce(&mut Coordinator, Duration, &mut dyn FnMut() -> Capture<Branch>) -> R,
    ) -> Option<R> {
        let now = self.now;
        let process = self.processes.get_mut(&id)?;
        let branch = process.branch.clone();
        // Whoever shows what is under way looks when the revision says so. Not at every input, for the sake of time.
        let seen = self.moves.is_multiple_of(8).then(|| process.coordinator.running());
        let revision = process.coordinator.revision();
        let result = input(&mut process.coordinator, now, &mut || Capture::new(branch.clone()));
        if process.coordinator.revision() == revision {
            assert!(
                seen.is_none_or(|seen| seen == process.coordinator.running()),
                "{id} shows something else"
            );
        }
        self.drain(id);
        Some(result)
    }

    fn count_move(&mut self) {
        self.moves += 1;
        assert!(self.moves < MAX_MOVES, "the group does not come to rest");
    }

    fn drain(&mut self, id: NodeId) {
        while let Some(output) = self.processes.get_mut(&id).and_then(|p| p.coordinator.poll_output()) {
            self.count_move();
            let process = self.processes.get_mut(&id).unwrap();
            match output {
                Output::Store { ticket, request } => process.asked.push((ticket, request)),
                Output::Restore { state } => {
                    process.branch = state.unwrap_or_else(|| process.branch.clone());
                    let branch = process.branch.clone();
                    process.coordinator.handle_restored(self.now, &mut || Capture::new(branch.clone()));
                }
                Output::Event(event) => self.event(id, event),
                Output::Report(report) => process.reports.push(report.snapshot),
                Output::Failed(failure) => process.failed = Some(failure),
            }
        }
        // The transport takes frames at once, unless it is lazy.
        let Some(process) = self.processes.get(&id) else { return };
        for to in process.coordinator.topology().outgoing().map(|peer| peer.id()).collect::<Vec<_>>() {
            while !self.is_lazy() && self.depart((id, to)) {}
        }
    }

    fn is_lazy(&mut self) -> bool {
        self.lazy > 0 && self.random.chance(self.lazy)
    }

    /// The transport takes what may depart, and tells what has. Whether there was anything to do.
    pub fn depart(&mut self, (from, to): (NodeId, NodeId)) -> bool {
        if self.closed.contains(&(from, to)) {
            return false;
        }
        let is_lazy = self.is_lazy();
        self.count_move();
        let Some(process) = self.processes.get_mut(&from) else { return false };
        let peer = process.coordinator.topology().peer(to).unwrap();
        let has_landed = self.flying.remove(&(from, to));
        if has_landed {
            process.coordinator.handle_sent(self.now, peer);
        }
        let mut frames = Frames::new();
        let is_taken = process.coordinator.take_outgoing(peer, &mut frames);
        if is_taken {
            // Nobody listens at a dead process: these bytes are gone.
            self.channels.get_mut(&(from, to)).unwrap().extend(frames.drain(usize::MAX));
            if is_lazy {
                self.flying.insert((from, to));
            } else {
                process.coordinator.handle_sent(self.now, peer);
            }
        }
        has_landed || is_taken
    }

    fn event(&mut self, id: NodeId, event: Event<Transfer, Branch>) {
        let process = self.processes.get_mut(&id).unwrap();
        process.events.push(format!("{event:?}"));
        match event {
            Event::Committed { snapshot, turn, .. } => {
                if let Some((local, _)) = self.store.parts.get(&Key::Part { snapshot, node: id }) {
                    assert_eq!(turn, local.turn, "{id}: {snapshot} covers what its part holds");
                }
                self.commits += 1;
                let promised = self.promised.entry(id).or_default();
                *promised = (*promised).max(turn);
            }
            Event::RolledBack { turn, .. } => {
                self.rollbacks += 1;
                let promised = self.promised.get(&id).copied().unwrap_or_default();
                assert!(turn >= promised, "{id} went back to {turn}, but {promised} had been covered");
            }
            Event::LocalSnapshot(local) => process.locals.push(*local),
            Event::SnapshotAborted { snapshot, .. } => process.aborted.push(snapshot),
            Event::Violation { peer, what, .. } => assert!(self.tolerant, "{id} accuses {peer}: {what}"),
            _ => {}
        }
    }

    pub fn deliver(&mut self, pair: (NodeId, NodeId)) -> bool {
        if !self.processes.contains_key(&pair.1) {
            return false;
        }
        let Some(frame) = self.channels.get_mut(&pair).and_then(VecDeque::pop_front) else { return false };
        self.deliver_frame(pair, frame);
        true
    }

    /// All that is on a channel arrives as one batch, and the node looks ahead in it.
    pub fn deliver_batch(&mut self, pair: (NodeId, NodeId)) -> bool {
        let Some(process) = self.processes.get_mut(&pair.1) else { return false };
        let Some(channel) = self.channels.get_mut(&pair) else { return false };
        let from = process.coordinator.topology().peer(pair.0).unwrap();
        let batch: Vec<_> = channel.drain(..).collect();
        batch.iter().for_each(|frame| process.coordinator.foresee(from, frame));
        let any = !batch.is_empty();
        batch.into_iter().for_each(|frame| self.deliver_frame(pair, frame));
        any
    }

    fn deliver_frame(&mut self, (from, to): (NodeId, NodeId), frame: Frame<Transfer>) {
        self.count_move();
        self.numbers.insert((from, to), frame.stamp);
        self.input(to, |c, now, capture| {
            let from = c.topology().peer(from).unwrap();
            c.handle_frame(now, from, frame, capture);
        });
    }

    /// A turn: takes a message, if there is one.
    pub fn take(&mut self, id: NodeId) -> bool {
        let Some(process) = self.processes.get_mut(&id) else { return false };
        process.coordinator.end_turn().unwrap();
        let Some((from, transfer)) = process.coordinator.take_message() else { return false };
        let received = process.branch.received.entry(from.id()).or_default();
        *received += 1;
        assert_eq!(transfer.number, *received, "{id} got another message from {from} than the next one");
        process.branch.balance += transfer.amount;
        process.coordinator.end_turn().unwrap();
        self.drain(id);
        true
    }

    /// A turn: sends one unit.
    pub fn pay_to(&mut self, from: NodeId, to: NodeId) {
        self.pay_amount(from, to, 1);
    }

    /// A turn: sends so much.
    pub fn pay_amount(&mut self, from: NodeId, to: NodeId, amount: u64) {
        let branch = &mut self.processes.get_mut(&from).unwrap().branch;
        let number = branch.sent.entry(to).or_default();
        *number += 1;
        let transfer = Transfer { amount, number: *number };
        branch.balance -= amount;
        self.input(from, |c, _, _| {
            let to = c.topology().peer(to).unwrap();
            c.send(to, transfer).unwrap();
            c.end_turn().unwrap();
        });
    }

    /// A turn: sends some money to a neighbour, if there is room.
    pub fn pay(&mut self, id: NodeId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.coordinator.end_turn().unwrap();
        let peers: Vec<_> = process.coordinator.topology().outgoing().collect();
        if !process.coordinator.has_room() || peers.is_empty() || process.branch.balance == 0 {
            return;
        }
        let to = peers[self.random.below(peers.len())];
        let amount = 1 + self.random.draw() % process.branch.balance.min(7);
        let number = process.branch.sent.get(&to.id()).copied().unwrap_or(0) + 1;
        if process.coordinator.send(to, Transfer { amount, number }).is_ok() {
            process.branch.balance -= amount;
            process.branch.sent.insert(to.id(), number);
        }
        process.coordinator.end_turn().unwrap();
        self.drain(id);
    }

    /// A node sends as much as it has room for.
    pub fn flood(&mut self, from: NodeId, to: NodeId) {
        while self.processes[&from].coordinator.has_room() {
            self.pay_to(from, to);
        }
    }

    /// Does one thing that the node has asked of the store.
    pub fn serve(&mut self, id: NodeId) -> bool {
        let Some(process) = self.processes.get(&id).filter(|p| !p.asked.is_empty()) else { return false };
        let at = self.random.below(process.asked.len());
        self.serve_at(id, at)
    }

    /// Does what the node has asked of the store first.
    pub fn serve_oldest(&mut self, id: NodeId) -> bool {
        self.serve_at(id, 0)
    }

    /// Writes the oldest part that the node has asked to be written, and does nothing else.
    pub fn serve_part(&mut self, id: NodeId) -> bool {
        let is_part = |(_, request): &(_, StoreRequest<_, _>)| matches!(request, StoreRequest::WritePart(_));
        let at = self.processes.get(&id).and_then(|process| process.asked.iter().position(is_part));
        at.is_some_and(|at| self.serve_at(id, at))
    }

    /// All frames arrive, and each node has one thing done that it has asked of the store and that is no record. Whether there was any.
    pub fn exchange_but_records(&mut self) -> bool {
        let mut moved = false;
        for pair in self.channels.keys().copied().collect::<Vec<_>>() {
            while self.depart(pair) || self.deliver(pair) {
                moved = true;
            }
        }
        for id in self.graph.members().to_vec() {
            let is_other =
                |(_, request): &(_, StoreRequest<_, _>)| !matches!(request, StoreRequest::Create(..));
            let at = self.processes.get(&id).and_then(|process| process.asked.iter().position(is_other));
            moved |= at.is_some_and(|at| self.serve_at(id, at));
        }
        moved
    }

    fn serve_at(&mut self, id: NodeId, at: usize) -> bool {
        self.count_move();
        let Some(process) = self.processes.get_mut(&id).filter(|p| at < p.asked.len()) else { return false };
        let (ticket, request) = process.asked.remove(at);
        let (faulty, done) = (self.random.chance(self.store.faults), self.random.chance(50));
        let answer = if faulty && !done {
            StoreAnswer::Failed("injected".to_owned())
        } else {
            let answer = self.apart.get_mut(&id).unwrap_or(&mut self.store).perform(id, request);
            if faulty { StoreAnswer::Failed("injected after it was done".to_owned()) } else { answer }
        };
        self.input(id, |c, now, capture| c.handle_store(now, ticket, answer, capture));
        true
    }

    pub fn initiate(&mut self, id: NodeId) -> Option<SnapshotId> {
        if let Some(process) = self.processes.get_mut(&id) {
            process.coordinator.end_turn().unwrap();
        }
        self.input(id, |c, now, capture| c.initiate(now, capture))?.ok()
    }

    pub fn pass_time(&mut self, by: Duration) {
        self.now += by;
        for id in self.graph.members().to_vec() {
            let due = self.processes.get(&id).and_then(|p| p.coordinator.poll_timeout());
            if due.is_some_and(|at| at <= self.now) {
                self.input(id, |c, now, capture| c.handle_timeout(now, capture));
            }
        }
    }

    /// Everything that can move without time passing moves, until nothing does.
    pub fn settle(&mut self) {
        loop {
            let mut moved = false;
            for pair in self.channels.keys().copied().collect::<Vec<_>>() {
                while self.depart(pair) || self.deliver(pair) {
                    moved = true;
                }
            }
            for id in self.graph.members().to_vec() {
                while self.serve(id) || self.take(id) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Everything that can move without time passing moves, but for applications: they take nothing.
    pub fn exchange(&mut self) {
        loop {
            let mut moved = false;
            for pair in self.channels.keys().copied().collect::<Vec<_>>() {
                while self.depart(pair) || self.deliver(pair) {
                    moved = true;
                }
            }
            for id in self.graph.members().to_vec() {
                while self.serve(id) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Whatever is stored as whole is a consistent cut: each channel holds exactly what was sent and not received.
    pub fn check_cuts(&self) -> usize {
        let mut cuts: BTreeMap<SnapshotId, Vec<&LocalSnapshot<Branch, Transfer>>> = BTreeMap::new();
        for (local, _) in self.store.parts.values().filter(|(local, _)| local.snapshot.sequence > 0) {
            cuts.entry(local.snapshot).or_default().push(local);
        }
        for process in self.processes.values() {
            for local in &process.locals {
                cuts.entry(local.snapshot).or_default().push(local);
            }
        }
        let members = self.graph.members().len();
        let whole: Vec<_> = cuts.into_iter().filter(|(_, locals)| locals.len() == members).collect();
        for (snapshot, locals) in &whole {
            let mut total: u64 = locals.iter().map(|local| local.state.balance).sum();
            for local in locals {
                for (from, messages) in &local.channels {
                    let sender = locals.iter().find(|l| l.node == *from).unwrap();
                    let sent = sender.state.sent.get(&local.node).copied().unwrap_or(0);
                    let received = local.state.received.get(from).copied().unwrap_or(0);
                    let both = messages.iter().chain(sender.outgoing.get(&local.node).into_iter().flatten());
                    let numbers: Vec<u64> = both.clone().map(|m| m.number).collect();
                    let exact: Vec<u64> = (received + 1..=sent).collect();
                    assert_eq!(numbers, exact, "{snapshot}: the channel {from} -> {}", local.node);
                    total += both.map(|m| m.amount).sum::<u64>();
                }
            }
            assert_eq!(total, self.total, "{snapshot}: money was made or lost");
        }
        whole.len()
    }

    /// Somebody says this on a channel on which all has arrived, as the next frame; what the node itself has to say stays with it
    /// from then on.
    pub fn forge(&mut self, pair: (NodeId, NodeId), body: Body<Transfer>) {
        let known = *self.numbers.get(&pair).expect("something has arrived");
        let stamp = stamp(known.generation().0, known.count() + 1, known);
        self.closed.insert(pair);
        self.deliver_frame(pair, Frame { stamp, body });
    }

    /// Which frame of its channel the last one is that arrived on it.
    pub fn number_on(&self, pair: (NodeId, NodeId)) -> u64 {
        self.numbers.get(&pair).map_or(0, |stamp| stamp.count())
    }

    /// The stamp of the last frame that arrived on a channel.
    pub fn last_on(&self, pair: (NodeId, NodeId)) -> Stamp {
        self.numbers[&pair]
    }

    /// Everybody is gone, and what was on the channels stays there.
    pub fn stop_all(&mut self) {
        self.processes.clear();
        self.flying.clear();
    }

    /// How often this process has captured its state.
    pub fn captures(&self, id: NodeId) -> usize {
        self.processes[&id].events.iter().filter(|event| event.starts_with("SnapshotBegun")).count()
    }

    /// The parts of this node, of all snapshots, oldest first.
    pub fn parts_of(&self, node: NodeId) -> Vec<&LocalSnapshot<Branch, Transfer>> {
        let stored = self.store.parts.iter().filter(|(key, _)| matches!(key, Key::Part { .. }));
        let told = self.processes.get(&node).map_or(&[][..], |process| &process.locals);
        stored.map(|(_, (local, _))| local).filter(|local| local.node == node).chain(told).collect()
    }

    /// How many messages stand in parts as overtaken by the markers of their sender.
    pub fn overtaken(&self) -> usize {
        let stored = self.store.parts.values().map(|(local, _)| local);
        let told = self.processes.values().flat_map(|process| &process.locals);
        stored.chain(told).flat_map(|local| local.outgoing.values()).map(Vec::len).sum()
    }

    /// The money of a group at rest.
    pub fn balance(&self) -> u64 {
        self.processes.values().map(|p| p.branch.balance).sum()
    }
}

/// Settings by which this much may be outstanding on each channel to a node with one that sends to it.
pub fn windows(messages: usize, bytes: usize) -> Settings {
    Settings { inbox: Bound::new(messages, bytes), window_floor: Bound::new(1, 1), ..Settings::default() }
}

/// The stamp of the `count`-th frame of its channel in this generation, in the history of which `known` is.
pub fn stamp(generation: u64, count: u64, known: Stamp) -> Stamp {
    Stamp::new(Generation(generation), count << 16 | known.number() & 0xffff)
}

/// A control frame as version 2 writes it: its kind, and numbers.
fn control(kind: u8, numbers: &[u64]) -> Body<Transfer> {
    let mut bytes = vec![2, kind];
    for mut number in numbers.iter().copied() {
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
    Body::Control(bytes.into())
}

/// A greeting of the generation that has this nonce.
pub fn greeting(nonce: u64) -> Body<Transfer> {
    control(0, &[nonce])
}

/// A receiver says that it has taken so many, and takes so many more.
pub fn grant(sender: NodeId, receiver: NodeId, taken: u64, messages: u64) -> Body<Transfer> {
    control(5, &[sender.0, receiver.0, taken, messages, 1 << 40, 1])
}

/// A sender wants a grant.
pub fn ask() -> Body<Transfer> {
    control(6, &[])
}

/// The first words of this node, which has just begun to run, to a neighbour: its greeting, and what it lets it send.
pub fn first_words(node: &mut Coordinator, to: NodeId) -> [Frame<Transfer>; 2] {
    let to = node.topology().peer(to).unwrap();
    let mut frames = Frames::new();
    assert!(node.take_outgoing(to, &mut frames));
    node.handle_sent(Duration::ZERO, to);
    let words: Vec<_> = frames.drain(usize::MAX).collect();
    words.try_into().expect("a greeting and a grant")
}

/// What this node of a group without a store says first to a neighbour.
pub fn greets(graph: &Graph, from: NodeId, to: NodeId) -> [Frame<Transfer>; 2] {
    let mut node = Coordinator::new(graph.at(from).unwrap(), Settings::default(), 1);
    node.start(Duration::ZERO);
    first_words(&mut node, to)
}

impl Store {
    fn perform(
        &mut self,
        node: NodeId,
        request: StoreRequest<Transfer, Branch>,
    ) -> StoreAnswer<Transfer, Branch> {
        match request {
            StoreRequest::Read(key) => StoreAnswer::Read(self.small.get(&key).cloned()),
            StoreRequest::Create(key, bytes) => StoreAnswer::Created(match self.small.contains_key(&key) {
                true => Created::Exists,
                false => {
                    self.small.insert(key, bytes);
                    Created::New
                }
            }),
            StoreRequest::WriteInitial(state) => {
                let key = Key::Initial(node);
                if self.parts.contains_key(&key) {
                    return StoreAnswer::Created(Created::Exists);
                }
                let snapshot = SnapshotId { generation: Generation(1), sequence: 0, initiator: node };
                let local = LocalSnapshot {
                    snapshot,
                    node,
                    turn: Turn(0),
                    members: [].into(),
                    state,
                    channels: BTreeMap::new(),
                    outgoing: BTreeMap::new(),
                };
                self.parts.insert(key, (local, PartRef { turn: Turn(0), size: 1, checksum: 1 }));
                StoreAnswer::Created(Created::New)
            }
            StoreRequest::WritePart(local) => {
                let part = PartRef { turn: local.turn, size: 100, checksum: local.turn.0 as u32 };
                let key = Key::Part { snapshot: local.snapshot, node: local.node };
                assert!(self.parts.insert(key, (local, part)).is_none(), "{key} was written twice");
                StoreAnswer::Written(part)
            }
            StoreRequest::ReadPart { key, expected } => StoreAnswer::Part(match self.parts.get(&key) {
                None => Err(PartError::Missing { key }),
                Some((_, part)) if expected.is_some_and(|expected| expected != *part) => {
                    Err(PartError::NotTheCommitted { key })
                }
                Some((local, _)) => {
                    let mut local = local.clone();
                    self.replayed += local.messages();
                    if self.forgets_channels {
                        local.channels.clear();
                    }
                    let LocalSnapshot { turn, state, channels, outgoing, .. } = local;
                    Ok(StoredPart { turn, state, channels, outgoing })
                }
            }),
            StoreRequest::VerifyPart { key, expected } => StoreAnswer::Verified(match self.parts.get(&key) {
                None => Err(PartError::Missing { key }),
                Some((_, part)) if expected.is_some_and(|expected| expected != *part) => {
                    Err(PartError::NotTheCommitted { key })
                }
                Some((_, part)) => Ok(*part),
            }),
            StoreRequest::ListParts(generation) => StoreAnswer::Listed(
                self.parts
                    .keys()
                    .copied()
                    .filter(|key| match key {
                        Key::Part { snapshot, .. } => generation.is_none_or(|g| g == snapshot.generation),
                        _ => false,
                    })
                    .collect(),
            ),
            StoreRequest::Delete(keys) => {
                for key in keys {
                    assert!(matches!(key, Key::Part { .. }), "only parts are deleted");
                    self.parts.remove(&key);
                }
                StoreAnswer::Deleted
            }
        }
    }

    /// Puts another part in the place of one, as whole as that was, and not the one that was committed.
    pub fn exchange_part(&mut self, snapshot: SnapshotId, node: NodeId) {
        let (_, part) = self.parts.get_mut(&Key::Part { snapshot, node }).expect("it was written");
        part.checksum ^= 1;
    }
}
