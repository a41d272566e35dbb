//! `before.rs` with snapshots. `OK` waits for one, of all nodes, and holds whoever is killed; `ERR`: it happened or not.
//!
//! Each key has an owner among the nodes. Whichever node a client asks, the owner carries the command out, tells all others
//! the new value, and answers.
//!
//! ```sh
//! PEERS=1=127.0.0.1:4001,2=127.0.0.1:4002,3=127.0.0.1:4003
//! cargo run --bin existing_app_after -- --snapshots kv --peers $PEERS --id 1 --clients 127.0.0.1:5001     # and so on
//! nc 127.0.0.1 5001                                                  # SET key value, GET key, INCR key, PEEK key
//! ```

#[cfg(test)]
mod conformance;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snapshot_core::{
    CallId, Calls, Event, Graph, Life, LinkTransport, Links, NodeId, Outbox, Postcard, PostcardState,
    SendError, SharedNode, SnapshotNode,
};
use snapshot_store::DirectoryStore;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// How long an answer of another node may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// From one attempt to reach a peer to the next.
const RETRY: Duration = Duration::from_millis(100);
/// From one snapshot to the next: how long a client waits at most, about.
const INTERVAL: Duration = Duration::from_millis(100);
/// The group went back to a snapshot that may have this or not, or a node is down.
const UNKNOWN: &str = "this may have happened or not: look, and try again";
const MAX_LINE: u64 = 4096;
const MAX_FRAME: usize = 64 << 10;
const MAX_CONNECTIONS: usize = 1024;

/// A replicated key-value server.
#[derive(Parser)]
struct Flags {
    /// The number of this node
    #[arg(long)]
    id: u64,
    /// All nodes, this one included, and where they listen for each other: 1=127.0.0.1:4001,2=127.0.0.1:4002
    #[arg(long, required = true, value_delimiter = ',', value_parser = peer)]
    peers: Vec<(u64, SocketAddr)>,
    /// Where to listen for clients
    #[arg(long)]
    clients: SocketAddr,
    /// The folder of the snapshots, the same for all nodes
    #[arg(long)]
    snapshots: PathBuf,
}

fn peer(text: &str) -> Result<(u64, SocketAddr), Failure> {
    let (id, address) = text.split_once('=').ok_or("expected ID=ADDRESS")?;
    Ok((id.parse()?, address.parse()?))
}

type Failure = Box<dyn Error + Send + Sync>;

/// What is said to a client.
type Answer = Result<String, String>;
type Out<'a> = Outbox<'a, Store, Message>;
type Sent = Result<(), SendError>;

/// All pairs, at every node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Store {
    values: BTreeMap<String, String>,
}

impl PostcardState for Store {}

impl Store {
    fn get(&self, key: &str) -> String {
        self.values.get(key).map_or("NONE".to_owned(), |value| format!("VALUE {value}"))
    }
}

/// What nodes say to each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Message {
    /// To the owner of a key.
    Request { id: CallId, command: Command },
    /// From the owner of a key.
    Response { id: CallId, answer: Answer },
    /// From the owner of a key to all others: its new value.
    Replicate { key: String, value: String },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Command {
    key: String,
    operation: Operation,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Operation {
    Get,
    Set(String),
    Incr,
}

struct Server {
    me: u64,
    nodes: Vec<u64>,
    store: SharedNode<Store, Message>,
    /// To the peers that are connected.
    links: Links<Message>,
    /// Requests that wait for a response.
    calls: Calls<Answer>,
}

impl Server {
    /// Carries out what a client says.
    async fn execute(&self, line: &str) -> Result<String, Failure> {
        let (key, operation) = match line.split_whitespace().collect::<Vec<_>>()[..] {
            // From the copy here, which may be a moment behind.
            ["PEEK", key] => return Ok(self.store.read(|store| store.get(key))),
            ["GET", key] => (key, Operation::Get),
            ["SET", key, value] => (key, Operation::Set(value.to_owned())),
            ["INCR", key] => (key, Operation::Incr),
            _ => return Err("expected GET key, SET key value, INCR key or PEEK key".into()),
        };
        let owner = self.owner(key);
        let command = Command { key: key.to_owned(), operation };
        let (answer, turn) = if owner == self.me {
            self.store.turn(|store, out| (self.apply(store, command, out), out.turn())).await?
        } else {
            let call = self.calls.call(&self.store, PATIENCE, |_, id, out| {
                out.send(NodeId(owner), Message::Request { id, command })
            });
            let answer = call.await.map_err(|_| UNKNOWN)?;
            (answer.value, answer.turn)
        };
        self.store.committed(turn).await.map_err(|_| UNKNOWN)?;
        Ok(answer?)
    }

    fn owner(&self, key: &str) -> u64 {
        let hash = key.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        self.nodes[hash % self.nodes.len()]
    }

    /// Carries out a command on a key that is owned here.
    fn apply(&self, store: &mut Store, Command { key, operation }: Command, out: &mut Out<'_>) -> Answer {
        let value = match operation {
            Operation::Get => return Ok(store.get(&key)),
            Operation::Set(value) => value,
            Operation::Incr => {
                let number: Option<u64> = store.values.get(&key).map_or(Some(0), |value| value.parse().ok());
                let next = number.and_then(|number| number.checked_add(1));
                next.ok_or(format!("{key} is no number that can grow"))?.to_string()
            }
        };
        for &node in self.nodes.iter().filter(|node| **node != self.me) {
            let news = Message::Replicate { key: key.clone(), value: value.clone() };
            out.send(NodeId(node), news).map_err(|error| error.to_string())?;
        }
        let answer = format!("OK {value}");
        store.values.insert(key, value);
        Ok(answer)
    }

    /// Handles what a peer says.
    fn receive(&self, store: &mut Store, from: NodeId, message: Message, out: &mut Out<'_>) -> Sent {
        match message {
            Message::Request { id, command } => {
                let answer = self.apply(store, command, out);
                out.send(from, Message::Response { id, answer })?;
            }
            Message::Response { id, answer } => {
                self.calls.answer(out, id, answer);
            }
            Message::Replicate { key, value } => {
                store.values.insert(key, value);
            }
        }
        Ok(())
    }

    /// Talks with a peer until the connection ends, or another one takes its place.
    async fn talk(&self, peer: u64, mut stream: TcpStream) -> Result<(), Failure> {
        stream.set_nodelay(true)?;
        // An older process of a node takes no connection from its successor.
        stream.write_all(&self.links.life().to_bytes()).await?;
        let mut life = [0; Life::LEN];
        timeout(PATIENCE, stream.read_exact(&mut life)).await??;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let life = Life::from_bytes(&life)?;
        let (mut arrivals, mut departures) = self.links.connect_as(NodeId(peer), life)?;
        let reading = async {
            loop {
                arrivals.push(read(&mut reader).await?).await?;
            }
        };
        let writing = async {
            while let Some(frame) = departures.next().await {
                write(&mut writer, &frame).await?;
            }
            Ok(())
        };
        tokio::select! { end = reading => end, end = writing => end }
    }
}

// ---- the wire: the length, then JSON ------------------------------------------------------------------------------------

async fn read<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> Result<T, Failure> {
    let length = usize::try_from(reader.read_u32().await?)?;
    if length > MAX_FRAME {
        return Err(format!("a frame of {length} bytes").into());
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).await?;
    Ok(serde_json::from_slice(&bytes)?)
}

async fn write<T: Serialize>(writer: &mut (impl AsyncWrite + Unpin), value: &T) -> Result<(), Failure> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, value)?;
    let length = u32::try_from(bytes.len() - 4)?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(writer.write_all(&bytes).await?)
}

