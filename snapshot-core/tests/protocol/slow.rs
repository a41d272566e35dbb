//! A snapshot that no application can hold up (W1): it ends, and its size has a bound, whoever takes nothing, and however much is
//! sent.

use crate::group::{Group, windows};
use snapshot_core::{Bound, FrameKind, Graph, NodeId, Retention, Settings};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const D: NodeId = NodeId(4);
const E: NodeId = NodeId(5);

/// How many messages of one neighbour may be outstanding.
const WINDOW: usize = 4;

/// How many messages an outbox holds before there is no more room.
const OUTBOX: usize = 12;

/// Each node hears from so many.
fn settings(senders: usize) -> Settings {
    Settings {
        outbox_low: Bound::new(OUTBOX, usize::MAX),
        outbox_high: Bound::new(2 * OUTBOX, usize::MAX),
        outbox_hard: Bound::new(4 * OUTBOX, usize::MAX),
        retention: Retention::All,
        ..windows(WINDOW * senders, usize::MAX)
    }
}

/// Twenty snapshots, begun by each in turn. Nobody takes anything, and each pair floods its channel before each of them.
fn snapshots_while_nobody_takes(graph: Graph, settings: Settings, floods: &[(NodeId, NodeId)]) -> Group {
    let members = graph.members().to_vec();
    let mut group = Group::at_rest(graph, settings);
    for initiator in members.iter().cycle().take(20) {
        floods.iter().for_each(|(from, to)| group.flood(*from, *to));
        let id = group.initiate(*initiator).expect("nothing stands against it");
        group.exchange();
        assert_eq!(group.processes[initiator].reports.last(), Some(&id), "it has ended");
        assert!(group.processes.values().all(|process| process.branch.received.is_empty()));
        assert!(group.processes.values().all(|process| process.coordinator.running().is_empty()));
    }
    assert_eq!(group.check_cuts(), 20);
    group
}

/// How many messages are recorded on a channel, by its receiver and by its sender, in each snapshot.
fn recorded(group: &Group, from: NodeId, to: NodeId) -> Vec<(usize, usize)> {
    let received = group.parts_of(to).into_iter().map(|part| part.channels[&from].len());
    let kept = group.parts_of(from).into_iter().map(|part| part.outgoing.get(&to).map_or(0, Vec::len));
    received.zip(kept).collect()
}

/// All that was sent is taken in the end, in order.
fn ends_well(mut group: Group) {
    group.settle();
    assert_eq!(group.balance(), group.total);
    assert!(group.processes.values().any(|process| !process.branch.received.is_empty()));
}

#[test]
fn every_snapshot_of_two_ends_while_one_floods_and_the_other_takes_nothing_and_none_grows() {
    for durable in [false, true] {
        let settings = Settings { durable, ..settings(1) };
        let group = snapshots_while_nobody_takes(Graph::mesh([A, B]), settings, &[(A, B)]);
        assert_eq!(recorded(&group, A, B), [(WINDOW, OUTBOX); 20]);
        assert_eq!(recorded(&group, B, A), [(0, 0); 20]);
        ends_well(group);
    }
}

#[test]
fn every_snapshot_ends_while_an_outbox_is_at_its_hard_bound() {
    let full = Bound::new(OUTBOX, usize::MAX);
    let settings = Settings { outbox_high: full, outbox_hard: full, ..settings(1) };
    let group = snapshots_while_nobody_takes(Graph::mesh([A, B]), settings, &[(A, B)]);
    assert_eq!(recorded(&group, A, B), [(WINDOW, OUTBOX); 20]);
    ends_well(group);
}

#[test]
fn every_snapshot_of_two_ends_while_both_flood_and_neither_takes_anything() {
    let group = snapshots_while_nobody_takes(Graph::mesh([A, B]), settings(1), &[(A, B), (B, A)]);
    for pair in [(A, B), (B, A)] {
        assert_eq!(recorded(&group, pair.0, pair.1), [(WINDOW, OUTBOX); 20]);
    }
    ends_well(group);
}

#[test]
fn every_snapshot_of_a_ring_ends_where_grants_go_a_long_way_round() {
    let floods = [(A, B), (B, C), (C, A)];
    for durable in [false, true] {
        let settings = Settings { durable, ..settings(1) };
        let group = snapshots_while_nobody_takes(Graph::ring([A, B, C]), settings, &floods);
        for (from, to) in floods {
            assert_eq!(recorded(&group, from, to), [(WINDOW, OUTBOX); 20]);
        }
        ends_well(group);
    }
}

