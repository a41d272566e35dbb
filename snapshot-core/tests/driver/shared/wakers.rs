//! Who is woken finds the door open: no lock is held meanwhile.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::stream::StreamExt;
use snapshot_core::{Bound, Calls, Event, Graph, NodeId};
use snapshot_store::MemoryStore;

use super::support::*;

/// Whoever is woken goes in at once, on another thread, and the waker waits for that.
struct GoesIn {
    node: Node,
    went_in: Mutex<Vec<bool>>,
}

impl GoesIn {
    fn at(node: &Node) -> (Waker, Arc<Self>) {
        let goes_in = Arc::new(Self { node: node.clone(), went_in: Mutex::default() });
        (Arc::clone(&goes_in).into(), goes_in)
    }

    /// For each time that it was woken, whether it went in.
    fn went_in(&self) -> Vec<bool> {
        self.went_in.lock().unwrap().clone()
    }
}

impl Wake for GoesIn {
    fn wake(self: Arc<Self>) {
        // Only where the door is shut does this time matter.
        const LONG: Duration = Duration::from_secs(5);
        let (node, (tell, told)) = (self.node.clone(), mpsc::channel());
        std::thread::spawn(move || {
            let _ = node.turn(|_, _| ()).now_or_never();
            let _ = tell.send(());
        });
        let went_in = told.recv_timeout(LONG).is_ok();
        self.went_in.lock().unwrap().push(went_in);
    }
}

/// A network that holds one frame a channel, for nodes that soon have no room.
fn narrow() -> (Network, MemoryStore) {
    let network = Network::builder(&Graph::mesh([A, B])).capacity(1).build().unwrap();
    (network, MemoryStore::new())
}

fn boot(network: &Network, store: &MemoryStore, id: NodeId) -> (Node, Driver) {
    let outbox = (Bound::new(1, 1 << 20), Bound::new(64, 1 << 20));
    share(network, builder(network, id).store(store.clone()).outbox(outbox.0, outbox.1))
}

fn a_while(network: &Network, tasks: &mut [Task<'_>]) {
    let clock = network.clock();
    until(network, tasks, clock.sleep_until(clock.now() + SOON));
}

#[test]
fn who_is_woken_may_go_in_at_once() {
    let (network, store) = narrow();
    let boot = |id| boot(&network, &store, id);
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let (mut deliveries, drive_a) = drive_a.stream();
    let mut tasks = vec![Box::pin(drive_a) as Task<'_>, run(drive_b, &Calls::new())];
    let a_while = |tasks: &mut [Task<'_>]| a_while(&network, tasks);
    a_while(&mut tasks);
    network.hold(A, B);
    network.hold(B, A);

    // The driver, by a turn.
    let (waker, driver) = GoesIn::at(&a);
    assert!(tasks[0].as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(driver.went_in(), []);
    for (node, peer) in [(&a, B), (&b, A)] {
        let pays = node.turn(|ledger, out| (0..4).try_for_each(|_| pay(ledger, out, peer, 1)));
        assert_eq!(pays.now_or_never(), Some(Ok(Ok(()))));
    }
    assert_eq!(driver.went_in(), [true]);
    a_while(&mut tasks);

    // Those who wait for room, by either kind of driver.
    let ((wake_a, at_a), (wake_b, at_b)) = (GoesIn::at(&a), GoesIn::at(&b));
    let (mut for_a, mut for_b) = (pin!(a.turn(|_, out| out.turn())), pin!(b.turn(|_, out| out.turn())));
    assert!(for_a.as_mut().poll(&mut Context::from_waker(&wake_a)).is_pending());
    assert!(for_b.as_mut().poll(&mut Context::from_waker(&wake_b)).is_pending());
    network.release(A, B);
    network.release(B, A);
    a_while(&mut tasks);
    assert_eq!((at_a.went_in(), at_b.went_in()), (vec![true], vec![true]));

    // Those who wait for a commit, by a driver and by who takes the news of it.
    let turns = (for_a.now_or_never().unwrap().unwrap(), for_b.now_or_never().unwrap().unwrap());
    let ((wake_a, at_a), (wake_b, at_b)) = (GoesIn::at(&a), GoesIn::at(&b));
    let (mut for_a, mut for_b) = (pin!(a.committed(turns.0)), pin!(b.committed(turns.1)));
    assert!(for_a.as_mut().poll(&mut Context::from_waker(&wake_a)).is_pending());
    assert!(for_b.as_mut().poll(&mut Context::from_waker(&wake_b)).is_pending());
    until(&network, &mut tasks, async { b.handle().snapshot().await.unwrap() });
    a_while(&mut tasks);
    while let Some(Some(delivery)) = deliveries.next().now_or_never() {
        assert_eq!(delivery.take(|_, _, _| ()).now_or_never(), Some(Ok(())));
    }
    assert_eq!((at_a.went_in(), at_b.went_in()), (vec![true], vec![true]));
}

#[test]
fn who_waits_for_room_over_a_rollback_is_let_in_when_the_news_of_it_is_taken() {
    let (network, store) = narrow();
    let boot = |id| boot(&network, &store, id);
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let (mut deliveries, drive_a) = drive_a.stream();
    let mut tasks = vec![Box::pin(drive_a) as Task<'_>, run(drive_b, &Calls::new())];
    let a_while = |tasks: &mut [Task<'_>]| a_while(&network, tasks);
    a_while(&mut tasks);
    network.hold(A, B);
    let pays = a.turn(|ledger, out| (0..4).try_for_each(|_| pay(ledger, out, B, 1)));
    assert_eq!(pays.now_or_never(), Some(Ok(Ok(()))));
    let (waker, woken) = counting();
    let mut waits = pin!(a.turn(|ledger, _| ledger.balance));
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());

    drop(b);
    network.crash(B);
    tasks.truncate(1);
    let (_b, drive_b) = boot(B);
    tasks.push(run(drive_b, &Calls::new()));
    network.release(A, B);
    let mut is_told = false;
    while !is_told {
        a_while(&mut tasks);
        assert_eq!(woken.count(), 0, "the application has not been told that its state is another one");
        let delivery = deliveries.next().now_or_never().flatten().expect("there is more to tell");
        let taken = delivery.take(|_, event, _| matches!(event, Event::RolledBack { .. })).now_or_never();
        is_told = taken.expect("it is there").unwrap();
    }
    assert_eq!(woken.count(), 1);
    assert_eq!(waits.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(START)));
}
