//! The suites of snapshot-core, over sockets of the loopback: directly, and through a relay that can be cut; in plain text and encrypted.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[cfg(feature = "tls")]
use crate::common::authority::Authority;
use bytes::Bytes;
use snapshot_conformance::{ClockFixture, TransportFixture};
use snapshot_core::{Clock, Graph, NodeId, RawBytes, Topology};
use snapshot_transport_tcp::{TcpTransport, TokioClock};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// Each node has a port of its own for as long as the fixture lives, whether it runs or not. Without workers all of a group
/// runs on one thread.
struct Tcp<const RELAYED: bool, const WORKERS: usize, const ENCRYPTED: bool> {
    runtime: Runtime,
    #[cfg(feature = "tls")]
    authority: Authority,
    ports: BTreeMap<NodeId, TcpListener>,
    /// By the node that is dialed, then the one that dials.
    relays: BTreeMap<(NodeId, NodeId), Relay>,
}

impl<const RELAYED: bool, const WORKERS: usize, const ENCRYPTED: bool> TransportFixture
    for Tcp<RELAYED, WORKERS, ENCRYPTED>
{
    type Message = Bytes;
    type Transport = TcpTransport<Bytes>;

    fn new(graph: &Graph) -> Self {
        let mut runtime = match WORKERS {
            0 => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        let runtime = runtime.worker_threads(WORKERS.max(1)).enable_all().build().unwrap();
        let ports: BTreeMap<NodeId, TcpListener> = graph.members().iter().map(|id| (*id, port())).collect();
        let mut relays = BTreeMap::new();
        for (dialed, port) in &ports {
            for dialer in ports.keys().filter(|id| RELAYED && *id > dialed) {
                let to = port.local_addr().unwrap();
                relays.insert((*dialed, *dialer), runtime.block_on(async { Relay::start(to) }));
            }
        }
        Self {
            runtime,
            #[cfg(feature = "tls")]
            authority: Authority::new(),
            ports,
            relays,
        }
    }

    async fn start(&self, topology: Topology) -> TcpTransport<Bytes> {
        let me = topology.me();
        let at =
            |id: NodeId| self.relays.get(&(id, me)).map_or(self.ports[&id].local_addr().unwrap(), |r| r.at);
        let peers: Vec<_> = topology.peers().map(|peer| (peer.id(), at(peer.id()).to_string())).collect();
        #[cfg(feature = "tls")]
        let certificates = self.authority.certificates(topology.group(), me.0);
        let builder = TcpTransport::builder(topology, RawBytes).lost_after(Duration::from_secs(3600));
        #[cfg(feature = "tls")]
        let builder = if ENCRYPTED { builder.tls(certificates) } else { builder };
        builder
            .peers(peers)
            .redial(Duration::from_millis(1), Duration::from_millis(20))
            // The suite wants a cut told as a loss. Elsewhere connections break only by a death.
            .resume_within(Duration::from_millis(if RELAYED { 0 } else { 20 }))
            .close_within(Self::LIMIT)
            .bind_on(self.ports[&me].try_clone().unwrap())
            .unwrap()
    }

    fn message(&self, number: u64, size: usize) -> Bytes {
        let mut bytes = number.to_le_bytes().repeat(size / 8 + 1);
        bytes.truncate(size.max(if size == 0 { 0 } else { 8 }));
        bytes.into()
    }

    async fn cut(&self, a: NodeId, b: NodeId) -> bool {
        let relay = self.relays.get(&(a.min(b), a.max(b)));
        relay.inspect(|relay| relay.connections.lock().unwrap().abort_all()).is_some()
    }

    fn block_on<T>(&self, scenario: impl Future<Output = T>) -> T {
        self.runtime.block_on(scenario)
    }
}

fn port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Passes on bytes both ways, for as long as nobody cuts its connections.
struct Relay {
    at: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Relay {
    fn start(to: SocketAddr) -> Self {
        let port = port();
        port.set_nonblocking(true).unwrap();
        let at = port.local_addr().unwrap();
        let port = tokio::net::TcpListener::from_std(port).unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let all = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut dialer, _)) = port.accept().await {
                all.lock().unwrap().spawn(async move {
                    if let Ok(mut dialed) = TcpStream::connect(to).await {
                        // It ends where one of the two does; there is nobody to tell.
                        let _ = tokio::io::copy_bidirectional(&mut dialer, &mut dialed).await;
                    }
                });
            }
        });
        Self { at, connections }
    }
}

/// Real time, or time that stands still until it is moved.
struct Time<const PAUSED: bool>(Runtime);

impl<const PAUSED: bool> ClockFixture for Time<PAUSED> {
    fn new() -> Self {
        Self(Builder::new_current_thread().enable_time().start_paused(PAUSED).build().unwrap())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(TokioClock::new())
    }

    async fn pass(&self, duration: Duration) {
        if PAUSED { tokio::time::advance(duration).await } else { tokio::time::sleep(duration).await }
    }

    fn block_on<T>(&self, check: impl Future<Output = T>) -> T {
        self.0.block_on(check)
    }
}

mod over_sockets {
    snapshot_conformance::transport!(super::Tcp<false, 0, false>);
}

mod over_sockets_with_threads {
    snapshot_conformance::transport!(super::Tcp<false, 3, false>);
}

mod over_sockets_that_can_be_cut {
    snapshot_conformance::transport!(super::Tcp<true, 0, false>);
}

#[cfg(feature = "tls")]
mod over_encrypted_sockets {
    snapshot_conformance::transport!(super::Tcp<false, 0, true>);
}

#[cfg(feature = "tls")]
mod over_encrypted_sockets_with_threads {
    snapshot_conformance::transport!(super::Tcp<false, 3, true>);
}

#[cfg(feature = "tls")]
mod over_encrypted_sockets_that_can_be_cut {
    snapshot_conformance::transport!(super::Tcp<true, 0, true>);
}

mod the_runtimes_clock {
    snapshot_conformance::clock!(super::Time<false>);
}

mod the_runtimes_clock_while_it_is_paused {
    snapshot_conformance::clock!(super::Time<true>);
}
