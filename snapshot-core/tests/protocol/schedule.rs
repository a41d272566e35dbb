//! When something is due without anybody asking: intervals, deadlines, looks at the journal, stalls. Time is a number here.

use std::time::Duration;

use crate::group::{Group, windows};
use snapshot_core::{Bound, Graph, NodeId, Settings};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const D: NodeId = NodeId(4);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A group that starts at 100 s.
fn group(graph: Graph, settings: Settings) -> Group {
    let mut group = Group::new(graph, settings, 1);
    group.now = seconds(100);
    group.boot_all();
    group.settle();
    group
}

fn due(group: &Group, id: NodeId) -> Option<Duration> {
    group.processes[&id].coordinator.poll_timeout()
}

#[test]
fn the_interval_counts_from_the_start_and_each_member_waits_a_little_longer_than_the_one_before_it() {
    // Members stagger by up to a quarter of the interval, so that they do not all begin at once.
    let settings = Settings { interval: Some(seconds(16)), ..Settings::default() };
    let group = group(Graph::mesh([A, B, C, D]), settings);
    let all: Vec<_> = [A, B, C, D].map(|id| due(&group, id)).into();
    assert_eq!(all, [116, 117, 118, 119].map(|n| Some(seconds(n))));
}

#[test]
fn an_interval_does_not_count_while_a_snapshot_is_under_way() {
    let settings = Settings { interval: Some(seconds(10)), deadline: seconds(60), ..Settings::default() };
    let mut group = group(Graph::mesh([A, B]), settings);
    let deadline = Some(seconds(160));
    group.initiate(A).unwrap();
    assert_eq!(due(&group, A), deadline, "A records");
    assert!(group.deliver((A, B)));
    assert!(group.deliver((B, A)), "the marker");
    assert_eq!(due(&group, A), deadline, "A waits for a receipt");
    assert!(group.deliver((B, A)), "the receipt");
    assert_eq!(due(&group, A), Some(seconds(110)));
}

#[test]
fn an_interval_does_not_count_while_a_part_is_written_whether_its_snapshot_was_given_up_or_not() {
    // A store that hangs would else be given one state after the other.
    let settings =
        Settings { durable: true, interval: Some(seconds(10)), deadline: seconds(15), ..Settings::default() };
    let mut group = group(Graph::mesh([A, B]), settings);
    let id = group.initiate(A).unwrap();
    assert!(group.deliver((A, B)));
    assert_eq!(group.processes[&B].asked.len(), 1, "its part is being written");
    assert_eq!(due(&group, B), Some(seconds(115)), "the deadline");
    group.input(B, |c, _, _| assert!(c.abort(id)));
    // First a look at the journal: somebody else may have committed it.
    assert_eq!(due(&group, B), Some(Duration::ZERO));
    group.pass_time(Duration::ZERO);
    group.processes.get_mut(&B).unwrap().asked.rotate_left(1);
    assert!(group.serve_oldest(B), "the look");
    assert_eq!(due(&group, B), Some(seconds(120)), "nothing but the next look, in two intervals");
    assert!(group.serve(B), "the part is written after all");
    assert_eq!(due(&group, B), Some(seconds(110) + seconds(10) / 8), "the interval");
}

#[test]
fn a_snapshot_that_was_due_and_refused_is_due_again_an_interval_later() {
    let settings = Settings { interval: Some(seconds(10)), max_running: 0, ..Settings::default() };
    let mut group = group(Graph::mesh([A, B]), settings);
    assert_eq!(due(&group, A), Some(seconds(110)));
    group.pass_time(seconds(10));
    assert_eq!(group.processes[&A].coordinator.running(), []);
    assert_eq!(due(&group, A), Some(seconds(120)));
}

#[test]
fn an_interval_does_not_count_while_a_neighbour_is_lost() {
    let settings = Settings { interval: Some(seconds(10)), ..Settings::default() };
    let mut group = group(Graph::mesh([A, B]), settings);
    group.lost(A, B);
    assert_eq!(due(&group, A), None);
}

#[test]
fn once_the_commit_record_is_being_written_only_the_store_can_say_how_a_snapshot_ends() {
    let settings = Settings { durable: true, deadline: seconds(5), ..Settings::default() };
    let mut group = group(Graph::mesh([A, B]), settings);
    let id = group.initiate(A).unwrap();
    while group.deliver((A, B)) || group.deliver((B, A)) {}
    assert!(group.serve(A) && group.serve(B), "both parts are durable");
    assert_eq!(due(&group, A), Some(seconds(105)), "the deadline");
    while group.deliver((B, A)) {}
    assert_eq!(group.processes[&A].asked.len(), 1, "the commit record is asked for");
    // What is due now is the next look at the journal, and neither time nor a wish gives the snapshot up.
    group.pass_time(seconds(20));
    group.input(A, |c, _, _| assert!(!c.abort(id)));
    assert_eq!(group.processes[&A].aborted, []);
    group.settle();
    assert_eq!(group.processes[&A].reports, [id]);
}

