//! Random schedules of everything that can be done to a network, and the same again for the same seed.

use crate::support::{A, B, C, Heard, Node, batch, empty, hear, send_all, try_send};
use futures::FutureExt;
use snapshot_core::{Frames, Graph, Inbox, NodeId, Transport};
use snapshot_transport_mem::{Connection, MemNetwork};
use std::collections::BTreeMap;
use std::time::Duration;

const CAPACITY: usize = 4;

/// A xorshift generator: the tests draw their own numbers, not the network's.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What a receiver knows of one neighbour.
#[derive(Default)]
struct View {
    up: bool,
    last: Option<u32>,
}

struct World {
    network: MemNetwork<u32>,
    dice: Dice,
    pairs: Vec<(NodeId, NodeId)>,
    nodes: BTreeMap<NodeId, Node>,
    /// By sender and receiver.
    outboxes: BTreeMap<(NodeId, NodeId), Frames<u32>>,
    numbers: BTreeMap<(NodeId, NodeId), u32>,
    /// By receiver and neighbour.
    views: BTreeMap<(NodeId, NodeId), View>,
    sent: usize,
    received: usize,
    lost: usize,
    trace: Vec<(Duration, NodeId, Heard)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let graph = Graph::mesh([A, B, C]);
        let delay = Duration::ZERO..Duration::from_millis(seed % 4);
        let network = MemNetwork::builder(&graph).seed(seed).capacity(CAPACITY).delay(delay).build().unwrap();
        let nodes = network.transports().into_iter().map(|node| (node.id(), node)).collect();
        Self {
            pairs: network.channels().iter().map(|channel| (channel.from, channel.to)).collect(),
            network,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            nodes,
            outboxes: BTreeMap::new(),
            numbers: BTreeMap::new(),
            views: BTreeMap::new(),
            sent: 0,
            received: 0,
            lost: 0,
            trace: Vec::new(),
        }
    }

    fn step(&mut self) {
        let (from, to) = self.dice.pick(&self.pairs);
        match self.dice.below(100) {
            0..35 => self.send(from, to),
            35..70 => {
                let room = 1 + self.dice.below(6) as usize;
                self.receive(to, room);
            }
            70..78 => self.network.advance(Duration::from_micros(self.dice.below(2_000))),
            78..80 => self.network.hold(from, to),
            80..85 => self.network.release(from, to),
            85..88 => self.network.let_pass(from, to, self.dice.below(4) as usize),
            88 => self.lost += self.network.cut(from, to),
            89..93 => self.network.heal(from, to),
            93 => {
                self.lost += self.network.crash(from);
                self.forget(from);
            }
            94 => {
                let delay = Duration::from_micros(self.dice.below(3_000));
                self.network.set_delay(from, to, Duration::ZERO..delay);
            }
            95 => self.end(from),
            96 => self.start(from),
            _ if !self.nodes.contains_key(&from) => self.start(from),
            _ => {}
        }
        for (from, to) in &self.pairs {
            assert!(self.network.in_flight(*from, *to) <= CAPACITY, "T3");
        }
        let in_flight: usize = self.network.channels().iter().map(|channel| channel.in_flight).sum();
        assert_eq!(self.sent, self.received + self.lost + in_flight, "T2: every frame is somewhere");
    }

    fn send(&mut self, from: NodeId, to: NodeId) {
        let Some(node) = self.nodes.get(&from) else { return };
        let number = self.numbers.entry((from, to)).or_default();
        let outbox = self.outboxes.entry((from, to)).or_default();
        if outbox.is_empty() {
            let count = self.dice.below(6) as u32;
            *outbox = batch(*number..*number + count);
            *number += count;
        }
        let before = outbox.len();
        if let Some(result) = send_all(node, to, outbox).now_or_never() {
            result.unwrap();
            assert!(outbox.is_empty(), "T6");
        }
        self.sent += before - outbox.len();
    }

    fn receive(&mut self, at: NodeId, room: usize) {
        let Some(node) = self.nodes.get(&at) else { return };
        let mut inbox = Inbox::with_capacity(room);
        if let Some(result) = node.recv(&mut inbox).now_or_never() {
            result.unwrap();
            assert!((1..=room).contains(&inbox.len()), "T3, T8");
        }
        for heard in empty(&mut inbox) {
            self.trace.push((self.network.now(), at, heard.clone()));
            let (Heard::Message(peer, _) | Heard::Up(peer) | Heard::Lost(peer) | Heard::Left(peer)) = heard;
            let view = self.views.entry((at, peer)).or_default();
            match heard {
                Heard::Message(_, number) => {
                    assert!(view.up, "T7");
                    assert!(view.last.is_none_or(|last| number == last + 1), "T1, T2");
                    view.last = Some(number);
                    self.received += 1;
                }
                Heard::Up(_) => {
                    assert!(!view.up, "T7");
                    *view = View { up: true, last: None };
                }
                Heard::Lost(_) | Heard::Left(_) => {
                    assert!(view.up, "T7");
                    view.up = false;
                }
            }
        }
    }

    /// A process ends in one way or another.
    fn end(&mut self, id: NodeId) {
        let Some(node) = self.nodes.remove(&id) else { return };
        self.count_lost_on_the_way_to(id);
        if self.dice.below(2) == 0 {
            node.close().now_or_never().unwrap().unwrap();
        }
        drop(node);
        self.forget(id);
    }

    fn start(&mut self, id: NodeId) {
        self.count_lost_on_the_way_to(id);
        // The new one starts while the old one, if there is one, still lives: it is dropped after.
        let node = self.network.transport(id);
        self.nodes.insert(id, node);
        self.views.retain(|(at, _), _| *at != id);
        self.outboxes.retain(|(from, _), _| *from != id);
    }

    fn forget(&mut self, id: NodeId) {
        self.nodes.remove(&id);
        self.views.retain(|(at, _), _| *at != id);
        self.outboxes.retain(|(from, _), _| *from != id);
    }

    fn count_lost_on_the_way_to(&mut self, id: NodeId) {
        let to_it = self.pairs.iter().filter(|pair| pair.1 == id);
        self.lost += to_it.map(|(from, to)| self.network.in_flight(*from, *to)).sum::<usize>();
    }

    /// All is mended, and then every channel works.
    fn mend(&mut self) {
        for id in [A, B, C] {
            if !self.nodes.contains_key(&id) {
                self.start(id);
            }
        }
        for (from, to) in self.pairs.clone() {
            self.network.release(from, to);
            self.network.heal(from, to);
        }
        for _ in 0..20 {
            self.network.advance(Duration::from_secs(1));
            for (from, to) in self.pairs.clone() {
                if self.outboxes.get(&(from, to)).is_some_and(|outbox| !outbox.is_empty()) {
                    self.send(from, to);
                }
                self.receive(to, 8);
            }
        }
        assert_eq!(self.sent, self.received + self.lost);
        assert!(self.outboxes.values().all(Frames::is_empty), "T4: what waited went out");
        assert!(self.network.channels().iter().all(|c| c.connection == Connection::Up && c.in_flight == 0));
        for (from, to) in &self.pairs {
            assert!(self.views[&(*to, *from)].up, "T7");
            assert_eq!(try_send(&self.nodes[from], *to, [9]), [0; 0]);
            self.network.advance(Duration::from_secs(1));
            assert_eq!(hear(&self.nodes[to]), [Heard::Message(*from, 9)]);
        }
    }
}

