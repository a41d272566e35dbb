//! The application of the model: it passes coins around and keeps a full account of what it did, under names that the
//! model gives and the code under test never sees into.

use std::fmt;
use std::sync::Arc;

/// The most nodes of a model.
pub const MAX_NODES: usize = 4;

/// A vector clock (Fidge 1988, Mattern 1989): how many deeds of each node are known.
pub type Clock = [u8; MAX_NODES];

/// The name of a message. `era` counts how often the sender had begun anew, so that a message of an abandoned history never
/// has the name of one that was sent after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The sender.
    pub from: u8,
    /// The receiver.
    pub to: u8,
    /// Which one of this channel, in the sender's history.
    pub number: u8,
    /// The sender's era.
    pub era: u8,
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}→n{}.{}", self.from + 1, self.to + 1, self.number)?;
        if self.era > 1 { write!(f, "/{}", self.era) } else { Ok(()) }
    }
}

/// A generation, as its processes name it, in one history of the store: where the store went back, numbers come again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Line {
    /// How often the store had gone back.
    pub history: u8,
    /// The generation.
    pub generation: u64,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.generation)?;
        if self.history > 0 { write!(f, " of history {}", self.history) } else { Ok(()) }
    }
}

/// A coin on its way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Message {
    /// Its name.
    pub id: MessageId,
    /// How often it still goes on when it is taken.
    pub hops: u8,
    /// Where it was sent.
    pub line: Line,
    /// What the sender had seen when it sent it, the sending included.
    pub clock: Clock,
}

impl Message {
    /// What it weighs, in bytes: every second one more than the others.
    pub fn weight(&self) -> usize {
        if self.id.number.is_multiple_of(2) { 3 } else { 1 }
    }
}

/// One thing that an application did, in the turn that its node named.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deed {
    /// The number of the turn.
    pub turn: u64,
    /// What it was.
    pub what: What,
}

/// What an application can do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum What {
    /// It sent a message.
    Sent(MessageId),
    /// It took a message.
    Took(MessageId),
}

impl fmt::Debug for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in turn {}", self.what, self.turn)
    }
}

/// The state of an application.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct App {
    node: u8,
    /// The coins that it holds.
    pub coins: u8,
    /// What it has seen.
    pub clock: Clock,
    /// All that it did, from its first start on, as far as it counts.
    pub history: Vec<Deed>,
}

/// How many coins each application starts with.
pub const COINS: u8 = 4;

/// What the code under test keeps as the state of an application.
pub type Captured = Arc<App>;

impl App {
    /// The application of a node as it first starts.
    pub fn new(node: u8) -> Self {
        Self { node, coins: COINS, clock: Clock::default(), history: Vec::new() }
    }

    /// Sends a coin.
    pub fn send(&mut self, to: u8, hops: u8, era: u8, turn: u64, line: Line) -> Message {
        let number = self.sent(to).count() as u8 + 1;
        let id = MessageId { from: self.node, to, number, era };
        self.coins -= 1;
        self.clock[usize::from(self.node)] += 1;
        self.history.push(Deed { turn, what: What::Sent(id) });
        Message { id, hops, line, clock: self.clock }
    }

    /// Takes a coin.
    pub fn take(&mut self, message: &Message, turn: u64) {
        self.coins += 1;
        for (mine, theirs) in self.clock.iter_mut().zip(message.clock) {
            *mine = (*mine).max(theirs);
        }
        self.clock[usize::from(self.node)] += 1;
        self.history.push(Deed { turn, what: What::Took(message.id) });
    }

    /// What it sent to a node, in order.
    pub fn sent(&self, to: u8) -> impl Iterator<Item = MessageId> {
        self.history.iter().filter_map(move |deed| match deed.what {
            What::Sent(id) if id.to == to => Some(id),
            _ => None,
        })
    }

    /// What it took from a node, in order.
    pub fn took(&self, from: u8) -> impl Iterator<Item = MessageId> {
        self.history.iter().filter_map(move |deed| match deed.what {
            What::Took(id) if id.from == from => Some(id),
            _ => None,
        })
    }
}
