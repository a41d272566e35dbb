//! How a channel stands, for people.

use std::fmt;

use snapshot_core::NodeId;

/// How one channel stands at one moment.
///
/// ```
/// use snapshot_transport_mem::{Connection, MemNetwork};
/// let (network, [a, b]) = MemNetwork::<u64>::mesh::<2>();
/// network.hold(a.id(), b.id());
/// let status = network.channels();
/// assert_eq!((status[0].held, status[0].in_flight, status[0].connection), (true, 0, Connection::Up));
/// assert_eq!(status[0].to_string(), "n1 -> n2: empty, held");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ChannelStatus {
    /// The node that sends.
    pub from: NodeId,
    /// The node that receives.
    pub to: NodeId,
    /// How many frames have been sent and not been taken.
    pub in_flight: usize,
    /// Whether there is no room for another.
    pub full: bool,
    /// Whether it is held.
    pub held: bool,
    /// Whether the two nodes are connected.
    pub connection: Connection,
    /// Whether a `send` has found no room or no connection, and has not been woken since.
    pub sender_waits: bool,
}

impl ChannelStatus {
    /// Whether there is anything to be said of it.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.in_flight == 0 && !self.held && self.connection == Connection::Up && !self.sender_waits
    }
}

/// Whether the two nodes of a channel are connected.
///
/// ```
/// use snapshot_transport_mem::{Connection, MemNetwork};
/// let (network, [a, b]) = MemNetwork::<u64>::mesh::<2>();
/// network.cut(a.id(), b.id());
/// assert_eq!(network.channels()[0].connection, Connection::Cut);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Connection {
    /// They are.
    Up,
    /// They are not: [`MemNetwork::cut`](crate::MemNetwork::cut).
    Cut,
    /// They are not: one of them does not run.
    Down,
}

impl fmt::Display for ChannelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}: ", self.from, self.to)?;
        match self.in_flight {
            0 => write!(f, "empty")?,
            1 => write!(f, "1 frame")?,
            count => write!(f, "{count} frames")?,
        }
        let facts = [
            (self.full, "full"),
            (self.held, "held"),
            (self.connection == Connection::Cut, "cut"),
            (self.connection == Connection::Down, "one of the two does not run"),
            (self.sender_waits, "a send waits"),
        ];
        facts.iter().filter(|fact| fact.0).try_for_each(|fact| write!(f, ", {}", fact.1))
    }
}
