//! A transport that does what its script says, and its clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{
    Body, Clock, Frame, Frames, Generation, Graph, Inbox, NodeId, Peer, SnapshotId, Stamp, Topology,
    Transport, TransportError, async_trait,
};

use crate::fuzzing::control::{Control, Grant, greeting, numbered};
use crate::fuzzing::later::Later;

/// What one call of `recv` does, or a part of it.
#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Move {
    /// It brings this and what follows, until something else.
    Frame {
        second: bool,
        generation: u8,
        number: Number,
        body: Later<Said, Late>,
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

/// What only version 2 can say.
#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Late {
    /// To the node, or of a channel between others.
    Grant {
        to_others: bool,
        grant: Grant,
    },
    Ask,
    /// In another history.
    Hello(u64),
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
    /// The nonces of the generations in which the node has greeted.
    nonces: BTreeMap<Generation, u64>,
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
        let act = {
            let acts = &mut *self.script.acts();
            let greetings =
                frames.iter().filter_map(|frame| Some((frame.stamp.generation(), greeting(&frame)?)));
            acts.nonces.extend(greetings);
            acts.sending.pop_front()
        };
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
                    let peer = self.peer(second);
                    let body = acts.body(body, peer, generation);
                    acts.push(into, peer, second, generation, number, body);
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
        let nonce = self.nonce(generation);
        let next = &mut self.numbers[usize::from(second)];
        let number = match number {
            Number::Next => {
                *next += 1;
                numbered(*next, nonce)
            }
            // Of another history, as a rule.
            Number::Any(number) => number,
        };
        self.pushed += usize::from(matches!(body, Body::Message(_)));
        into.push(peer, Frame { stamp: Stamp::new(generation, number), body });
    }

    /// The nonce of a generation, if the node has told.
    fn nonce(&self, generation: Generation) -> u64 {
        self.nonces.get(&generation).copied().unwrap_or(0)
    }

    /// What a neighbour says.
    fn body(&self, said: Later<Said, Late>, by: Peer, generation: Generation) -> Body<Bytes> {
        let control = match said {
            Later::Early(Said::Message(bytes)) => return Body::Message(bytes.into()),
            Later::Early(Said::Raw(bytes)) => return Body::Control(bytes.into()),
            Later::Early(Said::Hello) => Control::Hello { nonce: self.nonce(generation) },
            Later::Early(Said::Marker { sequence, initiator }) => {
                let initiator = NodeId(u64::from(initiator % 4));
                Control::Marker(SnapshotId { generation, sequence: u64::from(sequence), initiator })
            }
            Later::Late(Late::Grant { to_others, grant }) => {
                let sender = NodeId(if to_others { 5 - by.id().0 } else { 1 });
                Control::Grant { sender, receiver: by.id(), grant }
            }
            Later::Late(Late::Ask) => Control::Ask,
            Later::Late(Late::Hello(nonce)) => Control::Hello { nonce },
        };
        Body::Control(control.encode())
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
