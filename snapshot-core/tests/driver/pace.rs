//! How long anything waits while messages wait to be taken: the node hands them out in batches, and looks at everything else in
//! between. Time is virtual, so that the numbers are exact.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::bank::{A, App, B, Group, Ledger, still};
use futures::FutureExt;
use snapshot_core::{
    Event, Frames, Generation, Graph, Inbox, NodeId, Peer, SnapshotId, SnapshotNode, Topology, Transport,
    TransportError, async_trait,
};

/// A slow handler is found out when this much has passed.
const TIME_OF_A_GLANCE: Duration = Duration::from_micros(50);

/// A with a thousand messages that wait to be taken, and has taken the first.
fn backlog() -> Group {
    let mut group = Group::new(&Graph::mesh([A, B]), None);
    group.until(|apps| apps.iter().all(|app| app.node.has_room()));
    for _ in 0..1000 {
        group.app(B).pay(A, 0);
    }
    let Group { network, apps, .. } = &mut group;
    network.run(apps[1].flush()).expect("there is room").expect("it runs");
    take(&mut group);
    group
}

/// One turn of A: a message, which is there at once.
fn take(group: &mut Group) {
    let event = next(group.app(A));
    assert!(matches!(event, Event::Message { .. }), "{event:?}");
}

/// What comes next, which is there at once, but for the pause that a node makes now and then.
fn next(app: &mut App) -> Event<u64, Ledger> {
    let App { node, ledger, .. } = app;
    let event = node.next(ledger).now_or_never().or_else(|| node.next(ledger).now_or_never());
    event.expect("at once").expect("it runs")
}

/// How many turns of A there are until what it has sent is with the network.
fn turns_until_it_is_sent(group: &mut Group) -> u32 {
    let before = group.network.in_flight(A, B);
    group.app(A).pay(B, 1);
    for turns in 1..=600 {
        take(group);
        if group.network.in_flight(A, B) > before {
            return turns;
        }
    }
    panic!("it waits for ever");
}

#[test]
fn while_messages_wait_what_is_sent_goes_out_in_batches_that_have_a_bound_in_turns_and_in_time() {
    let mut group = backlog();
    assert_eq!(turns_until_it_is_sent(&mut group), 513, "a quick handler, for which no time passes");
    group.until(|apps| apps[1].ledger.received == [1]);

    let mut group = backlog();
    group.network.advance(TIME_OF_A_GLANCE);
    assert_eq!(turns_until_it_is_sent(&mut group), 1, "a slow handler is found out at its first turn");

    let mut group = backlog();
    (0..129).for_each(|_| take(&mut group));
    group.network.advance(TIME_OF_A_GLANCE);
    assert_eq!(turns_until_it_is_sent(&mut group), 64, "later, at every sixty-fourth turn");
    assert_eq!(turns_until_it_is_sent(&mut group), 513, "a look at the network begins the count anew");
}

#[test]
fn a_marker_behind_messages_that_wait_is_acted_on_within_a_millisecond() {
    for passed in [Duration::from_millis(1), Duration::from_millis(2)] {
        let mut group = backlog();
        group.app(B).node.snapshot();
        assert!(matches!(next(group.app(B)), Event::SnapshotBegun { .. }));
        let App { node, ledger, .. } = group.app(B);
        assert!(node.next(ledger).now_or_never().is_none(), "it has sent its marker, and waits");
        group.network.advance(passed);
        let before = group.network.in_flight(A, B);
        let captured = (0..2).any(|_| matches!(next(group.app(A)), Event::SnapshotBegun { .. }));
        assert!(captured, "{passed:?} later");
        // Before this turn, which may take the application a long time.
        assert!(group.network.in_flight(A, B) > before, "its own marker is on its way");
    }
}

