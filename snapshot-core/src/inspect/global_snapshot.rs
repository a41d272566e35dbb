//! One cut of the whole group, with the check that its parts fit together.

#[cfg(test)]
mod properties;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::vocabulary::id::{NodeId, SnapshotId, Turn};
use crate::vocabulary::part::LocalSnapshot;

/// One consistent cut of the whole group: every member's state, and every channel's messages in flight. On a channel these are
/// what its receiver recorded, and behind that what its sender had sent and not yet let go of.
///
/// No message in it was received that was not sent in it too; what was sent and not received is in a channel. So whatever
/// the application keeps constant over states and messages is constant here:
///
/// ```
/// use snapshot_core::{Generation, GlobalSnapshot, LocalSnapshot, NodeId, SnapshotId, Turn};
/// use std::collections::BTreeMap;
///
/// let (a, b) = (NodeId(1), NodeId(2));
/// let local = |node, other, balance: u64, arrived: Vec<u64>, queued: Vec<u64>| LocalSnapshot {
///     snapshot: SnapshotId { generation: Generation(1), sequence: 1, initiator: a },
///     node,
///     turn: Turn(7),
///     members: [a, b].into(),
///     state: balance,
///     channels: BTreeMap::from([(other, arrived)]),
///     outgoing: BTreeMap::from([(other, queued)]),
/// };
/// let cut = GlobalSnapshot::assemble([
///     local(a, b, 76, vec![], vec![4]),
///     local(b, a, 115, vec![2, 3], vec![]),
/// ])?;
///
/// let held: u64 = cut.states().map(|(_, balance)| balance).sum();
/// let in_flight: u64 = cut.in_flight().map(|(_, coin)| coin).sum();
/// assert_eq!(held + in_flight, 200);
/// assert_eq!(cut.channel(a, b), [2, 3, 4]);
/// # Ok::<(), snapshot_core::AssembleError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GlobalSnapshot<C, M> {
    id: SnapshotId,
    members: Arc<[NodeId]>,
    /// One for each member, nothing else; their messages are in `channels`.
    parts: BTreeMap<NodeId, LocalSnapshot<C, M>>,
    /// By receiver, then sender.
    channels: BTreeMap<(NodeId, NodeId), Channel<M>>,
}

/// What was in flight on one channel.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Channel<M> {
    messages: Vec<M>,
    /// How many of them the receiver recorded; the others are behind them, and the sender's.
    recorded: usize,
}

impl<C, M> GlobalSnapshot<C, M> {
    /// Puts the members' parts together, in any order.
    ///
    /// # Errors
    ///
    /// If they do not fit: no part at all, parts of different snapshots or of groups with different members, a member
    /// without a part or with two, a part or a channel of a stranger, messages sent on a channel that their receiver has not.
    pub fn assemble(parts: impl IntoIterator<Item = LocalSnapshot<C, M>>) -> Result<Self, AssembleError> {
        let mut assembled = BTreeMap::<NodeId, LocalSnapshot<C, M>>::new();
        let mut group: Option<(SnapshotId, Arc<[NodeId]>)> = None;
        for part in parts {
            let (id, members) = group.get_or_insert_with(|| (part.snapshot, part.members.clone()));
            fits(&part, *id, members)?;
            let node = part.node;
            if assembled.insert(node, part).is_some() {
                return Err(AssembleError::Twice { node });
            }
        }
        let (id, members) = group.ok_or(AssembleError::Nothing)?;
        match members.iter().find(|node| !assembled.contains_key(node)) {
            Some(node) => Err(AssembleError::Missing { node: *node }),
            None => {
                let channels = join(&mut assembled)?;
                Ok(Self { id, members, parts: assembled, channels })
            }
        }
    }

    /// The snapshot's name.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// All members of the group.
    pub fn members(&self) -> &[NodeId] {
        &self.members
    }

    /// Every member's state, ascending by member.
    pub fn states(&self) -> impl ExactSizeIterator<Item = (NodeId, &C)> {
        self.parts.iter().map(|(node, part)| (*node, &part.state))
    }

    /// One member's state; `None` for strangers.
    pub fn state(&self, node: NodeId) -> Option<&C> {
        self.parts.get(&node).map(|part| &part.state)
    }

    /// The last turn that is in a member's state; `None` for strangers.
    pub fn turn(&self, node: NodeId) -> Option<Turn> {
        self.parts.get(&node).map(|part| part.turn)
    }

    /// The messages in flight from `from` to `to`, in their order: what the receiver recorded, then what had not left the sender.
    /// None where there is no such channel.
    pub fn channel(&self, from: NodeId, to: NodeId) -> &[M] {
        self.channels.get(&(to, from)).map_or(&[], |channel| &channel.messages)
    }

    /// Every channel as (from, to) with its messages in flight, with or without any, ascending by receiver, then sender.
    pub fn channels(&self) -> impl Iterator<Item = ((NodeId, NodeId), &[M])> {
        self.channels.iter().map(|((to, from), channel)| ((*from, *to), &channel.messages[..]))
    }

