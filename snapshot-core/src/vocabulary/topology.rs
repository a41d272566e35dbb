//! The group's graph and one node's place in it: parsed once, then always valid.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use thiserror::Error;

use crate::vocabulary::id::{NodeId, Peer};
use crate::vocabulary::shape::{LinkUse, Shape};

/// Who is in the group and who can send to whom. A plain description; [`at`](Self::at) checks it.
///
/// ```
/// use snapshot_core::{Graph, NodeId};
///
/// let pipeline = Graph::new([NodeId(1), NodeId(2), NodeId(3)])
///     .link(NodeId(1), NodeId(2))
///     .link(NodeId(2), NodeId(3));
/// // A snapshot ends only where every node can reach every other one.
/// assert!(pipeline.at(NodeId(1)).is_err());
/// assert!(pipeline.with_way_back().at(NodeId(1)).is_ok());
/// ```
#[derive(Clone)]
pub struct Graph {
    group: String,
    members: Vec<NodeId>,
    links: BTreeMap<(NodeId, NodeId), LinkUse>,
    /// Where it was found to be sound: so that all nodes of a process share one.
    checked: OnceLock<Arc<Shape>>,
}

impl Graph {
    /// The members, with no link between them yet.
    pub fn new(members: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            group: "group".to_owned(),
            members: members.into_iter().collect(),
            links: BTreeMap::new(),
            checked: OnceLock::new(),
        }
    }

    /// Every node linked with every other one, both ways.
    pub fn mesh(members: impl IntoIterator<Item = NodeId>) -> Self {
        let mut graph = Self::new(members);
        for a in graph.members.clone() {
            for b in graph.members.clone() {
                graph = if a == b { graph } else { graph.link(a, b) };
            }
        }
        graph
    }

    /// A one-way ring, in the order given: the first node sends to the second, the last one to the first.
    pub fn ring(members: impl IntoIterator<Item = NodeId>) -> Self {
        let mut graph = Self::new(members);
        let ids = graph.members.clone();
        for (a, b) in ids.iter().zip(ids.iter().cycle().skip(1)).filter(|(a, b)| a != b) {
            graph = graph.link(*a, *b);
        }
        graph
    }

    /// The first node linked with every other one, both ways; the others only with it.
    pub fn star(members: impl IntoIterator<Item = NodeId>) -> Self {
        let mut graph = Self::new(members);
        let ids = graph.members.clone();
        for id in ids.iter().skip(1) {
            graph = graph.link(ids[0], *id).link(*id, ids[0]);
        }
        graph
    }

    /// Names the group. Two groups of different names refuse each other's connections and stores.
    #[must_use]
    pub fn named(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self.checked.take();
        self
    }

    /// Adds the channel from `from` to `to`. Adding it twice changes nothing.
    #[must_use]
    pub fn link(mut self, from: NodeId, to: NodeId) -> Self {
        self.links.insert((from, to), LinkUse::Messages);
        self.checked.take();
        self
    }

    /// Gives each link that has none a way back, which carries only markers and control.
    #[must_use]
    pub fn with_way_back(mut self) -> Self {
        for (from, to) in self.links.keys().copied().collect::<Vec<_>>() {
            self.links.entry((to, from)).or_insert(LinkUse::ControlOnly);
        }
        self.checked.take();
        self
    }

    /// The members, in the order given.
    pub fn members(&self) -> &[NodeId] {
        &self.members
    }

    /// The group as `me` sees it.
    ///
    /// # Errors
    ///
    /// A group without members, a member named twice, a link to a stranger or to oneself, `me` that is no member, and a
    /// graph in which some node has no path to another: then no snapshot could ever end (Chandy & Lamport 1985, §3.3).
    pub fn at(&self, me: NodeId) -> Result<Topology, TopologyError> {
        let shape = match self.checked.get() {
            Some(shape) => Arc::clone(shape),
            None => self.check(me)?,
        };
        let place = shape.place(me).ok_or(TopologyError::NotAMember { node: me })?;
        Ok(Topology::new(shape, place))
    }

    fn check(&self, me: NodeId) -> Result<Arc<Shape>, TopologyError> {
        let members: BTreeSet<NodeId> = self.members.iter().copied().collect();
        if members.is_empty() {
            return Err(TopologyError::NoMembers);
        }
        if members.len() != self.members.len() {
            let mut seen = BTreeSet::new();
            let node = self.members.iter().copied().find(|id| !seen.insert(*id)).unwrap_or(me);
            return Err(TopologyError::DuplicateMember { node });
        }
        for &(from, to) in self.links.keys() {
            if from == to {
                return Err(TopologyError::SelfLink { node: from });
            }
            if let Some(node) = [from, to].into_iter().find(|id| !members.contains(id)) {
                return Err(TopologyError::UnknownMember { from, to, node });
            }
        }
        if !members.contains(&me) {
            return Err(TopologyError::NotAMember { node: me });
        }
        let shape = Shape::new(self.group.clone(), members.into_iter().collect(), &self.links);
        match shape.apart() {
            Some((from, to)) => Err(TopologyError::NotStronglyConnected { from, to }),
            None => Ok(Arc::clone(self.checked.get_or_init(|| Arc::new(shape)))),
        }
    }
}

impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        (&self.group, &self.members, &self.links) == (&other.group, &other.members, &other.links)
    }
}

impl Eq for Graph {}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("group", &self.group)
            .field("members", &self.members)
            .field("links", &self.links)
            .finish()
    }
}

/// Why a [`Graph`] is no [`Topology`]. Each says what to do.
///
/// ```
/// use snapshot_core::{Graph, NodeId, TopologyError};
/// let error = Graph::mesh([NodeId(1), NodeId(1)]).at(NodeId(1)).unwrap_err();
/// assert_eq!(error, TopologyError::DuplicateMember { node: NodeId(1) });
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// There is nobody in the group.
    #[error("the group has no members: name at least one node")]
    NoMembers,
    /// Two members have one name.
    #[error("{node} is named twice among the members: every node needs an id of its own")]
    DuplicateMember {
        /// The name.
        node: NodeId,
    },
    /// A link touches a node outside the group.
    #[error(
        "the link {from} -> {to} names {node}, which is no member: add it to the members or remove the link"
    )]
    UnknownMember {
        /// Where the link starts.
        from: NodeId,
        /// Where it ends.
        to: NodeId,
        /// The stranger.
        node: NodeId,
    },
    /// A link from a node to itself.
    #[error("{node} has a link to itself: handle such messages without sending them")]
    SelfLink {
        /// The node.
        node: NodeId,
    },
    /// The node that asks is not in the group.
    #[error("{node} is not a member of the group: add it to the members")]
    NotAMember {
        /// The node that asked.
        node: NodeId,
    },
    /// There is a pair without a path.
    #[error(
        "there is no path from {from} to {to}, so a snapshot could never end: \
         give each link a way back with `Graph::with_way_back()`, which carries only markers and control"
    )]
    NotStronglyConnected {
        /// A node.
        from: NodeId,
        /// A node that it cannot reach.
        to: NodeId,
    },
}

/// The whole group's graph and one's own place in it. Always valid: strongly connected, `me` a member.
///
/// Cheap to clone.
///
/// ```
/// use snapshot_core::{Graph, NodeId};
/// let topology = Graph::ring([NodeId(1), NodeId(2), NodeId(3)]).at(NodeId(1))?;
/// assert_eq!(topology.outgoing().map(|p| p.id()).collect::<Vec<_>>(), [NodeId(2)]);
/// assert_eq!(topology.incoming().map(|p| p.id()).collect::<Vec<_>>(), [NodeId(3)]);
/// # Ok::<(), snapshot_core::TopologyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Topology {
    shape: Arc<Shape>,
    me: usize,
    peers: Arc<[Neighbour]>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Neighbour {
    peer: Peer,
    incoming: bool,
    outgoing: Option<LinkUse>,
}

impl Topology {
    fn new(shape: Arc<Shape>, me: usize) -> Self {
        let mut linked: BTreeMap<NodeId, (bool, Option<LinkUse>)> =
            shape.incoming(me).map(|id| (id, (true, None))).collect();
        for (id, link) in shape.outgoing(me) {
            linked.entry(id).or_default().1 = Some(link);
        }
        let neighbour = |(index, (id, (incoming, outgoing)))| {
            let peer = Peer::new(index, id);
            Neighbour { peer, incoming, outgoing }
        };
        let peers = linked.into_iter().enumerate().map(neighbour).collect();
        Self { shape, me, peers }
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.shape.members[self.me]
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.shape.group
    }

