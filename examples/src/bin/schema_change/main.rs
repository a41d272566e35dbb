//! A new release whose state and messages look different, started on the snapshots of the old one:
//! `cargo run --bin schema_change`
//!
//! [`first`] and [`second`] are the two releases of one application: tills that pay each other all the time. The first one
//! counts whole coins in 32 bits, the second one hundredths in 64. Here two nodes of the first release run until a snapshot
//! is committed while payments are under way, and are killed. Two nodes of the second release start from that snapshot:
//! their tills hold what they held, and every payment that was under way arrives, exactly once, in its old form. Then they
//! take a snapshot of their own, and from that one the first release refuses to start.
//!
//! [`group`] runs a node of either release, and is no part of the lesson.

#[cfg(test)]
mod conformance;
mod first;
mod group;
mod second;

use std::error::Error;

use snapshot_core::{Archive, GlobalSnapshot, Postcard, PostcardState, SnapshotId};
use snapshot_store::DirectoryStore;

use group::{Group, Release};

/// What all tills hold at first, and always, in hundredths.
const TOTAL: u64 = 2 * 1000 * 100;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let store = DirectoryStore::open(folder.path())?;

    let group = Group::start::<first::Till>(&store).await?;
    let stored = loop {
        let cut = look::<first::Till>(&store, group.snapshot().await).await?;
        // The payments go back and forth all the time: this is soon so.
        if cut.in_flight().next().is_some() {
            break cut;
        }
    };
    group.kill().await;

    let group = Group::start::<second::Till>(&store).await?;
    let cut = loop {
        let cut = look::<second::Till>(&store, group.snapshot().await).await?;
        if !cut.in_flight().any(|(_, payment)| matches!(payment, second::Payment::Coins(_))) {
            break cut;
        }
    };
    group.kill().await;

    let under_way = stored.in_flight().count() as u64;
    let arrived: u64 = cut.states().map(|(_, till)| till.old_payments).sum();
    assert_eq!(arrived, under_way, "a payment of the first release is missing, or came twice");

    let Err(refused) = Group::start::<first::Till>(&store).await else {
        return Err("the first release has started from what the second one wrote".into());
    };
    println!("the first release again: {refused}");
    println!(
        "{arrived} payments of the first release arrived once, {TOTAL} hundredths in each snapshot, downgrade refused: ok"
    );
    Ok(())
}

/// Reads a snapshot, prints it, and counts its money.
async fn look<R: Release>(
    store: &DirectoryStore,
    id: SnapshotId,
) -> Result<GlobalSnapshot<R, R::Payment>, Failure> {
    let cut = Archive::<R, R::Payment>::open(store.clone(), Postcard).await?.read(id).await?;
    println!("snapshot {id}, version {}", <R as PostcardState>::VERSION);
    for (node, till) in cut.states() {
        println!("  {node}: {till:?}");
    }
    for ((from, to), payment) in cut.in_flight() {
        println!("  {payment:?} is on its way from {from} to {to}");
    }
    let held: u64 = cut.states().map(|(_, till)| till.holds()).sum();
    let in_flight: u64 = cut.in_flight().map(|(_, payment)| R::worth(payment)).sum();
    assert_eq!(held + in_flight, TOTAL, "money is missing, or there twice");
    Ok(cut)
}
