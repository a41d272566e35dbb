//! Room for new work, and who was told that there is none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Destination, SnapshotNode};
use crate::contract::state::StateProvider;
use crate::vocabulary::event::Event;
use crate::vocabulary::id::Peer;

/// Room that was asked for and was not there. Whoever asks has only a reference to the node.
#[derive(Default)]
pub(super) struct Missed {
    /// Somebody has missed room, so that all else need not be looked at.
    some: AtomicBool,
    of: Mutex<MissedOf>,
}

#[derive(Default)]
struct MissedOf {
    all: bool,
    /// As many as there are neighbours, at most.
    peers: Vec<Peer>,
}

impl Missed {
    fn note(&self, peer: Option<Peer>) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        match peer {
            Some(peer) if !of.peers.contains(&peer) => of.peers.push(peer),
            Some(_) => {}
            None => of.all = true,
        }
        self.some.store(true, Ordering::Relaxed);
    }
}

impl<S: StateProvider, M: Clone + Send + 'static> SnapshotNode<S, M> {
    /// Whether new work is welcome. Guard every source of new work with it: a `select!` arm's `if`. Where it was not,
    /// [`next`](Self::next) tells when it is again, by [`Event::Room`].
    ///
    /// Also not before the application has been told that its state has gone back: what it began before that would look like
    /// a part of what never happened.
    pub fn has_room(&self) -> bool {
        let has_room = self.has_room_now();
        if !has_room {
            self.missed.note(None);
        }
        has_room
    }

    /// Whether new work that sends to this neighbour is welcome: what waits for it is under its share of the outbox, so that one
    /// slow neighbour does not take up the room for all others. Else as [`has_room`](Self::has_room), of which it is
    /// independent: an application asks one or the other. Where there is no such neighbour the answer is yes, and
    /// [`send`](Self::send) says what is wrong.
    pub fn has_room_for(&self, to: impl Destination) -> bool {
        let Ok(to) = to.resolve(self.coordinator.topology()) else { return true };
        let has_room = self.has_room_for_now(to);
        if !has_room {
            self.missed.note(Some(to));
        }
        has_room
    }

    #[inline]
    pub(crate) fn has_room_now(&self) -> bool {
        self.coordinator.has_room() && !self.is_rollback_untold()
    }

    fn has_room_for_now(&self, to: Peer) -> bool {
        self.coordinator.has_room_for(to) && !self.is_rollback_untold()
    }

    fn is_rollback_untold(&self) -> bool {
        matches!(self.events.front(), Some(Event::RolledBack { .. }))
    }

    /// Whether room that was missed is there again. Once.
    pub(super) fn take_room(&mut self) -> bool {
        if !*self.missed.some.get_mut() {
            return false;
        }
        let MissedOf { all, peers } =
            std::mem::take(self.missed.of.get_mut().unwrap_or_else(PoisonError::into_inner));
        let before = (all, peers.len());
        let all = all && !self.has_room_now();
        let peers: Vec<Peer> = peers.into_iter().filter(|peer| !self.has_room_for_now(*peer)).collect();
        let is_news = before != (all, peers.len());
        *self.missed.some.get_mut() = all || !peers.is_empty();
        *self.missed.of.get_mut().unwrap_or_else(PoisonError::into_inner) = MissedOf { all, peers };
        is_news
    }
}
