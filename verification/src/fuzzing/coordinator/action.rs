//! What can happen, and what a liar can say.

use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{Body, Frame, Generation, NodeId, SnapshotId, Stamp, Turn};

use super::application::Message;
use super::store::Fault;
use super::world::{HONEST, LIAR, World};
use crate::fuzzing::control::{Awaiting, Control, Grant, Reason, numbered};
use crate::fuzzing::later::Later;

/// One step. `second` says to which of the two honest nodes it happens.
#[derive(Arbitrary, Debug)]
pub(super) enum Action {
    /// Frames from the liar, all received at once.
    Lies {
        second: bool,
        lies: Vec<Lie>,
    },
    /// Frames from the other honest node.
    Deliver {
        second: bool,
        most: u8,
    },
    Send {
        second: bool,
        to_liar: bool,
        weight: u16,
    },
    Take {
        second: bool,
        most: u8,
    },
    Flush {
        second: bool,
    },
    Initiate {
        second: bool,
    },
    Abort {
        second: bool,
        name: Name,
    },
    /// What the transport says of the liar's connection.
    Connection {
        second: bool,
        news: News,
    },
    /// The connection between the honest nodes breaks, with what was on its way but for this many frames, and comes back.
    Break {
        kept: [u8; 2],
    },
    Store {
        second: bool,
        which: u8,
        fault: Fault,
    },
    LiarsPart {
        name: Name,
        turn: u8,
    },
    Time {
        millis: u16,
    },
    Crash {
        second: bool,
    },
}

