//! A snapshot goes through all its steps at one look of a node whose turns are long: the next message waits for them, a little.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use snapshot_core::Graph;

use super::slow_store::Slow;
use super::support::*;

/// The longest that a message waits for a snapshot.
const MOST: Duration = Duration::from_millis(5);

/// A sends B more than it takes.
fn pair(busy: Duration) -> (Flood, Slow) {
    let mut flood = Flood::on(network(&Graph::mesh([A, B])));
    let (clock, store) = (Arc::clone(&flood.clock), flood.store.clone());
    let store = Slow { store, takes: Duration::from_millis(1), hangs: Arc::default(), clock };
    for (id, to, busy) in [(A, vec![B], Duration::ZERO), (B, vec![], busy)] {
        let builder = flood.build(flood.network.transport(id)).store(store.clone());
        flood.start(builder, Habits { to, weight: 1 << 10, busy });
    }
    flood.sleep(Duration::from_secs(1));
    (flood, store)
}

#[test]
fn a_snapshot_waits_for_one_turn_of_a_slow_loop_though_it_takes_several_steps() {
    let busy = Duration::from_millis(100);
    for by in [A, B] {
        let (mut flood, _) = pair(busy);
        for round in 0..20 {
            let report = flood.snapshot(by).expect("it commits");
            assert!(report.took <= busy + MOST, "by {by}, {round}: {:?}", report.took);
            flood.sleep(Duration::from_millis(37));
        }
    }
}

/// How many messages B takes in ten seconds, in which a snapshot of A's waits for the store all the time, or does not.
fn taken(busy: Duration, waits: bool) -> u64 {
    let (mut flood, store) = pair(busy);
    store.hangs.store(waits, Ordering::Relaxed);
    let handle = flood.handles[&A].clone();
    flood.others.push(Box::pin(async move {
        // It does not end in time.
        let _ = handle.snapshot().await;
    }));
    flood.sleep(Duration::from_secs(1));
    let before = flood.log.borrow().taken;
    flood.sleep(Duration::from_secs(10));
    flood.log.borrow().taken - before
}

#[test]
fn a_message_waits_for_a_sixteenth_of_a_turn_and_five_milliseconds_at_most() {
    for (turn, part) in [(100_000, 5000), (16_000, 1000), (1000, 62)] {
        let [without, with] = [false, true].map(|waits| taken(Duration::from_micros(turn), waits));
        let least = without * turn / (turn + part + 1);
        assert!(
            (least - 1..without).contains(&with),
            "{turn} µs: {with} of {without} are taken while a snapshot waits, expected {least}"
        );
    }
}

#[test]
fn where_turns_are_short_no_message_waits() {
    let turn = Duration::from_micros(900);
    let [without, with] = [false, true].map(|waits| taken(turn, waits));
    assert!(without.abs_diff(with) <= 1, "{with} of {without}");
}
