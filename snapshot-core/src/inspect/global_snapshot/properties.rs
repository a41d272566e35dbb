//! The check that the parts of a snapshot fit together.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::inspect::global_snapshot::{AssembleError, GlobalSnapshot};
use crate::vocabulary::id::{NodeId, Turn};
use crate::vocabulary::part::LocalSnapshot;
use crate::vocabulary::properties::{holds, numbers, snapshots};

type Part = LocalSnapshot<u64, u8>;

/// One part of each member, in any order.
fn sets() -> impl Strategy<Value = Vec<Part>> {
    let members = prop::collection::btree_set(numbers(), 1..6);
    (snapshots(), members).prop_flat_map(|(snapshot, members)| {
        let members: Vec<NodeId> = members.into_iter().map(NodeId).collect();
        let parts: Vec<_> = members
            .iter()
            .map(|node| {
                let (node, members) = (*node, members.clone());
                let senders: Vec<NodeId> = members.iter().copied().filter(|id| *id != node).collect();
                let messages = prop::option::of(prop::collection::vec(any::<u8>(), 0..4));
                let channels = prop::collection::vec(messages.clone(), senders.len());
                let outgoing = prop::collection::vec(messages, senders.len());
                (any::<u64>(), numbers(), channels, outgoing).prop_map(
                    move |(state, turn, channels, outgoing)| {
                        let channels = senders.iter().copied().zip(channels);
                        let outgoing = senders.iter().copied().zip(outgoing);
                        Part {
                            snapshot,
                            node,
                            turn: Turn(turn),
                            members: members.clone().into(),
                            state,
                            channels: channels.filter_map(|(from, m)| Some((from, m?))).collect(),
                            outgoing: outgoing
                                .filter_map(|(to, m)| Some((to, m?)).filter(|(_, m)| !m.is_empty()))
                                .collect(),
                        }
                    },
                )
            })
            .collect();
        parts.prop_map(fitting).prop_shuffle()
    })
}

/// Messages are sent on channels that their receivers have.
fn fitting(mut parts: Vec<Part>) -> Vec<Part> {
    let channels: BTreeSet<(NodeId, NodeId)> =
        parts.iter().flat_map(|part| part.channels.keys().map(|from| (*from, part.node))).collect();
    for part in &mut parts {
        part.outgoing.retain(|to, _| channels.contains(&(part.node, *to)));
    }
    parts
}

#[test]
fn one_part_of_each_member_makes_a_cut_that_holds_just_them() {
    holds(sets(), |parts| {
        let cut = GlobalSnapshot::assemble(parts.clone()).unwrap();
        prop_assert_eq!(cut.id(), parts[0].snapshot);
        prop_assert_eq!(cut.members(), &parts[0].members[..]);
        prop_assert_eq!(cut.states().len(), parts.len());
        for part in &parts {
            prop_assert_eq!(
                (cut.state(part.node), cut.turn(part.node)),
                (Some(&part.state), Some(part.turn))
            );
            for from in cut.members() {
                let sender = parts.iter().find(|sender| sender.node == *from).unwrap();
                let ends = [part.channels.get(from), sender.outgoing.get(&part.node)];
                let both: Vec<u8> = ends.into_iter().flatten().flatten().copied().collect();
                prop_assert_eq!(cut.channel(*from, part.node), both);
            }
        }
        prop_assert_eq!(cut.in_flight().count(), parts.iter().map(Part::messages).sum::<usize>());
        let by_node: BTreeMap<NodeId, Part> = parts.into_iter().map(|part| (part.node, part)).collect();
        prop_assert!(cut.into_parts().eq(by_node.into_values()));
        Ok(())
    });
}

/// One thing that is wrong with a set.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    Missing,
    Twice,
    OtherSnapshot,
    OtherMembers,
    Stranger,
    FromItself,
    FromAStranger,
    ToItself,
    ToAStranger,
}

fn flaws() -> impl Strategy<Value = Flaw> {
    prop::sample::select(vec![
        Flaw::Missing,
        Flaw::Twice,
        Flaw::OtherSnapshot,
        Flaw::OtherMembers,
        Flaw::Stranger,
        Flaw::FromItself,
        Flaw::FromAStranger,
        Flaw::ToItself,
        Flaw::ToAStranger,
    ])
}

#[test]
fn a_set_with_a_flaw_is_refused_and_the_error_names_the_flaw_and_the_node() {
    holds((sets(), flaws(), any::<prop::sample::Index>()), |(mut parts, flaw, at)| {
        let at = at.index(parts.len());
        let Part { node, snapshot, ref members, .. } = parts[at];
        let taken: BTreeSet<NodeId> = members.iter().copied().collect();
        let stranger = (0..).map(NodeId).find(|id| !taken.contains(id)).unwrap();
        match flaw {
            Flaw::Missing => drop(parts.remove(at)),
            Flaw::Twice => parts.push(parts[at].clone()),
            Flaw::OtherSnapshot => parts[at].snapshot.sequence ^= 1,
            Flaw::OtherMembers => {
                parts[at].members = parts[at].members.iter().copied().chain([stranger]).collect();
            }
            Flaw::Stranger => parts[at].node = stranger,
            Flaw::FromItself => drop(parts[at].channels.insert(node, vec![])),
            Flaw::FromAStranger => drop(parts[at].channels.insert(stranger, vec![])),
            Flaw::ToItself => drop(parts[at].outgoing.insert(node, vec![1])),
            Flaw::ToAStranger => drop(parts[at].outgoing.insert(stranger, vec![1])),
        }
        // The first part is what others are measured by.
        let alone = parts.len() == 1;
        let refused = match GlobalSnapshot::assemble(parts) {
            Ok(cut) => {
                prop_assert!(alone && matches!(flaw, Flaw::OtherSnapshot), "{cut:?}");
                return Ok(());
            }
            Err(refused) => refused,
        };
        let expected = match flaw {
            Flaw::Missing => {
                matches!(refused, AssembleError::Missing { node: n } if n == node)
                    || refused == AssembleError::Nothing
            }
            Flaw::Twice => refused == AssembleError::Twice { node },
            Flaw::OtherSnapshot => match refused {
                AssembleError::OtherSnapshot { node: n, found, expected } => {
                    found != expected && (n == node || found == snapshot)
                }
                _ => false,
            },
            Flaw::OtherMembers => {
                matches!(refused, AssembleError::OtherMembers { .. })
                    || alone && refused == AssembleError::Missing { node: stranger }
            }
            Flaw::Stranger => refused == AssembleError::NotAMember { node: stranger },
            Flaw::FromItself => refused == AssembleError::ForeignSender { node, sender: node },
            Flaw::FromAStranger => refused == AssembleError::ForeignSender { node, sender: stranger },
            Flaw::ToItself => refused == AssembleError::ForeignReceiver { node, receiver: node },
            Flaw::ToAStranger => refused == AssembleError::ForeignReceiver { node, receiver: stranger },
        };
        prop_assert!(expected, "{refused:?}");
        Ok(())
    });
}
