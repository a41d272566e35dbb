//! A snapshot does not wait for an application: neither the time that it takes nor what it holds depends on how fast messages are
//! taken.

use std::time::Duration;

use snapshot_core::{
    AbortReason, Bound, Frames, Graph, Inbox, Incoming, LinkTransport, NodeId, Peer, Topology, Transport,
    TransportError, async_trait,
};
use snapshot_transport_mem::MemTransport;

use super::support::*;

/// From the smallest message to one of which a few fill a window.
const WEIGHTS: [usize; 4] = [8, 128, 1 << 10, 256 << 10];

/// Where few messages fit at all, those between weigh as little as the first.
const EXTREMES: [usize; 2] = [WEIGHTS[0], WEIGHTS[3]];

const SNAPSHOTS: usize = 20;

/// How slow the application is that is sent more than it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slow {
    /// It has tasks around its node, and never takes anything.
    Never,
    /// Its message loop stands still for so long after each message.
    Busy(Duration),
}

const SLOW: [Slow; 3] =
    [Slow::Never, Slow::Busy(Duration::from_millis(100)), Slow::Busy(Duration::from_secs(5))];

/// Who begins the snapshots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begun {
    By(NodeId),
    OnInterval,
}

/// As often as snapshots begin by themselves.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many parcels of this weight may be on a channel in a snapshot: those that have departed, and those that wait.
fn most(bounds: [Bound; 2], weight: usize) -> usize {
    bounds.map(|bound| bound.frames.min(bound.bytes / weight)).iter().sum()
}

/// Where others go on quickly meanwhile, so that there is not too much to do.
const FEW: Bound = Bound::new(64, 4 << 20);

fn few(builder: Builder) -> Builder {
    builder.inbox(FEW).window_floor(Bound::new(16, 64 << 10)).outbox(FEW, Bound::new(4096, 16 << 20))
}

fn begun_on(builder: Builder, begun: Begun) -> Builder {
    if begun == Begun::OnInterval { builder.interval(INTERVAL) } else { builder }
}

/// Twenty snapshots, each of which commits. The turn of the slow application that is under way is waited for. In a ring that goes
/// for each of `hops`.
fn twenty_commit(flood: &mut Flood, begun: Begun, busy: Duration, hops: u32) {
    // All queues are full.
    flood.sleep(Duration::from_secs(1));
    match begun {
        Begun::By(id) => {
            for _ in 0..SNAPSHOTS {
                let report = flood.snapshot(id).expect("it commits");
                assert!(report.took <= hops * busy, "{report:?}");
                flood.log.borrow_mut().committed.push(report.snapshot);
                flood.sleep(Duration::from_millis(250));
            }
            flood.log.borrow_mut().committed.dedup();
        }
        Begun::OnInterval => flood.until_log(|log| log.committed.len() >= SNAPSHOTS),
    }
    let log = flood.log.borrow();
    // Those that begin by themselves at several nodes may cross each other. None is given up because it waits.
    let is_crossed = |reason: &AbortReason| begun == Begun::OnInterval && *reason == AbortReason::Superseded;
    assert!(log.aborted.iter().all(|(_, _, reason)| is_crossed(reason)), "{:?}", log.aborted);
    assert!(log.others.is_empty(), "{:?}", log.others);
}

/// What is on a channel in each of the snapshots.
fn on_channel(flood: &Flood, from: NodeId, to: NodeId) -> Vec<usize> {
    let committed = flood.log.borrow().committed.clone();
    committed.into_iter().map(|snapshot| flood.cut(snapshot).channel(from, to).len()).collect()
}

fn sender(to: &[NodeId], weight: usize) -> Habits {
    Habits { to: to.to_vec(), weight, busy: Duration::ZERO }
}

/// A sends B more than it takes.
fn pair(flood: &mut Flood, [a, b]: [Builder; 2], weight: usize, slow: Slow, begun: Begun) {
    let (a, b) = (begun_on(a, begun), begun_on(b, begun));
    flood.start(a, sender(&[B], weight));
    let busy = match slow {
        Slow::Never => {
            flood.start_idle(b);
            Duration::ZERO
        }
        Slow::Busy(busy) => {
            flood.start(b, Habits { busy, ..sender(&[], weight) });
            busy
        }
    };
    twenty_commit(flood, begun, busy, 1);
    let taken = flood.log.borrow().taken;
    assert_eq!(taken == 0, slow == Slow::Never);
    let found = on_channel(flood, A, B);
    let most = most([WINDOW, LOW], weight);
    assert_eq!(found.len(), SNAPSHOTS);
    assert!(found.iter().all(|parcels| *parcels <= most && 2 * parcels > most), "{found:?} of {most}");
}

/// In each way in which a snapshot of a pair can go, with messages of these weights.
fn in_each_way(weights: &[usize], mut run: impl FnMut(usize, Slow, Begun)) {
    for weight in weights.iter().copied() {
        for slow in SLOW {
            for begun in [Begun::By(A), Begun::By(B), Begun::OnInterval] {
                run(weight, slow, begun);
            }
        }
    }
}

