//! One-way throughput over TLS on the loopback, as a ratio to a TLS stream written by hand in the same run: the same session
//! (`tokio-rustls`, TLS 1.3, certificates on both sides, the same cipher), a length before each message, buffers of 256 KiB. Each end has
//! a thread and a runtime of its own.
//!
//! `cargo bench -p snapshot-transport-tcp --features tls --bench tls`

use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use snapshot_core::{
    Body, Frame, Frames, Generation, Graph, Inbox, Incoming, NodeId, RawBytes, Stamp, Transport,
};
use snapshot_transport_tcp::{Certificates, TcpTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls};

const ROUNDS: usize = 7;
const BATCH: u64 = 512;
const BUFFER: usize = 256 << 10;
const SIZES: [(usize, u64); 4] = [(16, 400_000), (128, 400_000), (1024, 200_000), (65_536, 8_000)];

/// The authority, and a certificate with its key for each node, in PEM.
static FILES: LazyLock<(String, [(String, String); 2])> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("good");
    let nodes = [1, 2].map(|node| {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().expect("a key"));
        let uri = Certificates::uri("group", NodeId(node)).try_into().expect("ASCII");
        params.subject_alt_names =
            vec![SanType::URI(uri), SanType::DnsName("bench".try_into().expect("ASCII"))];
        let certificate = params.signed_by(&key, &authority).expect("good");
        (certificate.pem(), key.serialize_pem())
    });
    (authority.pem(), nodes)
});

fn main() {
    println!(
        "nanoseconds a message, median of {ROUNDS} interleaved rounds; throughput relative to a TLS stream by hand"
    );
    for (size, count) in SIZES {
        let mut figures = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            figures[0].push(round(size, count, by_hand));
            figures[1].push(round(size, count, transport));
        }
        let [by_hand, transport] = figures.map(|mut rounds| {
            rounds.sort_by(f64::total_cmp);
            rounds[rounds.len() / 2]
        });
        println!(
            "{size:5} bytes   by hand {by_hand:6.0}   transport {transport:6.0} ({:.2} x)",
            by_hand / transport
        );
    }
}

enum End {
    Receive,
    Send(SocketAddr),
}

/// Both ends of one run: the receiver says where it listens, and is done when it has had all. The TLS handshake is within the time.
fn round(size: usize, count: u64, end: fn(End, usize, u64, SyncSender<SocketAddr>)) -> f64 {
    LazyLock::force(&FILES);
    let (tell, told) = sync_channel(1);
    let receiver = thread::spawn(move || end(End::Receive, size, count, tell));
    let address = told.recv().expect("it listens");
    let begun = Instant::now();
    let (unused, _) = sync_channel(1);
    let sender = thread::spawn(move || end(End::Send(address), size, count, unused));
    receiver.join().expect("it received all");
    let took = begun.elapsed().as_nanos() as f64 / count as f64;
    sender.join().expect("it sent all");
    took
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn parts(node: usize) -> (Arc<RootCertStore>, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let (authority, nodes) = &*FILES;
    let (chain, key) = &nodes[node - 1];
    let read = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("good");
    let mut roots = RootCertStore::empty();
    roots.add(read(authority)).expect("good");
    (Arc::new(roots), vec![read(chain)], PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("good"))
}

fn acceptor() -> TlsAcceptor {
    let (roots, chain, key) = parts(1);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
    let config =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.expect("good").with_client_cert_verifier(verifier.expect("good"));
    Arc::new(config.with_single_cert(chain, key).expect("good")).into()
}

fn connector() -> TlsConnector {
    let (roots, chain, key) = parts(2);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.expect("good").with_root_certificates(roots);
    Arc::new(config.with_client_auth_cert(chain, key).expect("good")).into()
}

fn by_hand(end: End, size: usize, count: u64, tell: SyncSender<SocketAddr>) {
    run(async {
        match end {
            End::Receive => {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                tell.send(listener.local_addr().expect("bound")).expect("they wait");
                let (socket, _) = listener.accept().await.expect("they dial");
                let stream = acceptor().accept(socket).await.expect("they belong");
                let mut stream = BufReader::with_capacity(BUFFER, stream);
                let mut message = Vec::new();
                for _ in 0..count {
                    let length = stream.read_u32().await.expect("a message");
                    message.resize(length as usize, 0);
                    stream.read_exact(&mut message).await.expect("a message");
                }
            }
            End::Send(address) => {
                let socket = TcpStream::connect(address).await.expect("they listen");
                socket.set_nodelay(true).expect("a socket");
                let name = ServerName::try_from("bench").expect("a name");
                let stream = connector().connect(name, socket).await.expect("they belong");
                let mut stream = BufWriter::with_capacity(BUFFER, stream);
                let message = vec![7; size];
                for number in 1..=count {
                    stream.write_u32(size as u32).await.expect("they read");
                    stream.write_all(&message).await.expect("they read");
                    if number % BATCH == 0 {
                        stream.flush().await.expect("they read");
                    }
                }
                stream.flush().await.expect("they read");
                // The other end closes first, or what it has sent and nobody has read would reset the connection.
                let _ = stream.read(&mut [0]).await;
            }
        }
    });
}

async fn bind(end: &End, tell: SyncSender<SocketAddr>) -> TcpTransport<Bytes> {
    let (authority, nodes) = &*FILES;
    let graph = Graph::mesh([NodeId(1), NodeId(2)]);
    let node = |id: u64| {
        let (chain, key) = &nodes[id as usize - 1];
        let certificates = Certificates::from_pem(chain, key, authority).expect("good");
        TcpTransport::builder(graph.at(NodeId(id)).expect("good"), RawBytes).tls(certificates)
    };
    match end {
        End::Receive => {
            let listen = "127.0.0.1:0".parse().expect("an address");
            let transport = node(1).listen(listen).bind().await.expect("a port");
            tell.send(transport.local_addr().expect("bound")).expect("they wait");
            transport
        }
        End::Send(address) => node(2).peer(NodeId(1), address.to_string()).bind().await.expect("good"),
    }
}

fn transport(end: End, size: usize, count: u64, tell: SyncSender<SocketAddr>) {
    run(async {
        let transport = bind(&end, tell).await;
        let mut inbox = Inbox::with_capacity(1024);
        match end {
            End::Receive => {
                let mut received = 0;
                while received < count {
                    transport.recv(&mut inbox).await.expect("it stands");
                    while let Some(item) = inbox.pop() {
                        received += u64::from(matches!(item, Incoming::Frame { .. }));
                    }
                }
            }
            End::Send(_) => {
                let to = transport.topology().peers().next().expect("a neighbour");
                let message = Bytes::from(vec![7; size]);
                let mut frames = Frames::new();
                for number in 1..=count {
                    let stamp = Stamp::new(Generation::FIRST, number);
                    frames.push_back(Frame { stamp, body: Body::Message(message.clone()) });
                    if number % BATCH == 0 || number == count {
                        transport.send(to, &mut frames).await.expect("it stands");
                    }
                }
                // The other end closes first.
                while transport.recv(&mut inbox).await.is_ok() && !gone(&mut inbox) {}
            }
        }
    });
}

fn gone(inbox: &mut Inbox<Bytes>) -> bool {
    std::iter::from_fn(|| inbox.pop()).any(|item| matches!(item, Incoming::Lost { .. } | Incoming::Left(_)))
}
