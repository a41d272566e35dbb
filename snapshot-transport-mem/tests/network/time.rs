//! Virtual time: delays, the clock's clauses, the executor.

use crate::support::{A, B, C, batch, hear, messages, send_all, skip, try_send};
use futures::FutureExt;
use snapshot_core::{Graph, Inbox, Transport};
use snapshot_transport_mem::MemNetwork;
use std::cell::RefCell;
use std::time::Duration;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn c1_time_moves_only_when_it_is_moved_and_never_back() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    try_send(&a, B, [1]);
    hear(&b);
    assert_eq!(network.now(), Duration::ZERO);
    network.advance(ms(5));
    network.advance(Duration::ZERO);
    assert_eq!((network.now(), a.clock().now(), network.clock().now()), (ms(5), ms(5), ms(5)));
    network.advance(Duration::MAX);
    let last = network.now();
    network.advance(ms(1));
    assert!(network.now() >= last);
}

#[test]
fn c2_c3_a_sleep_ends_at_its_moment_and_not_before() {
    let (network, _nodes) = MemNetwork::<u32>::mesh::<2>();
    let clock = network.clock();
    assert!(clock.sleep_until(Duration::ZERO).now_or_never().is_some());
    let mut sleep = clock.sleep_until(ms(5));
    assert!((&mut sleep).now_or_never().is_none());
    network.advance(ms(5) - Duration::from_nanos(1));
    assert!((&mut sleep).now_or_never().is_none());
    network.advance(Duration::from_nanos(1));
    assert!(sleep.now_or_never().is_some());
}

#[test]
fn c4_a_sleep_that_is_dropped_changes_nothing_for_the_others() {
    let (network, _nodes) = MemNetwork::<u32>::mesh::<2>();
    let clock = network.clock();
    let mut dropped = clock.sleep_until(ms(9));
    let mut kept = clock.sleep_until(ms(3));
    assert!((&mut dropped).now_or_never().is_none());
    assert!((&mut kept).now_or_never().is_none());
    drop(dropped);
    network.run(kept).unwrap();
    let stuck = network.run(std::future::pending::<()>()).unwrap_err();
    assert!(stuck.is_idle() && network.now() == ms(3), "a dropped sleep moves no time: {stuck}");
}

#[test]
fn c3_sleeps_wake_their_tasks_in_the_order_of_their_ends() {
    let (network, _nodes) = MemNetwork::<u32>::mesh::<2>();
    let clock = network.clock();
    let ends = RefCell::new(Vec::new());
    let sleep = |at| {
        let (clock, ends) = (&clock, &ends);
        async move {
            clock.sleep_until(ms(at)).await;
            ends.borrow_mut().push((at, clock.now()));
        }
    };
    network.run(futures::future::join_all([30, 10, 20, 10].map(sleep))).unwrap();
    assert_eq!(ends.into_inner(), [(10, ms(10)), (10, ms(10)), (20, ms(20)), (30, ms(30))]);
}

#[test]
fn a_frame_arrives_when_its_delay_is_over_and_not_before() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.set_delay(A, B, ms(5));
    try_send(&a, B, [1]);
    network.advance(ms(4));
    try_send(&a, B, [2]);
    assert_eq!(messages(&b), [0; 0]);
    network.advance(ms(1));
    assert_eq!((messages(&b), network.in_flight(A, B)), (vec![1], 1));
    network.advance(ms(4));
    assert_eq!(messages(&b), [2]);
}

#[test]
fn a_frame_with_a_shorter_delay_does_not_overtake() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    try_send(&a, B, [0]);
    network.set_delay(A, B, ms(5));
    try_send(&a, B, [1]);
    network.set_delay(A, B, ms(1));
    try_send(&a, B, [2]);
    assert_eq!(messages(&b), [0]);
    network.advance(ms(4));
    network.set_delay(A, B, Duration::ZERO);
    try_send(&a, B, [3]);
    assert_eq!(messages(&b), [0; 0]);
    network.advance(ms(1));
    assert_eq!(messages(&b), [1, 2, 3]);
    try_send(&a, B, [4]);
    assert_eq!(messages(&b), [4]);
}

