//! What goes wrong by itself in a storm, and is put right.

use std::collections::BTreeSet;
use std::time::Duration;

use snapshot_core::NodeId;

use super::group::Wrong;
use super::process::Death;
use super::run::{MS, Run};
use super::{Application, FaultKind};

impl<A: Application> Run<'_, A> {
    pub(super) fn make_trouble(&mut self) -> Result<(), Wrong> {
        const ACTS: [FaultKind; 8] = [
            FaultKind::Cut,
            FaultKind::Partition,
            FaultKind::Crash,
            FaultKind::Leave,
            FaultKind::Pause,
            FaultKind::Zombie,
            FaultKind::StoreFull,
            FaultKind::PutBack,
        ];
        let acts: Vec<FaultKind> = ACTS.into_iter().filter(|kind| self.plan.faults.has(*kind)).collect();
        if acts.is_empty() {
            return Ok(());
        }
        let kind = *self.random.pick(&acts);
        let members = self.group.members();
        let one = *self.random.pick(&members);
        let now = self.group.network.now();
        match kind {
            FaultKind::Cut if !self.links.is_empty() => {
                let (a, b) = *self.random.pick(&self.links);
                self.cut_off(a, b);
            }
            FaultKind::Partition if members.len() > 2 => {
                let side: BTreeSet<NodeId> =
                    members.iter().copied().filter(|id| *id == one || self.random.chance(40)).collect();
                let across = |(a, b): &&(NodeId, NodeId)| side.contains(a) != side.contains(b);
                let broken: Vec<_> = self.links.iter().filter(across).copied().collect();
                if broken.is_empty() {
                    return Ok(());
                }
                broken.into_iter().for_each(|(a, b)| self.cut_off(a, b));
            }
            FaultKind::Crash => {
                let percent = *self.random.pick(&[0, 0, 0, 50, 100]);
                for id in members {
                    if id == one || self.random.chance(percent) {
                        let death = *self.random.pick(&[Death::Killed, Death::Crashed]);
                        self.group.stop(id, death);
                    }
                }
            }
            FaultKind::Leave => {
                if !self.group.leave(one) {
                    return Ok(());
                }
            }
            FaultKind::Pause => {
                self.group.trace.line(format_args!("{one} stands still"));
                self.put_to_sleep(one, 500 * MS);
            }
            FaultKind::Zombie => {
                let wakes_at = now + self.random.time(..=1000 * MS);
                if !self.group.take_for_dead(one, wakes_at) {
                    return Ok(());
                }
            }
            FaultKind::StoreFull => {
                self.group.trace.line(format_args!("store: full"));
                self.group.storage.weather().full_until = now + self.random.time(..300 * MS);
            }
            FaultKind::PutBack => return self.put_back(),
            _ => return Ok(()),
        }
        self.count(kind);
        Ok(())
    }

    /// Puts one thing right that is broken.
    pub(super) fn mend(&mut self) {
        let members = self.group.members();
        let down: Vec<NodeId> =
            members.into_iter().filter(|id| !self.group.processes.contains_key(id)).collect();
        let broken = down.len() + self.cut.len();
        if broken == 0 {
            return;
        }
        let chosen = self.random.below(broken as u64) as usize;
        match down.get(chosen) {
            Some(id) => self.start(*id),
            None => {
                let pair = self.cut.iter().nth(chosen - down.len()).copied();
                pair.into_iter().for_each(|(a, b)| self.heal(a, b));
            }
        }
    }

    fn cut_off(&mut self, a: NodeId, b: NodeId) {
        let pair = (a.min(b), a.max(b));
        let lost = self.group.network.cut(a, b);
        self.group.trace.line(format_args!("{} and {} are cut off, {lost} frames lost", pair.0, pair.1));
        self.cut.insert(pair);
    }

    pub(super) fn heal(&mut self, a: NodeId, b: NodeId) {
        self.group.trace.line(format_args!("{a} and {b} are connected again"));
        self.cut.remove(&(a, b));
        self.group.network.heal(a, b);
    }

    pub(super) fn put_to_sleep(&mut self, id: NodeId, at_most: Duration) {
        let until = self.group.network.now() + self.random.time(..=at_most);
        if let Some(process) = self.group.processes.get_mut(&id) {
            process.asleep_until = until;
        }
    }
}
