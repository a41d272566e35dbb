//! A process of the group: sends to all at a steady rate, and tells the parent what it sees and when, line by line.

use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use snapshot_core::{Event, Graph, Key, NodeId, RawBytes, Retention, SnapshotNode};
use snapshot_store::DirectoryStore;
use snapshot_transport_tcp::TcpTransport;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::state::{Block, State};
use super::watched::Watched;
use crate::now;

pub(crate) const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const EVERY: Duration = Duration::from_millis(1);
/// To each neighbour at a time.
const MESSAGES: usize = 4;
const MESSAGE: usize = 128;

/// Its folder, its id, the kind and size of its state, then all addresses; one that is not known yet has port 0.
pub(crate) fn run(arguments: &[String]) {
    println!("main {}", now());
    let [folder, id, kind, size, addresses @ ..] = arguments else { panic!("the parent names all") };
    let (me, size) = (NodeId(id.parse().expect("an id")), size.parse().expect("a size"));
    let place = Place { folder: folder.into(), me, addresses: addresses.to_vec() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if kind == "kept" {
        runtime.block_on(place.live::<Arc<Vec<u8>>>(size));
    } else {
        runtime.block_on(place.live::<Vec<u8>>(size));
    }
}

struct Place {
    folder: PathBuf,
    me: NodeId,
    addresses: Vec<String>,
}

impl Place {
    async fn live<B: Block>(self, size: usize) {
        let addresses = || MEMBERS.into_iter().zip(&self.addresses);
        let (_, mine) = addresses().find(|(id, _)| *id == self.me).expect("it is a member");
        let inner = TcpTransport::builder(Graph::mesh(MEMBERS).at(self.me).expect("a member"), RawBytes)
            .peers(addresses().map(|(id, address)| (id, address.clone())))
            .listen(mine.parse().expect("an address"))
            .bind()
            .await
            .expect("a port");
        println!("address {}", inner.local_addr().expect("it listens"));
        let store = DirectoryStore::open(&self.folder).expect("a folder");
        let builder = SnapshotNode::builder(Watched { inner, newest: 0.into() }).store(store);
        // A process that is started again has nothing of its own.
        let is_first = !self.folder.join(Key::Initial(self.me).to_string()).exists();
        let mut state = State::<B>::new(if is_first { size } else { 0 }, self.me.0);
        let node =
            builder.retention(Retention::Last(NonZeroU32::MIN)).start(&mut state).await.expect("it starts");
        println!("started {}", now());
        serve(node, &mut state, size).await;
    }
}

async fn serve<B: Block>(mut node: SnapshotNode<State<B>, Bytes>, state: &mut State<B>, size: usize) {
    let mut orders = orders();
    let others: Vec<NodeId> = MEMBERS.into_iter().filter(|id| *id != node.id()).collect();
    let mut awaited = others.clone();
    let mut generation = 1_u64;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = node.next(state) => event.expect("it runs"),
            _ = ticks.tick(), if node.has_room() => {
                send(&mut node, &others, generation);
                continue;
            }
            Some(order) = orders.recv() => {
                match order.as_str() {
                    "snapshot" => node.snapshot(),
                    _ => println!("memory {} {}", memory("VmRSS:"), memory("VmHWM:")),
                }
                continue;
            }
        };
        match event {
            Event::Message { from, message } => {
                state.handled += 1;
                // One that was in flight in the snapshot is older.
                if message[..8] == generation.to_le_bytes()
                    && let Some(index) = awaited.iter().position(|id| *id == from.id())
                {
                    awaited.swap_remove(index);
                    println!("new {} {generation} {}", from.id().0, now());
                }
            }
            Event::RolledBack { generation: newer, .. } => {
                println!("back {} {}", newer.0, now());
                assert_eq!(state.block.bytes().len(), size, "the state is whole");
                generation = newer.0;
                awaited.clone_from(&others);
                send(&mut node, &others, generation);
            }
            Event::Committed { snapshot, .. } => {
                println!("committed {}", Key::Part { snapshot, node: node.id() });
            }
            Event::StoreFailed { error } => println!("else {error}"),
            Event::SnapshotAborted { reason, .. } => println!("else {reason}"),
            Event::Violation { what, .. } => println!("else {what}"),
            Event::Stalled { .. } => println!("else stalled"),
            _ => {}
        }
    }
}

fn send<B: Block>(node: &mut SnapshotNode<State<B>, Bytes>, others: &[NodeId], generation: u64) {
    let mut message = vec![0; MESSAGE];
    message[..8].copy_from_slice(&generation.to_le_bytes());
    let message = Bytes::from(message);
    for to in others {
        for _ in 0..MESSAGES {
            node.send(*to, message.clone()).expect("there is room");
        }
    }
}

/// What the parent says. When it is gone, so is this process.
fn orders() -> mpsc::Receiver<String> {
    let (sender, orders) = mpsc::channel(1);
    thread::spawn(move || {
        for order in io::stdin().lines().map_while(Result::ok) {
            // The loop ends with the process.
            let _ = sender.blocking_send(order);
        }
        std::process::exit(0);
    });
    orders
}

/// In KiB; 0 where the system does not tell.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}
