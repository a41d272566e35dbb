//! Two nodes of one release that pay each other, in this process.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use serde::Serialize;
use serde::de::DeserializeOwned;
use snapshot_core::{
    Event, Graph, LinkTransport, NodeError, NodeId, Postcard, PostcardState, SnapshotHandle, SnapshotId,
    SnapshotNode,
};
use snapshot_store::DirectoryStore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Failure;

const SHOP: NodeId = NodeId(1);
const CAFE: NodeId = NodeId(2);
/// How many payments each node makes at first. Each one that it takes, it answers with another.
const PAYMENTS: usize = 5;

/// What both releases can do.
pub(crate) trait Release: PostcardState + Debug {
    type Payment: Clone + Debug + Serialize + DeserializeOwned + Send + 'static;

    fn new() -> Self;
    /// Whether it still has to make its first payments; from now on it has not.
    fn opens(&mut self) -> bool;
    fn pay(&mut self) -> Self::Payment;
    fn take(&mut self, payment: Self::Payment);
    /// What it holds, in hundredths.
    fn holds(&self) -> u64;
    /// What a payment is worth, in hundredths.
    fn worth(payment: &Self::Payment) -> u64;
}

/// Two nodes. They end when this is dropped, as if they had been killed.
pub(crate) struct Group {
    handle: SnapshotHandle,
    tasks: JoinSet<()>,
}

impl Group {
    /// Starts both from the newest snapshot in the store, if there is one.
    pub(crate) async fn start<R: Release>(store: &DirectoryStore) -> Result<Self, Failure> {
        let graph = Graph::mesh([SHOP, CAFE]).named("tills");
        let (at_shop, links_of_shop) = LinkTransport::new(graph.at(SHOP)?);
        let (at_cafe, links_of_cafe) = LinkTransport::new(graph.at(CAFE)?);
        let (shop, mut till_of_shop) = node::<R>(at_shop, store).await?;
        let (cafe, mut till_of_cafe) = node::<R>(at_cafe, store).await?;

        let handle = shop.handle();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { ended(live(shop, &mut till_of_shop).await) });
        tasks.spawn(async move { ended(live(cafe, &mut till_of_cafe).await) });
        // The connection between them.
        let ((to_cafe, from_shop), (to_shop, from_cafe)) = (mpsc::channel(8), mpsc::channel(8));
        tasks.spawn(async move {
            ended(links_of_shop.carry(CAFE, from_cafe.map(Ok::<_, Failure>), to_cafe).await);
        });
        tasks.spawn(async move {
            ended(links_of_cafe.carry(SHOP, from_shop.map(Ok::<_, Failure>), to_shop).await);
        });
        Ok(Self { handle, tasks })
    }

    /// Asks until one is committed.
    pub(crate) async fn snapshot(&self) -> SnapshotId {
        loop {
            match self.handle.snapshot().await {
                Ok(report) => return report.snapshot,
                Err(error) => println!("no snapshot yet: {error}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

type Node<R> = SnapshotNode<R, <R as Release>::Payment>;

async fn node<R: Release>(
    transport: LinkTransport<R::Payment>,
    store: &DirectoryStore,
) -> Result<(Node<R>, R), NodeError> {
    let mut till = R::new();
    let builder = SnapshotNode::builder(transport).store(store.clone()).codec(Postcard);
    Ok((builder.start(&mut till).await?, till))
}

async fn live<R: Release>(mut node: Node<R>, till: &mut R) -> Result<(), Failure> {
    let other = if node.id() == SHOP { CAFE } else { SHOP };
    if till.opens() {
        for _ in 0..PAYMENTS {
            node.send(other, till.pay())?;
        }
    }
    loop {
        match node.next(till).await? {
            Event::Message { message, .. } => {
                till.take(message);
                node.send(other, till.pay())?;
            }
            Event::RolledBack { generation, turn, .. } => {
                println!("{}: {generation} begins, at {turn}", node.id());
            }
            Event::Closed => return Ok(()),
            _ => {}
        }
    }
}

fn ended(result: Result<(), impl Into<Failure>>) {
    if let Err(error) = result {
        eprintln!("a task of the group has ended: {}", error.into());
    }
}
