//! An application's own protobuf message that gains two fields, and carries snapshots from then on.
//!
//! The application sends [`Order`]s, and has for years: in services that are not all released on one day, over connections
//! of its own, in logs. None of that changes. A message that crosses a channel of a snapshot group carries two things more:
//!
//! * `snapshot_stamp`: the [`Stamp`] of its [`Frame`], 3 to 21 bytes. It says which message of its channel this is, by
//!   which a node notices that one is missing.
//! * `snapshot_control`: the body of a frame that is no message at all, but a marker or another control frame. Then all
//!   other fields stay as they are by default.
//!
//! Both are bytes that the application passes on and never looks into, so it does not learn the snapshot protocol, and
//! nothing here changes when that gains a new kind of frame. Whoever knows nothing of the fields skips them, as protobuf does:
//! a service beside the group, a tool that reads the log. A member of the group cannot be without them, for what has no stamp
//! has no place in its channel: a connection that brings such an order is given up, and the loss says why.
//!
//! The heart is [`to_wire`] and [`from_wire`]; the rest of this file gives protobuf's own framing a size limit.

use std::io::{self, ErrorKind};

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use snapshot_core::{Body, Frame, MessageCodec, Packet, Stamp};
use tokio_util::codec::{Decoder, Encoder};

/// `message Order` of `orders.proto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Order {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(string, tag = "2")]
    pub(crate) item: String,
    #[prost(int64, tag = "3")]
    pub(crate) pieces: i64,
    /// Set on the wire only: neither the application nor a snapshot ever sees it.
    #[prost(bytes = "bytes", optional, tag = "14")]
    pub(crate) snapshot_stamp: Option<Bytes>,
    /// Likewise.
    #[prost(bytes = "bytes", optional, tag = "15")]
    pub(crate) snapshot_control: Option<Bytes>,
}

/// Fills in the two fields. A goodbye is control without a stamp.
pub(crate) fn to_wire(packet: Packet<Order>) -> Order {
    let Packet::Frame(frame) = packet else {
        return Order { snapshot_control: Some(Bytes::new()), ..Order::default() };
    };
    let order = match frame.body {
        Body::Message(order) => order,
        Body::Control(bytes) => Order { snapshot_control: Some(bytes), ..Order::default() },
    };
    Order { snapshot_stamp: Some(Bytes::copy_from_slice(&frame.stamp.to_bytes())), ..order }
}

/// Takes the two fields out again.
pub(crate) fn from_wire(mut order: Order) -> io::Result<Packet<Order>> {
    let (stamp, control) = (order.snapshot_stamp.take(), order.snapshot_control.take());
    let body = match control {
        Some(_) if stamp.is_none() => return Ok(Packet::Goodbye),
        Some(bytes) => Body::Control(bytes),
        None => Body::Message(order),
    };
    let stamp =
        stamp.ok_or_else(|| invalid("an order without a stamp: its sender takes no part in snapshots"))?;
    let stamp = Stamp::from_bytes(&stamp).map_err(|error| invalid(error.to_string()))?;
    Ok(Packet::Frame(Frame { stamp, body }))
}

/// The store keeps orders in flight in the application's own form too, so that its own tools can read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protobuf;

impl MessageCodec<Order> for Protobuf {
    fn encode(&self, order: &Order, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(&order.encode_to_vec())
    }

    fn decode(&self, bytes: Bytes) -> io::Result<Order> {
        Ok(Order::decode(bytes)?)
    }
}

/// Messages one after the other, each with its length before it: what `writeDelimitedTo` writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delimited;

impl Delimited {
    /// The largest message, in bytes. Without a limit, ten bytes from a stranger could ask for any amount of memory.
    pub(crate) const LARGEST: usize = 4 << 20;
    /// The most bytes that a length takes.
    const LENGTH: usize = 10;
}

impl Encoder<Packet<Order>> for Delimited {
    type Error = io::Error;

    fn encode(&mut self, packet: Packet<Order>, out: &mut BytesMut) -> io::Result<()> {
        let order = to_wire(packet);
        match order.encoded_len() {
            0..=Self::LARGEST => Ok(order.encode_length_delimited(out)?),
            size => Err(invalid(format!("an order of {size} bytes is over the limit of {}", Self::LARGEST))),
        }
    }
}

impl Decoder for Delimited {
    type Item = Packet<Order>;
    type Error = io::Error;

    fn decode(&mut self, input: &mut BytesMut) -> io::Result<Option<Packet<Order>>> {
        let mut rest = &input[..];
        let len = match prost::decode_length_delimiter(&mut rest) {
            Ok(len) if len <= Self::LARGEST => len,
            Ok(len) => {
                return Err(invalid(format!(
                    "an order of {len} bytes is over the limit of {}",
                    Self::LARGEST
                )));
            }
            Err(_) if input.len() < Self::LENGTH => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let before = input.len() - rest.len();
        if rest.len() < len {
            input.reserve(len - rest.len());
            return Ok(None);
        }
        input.advance(before);
        from_wire(Order::decode(input.split_to(len).freeze())?).map(Some)
    }
}

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text.into())
}
