//! One-way throughput over loopback, as a ratio to bare tokio sockets in the same run: the transport alone, and nodes on it
//! with no snapshot running. Each end has a thread and a runtime of its own.
//!
//! `cargo bench -p snapshot-transport-tcp --bench link`

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use snapshot_core::{
    Body, Event, Frame, Frames, Generation, Graph, Inbox, Incoming, NodeId, RawBytes, SnapshotNode, Stamp,
    Transport,
};
use snapshot_transport_tcp::TcpTransport;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 7;
const BATCH: u64 = 512;
const BUFFER: usize = 256 << 10;
const SIZES: [(usize, u64); 3] = [(16, 400_000), (128, 400_000), (1024, 200_000)];

fn main() {
    println!(
        "nanoseconds a message, median of {ROUNDS} interleaved rounds; throughput relative to bare sockets"
    );
    for (size, count) in SIZES {
        let mut figures = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            figures[0].push(round(size, count, bare));
            figures[1].push(round(size, count, transport));
            figures[2].push(round(size, count, node));
        }
        let [sockets, transport, node] = figures.map(|mut rounds| {
            rounds.sort_by(f64::total_cmp);
            rounds[rounds.len() / 2]
        });
        println!(
            "{size:5} bytes   sockets {sockets:6.0}   transport {transport:6.0} ({:.2} x)   node {node:6.0} ({:.2} x)",
            sockets / transport,
            sockets / node
        );
    }
}

/// Both ends of one run: `receive` says where it listens, and is done when it has had all.
fn round(size: usize, count: u64, end: fn(End, usize, u64, mpsc::SyncSender<SocketAddr>)) -> f64 {
    let (tell, told) = mpsc::sync_channel(1);
    let receiver = thread::spawn(move || end(End::Receive, size, count, tell));
    let address = told.recv().expect("it listens");
    let begun = Instant::now();
    let (unused, _) = mpsc::sync_channel(1);
    let sender = thread::spawn(move || end(End::Send(address), size, count, unused));
    receiver.join().expect("it received all");
    let took = begun.elapsed().as_nanos() as f64 / count as f64;
    sender.join().expect("it sent all");
    took
}

enum End {
    Receive,
    Send(SocketAddr),
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn bare(end: End, size: usize, count: u64, tell: mpsc::SyncSender<SocketAddr>) {
    run(async {
        match end {
            End::Receive => {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                tell.send(listener.local_addr().expect("bound")).expect("they wait");
                let (socket, _) = listener.accept().await.expect("they dial");
                let mut socket = BufReader::with_capacity(BUFFER, socket);
                let mut message = Vec::new();
                for _ in 0..count {
                    let length = socket.read_u32().await.expect("a message");
                    message.resize(length as usize, 0);
                    socket.read_exact(&mut message).await.expect("a message");
                }
            }
            End::Send(address) => {
                let socket = TcpStream::connect(address).await.expect("they listen");
                socket.set_nodelay(true).expect("a socket");
                let mut socket = BufWriter::with_capacity(BUFFER, socket);
                let message = vec![7; size];
                for number in 1..=count {
                    socket.write_u32(size as u32).await.expect("they read");
                    socket.write_all(&message).await.expect("they read");
                    if number % BATCH == 0 {
                        socket.flush().await.expect("they read");
                    }
                }
                socket.flush().await.expect("they read");
            }
        }
    });
}

async fn bind(end: &End, tell: mpsc::SyncSender<SocketAddr>) -> TcpTransport<Bytes> {
    let graph = Graph::mesh([NodeId(1), NodeId(2)]);
    match end {
        End::Receive => {
            let listen = "127.0.0.1:0".parse().expect("an address");
            let builder = TcpTransport::builder(graph.at(NodeId(1)).expect("good"), RawBytes).listen(listen);
            let transport = builder.bind().await.expect("a port");
            tell.send(transport.local_addr().expect("bound")).expect("they wait");
            transport
        }
        End::Send(address) => {
            let builder = TcpTransport::builder(graph.at(NodeId(2)).expect("good"), RawBytes);
            // The receiver ends without a goodbye, which is not for long taken for a cut.
            let builder = builder.resume_within(Duration::from_millis(200));
            builder.peer(NodeId(1), address.to_string()).bind().await.expect("good")
        }
    }
}

fn transport(end: End, size: usize, count: u64, tell: mpsc::SyncSender<SocketAddr>) {
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

fn node(end: End, size: usize, count: u64, tell: mpsc::SyncSender<SocketAddr>) {
    run(async {
        let transport = bind(&end, tell).await;
        let mut node = SnapshotNode::builder(transport).start(&mut ()).await.expect("it starts");
        match end {
            End::Receive => {
                let mut received = 0;
                while received < count {
                    let event = node.next(&mut ()).await.expect("it stands");
                    received += u64::from(matches!(event, Event::Message { .. }));
                }
            }
            End::Send(_) => {
                let to = node.topology().peers().next().expect("a neighbour");
                let message = Bytes::from(vec![7; size]);
                for number in 1..=count {
                    node.send(to, message.clone()).expect("there is room");
                    if number % BATCH == 0 {
                        node.flush(&mut ()).await.expect("it stands");
                    }
                }
                node.flush(&mut ()).await.expect("it stands");
                while !matches!(
                    node.next(&mut ()).await,
                    Ok(Event::PeerLost { .. } | Event::PeerLeft { .. }) | Err(_)
                ) {}
            }
        }
    });
}
