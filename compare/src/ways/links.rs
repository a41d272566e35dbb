//! A `SnapshotNode` on the caller's own socket and framing: that of the codec, with the stamp and the kind of a frame in front.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use snapshot_core::{Arrivals, Body, Departures, Frame, LinkTransport, Stamp};
use std::io;
use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

use super::codec::{framed, lengths};
use super::connect::topology;
use super::node;
use super::socket::open;
use crate::setup::{End, Setup};
use crate::tally::Tally;

/// Departures that are taken before what has been written is flushed.
const BATCH: usize = 1024;
const CONTROL: u8 = 1 << 7;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let (transport, links) = LinkTransport::new(topology(&setup.end));
    let socket = open(&setup.end).await;
    let peer = links.topology().peers().next().expect("a neighbour");
    let (arrivals, departures) = links.connect(peer).expect("it stands");
    tokio::spawn(carry(socket, arrivals, departures));
    let mut node = node::start(transport).await;
    match setup.end {
        End::Send(_) => {
            let message = Bytes::from(vec![7; setup.size]);
            node::send(&mut node, || message.clone()).await;
        }
        _ => node::receive(&mut node, &tally).await,
    }
}

async fn carry(socket: TcpStream, mut arrivals: Arrivals<Bytes>, departures: Departures<Bytes>) {
    let (mut sink, mut stream) = framed(socket, Packets(lengths())).split();
    let mut departures = departures.ready_chunks(BATCH);
    let writing = async {
        while let Some(frames) = departures.next().await {
            for frame in frames {
                sink.feed(frame).await.expect("they read");
            }
            sink.flush().await.expect("they read");
        }
    };
    let reading = async {
        while let Some(frame) = stream.next().await {
            arrivals.push(frame.expect("good")).await.expect("it stands");
        }
    };
    tokio::join!(writing, reading);
}

/// Frames, as the application's own framing carries them.
struct Packets(LengthDelimitedCodec);

impl Encoder<Frame<Bytes>> for Packets {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame<Bytes>, into: &mut BytesMut) -> io::Result<()> {
        let stamp = frame.stamp.to_bytes();
        let (kind, body) = match frame.body {
            Body::Message(message) => (0, message),
            Body::Control(control) => (CONTROL, control),
        };
        let length = 1 + stamp.len() + body.len();
        into.reserve(4 + length);
        into.put_u32(length as u32);
        into.put_u8(kind | stamp.len() as u8);
        into.put_slice(&stamp);
        into.put_slice(&body);
        Ok(())
    }
}

impl Decoder for Packets {
    type Item = Frame<Bytes>;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<Frame<Bytes>>> {
        let Some(packet) = self.0.decode(from)? else { return Ok(None) };
        let mut packet = packet.freeze();
        let kind = packet.get_u8();
        let stamp = packet.split_to(usize::from(kind & !CONTROL));
        let stamp = Stamp::from_bytes(&stamp).map_err(io::Error::other)?;
        let body = if kind & CONTROL == 0 { Body::Message(packet) } else { Body::Control(packet) };
        Ok(Some(Frame { stamp, body }))
    }
}
