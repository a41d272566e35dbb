//! A transport that does what its script says, and its clock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{
    Body, Clock, Frame, Frames, Generation, Graph, Inbox, NodeId, Peer, SnapshotId, Stamp, Topology,
    Transport, TransportError, async_trait,
};

use crate::fuzzing::control::Control;

/// What one call of `recv` does, or a part of it.
#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Move {
    /// It brings this and what follows, until something else.
    Frame {
        second: bool,
        generation: u8,
        number: Number,
        body: Said,
    },
    Up(bool),
    Lost(bool),
    Left(bool),
    /// As many messages as there is room for, and so many more.
    Fill {
        second: bool,
        length: u16,
        more: u8,
    },
    /// It returns.
    Return,
    /// It fails.
    Fail,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Number {
    Next,
    Any(u64),
}

#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Said {
    Message(Vec<u8>),
    Hello,
    Marker { sequence: u8, initiator: u8 },
    Raw(Vec<u8>),
}

/// What one call of `send` does.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Sending {
    Part(u8),
    Never,
    Fail,
}

/// What a transport may not do, or has failed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    Failed,
    TooMany,
    Left,
}

#[derive(Debug, Default)]
pub(super) struct Script(Mutex<Acts>);

#[derive(Debug, Default)]
struct Acts {
    moves: VecDeque<Move>,
    sending: VecDeque<Sending>,
    numbers: [u64; 2],
    now: Duration,
    pushed: usize,
    dropped: usize,
    wrong: Vec<Wrong>,
}

impl Script {
    fn acts(&self) -> MutexGuard<'_, Acts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn will_receive(&self, moves: &[Move]) {
        self.acts().moves.extend(moves.iter().take(50).cloned());
    }

    pub(super) fn will_send(&self, sending: Sending) {
        self.acts().sending.push_back(sending);
    }

    pub(super) fn pass(&self, time: Duration) {
        self.acts().now += time;
    }

    /// Messages that were handed to the node.
    pub(super) fn pushed(&self) -> usize {
        self.acts().pushed
    }

    /// Those of them that it cannot have kept: they are out of order.
    pub(super) fn dropped(&self) -> usize {
        self.acts().dropped
    }

    pub(super) fn wrong(&self) -> Vec<Wrong> {
        self.acts().wrong.clone()
    }
}

pub(super) struct Lying {
    topology: Topology,
    script: Arc<Script>,
}

impl Lying {
    pub(super) fn new(script: Arc<Script>) -> Self {
        let topology = Graph::mesh([1, 2, 3].map(NodeId)).at(NodeId(1)).expect("it is a member");
        Self { topology, script }
    }

    fn peer(&self, second: bool) -> Peer {
        self.topology.peer(NodeId(2 + u64::from(second))).expect("it is a neighbour")
    }
}

#[async_trait]
impl Transport for Lying {
    type Message = Bytes;

    fn topology(&self) -> &Topology {
        &self.topology
    }

    async fn send(&self, _: Peer, frames: &mut Frames<Bytes>) -> Result<(), TransportError> {
        let act = self.script.acts().sending.pop_front();
        match act {
            None => frames.clear(),
            Some(Sending::Part(most)) => {
                frames.drain(usize::from(most)).for_each(drop);
                if !frames.is_empty() {
                    self.script.acts().wrong.push(Wrong::Left);
                }
            }
            Some(Sending::Never) => std::future::pending().await,
            Some(Sending::Fail) => {
                self.script.acts().wrong.push(Wrong::Failed);
                return Err(TransportError::other("it has failed"));
            }
        }
        Ok(())
    }

    async fn recv(&self, into: &mut Inbox<Bytes>) -> Result<(), TransportError> {
        // The node polls again whenever it is asked for an event.
        std::future::poll_fn(|_| {
            if self.script.acts().moves.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let acts = &mut *self.script.acts();
        let room = into.room();
        while let Some(next) = acts.moves.pop_front() {
            match next {
                Move::Frame { second, generation, number, body } => {
                    let generation = Generation(u64::from(generation % 4).max(1));
                    acts.push(into, self.peer(second), second, generation, number, body.body(generation));
                }
                Move::Up(second) => into.up(self.peer(second)),
                Move::Lost(second) => into.lost(self.peer(second), "gone"),
                Move::Left(second) => into.left(self.peer(second)),
                Move::Fill { second, length, more } => {
                    let message = Body::Message(Bytes::from(vec![0; usize::from(length)]));
                    for _ in 0..into.room() + usize::from(more) {
                        let (peer, body) = (self.peer(second), message.clone());
                        acts.push(into, peer, second, Generation::FIRST, Number::Next, body);
                    }
                    break;
                }
                Move::Return => break,
                Move::Fail => {
                    acts.wrong.push(Wrong::Failed);
                    return Err(TransportError::other("it has failed"));
                }
            }
        }
        if into.len() > room {
            acts.wrong.push(Wrong::TooMany);
        }
        Ok(())
    }
}

impl Acts {
    fn push(
        &mut self,
        into: &mut Inbox<Bytes>,
        peer: Peer,
        second: bool,
        generation: Generation,
        number: Number,
        body: Body<Bytes>,
    ) {
        let next = &mut self.numbers[usize::from(second)];
        let number = match number {
            Number::Next => {
                *next += 1;
                *next
            }
            Number::Any(number) => number,
        };
        if matches!(body, Body::Message(_)) {
            self.pushed += 1;
            self.dropped += usize::from(number != *next || generation != Generation::FIRST);
        }
        into.push(peer, Frame { stamp: Stamp::new(generation, number), body });
    }
}

impl Said {
    fn body(self, generation: Generation) -> Body<Bytes> {
        match self {
            Self::Message(bytes) => Body::Message(bytes.into()),
            Self::Hello => Body::Control(Control::Hello.encode()),
            Self::Marker { sequence, initiator } => {
                let initiator = NodeId(u64::from(initiator % 4));
                let snapshot = SnapshotId { generation, sequence: u64::from(sequence), initiator };
                Body::Control(Control::Marker(snapshot).encode())
            }
            Self::Raw(bytes) => Body::Control(bytes.into()),
        }
    }
}

#[async_trait]
impl Clock for Script {
    fn now(&self) -> Duration {
        self.acts().now
    }

    async fn sleep_until(&self, at: Duration) {
        // Whoever lets time pass asks the node again.
        std::future::poll_fn(|_| if self.now() >= at { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}
