//! A state of the model: processes that hold the real coordinators, channels, the store, and the oracle's account.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use snapshot_core::{
    Body, Failure, Frame, Key, LocalSnapshot, NodeId, PartError, PartRef, SnapshotCoordinator, SnapshotId,
    StoreAnswer, StoreRequest, StoredPart, Ticket,
};

use super::app::{Captured, MAX_NODES, Message};
use super::name::name;
use super::oracle::{Fault, Oracle, Part};
use super::record::Name;
use super::shared::Shared;

/// The code under test.
pub type Coordinator = SnapshotCoordinator<Message, Captured>;
/// What it asks of the store.
pub type Request = StoreRequest<Message, Captured>;
/// What it is told.
pub type Answer = StoreAnswer<Message, Captured>;

/// A process of a node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Process {
    /// Whose process it is.
    pub node: u8,
    /// How often its node has begun anew, this process's start and rollbacks included.
    pub era: u8,
    /// How often the store had gone back when it started.
    pub history: u8,
    /// Its time.
    pub now: Duration,
    /// Whether it has ever run.
    pub has_run: bool,
    /// The code under test.
    pub coordinator: Coordinator,
    /// The application.
    pub app: Captured,
    /// By receiver: whether a batch has left of which it has not learnt that it has.
    pub flying: Vec<bool>,
    /// What is asked of the store.
    pub pending: Vec<Pending>,
    /// What the oracle expects to be handed out again first, by sender.
    pub replay: Vec<VecDeque<Message>>,
    /// What it expects behind that, as it is sent again.
    pub resent: Vec<VecDeque<Message>>,
    /// The snapshots that it began and of whose end it has not heard.
    pub open: Vec<SnapshotId>,
    /// Why it has ended.
    pub failed: Option<Failure>,
}

/// An operation of the store.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pending {
    /// Its ticket.
    pub ticket: Ticket,
    /// What is asked.
    pub request: Request,
    /// It is done, and this will be the answer.
    pub answer: Option<Answer>,
}

/// What comes out of a channel.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Item {
    /// A frame.
    Frame(Frame<Message>),
    /// A frame of before the store went back.
    LeftOver(Frame<Message>),
    /// A connection stands.
    Up,
    /// It is gone.
    Lost,
}

impl Item {
    /// The message that it is.
    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::Frame(Frame { body: Body::Message(message), .. }) => Some(message),
            _ => None,
        }
    }

    /// It was on its way when the store went back.
    pub fn leave_over(&mut self) {
        if let Self::Frame(frame) = self {
            *self = Self::LeftOver(frame.clone());
        }
    }
}

/// Whether a sender asks for more room by this frame: by its documented bytes.
pub fn is_ask<M>(frame: &Frame<M>) -> bool {
    matches!(&frame.body, Body::Control(bytes) if bytes[..] == [2, 6])
}

/// How much may still happen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Budget {
    /// By entry of the configuration.
    pub sends: Vec<u8>,
    /// By entry of the configuration.
    pub snapshots: Vec<u8>,
    /// Crashes.
    pub crashes: u8,
    /// Broken connections.
    pub breaks: u8,
    /// Second processes.
    pub doubles: u8,
    /// Wrong answers of the store.
    pub store_faults: u8,
    /// Snapshots given up.
    pub aborts: u8,
    /// Deadlines.
    pub deadlines: u8,
    /// Silences.
    pub silences: u8,
    /// How often the store may go back.
    pub rewinds: u8,
}

/// What is known of the store's histories.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Histories {
    /// How often it has gone back.
    pub count: u8,
    /// What it may go back to: the store as it was, and the oracle's account.
    pub copies: Vec<(Shared<Store>, Shared<Oracle>)>,
    /// The largest generation of the histories that are over.
    pub over: u64,
    /// The largest generation that may be open in this one without any failure.
    pub first: u64,
    /// The failures before this one.
    pub failures: u64,
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// One for each node, and behind them, those that were replaced and live on.
    pub processes: Vec<Option<Shared<Process>>>,
    /// To which process, from which node: `channels[process * nodes + node]`.
    pub channels: Vec<Shared<VecDeque<Item>>>,
    /// The store.
    pub store: Shared<Store>,
    /// Operations that dead processes had asked for.
    pub orphans: Shared<Vec<(u8, Request)>>,
    /// The oracle.
    pub oracle: Shared<Oracle>,
    /// What may still happen.
    pub budget: Budget,
    /// The histories of the store.
    pub histories: Shared<Histories>,
    /// How many processes each node has had in the present history.
    pub lives: [u8; MAX_NODES],
    /// How often each node has begun anew.
    pub eras: [u8; MAX_NODES],
    /// What broke. Nothing happens after it.
    pub fault: Option<Arc<Fault>>,
}

