//! Reads, and how a shared node comes to its end.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures::FutureExt;
use futures::future::{BoxFuture, select};
use futures::stream::StreamExt;
use snapshot_core::{
    Bound, CallError, Failure, Frames, Graph, Inbox, NodeError, NodeId, Peer, SendError, SnapshotNode,
    Topology, Transport, TransportError, TurnError, async_trait,
};

use super::support::*;

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
fn a_turn_within_a_read_is_a_defect_that_is_named_even_where_none_could_be_run() {
    let (pair, tasks) = pair(|builder| builder);
    drop(tasks);
    assert_eq!(pair.a.turn(|_, _| ()).now_or_never(), Some(Err(TurnError::Ended)));
    let nested = catch_unwind(AssertUnwindSafe(|| pair.a.read(|_| pair.a.turn(|_, _| ()).now_or_never())));
    let text = *nested.unwrap_err().downcast::<&str>().unwrap();
    assert!(text.contains("use the state that the closure was given"), "{text}");
}

#[test]
fn a_turn_that_panics_ends_the_node() {
    let (pair, mut tasks) = pair(|builder| builder);
    let panicking = pair.a.turn(|ledger, _| {
        ledger.balance = 0;
        panic!("half-way");
    });
    let (waker, woken) = counting();
    assert!(tasks[0].as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let before = woken.count();
    assert!(catch_unwind(AssertUnwindSafe(|| panicking.now_or_never())).is_err());
    assert_eq!(woken.count(), before + 1, "the driver has something to tell");
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
    assert!(pair.a.close(SOON).now_or_never().is_some());
}

#[test]
fn close_sends_what_is_queued_and_says_goodbye() {
    let (pair, mut tasks) = pair(|builder| builder);
    let a = pair.a.clone();
    a.turn(|ledger, out| pay(ledger, out, B, 7)).now_or_never().unwrap().unwrap().unwrap();
    until(&pair.network, &mut tasks, async { a.close(SOON).await });
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
fn close_wakes_the_driver_and_the_driver_wakes_who_closes() {
    let network = Network::builder(&Graph::mesh([A, B])).capacity(1).build().unwrap();
    let (pair, mut tasks) = pair_on(network, |builder| builder);
    let ((wake_driver, of_driver), (wake_closer, of_closer)) = (counting(), counting());
    let (driver, closer) = (&mut Context::from_waker(&wake_driver), &mut Context::from_waker(&wake_closer));
    pair.network.hold(A, B);
    let turn = |ledger: &mut Ledger, out: &mut Out<'_>| {
        (0..2).for_each(|_| pay(ledger, out, B, 1).unwrap());
        out.turn()
    };
    let at = pair.a.turn(turn).now_or_never().expect("there is room").unwrap();
    assert!(tasks[0].as_mut().poll(driver).is_pending());
    let before = of_driver.count();

    let mut closing = pin!(pair.a.close(SOON));
    assert!(closing.as_mut().poll(closer).is_pending());
    assert_eq!((of_driver.count() - before, of_closer.count()), (1, 0));
    assert!(tasks[0].as_mut().poll(driver).is_pending(), "there is something to send");
    assert_eq!(pair.a.committed(at).now_or_never(), Some(Err(TurnError::Ended)), "whatever it still sends");
    assert!(closing.as_mut().poll(closer).is_pending());
    let before = of_closer.count();
    pair.network.release(A, B);
    until(&pair.network, &mut tasks, pair.network.clock().sleep_until(SOON));
    assert_eq!(of_closer.count(), before + 1);
    assert!(closing.as_mut().poll(closer).is_ready());
}

/// Woken, it waits for the end at once, as a task on another thread might.
struct ClosesToo {
    node: Node,
    closing: Mutex<Option<BoxFuture<'static, ()>>>,
    waker: Waker,
}

impl Wake for ClosesToo {
    fn wake(self: Arc<Self>) {
        let node = self.node.clone();
        let mut closing = async move { drop(node.close(SOON).await) }.boxed();
        assert!(closing.poll_unpin(&mut Context::from_waker(&self.waker)).is_pending());
        *self.closing.lock().unwrap() = Some(closing);
    }
}

#[test]
fn who_closes_between_the_end_of_the_node_and_that_of_its_driver_is_woken_by_the_latter() {
    let (pair, mut tasks) = pair(|builder| builder);
    let (waker, woken) = counting();
    let node = pair.a.clone();
    let closes_too = Arc::new(ClosesToo { node, closing: Mutex::new(None), waker });
    let mut closing = pin!(pair.a.close(SOON));
    let waker = Waker::from(Arc::clone(&closes_too));
    assert!(closing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(tasks.remove(0));
    assert_eq!(woken.count(), 1);
    let second = closes_too.closing.lock().unwrap().take().expect("the first one was woken");
    assert_eq!(second.now_or_never(), Some(()));
}

#[test]
fn at_the_end_all_who_wait_are_woken() {
    let two = Bound::new(2, 200);
    let (pair, mut tasks) = pair(|builder| builder.outbox(two, two));
    let turn = |ledger: &mut Ledger, out: &mut Out<'_>| {
        (0..2).for_each(|_| pay(ledger, out, B, 1).unwrap());
        out.turn()
    };
    let at = pair.a.turn(turn).now_or_never().expect("there is room").unwrap();
    let (mut committed, mut waits_for_room) = (pin!(pair.a.committed(at)), pin!(pair.a.turn(|_, _| ())));
    let ((wake_first, first), (wake_second, second)) = (counting(), counting());
    assert!(committed.as_mut().poll(&mut Context::from_waker(&wake_first)).is_pending());
    assert!(waits_for_room.as_mut().poll(&mut Context::from_waker(&wake_second)).is_pending());
    drop(tasks.remove(0));
    assert_eq!((first.count(), second.count()), (1, 1));
    assert_eq!(committed.now_or_never(), Some(Err(TurnError::Ended)));
    assert_eq!(waits_for_room.now_or_never(), Some(Err(TurnError::Ended)));
}

#[test]
fn without_a_store_nothing_is_committed_and_that_is_said() {
    let network = Network::mesh::<2>().0;
    let (a, _driver) = share(&network, builder(&network, A));
    let at = a.turn(|_, out| out.turn()).now_or_never().unwrap().unwrap();
    assert_eq!(a.committed(at).now_or_never(), Some(Err(TurnError::NoStore)));
}

#[test]
fn a_turn_over_the_hard_bound_wakes_the_driver_which_ends_with_the_reason() {
    let (two, four) = (Bound::new(2, 200), Bound::new(4, 400));
    let (pair, mut tasks) = pair(|builder| builder.outbox(two, two).outbox_hard(four));
    let (waker, woken) = counting();
    assert!(tasks[0].as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let before = woken.count();
    let refused = pair.a.turn(|_, out| (2..=9).find_map(|amount| out.send(B, Message::Pay(amount)).err()));
    assert_eq!(refused.now_or_never(), Some(Ok(Some(SendError::OutboxFull))));
    assert!(woken.count() > before, "nothing of it is left to send, and there is the end to tell of");
    let ended = (&mut tasks[0]).now_or_never();
    assert!(matches!(ended, Some(Err(NodeError::Failed(Failure::OutboxOverflow)))), "{ended:?}");
    assert_eq!(pair.a.turn(|_, _| ()).now_or_never(), Some(Err(TurnError::Ended)));
    assert_eq!(pair.network.in_flight(A, B), 0);
}

/// Fails, and may not be asked again afterwards.
struct Failing {
    topology: Topology,
    has_failed: AtomicBool,
}

#[async_trait]
impl Transport for Failing {
    type Message = Message;

    fn topology(&self) -> &Topology {
        &self.topology
    }

    async fn send(&self, _: Peer, frames: &mut Frames<Message>) -> Result<(), TransportError> {
        frames.clear();
        Ok(())
    }

    async fn recv(&self, _: &mut Inbox<Message>) -> Result<(), TransportError> {
        assert!(!self.has_failed.swap(true, Ordering::Relaxed), "it was asked again");
        Err(TransportError::other("it has failed"))
    }
}

#[test]
fn a_transport_that_fails_ends_either_kind_of_driver_and_is_not_asked_again() {
    for is_stream in [false, true] {
        let topology = Graph::mesh([A, B]).at(A).unwrap();
        let transport = Failing { topology, has_failed: AtomicBool::new(false) };
        let ledger = Ledger { balance: START, received: Vec::new() };
        let shared =
            SnapshotNode::builder(transport).share(ledger).now_or_never().expect("there is no store");
        let (a, driver) = shared.unwrap();
        let ended = if is_stream {
            let (mut deliveries, driving) = driver.stream();
            let ended = driving.now_or_never();
            assert!(matches!(deliveries.next().now_or_never(), Some(None)), "the stream ends");
            ended
        } else {
            driver.run(|_, _, _| Ok(())).now_or_never()
        };
        assert!(matches!(ended, Some(Err(NodeError::Transport(_)))), "{ended:?}");
        assert_eq!(a.turn(|_, _| ()).now_or_never(), Some(Err(TurnError::Ended)));
        assert_eq!(a.read(|ledger| ledger.balance), START, "the last that there was");
    }
}
