//! Records a trace: a group under a random schedule with crashes, broken connections, a store that fails, overlapping
//! snapshots. One seed decides everything.

use std::time::Duration;

use snapshot_core::{Body, Bound, Frame, Generation, Graph, NodeId, Retention, Settings, Stamp};
use snapshot_transport_mem::simulation::Random;

use super::line::Message;
use super::world::{World, ordered};

const IDS: [NodeId; 4] = [NodeId(3), NodeId(7), NodeId(10), NodeId(11)];
const STEPS: usize = 700;
const DEADLINE: Duration = Duration::from_millis(400);

/// Messages of another history are named from here on.
const LEFT: Message = 1_000_000;

/// A recorded trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    lines: Vec<String>,
}

impl Recording {
    /// The trace, as a file has it.
    pub fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// Its lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// Records the run that this seed decides.
pub fn record(seed: u64) -> Recording {
    let mut random = Random::new(seed);
    let graph = match seed % 5 {
        0 => Graph::mesh(IDS[..2].to_vec()),
        1 => Graph::mesh(IDS[..3].to_vec()),
        2 => Graph::ring(IDS),
        3 => Graph::star(IDS),
        // A pipeline whose way back carries only markers and control.
        _ => Graph::new(IDS[..3].to_vec()).link(IDS[0], IDS[1]).link(IDS[1], IDS[2]).with_way_back(),
    };
    let kept = random.below(4);
    let retention = match u32::try_from(kept) {
        Ok(0) | Err(_) => Retention::All,
        Ok(n) => Retention::last(n),
    };
    // Often so small that messages wait for it, or are larger than all of it.
    let window = match random.below(3) {
        0 => Bound::new(64, 1 << 10),
        _ => Bound::new(1 + random.below(5) as usize, 4 + random.below(20) as usize),
    };
    let settings = Settings {
        durable: true,
        deadline: DEADLINE,
        retention,
        inbox: window,
        window_floor: window,
        ..Settings::default()
    };
    let mut world = World::new(graph, settings, kept);
    world.tells = random.below(4) > 0;
    if !world.tells {
        leave_over(&mut world, &mut random);
    }
    let mut schedule = Schedule {
        world,
        errors: random.below(3) * 4,
        trouble: random.below(4) * 15,
        initiators: 1 + random.below(4),
        held_back: random.below(3) * 35,
        random,
    };
    schedule.storm();
    schedule.calm();
    Recording { lines: schedule.world.into_lines() }
}

/// A bus may hold what a group has sent whose store was then lost: frames of any generation, as this one will number its own.
fn leave_over(world: &mut World, random: &mut Random) {
    let pairs: Vec<_> = world.network.keys().copied().collect();
    for _ in 0..random.below(9) {
        let ((from, to), generation) = (*random.pick(&pairs), Generation(1 + random.below(4)));
        let (nonce, count) = (random.below(1 << 28), random.below(4));
        let body = match random.below(3) {
            0 if count > 0 => Body::Message(LEFT + count),
            1 if count > 0 => control(&[1, generation.0, 1 + random.below(4), world.graph.members()[0].0]),
            _ => control(&[0, nonce]),
        };
        let stamp = Stamp::new(generation, count << 16 | nonce & 0xffff);
        world.leave_over(from, to, Frame { stamp, body });
    }
}

/// A control frame: its kind, and the numbers in it.
fn control(numbers: &[u64]) -> Body<Message> {
    let mut bytes = vec![2];
    for number in numbers {
        let mut rest = *number;
        while rest >= 0x80 {
            bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    Body::Control(bytes.into())
}

struct Schedule {
    world: World,
    random: Random,
    /// Of 100 operations of the store, how many are reported as failed.
    errors: u64,
    /// Of 100 chances of trouble, how many come true.
    trouble: u64,
    initiators: u64,
    /// Of 100 steps, in how many frames stay in the outboxes.
    held_back: u64,
}

impl Schedule {
    fn members(&self) -> Vec<NodeId> {
        self.world.graph.members().to_vec()
    }

    fn boot(&mut self, node: NodeId) {
        // Dead connections have swallowed some of what was sent meanwhile.
        for peer in self.world.neighbours(node) {
            let frames = self.random.below(4) as usize;
            self.world.swallow(peer, node, frames);
        }
        let seed = self.random.number();
        self.world.boot(node, seed);
    }

    /// Whoever has no process gets one, as from a supervisor.
    fn supervise(&mut self) {
        for node in self.members() {
            if self.world.processes.get(&node).is_some_and(|process| process.ended) {
                self.crash(node);
            }
            if !self.world.processes.contains_key(&node) {
                self.boot(node);
            }
        }
    }

    fn crash(&mut self, node: NodeId) {
        self.world.crash(node);
        for peer in self.world.neighbours(node) {
            let frames = self.random.below(4) as usize;
            self.world.lose(node, peer, frames);
            // What still arrives does so before the loss is noticed.
            while self.world.deliver(node, peer) {}
            self.world.disconnect(peer, node);
        }
    }

    fn break_link(&mut self, a: NodeId, b: NodeId) {
        for (from, to) in [(a, b), (b, a)] {
            let frames = self.random.below(4) as usize;
            self.world.lose(from, to, frames);
            while self.world.deliver(from, to) {}
        }
        self.world.broken.insert(ordered(a, b));
        self.world.disconnect(a, b);
        self.world.disconnect(b, a);
    }

    fn mend(&mut self, (a, b): (NodeId, NodeId)) {
        self.world.broken.remove(&(a, b));
        self.world.connect(a, b);
    }

    /// One thing that some process has asked of the store, or a write that nobody waits for any more.
    fn serve(&mut self) -> bool {
        let pending: Vec<_> =
            self.world.operations.iter().map(|(id, p)| (*id, p.is_done(), p.orphan)).collect();
        if pending.is_empty() {
            return false;
        }
        let (operation, done, orphan) = *self.random.pick(&pending);
        let fails = self.random.chance(self.errors);
        match (orphan, done) {
            (true, _) => {
                if self.random.chance(30) && self.world.operations[&operation].is_write() {
                    self.world.perform(operation);
                }
                self.world.operations.remove(&operation);
            }
            (false, false) if fails && self.random.chance(50) => self.world.answer(operation, true),
            (false, false) => {
                self.world.perform(operation);
                if self.random.chance(80) {
                    self.world.answer(operation, fails);
                }
            }
            (false, true) => self.world.answer(operation, fails),
        }
        true
    }

    fn targets(&self, node: NodeId) -> Vec<NodeId> {
        let topology = self.world.graph.at(node).expect("a member");
        let carries = |to: &NodeId| topology.link_use(node, *to) == Some(snapshot_core::LinkUse::Messages);
        topology.outgoing().map(|peer| peer.id()).filter(carries).collect()
    }

    fn storm(&mut self) {
        self.supervise();
        let members = self.members();
        let pairs: Vec<_> = self.world.network.keys().copied().collect();
        for _ in 0..STEPS {
            let node = *self.random.pick(&members);
            self.world.holds_back = self.random.chance(self.held_back);
            let (from, to) = *self.random.pick(&pairs);
            let targets = self.targets(node);
            let target = (!targets.is_empty()).then(|| *self.random.pick(&targets));
            match self.random.below(100) {
                0..40 if !self.world.broken.contains(&ordered(from, to)) => _ = self.world.deliver(from, to),
                40..72 => _ = self.serve(),
                72..80 => {
                    let on = target.filter(|_| self.random.chance(30));
                    self.world.take(node, on);
                }
                80..87 => {
                    if let Some(target) = target {
                        let count = 1 + self.random.below(2) as usize;
                        self.world.pay(node, target, count);
                    }
                }
                87..90 => {
                    let initiator = members[(self.random.below(self.initiators) as usize) % members.len()];
                    self.world.initiate(initiator);
                }
                90..93 => self.world.pass_time(Duration::from_millis(40)),
                93..96 => {
                    self.world.broken.first().copied().into_iter().for_each(|link| self.mend(link));
                }
                96 => self.supervise(),
                97 if self.random.chance(self.trouble) && !self.world.broken.contains(&ordered(from, to)) => {
                    self.break_link(from, to);
                }
                98 if self.random.chance(self.trouble) && self.world.processes.contains_key(&node) => {
                    self.crash(node);
                }
                _ => {}
            }
        }
    }

    /// The faults stop, and some snapshot commits.
    fn calm(&mut self) {
        self.errors = 0;
        self.world.holds_back = false;
        self.members().into_iter().for_each(|node| self.world.flush(node));
        while let Some(link) = self.world.broken.first().copied() {
            self.mend(link);
        }
        let initiator = self.members()[0];
        for _ in 0..8 {
            self.supervise();
            self.settle();
            self.world.pass_time(2 * DEADLINE);
            self.settle();
            let before = self.world.processes.get(&initiator).map_or(0, |process| process.reports);
            self.world.initiate(initiator);
            self.settle();
            if self.world.processes.get(&initiator).is_some_and(|process| process.reports > before) {
                return;
            }
        }
    }

    fn settle(&mut self) {
        let pairs: Vec<_> = self.world.network.keys().copied().collect();
        for _ in 0..2000 {
            let mut moved = false;
            for (from, to) in &pairs {
                while self.world.deliver(*from, *to) {
                    moved = true;
                }
            }
            for node in self.members() {
                while self.world.take(node, None) {
                    moved = true;
                }
            }
            moved |= self.serve();
            if !moved {
                return;
            }
        }
    }
}