    /// Every message in flight, with its channel as (from, to); those of one channel in their order.
    pub fn in_flight(&self) -> impl Iterator<Item = ((NodeId, NodeId), &M)> {
        self.channels().flat_map(|(channel, messages)| messages.iter().map(move |message| (channel, message)))
    }

    /// The parts again, ascending by member; receivers without messages are not named in `outgoing`.
    pub fn into_parts(self) -> impl ExactSizeIterator<Item = LocalSnapshot<C, M>> {
        let mut parts = self.parts;
        for ((to, from), Channel { mut messages, recorded }) in self.channels {
            let queued = messages.split_off(recorded);
            if let Some(receiver) = parts.get_mut(&to) {
                receiver.channels.insert(from, messages);
            }
            if let Some(sender) = parts.get_mut(&from).filter(|_| !queued.is_empty()) {
                sender.outgoing.insert(to, queued);
            }
        }
        parts.into_values()
    }
}

/// Takes the messages out of the parts, one of each member, and puts the two ends of each channel together.
fn join<C, M>(
    parts: &mut BTreeMap<NodeId, LocalSnapshot<C, M>>,
) -> Result<BTreeMap<(NodeId, NodeId), Channel<M>>, AssembleError> {
    let mut channels = BTreeMap::new();
    for (to, part) in parts.iter_mut() {
        for (from, messages) in std::mem::take(&mut part.channels) {
            let recorded = messages.len();
            channels.insert((*to, from), Channel { messages, recorded });
        }
    }
    for (node, part) in parts.iter_mut() {
        for (receiver, queued) in std::mem::take(&mut part.outgoing) {
            match channels.get_mut(&(receiver, *node)) {
                Some(channel) => channel.messages.extend(queued),
                None => return Err(AssembleError::ForeignReceiver { node: *node, receiver }),
            }
        }
    }
    Ok(channels)
}

fn fits<C, M>(part: &LocalSnapshot<C, M>, id: SnapshotId, members: &[NodeId]) -> Result<(), AssembleError> {
    let node = part.node;
    if part.snapshot != id {
        return Err(AssembleError::OtherSnapshot { node, found: part.snapshot, expected: id });
    }
    if *part.members != *members {
        return Err(AssembleError::OtherMembers { node });
    }
    if !members.contains(&node) {
        return Err(AssembleError::NotAMember { node });
    }
    match part.channels.keys().find(|sender| **sender == node || !members.contains(sender)) {
        Some(sender) => Err(AssembleError::ForeignSender { node, sender: *sender }),
        None => Ok(()),
    }
}

