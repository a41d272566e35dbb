//! Questions and answers that outlive neither their time nor their generation.

use std::future::poll_fn;
use std::task::Poll;

use futures::FutureExt;
use futures::future::select;
use snapshot_core::{Bound, CallError, Calls, NodeId, SendError};
use snapshot_store::MemoryStore;

use super::support::*;

#[test]
fn a_call_brings_the_answer_and_the_turn_that_received_it() {
    let (pair, mut tasks) = pair(|builder| builder);
    until(&pair.network, &mut tasks, async {
        let before = pair.a.turn(|_, out| out.turn()).await.unwrap();
        let asked = pair.calls.call(&pair.a, SOON, |_, call, out| out.send(B, Message::Ask(call)));
        let answer = asked.await.unwrap();
        assert_eq!(answer.value, START);
        assert!(answer.turn > before);
        pair.a.handle().snapshot().await.unwrap();
        pair.a.committed(answer.turn).await.unwrap();
        assert!(pair.calls.is_empty());
    });
}

#[test]
fn a_call_fails_in_time_and_its_late_answer_is_nobodys() {
    let (pair, mut tasks) = pair(|builder| builder);
    pair.network.hold(B, A);
    until(&pair.network, &mut tasks, async {
        assert_eq!(ask(&pair, SOON).await, Err(CallError::TimedOut { after: SOON }));
        assert!(pair.calls.is_empty());
        pair.network.release(B, A);
        assert_eq!(ask(&pair, SOON).await, Ok(START), "the next one gets its own");
    });
}

#[test]
fn the_time_of_a_call_includes_the_wait_for_room() {
    let one = Bound::new(1, 1 << 20);
    let (pair, mut tasks) = pair(|builder| builder.outbox(one, Bound::new(64, 1 << 20)));
    pair.network.cut(A, B);
    until(&pair.network, &mut tasks, async {
        pair.a.turn(|ledger, out| pay(ledger, out, B, 5)).await.unwrap().unwrap();
        assert_eq!(ask(&pair, SOON).await, Err(CallError::TimedOut { after: SOON }));
    });
}

#[test]
fn a_call_that_cannot_be_sent_says_so_and_waits_for_nothing() {
    let (pair, mut tasks) = pair(|builder| builder);
    until(&pair.network, &mut tasks, async {
        let stranger = NodeId(9);
        let asked = pair.calls.call(&pair.a, SOON, |_, call, out| out.send(stranger, Message::Ask(call)));
        let refused = SendError::UnknownPeer { me: A, to: stranger };
        assert_eq!(asked.await, Err(CallError::Send(refused)));
        assert!(pair.calls.is_empty());
    });
}

#[test]
fn a_call_fails_when_the_group_goes_back_and_the_old_answer_is_not_the_new_ones() {
    let (mut pair, mut tasks) = pair(|builder| builder);
    // The request or its answer is in flight when the snapshot is taken, and so there is an answer after the restart too.
    pair.network.hold(B, A);
    let (a, calls) = (pair.a.clone(), pair.calls.clone());
    let mut asked = Box::pin(calls.call(&a, 100 * SOON, |_, call, out| out.send(B, Message::Ask(call))));
    assert!(asked.as_mut().now_or_never().is_none());
    let handle = pair.a.handle();
    let mut snapshot = Box::pin(handle.snapshot());
    assert!(snapshot.as_mut().now_or_never().is_none());
    // B has answered and sent its marker, in whichever order.
    let b_answered =
        poll_fn(|_| if pair.network.in_flight(B, A) >= 2 { Poll::Ready(()) } else { Poll::Pending });
    let waiting = async {
        select(b_answered, pair.network.clock().sleep_until(SOON)).await;
    };
    until(&pair.network, &mut tasks, waiting);
    pair.network.release(B, A);
    until(&pair.network, &mut tasks, async { snapshot.await.unwrap() });
    let first = until(&pair.network, &mut tasks, asked).expect("it was answered");
    assert_eq!(first.value, START);

    let mut second = Box::pin(calls.call(&a, 100 * SOON, |_, call, out| out.send(B, Message::Ask(call))));
    assert!(second.as_mut().now_or_never().is_none());
    pair.restart_b(&mut tasks);
    until(&pair.network, &mut tasks, async {
        assert_eq!(second.await, Err(CallError::RolledBack { request_stands: false }));
        // The replayed answer to the first call finds nobody, and the third call gets its own.
        pair.a.turn(|ledger, out| pay(ledger, out, B, 1)).await.unwrap().unwrap();
        assert_eq!(ask(&pair, SOON).await, Ok(START + 1));
        assert!(calls.is_empty());
    });
}

#[test]
fn a_call_whose_request_is_in_the_snapshot_takes_effect_and_says_so() {
    let network = Network::mesh::<2>().0;
    let (store, calls) = (MemoryStore::new(), Calls::new());
    let boot = |id| share(&network, builder(&network, id).store(store.clone()));
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    // B takes nothing: the request waits in its channel, and so it is in the cut.
    let (deliveries, drive_b) = drive_b.stream();
    let mut tasks = vec![run(drive_a, &calls), Box::pin(drive_b) as Task<'_>];
    let request = |_: &mut Ledger, call, out: &mut Out<'_>| {
        out.send(B, Message::Pay(5))?;
        out.send(B, Message::Ask(call))
    };
    let mut asked = Box::pin(calls.call(&a, 100 * SOON, request));
    assert!(asked.as_mut().now_or_never().is_none());
    until(&network, &mut tasks, async { a.handle().snapshot().await.unwrap() });
    assert!(asked.as_mut().now_or_never().is_none());

    drop((b, deliveries));
    network.crash(B);
    tasks.truncate(1);
    let (b, drive_b) = boot(B);
    tasks.push(run(drive_b, &Calls::new()));
    until(&network, &mut tasks, async {
        assert_eq!(asked.await, Err(CallError::RolledBack { request_stands: true }));
        let clock = network.clock();
        clock.sleep_until(clock.now() + SOON).await;
        assert_eq!(b.read(|ledger| ledger.balance), START + 5, "once");
        assert!(calls.is_empty());
    });
}
