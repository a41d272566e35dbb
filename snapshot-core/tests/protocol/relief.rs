//! W8: the high mark of the outbox only delays. Two nodes that both stop handing out would wait for each other for ever.

use std::time::Duration;

use crate::group::{Group, grant, windows};
use snapshot_core::{Bound, Graph, NodeId, Settings};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// How many messages in the outbox stop the handing out.
const HIGH: usize = 6;

/// Beyond so many nothing at all is handed out.
const HALF: usize = 10;

const WINDOW: usize = 3;

const STALL: Duration = Duration::from_secs(10);

fn settings() -> Settings {
    let high = Bound::new(HIGH, usize::MAX);
    Settings {
        outbox_low: high,
        outbox_high: high,
        outbox_hard: Bound::new(2 * HALF, usize::MAX),
        stall: STALL,
        ..windows(WINDOW, usize::MAX)
    }
}

/// Both have flooded the other: a window of untaken messages and an outbox at the high mark at each.
fn full(settings: Settings) -> Group {
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings);
    group.flood(A, B);
    group.flood(B, A);
    group.exchange();
    for id in [A, B] {
        assert!(!group.processes[&id].coordinator.has_message(), "it is over the high mark");
    }
    group
}

fn received(group: &Group, at: NodeId) -> u64 {
    group.processes[&at].branch.received.values().sum()
}

fn stalls(group: &Group, at: NodeId) -> Vec<&String> {
    group.processes[&at].events.iter().filter(|event| event.starts_with("Stalled")).collect()
}

/// Time passes in small steps, and whoever can take, takes.
fn pass(group: &mut Group, time: Duration) {
    let step = Duration::from_millis(100);
    let end = group.now + time;
    while group.now < end {
        group.pass_time(step.min(end - group.now));
        group.settle();
    }
}

#[test]
fn two_nodes_with_full_outboxes_whose_applications_take_come_free_of_each_other() {
    let mut group = full(settings());
    group.settle();
    assert_eq!([received(&group, A), received(&group, B)], [0, 0], "no time has passed");
    pass(&mut group, STALL);
    let sent = (HIGH + WINDOW) as u64;
    assert_eq!([received(&group, A), received(&group, B)], [sent; 2]);
    assert_eq!(group.balance(), group.total);
    assert_eq!([A, B].map(|id| stalls(&group, id).len()), [0, 0]);
}

#[test]
fn two_nodes_that_answer_each_message_come_free_as_long_as_there_is_room_for_the_answers() {
    let mut group = full(settings());
    for _ in 0..1000 {
        group.pass_time(Duration::from_millis(100));
        for (id, other) in [(A, B), (B, A)] {
            // Each transfer is answered, forty times in all.
            while received(&group, id) < 40 && group.take(id) {
                group.pay_to(id, other);
            }
            while group.take(id) {}
        }
        group.exchange();
    }
    group.settle();
    assert_eq!(group.balance(), group.total);
    let sent = |id| group.processes[&id].branch.sent.values().sum::<u64>();
    for (id, other) in [(A, B), (B, A)] {
        assert_eq!(received(&group, id), sent(other));
        assert_eq!(sent(id), (HIGH + WINDOW) as u64 + received(&group, id).min(40));
    }
}

#[test]
fn one_message_is_handed_out_each_tenth_of_the_stall_in_which_nothing_departs() {
    let mut group = full(settings());
    // B stands still from here on, so that nothing departs at A.
    let tenth = STALL / 10;
    assert_eq!(group.processes[&A].coordinator.poll_timeout(), Some(Duration::ZERO), "it begins to count");
    group.pass_time(Duration::ZERO);
    assert_eq!(group.processes[&A].coordinator.poll_timeout(), Some(tenth));
    for taken in 1..=WINDOW {
        group.pass_time(tenth - Duration::from_millis(1));
        assert!(!group.take(A), "it is too early for message {taken}");
        group.pass_time(Duration::from_millis(1));
        assert!(group.take(A), "message {taken}");
        assert!(!group.take(A), "one, and no more");
    }
    assert_eq!(received(&group, A), WINDOW as u64);
}

