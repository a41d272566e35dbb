//! The application's own network: TCP, one connection for each pair of nodes, on which orders go both ways.
//!
//! It dials, greets and accepts as it always has. To carry snapshots it gives each connection that stands to
//! [`Links::carry`], and the node a [`LinkTransport`]. That is the transport.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use snapshot_core::{LinkTransport, Links, NodeId, Topology, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::codec::Framed;

use super::wire::{Delimited, Order};

const GREETING: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

/// Where each node listens: in place of the service registry that a real application has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(Arc<Mutex<BTreeMap<NodeId, SocketAddr>>>);

impl Registry {
    fn enter(&self, node: NodeId, address: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, address);
    }

    fn find(&self, node: NodeId) -> Option<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }
}

/// Starts the network of one node. Its tasks end when the transport is closed or dropped.
pub(crate) async fn start(topology: Topology, registry: Registry) -> io::Result<LinkTransport<Order>> {
    let (transport, links) = LinkTransport::new(topology);
    let me = links.topology().me();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    registry.enter(me, listener.local_addr()?);
    for peer in links.topology().peers().map(NodeId::from).filter(|peer| *peer < me) {
        tokio::spawn(keep_connected(me, peer, registry.clone(), links.clone()));
    }
    tokio::spawn(take_connections(me, listener, links));
    Ok(transport)
}

async fn keep_connected(me: NodeId, peer: NodeId, registry: Registry, links: Links<Order>) {
    while timeout(RETRY, links.ended()).await.is_err() {
        let Some(address) = registry.find(peer) else { continue };
        if let Ok(Ok(stream)) = timeout(GREETING, call(me, peer, address)).await {
            carry(peer, stream, &links).await;
        }
    }
}

async fn take_connections(me: NodeId, listener: TcpListener, links: Links<Order>) {
    loop {
        let new = tokio::select! { new = listener.accept() => new, () = links.ended() => return };
        let links = links.clone();
        match new {
            Ok((stream, _)) => drop(tokio::spawn(async move {
                if let Ok(Ok((peer, stream))) = timeout(GREETING, answer(me, stream)).await {
                    carry(peer, stream, &links).await;
                }
            })),
            Err(_) => sleep(RETRY).await, // too many files are open
        }
    }
}

async fn call(me: NodeId, peer: NodeId, address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_u64(me.0).await?;
    if stream.read_u64().await? == peer.0 { Ok(stream) } else { Err(ErrorKind::AddrNotAvailable.into()) }
}

async fn answer(me: NodeId, mut stream: TcpStream) -> io::Result<(NodeId, TcpStream)> {
    let peer = stream.read_u64().await?;
    stream.write_u64(me.0).await?;
    Ok((NodeId(peer), stream))
}

/// A connection stands. What once went into the application goes into `links`, and what it sent comes from there.
async fn carry(peer: NodeId, stream: TcpStream, links: &Links<Order>) {
    let _ = stream.set_nodelay(true); // it only makes things faster
    let (outgoing, incoming) = Framed::new(stream, Delimited).split();
    let outgoing = outgoing.sink_map_err(|error: io::Error| {
        // What is too large now is too large on a new connection. The node ends with this error.
        if error.kind() == ErrorKind::InvalidData {
            links.fail(TransportError::frame_too_large(error.to_string()).with_peer(peer));
        }
        error
    });
    // A stranger is refused, and the connection closed.
    let _ = links.carry(peer, incoming, outgoing).await;
}
