//! Whom to kill, and when.

use snapshot_core::NodeId;

use crate::plan::Plan;

/// Draws the victims and their moments. Some kills come as soon as they are due, whatever the group is doing, be it that
/// it still recovers from the last one; others wait until something was committed that can be gone back to.
#[derive(Debug)]
pub(crate) struct Killer {
    plan: Plan,
    random: fastrand::Rng,
    done: u64,
    victim: NodeId,
    patient: bool,
    committed: bool,
}

impl Killer {
    /// A killer who has done nothing yet.
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let mut killer = Self { plan, random, done: 0, victim: NodeId(1), patient: true, committed: false };
        killer.choose();
        killer
    }

    /// How many are dead.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// A snapshot was committed.
    pub(crate) fn committed(&mut self) {
        self.committed = true;
    }

    /// Who is to be killed now, if anybody, when the readers have passed this much and `is_running` tells who runs.
    pub(crate) fn victim(&self, passed: u64, is_running: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let may = self.committed || !self.patient;
        (may && self.plan.is_kill_due(self.done, passed) && is_running(self.victim)).then_some(self.victim)
    }

    /// The victim is dead.
    pub(crate) fn killed(&mut self) {
        self.done += 1;
        self.committed = false;
        self.choose();
    }

    fn choose(&mut self) {
        self.victim = NodeId(self.random.u64(1..=self.plan.workers() as u64));
        self.patient = self.random.bool();
    }
}
