//! Two honest nodes, what is between them, and their store.

use std::collections::VecDeque;
use std::time::Duration;

use snapshot_core::{
    Body, Bound, Capture, Event, Failure, Frame, Frames, Generation, Graph, LinkUse, NodeId, Output, Peer,
    Settings, SnapshotCoordinator, SnapshotPhase, Stamp, Ticket,
};

use super::Shape;
use super::application::{Message, State};
use super::store::{Fault, Request, Store};
use crate::fuzzing::control::{Control, Grant, greeting, is_ask, numbered};

pub(super) const LIAR: NodeId = NodeId(2);
pub(super) const HONEST: [NodeId; 2] = [NodeId(1), NodeId(3)];

pub(super) type Coordinator = SnapshotCoordinator<Message, State>;

pub(super) struct Node {
    pub(super) coordinator: Coordinator,
    state: State,
    asked: Vec<(Ticket, Request)>,
    /// The number of the last frame that the liar sent here in order, and the generation that it counts in.
    pub(super) liars: u64,
    pub(super) counted: Generation,
    /// What the liar knows: the nonce of this generation.
    heard: Option<(Generation, u64)>,
    /// The generation in which the liar was greeted last.
    greeted: Option<Generation>,
    /// How many messages have left for the liar in it.
    departed: u64,
    /// The store has failed while it started.
    is_down: bool,
    /// Frames that may be in its outbox.
    outbox: usize,
}

pub(super) struct World {
    graph: Graph,
    settings: Settings,
    pub(super) nodes: [Node; 2],
    /// To the first and to the second.
    wires: [VecDeque<Frame<Message>>; 2],
    pub(super) store: Store,
    now: Duration,
    lives: u64,
    /// The liar has made a receipt of somebody else.
    pub(super) forged: bool,
    /// The liar has spoken of what an honest node takes: its neighbour may have believed it.
    pub(super) meddled: bool,
    /// A fault of the store has been seen.
    faulty: bool,
    /// Something was lost between the honest nodes.
    lossy: bool,
}

const MAX_RUNNING: usize = 4;
const MAX_RECORDED: usize = 16 << 10;
const HARD: usize = 64;
/// How many messages may be outstanding on a channel, at most: there may be one sender alone.
const WINDOW: usize = 16;
/// What one input may add to an outbox: markers, outcomes and receipts of all that runs.
const BURST: usize = 40;
/// How long a state is as text, at most, within these bounds.
const LONGEST: usize = 2 << 20;

impl World {
    pub(super) fn new(durable: bool, shape: Shape, fall_back: bool, interval: Option<Duration>) -> Self {
        let members = [HONEST[0], LIAR, HONEST[1]];
        let graph = match shape {
            Shape::Mesh => Graph::mesh(members),
            Shape::Star => Graph::star(members),
            Shape::Ring => Graph::ring(members).with_way_back(),
        };
        let settings = Settings {
            durable,
            fall_back,
            interval,
            deadline: Duration::from_secs(5),
            max_running: MAX_RUNNING,
            max_recorded_bytes: MAX_RECORDED,
            outbox_low: Bound::new(8, 4 << 10),
            outbox_high: Bound::new(16, 8 << 10),
            outbox_hard: Bound::new(HARD, 1 << 20),
            inbox: Bound::new(16, 8 << 10),
            window_floor: Bound::new(2, 1 << 10),
            stall: Duration::from_secs(1),
            ..Settings::default()
        };
        let node = |at: usize| Node::new(&graph, &settings, HONEST[at], at as u64);
        let mut world = Self {
            nodes: [node(0), node(1)],
            graph: graph.clone(),
            settings: settings.clone(),
            wires: Default::default(),
            store: Store::default(),
            now: Duration::ZERO,
            lives: 2,
            forged: false,
            meddled: false,
            faulty: false,
            lossy: false,
        };
        for at in [0, 1] {
            world.input(at, |c, now, _| c.start(now));
            world.connect(at);
        }
        world
    }

    pub(super) fn liar_is_linked(&self, at: usize) -> bool {
        self.nodes[at].coordinator.topology().peer(LIAR).is_some()
    }

    fn other(&self, at: usize) -> Peer {
        self.nodes[at]
            .coordinator
            .topology()
            .peer(HONEST[1 - at])
            .expect("they are neighbours in every shape")
    }

