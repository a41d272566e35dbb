//! How long a neighbour may be silent before the system gives a connection up.
//!
//! Two things have to be asked for. Where nothing is under way, the system asks from time to time whether the other machine is still
//! there (keep-alive). Where data is under way, it does not ask, but sends again and again, for a quarter of an hour by default: there
//! it has to be told when to give up (`TCP_USER_TIMEOUT`, where there is such a thing).

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// How often the system asks within the limit, beside the first time.
const PROBES: u32 = 3;
/// The keep-alive counts in whole seconds, and takes no 0.
const LEAST: Duration = Duration::from_secs(1);

/// What every connection gets, on both sides.
pub(crate) fn prepare(socket: &TcpStream, limit: Duration) {
    // None of it is needed for a connection to work, so a system that refuses it is no reason to give it up.
    let _ = socket.set_nodelay(true);
    let socket = SockRef::from(socket);
    // Half of the time in silence, and the other half for the answers.
    let every = (limit / 2 / PROBES).max(LEAST);
    let keepalive = TcpKeepalive::new().with_time((limit / 2).max(LEAST)).with_interval(every);
    let _ = socket.set_tcp_keepalive(&keepalive);
    give_up_after(&socket, limit);
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn give_up_after(socket: &SockRef<'_>, limit: Duration) {
    // With it the number of probes does not count any more. 0 would mean the system's default.
    let _ = socket.set_tcp_user_timeout(Some(limit.max(Duration::from_millis(1))));
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn give_up_after(_socket: &SockRef<'_>, _limit: Duration) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_is_told_when_to_give_up_and_when_to_ask() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        for (limit, time, interval) in [(30_000, 15, 5), (12_000, 6, 2), (500, 1, 1)] {
            prepare(&socket, Duration::from_millis(limit));
            let set = SockRef::from(&socket);
            assert_eq!(set.tcp_user_timeout().unwrap(), Some(Duration::from_millis(limit)));
            assert_eq!(set.tcp_keepalive_time().unwrap(), Duration::from_secs(time));
            assert_eq!(set.tcp_keepalive_interval().unwrap(), Duration::from_secs(interval));
            assert!(set.keepalive().unwrap() && socket.nodelay().unwrap());
        }
    }
}
