//! What a transport is told before it starts, with its limits, and the checks.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use snapshot_core::{MessageCodec, NodeId, Topology};
use tokio::runtime::Handle;

use crate::TcpTransport;
use crate::error::BindError;
use crate::handshake::{Identity, MAX_GROUP, OwnLife};
use crate::plain_text::{says_inside, stays_inside};
use crate::shared::{Shared, Timing};

/// Enough for control frames, whose size the application does not choose.
const LEAST_MAX_FRAME: usize = 1024;
/// So that a length fits its field and the sums with it fit in memory's arithmetic everywhere.
const MOST_MAX_FRAME: usize = 1024 * 1024 * 1024;

/// Builds a [`TcpTransport`]: addresses, limits, times.
///
/// All nodes may be given one and the same table of addresses: those that are not needed here are left aside.
///
/// ```
/// use snapshot_core::{Graph, NodeId, RawBytes};
/// use snapshot_transport_tcp::TcpTransport;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let topology = Graph::mesh([NodeId(1), NodeId(2), NodeId(3)]).at(NodeId(2))?;
/// let transport = TcpTransport::builder(topology, RawBytes)
///     .listen("127.0.0.1:0".parse()?)
///     .peer(NodeId(1), "localhost:7001") // dialed by this node
///     .peer(NodeId(3), "localhost:7003") // dials this node
///     .max_frame(1024 * 1024)
///     .bind()
///     .await?;
/// assert!(transport.local_addr().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TcpBuilder<M> {
    pub(crate) topology: Topology,
    pub(crate) codec: Arc<dyn MessageCodec<M>>,
    pub(crate) addresses: BTreeMap<NodeId, String>,
    listen: Option<SocketAddr>,
    max_frame: usize,
    timing: Timing,
    plain_text_anywhere: bool,
    half_open: Option<(usize, usize)>,
    #[cfg(feature = "tls")]
    certificates: Option<crate::Certificates>,
}

/// A bound listener, of tokio or of the standard library, for [`TcpBuilder::bind_on`].
///
/// ```
/// use snapshot_transport_tcp::Listener;
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let listener = Listener::from(listener);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener(Inner);

#[derive(Debug)]
enum Inner {
    Std(std::net::TcpListener),
    Tokio(tokio::net::TcpListener),
}

