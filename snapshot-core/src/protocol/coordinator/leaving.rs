//! A node that leaves in good order (W9): it sends what it has, and receives only so that others can do the same.

use super::SnapshotCoordinator;
use super::channel::Arrival;
use super::phase::Phase;
use crate::format::control::Control;
use crate::vocabulary::frame::{Body, Frame};
use crate::vocabulary::id::Peer;

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// From here on this node does nothing but send what it has: what is untaken, and whatever still arrives, counts as taken, so
    /// that two nodes that leave at once do not wait for each other's grants. Of control, it acts on what lets its own
    /// messages go. The driver goes on to move frames until nothing is left, or it has waited long enough.
    pub fn leave(&mut self) {
        match self.phase {
            Phase::Leaving | Phase::Over => return,
            Phase::Running => {}
            // What is left is of a generation that is over.
            Phase::Idle | Phase::Recovering(_) => {
                self.channels.iter_mut().for_each(|channel| channel.outbox.reset());
                self.weigh_outbox();
            }
        }
        self.phase = Phase::Leaving;
        while let Some((from, _, bytes)) = self.untaken.pop() {
            self.channels[from.index()].intake.take(bytes);
            self.post_grant_if_due(from);
        }
    }

    /// Whether nothing that this node still has to send would count: the group has gone on without it, or must go back.
    pub(crate) fn is_left_behind(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Handles a frame while leaving.
    pub(super) fn accept_leaving(&mut self, from: Peer, frame: Frame<M>) {
        let channel = &mut self.channels[from.index()];
        let greeting = match &frame.body {
            Body::Control(bytes) => Control::greeting(bytes),
            Body::Message(_) => None,
        };
        if frame.stamp.generation() > self.generation && greeting.is_some() {
            self.phase = Phase::Over;
            return;
        }
        if frame.stamp.generation() != self.generation || channel.broken || channel.incoming.is_none() {
            return;
        }
        match channel.arrive(frame.stamp, greeting, self.nonce) {
            Arrival::InOrder => {}
            Arrival::Gap { .. } => {
                // A grant may be among what is missing, and will not come again: whatever waits for this neighbour stays. With a
                // store nothing else would count either, since the group must go back.
                channel.broken = true;
                if self.settings.durable {
                    self.phase = Phase::Over;
                }
                return;
            }
            Arrival::OutsideTheCount | Arrival::OtherHistory => return,
        }
        match frame.body {
            Body::Message(message) => {
                let bytes = self.measure.weigh(&message);
                if channel.intake.arrive(bytes, self.window) {
                    channel.intake.take(bytes);
                    self.post_grant_if_due(from);
                }
            }
            Body::Control(bytes) => match Control::decode(&bytes) {
                Ok(Control::Grant { sender, receiver, grant }) => self.granted(from, sender, receiver, grant),
                Ok(Control::Ask) => self.asked(from),
                _ => {}
            },
        }
    }
}
