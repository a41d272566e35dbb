//! A transport for an application that already has connections, and tasks that read and write them.

mod carry;
mod error;
mod gate;
mod halves;
mod link;
mod shared;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use async_trait::async_trait;

pub use carry::Packet;
pub use error::{ConnectError, Disconnected};
pub use halves::{Arrivals, Departures, Push};
use link::Ending;
use shared::Shared;

use crate::contract::transport::{Transport, TransportError};
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::{NodeId, Peer};
use crate::vocabulary::inbox::Inbox;
use crate::vocabulary::life::Life;
use crate::vocabulary::topology::Topology;

/// A [`Transport`] for an application that already has a connection and tasks per neighbour: it keeps its own sockets,
/// handshake and wire format, and passes frames on.
///
/// The node holds the `LinkTransport`. The application holds the [`Links`] and tells it of each connection that stands:
///
/// * with [`Links::carry`], where a connection is a stream and a sink of frames; or
/// * with [`Links::connect`], which gives two halves: the task that reads pushes into [`Arrivals`], the task that writes
///   takes from [`Departures`].
///
/// All that the clauses T1 to T8 ask for follows from that, as long as
///
/// * each connection keeps order and either loses nothing or ends;
/// * what was pushed is what the neighbour's `Departures` gave, stamp and body;
/// * of two neighbours, one alone makes connections to the other. Where both do, each may take another one for the newest,
///   and both are closed again and again;
/// * each side tells the other in the handshake [which process](Links::life) of its node it is, for [`connect_as`](Links::connect_as)
///   or [`carry_as`](Links::carry_as). Without that, a process that was thought dead and its successor take the connection from each
///   other for as long as both live, and each time the group may go back.
///
/// It needs no runtime: the halves work in any task, and in a thread of their own by way of a `block_on`, such as that of
/// `futures::executor`, where the connection is one that blocks.
///
/// ```
/// use snapshot_core::{Event, Graph, LinkTransport, NodeId, SnapshotNode};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let graph = Graph::mesh([NodeId(1), NodeId(2)]);
/// let (one, links_of_one) = LinkTransport::<String>::new(graph.at(NodeId(1))?);
/// let (two, links_of_two) = LinkTransport::<String>::new(graph.at(NodeId(2))?);
///
/// // A connection stands. In a real application each node has one end of it; here two tasks carry the frames across.
/// let (mut to_one, mut from_one) = links_of_one.connect(NodeId(2))?;
/// let (mut to_two, mut from_two) = links_of_two.connect(NodeId(1))?;
/// tokio::spawn(async move {
///     while let Some(frame) = from_one.next().await {
///         if to_two.push(frame).await.is_err() { break; }
///     }
/// });
/// tokio::spawn(async move {
///     while let Some(frame) = from_two.next().await {
///         if to_one.push(frame).await.is_err() { break; }
///     }
/// });
///
/// let (mut here, mut there) = ((), ());
/// let mut one = SnapshotNode::builder(one).start(&mut here).await?;
/// let mut two = SnapshotNode::builder(two).start(&mut there).await?;
/// one.send(NodeId(2), "hello".to_owned())?;
/// // Each says how much it takes, and sends what it has.
/// tokio::try_join!(two.flush(&mut there), one.flush(&mut here))?;
/// let Event::Message { message, .. } = two.next(&mut there).await? else { panic!() };
/// assert_eq!(message, "hello");
/// # Ok(()) }
/// ```
///
/// # The life of a connection
///
/// | what happens | what this node is told | what the halves see |
/// | --- | --- | --- |
/// | [`Links::connect`] | `up` | frames, from now on |
/// | [`Links::connect_as`] by an older process of the neighbour | nothing | [`ConnectError::OlderLife`]: none |
/// | `connect` again | `lost`, `up` | the older ones: [`Disconnected::Replaced`], `None` |
/// | one half is dropped, or [`Arrivals::lost`] | `lost`, after all that was pushed | the other: [`Disconnected::Lost`], `None` |
/// | [`Arrivals::leave`] | `left`, after all that was pushed | the other: `None` |
/// | [`close`](Transport::close) | `recv` ends | `None` after the last frame, then [`Departures::is_closing`] |
/// | the transport is dropped | | `None` after the last frame |
/// | [`Links::fail`] | `recv` and `send` fail | [`Disconnected::Failed`], `None` |
///
/// A `send` to a neighbour without a connection waits for the next one. Frames that no `Departures` has given yet wait for
/// it too; those that were given by one whose connection is over are gone, and it is the neighbour that notices.
///
/// # Bounds
///
/// In each direction at most [`capacity`](Self::with_capacity) frames wait per neighbour, whatever their size: at the bound
/// `send` and [`Arrivals::push`] wait, for this neighbour only. A connection that comes and goes while the node does not
/// look is forgotten, so that notices have a bound too. An older connection keeps no frames beyond the bound either: what
/// was pushed without waiting for room goes with it.
pub struct LinkTransport<M> {
    shared: Arc<Shared<M>>,
}

