//! Values of an enum in place of bytes: three shapes of 16, 64 and 128 bytes, in turn.

use std::hint::black_box;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use snapshot_core::{MessageCodec, Postcard, RawBytes};

use super::codec::{framed, lengths};
use super::connect::pair;
use super::node;
use super::socket::open;
use crate::setup::{End, Setup};
use crate::tally::Tally;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
enum Message {
    /// 16 bytes.
    Tick { instrument: u32, price: f64, quantity: u32 },
    /// 64 bytes.
    Order {
        id: u64,
        account: u64,
        sells: bool,
        price: f64,
        quantity: u64,
        limits: (f64, f64, f64),
        placed: u64,
    },
    /// 128 bytes.
    Note { author: u64, text: String },
}

fn messages() -> [Message; 3] {
    let large = 0x0123_4567_89ab_cdef;
    [
        Message::Tick { instrument: 70_001, price: 101.25, quantity: 3_000_000 },
        Message::Order {
            id: large,
            account: large + 1,
            sells: true,
            price: 101.25,
            quantity: 1 << 20,
            limits: (100.5, 102.0, 103.0),
            placed: large + 2,
        },
        Message::Note { author: large, text: "a remark ".repeat(20)[..117].to_owned() },
    ]
}

/// Through tokio's codec, with the same encoding.
pub(super) async fn codec(setup: Setup, tally: Tally) {
    let mut framed = framed(open(&setup.end).await, lengths());
    match setup.end {
        End::Send(_) => {
            let messages = messages();
            let (mut next, mut buffer) = (messages.iter().cycle(), BytesMut::new());
            loop {
                let message = black_box(next.next().expect("there are three").clone());
                Postcard.encode(&message, &mut (&mut buffer).writer()).expect("plain data");
                framed.feed(buffer.split().freeze()).await.expect("they read");
            }
        }
        _ => loop {
            let bytes = framed.next().await.expect("they send").expect("good");
            let message: Message = Postcard.decode(bytes.freeze()).expect("good");
            black_box(message);
            tally.one();
        },
    }
}

pub(super) async fn node(setup: Setup, tally: Tally) {
    let mut node = node::start(pair::<Message>(&setup.end, Postcard).await).await;
    match setup.end {
        End::Send(_) => {
            let messages = messages();
            let mut next = messages.iter().cycle();
            node::send(&mut node, || next.next().expect("there are three").clone()).await;
        }
        _ => node::receive(&mut node, &tally).await,
    }
}

pub(super) async fn bytes(setup: Setup, tally: Tally) {
    let mut node = node::start(pair(&setup.end, RawBytes).await).await;
    match setup.end {
        End::Send(_) => {
            let messages = messages().map(|message| encoded(&message));
            let mut next = messages.iter().cycle();
            node::send(&mut node, || next.next().expect("there are three").clone()).await;
        }
        _ => node::receive(&mut node, &tally).await,
    }
}

fn encoded(message: &Message) -> Bytes {
    let mut buffer = Vec::new();
    Postcard.encode(message, &mut buffer).expect("plain data");
    buffer.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_are_of_the_sizes_that_are_told() {
        let sizes = messages().map(|message| encoded(&message).len());
        assert_eq!(sizes, [16, 64, 128]);
    }
}
