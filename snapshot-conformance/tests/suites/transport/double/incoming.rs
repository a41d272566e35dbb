//! What becomes of items on their way in.

use bytes::Bytes;
use snapshot_core::{Inbox, Incoming, Transport};

use super::{Double, Item};
use crate::transport::faults::Fault;

impl Double {
    pub(super) fn take(&self, item: Item) {
        let mut out = self.received.lock().unwrap();
        let mut held = self.held.lock().unwrap();
        let peer = match &item {
            Incoming::Frame { from, .. } => *from,
            Incoming::Up(peer) | Incoming::Left(peer) | Incoming::Lost { peer, .. } => *peer,
        };
        let id = peer.id();
        let mut marked = self.marked.lock().unwrap();
        let new = match &item {
            Incoming::Frame { .. } => false,
            Incoming::Up(_) => {
                self.left.lock().unwrap().remove(&id);
                self.up.lock().unwrap().insert(id);
                self.known.lock().unwrap().insert(id)
            }
            Incoming::Lost { .. } => {
                self.up.lock().unwrap().remove(&id);
                false
            }
            Incoming::Left(_) => {
                self.left.lock().unwrap().insert(id);
                self.up.lock().unwrap().remove(&id);
                false
            }
        };
        let is_cut = matches!(&item, Incoming::Lost { why, .. } if why.contains("cut"));
        let lost = |peer| Incoming::Lost { peer, why: "no answer".to_owned() };
        match item {
            Incoming::Frame { frame, .. } if self.is(Fault::NamesTheWrongSender) => {
                let from = self.topology().peers().last().expect("a neighbour");
                out.push_back(Incoming::Frame { from, frame });
            }
            Incoming::Up(_) if self.is(Fault::NoUp) || new && self.is(Fault::NoFirstUp) => {}
            Incoming::Up(_) if !new && self.is(Fault::LosesTheFirstOfANewConnection) => {
                marked.insert(id);
                out.push_back(item);
            }
            Incoming::Frame { .. } if self.is(Fault::LosesTheFirstOfANewConnection) && marked.remove(&id) => {
            }
            Incoming::Lost { .. } if is_cut && self.is(Fault::ResendsOnANewConnection) => {
                marked.insert(id);
                out.push_back(item);
            }
            Incoming::Lost { .. }
                if is_cut && self.is(Fault::HidesCutsFromOneEnd) && self.topology().me() < id =>
            {
                marked.insert(id);
            }
            Incoming::Up(_) if self.is(Fault::HidesCutsFromOneEnd) && marked.remove(&id) => {}
            Incoming::Up(_) if self.is(Fault::UpOnlyWhenUsed) => {
                held.insert(id, item);
            }
            Incoming::Frame { .. } if self.is(Fault::UpOnlyWhenUsed) => {
                out.extend(held.remove(&id));
                out.push_back(item);
            }
            Incoming::Left(_) if self.is(Fault::LeftAndThenLost) => out.extend([item, lost(peer)]),
            Incoming::Left(_) if self.is(Fault::AGoodbyeDropsTheBacklog) => {
                out.retain(|item| !matches!(item, Incoming::Frame { from, .. } if *from == peer));
                out.push_back(item);
            }
            Incoming::Up(_) if self.is(Fault::UpTwice) => {
                out.extend([Incoming::Up(peer), Incoming::Up(peer)]);
            }
            Incoming::Up(_) if self.is(Fault::LostBeforeUp) => out.extend([lost(peer), Incoming::Up(peer)]),
            Incoming::Up(_) if self.is(Fault::UpAfterTheFirstFrame) => {
                held.insert(id, item);
            }
            Incoming::Up(_) if self.is(Fault::HidesReconnects) => {
                if held.insert(id, Incoming::Up(peer)).is_none() {
                    out.push_back(item);
                }
            }
            Incoming::Up(_) if self.is(Fault::UpOnlyForReceivers) && !self.topology().is_incoming(peer) => {}
            Incoming::Up(_) if self.is(Fault::StaleFrames) => {
                out.push_back(item);
                out.extend(held.remove(&id));
            }
            Incoming::Frame { .. } if self.is(Fault::UpAfterTheFirstFrame) => {
                out.push_back(item);
                out.extend(held.remove(&id));
            }
            Incoming::Lost { .. } if self.is(Fault::StaleFrames) => {
                if let Some(last) = out.pop_back_if(|item| matches!(item, Incoming::Frame { .. })) {
                    held.insert(id, last);
                }
                out.push_back(item);
            }
            Incoming::Lost { .. } if self.is(Fault::NoLost) || self.is(Fault::HidesReconnects) => {}
            Incoming::Lost { .. } if self.is(Fault::LeftForADeath) => out.push_back(Incoming::Left(peer)),
            Incoming::Lost { .. } if self.is(Fault::LostOverAndOver) => out.extend([item, lost(peer)]),
            Incoming::Lost { .. } if self.is(Fault::AllAreLost) => {
                out.push_back(item);
                let others =
                    self.topology().peers().filter(|other| self.up.lock().unwrap().contains(&other.id()));
                out.extend(others.flat_map(|other| [lost(other), Incoming::Up(other)]));
            }
            Incoming::Left(_) if self.is(Fault::LostForAGoodbye) => out.push_back(lost(peer)),
            item => out.push_back(item),
        }
    }

    /// Pushes what has been received; whether it did.
    pub(super) fn push(&self, into: &mut Inbox<Bytes>) -> bool {
        let mut received = self.received.lock().unwrap();
        let room = match () {
            () if self.is(Fault::IgnoresTheRoom) => usize::MAX,
            () if self.is(Fault::PushesOneTooMany) => into.room().max(2),
            () if self.is(Fault::NewsNeedsNoRoom) => {
                let frames = received.iter().position(|item| matches!(item, Incoming::Frame { .. }));
                into.room().max(frames.unwrap_or(received.len()))
            }
            () => into.room(),
        };
        let count = room.min(received.len());
        for item in received.drain(..count) {
            match item {
                Incoming::Frame { from, frame } => into.push(from, frame),
                Incoming::Up(peer) => into.up(peer),
                Incoming::Lost { peer, why } => into.lost(peer, why),
                Incoming::Left(peer) => into.left(peer),
            }
        }
        if self.is(Fault::DropsWhatHasNoRoom) {
            received.retain(|item| !matches!(item, Incoming::Frame { .. }));
        }
        count > 0
    }
}
