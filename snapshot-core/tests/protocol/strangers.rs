//! F6: nodes that stand on different stores, or of which some have none, are told of each other at once, and nothing is promised.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::group::{Group, Random, Store, Transfer, greeting, stamp};
use snapshot_core::{
    AbortReason, Body, Frame, Generation, Graph, InitiateError, NodeId, Settings, Stamp, Violation,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

fn durable() -> Settings {
    Settings { durable: true, deadline: Duration::from_secs(60), ..Settings::default() }
}

/// A group that is not started, in which somebody may be accused.
fn group(graph: Graph) -> Group {
    let mut group = Group::new(graph, durable(), 1);
    group.tolerant = true;
    group
}

/// How often a node was told something.
fn told(group: &Group, id: NodeId, what: &str) -> usize {
    group.processes[&id].events.iter().filter(|event| event.contains(what)).count()
}

fn refused(group: &mut Group, id: NodeId) -> Option<NodeId> {
    match group.input(id, |c, now, capture| c.initiate(now, capture)) {
        Some(Err(InitiateError::Refused(AbortReason::PeerLost { peer }))) => Some(peer),
        other => panic!("{id}: {other:?}"),
    }
}

#[test]
fn nodes_with_a_store_each_are_told_on_their_first_connection_and_nothing_is_committed() {
    for graph in [Graph::mesh([A, B, C]), Graph::ring([A, B, C])] {
        let mut group = group(graph.clone());
        group.apart = graph.members().iter().map(|id| (*id, Store::default())).collect();
        group.boot_all();
        group.settle();
        for id in [A, B, C] {
            let senders = graph.at(id).unwrap().incoming().count();
            assert_eq!(told(&group, id, "OtherHistory"), senders, "{id}: {:?}", group.processes[&id].events);
            refused(&mut group, id);
        }
        group.pass_time(Duration::from_secs(60));
        group.settle();
        assert_eq!(group.commits, 0);
        assert!(group.processes.values().all(|process| process.reports.is_empty()));
    }
}

#[test]
fn a_snapshot_that_runs_when_a_stranger_greets_is_given_up_at_once() {
    let mut group = group(Graph::mesh([A, B, C]));
    group.apart = BTreeMap::from([(C, Store::default())]);
    group.boot_all();
    // Nothing of C has come yet.
    while [A, B].iter().any(|id| group.serve(*id)) || group.deliver((A, B)) || group.deliver((B, A)) {}
    let id = group.initiate(A).unwrap();
    group.settle();
    assert_eq!(group.processes[&A].aborted, [id], "without its deadline");
    assert_eq!((told(&group, A, "OtherHistory"), told(&group, B, "OtherHistory")), (1, 1));
    assert_eq!((refused(&mut group, A), refused(&mut group, B)), (Some(C), Some(C)));
    assert_eq!(group.commits, 0);
}

#[test]
fn once_the_stranger_has_been_given_the_store_of_the_others_all_goes_on() {
    let mut group = group(Graph::mesh([A, B, C]));
    group.apart = BTreeMap::from([(C, Store::default())]);
    group.boot_all();
    group.settle();
    refused(&mut group, A);
    group.crash(C);
    group.apart.clear();
    group.boot(C);
    group.settle();
    group.tolerant = false;
    for initiator in [A, B, C] {
        let id = group.initiate(initiator).unwrap();
        group.settle();
        assert_eq!(group.processes[&initiator].reports, [id]);
    }
}

#[test]
fn a_store_of_another_age_is_told_by_whoever_is_behind() {
    let mut group = group(Graph::mesh([A, B]));
    group.apart = BTreeMap::from([(B, Store::default())]);
    group.boot(A);
    group.settle();
    group.crash(A);
    group.boot(A);
    group.settle();
    group.boot(B);
    group.settle();
    assert_eq!(told(&group, B, "UnknownGeneration"), 1, "{:?}", group.processes[&B].events);
    assert_eq!(refused(&mut group, B), Some(A));
    group.initiate(A).unwrap();
    group.pass_time(Duration::from_secs(60));
    group.settle();
    assert_eq!(group.commits, 0);
}

#[test]
fn whatever_happens_nothing_is_committed_among_nodes_of_which_one_has_a_store_of_its_own() {
    for seed in 0..200 {
        let graph = if seed % 2 == 0 { Graph::mesh([A, B, C]) } else { Graph::ring([A, B, C]) };
        let pairs: Vec<_> = graph.at(A).unwrap().links().map(|(from, to, _)| (from, to)).collect();
        let mut group = group(graph);
        group.random = Random::new(seed);
        group.apart = BTreeMap::from([(C, Store::default())]);
        group.boot_all();
        for _ in 0..300 {
            let id = [A, B, C][group.random.below(3)];
            let (from, to) = pairs[group.random.below(pairs.len())];
            match group.random.below(100) {
                0..40 => drop(group.deliver((from, to))),
                40..80 => drop(group.serve(id)),
                80..92 => drop(group.initiate(id)),
                92..96 => group.reconnect(from, to),
                96..98 => group.pass_time(Duration::from_secs(20)),
                _ => {
                    group.crash(id);
                    group.boot(id);
                }
            }
        }
        // Longer than any pause before a generation.
        for _ in 0..6 {
            group.settle();
            group.pass_time(Duration::from_secs(20));
        }
        assert_eq!(group.commits, 0, "seed {seed}");
        assert!(
            [A, B, C].iter().any(|id| told(&group, *id, "Violation") > 0),
            "seed {seed}: nobody was told"
        );
    }
}

#[test]
fn a_node_without_a_store_among_nodes_with_one_is_told_and_they_are() {
    // Also where the group is older than its first generation.
    for restarts in [0, 2] {
        let mut group = group(Graph::mesh([A, B]));
        for _ in 0..=restarts {
            group.boot(A);
            while group.serve(A) {}
        }
        group.settings.durable = false;
        group.boot(B);
        group.settle();
        assert_eq!(told(&group, A, "Store { it_has_one: false }"), 1, "{:?}", group.processes[&A].events);
        assert_eq!(told(&group, B, "Store { it_has_one: true }"), 1, "{:?}", group.processes[&B].events);
        assert_eq!(told(&group, B, "Violation"), 1);
        assert_eq!((refused(&mut group, A), refused(&mut group, B)), (Some(B), Some(A)));
    }
}

#[test]
fn what_is_left_over_where_the_transport_tells_of_no_connections_is_no_word_of_a_stranger() {
    let mut group = group(Graph::mesh([A, B]));
    group.boot(A);
    while group.serve(A) {}
    let left = Frame { stamp: Stamp::new(Generation(1), 1 << 16 | 5), body: greeting(5) };
    group.channels.get_mut(&(B, A)).unwrap().push_back(left);
    assert!(group.deliver((B, A)));
    assert_eq!(told(&group, A, "Violation"), 0);
    let refused = group.input(A, |c, now, capture| c.initiate(now, capture));
    assert!(matches!(refused, Some(Ok(_))));
}

// ---- how often it is told -----------------------------------------------------------------------------------------------

#[test]
fn however_often_a_rule_is_broken_it_is_told_once_and_at_the_end_of_the_generation_how_often() {
    let mut group = Group::at_rest(Graph::mesh([A, B]), durable());
    group.tolerant = true;
    let marker = |group: &Group| {
        let known = group.last_on((B, A));
        let count = group.number_on((B, A)) + 1;
        Frame {
            stamp: stamp(1, count, known),
            body: Body::<Transfer>::Control(bytes::Bytes::from_static(&[9, 9])),
        }
    };
    for _ in 0..500 {
        let frame = marker(&group);
        group.channels.get_mut(&(B, A)).unwrap().push_back(frame);
        assert!(group.deliver((B, A)));
    }
    assert_eq!(told(&group, A, "Violation"), 1, "{:?}", group.processes[&A].events);
    assert_eq!(told(&group, A, "times: 1 "), 1);
    group.crash(B);
    group.boot(B);
    group.settle();
    assert_eq!(told(&group, A, "Violation"), 2);
    assert_eq!(told(&group, A, "times: 499"), 1);
    // What happens in the next generation is news.
    let frame =
        Frame { stamp: stamp(2, group.number_on((B, A)) + 1, group.last_on((B, A))), ..marker(&group) };
    group.channels.get_mut(&(B, A)).unwrap().push_back(frame);
    assert!(group.deliver((B, A)));
    assert_eq!(told(&group, A, "Violation"), 3);
}

#[test]
fn the_text_says_who_differs_in_what_and_what_to_do() {
    let texts = [
        Violation::Store { it_has_one: true }.to_string(),
        Violation::Store { it_has_one: false }.to_string(),
        Violation::OtherHistory { generation: Generation(3) }.to_string(),
        Violation::UnknownGeneration { generation: Generation(3) }.to_string(),
    ];
    assert!(
        texts[0]
            .starts_with("it runs with a store, or in another graph, and this node without one: give all")
    );
    assert!(texts[1].starts_with("it runs without a store, and this node with one: give all nodes the same"));
    assert!(texts[2..].iter().all(|text| text.contains("give all nodes the same store")), "{texts:?}");
}