#[test]
fn a_held_frame_whose_time_has_come_arrives_at_the_release_and_moves_no_time() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.set_delay(A, B, ms(5));
    try_send(&a, B, [1]);
    network.hold(A, B);
    let mut inbox = Inbox::with_capacity(4);
    assert!(network.run(b.recv(&mut inbox)).unwrap_err().is_idle());
    assert_eq!(network.now(), Duration::ZERO);
    network.advance(ms(9));
    assert_eq!(messages(&b), [0; 0]);
    network.release(A, B);
    assert_eq!(messages(&b), [1]);
}

#[test]
fn the_executor_moves_time_to_the_next_arrival_or_sleep_and_no_further() {
    let (network, [a, b]) = MemNetwork::mesh::<2>();
    hear(&b);
    network.set_delay(A, B, ms(7));
    let clock = network.clock();
    let mut inbox = Inbox::with_capacity(4);
    network
        .run(async {
            send_all(&a, B, &mut batch([1])).await.unwrap();
            let sleep = clock.sleep_until(ms(3)).map(|()| network.now());
            let (woke, received) = futures::join!(sleep, b.recv(&mut inbox));
            received.unwrap();
            assert_eq!((woke, network.now()), (ms(3), ms(7)));
        })
        .unwrap();
    assert_eq!(inbox.len(), 1);
}

#[test]
fn a_deadlock_is_an_error_that_says_how_the_channels_stand() {
    let network = MemNetwork::builder(&Graph::mesh([A, B, C])).capacity(2).build().unwrap();
    let [a, b] = [A, B].map(|id| network.transport(id));
    skip(&[&a, &b]);
    network.hold(B, A);
    try_send(&b, A, [1]);
    let stuck = network.run(send_all(&a, B, &mut batch(0..3))).unwrap_err();
    let text = stuck.to_string();
    for line in [
        "n1 -> n2: 2 frames, full, a send waits",
        "n2 -> n1: 1 frame, held",
        "n3 -> n1: empty, one of the two does not run",
    ] {
        assert!(text.contains(line), "{text}");
    }
    network.cut(A, B);
    let text = network.run(std::future::pending::<()>()).unwrap_err().to_string();
    assert!(text.contains("n2 -> n1: empty, held, cut"), "{text}");
}

#[test]
fn time_that_runs_on_without_an_end_is_an_error() {
    let (network, _nodes) = MemNetwork::<u32>::mesh::<2>();
    let clock = network.clock();
    let tick = async {
        loop {
            clock.sleep_until(clock.now() + ms(300)).await;
        }
    };
    let stuck = network.run_for::<std::future::Pending<()>>(Duration::from_secs(1), std::future::pending());
    assert!(stuck.unwrap_err().is_idle());
    let stuck = network
        .run_for(Duration::from_secs(1), async { futures::join!(tick, std::future::pending::<()>()).1 });
    let stuck = stuck.unwrap_err();
    assert!(stuck.is_out_of_time() && stuck.now() == ms(900), "{stuck}");
}

#[test]
fn a_sleep_that_never_ends_is_no_reason_to_move_time() {
    let (network, _nodes) = MemNetwork::<u32>::mesh::<2>();
    let clock = network.clock();
    assert!(network.run(clock.sleep_until(Duration::MAX)).unwrap_err().is_out_of_time());
    network.advance(Duration::MAX);
    assert!(clock.sleep_until(Duration::MAX).now_or_never().is_none());
}

#[test]
fn a_future_that_wakes_itself_over_and_over_is_given_up() {
    let (network, _nodes) = MemNetwork::<u32>::mesh::<2>();
    let restless = std::future::poll_fn::<(), _>(|cx| {
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    });
    let stuck = network.run(restless).unwrap_err();
    assert!(!stuck.is_idle() && stuck.to_string().contains("over and over"), "{stuck}");
}
