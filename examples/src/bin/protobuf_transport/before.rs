//! What is in the field: releases, services, tools and logs that know the message as it was, without the two fields.

use prost::Message;
use snapshot_core::{Body, Frame, Generation, Packet, Stamp};

use super::wire::{Order, to_wire};

/// `message Order` as it has always been.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OrderBefore {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(string, tag = "2")]
    pub(crate) item: String,
    #[prost(int64, tag = "3")]
    pub(crate) pieces: i64,
}

/// Shows that old messages are read by the new release, and new ones by the old.
pub(crate) fn show() -> Result<(), prost::DecodeError> {
    let old = OrderBefore { number: 300, item: "nails".to_owned(), pieces: 7 };
    let stored = old.encode_to_vec();
    let read = Order::decode(&stored[..])?;
    println!("a message of an old release, {}", hex(&stored));
    println!(
        "  reads today as order {} of {} {}, stamp {:?}",
        read.number, read.pieces, read.item, read.snapshot_stamp
    );
    assert_eq!(read, Order { number: 300, item: "nails".to_owned(), pieces: 7, ..Order::default() });

    // As a node sends it.
    let frame = Frame { stamp: Stamp::new(Generation(1), 42), body: Body::Message(read) };
    let sent = to_wire(Packet::Frame(frame)).encode_to_vec();
    let read = OrderBefore::decode(&sent[..])?;
    println!("the same with a stamp, {}", hex(&sent));
    println!("  reads in an old release as order {} of {} {}", read.number, read.pieces, read.item);
    assert_eq!(read, old);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
