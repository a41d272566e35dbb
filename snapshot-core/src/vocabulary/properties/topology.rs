//! Random graphs: strongly connected, or an error that names a pair without a path; and what goes to all reaches all.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::holds;
use crate::vocabulary::id::NodeId;
use crate::vocabulary::shape::LinkUse;
use crate::vocabulary::topology::{Graph, Topology, TopologyError};

type Links = BTreeSet<(NodeId, NodeId)>;

/// Up to seven members with any links between them; sparse ones, of which many are not connected, and dense ones.
fn graphs() -> impl Strategy<Value = (Vec<NodeId>, Links)> {
    let members = prop::collection::btree_set(0..u64::MAX, 1..8);
    (members, 0..22_usize).prop_flat_map(|(members, links)| {
        let members: Vec<NodeId> = members.into_iter().map(NodeId).collect();
        let ends = prop::sample::select(members.clone());
        let links = prop::collection::btree_set((ends.clone(), ends), 0..=links);
        let links = links.prop_map(|links| links.into_iter().filter(|(from, to)| from != to).collect());
        (Just(members).prop_shuffle(), links)
    })
}

/// Those that are strongly connected: by a ring or by a tree that goes both ways, with any other links between.
fn connected() -> impl Strategy<Value = (Vec<NodeId>, Links)> {
    let parents = prop::collection::vec(any::<prop::sample::Index>(), 8);
    (graphs(), any::<bool>(), parents).prop_map(|((members, mut links), ring, parents)| {
        for (at, parent) in (1..members.len()).zip(parents) {
            let (from, to) = (members[at - 1], members[at]);
            let parent = members[parent.index(at)];
            links.extend(if ring { [(from, to), (from, to)] } else { [(parent, to), (to, parent)] });
        }
        if ring && members.len() > 1 {
            links.insert((members[members.len() - 1], members[0]));
        }
        (members, links)
    })
}

fn graph(members: &[NodeId], links: &Links) -> Graph {
    links.iter().fold(Graph::new(members.iter().copied()), |graph, (from, to)| graph.link(*from, *to))
}

/// How many steps each node is from another, by going through all links again and again.
fn distances(members: &[NodeId], links: &Links) -> BTreeMap<(NodeId, NodeId), usize> {
    let mut found: BTreeMap<_, _> = members.iter().map(|id| ((*id, *id), 0)).collect();
    for _ in members {
        for (from, to) in links {
            for origin in members {
                if let Some(steps) = found.get(&(*origin, *from)).map(|steps| steps + 1) {
                    let best = found.entry((*origin, *to)).or_insert(steps);
                    *best = steps.min(*best);
                }
            }
        }
    }
    found
}

/// Every member's view.
fn views(members: &[NodeId], graph: &Graph) -> BTreeMap<NodeId, Topology> {
    members.iter().map(|id| (*id, graph.at(*id).expect("it is connected"))).collect()
}

