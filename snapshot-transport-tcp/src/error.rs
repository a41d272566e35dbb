//! What can go wrong before there is a transport, and what is known of a neighbour that is not connected.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use snapshot_core::NodeId;
use thiserror::Error;

/// Why there is no transport. Each says what to do.
///
/// ```
/// use snapshot_core::{Graph, NodeId, RawBytes};
/// use snapshot_transport_tcp::{BindError, TcpTransport};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(2))?;
/// let error = TcpTransport::builder(topology, RawBytes).bind().await.unwrap_err();
/// assert!(matches!(error, BindError::NoAddress { peer: NodeId(1), .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// A neighbour that this node must dial has no address.
    #[error(
        "{me} has no address for {peer}, which it must dial (the node with the larger id dials): \
         give it with `.peer({peer:?}, \"host:port\")`"
    )]
    NoAddress {
        /// This node.
        me: NodeId,
        /// The neighbour.
        peer: NodeId,
    },
    /// A neighbour dials this node, which listens nowhere.
    #[error(
        "{me} must listen, for {peer} dials it (the node with the larger id dials): \
         give an address with `.listen(..)`, or a listener with `.bind_on(..)`"
    )]
    NoListener {
        /// This node.
        me: NodeId,
        /// A neighbour that dials it.
        peer: NodeId,
    },
    /// An address for a node outside the group.
    #[error(
        "there is an address for {node}, which is no member of the group: correct the id, or add it to the `Graph`"
    )]
    NotAMember {
        /// The stranger.
        node: NodeId,
    },
    /// A limit that cannot be.
    #[error("a frame limit of {given} bytes is outside {least} to {most}: correct `.max_frame(..)`")]
    MaxFrame {
        /// What was asked for, in bytes.
        given: usize,
        /// The least, in bytes.
        least: usize,
        /// The most, in bytes.
        most: usize,
    },
    /// The group's name is too long for a handshake.
    #[error("the group's name is {len} bytes long and may have {most}: shorten it in `Graph::named`")]
    GroupName {
        /// Its length in bytes.
        len: usize,
        /// The most, in bytes.
        most: usize,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: choose another address, or end what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The listener that was handed in cannot be used.
    #[error("cannot use the given listener: hand in one that is bound and listens")]
    Listener {
        /// What the system says.
        source: io::Error,
    },
    /// Connections outside this machine's loopback would not be encrypted, and nobody has said that they may.
    #[error(
        "{me} would use {address} in plain text, which is not this machine's loopback: whoever is on that network could read \
         and forge everything. Give certificates with `.tls(..)` (feature `tls`), or, where nobody but the group can reach the network, \
         call `.allow_plain_text_outside_loopback()`"
    )]
    PlainText {
        /// This node.
        me: NodeId,
        /// Where it would listen or dial.
        address: String,
    },
    /// The certificates that were given with `.tls(..)` would not be taken by the others.
    #[cfg(feature = "tls")]
    #[error("{me} cannot use its certificates: {source}")]
    Certificates {
        /// This node.
        me: NodeId,
        /// What is wrong with them.
        source: crate::CertificateError,
    },
    /// There is no tokio runtime here.
    #[error("there is no tokio runtime here: call `bind` inside one that has I/O and time enabled")]
    NoRuntime,
}

/// Not all neighbours were connected in time: who is missing, and what was last seen of each.
///
/// ```
/// use snapshot_core::{Graph, NodeId, RawBytes};
/// use snapshot_transport_tcp::{LastSeen, TcpTransport};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
/// let transport = TcpTransport::builder(topology, RawBytes).listen("127.0.0.1:0".parse()?).bind().await?;
///
/// let error = transport.connected(Duration::from_millis(1)).await.unwrap_err();
/// assert_eq!((error.missing()[0].peer, &error.missing()[0].last), (NodeId(2), &LastSeen::Nothing));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotConnected {
    pub(crate) within: Duration,
    pub(crate) closed: bool,
    pub(crate) listens: Option<SocketAddr>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) stranger: Option<String>,
}

/// A neighbour that is not connected. See [`NotConnected`] for an example.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Missing {
    /// The neighbour.
    pub peer: NodeId,
    /// Where this node dials it; `None` where that node dials this one.
    pub address: Option<String>,
    /// What was last seen of it.
    pub last: LastSeen,
}

/// What was last seen of a neighbour. See [`NotConnected`] for an example.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum LastSeen {
    /// Nothing at all.
    #[default]
    Nothing,
    /// It could not be reached, or the connection broke before the handshake was done.
    Unreachable {
        /// What the system says.
        why: String,
    },
    /// One side refused the other: version, group, id or topology differ.
    Refused {
        /// The reason, the same on both sides.
        why: String,
    },
    /// It was connected, and the connection was lost.
    Lost {
        /// How.
        why: String,
    },
    /// It was connected, and said goodbye.
    Left,
    /// It is connected.
    Connected,
}

impl NotConnected {
    /// Who is missing, ascending by id.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Whether the transport was closed on this side.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.closed {
            return f.write_str("the transport was closed on this side");
        }
        write!(f, "not connected after {:?}", self.within)?;
        for (n, missing) in self.missing.iter().enumerate() {
            f.write_str(if n == 0 { ": " } else { "; " })?;
            missing.describe(f, self.listens)?;
        }
        match &self.stranger {
            Some(stranger) => write!(f, "; also, {stranger}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NotConnected {}

impl Missing {
    fn describe(&self, f: &mut fmt::Formatter<'_>, listens: Option<SocketAddr>) -> fmt::Result {
        let Self { peer, address, last } = self;
        let at = address.as_deref().map(|address| format!(" at {address}")).unwrap_or_default();
        match (last, listens) {
            (LastSeen::Nothing, Some(here)) if address.is_none() => {
                write!(f, "{peer} has never dialed this node: is it running, and does it dial {here}?")
            }
            (LastSeen::Nothing, _) => write!(f, "{peer}{at} has not answered yet: is it running?"),
            (LastSeen::Unreachable { why }, _) => write!(f, "{peer}{at} is out of reach: {why}"),
            (LastSeen::Refused { why }, _) => write!(f, "{peer}{at} was refused: {why}"),
            (LastSeen::Lost { why }, _) => write!(f, "{peer}{at} was lost: {why}"),
            (LastSeen::Left, _) => write!(f, "{peer}{at} has said goodbye"),
            (LastSeen::Connected, _) => write!(f, "{peer}{at} is connected"),
        }
    }
}