#[test]
fn every_snapshot_of_a_star_ends_whose_hub_takes_nothing_and_whose_outbox_is_full() {
    let leaves = [B, C, D, E];
    let floods = [(B, A), (C, A), (D, A), (E, A), (A, B)];
    for durable in [false, true] {
        let mut settings = Settings { durable, ..settings(4) };
        settings.max_running = 1; // each has ended before the next begins
        let group = snapshots_while_nobody_takes(Graph::star([A, B, C, D, E]), settings, &floods);
        for leaf in leaves {
            // A leaf hears from the hub alone, and has the whole of its inbox for it.
            let from_hub = if leaf == B { (4 * WINDOW, OUTBOX) } else { (0, 0) };
            assert_eq!(recorded(&group, leaf, A), [(WINDOW, OUTBOX); 20], "{leaf}");
            assert_eq!(recorded(&group, A, leaf), [from_hub; 20], "{leaf}");
        }
        ends_well(group);
    }
}

#[test]
fn a_slow_hub_takes_from_all_who_send_to_it() {
    let leaves = [B, C, D, E];
    let mut group = Group::at_rest(Graph::star([A, B, C, D, E]), settings(4));
    for taken in 1..=80 {
        leaves.iter().for_each(|leaf| group.flood(*leaf, A));
        group.exchange();
        assert!(group.take(A), "{taken}");
    }
    let received = group.processes[&A].branch.received.clone();
    assert!(leaves.iter().all(|leaf| (15..=25).contains(&received[leaf])), "{received:?}");
    ends_well(group);
}

#[test]
fn a_marker_is_on_the_wire_behind_all_that_has_departed_and_before_all_that_has_not() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), settings(1));
    group.flood(A, B);
    let id = group.initiate(A).unwrap();
    let on_wire: Vec<_> = group.channels[&(A, B)].iter().map(|frame| frame.kind().unwrap()).collect();
    let (departed, marker) = on_wire.split_at(WINDOW);
    assert_eq!(departed, [FrameKind::Message; WINDOW]);
    assert_eq!(marker, [FrameKind::Marker(id)]);
}

/// A random course in which those who take, take slowly.
fn course(graph: Graph, senders: usize, seed: u64) -> Group {
    let mut group = Group::new(graph, settings(senders), seed);
    group.lazy = seed % 3 * 30;
    group.boot_all();
    let members = group.graph.members().to_vec();
    let pairs: Vec<_> = group.channels.keys().copied().collect();
    for _ in 0..600 {
        let node = members[group.random.below(members.len())];
        let pair = pairs[group.random.below(pairs.len())];
        match group.random.below(100) {
            0..50 => drop(group.deliver(pair)),
            50..65 => drop(group.depart(pair)),
            65..75 => drop(group.take(node)),
            75..97 => group.pay(node),
            _ => drop(group.initiate(node)),
        }
    }
    group.settle();
    group
}

#[test]
fn whoever_takes_when_a_receiver_records_one_window_of_a_channel_and_a_sender_its_outbox() {
    // W6: what a grant lets go that was posted after the receiver's capture stands behind the sender's own marker, since the
    // grant stands behind the receiver's on every hop.
    let (mut full, mut snapshots) = (0, 0);
    for seed in 0..60 {
        for (graph, senders) in [
            (Graph::ring([A, B, C]), 1),
            (Graph::mesh([A, B, C]), 2),
            (Graph::ring([A, B, C, D]).link(A, C), 1),
            (Graph::mesh([A, B]), 1),
        ] {
            let members = graph.members().to_vec();
            let group = course(graph, senders, seed);
            snapshots += group.check_cuts();
            for node in members {
                for part in group.parts_of(node) {
                    for (from, messages) in &part.channels {
                        assert!(
                            messages.len() <= WINDOW,
                            "seed {seed}: {} of {from} at {node}",
                            messages.len()
                        );
                        full += usize::from(messages.len() == WINDOW);
                    }
                    let kept: usize = part.outgoing.values().map(Vec::len).sum();
                    assert!(kept <= OUTBOX, "seed {seed}: {kept} at {node}");
                }
            }
            assert_eq!(group.balance(), group.total);
        }
    }
    assert!(snapshots > 1000 && full > 500, "these seeds try too little: {snapshots}, {full}");
}