impl<M> LinkTransport<M> {
    /// The frames that wait to be received from a neighbour, unless [`with_capacity`](Self::with_capacity) says otherwise. A whole
    /// [`inbox`](crate::NodeBuilder::inbox) of the default size fits in, and control frames beside it.
    pub const CAPACITY: usize = 5120;

    /// Those that wait to be sent: what does not fit in waits in the node just as well.
    const OUTGOING: usize = 1024;

    /// The transport for the node, and what the application tells it of connections with. To be received wait
    /// [`CAPACITY`](Self::CAPACITY) frames of a neighbour at most, and to be sent to one, 1024.
    pub fn new(topology: Topology) -> (Self, Links<M>) {
        Self::bounded(topology, Self::CAPACITY, Self::OUTGOING)
    }

    /// Likewise, with a bound on the frames that wait per neighbour and direction; 0 is taken for 1. Best more than a node's
    /// [`inbox`](crate::NodeBuilder::inbox), since what does not fit in is read at later turns of the application, and so are the
    /// markers behind it. It takes no more memory: no more messages are on their way than that.
    pub fn with_capacity(topology: Topology, capacity: usize) -> (Self, Links<M>) {
        Self::bounded(topology, capacity.max(1), capacity.max(1))
    }

    fn bounded(topology: Topology, incoming: usize, outgoing: usize) -> (Self, Links<M>) {
        let shared = Arc::new(Shared::new(topology, incoming, outgoing));
        let links = Links { owner: Arc::new(Owner { shared: Arc::clone(&shared) }) };
        (Self { shared }, links)
    }
}

#[async_trait]
impl<M: Send + 'static> Transport for LinkTransport<M> {
    type Message = M;

    fn topology(&self) -> &Topology {
        &self.shared.topology
    }

    /// # Cancel safety
    ///
    /// Cancel-safe: what was taken from `frames` will go out, the rest is still there.
    async fn send(&self, to: Peer, frames: &mut Frames<M>) -> Result<(), TransportError> {
        let slot = self.shared.outgoing(to)?;
        poll_fn(|cx| self.shared.poll_send(cx, slot, frames)).await
    }

    /// # Cancel safety
    ///
    /// Cancel-safe.
    async fn recv(&self, into: &mut Inbox<M>) -> Result<(), TransportError> {
        poll_fn(|cx| self.shared.poll_recv(cx, into)).await
    }

    /// Ends `recv`, whose rest is dropped, and waits until both halves of every connection have been dropped by their tasks:
    /// until all frames and the goodbye are written, and the neighbour's end has been read. A neighbour that stands still
    /// is waited for: give it a time limit.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transport closed; the tasks go on with their goodbyes.
    async fn close(&self) -> Result<(), TransportError> {
        self.shared.finish(Ending::Closed);
        self.shared.settled.wait().await;
        Ok(())
    }
}

impl<M> Drop for LinkTransport<M> {
    fn drop(&mut self) {
        self.shared.finish(Ending::Dropped);
    }
}

impl<M> fmt::Debug for LinkTransport<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkTransport").field("topology", &self.shared.topology).finish_non_exhaustive()
    }
}

