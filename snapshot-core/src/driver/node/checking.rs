//! Has committed snapshots checked, and tells what came of it.

use std::task::{Context, Poll};

use super::SnapshotNode;
use crate::contract::state::StateProvider;
use crate::driver::check::Outcome;
use crate::vocabulary::event::Event;
use crate::vocabulary::id::SnapshotId;

impl<S: StateProvider, M: Clone + Send + 'static> SnapshotNode<S, M> {
    /// A commit is noted if it is of a snapshot that this node began.
    pub(super) fn note_commit(&mut self, snapshot: SnapshotId) {
        if snapshot.initiator != self.id() {
            return;
        }
        if self.checks.add(snapshot) {
            self.show_unchecked();
        } else {
            let why = "too many snapshots wait to be checked: make the checks quicker, or snapshots rarer";
            self.push_event(Event::CheckSkipped { snapshot, why: why.to_owned() });
        }
    }

    /// Before anything new: where no event waits, those of earlier checks were handed out.
    pub(super) fn settle_checks(&mut self) {
        // Whoever waits for checks to be done shall have handled what they found.
        if self.events.is_empty() && self.checks.told() {
            self.show_unchecked();
        }
    }

    /// Moves the checks; whether a snapshot is done with.
    pub(super) fn poll_checks(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(persistence) = &self.persistence else { return false };
        let Poll::Ready((snapshot, outcome)) = self.checks.poll::<S>(cx, persistence) else { return false };
        self.tell(snapshot, outcome);
        true
    }

    /// What is still to be checked must not be deleted, and handles show it.
    fn show_unchecked(&mut self) {
        self.coordinator.spare(self.checks.unchecked());
        self.desk.show_unchecked(self.checks.unchecked().collect());
    }

    fn tell(&mut self, snapshot: SnapshotId, outcome: Outcome) {
        match outcome {
            Outcome::Sound => {}
            Outcome::Skipped { why } => self.push_event(Event::CheckSkipped { snapshot, why }),
            Outcome::Failed { findings, kept } => {
                let me = self.id();
                for finding in findings {
                    let (check, what, kept) = (finding.check, finding.what, kept.clone());
                    tracing::error!(%me, %snapshot, check, what, ?kept, "a check has failed");
                    self.push_event(Event::CheckFailed { snapshot, check, what, kept });
                }
            }
        }
    }
}