#[test]
fn twenty_of_twenty_snapshots_commit_though_the_receiver_takes_next_to_nothing_of_a_deep_channel() {
    in_each_way(&[WEIGHTS[0], WEIGHTS[2], WEIGHTS[3]], |weight, slow, begun| {
        let mut flood = Flood::on(network(&Graph::mesh([A, B])));
        let builders = [A, B].map(|id| flood.build(flood.network.transport(id)));
        pair(&mut flood, builders, weight, slow, begun);
    });
}

/// Brings one item at a time, as a connection does where messages are large.
struct OneByOne(MemTransport<Parcel>);

#[async_trait]
impl Transport for OneByOne {
    type Message = Parcel;

    fn topology(&self) -> &Topology {
        self.0.topology()
    }

    async fn send(&self, to: Peer, frames: &mut Frames<Parcel>) -> Result<(), TransportError> {
        self.0.send(to, frames).await
    }

    async fn recv(&self, into: &mut Inbox<Parcel>) -> Result<(), TransportError> {
        let mut one = Inbox::with_capacity(1);
        self.0.recv(&mut one).await?;
        match one.pop() {
            Some(Incoming::Frame { from, frame }) => into.push(from, frame),
            Some(Incoming::Up(peer)) => into.up(peer),
            Some(Incoming::Lost { peer, why }) => into.lost(peer, why),
            Some(Incoming::Left(peer)) => into.left(peer),
            None => {}
        }
        Ok(())
    }
}

#[test]
fn twenty_of_twenty_snapshots_commit_over_a_transport_that_brings_one_frame_at_a_time() {
    for slow in SLOW {
        for begun in [Begun::By(A), Begun::By(B), Begun::OnInterval] {
            let mut flood = Flood::on(network(&Graph::mesh([A, B])));
            let builders = [A, B].map(|id| flood.build(OneByOne(flood.network.transport(id))));
            pair(&mut flood, builders, 256 << 10, slow, begun);
        }
    }
}

#[test]
fn twenty_of_twenty_snapshots_commit_over_connections_of_the_applications_own() {
    in_each_way(&EXTREMES, |weight, slow, begun| {
        let graph = Graph::mesh([A, B]);
        // The clock and the executor are all that is used of it.
        let mut flood = Flood::on(network(&graph));
        let [(one, links_of_one), (two, links_of_two)] =
            [A, B].map(|id| LinkTransport::new(graph.at(id).expect("a member")));
        let (mut to_one, mut from_one) = links_of_one.connect(B).expect("a neighbour");
        let (mut to_two, mut from_two) = links_of_two.connect(A).expect("a neighbour");
        flood.others.push(Box::pin(async move {
            while let Some(frame) = from_one.next().await {
                to_two.push(frame).await.expect("it stands");
            }
        }));
        flood.others.push(Box::pin(async move {
            while let Some(frame) = from_two.next().await {
                to_one.push(frame).await.expect("it stands");
            }
        }));
        let builders = [flood.build(one), flood.build(two)];
        pair(&mut flood, builders, weight, slow, begun);
    });
}

#[test]
fn twenty_of_twenty_snapshots_commit_in_a_ring_where_what_was_taken_is_told_the_long_way_round() {
    let graph = Graph::ring([A, B, C]);
    let busy = Duration::from_millis(100);
    for weight in EXTREMES {
        for begun in [Begun::By(A), Begun::By(B), Begun::By(C), Begun::OnInterval] {
            let mut flood = Flood::on(network(&graph));
            for (id, to) in [(A, B), (B, C), (C, A)] {
                let builder = few(begun_on(flood.build(flood.network.transport(id)), begun));
                let busy = if id == B { busy } else { Duration::ZERO };
                flood.start(builder, Habits { busy, ..sender(&[to], weight) });
            }
            twenty_commit(&mut flood, begun, busy, 3);
            let found = on_channel(&flood, A, B);
            assert!(found.iter().all(|parcels| *parcels <= most([FEW, FEW], weight)), "{found:?}");
            assert!(flood.log.borrow().taken > 1000, "the others go on");
        }
    }
}

#[test]
fn twenty_of_twenty_snapshots_commit_in_a_star_whose_hub_is_slow() {
    let leaves = [2, 3, 4, 5].map(NodeId);
    let graph = Graph::star([1, 2, 3, 4, 5].map(NodeId));
    let busy = Duration::from_millis(100);
    for weight in EXTREMES {
        for begun in [Begun::By(A), Begun::By(B), Begun::OnInterval] {
            let mut flood = Flood::on(network(&graph));
            let hub = few(begun_on(flood.build(flood.network.transport(A)), begun));
            flood.start(hub, Habits { busy, ..sender(&leaves, weight) });
            for leaf in leaves {
                let builder = few(begun_on(flood.build(flood.network.transport(leaf)), begun));
                flood.start(builder, sender(&[A], weight));
            }
            twenty_commit(&mut flood, begun, busy, 2);
            for leaf in leaves {
                let found = on_channel(&flood, leaf, A);
                assert!(
                    found.iter().all(|parcels| *parcels <= most([FEW, FEW], weight)),
                    "{leaf}: {found:?}"
                );
            }
        }
    }
}
