//! What happens to processes and connections.

use std::collections::VecDeque;
use std::time::Duration;

use super::action::{changes, in_flight};
use super::config::Seen;
use super::drive::fresh;
use super::shared::Shared;
use super::state::{Coordinator, Item, Process, index};
use super::step::Step;

impl Step<'_> {
    /// A process of a node starts and is connected with its neighbours.
    pub(super) fn start(&mut self, node: usize, swallowed: usize) {
        let nodes = self.group.nodes();
        let life = &mut self.state.lives[node];
        *life += 1;
        // Different for all processes of a run.
        let seed = (node as u64 + 1) << 8 | u64::from(*life);
        let topology = self.group.topologies[node].clone();
        let coordinator = Coordinator::new(topology, self.group.settings.clone(), seed);
        let mut process = Process {
            node: node as u8,
            era: self.next_era(node as u8),
            has_run: false,
            now: Duration::ZERO,
            coordinator,
            app: fresh(node as u8),
            pending: Vec::new(),
            replay: vec![VecDeque::new(); nodes],
            open: Vec::new(),
            failed: None,
        };
        self.input(node, &mut process, |c, now, _| c.start(now));
        for peer in process.coordinator.topology().peers().map(|peer| index(peer.id())) {
            let is_up = self.state.processes[peer].is_some();
            self.state.channels[node * nodes + peer].update(|channel| {
                let lost = swallowed.min(channel.len());
                self.group.note(Seen::LostFrame, lost > 0);
                channel.drain(..lost);
                if is_up {
                    channel.push_front(Item::Up);
                }
            });
            if is_up {
                self.state.channels[peer * nodes + node].update(|channel| channel.push_back(Item::Up));
            }
        }
        self.put(node, process);
    }

    /// The process of a node is gone, with what was on its way to it.
    pub(super) fn crash(&mut self, node: usize, kept: usize) {
        let Some(process) = self.state.processes[node].take() else { return };
        if self.group.config.zombies {
            let left = process.pending.iter().filter(|p| p.answer.is_none() && changes(&p.request));
            let left = left.map(|pending| (process.node, pending.request.clone()));
            self.state.orphans.update(|orphans| orphans.extend(left));
        }
        self.hang_up(node, kept);
        for from in 0..self.group.nodes() {
            self.state.channels[node * self.group.nodes() + from] = Shared::default();
        }
    }

    /// A second process of a node starts. The first one lives on, and has no connection any more.
    pub(super) fn double(&mut self, node: usize, kept: usize) {
        let nodes = self.group.nodes();
        let Some(process) = self.state.processes[node].take() else { return };
        let place = self.state.processes.len();
        self.hang_up(node, kept);
        let neighbours: Vec<_> =
            process.coordinator.topology().peers().map(|peer| index(peer.id())).collect();
        for from in 0..nodes {
            let mut channel = std::mem::take(&mut self.state.channels[node * nodes + from]);
            if neighbours.contains(&from) {
                channel.update(|channel| channel.push_back(Item::Lost));
            }
            self.state.channels.push(channel);
        }
        debug_assert_eq!(self.state.channels.len(), (place + 1) * nodes);
        self.state.processes.push(Some(process));
        self.start(node, 0);
    }

    /// A process has found that the older one of its node, which lives on, has taken the seat of the newest generation: the
    /// network belongs to that one again. Returns whether there is such a process.
    pub(super) fn give_way(&mut self, node: usize) -> bool {
        let nodes = self.group.nodes();
        let lives = |process: &Process| usize::from(process.node) == node && process.failed.is_none();
        let older = (nodes..self.state.processes.len()).find(|at| self.state.process(*at).is_some_and(lives));
        let Some(older) = older else { return false };
        self.group.saw(Seen::GaveWay);
        self.crash(node, usize::MAX);
        for from in 0..nodes {
            let left = std::mem::take(&mut self.state.channels[older * nodes + from]);
            self.state.channels[node * nodes + from] = left;
        }
        self.state.processes[node] = self.state.processes[older].take();
        for peer in self.group.topologies[node].peers().map(|peer| index(peer.id())) {
            if self.state.processes[peer].is_some() {
                for (to, from) in [(node, peer), (peer, node)] {
                    self.state.channels[to * nodes + from].update(|channel| channel.push_back(Item::Up));
                }
            }
        }
        true
    }

    /// The connections of a node end. Of what it had sent last on each, so many frames still arrive, then the news.
    fn hang_up(&mut self, node: usize, kept: usize) {
        let nodes = self.group.nodes();
        for peer in self.group.topologies[node].peers().map(|peer| index(peer.id())) {
            let lost = in_flight(&self.state, node, peer, nodes).saturating_sub(kept);
            let alive = self.state.processes[peer].is_some();
            self.group.note(Seen::LostFrame, lost > 0);
            self.state.channels[peer * nodes + node].update(|channel| {
                if alive {
                    channel.truncate(channel.len() - lost);
                    channel.push_back(Item::Lost);
                } else {
                    channel.clear();
                }
            });
        }
    }

    /// A connection breaks with the loss of so many of the last frames each way, and is made again.
    pub(super) fn break_link(&mut self, a: usize, b: usize, lost: (usize, usize)) {
        let nodes = self.group.nodes();
        for (from, to, lost) in [(a, b, lost.0), (b, a, lost.1)] {
            self.group.note(Seen::LostFrame, lost > 0);
            self.state.channels[to * nodes + from].update(|channel| {
                channel.truncate(channel.len() - lost);
                channel.extend([Item::Lost, Item::Up]);
            });
        }
    }
}
