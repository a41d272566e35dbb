//! An application's protobuf message with two fields more: what it was it still is, the transport over it keeps every clause
//! of `Transport`, and the program does what it says.

#[path = "../../src/bin/protobuf_transport/before.rs"]
mod before;
#[path = "../../src/bin/protobuf_transport/network.rs"]
mod network;
#[path = "../../src/bin/protobuf_transport/wire.rs"]
mod wire;

use std::process::Command;

use before::OrderBefore;
use bytes::{Bytes, BytesMut};
use network::Registry;
use prost::Message;
use snapshot_conformance::TransportFixture;
use snapshot_core::{
    Body, Frame, Frames, Generation, Graph, Inbox, LinkTransport, MessageCodec, NodeId, Packet, Stamp,
    Topology, Transport,
};
use tokio::runtime::{Builder, Runtime};
use tokio_util::codec::{Decoder, Encoder};
use wire::{Delimited, Order, Protobuf, from_wire, to_wire};

/// The one line.
mod conformance {
    snapshot_conformance::transport!(super::Trade);
}

/// A registry of nodes on the loopback.
struct Trade {
    registry: Registry,
    runtime: Runtime,
}

impl TransportFixture for Trade {
    type Message = Order;
    type Transport = LinkTransport<Order>;

    fn new(_: &Graph) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self { registry: Registry::default(), runtime: runtime.unwrap() }
    }

    async fn start(&self, topology: Topology) -> LinkTransport<Order> {
        network::start(topology, self.registry.clone()).await.unwrap()
    }

    fn message(&self, number: u64, size: usize) -> Order {
        Order { number, item: "x".repeat(size), pieces: -1, ..Order::default() }
    }

    fn block_on<T>(&self, scenario: impl Future<Output = T>) -> T {
        self.runtime.block_on(scenario)
    }
}

fn old_order() -> OrderBefore {
    OrderBefore { number: 300, item: "nails".to_owned(), pieces: -7 }
}

fn order() -> Order {
    Order { number: 300, item: "nails".to_owned(), pieces: -7, ..Order::default() }
}

fn packets() -> [Packet<Order>; 4] {
    let frame = |number, body| Packet::Frame(Frame { stamp: Stamp::new(Generation(2), number), body });
    [
        frame(1, Body::Message(order())),
        frame(u64::MAX, Body::Message(Order::default())),
        frame(0, Body::Control(Bytes::from_static(&[0, 255, 7]))),
        Packet::Goodbye,
    ]
}

#[test]
fn whoever_knows_the_old_message_reads_what_is_on_the_wire_now() {
    let [message, empty, control, goodbye] = packets().map(|packet| to_wire(packet).encode_to_vec());
    assert_eq!(OrderBefore::decode(&message[..]), Ok(old_order()));
    for other in [empty, control, goodbye] {
        assert_eq!(OrderBefore::decode(&other[..]), Ok(OrderBefore::default()));
    }
}

#[test]
fn the_program_shows_that_old_and_new_releases_read_each_other() {
    before::show().unwrap();
}

#[test]
fn the_old_fields_are_on_the_wire_byte_for_byte_and_the_new_ones_after_them() {
    let old = old_order().encode_to_vec();
    let [message, ..] = packets().map(|packet| to_wire(packet).encode_to_vec());
    assert_eq!(message[..old.len()], old);
    assert_eq!(message[old.len()..], [14 << 3 | 2, 3, 0, 2, 1], "field 14, 3 bytes: the stamp");
}

#[test]
fn a_message_of_an_old_release_is_read_and_is_no_frame() {
    let decoded = Order::decode(&old_order().encode_to_vec()[..]).unwrap();
    assert_eq!(decoded, order());
    assert!(from_wire(decoded).unwrap_err().to_string().contains("without a stamp"));
}

#[test]
fn every_packet_comes_back_from_the_wire_however_it_is_cut() {
    let mut wire = BytesMut::new();
    for packet in packets() {
        Delimited.encode(packet, &mut wire).unwrap();
    }
    for size in 1..=wire.len() {
        let (mut input, mut read) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(size) {
            input.extend_from_slice(piece);
            while let Some(packet) = Delimited.decode(&mut input).unwrap() {
                read.push(packet);
            }
        }
        assert_eq!(read, packets(), "in pieces of {size} bytes");
    }
}

#[test]
fn what_no_release_has_sent_is_refused() {
    let mut length = Vec::new();
    prost::encode_length_delimiter(Delimited::LARGEST + 1, &mut length).unwrap();
    let stamp = |bytes: &'static [u8]| Order { snapshot_stamp: Some(Bytes::from_static(bytes)), ..order() };
    for (bytes, says) in [
        (length, "over the limit"),
        (vec![0xff; 10], "varint"),
        (vec![2, 0xff, 0xff], "varint"),
        (order().encode_length_delimited_to_vec(), "without a stamp"),
        (stamp(&[]).encode_length_delimited_to_vec(), "ends too early"),
        (stamp(&[9, 1, 1]).encode_length_delimited_to_vec(), "version"),
    ] {
        let error = Delimited.decode(&mut BytesMut::from(&bytes[..])).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn what_the_store_keeps_is_the_old_message() {
    let mut bytes = Vec::new();
    Protobuf.encode(&order(), &mut bytes).unwrap();
    assert_eq!(bytes, old_order().encode_to_vec());
    assert_eq!(Protobuf.decode(bytes.into()).unwrap(), order());
    assert!(Protobuf.decode(Bytes::from_static(&[0xff])).is_err());
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_node_and_says_the_limit() {
    let (registry, graph) = (Registry::default(), Graph::mesh([NodeId(1), NodeId(2)]));
    let start = |id| network::start(graph.at(NodeId(id)).unwrap(), registry.clone());
    let (one, _two) = (start(1).await.unwrap(), start(2).await.unwrap());
    let mut frames = Frames::new();
    let body = Body::Message(Order { item: "x".repeat(5 << 20), ..Order::default() });
    frames.push_back(Frame { stamp: Stamp::new(Generation(1), 1), body });
    one.send(one.topology().peer(NodeId(2)).unwrap(), &mut frames).await.unwrap();
    let mut inbox = Inbox::with_capacity(8);
    let error = loop {
        if let Err(error) = one.recv(&mut inbox).await {
            break error;
        }
    };
    assert!(error.is_frame_too_large() && error.peer() == Some(NodeId(2)), "{error}");
}

#[test]
fn the_program_ends_by_itself_with_every_nail_counted() {
    let output = Command::new(env!("CARGO_BIN_EXE_protobuf_transport")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("reads today as order 300 of 7 nails, stamp None"), "{text}");
    assert!(text.contains("reads in an old release as order 300 of 7 nails"), "{text}");
    assert!(text.ends_with("3 snapshots, 2000 nails in each: ok\n"), "{text}");
}
