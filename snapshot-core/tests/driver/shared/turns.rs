//! Turns: what they change together, what they wait for, what becomes of them.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::task::Poll;

use futures::FutureExt;
use futures::future::join_all;
use snapshot_core::{Archive, Bound, Event, Graph, NodeId, Postcard, TurnError};
use snapshot_store::MemoryStore;

use super::support::*;

#[test]
fn a_turn_changes_the_state_and_sends_and_a_snapshot_has_both() {
    let (pair, mut tasks) = pair(|builder| builder);
    let Pair { network, store, a, b, .. } = &pair;
    network.hold(A, B);
    until(network, &mut tasks, async {
        a.turn(|ledger, out| pay(ledger, out, B, 30)).await.unwrap().unwrap();
        let handle = b.handle();
        let asked = handle.snapshot();
        network.release(A, B);
        let report = asked.await.unwrap();
        let archive = Archive::<Ledger, Message>::open(store.clone(), Postcard).await.unwrap();
        let cut = archive.read(report.snapshot).await.unwrap();
        let held: u64 = cut.states().map(|(_, ledger)| ledger.balance).sum();
        let paid: u64 =
            cut.in_flight().map(|(_, m)| if let Message::Pay(amount) = m { *amount } else { 0 }).sum();
        assert_eq!(held + paid, 2 * START);
    });
}

#[test]
fn a_turn_waits_for_room_before_and_never_inside() {
    let one = Bound::new(1, 1 << 20);
    let (pair, mut tasks) = pair(|builder| builder.outbox(one, Bound::new(64, 1 << 20)));
    let Pair { network, a, b, .. } = &pair;
    network.cut(A, B);
    let inside = Cell::new(0);
    let mut turns: Vec<_> = (0..10)
        .map(|amount| {
            let inside = &inside;
            Box::pin(a.turn(move |ledger, out| {
                inside.set(inside.get() + 1);
                for _ in 0..3 {
                    pay(ledger, out, B, amount).unwrap();
                }
            }))
        })
        .collect();
    let begun = until(network, &mut tasks, async {
        poll_fn(|cx| {
            for turn in &mut turns {
                let _ = turn.as_mut().poll(cx);
            }
            Poll::Ready(inside.get())
        })
        .await
    });
    assert_eq!(
        begun, 1,
        "the first turn went over the mark by itself, whole, and the others wait in front of it"
    );
    network.heal(A, B);
    drop(turns.remove(0));
    until(network, &mut tasks, async {
        for done in join_all(turns).await {
            done.unwrap();
        }
        b.handle().snapshot().await.unwrap();
    });
    let expected: Vec<u64> = (0..10).flat_map(|amount| [amount; 3]).collect();
    assert_eq!(b.read(|ledger| ledger.received.clone()), expected, "in line, each turn's messages together");
}

#[test]
fn one_that_was_let_in_and_goes_away_lets_the_next_one_in() {
    let one = Bound::new(1, 1 << 20);
    let (pair, mut tasks) = pair(|builder| builder.outbox(one, Bound::new(64, 1 << 20)));
    let Pair { network, a, .. } = &pair;
    network.cut(A, B);
    let turn = |amount| Box::pin(a.turn(move |ledger, out| pay(ledger, out, B, amount)));
    let (mut first, mut second, mut third) = (turn(1), turn(2), turn(3));
    // The later two are polled where nothing else happens, so that only the node can wake them.
    assert!(first.as_mut().now_or_never().is_some());
    let (wake_second, woken_second) = counting();
    let (wake_third, woken_third) = counting();
    assert!(second.as_mut().poll(&mut std::task::Context::from_waker(&wake_second)).is_pending());
    assert!(third.as_mut().poll(&mut std::task::Context::from_waker(&wake_third)).is_pending());
    network.heal(A, B);
    // No longer than until the first one is let in.
    let let_in = poll_fn(|_| if woken_second.count() > 0 { Poll::Ready(()) } else { Poll::Pending });
    until(network, &mut tasks, let_in);
    assert_eq!((woken_second.count(), woken_third.count()), (1, 0));
    drop(second);
    assert_eq!(woken_third.count(), 1);
    assert!(third.as_mut().now_or_never().is_some());
}

