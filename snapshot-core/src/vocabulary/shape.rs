//! A graph that was checked, by the places of its members: who can send to whom, and the trees of shortest paths.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::vocabulary::id::NodeId;

/// What a channel may carry.
///
/// ```
/// use snapshot_core::{Graph, LinkUse, NodeId};
/// let topology = Graph::new([NodeId(1), NodeId(2)]).link(NodeId(1), NodeId(2)).with_way_back().at(NodeId(1))?;
/// assert_eq!(topology.link_use(NodeId(1), NodeId(2)), Some(LinkUse::Messages));
/// assert_eq!(topology.link_use(NodeId(2), NodeId(1)), Some(LinkUse::ControlOnly));
/// # Ok::<(), snapshot_core::TopologyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkUse {
    /// Messages of the application, markers and control.
    Messages,
    /// Only markers and control: a way back, added so that the graph is strongly connected.
    ControlOnly,
}

/// Trees are kept until they have so many entries together, of 4 bytes each; then all are forgotten.
const MOST: usize = 4 << 20;

/// Shared by all nodes of a process that are in the same group.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) group: String,
    /// Ascending. A place is a position here.
    pub(crate) members: Arc<[NodeId]>,
    outgoing: Links,
    incoming: Links,
    trees: Mutex<BTreeMap<(Direction, usize), Tree>>,
    fingerprint: OnceLock<u64>,
}

/// For each place the one before it on a shortest path; [`NOBODY`] at those that have none.
type Tree = Arc<[u32]>;

const NOBODY: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Direction {
    /// From a node to all.
    From,
    /// From all to a node.
    To,
}

/// The links of all members, one member's after the other's, each ascending.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Links {
    /// Where each member's begin; and where the last one's end.
    begins: Vec<usize>,
    links: Vec<(u32, LinkUse)>,
}

impl Links {
    /// Of links that are ascending by the first of the two places, then by the other one.
    fn new(members: usize, ascending: impl Iterator<Item = (u32, u32, LinkUse)>) -> Self {
        let (mut begins, mut links) = (vec![0; members + 1], Vec::new());
        for (of, other, link) in ascending {
            links.push((other, link));
            begins[of as usize + 1] = links.len();
        }
        // Who has none begins where it ends.
        for at in 1..begins.len() {
            begins[at] = begins[at].max(begins[at - 1]);
        }
        Self { begins, links }
    }

    fn of(&self, place: usize) -> &[(u32, LinkUse)] {
        &self.links[self.begins[place]..self.begins[place + 1]]
    }
}

impl Shape {
    /// `members` ascending; links between them alone.
    pub(crate) fn new(
        group: String,
        members: Vec<NodeId>,
        links: &BTreeMap<(NodeId, NodeId), LinkUse>,
    ) -> Self {
        let place = |id: &NodeId| members.binary_search(id).expect("links are between members") as u32;
        let forward: Vec<_> =
            links.iter().map(|((from, to), link)| (place(from), place(to), *link)).collect();
        let mut backward: Vec<_> = forward.iter().map(|(from, to, link)| (*to, *from, *link)).collect();
        backward.sort_unstable();
        Self {
            outgoing: Links::new(members.len(), forward.into_iter()),
            incoming: Links::new(members.len(), backward.into_iter()),
            trees: Mutex::default(),
            fingerprint: OnceLock::new(),
            group,
            members: members.into(),
        }
    }

    pub(crate) fn place(&self, id: NodeId) -> Option<usize> {
        self.members.binary_search(&id).ok()
    }

    /// To whom the member at a place can send, ascending, and what.
    pub(crate) fn outgoing(&self, place: usize) -> impl Iterator<Item = (NodeId, LinkUse)> {
        self.outgoing.of(place).iter().map(|(other, link)| (self.members[*other as usize], *link))
    }

    /// Who can send to the member at a place, ascending.
    pub(crate) fn incoming(&self, place: usize) -> impl Iterator<Item = NodeId> {
        self.incoming.of(place).iter().map(|(other, _)| self.members[*other as usize])
    }

    pub(crate) fn link_use(&self, from: NodeId, to: NodeId) -> Option<LinkUse> {
        let (from, to) = (self.place(from)?, self.place(to)? as u32);
        let links = self.outgoing.of(from);
        links.binary_search_by_key(&to, |(other, _)| *other).ok().map(|at| links[at].1)
    }

    /// Those right behind `place` on the shortest paths from `root` to all, ascending: the same for whoever asks.
    pub(crate) fn behind(&self, place: usize, root: usize) -> impl Iterator<Item = NodeId> {
        let tree = self.tree(Direction::From, root);
        let others = self.outgoing.of(place).iter().map(|(other, _)| *other as usize);
        others.filter(move |other| tree[*other] == place as u32).map(|other| self.members[other])
    }