/// One frame from the liar.
#[derive(Arbitrary, Debug)]
pub(super) struct Lie {
    generation: Age,
    number: Number,
    body: Later<Said, Late>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Age {
    Present,
    Older,
    Newer(u8),
    Any(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Next,
    None,
    Skip(u8),
    Any(u64),
}

#[derive(Arbitrary, Debug)]
enum Said {
    Message {
        weight: u16,
    },
    Hello,
    Marker(Name),
    Receipt {
        name: Name,
        member: Who,
        numbers: [u64; 6],
    },
    /// Its own, as an honest node would give it.
    Own {
        name: Name,
        turn: u8,
    },
    Committed {
        name: Name,
        index: u64,
    },
    Aborted {
        name: Name,
        by: Who,
        reason: Reason,
    },
    Raw(Vec<u8>),
}

/// What only version 2 can say.
#[derive(Arbitrary, Debug)]
enum Late {
    /// More room than before, or less.
    Room(u8),
    Grant {
        sender: Who,
        receiver: Who,
        grant: Grant,
    },
    Ask,
    /// In another history of the store.
    Hello(u64),
    Aborted {
        name: Name,
        by: Who,
        awaiting: Awaiting,
    },
}

/// The name of a snapshot: mostly one that there is, or could be.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Name {
    generation: Age,
    sequence: Sequence,
    initiator: Who,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Sequence {
    /// Counted from the largest one that runs at the node.
    Running(i8),
    Small(u8),
    Any(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Who {
    Liar,
    Honest(bool),
    Any(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum News {
    Up,
    Lost,
    Left,
}

impl Action {
    pub(super) fn happen(&self, world: &mut World) {
        match self {
            Self::Lies { second, lies } => {
                let at = usize::from(*second);
                // The driver asks once, and then has as much as one `recv` brings.
                if world.nodes[at].coordinator.wants_frames() && world.liar_is_linked(at) {
                    for lie in lies.iter().take(40) {
                        let frame = lie.frame(world, at);
                        world.arrive(at, LIAR, frame);
                    }
                }
            }
            Self::Deliver { second, most } => world.deliver(usize::from(*second), usize::from(*most)),
            Self::Send { second, to_liar, weight } => world.send(usize::from(*second), *to_liar, *weight),
            Self::Take { second, most } => world.take(usize::from(*second), usize::from(*most)),
            Self::Flush { second } => world.flush(usize::from(*second)),
            Self::Initiate { second } => {
                let _ = world.input(usize::from(*second), |c, now, capture| c.initiate(now, capture));
            }
            Self::Abort { second, name } => {
                let id = name.id(world, usize::from(*second));
                world.input(usize::from(*second), |c, _, _| c.abort(id));
            }
            Self::Connection { second, news } => {
                let at = usize::from(*second);
                let Some(peer) = world.nodes[at].coordinator.topology().peer(LIAR) else { return };
                world.input(at, |c, now, capture| match news {
                    News::Up => c.handle_up(now, peer),
                    News::Lost => c.handle_lost(now, peer, "gone".to_owned(), capture),
                    News::Left => c.handle_left(now, peer, capture),
                });
                world.nodes[at].liars = 0;
            }
            Self::Break { kept } => world.break_link(kept.map(usize::from)),
            Self::Store { second, which, fault } => {
                world.perform(usize::from(*second), usize::from(*which), *fault);
            }
            Self::LiarsPart { name, turn } => {
                let id = name.id(world, 0);
                world.store.write_liars(id, LIAR, Turn(u64::from(*turn)));
            }
            Self::Time { millis } => world.pass(Duration::from_millis(u64::from(*millis))),
            Self::Crash { second } => world.crash(usize::from(*second)),
        }
    }
}

impl Lie {
    fn frame(&self, world: &mut World, at: usize) -> Frame<Message> {
        let generation = self.generation.at(world, at);
        let node = &mut world.nodes[at];
        node.counts_in(generation);
        let nonce = node.nonce();
        let number = match self.number {
            Number::Next => {
                node.liars += u64::from(generation == node.counted);
                numbered(node.liars, nonce)
            }
            Number::None => numbered(0, nonce),
            Number::Skip(more) => numbered(node.liars + u64::from(more), nonce),
            // Of another history, as a rule.
            Number::Any(number) => number,
        };
        let body = match &self.body {
            Later::Early(Said::Message { weight }) => Body::Message(Message { number: 0, weight: *weight }),
            Later::Early(Said::Raw(bytes)) => Body::Control(Bytes::copy_from_slice(bytes)),
            Later::Early(said) => Body::Control(said.control(world, at, nonce).encode()),
            Later::Late(said) => Body::Control(said.control(world, at).encode()),
        };
        Frame { stamp: Stamp::new(generation, number), body }
    }
}

impl Said {
    fn control(&self, world: &mut World, at: usize, nonce: u64) -> Control {
        match self {
            Self::Marker(name) => Control::Marker(name.id(world, at)),
            Self::Receipt { name, member, numbers } => {
                let member = member.node();
                world.forged |= HONEST.contains(&member);
                Control::Receipt { snapshot: name.id(world, at), member, numbers: *numbers }
            }
            Self::Own { name, turn } => {
                let numbers = [u64::from(*turn), 100, 1, 0, 0, 0];
                Control::Receipt { snapshot: name.id(world, at), member: LIAR, numbers }
            }
            Self::Committed { name, index } => {
                Control::Committed { snapshot: name.id(world, at), index: *index }
            }
            Self::Aborted { name, by, reason } => {
                Control::Aborted { snapshot: name.id(world, at), by: by.node(), reason: reason.clone() }
            }
            Self::Hello | Self::Message { .. } | Self::Raw(_) => Control::Hello { nonce },
        }
    }
}

impl Late {
    fn control(&self, world: &mut World, at: usize) -> Control {
        match self {
            Self::Room(messages) => world.nodes[at].room(u64::from(*messages)),
            Self::Grant { sender, receiver, grant } => {
                world.meddled |= HONEST.contains(&receiver.node());
                Control::Grant { sender: sender.node(), receiver: receiver.node(), grant: *grant }
            }
            Self::Ask => Control::Ask,
            Self::Hello(nonce) => Control::Hello { nonce: *nonce },
            Self::Aborted { name, by, awaiting } => {
                Control::Late { snapshot: name.id(world, at), by: by.node(), awaiting: awaiting.clone() }
            }
        }
    }
}

impl Age {
    fn at(self, world: &World, at: usize) -> Generation {
        let Generation(present) = world.nodes[at].coordinator.generation();
        Generation(match self {
            Self::Present => present,
            Self::Older => present.saturating_sub(1).max(1),
            Self::Newer(more) => present + u64::from(more),
            Self::Any(generation) => generation.max(1),
        })
    }
}

impl Name {
    fn id(self, world: &World, at: usize) -> SnapshotId {
        let running = world.nodes[at].coordinator.running();
        let sequence = match self.sequence {
            Sequence::Running(more) => {
                let newest = running.iter().map(|status| status.snapshot.sequence).max().unwrap_or(0);
                newest.saturating_add_signed(i64::from(more))
            }
            Sequence::Small(sequence) => u64::from(sequence),
            Sequence::Any(sequence) => sequence,
        };
        SnapshotId { generation: self.generation.at(world, at), sequence, initiator: self.initiator.node() }
    }
}

impl Who {
    fn node(self) -> NodeId {
        match self {
            Self::Liar => LIAR,
            Self::Honest(second) => HONEST[usize::from(second)],
            Self::Any(node) => NodeId(node),
        }
    }
}
