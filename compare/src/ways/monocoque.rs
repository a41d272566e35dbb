//! ZeroMQ's protocol in Rust: PUSH and PULL, with small messages coalesced.

use std::hint::black_box;

use bytes::Bytes;
use monocoque::SocketOptions;
use monocoque::rt::TcpListener;
use monocoque::zmq::{PullSocket, PushSocket};

use super::socket::BUFFER;
use crate::setup::{End, Setup};
use crate::tally::{Tally, say};

pub(super) async fn run(setup: Setup, tally: Tally) {
    let mut options = SocketOptions::new().with_write_coalescing(true);
    options.read_buffer_size = BUFFER;
    options.write_buffer_size = BUFFER;
    options.write_coalesce_threshold = BUFFER;
    match setup.end {
        End::Send(address) => {
            let mut socket = PushSocket::connect_with_options(address, options).await.expect("they listen");
            let message = Bytes::from(vec![7; setup.size]);
            loop {
                socket.send_one(black_box(message.clone())).await.expect("they read");
            }
        }
        _ => {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            say(&format!("address {}", listener.local_addr().expect("it is bound")));
            let (stream, _) = listener.accept().await.expect("they dial");
            let mut socket = PullSocket::from_tcp_with_options(stream, options).await.expect("they greet");
            let mut message = Vec::new();
            while socket.recv_into(&mut message).await.expect("they send") {
                tally.one();
                while socket.try_recv_into(&mut message).expect("they send") {
                    black_box(&message);
                    tally.one();
                }
            }
        }
    }
}
