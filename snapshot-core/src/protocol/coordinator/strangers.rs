//! Neighbours that do not live in this node's history of the store, or in none (F6). Nothing that they say is believed, and
//! nothing is promised that waits for them.
//!
//! * **F6** A neighbour that greets, on a connection that stands, in a generation of another history (F5), in one that the journal
//!   does not have, or with a store where this node has none, is told of at once, and counts as lost from then on, until it greets
//!   in order in this node's generation. So no snapshot is begun, and what runs is given up: a commit would be announced from a
//!   journal that is not everybody's.
//!
//! Who lives where is known by the nonce of the generation, which each greeting brings: whoever opens a generation draws it, and all
//! others have read it in their own store. A node without a store greets with a number that follows from the topology.

use super::SnapshotCoordinator;
use super::arrival::greeting;
use super::channel::Link;
use crate::vocabulary::event::Violation;
use crate::vocabulary::frame::Body;
use crate::vocabulary::id::Peer;

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// A frame that is not of this generation has come: whether it greets with a store where this node has none, or the other way
    /// round. Then all is said and done about it. Where no connection stands, it may have been left over.
    pub(super) fn greets_unlike(&mut self, from: Peer, body: &Body<M>) -> bool {
        let Some(nonce) = greeting(body) else { return false };
        let it_has_one = nonce != self.topology.fingerprint();
        if it_has_one == self.settings.durable || self.channels[from.index()].link != Link::Up {
            return false;
        }
        self.violated(from, Violation::Store { it_has_one });
        self.estrange(from);
        true
    }

    /// A greeting of another history has come, and none of this one. From a connection that stands it is the word of a process
    /// that lives; where there is none, it may have been left over.
    pub(super) fn greets_elsewhere(&mut self, from: Peer) {
        if self.channels[from.index()].link == Link::Up {
            self.violated(from, Violation::OtherHistory { generation: self.generation });
            self.estrange(from);
        }
    }

    /// This neighbour counts as lost until it greets in this generation. Without a store there is no other.
    pub(super) fn estrange(&mut self, peer: Peer) {
        let channel = &mut self.channels[peer.index()];
        channel.estranged = true;
        channel.broken |= !self.settings.durable;
        self.give_up_for(peer);
    }
}
