//! The channels of a group, and the ways along them. Everyone computes the same ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use snapshot_core::NodeId;

#[derive(Clone, Default, Debug)]
pub(super) struct Graph {
    pub(super) members: BTreeSet<NodeId>,
    /// Whether a channel carries messages of the application.
    pub(super) links: BTreeMap<(NodeId, NodeId), bool>,
}

impl Graph {
    pub(super) fn outgoing(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.links.keys().filter(move |(from, _)| *from == node).map(|(_, to)| *to)
    }

    pub(super) fn incoming(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.links.keys().filter(move |(_, to)| *to == node).map(|(from, _)| *from)
    }

    pub(super) fn peers(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.outgoing(node).chain(self.incoming(node)).collect::<BTreeSet<_>>().into_iter()
    }

    /// The tree of shortest paths from a node along these steps: each other node's parent, the first to be come by, in ascending
    /// order.
    fn tree<I: Iterator<Item = NodeId>>(
        root: NodeId,
        steps: impl Fn(NodeId) -> I,
    ) -> BTreeMap<NodeId, NodeId> {
        let mut parents = BTreeMap::from([(root, root)]);
        let mut rim = VecDeque::from([root]);
        while let Some(node) = rim.pop_front() {
            for next in steps(node) {
                if let std::collections::btree_map::Entry::Vacant(free) = parents.entry(next) {
                    free.insert(node);
                    rim.push_back(next);
                }
            }
        }
        parents
    }

    /// To whom `me` passes on what `origin` tells everyone.
    pub(super) fn children(&self, origin: NodeId, me: NodeId) -> Vec<NodeId> {
        let tree = Self::tree(origin, |node| self.outgoing(node));
        self.outgoing(me).filter(|to| *to != origin && tree.get(to) == Some(&me)).collect()
    }

    /// The neighbour of `me` to whom something for `to` goes next.
    pub(super) fn next_hop(&self, me: NodeId, to: NodeId) -> Option<NodeId> {
        Self::tree(to, |node| self.incoming(node)).get(&me).copied()
    }
}
