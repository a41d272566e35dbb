//! The caller's own socket, and the sizes that all ways share.

use tokio::net::{TcpListener, TcpStream};

use crate::setup::End;
use crate::tally::say;

/// Of what is written at a time, and of what is read at a time.
pub(super) const BUFFER: usize = 256 << 10;
/// Larger messages are not copied into a buffer where there is a choice.
pub(super) const LARGE: usize = 8 << 10;

pub(super) async fn open(end: &End) -> TcpStream {
    let socket = match end {
        End::Send(address) => TcpStream::connect(address).await.expect("they listen"),
        _ => {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            say(&format!("address {}", listener.local_addr().expect("it is bound")));
            listener.accept().await.expect("they dial").0
        }
    };
    socket.set_nodelay(true).expect("a socket");
    socket
}