#[test]
fn while_messages_wait_more_are_read_no_more_often_than_every_millisecond() {
    let mut group = backlog();
    // Something to look at the network for, at every turn.
    let mut read = |passed| {
        let Group { network, apps, .. } = &mut group;
        apps[1].pay(A, 0);
        network.run(apps[1].flush()).expect("there is room").expect("it runs");
        let before = network.in_flight(B, A);
        network.advance(passed);
        // There is none of that name, but to see that, it looks.
        let id = SnapshotId { generation: Generation(1), sequence: 1, initiator: A };
        apps[0].node.handle().abort(id);
        take(&mut group);
        before - group.network.in_flight(B, A)
    };
    let almost = Duration::from_millis(1) - Duration::from_nanos(1);
    assert_eq!(read(Duration::from_millis(1)), 1);
    assert_eq!(read(Duration::ZERO), 0);
    assert_eq!(read(almost), 0);
    assert_eq!(read(Duration::from_nanos(1)), 3, "all that has come by then");
}

#[test]
fn while_messages_wait_a_wish_is_served_at_once() {
    let mut group = backlog();
    take(&mut group);
    group.app(A).node.snapshot();
    assert!(matches!(next(group.app(A)), Event::SnapshotBegun { .. }));
    assert_eq!(group.app(A).node.handle().running().len(), 1);
    let handle = group.app(A).node.handle();
    handle.abort(handle.running()[0].snapshot);
    let event = next(group.app(A));
    assert!(matches!(event, Event::SnapshotAborted { .. }), "{event:?}");
}

#[test]
fn a_moment_at_which_nothing_is_due_any_more_wakes_nobody() {
    let mut group =
        Group::tuned(&Graph::mesh([A, B]), None, |builder| builder.deadline(Duration::from_secs(9)));
    group.app(B).idle = true;
    group.app(A).node.snapshot();
    group.until(|apps| apps[0].node.handle().running().len() == 1);
    // A waits until the deadline; this ends that.
    let App { node, ledger, .. } = group.app(A);
    assert!(node.next(ledger).now_or_never().is_none());
    let handle = node.handle();
    handle.abort(handle.running()[0].snapshot);
    let before = group.network.now();
    let App { node, ledger, .. } = &mut group.apps[0];
    let waits = async {
        let event = node.next(ledger).await.expect("it runs");
        assert!(matches!(event, Event::SnapshotAborted { .. }), "{event:?}");
        node.next(ledger).await.map(drop)
    };
    group.network.run(waits).expect_err("nothing more is to come");
    assert_eq!(group.network.now(), before);
}

/// Takes everything at once, but for node 2, for which it waits for ever.
struct OneIsStuck {
    topology: Topology,
    /// How often it was looked at whether node 2 takes something now.
    looks: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for OneIsStuck {
    type Message = u64;

    fn topology(&self) -> &Topology {
        &self.topology
    }

    async fn send(&self, to: Peer, frames: &mut Frames<u64>) -> Result<(), TransportError> {
        if to.id() == NodeId(2) {
            return poll_fn(|_| {
                self.looks.fetch_add(1, Ordering::Relaxed);
                Poll::Pending
            })
            .await;
        }
        self.sent.fetch_add(frames.len(), Ordering::Relaxed);
        frames.clear();
        Ok(())
    }

    async fn recv(&self, _: &mut Inbox<u64>) -> Result<(), TransportError> {
        std::future::pending().await
    }
}

#[test]
fn a_neighbour_that_stands_still_is_not_looked_at_for_the_sake_of_the_others() {
    let topology = Graph::star([1, 2, 3].map(NodeId)).at(NodeId(1)).unwrap();
    let (looks, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let transport = OneIsStuck { topology, looks: Arc::clone(&looks), sent: Arc::clone(&sent) };
    let mut node =
        futures::executor::block_on(SnapshotNode::builder(transport).clock(still()).start(&mut ()))
            .expect("it starts");
    for number in 1..=60 {
        node.snapshot();
        let begun = node.next(&mut ()).now_or_never();
        assert!(matches!(begun, Some(Ok(Event::SnapshotBegun { .. }))));
        assert!(node.next(&mut ()).now_or_never().is_none(), "nothing has arrived");
        assert_eq!(sent.load(Ordering::Relaxed), 2 + number, "the greeting, the grant, and each marker");
    }
    assert!(node.flush(&mut ()).now_or_never().is_none(), "one has not taken its greeting");
    assert_eq!(looks.load(Ordering::Relaxed), 1, "nobody has woken it");
}
