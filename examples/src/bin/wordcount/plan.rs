//! Who does what: how the input is shared out, and when a kill is due.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, NodeId};

/// What all processes of a run agree on.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub(crate) struct Plan {
    /// How many counters there are: at least one.
    pub(crate) counters: usize,
    /// How many kills there will be.
    pub(crate) kills: u64,
    /// How many bytes of input there are.
    pub(crate) bytes: u64,
}

/// What a worker is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Counts the words of one hash, counted from 0.
    Counter(usize),
    /// Reads one range, counted from 0.
    Reader(usize),
}

impl Plan {
    /// How many readers there are.
    pub(crate) fn readers(&self) -> usize {
        (self.counters / 2).max(1)
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.counters + self.readers()
    }

    /// The workers: counters first, then readers.
    pub(crate) fn members(&self) -> impl Iterator<Item = NodeId> {
        (1..=self.workers() as u64).map(NodeId)
    }

    /// What a member does; `None` for strangers.
    pub(crate) fn role(&self, id: NodeId) -> Option<Role> {
        let index = usize::try_from(id.0.checked_sub(1)?).ok()?;
        match index.checked_sub(self.counters) {
            None => Some(Role::Counter(index)),
            Some(reader) => (reader < self.readers()).then_some(Role::Reader(reader)),
        }
    }

    /// The member that is this counter.
    pub(crate) fn counter(&self, counter: usize) -> NodeId {
        NodeId(counter as u64 + 1)
    }

    /// From every reader to every counter. Words go one way; markers and control need a way back.
    pub(crate) fn graph(&self) -> Graph {
        let mut graph = Graph::new(self.members()).named("wordcount");
        for reader in self.members().skip(self.counters) {
            for counter in self.members().take(self.counters) {
                graph = graph.link(reader, counter);
            }
        }
        graph.with_way_back()
    }

    /// A reader's range of the input.
    pub(crate) fn range(&self, reader: usize) -> Range<u64> {
        let at = |index: usize| {
            let at = u128::from(self.bytes) * index as u128 / self.readers() as u128;
            u64::try_from(at).unwrap_or(self.bytes)
        };
        at(reader)..at(reader + 1)
    }

    /// How many bytes a reader deals with in one turn: little of a small input, so that kills find it half-way.
    pub(crate) fn chunk(&self) -> usize {
        let steps = (self.readers() as u64).saturating_mul(self.kills.saturating_add(1)).saturating_mul(16);
        usize::try_from((self.bytes / steps).clamp(64, 128 << 10)).unwrap_or(64)
    }

    /// The time between snapshots: longer for a large input, for there the states are large.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis((self.bytes / 100_000).clamp(300, 5000))
    }

    /// Whether the next kill is due when `passed` bytes of the input are read.
    pub(crate) fn is_kill_due(&self, done: u64, passed: u64) -> bool {
        let [bytes, kills, next, passed] = [self.bytes, self.kills, done + 1, passed].map(u128::from);
        next <= kills && passed * (kills + 1) >= bytes * next
    }

    /// Whether a reader that has passed this much of its range waits for the next kill. It goes on half a step after the kill
    /// is due, so that there is something under way when it comes; and all readers that wait are beyond the kill's place.
    pub(crate) fn is_held(&self, done: u64, range: &Range<u64>, passed: u64) -> bool {
        let [len, kills, next, passed] =
            [range.end - range.start, self.kills, done + 1, passed].map(u128::from);
        next <= kills && passed * 2 * (kills + 1) >= len * (2 * next + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans() -> impl Iterator<Item = Plan> {
        let sizes = [0, 1, 2, 7, 1000, 123_456_789, u64::MAX];
        (1..7).flat_map(move |counters| {
            (0..5).flat_map(move |kills| sizes.into_iter().map(move |bytes| Plan { counters, kills, bytes }))
        })
    }

    #[test]
    fn the_ranges_are_the_input() {
        for plan in plans() {
            let mut end = 0;
            for reader in 0..plan.readers() {
                assert_eq!(plan.range(reader).start, end);
                end = plan.range(reader).end;
            }
            assert_eq!(end, plan.bytes);
        }
    }

    #[test]
    fn when_all_readers_wait_the_kill_is_due() {
        for plan in plans() {
            for done in 0..plan.kills {
                // The least progress at which each reader waits.
                let waiting = |reader| {
                    let range = plan.range(reader);
                    let len = u128::from(range.end - range.start);
                    let need =
                        (len * (2 * u128::from(done) + 3)).div_ceil(2 * (u128::from(plan.kills) + 1)) as u64;
                    assert!(plan.is_held(done, &range, need));
                    assert!(need == 0 || !plan.is_held(done, &range, need - 1));
                    need
                };
                let passed: u64 = (0..plan.readers()).map(waiting).sum();
                assert!(plan.is_kill_due(done, passed), "{plan:?} {done}");
            }
            assert!(!plan.is_kill_due(plan.kills, plan.bytes));
            assert!((0..plan.readers()).all(|r| !plan.is_held(plan.kills, &plan.range(r), plan.bytes)));
        }
    }

    #[test]
    fn every_member_has_a_role_and_a_graph() {
        for plan in plans() {
            let roles: Vec<Role> = plan.members().filter_map(|id| plan.role(id)).collect();
            assert_eq!(roles.len(), plan.workers());
            assert_eq!(plan.role(NodeId(0)), None);
            assert_eq!(plan.role(NodeId(plan.workers() as u64 + 1)), None);
            assert_eq!(plan.role(plan.counter(0)), Some(Role::Counter(0)));
            assert!(plan.members().all(|id| plan.graph().at(id).is_ok()));
        }
    }
}
