//! A group that goes back while all its queues are full: each message takes effect exactly once, also those that had not left their
//! sender.

use std::time::Duration;

use snapshot_core::{Bound, Graph, NodeId};

use super::support::*;

/// How many messages depart before the receiver has taken one, and how many wait then.
const FEW: Bound = Bound::new(16, 1 << 20);

/// A and C send B more than it takes, and B answers them.
fn start(flood: &mut Flood, id: NodeId) {
    let builder = flood.build(flood.network.transport(id));
    let builder =
        builder.inbox(FEW).window_floor(Bound::new(8, 1 << 20)).outbox(FEW, Bound::new(64, 2 << 20));
    let (to, busy) = match id {
        B => (vec![A, C], Duration::from_millis(10)),
        _ => (vec![B], Duration::ZERO),
    };
    flood.start(builder, Habits { to, weight: 64, busy });
}

fn group() -> Flood {
    let mut flood = Flood::on(network(&Graph::mesh([A, B, C])));
    [A, B, C].into_iter().for_each(|id| start(&mut flood, id));
    flood.sleep(Duration::from_millis(100));
    flood
}

/// The process is killed, and starts again. What it and the others had done since the last commit has not happened.
fn restart(flood: &mut Flood, id: NodeId) {
    let before = flood.log.borrow().rolled_back.len();
    flood.kill(id);
    flood.sleep(Duration::from_millis(50));
    start(flood, id);
    flood.until_log(|log| log.rolled_back.len() == before + 3);
}

#[test]
fn each_message_takes_effect_once_though_processes_are_killed_while_all_queues_are_full() {
    let mut flood = group();
    // The sender, the slow receiver, one that hears and sends, and the receiver again before it has taken anything.
    for (round, victim) in [A, B, C, B, B, A].into_iter().enumerate() {
        let report = flood.snapshot([A, B, C][round % 3]).expect("it commits");
        let cut = flood.cut(report.snapshot);
        let waiting = cut.channel(A, B).len();
        // A window of two senders, and the sender's own queue.
        assert!(waiting > 8 && waiting <= 8 + FEW.frames, "{waiting}");
        // These never happen.
        flood.sleep(Duration::from_millis(if round == 4 { 0 } else { 150 }));
        restart(&mut flood, victim);
        // All that was in flight is taken, those first that B itself had recorded, then those of A: the books say so at each.
        let sent = cut.state(A).and_then(|book| book.sent.get(&B)).copied().expect("it has sent");
        flood.until_log(|log| log.last.get(&(A, B)).is_some_and(|last| *last > sent));
    }
    let report = flood.snapshot(A).expect("it commits");
    assert_eq!(report.snapshot.generation.0, 7);
    flood.cut(report.snapshot);
    let log = flood.log.borrow();
    assert!(log.others.is_empty(), "{:?}", log.others);
}

#[test]
fn a_window_that_is_full_of_what_is_replayed_stays_a_bound_after_many_rollbacks() {
    let mut flood = group();
    let most = 8 + FEW.frames;
    for _ in 0..10 {
        let report = flood.snapshot(B).expect("it commits");
        let cut = flood.cut(report.snapshot);
        assert!([A, C].iter().all(|from| cut.channel(*from, B).len() <= most));
        restart(&mut flood, B);
    }
}