impl<M: 'static> TcpBuilder<M> {
    pub(crate) fn new(topology: Topology, codec: impl MessageCodec<M>) -> Self {
        let timing = Timing {
            handshake: Duration::from_secs(5),
            first_redial: Duration::from_millis(10),
            slowest_redial: Duration::from_secs(1),
            close: Duration::from_secs(1),
            silence: Duration::from_secs(30),
            resume: Duration::from_secs(10),
        };
        Self {
            topology,
            codec: Arc::new(codec),
            addresses: BTreeMap::new(),
            listen: None,
            max_frame: 16 * 1024 * 1024,
            timing,
            plain_text_anywhere: false,
            half_open: None,
            #[cfg(feature = "tls")]
            certificates: None,
        }
    }

    /// Where neighbours with larger ids reach this node. Port 0 lets the system choose.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Where to dial `node`, as `"host:port"`. Needed for neighbours with smaller ids, and left aside for others.
    ///
    /// A name is resolved each time, and all its addresses are tried in turn, beginning with another one each time.
    ///
    /// What is wrong here shows in the log, at `warn`: the peer, what was given here (`at`), the address that was tried, and why
    /// nothing came of it. Each reason is told once for each address, again when it is another one than before, and again after a
    /// connection; repeats are at `debug`. A connection after failures is told at `info`.
    #[must_use]
    pub fn peer(mut self, node: NodeId, address: impl Into<String>) -> Self {
        self.addresses.insert(node, address.into());
        self
    }

    /// The same for many.
    #[must_use]
    pub fn peers<A: Into<String>>(mut self, addresses: impl IntoIterator<Item = (NodeId, A)>) -> Self {
        self.addresses.extend(addresses.into_iter().map(|(node, address)| (node, address.into())));
        self
    }

    /// The longest frame in bytes, stamp included: what this node takes, and with the other side's limit what may be sent.
    /// 16 MiB unless told; 1 KiB to 1 GiB.
    ///
    /// Per neighbour, up to one such frame is held beside the read buffer, and one beside the write buffer, of 256 KiB each.
    #[must_use]
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// How long to wait before a redial, at least and at most; in between it is an eighth of the time that the neighbour has been
    /// away. 10 ms and 1 s unless told.
    #[must_use]
    pub fn redial(mut self, first: Duration, slowest: Duration) -> Self {
        self.timing.first_redial = first;
        self.timing.slowest_redial = slowest.max(first);
        self
    }

    /// How long a handshake may take, and before it the connection request, for each address; and how long a name may take to
    /// resolve. 5 s unless told.
    #[must_use]
    pub fn handshake_within(mut self, limit: Duration) -> Self {
        self.timing.handshake = limit;
        self
    }

    /// How many connections of others may be between their beginning and the end of their handshake: in all, and from one address (of
    /// IPv6: from one network of 2^64). 256 and 128 unless told; at least 1.
    ///
    /// One that comes when there are as many is let in all the same, and the oldest of its own address gives way, or of the one that
    /// has most: strangers who say nothing keep no neighbour out, and cost no more than this. Without certificates each costs
    /// a few KiB at most; with them, up to some 100 KiB while it keeps to the rules.
    #[must_use]
    pub fn half_open(mut self, most: usize, most_from_one_address: usize) -> Self {
        self.half_open = Some((most.max(1), most_from_one_address.max(1)));
        self
    }

    /// How long [`close`](snapshot_core::Transport::close) may wait for slow neighbours to take what is on its way to them,
    /// the goodbye included. 1 s unless told.
    #[must_use]
    pub fn close_within(mut self, limit: Duration) -> Self {
        self.timing.close = limit;
        self
    }

    /// Encrypts all connections, by TLS 1.3, and takes only those of nodes that prove who they are: each side shows a certificate, which
    /// an authority of the group has signed, and which holds the [`uri`](crate::Certificates::uri) of the node that it says it is. All
    /// nodes of a group have certificates, or none has.
    ///
    /// See [`Certificates`](crate::Certificates) for an example. [`TcpTransport::certificates`] exchanges them later.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, certificates: crate::Certificates) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// Lets this node listen and dial outside the machine's own loopback without encryption.
    ///
    /// Everybody who can see that network then reads every message and every state that crosses it, and whoever can reach the port
    /// can say that it is a node of the group, change its history and make it roll back. Only for a network that nobody but
    /// the group can reach. Everywhere else give certificates with `.tls(..)` (feature `tls`).
    ///
    /// ```
    /// use snapshot_core::{Graph, NodeId, RawBytes};
    /// use snapshot_transport_tcp::{BindError, TcpTransport};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let topology = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1))?;
    /// let builder = || TcpTransport::builder(topology.clone(), RawBytes).listen("0.0.0.0:0".parse().unwrap());
    /// let error = builder().bind().await.unwrap_err();
    /// assert!(matches!(error, BindError::PlainText { .. }));
    /// # if false {
    /// let transport = builder().allow_plain_text_outside_loopback().bind().await?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn allow_plain_text_outside_loopback(mut self) -> Self {
        self.plain_text_anywhere = true;
        self
    }

    /// How long a neighbour may leave unanswered what it was sent before its connection counts as lost, and is made anew: its machine is
    /// gone, or it is at another address now. Where nothing is sent, the system asks it, beginning in half of this time. 30 s unless
    /// told, and 1 s at least where nothing is sent; while data is under way it counts on Linux and Android, and elsewhere the system's
    /// own limit does, which is long.
    ///
    /// A neighbour whose program stands still answers by its system, and is not lost by that, until so much is under way to it that its
    /// system takes no more: then it has this long. So more than the longest time for which it may be stopped, by a debugger or a
    /// machine that is moved.
    #[must_use]
    pub fn lost_after(mut self, limit: Duration) -> Self {
        self.timing.silence = limit;
        self
    }

    /// How long a connection that breaks may be resumed while both processes live. Until then nothing is told of it: the nodes connect
    /// anew, what has not arrived is sent again, and nothing is lost or repeated. After this time, and at once where another process has
    /// come in the place of the neighbour's, it is [lost](snapshot_core::Inbox::lost). The side with the shorter time decides. 10 s
    /// unless told; with 0 every end of a connection is a loss.
    ///
    /// For that, up to 4 MiB and one frame are kept for each neighbour until it has told that they have arrived; `send` waits for that
    /// when there are so many. Payloads over 8 KiB are kept where they are.
    ///
    /// A neighbour that dies and does not come back is told as lost only after this time.
    #[must_use]
    pub fn resume_within(mut self, limit: Duration) -> Self {
        self.timing.resume = limit;
        self
    }

    /// Listens, and begins to dial in the background. Does not wait for any neighbour: nodes may start in any order.
    ///
    /// # Errors
    ///
    /// See [`BindError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn bind(self) -> Result<TcpTransport<M>, BindError> {
        let shared = self.check(self.listen.is_some())?;
        if let Some(address) = self.listen {
            self.check_listen(address)?;
        }
        let listener = match self.listen {
            Some(address) => match tokio::net::TcpListener::bind(address).await {
                Ok(listener) => Some(listener),
                Err(source) => return Err(BindError::Listen { address, source }),
            },
            None => None,
        };
        TcpTransport::start(self, shared, listener)
    }

    /// As [`bind`](Self::bind), on a listener that is bound already; an address given with [`listen`](Self::listen) is left
    /// aside.
    ///
    /// # Errors
    ///
    /// See [`BindError`].
    pub fn bind_on(self, listener: impl Into<Listener>) -> Result<TcpTransport<M>, BindError> {
        let shared = self.check(true)?;
        let listener = match listener.into().0 {
            Inner::Tokio(listener) => Ok(listener),
            Inner::Std(listener) => {
                listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener))
            }
        };
        let listener = listener.map_err(|source| BindError::Listener { source })?;
        self.check_listen(listener.local_addr().map_err(|source| BindError::Listener { source })?)?;
        TcpTransport::start(self, shared, Some(listener))
    }

    fn check(&self, listens: bool) -> Result<Shared, BindError> {
        Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let me = self.topology.me();
        if let Some(node) =
            self.addresses.keys().find(|id| self.topology.members().binary_search(id).is_err())
        {
            return Err(BindError::NotAMember { node: *node });
        }
        for peer in self.topology.peers().map(NodeId::from) {
            if peer < me && !self.addresses.contains_key(&peer) {
                return Err(BindError::NoAddress { me, peer });
            }
            if peer > me && !listens {
                return Err(BindError::NoListener { me, peer });
            }
            if peer < me
                && let Some(address) = self.addresses.get(&peer)
                && !self.may_be_plain(says_inside(address))
            {
                return Err(BindError::PlainText { me, address: address.clone() });
            }
        }
        let len = self.topology.group().len();
        if len > MAX_GROUP {
            return Err(BindError::GroupName { len, most: MAX_GROUP });
        }
        let (given, least, most) = (self.max_frame, LEAST_MAX_FRAME, MOST_MAX_FRAME);
        let max_frame = u32::try_from(given).ok().filter(|_| (least..=most).contains(&given));
        let max_frame = max_frame.ok_or(BindError::MaxFrame { given, least, most })?;
        // Another one in each process: the standard library seeds its hash maps from the operating system's random numbers.
        let own = OwnLife::new(RandomState::new().hash_one(std::process::id()));
        let identity = Identity { topology: self.topology.clone(), max_frame, own };
        let mut shared = Shared::new(identity, self.timing, self.plain_text_anywhere);
        if let Some(half_open) = self.half_open {
            shared.half_open = half_open;
        }
        #[cfg(feature = "tls")]
        if let Some(certificates) = &self.certificates {
            let time = Arc::new(tokio_rustls::rustls::time_provider::DefaultTimeProvider);
            let tls = crate::tls::Tls::new(&self.topology, certificates.clone(), time);
            shared.tls = Some(Arc::new(tls.map_err(|source| BindError::Certificates { me, source })?));
        }
        Ok(shared)
    }

    fn check_listen(&self, address: SocketAddr) -> Result<(), BindError> {
        if self.may_be_plain(stays_inside(address)) {
            return Ok(());
        }
        Err(BindError::PlainText { me: self.topology.me(), address: address.to_string() })
    }

    fn may_be_plain(&self, inside: bool) -> bool {
        #[cfg(feature = "tls")]
        if self.certificates.is_some() {
            return true;
        }
        inside || self.plain_text_anywhere
    }
}

impl<M> fmt::Debug for TcpBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpBuilder")
            .field("topology", &self.topology)
            .field("listen", &self.listen)
            .field("addresses", &self.addresses)
            .field("max_frame", &self.max_frame)
            .finish_non_exhaustive()
    }
}

impl From<std::net::TcpListener> for Listener {
    fn from(listener: std::net::TcpListener) -> Self {
        Self(Inner::Std(listener))
    }
}

impl From<tokio::net::TcpListener> for Listener {
    fn from(listener: tokio::net::TcpListener) -> Self {
        Self(Inner::Tokio(listener))
    }
}