/// The store: objects under keys, each operation one step.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Store {
    small: BTreeMap<Key, Bytes>,
    parts: BTreeMap<Key, (Part, PartRef)>,
}

impl Store {
    /// Reads a small object.
    pub fn read(&self, key: Key) -> Option<Bytes> {
        self.small.get(&key).cloned()
    }

    /// Creates a small object; whether it was absent.
    pub fn create(&mut self, key: Key, bytes: Bytes) -> bool {
        let absent = !self.small.contains_key(&key);
        if absent {
            self.small.insert(key, bytes);
        }
        absent
    }

    /// Whether there is a part or an initial state under this key.
    pub fn has_part(&self, key: Key) -> bool {
        self.parts.contains_key(&key)
    }

    /// Puts a part, or an initial state.
    pub fn put(&mut self, key: Key, part: Part, turn: snapshot_core::Turn) -> PartRef {
        // Told apart by what it holds, as a checksum would.
        let checksum = Shared::new(part.clone()).checksum();
        let described = PartRef { turn, size: 100, checksum };
        self.parts.insert(key, (part, described));
        described
    }

    /// Reads a part, which must be the one that is described.
    pub fn part(&self, key: Key, expected: Option<PartRef>) -> Result<(&Part, PartRef), PartError> {
        match self.parts.get(&key) {
            None => Err(PartError::Missing { key }),
            Some((_, found)) if expected.is_some_and(|expected| expected != *found) => {
                Err(PartError::NotTheCommitted { key })
            }
            Some((part, found)) => Ok((part, *found)),
        }
    }

    /// The parts, as a listing names them.
    pub fn list(&self) -> impl Iterator<Item = Key> {
        self.parts.keys().copied().filter(|key| matches!(key, Key::Part { .. }))
    }

    /// Deletes a part.
    pub fn delete(&mut self, key: Key) {
        self.parts.remove(&key);
    }

    /// All parts of a snapshot, for the oracle.
    pub fn cut(&self, snapshot: Name, nodes: u8) -> Option<Vec<Part>> {
        let part = |node: u8| {
            let wanted = |key: &Key| match key {
                Key::Part { snapshot: id, node: of } => name(*id) == snapshot && of.0 == u64::from(node) + 1,
                _ => false,
            };
            self.parts.iter().find(|(key, _)| wanted(key)).map(|(_, (part, _))| part.clone())
        };
        (0..nodes).map(part).collect()
    }
}

/// A local snapshot as the oracle sees it.
pub fn part(local: LocalSnapshot<Captured, Message>, nodes: u8) -> Part {
    let by_node = |recorded: BTreeMap<NodeId, Vec<Message>>| {
        let mut all = vec![Vec::new(); usize::from(nodes)];
        for (node, messages) in recorded {
            all[index(node)] = messages;
        }
        all
    };
    Part { app: local.state, channels: by_node(local.channels), outgoing: by_node(local.outgoing) }
}

/// A part as the code under test reads it.
pub fn stored(part: &Part, turn: snapshot_core::Turn) -> StoredPart<Captured, Message> {
    let by_id = |recorded: &[Vec<Message>]| {
        let some = recorded.iter().enumerate().filter(|(_, messages)| !messages.is_empty());
        some.map(|(node, messages)| (NodeId(node as u64 + 1), messages.clone())).collect()
    };
    let (channels, outgoing) = (by_id(&part.channels), by_id(&part.outgoing));
    StoredPart { turn, state: Arc::clone(&part.app), channels, outgoing }
}

/// The model's number of a node.
pub fn index(node: NodeId) -> usize {
    node.0 as usize - 1
}

impl State {
    /// The process in a place.
    pub fn process(&self, place: usize) -> Option<&Process> {
        self.processes[place].as_deref()
    }

    /// The channel to a process from a node.
    pub fn channel(&self, place: usize, from: usize, nodes: usize) -> &Shared<VecDeque<Item>> {
        &self.channels[place * nodes + from]
    }
}
