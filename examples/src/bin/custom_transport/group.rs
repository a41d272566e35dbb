//! Three nodes that give each other coins, over sockets in a folder.

#[cfg(test)]
mod conformance;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use snapshot_core::{
    Archive, Event, GlobalSnapshot, Graph, NodeId, Postcard, PostcardState, SendError, SnapshotHandle,
    SnapshotNode,
};
use snapshot_store::MemoryStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::unix::UnixTransport;

/// How long a node that leaves waits for others to take what it has sent.
const PARTING: Duration = Duration::from_secs(10);

const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const COINS_EACH: u64 = 100;
const TOTAL: u64 = COINS_EACH * MEMBERS.len() as u64;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The state of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Purse {
    coins: u64,
    gifts_taken: u64,
    /// Whether the first gifts were given. A part of the state: after a rollback they may have to be given again.
    opened: bool,
}

impl PostcardState for Purse {}

/// What the nodes send each other: so many coins.
type Gift = u64;

type Cut = GlobalSnapshot<Purse, Gift>;

/// A process of the group; here a task.
struct Process {
    handle: SnapshotHandle,
    task: JoinHandle<Result<()>>,
}

pub(crate) async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = MemoryStore::new();
    let (stop, stopped) = watch::channel(());
    let start = |id| start(folder.path(), id, store.clone(), stopped.clone());
    let (one, two, three) = (start(MEMBERS[0]).await?, start(MEMBERS[1]).await?, start(MEMBERS[2]).await?);

    let first = snapshot(&one.handle, &store, 100).await?;
    check(&first);

    println!("n2 is killed: its connections close without a goodbye");
    two.task.abort();
    let _ = two.task.await;
    println!("n2 is started again");
    let two = start(MEMBERS[1]).await?;
    let second = snapshot(&one.handle, &store, 200).await?;
    assert!(second.id().generation > first.id().generation, "the group has not gone back");
    check(&second);

    stop.send(())?;
    for process in [one, two, three] {
        process.task.await??;
    }
    println!("2 snapshots, 1 kill, {TOTAL} coins in each: ok");
    Ok(())
}

async fn start(
    folder: &Path,
    id: NodeId,
    store: MemoryStore,
    stopped: watch::Receiver<()>,
) -> Result<Process> {
    let topology = Graph::mesh(MEMBERS).named("coins").at(id)?;
    let transport = UnixTransport::bind(folder, topology)?;
    let mut purse = Purse { coins: COINS_EACH, gifts_taken: 0, opened: false };
    let node = SnapshotNode::builder(transport).store(store).codec(Postcard).start(&mut purse).await?;
    Ok(Process { handle: node.handle(), task: tokio::spawn(live(node, purse, stopped)) })
}

/// Who takes a gift gives another one.
async fn live(
    mut node: SnapshotNode<Purse, Gift>,
    mut purse: Purse,
    mut stopped: watch::Receiver<()>,
) -> Result<()> {
    let me = node.id();
    loop {
        if !purse.opened {
            purse.opened = true;
            for other in MEMBERS.into_iter().filter(|other| *other != me) {
                give(&mut node, &mut purse, other)?;
            }
        }
        let gifts_before = purse.gifts_taken;
        tokio::select! {
            event = node.next(&mut purse) => match event? {
                Event::Message { from, message: coins } => {
                    purse.coins += coins;
                    purse.gifts_taken += 1;
                    let other = MEMBERS.into_iter().find(|other| ![me, from.id()].contains(other));
                    // Now back, now on.
                    let to = if purse.gifts_taken.is_multiple_of(2) { from.id() } else { other.unwrap_or(from.id()) };
                    give(&mut node, &mut purse, to)?;
                }
                Event::RolledBack { snapshot: Some(snapshot), .. } => {
                    let gifts = purse.gifts_taken;
                    println!("{me} had taken {gifts_before} gifts, and goes on from {snapshot}, after {gifts}");
                }
                Event::PeerLost { peer, why } => println!("{me}: {peer} is lost: {why}"),
                _ => {}
            },
            _ = stopped.changed() => break,
        }
    }
    node.close(PARTING).await?;
    Ok(())
}

fn give(
    node: &mut SnapshotNode<Purse, Gift>,
    purse: &mut Purse,
    to: NodeId,
) -> std::result::Result<(), SendError> {
    let coins = purse.coins.min(1 + purse.gifts_taken % 7);
    purse.coins -= coins;
    node.send(to, coins)
}

/// Asks until one is committed in which each node has taken so many gifts. While a node is down, none can be.
async fn snapshot(handle: &SnapshotHandle, store: &MemoryStore, gifts: u64) -> Result<Cut> {
    loop {
        match handle.snapshot().await {
            Ok(report) => {
                let archive = Archive::<Purse, Gift>::open(store.clone(), Postcard).await?;
                let cut = archive.read(report.snapshot).await?;
                if cut.states().all(|(_, purse)| purse.gifts_taken >= gifts) {
                    return Ok(cut);
                }
            }
            Err(error) => println!("no snapshot yet: {error}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Prints a snapshot, and counts its coins.
fn check(cut: &Cut) {
    println!("snapshot {}", cut.id());
    for (node, purse) in cut.states() {
        println!("  {node} has {} coins, after {} gifts", purse.coins, purse.gifts_taken);
    }
    for ((from, to), gifts) in cut.channels().filter(|(_, gifts)| !gifts.is_empty()) {
        println!("  on their way from {from} to {to}: gifts of {gifts:?}");
    }
    let held: u64 = cut.states().map(|(_, purse)| purse.coins).sum();
    let in_flight: u64 = cut.in_flight().map(|(_, coins)| coins).sum();
    println!("  {held} coins in purses and {in_flight} on their way: {}", held + in_flight);
    assert_eq!(held + in_flight, TOTAL, "a coin is missing, or there twice");
}
