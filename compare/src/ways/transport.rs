//! `TcpTransport` alone, fed with batches.

use std::hint::black_box;

use bytes::Bytes;
use snapshot_core::{
    Body, Frame, Frames, Generation, Graph, Inbox, Incoming, MessageCodec, NodeId, RawBytes, Stamp, Transport,
};
use snapshot_transport_tcp::TcpTransport;

use super::socket::BUFFER;
use crate::setup::{End, Setup};
use crate::tally::{Tally, say};

const RECEIVER: NodeId = NodeId(1);
const SENDER: NodeId = NodeId(2);
/// What a batch is made of at most; in bytes it is about twice a write buffer.
const BATCH: usize = 1024;
const INBOX: usize = 1024;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let transport = open(&setup.end, RawBytes).await;
    match setup.end {
        End::Receive => {
            let mut inbox = Inbox::with_capacity(INBOX);
            loop {
                transport.recv(&mut inbox).await.expect("it stands");
                while let Some(item) = inbox.pop() {
                    if let Incoming::Frame { frame, .. } = item {
                        black_box(frame);
                        tally.one();
                    }
                }
            }
        }
        End::Send(_) => {
            let to = transport.topology().peers().next().expect("a neighbour");
            let message = Bytes::from(vec![7; setup.size]);
            let batch = (2 * BUFFER / setup.size).clamp(1, BATCH);
            let (mut frames, mut number) = (Frames::new(), 0);
            loop {
                for _ in 0..batch {
                    number += 1;
                    let body = Body::Message(black_box(message.clone()));
                    frames.push_back(Frame { stamp: Stamp::new(Generation::FIRST, number), body });
                }
                transport.send(to, &mut frames).await.expect("it stands");
            }
        }
    }
}

/// A pair of nodes, of which the receiver listens.
pub(super) async fn open<M: 'static>(end: &End, codec: impl MessageCodec<M>) -> TcpTransport<M> {
    let graph = Graph::mesh([RECEIVER, SENDER]);
    match end {
        End::Receive => {
            let builder = TcpTransport::builder(graph.at(RECEIVER).expect("a member"), codec);
            let listen = "127.0.0.1:0".parse().expect("an address");
            let transport = builder.listen(listen).bind().await.expect("a port");
            say(&format!("address {}", transport.local_addr().expect("it listens")));
            transport
        }
        End::Send(address) => {
            let builder = TcpTransport::builder(graph.at(SENDER).expect("a member"), codec);
            builder.peer(RECEIVER, address).bind().await.expect("it needs no port")
        }
    }
}
