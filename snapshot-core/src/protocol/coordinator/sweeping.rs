//! What retention lets go, removed from the store: what is listed, what is deleted, and what cannot be.

use std::collections::BTreeSet;
use std::time::Duration;

use super::SnapshotCoordinator;
use super::output::{Output, StoreAnswer, StoreRequest, Ticket};
use crate::vocabulary::event::Event;
use crate::vocabulary::id::SnapshotId;
use crate::vocabulary::key::Key;
use crate::vocabulary::retention::Retention;

/// After the store has failed to list or delete, that is tried again this much later, twice as late each time.
const RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(600);

/// The most parts that are left alone since they could not be deleted. Others are tried each time.
const MAX_LEFT: usize = 1024;

/// What this node is doing about parts that nobody needs.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Sweeping {
    asked: Option<(Ticket, Asked)>,
    /// Something may have been let go of since parts were last listed.
    pub(super) is_due: bool,
    /// Snapshots whose parts this node does not delete for now. As many as its driver names.
    spared: BTreeSet<SnapshotId>,
    /// What could not be deleted, until it is tried again. Bounded by `MAX_LEFT`.
    left: BTreeSet<Key>,
    retry: Option<Retry>,
    /// The last listing has failed.
    is_unlisted: bool,
    /// How many could not be deleted when that was last told; 0: all is well, or nothing was told.
    told: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Asked {
    List,
    Delete(Vec<Key>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Retry {
    at: Duration,
    wait: Duration,
}

impl Sweeping {
    /// Whether this is the answer to something asked here.
    pub(super) fn waits_for(&self, ticket: Ticket) -> bool {
        self.asked.as_ref().is_some_and(|(asked, _)| *asked == ticket)
    }

    pub(super) fn next_retry(&self) -> Option<Duration> {
        self.retry.filter(|_| self.asked.is_none() && !self.is_due).map(|retry| retry.at)
    }

    fn retry_later(&mut self, now: Duration) {
        let wait = self.retry.map_or(RETRY, |retry| retry.wait.saturating_mul(2).min(MAX_RETRY));
        self.retry = Some(Retry { at: now.saturating_add(wait), wait });
    }

    /// Nothing is left of what was to go, unless it was left alone before.
    fn is_clean(&mut self) {
        if self.left.is_empty() {
            (self.retry, self.told) = (None, 0);
        }
    }

    /// Some could not be deleted. Returns whether that is worth telling: once, and again when there are twice as many.
    fn leave(&mut self, keys: impl IntoIterator<Item = Key>) -> bool {
        for key in keys {
            if self.left.len() < MAX_LEFT {
                self.left.insert(key);
            }
        }
        let is_news = self.left.len() >= 2 * self.told.max(1) || self.told == 0;
        if is_news {
            self.told = self.left.len().max(1);
        }
        is_news
    }
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// Until it is told otherwise, this node deletes no part of these snapshots: somebody reads them. The first deletion after
    /// they are let go of finds them again. Other members know nothing of it, and delete what retention does not keep.
    pub fn spare(&mut self, snapshots: impl IntoIterator<Item = SnapshotId>) {
        self.sweeping.spared = snapshots.into_iter().collect();
    }

    /// Deletes what this node has written in vain. Asks which parts there are, if others may have been let go of.
    pub(super) fn sweep(&mut self) {
        if self.sweeping.asked.is_some() {
            return;
        }
        let dead = self.dead_parts();
        if !dead.is_empty() {
            return self.ask_to_sweep(Asked::Delete(dead.clone()), StoreRequest::Delete(dead));
        }
        if self.sweeping.is_due {
            self.sweeping.is_due = false;
            if self.lane.last.as_ref().is_some_and(|record| record.retention != Retention::All) {
                self.ask_to_sweep(Asked::List, StoreRequest::ListParts(None));
            }
        }
    }

    fn ask_to_sweep(&mut self, asked: Asked, request: StoreRequest<M, C>) {
        let ticket = self.lane.ticket();
        self.sweeping.asked = Some((ticket, asked));
        self.outputs.push_back(Output::Store { ticket, request });
    }

    pub(super) fn swept(&mut self, now: Duration, answer: StoreAnswer<M, C>) {
        let Some((_, asked)) = self.sweeping.asked.take() else { return };
        if let Asked::Delete(keys) = &asked {
            self.forget_leftovers(keys);
        }
        match (asked, answer) {
            (Asked::List, StoreAnswer::Listed(keys)) => self.delete_doomed(&keys),
            (Asked::Delete(_), StoreAnswer::Deleted) => self.sweeping.is_clean(),
            (Asked::Delete(_), StoreAnswer::Undeleted { keys, error })
            | (Asked::Delete(keys), StoreAnswer::Failed(error)) => self.undeleted(now, keys, error),
            (_, StoreAnswer::Failed(error)) => {
                // It is listed again, then.
                self.sweeping.is_unlisted = true;
                self.undeleted(now, Vec::new(), error);
            }
            _ => {}
        }
    }

    fn delete_doomed(&mut self, listed: &[Key]) {
        let Some(last) = &self.lane.last else { return };
        let Sweeping { spared, left, .. } = &self.sweeping;
        let mut doomed = last.doomed(listed);
        doomed.retain(|key| !matches!(key, Key::Part { snapshot, .. } if spared.contains(snapshot)));
        doomed.retain(|key| !left.contains(key));
        if !doomed.is_empty() {
            self.ask_to_sweep(Asked::Delete(doomed.clone()), StoreRequest::Delete(doomed));
        } else {
            self.sweeping.is_clean();
        }
    }

    fn undeleted(&mut self, now: Duration, keys: Vec<Key>, error: String) {
        let count = keys.len();
        if self.sweeping.leave(keys) {
            let error = match count {
                0 => error,
                _ => format!(
                    "parts that nobody needs cannot be deleted, {count} of them, and take up room: {error}"
                ),
            };
            self.emit(Event::StoreFailed { error });
        }
        self.sweeping.retry_later(now);
    }

    /// What could not be listed or deleted is tried again. What was doomed stays doomed, and need not be listed for that.
    pub(super) fn retry_sweep(&mut self, now: Duration) {
        if self.sweeping.next_retry().is_none_or(|at| at > now) {
            return;
        }
        let is_full = self.sweeping.left.len() >= MAX_LEFT;
        self.sweeping.is_due |= std::mem::take(&mut self.sweeping.is_unlisted) || is_full;
        let left: Vec<Key> = std::mem::take(&mut self.sweeping.left).into_iter().collect();
        if !left.is_empty() {
            self.ask_to_sweep(Asked::Delete(left.clone()), StoreRequest::Delete(left));
        }
    }
}
