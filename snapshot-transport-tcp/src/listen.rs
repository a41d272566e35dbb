//! The background task that takes the connections of neighbours that dial this node.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::net::{TcpListener, TcpStream};

use crate::entry::taken;
use crate::shared::{Shared, host};
use crate::silence::prepare;

/// How many handshakes run at a time. Whoever comes when there are as many waits until one of them is done or its time is
/// over, so that strangers who say nothing cost no more than this.
const HANDSHAKES: usize = 128;
/// The pause when the system has no more sockets to give.
const SHORT_OF_SOCKETS: Duration = Duration::from_millis(100);

/// Takes connections for as long as the transport lives.
///
/// # Cancel safety
///
/// Ends by being dropped: handshakes under way go with it, connections that stand do not.
pub(crate) async fn take_connections(shared: Arc<Shared>, listener: TcpListener) {
    let mut handshakes = FuturesUnordered::new();
    loop {
        let accepted = std::future::poll_fn(|cx| {
            while let Poll::Ready(Some(())) = handshakes.poll_next_unpin(cx) {}
            poll_accept(cx, &listener, handshakes.len())
        });
        match accepted.await {
            Ok((socket, from)) => {
                // Numbered here, in the order of connecting, whichever handshake is done first.
                let number = shared.next_connection();
                handshakes.push(shake_hands(&shared, socket, from, number));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(SHORT_OF_SOCKETS).await;
            }
        }
    }
}

fn poll_accept(
    cx: &mut Context<'_>,
    listener: &TcpListener,
    running: usize,
) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    // A handshake that ends wakes this task too.
    if running < HANDSHAKES { listener.poll_accept(cx) } else { Poll::Pending }
}

async fn shake_hands(shared: &Shared, socket: TcpStream, from: SocketAddr, number: u64) {
    prepare(&socket, shared.timing.silence);
    match taken(shared, socket).await {
        Ok((stream, agreed)) => {
            tracing::info!(me = %shared.identity.topology.me(), peer = %agreed.peer, "connected");
            shared.install(stream, number, &agreed);
        }
        Err(turned_away) => {
            shared.note_failure(&host(from), &turned_away.failed);
            turned_away.part().await;
        }
    }
}