#[test]
fn a_turn_wakes_the_driver_where_it_has_left_something_to_do_and_only_there() {
    let (pair, mut tasks) = pair(|builder| builder);
    let (waker, woken) = counting();
    let mut wakes = |turn: &dyn Fn()| {
        assert!(tasks[0].as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        let before = woken.count();
        turn();
        woken.count() > before
    };
    let turn = |turn: fn(&mut Ledger, &mut Out<'_>)| {
        pair.a.turn(turn).now_or_never().expect("there is room").unwrap();
    };
    assert!(!wakes(&|| turn(|ledger, _| ledger.balance += 1)));
    assert!(wakes(&|| turn(|ledger, out| pay(ledger, out, B, 1).unwrap())));
    assert!(wakes(&|| turn(|_, out| out.snapshot())));
}

#[test]
fn all_of_it_shows_by_name() {
    let (pair, _tasks) = pair(|builder| builder);
    let inside = pair.a.turn(|_, out| (format!("{out:?}"), format!("{:?}", out.work())));
    let (outbox, work) = inside.now_or_never().expect("there is room").unwrap();
    for (shown, name) in [(format!("{:?}", pair.a), "SharedNode"), (outbox, "Outbox"), (work, "Work")] {
        assert!(shown.starts_with(name), "{shown}");
    }
}

#[test]
fn a_turn_is_committed_when_a_snapshot_covers_it_and_not_before() {
    let (pair, mut tasks) = pair(|builder| builder);
    let Pair { network, a, .. } = &pair;
    until(network, &mut tasks, async {
        let first = a.turn(|_, out| out.turn()).await.unwrap();
        let early = a.turn(|_, out| out.turn()).await.unwrap();
        assert!(early.turn() > first.turn() && early.generation() == first.generation());
        a.handle().snapshot().await.unwrap();
        a.committed(early).await.unwrap();

        let late = a.turn(|_, out| out.turn()).await.unwrap();
        let mut committed = Box::pin(a.committed(late));
        assert!(committed.as_mut().now_or_never().is_none());
        let handle = a.handle();
        let snapshot = handle.snapshot();
        let (report, committed) = tokio::join!(snapshot, committed);
        report.unwrap();
        committed.unwrap();
        assert_eq!(a.committed(early).await, Ok(()), "what was covered stays so");
    });
}

#[test]
fn who_waits_for_what_becomes_of_a_turn_is_woken_when_that_is_known() {
    let (pair, mut tasks) = pair(|builder| builder);
    let turn = |_: &mut Ledger, out: &mut Out<'_>| (out.turn(), out.work());
    let (at, work) = pair.a.turn(turn).now_or_never().expect("there is room").unwrap();
    let ((wake_first, first), (wake_second, second)) = (counting(), counting());
    let (mut committed, mut in_vain) = (Box::pin(pair.a.committed(at)), Box::pin(work.in_vain()));
    let (wake_leaver, leaver) = counting();
    let mut left = Box::pin(pair.a.committed(at));
    assert!(left.as_mut().poll(&mut std::task::Context::from_waker(&wake_leaver)).is_pending());
    drop(left);
    assert!(committed.as_mut().poll(&mut std::task::Context::from_waker(&wake_first)).is_pending());
    assert!(in_vain.as_mut().poll(&mut std::task::Context::from_waker(&wake_second)).is_pending());
    let handle = pair.a.handle();
    until(&pair.network, &mut tasks, async { handle.snapshot().await.unwrap() });
    assert_eq!((first.count(), second.count()), (1, 0), "a commit says nothing of later turns");
    assert_eq!(leaver.count(), 0, "it waits no longer");
    assert_eq!(committed.now_or_never(), Some(Ok(())));
    drop(tasks);
    assert_eq!(second.count(), 1);
    assert_eq!(in_vain.now_or_never(), Some(TurnError::Ended));
}

#[test]
fn after_a_rollback_covered_turns_stand_and_later_ones_never_happened() {
    let (mut pair, mut tasks) = pair(|builder| builder);
    let a = pair.a.clone();
    let (covered, undone) = until(&pair.network, &mut tasks, async {
        let covered = a
            .turn(|ledger, out| {
                ledger.balance += 1;
                out.turn()
            })
            .await
            .unwrap();
        a.handle().snapshot().await.unwrap();
        let undone = a
            .turn(|ledger, out| {
                ledger.balance += 10;
                out.turn()
            })
            .await
            .unwrap();
        (covered, undone)
    });
    let mut waiting = Box::pin(a.committed(undone));
    assert!(waiting.as_mut().now_or_never().is_none());
    pair.restart_b(&mut tasks);
    until(&pair.network, &mut tasks, async {
        assert_eq!(waiting.await, Err(TurnError::RolledBack));
        assert_eq!(a.committed(undone).await, Err(TurnError::RolledBack));
        assert_eq!(a.committed(covered).await, Ok(()));
        assert_eq!(a.read(|ledger| ledger.balance), START + 1);
        let new = a.turn(|_, out| out.turn()).await.unwrap();
        assert!(new.generation() > undone.generation());
        a.handle().snapshot().await.unwrap();
        assert_eq!(a.committed(new).await, Ok(()));
        assert_eq!(a.committed(undone).await, Err(TurnError::RolledBack), "for ever");
    });
}

#[test]
fn late_work_of_a_generation_that_was_left_is_refused() {
    let (mut pair, mut tasks) = pair(|builder| builder);
    let a = pair.a.clone();
    let work = until(&pair.network, &mut tasks, async {
        let work = a.turn(|_, out| out.work()).await.unwrap();
        work.turn(|ledger, _| ledger.balance += 1).await.unwrap();
        a.handle().snapshot().await.unwrap();
        work.turn(|ledger, _| ledger.balance += 1).await.expect("a snapshot changes nothing for it");
        work
    });
    let mut in_vain = Box::pin(work.in_vain());
    assert!(in_vain.as_mut().now_or_never().is_none());
    pair.restart_b(&mut tasks);
    until(&pair.network, &mut tasks, async {
        assert_eq!(in_vain.await, TurnError::RolledBack);
        let late = work.turn(|_, _| panic!("it must not be called")).await;
        assert_eq!(late, Err(TurnError::RolledBack));
        assert_eq!(a.read(|ledger| ledger.balance), START + 1);
    });
}

#[test]
fn a_turn_that_waited_over_a_rollback_is_run_after_it_and_work_is_not() {
    let one = Bound::new(1, 1 << 20);
    let network = Network::builder(&Graph::mesh([A, B])).capacity(1).build().unwrap();
    let (mut pair, mut tasks) = pair_on(network, |builder| builder.outbox(one, Bound::new(64, 1 << 20)));
    let a = pair.a.clone();
    // What A sends stays in its outbox for good, and what it receives arrives.
    pair.network.hold(A, B);
    let work = a.turn(|_, out| out.work()).now_or_never().unwrap().unwrap();
    let sends =
        |ledger: &mut Ledger, out: &mut Out<'_>| (0..4).try_for_each(|amount| pay(ledger, out, B, amount));
    a.turn(sends).now_or_never().unwrap().unwrap().unwrap();
    let mut plain = Box::pin(a.turn(|_, out| out.turn().generation()));
    let mut late = Box::pin(work.turn(|_, _| panic!("it must not be called")));
    assert!(plain.as_mut().now_or_never().is_none());
    assert!(late.as_mut().now_or_never().is_none());
    pair.restart_b(&mut tasks);
    until(&pair.network, &mut tasks, async { assert_eq!(late.await, Err(TurnError::RolledBack)) });
    pair.network.release(A, B);
    until(&pair.network, &mut tasks, async { assert!(plain.await.unwrap() > work.generation()) });
    assert_eq!(a.read(|ledger| ledger.balance), START);
}

/// Real threads, a real race: transfers from many tasks, snapshots all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_on_many_threads_move_money_and_none_is_made_or_lost() {
    const TASKS: u64 = 32;
    const TRANSFERS: u64 = 200;
    let network = Network::mesh::<3>().0;
    let store = MemoryStore::new();
    let mut nodes = Vec::new();
    for id in (1..=3).map(NodeId) {
        let builder = builder(&network, id)
            .store(store.clone())
            .outbox(Bound::new(8, 1 << 20), Bound::new(512, 1 << 20));
        let ledger = Ledger { balance: TASKS * TRANSFERS, received: Vec::new() };
        let (node, driver) = builder.share(ledger).await.unwrap();
        tokio::spawn(driver.run(|ledger: &mut Ledger, event, _| {
            if let Event::Message { message: Message::Pay(amount), .. } = event {
                ledger.balance += amount;
            }
            Ok(())
        }));
        nodes.push(node);
    }
    let pays = (0..TASKS).map(|task| {
        let node = nodes[task as usize % 3].clone();
        let to = NodeId((task + 1) % 3 + 1);
        tokio::spawn(async move {
            for _ in 0..TRANSFERS {
                node.turn(|ledger, out| pay(ledger, out, to, 1)).await.unwrap().unwrap();
            }
        })
    });
    let pays: Vec<_> = pays.collect();
    let mut reports = Vec::new();
    while reports.len() < 5 || pays.iter().any(|pay| !pay.is_finished()) {
        // One that crosses another is superseded, and that is no failure.
        reports.extend(nodes[reports.len() % 3].handle().snapshot().await);
    }
    for pay in pays {
        pay.await.unwrap();
    }
    let archive = Archive::<Ledger, Message>::open(store, Postcard).await.unwrap();
    let mut read = 0;
    for commit in archive.commits().iter().filter(|commit| commit.kept) {
        let cut = archive.read(commit.snapshot).await.unwrap();
        let held: u64 = cut.states().map(|(_, ledger)| ledger.balance).sum();
        let flying = cut.in_flight().filter(|(_, message)| matches!(message, Message::Pay(1))).count() as u64;
        assert_eq!(held + flying, 3 * TASKS * TRANSFERS, "{}", commit.snapshot);
        read += 1;
    }
    assert!(read >= 1);
}
