//! Processes come and go, connections with them.

use std::task::Waker;
use std::time::Duration;

use crate::channel::End;
use crate::fabric::{Fabric, Links};

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Death {
    /// Its last act is a goodbye, behind all that it sent.
    Closed,
    /// It is killed: its machine still delivers what it sent, then breaks the connections.
    Killed,
    /// Its machine fails: what was under way is gone.
    Crashed,
}

impl<M> Fabric<M> {
    /// Starts a process of this node, and ends the one before it, if that still runs.
    pub(crate) fn start(&self, node: usize) -> u64 {
        let mut wakers = Vec::new();
        let mut links = self.links();
        self.end(&mut links, node, Death::Killed, &mut wakers);
        links.count += 1;
        let life = links.count;
        links.running.insert(node, life);
        wakers.extend(self.hand_over(node, life, false));
        for port in &self.nodes[node].ports {
            self.state(port.outgoing).sender = life;
            let mut state = self.state(port.incoming);
            state.receiver = life;
            // What has outlived the process before is for this one.
            self.forget(&mut state);
            wakers.extend(self.attend(port.incoming, &mut state));
            drop(state);
            self.connect(&links, node, port.node, &mut wakers);
        }
        drop(links);
        wakers.into_iter().for_each(Waker::wake);
        life
    }

    /// Ends a process, if it is the one that runs (`None`: whichever runs).
    pub(crate) fn stop(&self, node: usize, life: Option<u64>, death: Death) -> usize {
        let mut wakers = Vec::new();
        let mut links = self.links();
        let current = links.running.get(&node).copied();
        let lost = if current.is_some() && (life.is_none() || life == current) {
            self.end(&mut links, node, death, &mut wakers)
        } else {
            0
        };
        drop(links);
        wakers.into_iter().for_each(Waker::wake);
        lost
    }

    /// Ends all processes, and keeps what is under way for those that come next. Returns how many frames that are.
    pub(crate) fn outlive(&self) -> usize {
        let mut wakers = Vec::new();
        let mut links = self.links();
        for node in std::mem::take(&mut links.running).into_keys() {
            wakers.extend(self.hand_over(node, 0, false));
        }
        let mut count = 0;
        for pipe in 0..self.pipes.len() {
            let mut state = self.state(pipe);
            (state.sender, state.receiver) = (0, 0);
            state.channel.outlive();
            count += state.channel.len();
            self.forget(&mut state);
            wakers.extend(state.waiting.take());
        }
        drop(links);
        wakers.into_iter().for_each(Waker::wake);
        count
    }

    /// Breaks the connection of a pair until it is healed; returns how many frames were lost.
    pub(crate) fn cut(&self, a: usize, b: usize) -> usize {
        let mut wakers = Vec::new();
        let mut links = self.links();
        links.cut.insert((a.min(b), a.max(b)));
        let now = self.time.now();
        let mut count = 0;
        for pipe in self.both_ways(a, b) {
            let mut state = self.state(pipe);
            let lost = state.channel.sever(now, "the connection was cut");
            wakers.extend(self.attend(pipe, &mut state));
            drop(state);
            count += lost.len();
        }
        drop(links);
        wakers.into_iter().for_each(Waker::wake);
        count
    }

    /// Takes a cut back.
    pub(crate) fn heal(&self, a: usize, b: usize) {
        let mut wakers = Vec::new();
        let mut links = self.links();
        if links.cut.remove(&(a.min(b), a.max(b))) {
            self.connect(&links, a, b, &mut wakers);
        }
        drop(links);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn connect(&self, links: &Links, a: usize, b: usize, wakers: &mut Vec<Waker>) {
        let runs = |node| links.running.contains_key(&node);
        if !runs(a) || !runs(b) || links.is_cut(a, b) {
            return;
        }
        let now = self.time.now();
        for pipe in self.both_ways(a, b) {
            let mut state = self.state(pipe);
            state.channel.connect(now);
            wakers.extend(self.attend(pipe, &mut state));
            wakers.extend(state.waiting.take());
        }
    }

    fn end(&self, links: &mut Links, node: usize, death: Death, wakers: &mut Vec<Waker>) -> usize {
        let Some(life) = links.running.remove(&node) else { return 0 };
        // After a goodbye the mailbox stays with the process, so that its `recv` finds the clean end.
        let owner = if death == Death::Closed { life } else { 0 };
        wakers.extend(self.hand_over(node, owner, death == Death::Closed));
        let now = self.time.now();
        self.nodes[node]
            .ports
            .iter()
            .map(|port| {
                self.end_incoming(port.incoming) + self.end_outgoing(port.outgoing, now, death, wakers)
            })
            .sum()
    }

    fn end_incoming(&self, pipe: usize) -> usize {
        let mut state = self.state(pipe);
        let count = state.channel.len();
        let gone = state.channel.clear();
        self.forget(&mut state);
        state.receiver = 0;
        drop(state);
        drop(gone);
        count
    }

    fn end_outgoing(&self, pipe: usize, now: Duration, death: Death, wakers: &mut Vec<Waker>) -> usize {
        let mut state = self.state(pipe);
        state.sender = 0;
        let lost = match death {
            Death::Crashed => state.channel.sever(now, "the process crashed"),
            Death::Killed => {
                state.channel.finish(now, End::Lost("the process ended without a goodbye"));
                Vec::new()
            }
            Death::Closed => {
                state.channel.finish(now, End::Left);
                Vec::new()
            }
        };
        wakers.extend(self.attend(pipe, &mut state));
        wakers.extend(state.waiting.take());
        drop(state);
        lost.len()
    }

    fn both_ways(&self, a: usize, b: usize) -> impl Iterator<Item = usize> {
        let port = self.nodes[a].ports.iter().find(move |port| port.node == b);
        port.into_iter().flat_map(|port| [port.outgoing, port.incoming])
    }
}