    fn connect(&mut self, at: usize) {
        let other = self.other(at);
        self.input(at, |c, now, _| c.handle_up(now, other));
    }

    pub(super) fn arrive(&mut self, at: usize, from: NodeId, frame: Frame<Message>) {
        let Some(from) = self.nodes[at].coordinator.topology().peer(from) else { return };
        self.input(at, |c, now, capture| c.handle_frame(now, from, frame, capture));
    }

    /// One input, and all that comes of it.
    pub(super) fn input<R>(
        &mut self,
        at: usize,
        input: impl FnOnce(&mut Coordinator, Duration, &mut dyn FnMut() -> Capture<State>) -> R,
    ) -> R {
        let (now, node) = (self.now, &mut self.nodes[at]);
        let state = node.state.clone();
        let result = input(&mut node.coordinator, now, &mut || Capture::new(state.clone()));
        node.outbox += BURST;
        self.drain(at);
        result
    }

    fn drain(&mut self, at: usize) {
        let other = self.other(at);
        while let Some(output) = self.nodes[at].coordinator.poll_output() {
            let node = &mut self.nodes[at];
            match output {
                Output::Store { ticket, request } => node.asked.push((ticket, request)),
                Output::Restore { state } => {
                    node.state = state.unwrap_or_else(|| node.state.clone());
                    let state = node.state.clone();
                    node.coordinator.handle_restored(self.now, &mut || Capture::new(state.clone()));
                }
                Output::Event(Event::Violation { peer, what, .. }) => {
                    assert!(
                        peer != other || self.meddled,
                        "{} is accused by {}: {what}",
                        other.id(),
                        HONEST[at]
                    );
                }
                Output::Event(Event::LocalSnapshot(local)) => {
                    let recorded = local.channels.values().chain(local.outgoing.values()).flatten();
                    assert!(recorded.map(|m| usize::from(m.weight)).sum::<usize>() <= MAX_RECORDED);
                    let windows = WINDOW * local.channels.len();
                    assert!(local.channels.values().map(Vec::len).sum::<usize>() <= windows, "{local:?}");
                }
                Output::Report(report) => {
                    // Whatever the receipts said.
                    assert!(report.bytes() >= report.parts.iter().map(|part| part.bytes).max().unwrap_or(0));
                    assert!(
                        report.messages() >= report.parts.iter().map(|part| part.messages).max().unwrap_or(0)
                    );
                }
                Output::Event(event) => drop(format!("{event:?}")),
                Output::Failed(Failure::Store { .. }) if self.faulty => node.is_down = true,
                Output::Failed(Failure::Damaged(_)) if self.forged => node.is_down = true,
                Output::Failed(failure) => panic!("a liar has ended {}: {failure:?}", HONEST[at]),
            }
        }
    }

    pub(super) fn deliver(&mut self, at: usize, most: usize) {
        for _ in 0..most {
            if !self.nodes[at].coordinator.wants_frames() {
                return;
            }
            let Some(frame) = self.wires[at].pop_front() else { return };
            self.arrive(at, HONEST[1 - at], frame);
        }
    }

    pub(super) fn send(&mut self, at: usize, to_liar: bool, weight: u16) {
        let other = self.other(at);
        let node = &mut self.nodes[at];
        if !node.coordinator.has_room() {
            return;
        }
        let number = node.state.sent + 1;
        if let Some(liar) = node.coordinator.topology().peer(LIAR).filter(|_| to_liar) {
            // There may be no channel for messages.
            let _ = node.coordinator.send(liar, Message { number: 0, weight });
        } else if node.coordinator.send(other, Message { number, weight }).is_ok() {
            node.state.sent = number;
        }
        node.coordinator.end_turn().expect("there was room");
        self.input(at, |_, _, _| ());
    }

    pub(super) fn take(&mut self, at: usize, most: usize) {
        let other = self.other(at);
        for _ in 0..most {
            let node = &mut self.nodes[at];
            let Some((from, message)) = node.coordinator.take_message() else { return };
            if from == other {
                assert_eq!(message.number, node.state.received + 1, "exactly once, in order");
                node.state.received += 1;
            }
            node.coordinator.end_turn().expect("nothing was sent");
        }
    }

