//! The background task that keeps one neighbour connected from the side that dials.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::error::LastSeen;
use crate::greeting::greet;
use crate::link::Link;
use crate::shared::{Shared, prepare};

/// Dials whenever no connection stands, for as long as the transport lives. `address` is resolved each time.
///
/// # Cancel safety
///
/// Ends by being dropped: an attempt under way goes with it, a connection that stands does not.
pub(crate) async fn keep_connected(shared: Arc<Shared>, index: usize, address: String) {
    let Some(link) = shared.links.get(index) else { return };
    let timing = shared.timing;
    let mut delay = timing.first_redial;
    loop {
        let begun = Instant::now();
        if dial(&shared, link, &address).await {
            link.wait_until_down().await;
            // A connection that breaks as soon as it stands is redialed as slowly as one that does not come about.
            if begun.elapsed() >= timing.slowest_redial {
                delay = timing.first_redial;
            }
        }
        sleep(delay).await;
        delay = delay.saturating_mul(2).min(timing.slowest_redial);
    }
}

async fn dial(shared: &Shared, link: &Link, address: &str) -> bool {
    let number = shared.next_connection();
    let mut socket = match timeout(shared.timing.handshake, TcpStream::connect(address)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return out_of_reach(link, address, error.to_string()),
        Err(_) => return out_of_reach(link, address, "no answer to the connection request".to_owned()),
    };
    prepare(&socket);
    match greet(&mut socket, &shared.identity, link.peer.id(), shared.timing.handshake).await {
        Ok(agreed) => {
            shared.install(socket, number, &agreed);
            true
        }
        Err(failed) => {
            shared.note_failure(Some(link.peer.id()), address, &failed);
            failed.tell(socket).await;
            false
        }
    }
}

fn out_of_reach(link: &Link, address: &str, why: String) -> bool {
    tracing::debug!(peer = %link.peer, address, why, "a neighbour is out of reach");
    link.note(LastSeen::Unreachable { why });
    false
}