/// Says which seed failed.
struct Announced(u64);

impl Drop for Announced {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

#[test]
fn every_clause_holds_whatever_is_done_to_the_network() {
    let mut received = 0;
    let mut lost = 0;
    for seed in 1..=300 {
        let _announced = Announced(seed);
        let mut world = World::new(seed);
        for _ in 0..500 {
            world.step();
        }
        world.mend();
        received += world.received;
        lost += world.lost;
    }
    assert!(
        received > 10_000 && lost > 1_000,
        "the schedules do something: {received} received, {lost} lost"
    );
}

#[test]
fn the_same_seed_and_calls_give_the_same_run() {
    let trace = |seed| {
        let mut world = World::new(seed);
        for _ in 0..500 {
            world.step();
        }
        world.trace
    };
    for seed in [1, 2, 3, 7] {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
}

/// When each of 50 frames from A arrives at B, while A sends some to C too.
fn arrivals(graph: &Graph, seed: u64, to_c: u32) -> Vec<Duration> {
    let delay = Duration::ZERO..Duration::from_millis(9);
    let network = MemNetwork::builder(graph).seed(seed).delay(delay).build().unwrap();
    let nodes = network.transports();
    let (a, b) = (&nodes[0], &nodes[1]);
    hear(b);
    let mut inbox = Inbox::with_capacity(1);
    let exchange = async {
        if to_c > 0 {
            send_all(a, C, &mut batch(0..to_c)).await.unwrap();
        }
        send_all(a, B, &mut batch(0..50)).await.unwrap();
        let mut times = Vec::new();
        while times.len() < 50 {
            b.recv(&mut inbox).await.unwrap();
            if empty(&mut inbox).iter().any(|heard| matches!(heard, Heard::Message(..))) {
                times.push(network.now());
            }
        }
        times
    };
    network.run(exchange).unwrap()
}

#[test]
fn another_seed_gives_other_delays() {
    let graph = Graph::mesh([A, B]);
    assert_eq!(arrivals(&graph, 7, 0), arrivals(&graph, 7, 0));
    assert_ne!(arrivals(&graph, 7, 0), arrivals(&graph, 8, 0));
}

#[test]
fn traffic_on_one_channel_and_further_members_change_no_delay_of_another() {
    let pair = arrivals(&Graph::mesh([A, B]), 7, 0);
    let three = Graph::mesh([A, B, C]);
    assert_eq!(arrivals(&three, 7, 0), pair);
    assert_eq!(arrivals(&three, 7, 30), pair);
}
