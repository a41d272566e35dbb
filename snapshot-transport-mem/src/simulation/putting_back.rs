//! When a backup is taken, and when it is put back.

use super::group::Wrong;
use super::run::Run;
use super::{Application, FaultKind};

impl<A: Application> Run<'_, A> {
    /// Now and then takes a copy, and puts it back a second time when that is due.
    pub(super) fn keep_a_backup(&mut self) -> Result<(), Wrong> {
        match self.backup.again_in {
            Some(0) => return self.put_back(),
            Some(steps) => self.backup.again_in = Some(steps - 1),
            None if self.random.chance(3) => {
                let copy = self.group.copy_the_store()?;
                self.backup.copy = copy.or(self.backup.copy.take());
            }
            None => {}
        }
        Ok(())
    }

    /// Puts the copy back, or empties the store.
    pub(super) fn put_back(&mut self) -> Result<(), Wrong> {
        let again = self.backup.is_to_be_put_back();
        self.release_what_stands_still();
        if !again && self.random.chance(20) {
            self.backup.copy = None;
        }
        self.group.put_back(self.backup.copy.as_ref())?;
        self.count(FaultKind::PutBack);
        if !again && self.random.chance(60) {
            self.backup.again_in = Some(20 + self.random.below(150));
            for (from, to) in self.links.clone() {
                if self.random.chance(40) {
                    self.group.trace.line(format_args!("nothing arrives at {to} from {from}"));
                    self.group.network.hold(from, to);
                    self.backup.still.push((from, to));
                }
            }
        }
        // All together, or one by one as after a crash.
        if self.random.chance(80) {
            self.group.members().into_iter().for_each(|id| self.start(id));
        }
        Ok(())
    }

    /// Nothing is put back again, and all channels move.
    pub(super) fn release_what_stands_still(&mut self) {
        self.backup.again_in = None;
        for (from, to) in std::mem::take(&mut self.backup.still) {
            self.group.network.release(from, to);
        }
    }
}