/// Why some parts are no [`GlobalSnapshot`]. Each says which node's is wrong.
///
/// ```
/// use snapshot_core::{AssembleError, GlobalSnapshot};
/// let nothing = GlobalSnapshot::<u64, u64>::assemble([]);
/// assert_eq!(nothing, Err(AssembleError::Nothing));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// There is no part.
    #[error("there are no parts: collect one from each member")]
    Nothing,
    /// A member has no part.
    #[error("the part of {node} is missing: collect one from each member")]
    Missing {
        /// The member.
        node: NodeId,
    },
    /// A member has two parts.
    #[error("there are two parts of {node}: collect one from each member")]
    Twice {
        /// The member.
        node: NodeId,
    },
    /// A part is of another snapshot than the first one.
    #[error(
        "the part of {node} is of {found}, others are of {expected}: sort the parts by their snapshot first"
    )]
    OtherSnapshot {
        /// Whose part.
        node: NodeId,
        /// The snapshot that it is of.
        found: SnapshotId,
        /// The snapshot of the first part.
        expected: SnapshotId,
    },
    /// A part names other members than the first one does.
    #[error(
        "the part of {node} names other members than the first one does: do all nodes have the same topology?"
    )]
    OtherMembers {
        /// Whose part.
        node: NodeId,
    },
    /// A part is of a node that is not in the group.
    #[error("there is a part of {node}, which is no member: do all nodes have the same topology?")]
    NotAMember {
        /// The stranger.
        node: NodeId,
    },
    /// A part has a channel from a node that is not in the group, or from its own node.
    #[error(
        "the part of {node} has a channel from {sender}, which cannot be: do all nodes have the same topology?"
    )]
    ForeignSender {
        /// Whose part.
        node: NodeId,
        /// Where the channel is said to come from.
        sender: NodeId,
    },
    /// A part has messages on their way to a node that is not in the group, to its own node, or to one whose part has no such
    /// channel.
    #[error(
        "the part of {node} has messages for {receiver}, which has no channel from it: do all nodes have the same topology?"
    )]
    ForeignReceiver {
        /// Whose part.
        node: NodeId,
        /// For whom the messages are.
        receiver: NodeId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::Generation;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn part(node: NodeId, from: NodeId) -> LocalSnapshot<u64, char> {
        LocalSnapshot {
            snapshot: SnapshotId { generation: Generation(1), sequence: 3, initiator: A },
            node,
            turn: Turn(10 + node.0),
            members: [A, B].into(),
            state: 100 * node.0,
            channels: BTreeMap::from([(from, vec!['x', 'y'])]),
            outgoing: BTreeMap::new(),
        }
    }

    #[test]
    fn parts_in_any_order_make_the_same_cut() {
        let cut = GlobalSnapshot::assemble([part(A, B), part(B, A)]).unwrap();
        assert_eq!(GlobalSnapshot::assemble([part(B, A), part(A, B)]), Ok(cut.clone()));
        assert_eq!(cut.id(), part(A, B).snapshot);
        assert_eq!(cut.members(), [A, B]);
        assert_eq!(cut.states().collect::<Vec<_>>(), [(A, &100), (B, &200)]);
        assert_eq!((cut.state(B), cut.state(NodeId(3))), (Some(&200), None));
        assert_eq!((cut.turn(A), cut.turn(NodeId(3))), (Some(Turn(11)), None));
        assert_eq!(cut.channel(A, B), ['x', 'y']);
        assert_eq!(cut.channel(A, A), []);
        assert_eq!(cut.channels().map(|(c, _)| c).collect::<Vec<_>>(), [(B, A), (A, B)]);
        assert_eq!(cut.in_flight().filter(|(c, _)| *c == (B, A)).map(|(_, m)| *m).collect::<String>(), "xy");
        assert_eq!(cut.into_parts().collect::<Vec<_>>(), [part(A, B), part(B, A)]);
    }

    #[test]
    fn a_channel_is_what_its_receiver_recorded_and_then_what_had_not_left_its_sender() {
        let mut parts = [part(A, B), part(B, A)];
        parts[0].outgoing = BTreeMap::from([(B, vec!['z', 'x'])]);
        let cut = GlobalSnapshot::assemble(parts.clone()).unwrap();
        assert_eq!((cut.channel(A, B), cut.channel(B, A)), (&['x', 'y', 'z', 'x'][..], &['x', 'y'][..]));
        assert_eq!(cut.channels().map(|(c, m)| (c, m.len())).collect::<Vec<_>>(), [((B, A), 2), ((A, B), 4)]);
        assert_eq!(cut.in_flight().map(|(_, m)| *m).collect::<String>(), "xyxyzx");
        assert_eq!(cut.in_flight().count(), parts.iter().map(LocalSnapshot::messages).sum::<usize>());

        // Where the cut between the two lies is part of the parts, and comes back.
        assert_eq!(cut.clone().into_parts().collect::<Vec<_>>(), parts);
        parts[1].channels.get_mut(&A).unwrap().push('z');
        parts[0].outgoing = BTreeMap::from([(B, vec!['x'])]);
        let other = GlobalSnapshot::assemble(parts.clone()).unwrap();
        assert_eq!(other.channel(A, B), cut.channel(A, B));
        assert_ne!(other, cut);
        assert_eq!(other.into_parts().collect::<Vec<_>>(), parts);

        parts[0].outgoing = BTreeMap::from([(B, vec![])]);
        let named_for_nothing = GlobalSnapshot::assemble(parts).unwrap();
        assert!(named_for_nothing.into_parts().all(|part| part.outgoing.is_empty()));
    }

    #[test]
    fn the_member_without_a_part_and_the_one_with_two_are_named() {
        assert_eq!(GlobalSnapshot::assemble([part(A, B)]), Err(AssembleError::Missing { node: B }));
        let twice = GlobalSnapshot::assemble([part(A, B), part(B, A), part(A, B)]);
        assert_eq!(twice, Err(AssembleError::Twice { node: A }));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let mut other = part(B, A);
        other.snapshot.sequence = 4;
        let (found, expected) = (other.snapshot, part(A, B).snapshot);
        let refused = GlobalSnapshot::assemble([part(A, B), other]);
        assert_eq!(refused, Err(AssembleError::OtherSnapshot { node: B, found, expected }));

        let mut other = part(B, A);
        other.members = [A, B, NodeId(3)].into();
        let refused = GlobalSnapshot::assemble([part(A, B), other]);
        assert_eq!(refused, Err(AssembleError::OtherMembers { node: B }));

        let stranger = part(NodeId(3), A);
        let refused = GlobalSnapshot::assemble([part(A, B), part(B, A), stranger]);
        assert_eq!(refused, Err(AssembleError::NotAMember { node: NodeId(3) }));

        for sender in [NodeId(3), B] {
            let refused = GlobalSnapshot::assemble([part(A, B), part(B, sender)]);
            assert_eq!(refused, Err(AssembleError::ForeignSender { node: B, sender }));
        }

        for receiver in [NodeId(3), A] {
            let mut sends = part(A, B);
            sends.outgoing = BTreeMap::from([(receiver, vec!['z'])]);
            let refused = GlobalSnapshot::assemble([sends, part(B, A)]);
            assert_eq!(refused, Err(AssembleError::ForeignReceiver { node: A, receiver }));
        }
        let (mut sends, mut deaf) = (part(A, B), part(B, A));
        sends.outgoing = BTreeMap::from([(B, vec!['z'])]);
        deaf.channels.clear();
        let refused = GlobalSnapshot::assemble([sends, deaf]);
        assert_eq!(refused, Err(AssembleError::ForeignReceiver { node: A, receiver: B }));
    }
}