// ---- tasks --------------------------------------------------------------------------------------------------------------

/// A task for each connection that is taken.
async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&room).acquire_owned().await?;
        match listener.accept().await {
            Ok((stream, from)) => {
                let serving = serve(stream);
                tokio::spawn(async move {
                    if let Err(error) = serving.await {
                        eprintln!("{from}: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                eprintln!("cannot accept: {error}");
                sleep(RETRY).await;
            }
        }
    }
}

/// A client says a line and is told another, until it goes.
async fn serve_client(server: Arc<Server>, stream: TcpStream) -> Result<(), Failure> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    while (&mut reader).take(MAX_LINE).read_line(&mut line).await? > 0 {
        if !line.ends_with('\n') {
            return Err("a line that does not end".into());
        }
        let answer = timeout(PATIENCE, server.execute(&line)).await.unwrap_or(Err(UNKNOWN.into()));
        let answer = answer.unwrap_or_else(|error| format!("ERR {error}"));
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

/// A peer with a higher number connects, and says who it is.
async fn serve_peer(server: Arc<Server>, mut stream: TcpStream) -> Result<(), Failure> {
    let peer = timeout(PATIENCE, stream.read_u64()).await??;
    if peer <= server.me || !server.nodes.contains(&peer) {
        return Err(format!("{peer} is none of those that connect to node {}", server.me).into());
    }
    server.talk(peer, stream).await
}

/// Connects with a peer that has a lower number, again and again.
async fn reach_peer(server: Arc<Server>, peer: u64, address: SocketAddr) {
    loop {
        let talk = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_u64(server.me).await?;
            server.talk(peer, stream).await
        };
        if let Err(error) = talk.await {
            eprintln!("node {peer}: {error}");
        }
        sleep(RETRY).await;
    }
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Failure> {
    let flags = Flags::parse();
    let me = flags.id;
    let addresses: BTreeMap<u64, SocketAddr> = flags.peers.into_iter().collect();
    let address = *addresses.get(&me).ok_or(format!("--peers does not name node {me}"))?;
    let peers = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    let clients =
        TcpListener::bind(flags.clients).await.map_err(|error| format!("{}: {error}", flags.clients))?;
    let graph = Graph::mesh(addresses.keys().copied().map(NodeId));
    let (transport, links) = LinkTransport::new(graph.at(NodeId(me))?);
    let builder = SnapshotNode::builder(transport).store(DirectoryStore::open(flags.snapshots)?);
    let (store, driver) = builder.codec(Postcard).interval(INTERVAL).share(Store::default()).await?;
    let server = Arc::new(Server {
        me,
        nodes: addresses.keys().copied().collect(),
        store,
        links,
        calls: Calls::new(),
    });
    for (&peer, &address) in addresses.range(..me) {
        tokio::spawn(reach_peer(Arc::clone(&server), peer, address));
    }
    eprintln!("node {me} listens for clients at {}", flags.clients);
    let peers = accept(peers, |stream| serve_peer(Arc::clone(&server), stream));
    let clients = accept(clients, |stream| serve_client(Arc::clone(&server), stream));
    let handle = |store: &mut Store, event, out: &mut Out<'_>| match event {
        Event::Message { from, message } => server.receive(store, from.id(), message, out),
        Event::Committed { .. } => Ok(()),
        other => {
            eprintln!("{other:?}");
            Ok(())
        }
    };
    let node = async { Ok(driver.run(handle).await?) };
    tokio::try_join!(peers, clients, node)?;
    Ok(())
}
