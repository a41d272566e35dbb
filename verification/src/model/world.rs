//! What happens to processes and connections.

use std::collections::VecDeque;
use std::time::Duration;

use super::action::{changes, in_flight, left_over};
use super::app::{MAX_NODES, Message};
use super::config::Seen;
use super::drive::fresh;
use super::shared::Shared;
use super::state::{Coordinator, Item, Process, State, index};
use super::step::Step;

impl Step<'_> {
    /// A process of a node starts and is connected with its neighbours.
    pub(super) fn start(&mut self, node: usize, swallowed: usize) {
        let nodes = self.group.nodes();
        let life = &mut self.state.lives[node];
        *life += 1;
        let (is_first, history) = (*life == 1, self.state.histories.count);
        // Different for all processes of a run.
        let seed = u64::from(history) << 16 | (node as u64 + 1) << 8 | u64::from(*life);
        let topology = self.group.topologies[node].clone();
        let coordinator = Coordinator::new(topology, self.group.settings.clone(), seed);
        let coordinator = coordinator.with_weight(Message::weight);
        let mut process = Process {
            node: node as u8,
            era: self.next_era(node as u8),
            history,
            has_run: false,
            now: Duration::ZERO,
            coordinator,
            app: fresh(node as u8),
            flying: vec![false; nodes],
            pending: Vec::new(),
            replay: vec![VecDeque::new(); nodes],
            resent: vec![VecDeque::new(); nodes],
            open: Vec::new(),
            failed: None,
        };
        self.input(node, &mut process, |c, now, _| c.start(now));
        for peer in process.coordinator.topology().peers().map(|peer| index(peer.id())) {
            let is_up = self.state.processes[peer].is_some() && !self.group.config.untold;
            self.state.channels[node * nodes + peer].update(|channel| {
                let may_be_lost = if is_first { left_over(channel) } else { channel.len() };
                let lost = swallowed.min(may_be_lost);
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
        let (nodes, untold) = (self.group.nodes(), self.group.config.untold);
        for peer in self.group.topologies[node].peers().map(|peer| index(peer.id())) {
            let lost = in_flight(&self.state, node, peer, nodes).saturating_sub(kept);
            let alive = self.state.processes[peer].is_some();
            self.group.note(Seen::LostFrame, lost > 0);
            self.state.channels[peer * nodes + node].update(|channel| {
                if alive {
                    channel.truncate(channel.len() - lost);
                    channel.extend((!untold).then_some(Item::Lost));
                } else {
                    channel.clear();
                }
            });
        }
    }

    /// What the store may go back to later: what it is now.
    pub(super) fn keep_copy(&mut self) {
        if self.state.budget.rewinds > 0 {
            let copy = (self.state.store.clone(), self.state.oracle.clone());
            self.state.histories.update(|histories| histories.copies.push(copy));
        }
    }

    /// All processes are gone, and the store becomes what it was. Frames stay where they are.
    pub(super) fn rewind(&mut self, copy: usize) {
        let nodes = self.group.nodes();
        let newest = |state: &State| state.oracle.newest().unwrap_or(0);
        let (over, failures) = (newest(&self.state), self.causes());
        self.state.processes = vec![None; nodes];
        self.state.channels.truncate(nodes * nodes);
        for channel in &mut self.state.channels {
            channel.update(|channel| {
                channel.retain(|item| matches!(item, Item::Frame(_) | Item::LeftOver(_)));
                channel.iter_mut().for_each(Item::leave_over);
            });
        }
        self.state.orphans = Shared::default();
        self.state.lives = [0; MAX_NODES];
        let empty = self.group.empty();
        let (store, oracle) = match copy.checked_sub(1) {
            Some(copy) => self.state.histories.copies[copy].clone(),
            None => (empty.store, empty.oracle),
        };
        (self.state.store, self.state.oracle) = (store, oracle);
        // The seats of the newest generation may be taken: one more may have to be opened.
        let newest = newest(&self.state);
        self.state.histories.update(|histories| {
            histories.count += 1;
            histories.over = histories.over.max(over);
            histories.first = newest + 1;
            histories.failures = failures;
        });
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