    pub(super) fn flush(&mut self, at: usize) {
        let peers: Vec<_> = self.nodes[at].coordinator.topology().outgoing().collect();
        let mut answers = Vec::new();
        for peer in peers {
            let (now, node) = (self.now, &mut self.nodes[at]);
            let mut frames = Frames::new();
            if node.coordinator.take_outgoing(peer, &mut frames) {
                assert!(frames.len() <= HARD + node.outbox, "{} frames in an outbox", frames.len());
                node.coordinator.handle_sent(now, peer);
                if peer.id() == LIAR {
                    answers = node.tells(&frames);
                } else {
                    self.wires[1 - at].extend(frames.drain(usize::MAX));
                }
            }
        }
        self.nodes[at].outbox = 0;
        self.drain(at);
        if self.nodes[at].coordinator.wants_frames() {
            for control in answers {
                let frame = self.nodes[at].next_of_the_liar(control);
                self.arrive(at, LIAR, frame);
            }
        }
    }

    pub(super) fn break_link(&mut self, kept: [usize; 2]) {
        for (at, kept) in kept.into_iter().enumerate() {
            let mut arrived = std::mem::take(&mut self.wires[at]);
            // Without a store what is lost stays lost, and so does the connection.
            self.lossy |= kept < arrived.len() || !self.settings.durable;
            arrived.truncate(kept);
            // What came before the end is handed over, if the driver has room for it: else it was not received.
            for frame in arrived {
                if !self.nodes[at].coordinator.wants_frames() {
                    self.lossy = true;
                    break;
                }
                self.arrive(at, HONEST[1 - at], frame);
            }
        }
        for at in [0, 1] {
            let other = self.other(at);
            self.input(at, |c, now, capture| c.handle_lost(now, other, "broken".to_owned(), capture));
        }
        for at in [0, 1] {
            self.connect(at);
        }
    }

    /// A new process takes the place of one.
    pub(super) fn crash(&mut self, at: usize) {
        if !self.settings.durable {
            return;
        }
        self.lives += 1;
        self.nodes[at] = Node::new(&self.graph, &self.settings, HONEST[at], self.lives);
        self.input(at, |c, now, _| c.start(now));
        self.break_link([0, 0]);
    }

    pub(super) fn perform(&mut self, at: usize, which: usize, fault: Fault) {
        let node = &mut self.nodes[at];
        if node.asked.is_empty() {
            return;
        }
        let (ticket, request) = node.asked.remove(which % node.asked.len());
        self.faulty |= fault != Fault::None;
        let answer = self.store.perform(HONEST[at], request, fault);
        self.input(at, |c, now, capture| c.handle_store(now, ticket, answer, capture));
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        for at in [0, 1] {
            self.input(at, |c, now, capture| c.handle_timeout(now, capture));
        }
    }

    /// What can be seen of every node is within its bounds.
    pub(super) fn check_bounds(&self) {
        for node in &self.nodes {
            let running = node.coordinator.running();
            let (mut here, mut own) = (0, 0);
            for status in &running {
                match status.phase {
                    SnapshotPhase::Recording | SnapshotPhase::Writing => here += 1,
                    SnapshotPhase::AwaitingReceipts | SnapshotPhase::Committing => own += 1,
                    _ => {}
                }
            }
            assert!(here <= MAX_RUNNING && own <= MAX_RUNNING, "{running:?}");
            let recorded: u64 = running.iter().map(|status| status.recorded_bytes).sum();
            assert!(recorded <= MAX_RECORDED as u64, "{running:?}");
        }
    }

    /// The liar is silent from now on, and nothing fails any more: both nodes run, and have all messages.
    pub(super) fn settle(&mut self) {
        for node in &self.nodes {
            let size = format!("{:?}", node.coordinator).len();
            assert!(size <= LONGEST, "a state of {size} characters");
        }
        // No new snapshots, so that there is an end.
        for _ in 0..400 {
            for at in [0, 1] {
                if self.nodes[at].is_down {
                    if self.forged {
                        return;
                    }
                    self.crash(at);
                }
                while !self.nodes[at].asked.is_empty() && !self.nodes[at].is_down {
                    self.perform(at, 0, Fault::None);
                }
                self.flush(at);
                self.take(at, usize::MAX);
                self.deliver(at, usize::MAX);
                self.take(at, usize::MAX);
            }
            self.pass(Duration::from_millis(200));
        }
        self.check_bounds();
        self.check_settled();
    }

