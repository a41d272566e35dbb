//! A transport over Unix-domain sockets, for processes of one machine. It is here to be read: this is what it takes to
//! carry snapshots over a network of your own.
//!
//! What is hard about a transport is not its bytes but what must hold when connections break: which frames come, in which
//! order, what the receiver is told and when, who waits for whom. The clauses of [`Transport`] say it, and [`LinkTransport`]
//! keeps them. What is left to write is what only your network knows:
//!
//! 1. who connects to whom, again and again: `keep_connected`, `take_connections`;
//! 2. how each end learns who is at the other one: `greet`;
//! 3. what a packet looks like on the wire, and how large it may be: `encode`, `decode`.
//!
//! The rest, down to the goodbye, is [`Links::carry`].

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt, future};
use serde::{Serialize, de::DeserializeOwned};
use snapshot_core::{
    Frames, Inbox, LinkTransport, Links, MessageCodec, NodeId, Packet, Peer, Postcard, Topology, Transport,
    TransportError, async_trait,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// The largest packet, in bytes. Without a limit, four bytes from a stranger could ask for 4 GiB of memory.
const LARGEST: usize = 16 << 20;
const GREETING: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

type Connection = Framed<UnixStream, LengthDelimitedCodec>;

/// The transport of one node. Its tasks end when it is closed or dropped.
pub(crate) struct UnixTransport<M>(LinkTransport<M>);

impl<M: Serialize + DeserializeOwned + Send + 'static> UnixTransport<M> {
    /// Listens in `folder`, where each node of the group has a socket. To be called within a Tokio runtime.
    pub(crate) fn bind(folder: impl Into<PathBuf>, topology: Topology) -> io::Result<Self> {
        let (transport, links) = LinkTransport::new(topology);
        let me = transport.topology().me();
        let station = Arc::new(Station { folder: folder.into(), links });
        let _ = std::fs::remove_file(station.socket(me)); // of a process that was killed
        let listener = UnixListener::bind(station.socket(me))?;
        // Of two neighbours one alone calls. If both did, each could take another connection for the newest.
        for peer in transport.topology().peers().map(NodeId::from).filter(|peer| *peer < me) {
            tokio::spawn(Arc::clone(&station).keep_connected(peer));
        }
        tokio::spawn(station.take_connections(listener));
        Ok(Self(transport))
    }
}

#[async_trait]
impl<M: Serialize + DeserializeOwned + Send + 'static> Transport for UnixTransport<M> {
    type Message = M;
    fn topology(&self) -> &Topology {
        self.0.topology()
    }
    async fn send(&self, to: Peer, frames: &mut Frames<M>) -> Result<(), TransportError> {
        self.0.send(to, frames).await
    }
    async fn recv(&self, into: &mut Inbox<M>) -> Result<(), TransportError> {
        self.0.recv(into).await
    }
    async fn close(&self) -> Result<(), TransportError> {
        self.0.close().await
    }
}

/// What the tasks of one node share.
struct Station<M> {
    folder: PathBuf,
    links: Links<M>,
}

impl<M: Serialize + DeserializeOwned + Send + 'static> Station<M> {
    async fn keep_connected(self: Arc<Self>, peer: NodeId) {
        while timeout(RETRY, self.links.ended()).await.is_err() {
            if let Ok(stream) = UnixStream::connect(self.socket(peer)).await {
                self.serve(stream, Some(peer)).await;
            }
        }
    }

    async fn take_connections(self: Arc<Self>, listener: UnixListener) {
        loop {
            let new = tokio::select! { new = listener.accept() => new, () = self.links.ended() => return };
            let station = Arc::clone(&self);
            match new {
                Ok((stream, _)) => drop(tokio::spawn(async move { station.serve(stream, None).await })),
                Err(_) => sleep(RETRY).await, // too many files are open
            }
        }
    }

    async fn serve(&self, stream: UnixStream, called: Option<NodeId>) {
        let Ok(Ok((peer, connection))) = timeout(GREETING, self.greet(stream, called)).await else { return };
        let (outgoing, incoming) = connection.split();
        let outgoing = outgoing.with(|packet: Packet<M>| {
            future::ready(encode(&packet).inspect_err(|error| {
                // No new connection would help: the node ends with this error.
                self.links.fail(TransportError::frame_too_large(error.to_string()).with_peer(peer));
            }))
        });
        // A stranger is refused, and the connection closed.
        let _ = self.links.carry(peer, incoming.map(|packet| decode(packet?)), outgoing).await;
    }

    /// Whoever calls gives its name first, so that the other one knows the connection before frames are sent on it.
    async fn greet(&self, stream: UnixStream, called: Option<NodeId>) -> io::Result<(NodeId, Connection)> {
        let topology = self.links.topology();
        let mut connection = LengthDelimitedCodec::builder().max_frame_length(LARGEST).new_framed(stream);
        let name = encode(&(topology.group().to_owned(), topology.me()))?;
        if called.is_some() {
            connection.send(name.clone()).await?;
        }
        let packet = connection.next().await.ok_or(ErrorKind::UnexpectedEof)??;
        let (group, peer): (String, NodeId) = decode(packet)?;
        if group != topology.group() || called.is_some_and(|id| id != peer) {
            return Err(io::Error::other("it is somebody else"));
        }
        if called.is_none() {
            connection.send(name).await?;
        }
        Ok((peer, connection))
    }

    fn socket(&self, node: NodeId) -> PathBuf {
        self.folder.join(format!("{node}.sock"))
    }
}

fn encode<T: Serialize + DeserializeOwned>(value: &T) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    Postcard.encode(value, &mut bytes)?;
    match bytes.len() {
        0..=LARGEST => Ok(bytes.into()),
        size => Err(io::Error::other(format!("a packet of {size} bytes is over the limit of {LARGEST}"))),
    }
}

fn decode<T: Serialize + DeserializeOwned>(bytes: BytesMut) -> io::Result<T> {
    Postcard.decode(bytes.freeze())
}
