//! `TcpTransport`s: a pair, of which one listens, and others.

use std::net::SocketAddr;

use snapshot_core::Graph;
use snapshot_core::{MessageCodec, NodeId, Topology};
use snapshot_transport_tcp::TcpTransport;

use crate::setup::End;
use crate::tally::say;

const LISTENER: NodeId = NodeId(1);
const SENDER: NodeId = NodeId(2);

pub(super) async fn pair<M: 'static>(end: &End, codec: impl MessageCodec<M>) -> TcpTransport<M> {
    let topology = topology(end);
    match end {
        End::Send(address) => dial(topology, address, codec).await,
        _ => listen(topology, codec).await,
    }
}

/// Of this end of a pair.
pub(super) fn topology(end: &End) -> Topology {
    let me = if matches!(end, End::Send(_)) { SENDER } else { LISTENER };
    Graph::mesh([LISTENER, SENDER]).at(me).expect("a member")
}

/// Says where.
pub(super) async fn listen<M: 'static>(topology: Topology, codec: impl MessageCodec<M>) -> TcpTransport<M> {
    let builder = TcpTransport::builder(topology, codec).listen(any_port());
    let transport = builder.bind().await.expect("a port");
    say(&format!("address {}", transport.local_addr().expect("it listens")));
    transport
}

/// Who listens is the first of all.
pub(super) async fn dial<M: 'static>(
    topology: Topology,
    address: &str,
    codec: impl MessageCodec<M>,
) -> TcpTransport<M> {
    let builder = TcpTransport::builder(topology, codec).peer(LISTENER, address);
    builder.bind().await.expect("it needs no port")
}

pub(super) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
