//! The reference: the usual codec of tokio's users, with a boundary so high that it writes in large pieces.

use std::hint::black_box;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::socket::{BUFFER, open};
use crate::setup::{End, Setup};
use crate::tally::Tally;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let mut framed = framed(open(&setup.end).await);
    match setup.end {
        End::Receive => loop {
            black_box(framed.next().await.expect("they send").expect("good").freeze());
            tally.one();
        },
        End::Send(_) => {
            let message = Bytes::from(vec![7; setup.size]);
            loop {
                framed.feed(black_box(message.clone())).await.expect("they read");
            }
        }
    }
}

pub(super) fn framed(socket: TcpStream) -> Framed<TcpStream, LengthDelimitedCodec> {
    let codec = LengthDelimitedCodec::builder().max_frame_length(64 << 20).new_codec();
    let mut framed = Framed::with_capacity(socket, codec, BUFFER);
    framed.set_backpressure_boundary(BUFFER);
    framed
}
