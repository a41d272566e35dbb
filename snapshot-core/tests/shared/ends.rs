//! Reads, and how a shared node comes to its end.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use futures::FutureExt;
use futures::future::select;
use snapshot_core::{CallError, NodeError, NodeId, SendError, TurnError};

use crate::support::*;

#[test]
fn reads_need_neither_room_nor_the_network_and_see_whole_turns() {
    let (pair, tasks) = pair(|builder| builder);
    let _ = pair.a.turn(|ledger, out| pay(ledger, out, B, 7)).now_or_never();
    assert_eq!(pair.a.read(|ledger| ledger.balance), START - 7);
    drop(tasks);
    assert_eq!(pair.a.read(|ledger| ledger.balance), START - 7, "the last that there was");
}

#[test]
fn a_turn_within_a_turn_is_a_defect_that_is_named() {
    let (pair, _tasks) = pair(|builder| builder);
    let nested = catch_unwind(AssertUnwindSafe(|| {
        let inner = pair.a.clone();
        pair.a.turn(move |_, _| inner.read(|ledger| ledger.balance)).now_or_never()
    }));
    let text = *nested.unwrap_err().downcast::<&str>().unwrap();
    assert!(text.contains("use the state that the closure was given"), "{text}");
    // One node's state may be read within another's turn.
    let (other, _its_tasks) = self::pair(|builder| builder);
    let b = other.b.clone();
    other.a.turn(|ledger, _| ledger.balance += b.read(|b| b.balance)).now_or_never().unwrap().unwrap();
}

#[test]
fn a_turn_that_panics_ends_the_node() {
    let (pair, mut tasks) = pair(|builder| builder);
    let panicking = pair.a.turn(|ledger, _| {
        ledger.balance = 0;
        panic!("half-way");
    });
    assert!(catch_unwind(AssertUnwindSafe(|| panicking.now_or_never())).is_err());
    let ended =
        until(&pair.network, &mut tasks[1..], async { (pair.a.turn(|_, _| ()).await, pair.a.clone()) });
    assert_eq!(ended.0, Err(TurnError::Ended));
    let error = pair.network.run(&mut tasks[0]).unwrap().unwrap_err();
    assert!(matches!(error, NodeError::Panicked), "{error}");
    assert!(catch_unwind(AssertUnwindSafe(|| ended.1.read(|ledger| ledger.balance))).is_err());
}

#[test]
fn a_handler_that_cannot_send_ends_the_node_with_the_reason() {
    let network = Network::mesh::<2>().0;
    let (a, driver) = share(&network, builder(&network, A));
    let (_b, _not_driven) = share(&network, builder(&network, B));
    let mut node = pin!(driver.run(|_: &mut Ledger, _, out| out.send(NodeId(9), Message::Pay(1))));
    network.crash(B);
    let error = network.run(&mut node).unwrap().unwrap_err();
    assert!(matches!(error, NodeError::Send(SendError::UnknownPeer { .. })), "{error}");
    assert_eq!(a.turn(|_, _| ()).now_or_never().unwrap(), Err(TurnError::Ended));
}

#[test]
fn without_its_driver_the_node_has_ended_for_all_who_wait() {
    let (pair, mut tasks) = pair(|builder| builder);
    let at = pair.a.turn(|_, out| out.turn()).now_or_never().unwrap().unwrap();
    let mut committed = Box::pin(pair.a.committed(at));
    assert!(committed.as_mut().now_or_never().is_none());
    drop(tasks.remove(0));
    assert_eq!(committed.now_or_never(), Some(Err(TurnError::Ended)));
    assert_eq!(ask(&pair, SOON).now_or_never(), Some(Err(CallError::Ended)));
    assert!(pair.a.close().now_or_never().is_some());
}

#[test]
fn close_sends_what_is_queued_and_says_goodbye() {
    let (pair, mut tasks) = pair(|builder| builder);
    let a = pair.a.clone();
    a.turn(|ledger, out| pay(ledger, out, B, 7)).now_or_never().unwrap().unwrap().unwrap();
    until(&pair.network, &mut tasks, async { a.close().await });
    assert_eq!(a.turn(|_, _| ()).now_or_never().unwrap(), Err(TurnError::Ended));
    let b = pair.b.clone();
    let arrived = poll_fn(|_| if b.read(|b| b.balance) > START { Poll::Ready(()) } else { Poll::Pending });
    let clock = pair.network.clock();
    until(&pair.network, &mut tasks[1..], async {
        select(arrived, clock.sleep_until(SOON)).await;
    });
    assert_eq!(b.read(|b| b.balance), START + 7);
}

#[test]
fn without_a_store_nothing_is_committed_and_that_is_said() {
    let network = Network::mesh::<2>().0;
    let (a, _driver) = share(&network, builder(&network, A));
    let at = a.turn(|_, out| out.turn()).now_or_never().unwrap().unwrap();
    assert_eq!(a.committed(at).now_or_never(), Some(Err(TurnError::NoStore)));
}