#[test]
fn a_graph_is_strongly_connected_or_the_error_names_a_pair_without_a_path() {
    holds(graphs(), |(members, links)| {
        let distances = distances(&members, &links);
        let connected = distances.len() == members.len() * members.len();
        for me in &members {
            match graph(&members, &links).at(*me) {
                Ok(_) => prop_assert!(connected),
                Err(TopologyError::NotStronglyConnected { from, to }) => {
                    prop_assert!(!distances.contains_key(&(from, to)), "there is a path from {from} to {to}");
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        Ok(())
    });
}

#[test]
fn a_way_back_for_each_link_connects_what_hangs_together_and_carries_no_messages() {
    holds(graphs(), |(members, links)| {
        let both: Links = links.iter().flat_map(|(from, to)| [(*from, *to), (*to, *from)]).collect();
        let connected = distances(&members, &both).len() == members.len() * members.len();
        let back = graph(&members, &links).with_way_back();
        prop_assert_eq!(back.at(members[0]).is_ok(), connected);
        let Ok(topology) = back.at(members[0]) else { return Ok(()) };
        let all: Vec<_> = topology.links().collect();
        prop_assert_eq!(all.len(), both.len());
        for (from, to, link) in all {
            prop_assert_eq!(link == LinkUse::Messages, links.contains(&(from, to)));
            prop_assert_eq!(topology.link_use(from, to), Some(link));
        }
        Ok(())
    });
}

#[test]
fn neighbours_are_numbered_and_found_by_name_and_two_nodes_agree_on_their_channels() {
    holds(connected(), |(members, links)| {
        let graph = graph(&members, &links).with_way_back();
        let views = views(&members, &graph);
        for (me, view) in &views {
            prop_assert_eq!((view.me(), view.members().len()), (*me, members.len()));
            prop_assert!(view.members().is_sorted());
            for (index, peer) in view.peers().enumerate() {
                prop_assert_eq!((peer.index(), view.peer(peer.id())), (index, Some(peer)));
                let theirs = &views[&peer.id()];
                let there = theirs.peer(*me).expect("neighbours are so both ways");
                prop_assert_eq!(view.outgoing_use(peer).is_some(), theirs.is_incoming(there));
                prop_assert_eq!(view.outgoing_use(peer), view.link_use(*me, peer.id()));
            }
            prop_assert_eq!(view.peer(*me), None);
            let channels = view.incoming().count() + view.outgoing().count();
            prop_assert_eq!(channels, view.links().filter(|(from, to, _)| from == me || to == me).count());
            prop_assert_eq!(view.fingerprint(), views[&members[0]].fingerprint());
        }
        Ok(())
    });
}

#[test]
fn what_is_sent_hop_by_hop_arrives_on_a_shortest_path() {
    holds(connected(), |(members, links)| {
        let graph = graph(&members, &links);
        let (views, distances) = (views(&members, &graph), distances(&members, &links));
        for from in &members {
            prop_assert_eq!(views[from].next_hop(*from), None);
            for to in members.iter().filter(|to| *to != from) {
                let (mut at, mut steps) = (*from, 0);
                while at != *to {
                    at = views[&at].next_hop(*to).expect("there is a way").id();
                    steps += 1;
                    prop_assert!(steps <= members.len(), "from {from} to {to} for ever");
                }
                prop_assert_eq!(steps, distances[&(*from, *to)]);
            }
        }
        Ok(())
    });
}

#[test]
fn what_a_node_tells_everyone_reaches_each_once_over_links_that_there_are() {
    holds(connected(), |(members, links)| {
        let graph = graph(&members, &links);
        let views = views(&members, &graph);
        for root in &members {
            let (mut told, mut waiting) = (BTreeSet::from([*root]), vec![*root]);
            while let Some(at) = waiting.pop() {
                for child in views[&at].children(*root) {
                    prop_assert!(links.contains(&(at, child.id())));
                    prop_assert!(told.insert(child.id()), "{} is told twice what {root} says", child.id());
                    waiting.push(child.id());
                }
            }
            prop_assert_eq!(told.len(), members.len());
        }
        Ok(())
    });
}

#[test]
fn groups_that_differ_in_name_members_or_links_have_other_fingerprints() {
    holds((connected(), any::<prop::sample::Index>(), "[a-c]{0,3}"), |((members, links), at, name)| {
        let graph = graph(&members, &links).with_way_back().named(&name);
        prop_assume!(!links.is_empty());
        let print = |graph: &Graph| graph.at(members[0]).map(|topology| topology.fingerprint());
        let ours = print(&graph);
        prop_assert_ne!(&print(&graph.clone().named(format!("{name}x"))), &ours);
        let (from, to) = *links.iter().nth(at.index(links.len())).unwrap();
        // What carried messages carries only control, or what was not there is.
        let mut fewer = links.clone();
        fewer.remove(&(from, to));
        let other = self::graph(&members, &fewer).with_way_back().named(&name);
        prop_assert_ne!(&print(&other), &ours);
        Ok(())
    });
}
