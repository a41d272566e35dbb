//! A link for each pair of a group.

use std::io;
use std::net::SocketAddr;

use super::faults::LinkFault;
use super::listener::Network;
use crate::ports::free_addresses;

/// A group of nodes, each with a link to each other one. Of two nodes the later one dials the earlier one.
///
/// ```
/// let mesh = snapshot_examples::proxy::Mesh::start(3, 7)?;
/// let of_third = mesh.seen_by(2);
/// assert_eq!(of_third[2], mesh.address(2), "it listens there itself");
/// assert_ne!(of_third[0], mesh.address(0), "and reaches others over a link");
/// assert_eq!(mesh.links_of(2).collect::<Vec<_>>(), [(0, 2), (1, 2)]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Mesh {
    network: Network,
    /// Where the nodes themselves listen.
    nodes: Vec<SocketAddr>,
    /// Where the links listen, one for each pair of [`pairs`].
    links: Vec<SocketAddr>,
    seed: u64,
}

/// Two different nodes, the one that is dialed first.
pub type Pair = (usize, usize);

/// All pairs of so many nodes.
pub fn pairs(nodes: usize) -> impl Iterator<Item = Pair> + Clone {
    (0..nodes).flat_map(|later| (0..later).map(move |earlier| (earlier, later)))
}

impl Mesh {
    /// A mesh of so many nodes, on free ports. `seed` says where they are looked for.
    ///
    /// # Errors
    ///
    /// If there are not enough free ports, or there can be no thread.
    pub fn start(nodes: usize, seed: u64) -> io::Result<Self> {
        let of_nodes = free_addresses(nodes, seed)?;
        let links = free_addresses(pairs(nodes).count(), seed)?;
        let routes = links.iter().zip(pairs(nodes)).map(|(listen, (dialed, _))| (*listen, of_nodes[dialed]));
        Ok(Self { network: Network::start(routes)?, nodes: of_nodes, links, seed })
    }

    /// Where a node listens itself.
    ///
    /// # Panics
    ///
    /// If there is no such node, like all that name one.
    pub fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node]
    }

    /// By which addresses a node knows all nodes, itself included.
    pub fn seen_by(&self, node: usize) -> Vec<SocketAddr> {
        let mut seen = self.nodes.clone();
        for ((dialed, _), link) in
            pairs(self.nodes.len()).zip(&self.links).filter(|((_, dials), _)| *dials == node)
        {
            seen[dialed] = *link;
        }
        seen
    }

    /// The links that end at a node.
    pub fn links_of(&self, node: usize) -> impl Iterator<Item = Pair> {
        pairs(self.nodes.len()).filter(move |pair| pair.0 == node || pair.1 == node)
    }

    /// From now on this happens between two nodes.
    pub fn set(&self, pair: Pair, fault: LinkFault) {
        if let Some((_, link)) =
            pairs(self.nodes.len()).zip(self.network.links()).find(|(other, _)| *other == pair)
        {
            link.set(fault);
        }
    }

    /// Whatever happens anywhere is over.
    pub fn clear(&self) {
        self.network.links().iter().for_each(|link| link.set(LinkFault::Clear));
    }

    /// Gives a node another port, as if it were on another machine now: all its connections are reset, and it is found at
    /// the new place. Returns where it shall listen.
    ///
    /// # Errors
    ///
    /// If there is no free port.
    pub fn relocate(&mut self, node: usize) -> io::Result<SocketAddr> {
        let address = free_addresses(1, self.seed)?[0];
        self.nodes[node] = address;
        for ((dialed, dials), link) in pairs(self.nodes.len()).zip(self.network.links()) {
            if dialed == node || dials == node {
                link.lead_to(self.nodes[dialed]);
            }
        }
        Ok(address)
    }
}
