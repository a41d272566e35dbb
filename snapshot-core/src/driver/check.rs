//! The application's checks of committed snapshots: which snapshots wait, which one is under check, what came of it. What
//! is done with the store stands in `examine` and `keep`.

mod examine;
mod keep;

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::contract::state::StateProvider;
use crate::driver::persist::Persistence;
use crate::inspect::global_snapshot::GlobalSnapshot;
use crate::vocabulary::id::SnapshotId;

/// The most snapshots that wait for their check. One more is skipped, which is told.
const MAX_WAITING: usize = 64;

/// The most snapshots that are kept as evidence in the life of a node.
const MAX_KEPT: usize = 64;

/// What must be true of every committed snapshot.
pub(crate) struct Check<M, C> {
    name: String,
    holds: Box<Holds<M, C>>,
}

type Holds<M, C> = dyn Fn(&GlobalSnapshot<C, M>) -> Result<(), String> + Send + Sync;

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    pub(crate) check: String,
    pub(crate) what: String,
}

/// What became of a snapshot that was to be checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// All checks passed.
    Sound,
    /// Some did not. `kept`: whether its parts are copied to where retention does not reach.
    Failed { findings: Vec<Finding>, kept: Result<(), String> },
    /// It could not be checked.
    Skipped { why: String },
}

/// The checks, and the snapshots that are to undergo them.
pub(crate) struct Checks<M, C> {
    checks: Arc<[Check<M, C>]>,
    waiting: VecDeque<SnapshotId>,
    running: Option<(SnapshotId, BoxFuture<'static, Outcome>)>,
    /// Done with, and the application has yet to be told.
    untold: Vec<SnapshotId>,
    kept: usize,
}

impl<M, C> Check<M, C> {
    pub(crate) fn new(
        name: String,
        holds: impl Fn(&GlobalSnapshot<C, M>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { name, holds: Box::new(holds) }
    }

    fn find(&self, cut: &GlobalSnapshot<C, M>) -> Option<Finding> {
        // Unwind safety: the cut is only lent, and dropped afterwards. A check that keeps something of its own and left it
        // half-way is called again; what that means is up to its locks.
        let found = catch_unwind(AssertUnwindSafe(|| (self.holds)(cut)))
            .unwrap_or_else(|panic| Err(format!("the check panicked: {}", text_of(&*panic))));
        found.err().map(|what| Finding { check: self.name.clone(), what })
    }
}

impl<M, C> Checks<M, C> {
    pub(crate) fn new(checks: Vec<Check<M, C>>) -> Self {
        Self { checks: checks.into(), waiting: VecDeque::new(), running: None, untold: Vec::new(), kept: 0 }
    }

    /// A snapshot is committed, and will be checked when its turn comes. Returns whether there was room to remember it;
    /// where there are no checks there always is.
    pub(crate) fn add(&mut self, snapshot: SnapshotId) -> bool {
        if !self.checks.is_empty() {
            if self.waiting.len() >= MAX_WAITING {
                return false;
            }
            self.waiting.push_back(snapshot);
        }
        true
    }

    /// The application was told of all outcomes. Returns whether there were any.
    pub(crate) fn told(&mut self) -> bool {
        !std::mem::take(&mut self.untold).is_empty()
    }

    /// The snapshots that wait, are under check, or are done with and not told of; in the order of their commits.
    pub(crate) fn unchecked(&self) -> impl Iterator<Item = SnapshotId> {
        let running = self.running.as_ref().map(|(snapshot, _)| *snapshot);
        self.untold.iter().copied().chain(running).chain(self.waiting.iter().copied())
    }
}

impl<M: Send + 'static, C: Send + 'static> Checks<M, C> {
    /// Moves the check that is under way, or begins the next. Ready when a snapshot is done with; pending also where there
    /// is nothing to do.
    pub(crate) fn poll<S: StateProvider<Captured = C>>(
        &mut self,
        cx: &mut Context<'_>,
        persistence: &Persistence<M>,
    ) -> Poll<(SnapshotId, Outcome)> {
        if self.running.is_none()
            && let Some(snapshot) = self.waiting.pop_front()
        {
            let (persistence, checks) = (persistence.clone(), Arc::clone(&self.checks));
            let may_keep = self.kept < MAX_KEPT;
            let check = async move {
                match examine::examine::<S, M>(&persistence, checks, snapshot).await {
                    Err(why) => Outcome::Skipped { why },
                    Ok(findings) if findings.is_empty() => Outcome::Sound,
                    Ok(findings) if may_keep => {
                        Outcome::Failed { findings, kept: keep::keep(&persistence, snapshot).await }
                    }
                    Ok(findings) => {
                        let full = format!("this node has kept {MAX_KEPT} snapshots, and keeps no more");
                        Outcome::Failed { findings, kept: Err(full) }
                    }
                }
            };
            self.running = Some((snapshot, check.boxed()));
        }
        let Some((snapshot, check)) = &mut self.running else { return Poll::Pending };
        let Poll::Ready(outcome) = check.poll_unpin(cx) else { return Poll::Pending };
        let snapshot = *snapshot;
        self.running = None;
        self.untold.push(snapshot);
        // Also where it failed: some of it may be in the store.
        self.kept += usize::from(matches!(outcome, Outcome::Failed { .. }));
        Poll::Ready((snapshot, outcome))
    }
}

impl<M, C> fmt::Debug for Checks<M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.checks.iter().map(|check| check.name.as_str()).collect();
        f.debug_struct("Checks")
            .field("checks", &names)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