#[test]
fn the_journal_is_looked_at_when_there_was_no_news_for_a_deadline_or_for_two_intervals() {
    // F3a: a node that was left behind in silence finds out, though nobody tells it.
    for (interval, patience) in [(None, 7), (Some(seconds(20)), 40)] {
        let settings = Settings { durable: true, interval, deadline: seconds(7), ..Settings::default() };
        let mut group = group(Graph::mesh([A, B]), settings);
        // An interval would bring a snapshot, and with it news: none is begun while a neighbour is lost.
        group.lost(A, B);
        let first = seconds(100 + patience);
        assert_eq!(due(&group, A), Some(first));
        group.pass_time(seconds(patience) - Duration::from_nanos(1));
        assert!(group.processes[&A].asked.is_empty(), "not before it is due");
        group.pass_time(Duration::from_nanos(1));
        assert_eq!(group.processes[&A].asked.len(), 1);
        assert!(group.serve(A));
        assert_eq!(due(&group, A), Some(first + seconds(patience)));
    }
}

#[test]
fn a_look_at_the_journal_that_fails_is_not_repeated_at_once() {
    let settings = Settings { durable: true, deadline: seconds(7), ..Settings::default() };
    let mut group = group(Graph::mesh([A, B]), settings);
    group.store.faults = 100;
    group.pass_time(seconds(7));
    assert!(group.serve(A));
    assert!(group.processes[&A].events.iter().any(|event| event.starts_with("StoreFailed")));
    assert!(group.processes[&A].asked.is_empty());
    assert_eq!(due(&group, A), Some(seconds(114)));
}

/// A group of three in which each may have one message under way to each other, and the outbox is over its high mark with
/// three.
fn tight() -> Group {
    let mark = Bound::new(3, usize::MAX);
    let settings = Settings {
        stall: seconds(10),
        outbox_low: mark,
        outbox_high: mark,
        outbox_hard: Bound::new(100, usize::MAX),
        ..windows(2, usize::MAX)
    };
    group(Graph::mesh([A, B, C]), settings)
}

#[test]
fn a_stall_names_those_that_take_nothing_and_only_them() {
    let mut group = tight();
    group.now = seconds(200);
    for waiting in 0..=3 {
        assert_eq!(due(&group, A), None, "{waiting} messages wait");
        group.pay_to(A, B);
        group.pay_to(A, C);
        while group.deliver((A, C)) {}
        while group.take(C) {}
        while group.deliver((C, A)) {}
    }
    // The first look says from when it counts.
    assert_eq!(due(&group, A), Some(Duration::ZERO));
    group.pass_time(Duration::ZERO);
    assert_eq!(due(&group, A), Some(seconds(210)));
    group.pass_time(seconds(10));
    assert!(group.processes[&A].events.contains(&format!("Stalled {{ waiting_for: [{B:?}] }}")));
    assert_eq!(due(&group, A), Some(seconds(220)), "it is told again");
}

#[test]
fn a_stall_counts_from_the_last_message_that_departed_and_nothing_else_moves_it() {
    let mut group = tight();
    (0..5).for_each(|_| group.pay_to(A, B));
    group.pass_time(Duration::ZERO);
    assert_eq!(due(&group, A), Some(seconds(110)));
    // What arrives, and control that departs, is no sign that B takes anything.
    group.pass_time(seconds(4));
    group.initiate(A).unwrap();
    while group.deliver((A, C)) || group.deliver((C, A)) || group.deliver((C, B)) {}
    assert!(group.deliver((A, B)) && group.deliver((A, B)), "a message and the marker");
    group.pay_to(C, A);
    while group.deliver((C, A)) {}
    while group.deliver((B, C)) || group.deliver((B, A)) || group.deliver((C, A)) {}
    assert_eq!(group.processes[&A].reports.len(), 1, "the snapshot has ended all the same");
    group.pass_time(seconds(5));
    assert_eq!(due(&group, A), Some(seconds(110)));
    // B takes one, and the next departs: three are left.
    assert!(group.take(B));
    while group.deliver((B, A)) {}
    assert_eq!(due(&group, A), Some(Duration::ZERO));
    group.pass_time(Duration::ZERO);
    assert_eq!(due(&group, A), Some(seconds(119)));
    assert!(group.processes[&A].events.iter().all(|event| !event.starts_with("Stalled")));
    // And one more: it is under the mark again.
    while group.deliver((A, B)) {}
    assert!(group.take(B));
    while group.deliver((B, A)) {}
    assert_eq!(due(&group, A), None);
}
