//! What arrives, as a stream of deliveries.

use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use snapshot_core::{Archive, Calls, Event, Postcard, TurnError};
use snapshot_store::MemoryStore;

use crate::support::*;

#[test]
fn drivers_that_are_polled_only_when_they_were_woken_wait_for_nothing_that_has_come() {
    let network = Network::mesh::<2>().0;
    let store = MemoryStore::new();
    let boot = |id| share(&network, builder(&network, id).store(store.clone()));
    let ((a, drive_a), (_b, drive_b)) = (boot(A), boot(B));
    let (_deliveries, drive_b) = drive_b.stream();
    // Each of these has a waker of its own.
    let mut drivers: FuturesUnordered<Task<'_>> =
        [run(drive_a, &Calls::new()), Box::pin(drive_b)].into_iter().collect();
    let handle = a.handle();
    let mut snapshot = pin!(handle.snapshot());
    let done = network.run(select(&mut snapshot, drivers.next()));
    let done = done.expect("nobody sleeps while there is something to do");
    assert!(matches!(done, Either::Left((Ok(_), _))));
}

#[test]
fn a_delivery_that_is_dropped_comes_again_and_one_that_waits_stops_nothing() {
    let network = Network::mesh::<2>().0;
    let store = MemoryStore::new();
    let boot = |id| share(&network, builder(&network, id).store(store.clone()));
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let (mut deliveries, drive_b) = drive_b.stream();
    let mut tasks = vec![run(drive_a, &Calls::new()), Box::pin(drive_b) as Task<'_>];
    until(&network, &mut tasks, async {
        assert!(deliveries.next().now_or_never().is_none(), "nothing has come");
        for amount in 1..=3 {
            a.turn(|ledger, out| pay(ledger, out, B, amount)).await.unwrap().unwrap();
        }
        let waiting = deliveries.next().await.unwrap();
        let mut next = deliveries.next();
        assert!((&mut next).now_or_never().is_none(), "one at a time");
        // Nobody takes anything, and the snapshot is taken all the same, with the messages in their channel.
        let report = a.handle().snapshot().await.unwrap();
        let archive = Archive::<Ledger, Message>::open(store.clone(), Postcard).await.unwrap();
        let cut = archive.read(report.snapshot).await.unwrap();
        assert_eq!(cut.channel(A, B), [1, 2, 3].map(Message::Pay));
        drop(waiting);

        let mut received = Vec::new();
        while received.len() < 3 {
            let delivery = deliveries.next().await.unwrap();
            let taken = delivery.take(|ledger, event, _| {
                let Event::Message { from, message: Message::Pay(amount) } = event else { return };
                ledger.balance += amount;
                received.push((from.id(), amount));
            });
            taken.await.unwrap();
        }
        assert_eq!(received, [(A, 1), (A, 2), (A, 3)]);
        assert_eq!(b.read(|ledger| ledger.balance), START + 6);
    });
}

#[test]
fn the_stream_brings_rollbacks_too_and_ends_with_the_node() {
    let network = Network::mesh::<2>().0;
    let store = MemoryStore::new();
    let boot = |id| share(&network, builder(&network, id).store(store.clone()));
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let (mut deliveries, drive_a) = drive_a.stream();
    let mut tasks = vec![Box::pin(drive_a) as Task<'_>, run(drive_b, &Calls::new())];
    let undone = until(&network, &mut tasks, async { a.turn(|_, out| out.turn()).await.unwrap() });
    drop(b);
    network.crash(B);
    tasks.truncate(1);
    let (_b, drive_b) = boot(B);
    tasks.push(run(drive_b, &Calls::new()));
    until(&network, &mut tasks, async {
        let mut rolled_back = false;
        while !rolled_back {
            let delivery = deliveries.next().await.unwrap();
            rolled_back =
                delivery.take(|_, event, _| matches!(event, Event::RolledBack { .. })).await.unwrap();
        }
        assert_eq!(a.committed(undone).await, Err(TurnError::RolledBack));
        let (closed, last) = tokio::join!(a.close(), async {
            while let Some(delivery) = deliveries.next().await {
                let _ = delivery.take(|_, _, _| ()).await;
            }
            "the end"
        });
        assert_eq!((closed, last), ((), "the end"));
    });
}
