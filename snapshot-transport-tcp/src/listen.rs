//! The background task that takes the connections of neighbours that dial this node.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::{AbortHandle, abortable};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::entry::taken;
use crate::half_open::{HalfOpen, Source};
use crate::shared::{Shared, host};
use crate::silence::prepare;

/// The pause when the system has no more sockets to give.
const SHORT_OF_SOCKETS: Duration = Duration::from_millis(100);

/// Takes connections for as long as the transport lives.
///
/// # Cancel safety
///
/// Ends by being dropped: handshakes under way go with it, connections that stand do not.
pub(crate) async fn take_connections(shared: Arc<Shared>, listener: TcpListener) {
    let (most, most_of_one) = shared.half_open;
    let mut half_open = HalfOpen::new(most, most_of_one);
    let mut handles: BTreeMap<u64, AbortHandle> = BTreeMap::new();
    let mut handshakes = FuturesUnordered::new();
    let mut told_short = false;
    let mut pause: Option<std::pin::Pin<Box<tokio::time::Sleep>>> = None;
    loop {
        let accepted = std::future::poll_fn(|cx| {
            while let Poll::Ready(Some((number, source))) = handshakes.poll_next_unpin(cx) {
                half_open.end(number, source);
                handles.remove(&number);
            }
            if let Some(paused) = &mut pause {
                std::task::ready!(paused.as_mut().poll(cx));
                pause = None;
            }
            listener.poll_accept(cx)
        });
        match accepted.await {
            Ok((socket, from)) => {
                told_short = false;
                // Numbered here, in the order of connecting, whichever handshake is done first.
                let number = shared.next_connection();
                let source = Source::from(from.ip());
                if let Some(given_up) = half_open.begin(number, source)
                    && let Some(handle) = handles.remove(&given_up)
                {
                    tracing::debug!(at = host(from), "a handshake gave way to a newer connection");
                    handle.abort();
                }
                let (handshake, handle) = abortable(shake_hands(&shared, socket, from, number));
                handles.insert(number, handle);
                handshakes.push(async move {
                    // One that gave way is dropped here, and its socket closed.
                    let _ = handshake.await;
                    (number, source)
                });
            }
            // Of one connection alone: the next one may be good.
            Err(error) if is_of_one(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut told_short, true) {
                    tracing::warn!(%error, "cannot take a connection");
                }
                pause = Some(Box::pin(sleep(SHORT_OF_SOCKETS)));
            }
        }
    }
}

fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn shake_hands(shared: &Shared, socket: TcpStream, from: SocketAddr, number: u64) {
    prepare(&socket, shared.timing.silence);
    match taken(shared, socket, number).await {
        Ok((stream, agreed)) => {
            tracing::info!(me = %shared.identity.topology.me(), peer = %agreed.peer, "connected");
            shared.install(stream, number, &agreed);
        }
        Err(turned_away) => {
            shared.note_failure(Instant::now(), &host(from), &turned_away.failed);
            turned_away.part().await;
        }
    }
}
