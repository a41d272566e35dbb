//! What a network consists of, and the order of its locks: `links`, then one pipe, then one mailbox or the alarms. Nobody
//! is woken, and no frame is dropped, while one of them is held by the same thread, but for `links`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use snapshot_core::{Frames, Graph, Inbox, MessageCodec, NodeId, Peer, Topology, TransportError};

use crate::channel::Channel;
use crate::clock::{Alarm, AlarmKey, Time};
use crate::delay::Delay;
use crate::seed::SplitMix64;

pub(crate) struct Fabric<M> {
    pub(crate) graph: Graph,
    /// As one of the members sees it: for members and links, which are the same for all.
    pub(crate) topology: Topology,
    pub(crate) codec: Option<Arc<dyn MessageCodec<M>>>,
    pub(crate) time: Arc<Time>,
    /// In the order of [`Topology::members`].
    pub(crate) nodes: Vec<Node>,
    /// One each way for every pair of neighbours, also where only one of the two can send: the other then carries
    /// nothing but the news of the connection.
    pub(crate) pipes: Vec<Pipe<M>>,
    pub(crate) links: Mutex<Links>,
}

pub(crate) struct Node {
    /// In the order of [`Topology::peers`].
    pub(crate) ports: Vec<Port>,
    mailbox: Mutex<Mailbox>,
}

/// A node's side of the connection to one neighbour.
#[derive(Clone, Copy)]
pub(crate) struct Port {
    /// Index in [`Fabric::nodes`].
    pub(crate) node: usize,
    /// Index in [`Fabric::pipes`].
    pub(crate) outgoing: usize,
    pub(crate) incoming: usize,
}

/// Which neighbours a node should look at. An entry more than needed does no harm; each pipe adds one at most.
#[derive(Default)]
struct Mailbox {
    life: u64,
    closed: bool,
    ready: VecDeque<usize>,
    receiver: Option<Waker>,
}

pub(crate) struct Pipe<M> {
    /// Indices in [`Fabric::nodes`].
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Index of the sender among the receiver's ports.
    port: usize,
    state: Mutex<PipeState<M>>,
}

pub(crate) struct PipeState<M> {
    pub(crate) channel: Channel<M>,
    /// The processes at its two ends, 0 for none: an older process of the same node gets nothing in and nothing out.
    pub(crate) sender: u64,
    pub(crate) receiver: u64,
    /// A `send` that waits for room or for a connection. One slot, as there is one `send` a peer at a time.
    pub(crate) waiting: Option<Waker>,
    attention: Attention,
}

/// How the receiver will come to look at a pipe.
#[derive(Clone, Copy, PartialEq)]
enum Attention {
    /// Not at all: there is nothing to be seen.
    Idle,
    /// It is in the mailbox.
    Listed,
    /// An alarm will put it there.
    Scheduled(AlarmKey),
}

/// Who lives, and which pairs are cut.
#[derive(Default)]
pub(crate) struct Links {
    /// Lives given out so far, in the whole network.
    pub(crate) count: u64,
    /// For each node its process that runs.
    pub(crate) running: BTreeMap<usize, u64>,
    /// Pairs, the smaller index first.
    pub(crate) cut: BTreeSet<(usize, usize)>,
}

impl Links {
    pub(crate) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }
}

impl<M> Fabric<M> {
    pub(crate) fn new(
        graph: Graph,
        topology: Topology,
        codec: Option<Arc<dyn MessageCodec<M>>>,
        seed: u64,
        capacity: usize,
        delay: Delay,
    ) -> Self {
        let members = topology.members();
        let index = |id| members.binary_search(&id).ok();
        let mut pairs = BTreeSet::new();
        for (from, to, _) in topology.links() {
            if let (Some(from), Some(to)) = (index(from), index(to)) {
                pairs.extend([(from, to), (to, from)]);
            }
        }
        let at: BTreeMap<(usize, usize), usize> =
            pairs.iter().enumerate().map(|(at, pair)| (*pair, at)).collect();
        let neighbours = |node| pairs.range((node, 0)..=(node, usize::MAX)).map(|pair| pair.1);
        let port =
            |node, other| Port { node: other, outgoing: at[&(node, other)], incoming: at[&(other, node)] };
        let nodes: Vec<Node> = (0..members.len())
            .map(|node| Node {
                ports: neighbours(node).map(|other| port(node, other)).collect(),
                mailbox: Mutex::default(),
            })
            .collect();
        let pipes = pairs
            .iter()
            .map(|&(from, to)| {
                let random = SplitMix64::of_channel(seed, members[from], members[to]);
                Pipe {
                    from,
                    to,
                    port: neighbours(to).take_while(|other| *other != from).count(),
                    state: Mutex::new(PipeState {
                        channel: Channel::new(capacity, delay, random),
                        sender: 0,
                        receiver: 0,
                        waiting: None,
                        attention: Attention::Idle,
                    }),
                }
            })
            .collect();
        let (time, links) = (Arc::default(), Mutex::default());
        Self { graph, topology, codec, time, nodes, pipes, links }
    }

