//! What arrives, as a stream of deliveries.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use snapshot_core::{Archive, Bound, Calls, Event, Farewell, Graph, Postcard, TurnError};
use snapshot_store::MemoryStore;

use super::support::*;

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
        let (closed, last) = tokio::join!(a.close(SOON), async {
            while let Some(delivery) = deliveries.next().await {
                let _ = delivery.take(|_, _, _| ()).await;
            }
            "the end"
        });
        assert_eq!((closed, last), (Some(Farewell::default()), "the end"));
    });
}

#[test]
fn where_nobody_takes_events_the_node_goes_on_and_beyond_a_bound_they_are_counted() {
    const AHEAD: usize = 64;
    let network = Network::mesh::<2>().0;
    let boot = |id| share(&network, builder(&network, id).deadline(SOON));
    let ((_a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let (mut deliveries, drive_a) = drive_a.stream();
    let mut tasks = vec![Box::pin(drive_a) as Task<'_>, run(drive_b, &Calls::new())];
    until(&network, &mut tasks, async {
        // A is told of each beginning, and has its part of each.
        for _ in 0..AHEAD {
            b.handle().snapshot().await.expect("nobody waits for A's application");
        }
        let mut take = || {
            let delivery = deliveries.next().now_or_never().flatten()?;
            delivery.take(|_, event, _| event).now_or_never()?.ok()
        };
        for _ in 0..AHEAD / 2 {
            assert!(matches!(take(), Some(Event::SnapshotBegun { .. })));
            assert!(matches!(take(), Some(Event::LocalSnapshot(_))));
        }
        assert_eq!(take(), Some(Event::Skipped { events: AHEAD as u64 }));
        assert_eq!(take(), None);
    });
}

#[test]
fn of_commits_that_nobody_takes_the_newest_stands_for_all() {
    let network = Network::mesh::<2>().0;
    let store = MemoryStore::new();
    let boot = |id| share(&network, builder(&network, id).store(store.clone()));
    let ((_a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let (mut deliveries, drive_a) = drive_a.stream();
    let mut tasks = vec![Box::pin(drive_a) as Task<'_>, run(drive_b, &Calls::new())];
    until(&network, &mut tasks, async {
        let mut last = None;
        for _ in 0..100 {
            last = Some(b.handle().snapshot().await.expect("nobody waits for A's application").snapshot);
        }
        network.clock().sleep_until(network.clock().now() + SOON).await;
        let mut events = Vec::new();
        while let Some(delivery) = deliveries.next().now_or_never().flatten() {
            events.extend(delivery.take(|_, event, _| event).now_or_never().and_then(Result::ok));
        }
        assert!(events.len() <= 66, "{}", events.len());
        let newest = events.iter().rev().find_map(|event| match event {
            Event::Committed { snapshot, .. } => Some(*snapshot),
            _ => None,
        });
        assert_eq!(newest, last);
    });
}

#[test]
fn where_nobody_takes_messages_what_is_over_the_window_stays_with_the_sender() {
    let network = Network::mesh::<2>().0;
    let few = |id| builder(&network, id).inbox(Bound::new(4, 1 << 20)).window_floor(Bound::new(1, 1));
    let boot = |id| share(&network, few(id));
    let ((a, drive_a), (_b, drive_b)) = (boot(A), boot(B));
    let (mut deliveries, drive_b) = drive_b.stream();
    let mut tasks = vec![run(drive_a, &Calls::new()), Box::pin(drive_b) as Task<'_>];
    until(&network, &mut tasks, async {
        let clock = network.clock();
        for _ in 0..2 {
            a.turn(|ledger, out| (0..5).try_for_each(|_| pay(ledger, out, B, 1))).await.unwrap().unwrap();
            clock.sleep_until(clock.now() + SOON).await;
        }
        assert_eq!(network.in_flight(A, B), 0, "what has departed has arrived");
        let report = a.handle().snapshot().await.expect("it waits for nobody's application");
        assert_eq!(report.messages(), 10);
        let part = |id| report.parts.iter().find(|part| part.node == id).map(|part| part.messages);
        assert_eq!((part(A), part(B)), (Some(6), Some(4)), "the window at B, the rest at A");
        let mut messages = 0;
        while messages < 10 {
            let delivery = deliveries.next().await.unwrap();
            messages +=
                delivery.take(|_, event, _| u32::from(matches!(event, Event::Message { .. }))).await.unwrap();
        }
    });
}

#[test]
fn who_waits_for_a_delivery_or_to_take_one_is_woken_when_that_can_be_and_at_the_end() {
    let network = Network::builder(&Graph::mesh([A, B])).capacity(1).build().unwrap();
    let (two, many) = (Bound::new(2, 200), Bound::new(64, 1 << 20));
    let ((a, drive_a), (b, drive_b)) =
        [A, B].map(|id| share(&network, builder(&network, id).outbox(two, two).outbox_hard(many))).into();
    let (mut deliveries, drive_a) = drive_a.stream();
    let mut tasks = vec![Box::pin(drive_a) as Task<'_>, run(drive_b, &Calls::new())];
    let clock = network.clock();
    let a_while = |tasks: &mut [Task<'_>]| until(&network, tasks, clock.sleep_until(clock.now() + SOON));
    a_while(&mut tasks);
    let ((wake_stream, of_stream), (wake_taker, of_taker)) = (counting(), counting());
    let (stream, taker) = (&mut Context::from_waker(&wake_stream), &mut Context::from_waker(&wake_taker));

    // For a message.
    assert!(deliveries.poll_next_unpin(stream).is_pending());
    let pays = b.turn(|ledger, out| (0..2).try_for_each(|_| pay(ledger, out, A, 1)));
    assert_eq!(pays.now_or_never(), Some(Ok(Ok(()))));
    a_while(&mut tasks);
    assert!(of_stream.count() > 0);

    // For room, where what is sent does not arrive.
    let fill = || {
        network.hold(A, B);
        let pays = a.turn(|ledger, out| (0..4).try_for_each(|_| pay(ledger, out, B, 1)));
        assert_eq!(pays.now_or_never(), Some(Ok(Ok(()))));
    };
    let Poll::Ready(Some(delivery)) = deliveries.poll_next_unpin(stream) else { panic!("it is there") };
    fill();
    let mut taking = Box::pin(delivery.take(|_, _, _| ()));
    assert!(taking.as_mut().poll(taker).is_pending());
    network.release(A, B);
    a_while(&mut tasks);
    assert!(of_taker.count() > 0);
    assert!(taking.as_mut().poll(taker).is_ready());

    // For the end.
    let Poll::Ready(Some(delivery)) = deliveries.poll_next_unpin(stream) else { panic!("it is there") };
    fill();
    let mut taking = Box::pin(delivery.take(|_, _, _| ()));
    assert!(taking.as_mut().poll(taker).is_pending());
    assert!(deliveries.poll_next_unpin(stream).is_pending());
    let before = (of_stream.count(), of_taker.count());
    drop(tasks);
    assert_eq!((of_stream.count(), of_taker.count()), (before.0 + 1, before.1 + 1));
    assert_eq!(taking.as_mut().poll(taker), Poll::Ready(Err(TurnError::Ended)));
    drop(taking);
    assert!(matches!(deliveries.poll_next_unpin(stream), Poll::Ready(None)));
}

#[test]
fn a_delivery_that_is_taken_wakes_the_driver_and_whom_it_concerns_and_one_that_is_dropped_the_stream() {
    let network = Network::mesh::<2>().0;
    let store = MemoryStore::new();
    let ((a, drive_a), (_b, drive_b)) =
        [A, B].map(|id| share(&network, builder(&network, id).store(store.clone()))).into();
    let (mut deliveries, drive_a) = drive_a.stream();
    let mut tasks = vec![Box::pin(drive_a) as Task<'_>, run(drive_b, &Calls::new())];
    let [(wake_driver, of_driver), (wake_stream, of_stream), (wake_waiter, of_waiter)] =
        [(); 3].map(|()| counting());
    let stream = &mut Context::from_waker(&wake_stream);
    let at = a.turn(|_, out| out.turn()).now_or_never().expect("there is room").unwrap();
    let mut committed = pin!(a.committed(at));
    assert!(committed.as_mut().poll(&mut Context::from_waker(&wake_waiter)).is_pending());
    until(&network, &mut tasks, async { a.handle().snapshot().await.unwrap() });

    let Poll::Ready(Some(dropped)) = deliveries.poll_next_unpin(stream) else { panic!("it is there") };
    assert!(deliveries.poll_next_unpin(stream).is_pending(), "one at a time");
    let before = of_stream.count();
    drop(dropped);
    assert_eq!(of_stream.count(), before + 1);

    let mut is_told = false;
    while !is_told {
        assert_eq!(of_waiter.count(), 0, "the application has not been told");
        assert!(tasks[0].as_mut().poll(&mut Context::from_waker(&wake_driver)).is_pending());
        let before = of_driver.count();
        let delivery = deliveries.next().now_or_never().flatten().expect("there is more to tell");
        let taken = delivery.take(|_, event, _| matches!(event, Event::Committed { .. })).now_or_never();
        is_told = taken.expect("it is there").unwrap();
        assert_eq!(of_driver.count(), before + 1);
    }
    assert_eq!(of_waiter.count(), 1);
}

#[test]
fn a_driver_with_much_to_hand_out_lets_others_have_their_turn() {
    const AT_ONCE: usize = 64;
    let (pair, mut tasks) = pair(|builder| builder);
    let pays = pair.b.turn(|ledger, out| (0..100).try_for_each(|_| pay(ledger, out, A, 1)));
    assert_eq!(pays.now_or_never(), Some(Ok(Ok(()))));
    until(&pair.network, &mut tasks[1..], pair.network.clock().sleep_until(SOON));
    let received = || pair.a.read(|ledger| ledger.received.len());
    let (waker, woken) = counting();
    let mut polls = Vec::new();
    while received() < 100 && polls.len() < 100 {
        let before = woken.count();
        assert!(tasks[0].as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        polls.push((received(), woken.count() > before));
    }
    assert_eq!(polls, [(AT_ONCE, true), (100, false)]);
}