    fn check_settled(&self) {
        let [one, two] = &self.nodes;
        for node in [one, two] {
            assert!(node.coordinator.is_running(), "stuck: {:?}", node.coordinator);
            let interval = self.settings.interval.is_some();
            let done = |phase| matches!(phase, SnapshotPhase::AwaitingOutcome) || interval;
            let running = node.coordinator.running();
            assert!(running.iter().all(|status| done(status.phase)), "never ended: {running:?}");
        }
        if self.settings.durable {
            assert_eq!(one.coordinator.generation(), two.coordinator.generation());
        }
        // Without a store, what was lost stays lost.
        if (self.settings.durable || !self.lossy) && !self.meddled {
            assert_eq!((one.state.sent, two.state.sent), (two.state.received, one.state.received));
        }
    }
}

impl Node {
    fn new(graph: &Graph, settings: &Settings, id: NodeId, seed: u64) -> Self {
        let topology = graph.at(id).expect("it is a member");
        let coordinator = Coordinator::new(topology, settings.clone(), seed);
        Self {
            coordinator: coordinator.with_weight(|message| usize::from(message.weight).max(1)),
            state: State::default(),
            asked: Vec::new(),
            liars: 0,
            counted: Generation(1),
            heard: None,
            greeted: None,
            departed: 0,
            is_down: false,
            outbox: 0,
        }
    }

    /// The nonce of its generation, as far as it has told the liar, or is about to.
    pub(super) fn nonce(&mut self) -> u64 {
        let generation = self.coordinator.generation();
        if self.heard.is_none_or(|(known, _)| known != generation)
            && let Some(liar) = self.coordinator.topology().peer(LIAR)
        {
            let mut frames = Frames::new();
            self.coordinator.clone().take_outgoing(liar, &mut frames);
            if let Some(nonce) = frames.iter().find_map(|frame| greeting(&frame)) {
                self.heard = Some((generation, nonce));
            }
        }
        self.heard.map_or(0, |(_, nonce)| nonce)
    }

    /// The liar hears this. What it says to that when it does not lie: it greets, and takes all at once.
    fn tells(&mut self, frames: &Frames<Message>) -> Vec<Control> {
        let (mut greets, mut takes) = (None, false);
        for frame in frames.iter() {
            let generation = frame.stamp.generation();
            if let Some(nonce) = greeting(&frame)
                && self.greeted < Some(generation)
            {
                (self.heard, self.greeted) = (Some((generation, nonce)), Some(generation));
                self.departed = 0;
                greets = Some(Control::Hello { nonce });
            }
            let is_message = matches!(frame.body, Body::Message(_));
            self.departed += u64::from(is_message);
            takes |= is_message || is_ask(&frame);
        }
        let me = self.coordinator.topology().me();
        let hears = self.coordinator.topology().links().any(|link| link == (me, LIAR, LinkUse::Messages));
        let room = (hears && (takes || greets.is_some())).then(|| self.room(8));
        greets.into_iter().chain(room).collect()
    }

    /// The liar lets it send so many messages more, as an honest one would that has taken all.
    pub(super) fn room(&self, messages: u64) -> Control {
        let grant = Grant { taken: self.departed, messages, bytes: 1 << 10, whole: true };
        Control::Grant { sender: self.coordinator.topology().me(), receiver: LIAR, grant }
    }

    /// The next frame from the liar, in order.
    fn next_of_the_liar(&mut self, control: Control) -> Frame<Message> {
        let (generation, nonce) = (self.coordinator.generation(), self.nonce());
        self.counts_in(generation);
        self.liars += 1;
        let stamp = Stamp::new(generation, numbered(self.liars, nonce));
        Frame { stamp, body: Body::Control(control.encode()) }
    }

    /// The liar counts afresh in each generation.
    pub(super) fn counts_in(&mut self, generation: Generation) {
        if generation == self.coordinator.generation() && self.counted != generation {
            (self.counted, self.liars) = (generation, 0);
        }
    }
}