    pub(crate) fn id(&self, node: usize) -> NodeId {
        self.topology.members()[node]
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<usize> {
        self.topology.members().binary_search(&id).ok()
    }

    /// The pipe from one member to another, if there is a channel.
    pub(crate) fn pipe(&self, from: NodeId, to: NodeId) -> Option<usize> {
        self.topology.link_use(from, to)?;
        let (from, to) = (self.node(from)?, self.node(to)?);
        self.nodes[from].ports.iter().find(|port| port.node == to).map(|port| port.outgoing)
    }

    pub(crate) fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self, pipe: usize) -> MutexGuard<'_, PipeState<M>> {
        self.pipes[pipe].state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mailbox(&self, node: usize) -> MutexGuard<'_, Mailbox> {
        self.nodes[node].mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the receiver looks at the pipe when there is something to be seen. To be called after each change.
    #[must_use]
    pub(crate) fn attend(&self, pipe: usize, state: &mut PipeState<M>) -> Option<Waker> {
        if state.attention == Attention::Listed {
            return None;
        }
        let front = state.channel.front();
        if let Attention::Scheduled(key) = state.attention {
            if front == Some(key.0) {
                return None;
            }
            self.time.unset(key);
        }
        state.attention = Attention::Idle;
        let due = front?;
        if due > self.time.now()
            && let Some(key) = self.time.set(due, Alarm::Arrival(pipe))
        {
            state.attention = Attention::Scheduled(key);
            return None;
        }
        state.attention = Attention::Listed;
        let Pipe { to, port, .. } = self.pipes[pipe];
        let mut mailbox = self.mailbox(to);
        mailbox.ready.push_back(port);
        mailbox.receiver.take()
    }

    /// Takes attention off a pipe that has been emptied for good.
    pub(crate) fn forget(&self, state: &mut PipeState<M>) {
        if let Attention::Scheduled(key) = mem::replace(&mut state.attention, Attention::Idle) {
            self.time.unset(key);
        }
    }

    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        (node, life): (usize, u64),
        port: usize,
        frames: &mut Frames<M>,
    ) -> Poll<Result<(), TransportError>> {
        let pipe = self.nodes[node].ports[port].outgoing;
        let mut state = self.state(pipe);
        if state.sender != life {
            drop(state);
            return Poll::Ready(Err(self.ended(node, life)));
        }
        state.channel.accept(self.time.now(), frames);
        let receiver = self.attend(pipe, &mut state);
        let replaced =
            if frames.is_empty() { state.waiting.take() } else { state.waiting.replace(cx.waker().clone()) };
        drop(state);
        drop(replaced);
        receiver.into_iter().for_each(Waker::wake);
        if frames.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    pub(crate) fn poll_recv(
        &self,
        cx: &Context<'_>,
        (node, life): (usize, u64),
        peers: &[Peer],
        into: &mut Inbox<M>,
    ) -> Poll<Result<(), TransportError>> {
        if into.room() == 0 {
            let text = "`recv` was called with a full inbox: take items out of it first";
            return Poll::Ready(Err(TransportError::other(text)));
        }
        let before = into.len();
        while into.room() > 0 {
            let mut mailbox = self.mailbox(node);
            if mailbox.life != life || mailbox.closed {
                let closed = mailbox.life == life;
                drop(mailbox);
                return Poll::Ready(if closed { Ok(()) } else { Err(self.ended(node, life)) });
            }
            let Some(port) = mailbox.ready.pop_front() else {
                if into.len() > before {
                    break;
                }
                let replaced = mailbox.receiver.replace(cx.waker().clone());
                drop(mailbox);
                drop(replaced);
                return Poll::Pending;
            };
            drop(mailbox);
            self.take(life, self.nodes[node].ports[port].incoming, peers[port], into);
        }
        Poll::Ready(Ok(()))
    }

    fn take(&self, life: u64, pipe: usize, from: Peer, into: &mut Inbox<M>) {
        let mut state = self.state(pipe);
        if state.receiver != life {
            return;
        }
        let frames = state.channel.len();
        state.channel.take(self.time.now(), from, into);
        // Whatever brought it into the mailbox has been used up; it goes to the end of the line if there is more.
        if state.attention == Attention::Listed {
            state.attention = Attention::Idle;
        }
        let receiver = self.attend(pipe, &mut state);
        let sender = if state.channel.len() < frames { state.waiting.take() } else { None };
        drop(state);
        receiver.into_iter().chain(sender).for_each(Waker::wake);
    }

    /// Moves time on to `at`, and wakes whom that concerns.
    pub(crate) fn move_to(&self, at: Duration) {
        for (key, alarm) in self.time.move_to(at) {
            match alarm {
                Alarm::Wake(waker) => waker.wake(),
                Alarm::Arrival(pipe) => {
                    let mut state = self.state(pipe);
                    if state.attention == Attention::Scheduled(key) {
                        state.attention = Attention::Idle;
                    }
                    let receiver = self.attend(pipe, &mut state);
                    drop(state);
                    receiver.into_iter().for_each(Waker::wake);
                }
            }
        }
    }

    /// Gives the mailbox to a new process, or, with `closed`, ends it for the one that has it.
    pub(crate) fn hand_over(&self, node: usize, life: u64, closed: bool) -> Option<Waker> {
        let mut mailbox = self.mailbox(node);
        mailbox.life = life;
        mailbox.closed = closed;
        mailbox.ready.clear();
        mailbox.receiver.take()
    }

    /// Why a transport of this life can do nothing more.
    fn ended(&self, node: usize, life: u64) -> TransportError {
        let id = self.id(node);
        if self.mailbox(node).life == life {
            return TransportError::closed(format!(
                "{id} has closed its transport: it can send nothing more"
            ));
        }
        TransportError::other(format!(
            "this process of {id} has ended: it crashed, or {id} was started again; \
             `MemNetwork::transport` gives the transport of its next process"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_does_not_grow_with_the_processes_that_never_look_into_it() {
        let graph = Graph::mesh([NodeId(1), NodeId(2)]);
        let topology = graph.at(NodeId(1)).expect("a mesh");
        let fabric = Fabric::<u32>::new(graph, topology, None, 0, 1, Delay::NONE);
        fabric.start(0);
        for _ in 0..10 {
            fabric.start(1);
        }
        assert_eq!((fabric.mailbox(0).ready.len(), fabric.mailbox(1).ready.len()), (1, 1));
    }
}
