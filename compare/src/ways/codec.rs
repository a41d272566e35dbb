//! The reference: the usual codec of tokio's users, with a boundary so high that it writes in large pieces.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::socket::{BUFFER, open};
use crate::setup::{End, Job, Setup};
use crate::tally::Tally;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let mut framed = framed(open(&setup.end).await, lengths());
    let message = Bytes::from(vec![7; setup.size]);
    match (setup.end, setup.job) {
        (End::Send(_), Job::OneWay) => loop {
            framed.feed(black_box(message.clone())).await.expect("they read");
        },
        (_, Job::OneWay) => loop {
            black_box(framed.next().await.expect("they send").expect("good").freeze());
            tally.one();
        },
        (End::Send(_), Job::RoundTrip) => loop {
            let begun = Instant::now();
            framed.send(message.clone()).await.expect("they read");
            black_box(framed.next().await.expect("they answer").expect("good").freeze());
            tally.took(begun.elapsed());
            tally.one();
        },
        (_, Job::RoundTrip) => loop {
            let message = framed.next().await.expect("they ask").expect("good").freeze();
            framed.send(message).await.expect("they read");
        },
    }
}

pub(super) fn lengths() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(64 << 20).new_codec()
}

pub(super) fn framed<C>(socket: TcpStream, codec: C) -> Framed<TcpStream, C> {
    let mut framed = Framed::with_capacity(socket, codec, BUFFER);
    framed.set_backpressure_boundary(BUFFER);
    framed
}