    /// The one after `from` on a shortest path from it to `to`: the same for whoever asks.
    pub(crate) fn after(&self, from: usize, to: usize) -> Option<usize> {
        let next = self.tree(Direction::To, to)[from];
        (next != NOBODY).then_some(next as usize)
    }

    /// Every channel of the group, ascending by sender, then receiver.
    pub(crate) fn links(&self) -> impl Iterator<Item = (NodeId, NodeId, LinkUse)> {
        let members = self.members.iter().enumerate();
        members.flat_map(|(place, from)| self.outgoing(place).map(|(to, link)| (*from, to, link)))
    }

    /// FNV-1a, 64 bits, of name, members and links: stable across versions and machines, which `std`'s hasher is not. Reckoned
    /// once, since each node asks, and each handshake.
    pub(crate) fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| {
            let mut hash = 0xcbf2_9ce4_8422_2325_u64;
            let mut add = |bytes: &[u8]| {
                for byte in bytes {
                    hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                }
            };
            add(self.group.as_bytes());
            add(&[0xff]);
            for id in self.members.iter() {
                add(&id.0.to_le_bytes());
            }
            for (from, to, link) in self.links() {
                add(&[u8::from(link == LinkUse::ControlOnly)]);
                add(&from.0.to_le_bytes());
                add(&to.0.to_le_bytes());
            }
            hash
        })
    }

    /// A pair without a path, if there is one.
    pub(crate) fn apart(&self) -> Option<(NodeId, NodeId)> {
        // Strongly connected: everyone can be reached from one node, and can reach it.
        let missing = |direction| {
            let tree = self.search(direction, 0);
            (1..self.members.len()).find(|place| tree[*place] == NOBODY).map(|place| self.members[place])
        };
        let root = *self.members.first()?;
        let unreached = missing(Direction::From).map(|to| (root, to));
        unreached.or_else(|| missing(Direction::To).map(|from| (from, root)))
    }

    fn tree(&self, direction: Direction, root: usize) -> Tree {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = trees.get(&(direction, root)) {
            return Arc::clone(tree);
        }
        if trees.len().saturating_mul(self.members.len()) >= MOST {
            trees.clear();
        }
        let tree = self.search(direction, root);
        trees.insert((direction, root), Arc::clone(&tree));
        tree
    }

    /// Breadth first; the first to come by has a node, and nodes are gone through in the order of their ids.
    fn search(&self, direction: Direction, root: usize) -> Tree {
        let links = match direction {
            Direction::From => &self.outgoing,
            Direction::To => &self.incoming,
        };
        let mut tree = vec![NOBODY; self.members.len()];
        let mut queue = VecDeque::from([root]);
        while let Some(place) = queue.pop_front() {
            for &(next, _) in links.of(place) {
                let next = next as usize;
                if tree[next] == NOBODY && next != root {
                    tree[next] = place as u32;
                    queue.push_back(next);
                }
            }
        }
        tree.into()
    }
}

/// The rest follows from these.
impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        (&self.group, &self.members, &self.outgoing) == (&other.group, &other.members, &other.outgoing)
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.group, &self.members, &self.outgoing).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of so many, both ways.
    fn ring(count: u64) -> Shape {
        let around = |n| NodeId((n + 1) % count);
        let both = (0..count).flat_map(|n| [(NodeId(n), around(n)), (around(n), NodeId(n))]);
        let links = both.map(|ends| (ends, LinkUse::Messages)).collect();
        Shape::new("ring".to_owned(), (0..count).map(NodeId).collect(), &links)
    }

    #[test]
    fn trees_are_searched_once_and_bounded_in_number() {
        let shape = ring(3000);
        let kept = || shape.trees.lock().unwrap().len();
        for _ in 0..3 {
            assert_eq!(
                (shape.behind(8, 7).collect::<Vec<_>>(), shape.after(9, 7)),
                (vec![NodeId(9)], Some(8))
            );
            assert_eq!(kept(), 2, "one from 7, one to 7");
        }
        for root in 0..3000 {
            shape.after(0, root);
            assert!(kept() * 3000 < MOST + 3000, "{} trees", kept());
        }
    }

    #[test]
    fn shapes_are_told_apart_by_what_they_are_and_not_by_what_was_asked() {
        let (asked, fresh) = (ring(5), ring(5));
        asked.after(1, 3);
        assert_eq!(asked, fresh);
        assert_ne!(fresh, ring(6));
    }
}