    /// All members, this node among them, ascending.
    pub fn members(&self) -> &[NodeId] {
        &self.shape.members
    }

    /// All members, in a form that is cheap to keep.
    pub(crate) fn all(&self) -> Arc<[NodeId]> {
        Arc::clone(&self.shape.members)
    }

    /// Every channel of the group, ascending by sender, then receiver.
    pub fn links(&self) -> impl Iterator<Item = (NodeId, NodeId, LinkUse)> {
        self.shape.links()
    }

    /// The neighbours, ascending by id; a peer's [`index`](Peer::index) is its position here.
    pub fn peers(&self) -> impl ExactSizeIterator<Item = Peer> + DoubleEndedIterator {
        self.peers.iter().map(|n| n.peer)
    }

    /// The neighbour of this name, if there is one.
    pub fn peer(&self, id: NodeId) -> Option<Peer> {
        let index = self.peers.binary_search_by_key(&id, |n| n.peer.id()).ok()?;
        Some(self.peers[index].peer)
    }

    /// The neighbours that can send to this node.
    pub fn incoming(&self) -> impl Iterator<Item = Peer> {
        self.peers.iter().filter(|n| n.incoming).map(|n| n.peer)
    }

    /// The neighbours that this node can send to, be it only markers and control.
    pub fn outgoing(&self) -> impl Iterator<Item = Peer> {
        self.peers.iter().filter(|n| n.outgoing.is_some()).map(|n| n.peer)
    }

    /// Whether there is a channel from this neighbour to this node.
    pub fn is_incoming(&self, peer: Peer) -> bool {
        self.peers.get(peer.index()).is_some_and(|n| n.incoming)
    }

    /// What the channel from this node to a neighbour may carry; `None` where there is no such channel.
    pub fn outgoing_use(&self, peer: Peer) -> Option<LinkUse> {
        self.peers.get(peer.index()).filter(|n| n.peer == peer)?.outgoing
    }

    /// What the channel between two members may carry; `None` where there is none.
    pub fn link_use(&self, from: NodeId, to: NodeId) -> Option<LinkUse> {
        self.shape.link_use(from, to)
    }

    /// The neighbour to which something for `to` goes next, on a shortest path; `None` for this node and for strangers.
    ///
    /// All nodes of a group agree on the graph, so each hop brings it one step nearer.
    pub(crate) fn next_hop(&self, to: NodeId) -> Option<Peer> {
        // As a rule there is a link, and nothing to search or keep.
        if let Some(peer) = self.peer(to).filter(|peer| self.outgoing_use(*peer).is_some()) {
            return Some(peer);
        }
        let hop = self.shape.after(self.me, self.shape.place(to)?)?;
        self.peer(self.shape.members[hop])
    }

    /// The neighbours to which this node passes on what `root` tells everyone: its children in the tree of shortest
    /// paths from `root`.
    pub(crate) fn children(&self, root: NodeId) -> Vec<Peer> {
        let Some(root) = self.shape.place(root) else { return Vec::new() };
        self.shape.behind(self.me, root).filter_map(|id| self.peer(id)).collect()
    }

    /// A number that is equal for equal groups (name, members, links) on every machine, and differs for others but by
    /// accident. For handshakes.
    pub fn fingerprint(&self) -> u64 {
        self.shape.fingerprint()
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links: Vec<String> = self.links().map(|(a, b, _)| format!("{a}->{b}")).collect();
        f.debug_struct("Topology")
            .field("group", &self.group())
            .field("me", &self.me())
            .field("links", &links)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_same_for_ever() {
        // FNV-1a of the name, 0xff, the members, and of each link its use and its two ends; numbers little-endian.
        let graph =
            Graph::new([NodeId(1), NodeId(2)]).link(NodeId(1), NodeId(2)).with_way_back().named("ledger");
        let topology = graph.at(NodeId(1)).unwrap();
        assert_eq!(topology.fingerprint(), 0xa8a6_6727_039f_c557);
        assert_eq!(
            format!("{topology:?}"),
            r#"Topology { group: "ledger", me: NodeId(1), links: ["n1->n2", "n2->n1"] }"#
        );
    }
}
