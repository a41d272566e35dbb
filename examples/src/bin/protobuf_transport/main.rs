//! Snapshots over an existing protobuf wire: `cargo run --bin protobuf_transport`
//!
//! The lesson is in [`wire`]: the application's message, in `orders.proto`, gains two fields, and stays what it was for all
//! who do not know them. [`network`] is the application's own; one call hands its connections over.
//!
//! First it shows, with bytes, that a message of a release without the fields is read as ever, and one with them by such a
//! release ([`before`]). Then a shop and a warehouse send each other nails all the time, snapshots are taken meanwhile, and
//! each must hold all nails exactly once, those under way included.

mod before;
#[cfg(test)]
mod conformance;
mod network;
mod wire;

use std::error::Error;
use std::time::Duration;

use snapshot_core::{
    Archive, Event, Graph, NodeId, PostcardState, SendError, SnapshotHandle, SnapshotId, SnapshotNode,
};
use snapshot_store::MemoryStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use network::Registry;
use wire::{Order, Protobuf};

/// How long a node that leaves waits for others to take what it has sent.
const PARTING: Duration = Duration::from_secs(10);

const SHOP: NodeId = NodeId(1);
const WAREHOUSE: NodeId = NodeId(2);
const NAILS_EACH: i64 = 1000;
const SNAPSHOTS: usize = 3;

type Failure = Box<dyn Error + Send + Sync>;

/// The state of a node.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Stock {
    nails: i64,
    orders_sent: u64,
}

impl PostcardState for Stock {}

impl Stock {
    /// One more order, of some of the nails.
    fn order(&mut self) -> Order {
        self.orders_sent += 1;
        let pieces = self.nails.min(1 + (self.orders_sent % 50) as i64);
        self.nails -= pieces;
        Order { number: self.orders_sent, item: "nails".to_owned(), pieces, ..Order::default() }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    before::show()?;

    let (registry, store) = (Registry::default(), MemoryStore::new());
    let (stop, stopped) = watch::channel(());
    let (handle, shop) = start(SHOP, &registry, &store, &stopped).await?;
    let (_, warehouse) = start(WAREHOUSE, &registry, &store, &stopped).await?;
    for _ in 0..SNAPSHOTS {
        check(&store, handle.snapshot().await?.snapshot).await?;
    }
    stop.send(())?;
    shop.await??;
    warehouse.await??;
    println!("{SNAPSHOTS} snapshots, {} nails in each: ok", 2 * NAILS_EACH);
    Ok(())
}

/// Starts a process of the group; here a task.
async fn start(
    id: NodeId,
    registry: &Registry,
    store: &MemoryStore,
    stopped: &watch::Receiver<()>,
) -> Result<(SnapshotHandle, JoinHandle<Result<(), Failure>>), Failure> {
    let topology = Graph::mesh([SHOP, WAREHOUSE]).named("orders").at(id)?;
    let transport = network::start(topology, registry.clone()).await?;
    let mut stock = Stock { nails: NAILS_EACH, orders_sent: 0 };
    let node =
        SnapshotNode::builder(transport).store(store.clone()).codec(Protobuf).start(&mut stock).await?;
    Ok((node.handle(), tokio::spawn(trade(node, stock, stopped.clone()))))
}

async fn trade(
    mut node: SnapshotNode<Stock, Order>,
    mut stock: Stock,
    mut stopped: watch::Receiver<()>,
) -> Result<(), Failure> {
    loop {
        while stock.orders_sent < 10 {
            send(&mut node, &mut stock)?;
        }
        tokio::select! {
            event = node.next(&mut stock) => if let Event::Message { message, .. } = event? {
                stock.nails += message.pieces;
                send(&mut node, &mut stock)?;
            },
            _ = stopped.changed() => break,
        }
    }
    node.close(PARTING).await?;
    Ok(())
}

fn send(node: &mut SnapshotNode<Stock, Order>, stock: &mut Stock) -> Result<(), SendError> {
    let other = if node.id() == SHOP { WAREHOUSE } else { SHOP };
    node.send(other, stock.order())
}

/// Prints a snapshot, and counts its nails.
async fn check(store: &MemoryStore, id: SnapshotId) -> Result<(), Failure> {
    let archive = Archive::<Stock, Order>::open(store.clone(), Protobuf).await?;
    let cut = archive.read(id).await?;
    println!("snapshot {id}");
    for (node, stock) in cut.states() {
        println!("  {node} has {} nails, after {} orders", stock.nails, stock.orders_sent);
    }
    for ((from, to), orders) in cut.channels() {
        let nails: i64 = orders.iter().map(|order| order.pieces).sum();
        println!("  {} orders with {nails} nails are on their way from {from} to {to}", orders.len());
    }
    let held: i64 = cut.states().map(|(_, stock)| stock.nails).sum();
    let in_flight: i64 = cut.in_flight().map(|(_, order)| order.pieces).sum();
    let plain = |order: &Order| order.snapshot_stamp.is_none() && order.snapshot_control.is_none();
    assert!(cut.in_flight().all(|(_, order)| plain(order)), "the two fields are for the wire only");
    assert_eq!(held + in_flight, 2 * NAILS_EACH, "a nail is missing, or there twice");
    Ok(())
}