/// Tells a [`LinkTransport`] of connections. Cheap to clone: one for each task that makes or takes connections.
///
/// When all clones are dropped and the last connection has ended, nothing can arrive any more: the node hands out what has
/// come, and then [`Event::Closed`](crate::Event::Closed). So whoever makes connections anew keeps one. Where all are dropped
/// before there was a connection to anybody, that is a mistake, and `recv` fails and says so.
///
/// ```
/// use snapshot_core::{ConnectError, Graph, LinkTransport, NodeId};
/// let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
/// let (transport, links) = LinkTransport::<u64>::new(topology);
/// assert_eq!(links.topology().me(), NodeId(1));
/// assert!(matches!(links.connect(NodeId(3)), Err(ConnectError::NoNeighbour { .. })));
/// let (arrivals, departures) = links.connect(NodeId(2))?;
///
/// drop(transport);
/// assert_eq!(links.connect(NodeId(2)).unwrap_err(), ConnectError::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Links<M> {
    owner: Arc<Owner<M>>,
}

/// Notices when the last [`Links`] is dropped.
struct Owner<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Links<M> {
    /// The group, and this node's place in it: whom to connect to, and under which name.
    pub fn topology(&self) -> &Topology {
        &self.owner.shared.topology
    }

    /// A new connection to this neighbour stands, whoever made it. It takes the place of an older one, which is thereby
    /// lost.
    ///
    /// Call it when both sides know who is at the other end, and before the first frame is read.
    ///
    /// # Errors
    ///
    /// If this is no neighbour, or if the transport has ended.
    pub fn connect(&self, peer: impl Into<NodeId>) -> Result<(Arrivals<M>, Departures<M>), ConnectError> {
        self.connect_peer(peer.into(), None)
    }

    /// Likewise, with the [`Life`] that the neighbour has told in the handshake: what [`life`](Self::life) said there at that moment. A
    /// process that was thought dead cannot take the connection from its successor then.
    ///
    /// ```
    /// use snapshot_core::{ConnectError, Generation, Graph, Life, LinkTransport, NodeId};
    /// # let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
    /// let (_transport, links) = LinkTransport::<u64>::new(topology);
    /// let (old, successor) = (Life::new(7).speaking(Generation(4)), Life::new(9).speaking(Generation(5)));
    /// let standing = links.connect_as(NodeId(2), successor)?;
    /// assert_eq!(links.connect_as(NodeId(2), old).unwrap_err(), ConnectError::OlderLife { peer: NodeId(2) });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`connect`](Self::connect); also if a connection stands to another process of this neighbour, which has spoken in a newer
    /// generation than this one.
    pub fn connect_as(
        &self,
        peer: impl Into<NodeId>,
        life: Life,
    ) -> Result<(Arrivals<M>, Departures<M>), ConnectError> {
        self.connect_peer(peer.into(), Some(life))
    }

    /// Which process of this node this is: to be told to a neighbour in the handshake of each connection, for its
    /// [`connect_as`](Self::connect_as). It changes as the node goes from generation to generation: ask anew each time.
    pub fn life(&self) -> Life {
        self.owner.shared.life()
    }

    fn connect_peer(
        &self,
        id: NodeId,
        life: Option<Life>,
    ) -> Result<(Arrivals<M>, Departures<M>), ConnectError> {
        let shared = &self.owner.shared;
        let Some(peer) = shared.topology.peer(id) else {
            return Err(ConnectError::NoNeighbour { peer: id, me: shared.topology.me() });
        };
        let connection = shared.connect(peer.index(), life)?;
        Ok(halves::pair(shared, peer.index(), connection))
    }

    /// Ends the transport with an error, which the node then ends with: for what no new connection can cure, such as a
    /// message that is too large to be sent. Only the first such error counts, and none after a close.
    ///
    /// ```
    /// use snapshot_core::{Graph, Inbox, LinkTransport, NodeId, Transport, TransportError};
    /// # futures::executor::block_on(async {
    /// # let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
    /// let (transport, links) = LinkTransport::<String>::new(topology);
    /// links.fail(TransportError::frame_too_large("a frame of 20 MiB is over the limit of 16 MiB"));
    /// let error = transport.recv(&mut Inbox::with_capacity(1)).await.unwrap_err();
    /// assert!(error.is_frame_too_large());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn fail(&self, error: TransportError) {
        self.owner.shared.fail(error);
    }

    /// Waits until the transport has ended: closed, failed or dropped. For tasks that make or take connections.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn ended(&self) {
        self.owner.shared.ended.wait().await;
    }
}

impl<M> Clone for Links<M> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<M> fmt::Debug for Links<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("topology", &self.owner.shared.topology).finish_non_exhaustive()
    }
}

impl<M> Drop for Owner<M> {
    fn drop(&mut self) {
        self.shared.forsake();
    }
}