#[test]
fn what_is_not_taken_is_no_second_one_later() {
    let mut group = full(settings());
    group.pass_time(Duration::ZERO);
    group.pass_time(STALL / 2);
    assert!(group.take(A) && !group.take(A));
    group.pass_time(Duration::ZERO);
    assert!(!group.take(A), "not one for each tenth that has passed");
    group.pass_time(STALL / 10);
    assert!(group.take(A));
}

#[test]
fn a_message_that_departs_begins_the_count_anew() {
    let mut group = full(settings());
    group.pass_time(Duration::ZERO);
    group.pass_time(STALL / 10 - Duration::from_millis(1));
    // Something departs at A, though it stays over the mark: two are queued for each that B takes.
    let a = &mut group.processes.get_mut(&A).unwrap().coordinator;
    assert!(!a.has_message());
    for _ in 0..4 {
        group.pay_to(A, B);
    }
    group.forge((B, A), grant(A, B, WINDOW as u64, WINDOW as u64));
    group.pass_time(Duration::from_millis(1));
    assert!(!group.take(A), "three have departed in this tenth");
    group.pass_time(STALL / 10);
    assert!(group.take(A));
}

#[test]
fn beyond_half_of_the_hard_bound_nothing_is_handed_out_and_it_is_told_for_whom_all_waits() {
    for (load, handed_out) in [(HALF - 1, true), (HALF, false)] {
        let mut group = Group::at_rest(Graph::mesh([A, B, C]), settings_of_three());
        for (from, to) in [(A, B), (B, A), (C, A)] {
            group.flood(from, to);
        }
        group.exchange();
        while unsent(&group) < load {
            group.pay_to(A, B);
        }
        group.pass_time(Duration::ZERO);
        group.pass_time(STALL / 10);
        assert_eq!(group.take(A), handed_out, "{load} wait");
        group.pass_time(STALL);
        assert_eq!(stalls(&group, A), [&format!("Stalled {{ waiting_for: [{B:?}] }}")]);
        // It is told again as long as it lasts.
        group.pass_time(STALL);
        assert_eq!(stalls(&group, A).len(), 2);
        group.pass_time(3 * STALL);
        group.pass_time(Duration::ZERO);
        assert_eq!(stalls(&group, A).len(), 3, "once, though nobody has looked for long");
    }
}

/// Windows as of two, where each hears from two.
fn settings_of_three() -> Settings {
    Settings { inbox: Bound::new(2 * WINDOW, usize::MAX), ..settings() }
}

/// How many messages of A have not departed.
fn unsent(group: &Group) -> usize {
    let sent: u64 = group.processes[&A].branch.sent.values().sum();
    sent as usize - WINDOW
}

/// Both have flooded the other by weight: two messages of 5 bytes at each, and 60 bytes of the other's in the outbox.
fn heavy() -> Group {
    let heavy = Bound::new(usize::MAX, 60);
    let settings = Settings {
        outbox_low: heavy,
        outbox_high: heavy,
        outbox_hard: Bound::new(usize::MAX, 200),
        stall: STALL,
        ..windows(100, 10)
    };
    let mut group = Group::new(Graph::mesh([A, B]), settings, 1);
    group.weigh = |_, transfer| 5 * transfer.amount as usize;
    group.boot_all();
    group.settle();
    group.flood(A, B);
    group.flood(B, A);
    group.exchange();
    group
}

#[test]
fn the_high_mark_delays_by_weight_as_well() {
    let mut group = heavy();
    group.settle();
    assert_eq!([received(&group, A), received(&group, B)], [0, 0]);
    pass(&mut group, STALL);
    assert_eq!([received(&group, A), received(&group, B)], [14; 2]);
}

#[test]
fn beyond_half_of_the_hard_bound_by_weight_nothing_is_handed_out_either() {
    for (more, handed_out) in [(7, true), (8, false)] {
        let mut group = heavy();
        (0..more).for_each(|_| group.pay_to(A, B));
        group.pass_time(Duration::ZERO);
        group.pass_time(STALL / 10);
        assert_eq!(group.take(A), handed_out, "{} bytes wait", 60 + 5 * more);
    }
}

#[test]
fn who_was_relieved_and_is_under_the_mark_again_hands_out_as_ever() {
    let mut group = full(settings());
    pass(&mut group, STALL);
    for _ in 0..10 {
        group.pay_to(B, A);
        group.exchange();
        assert!(group.take(A));
    }
    assert_eq!(group.processes[&A].coordinator.poll_timeout(), None);
}
