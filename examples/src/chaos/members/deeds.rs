//! What is done to the members of a group, and how they are.

use super::{Members, MembersError};
use crate::chaos::{DISK, DiskFault};
use crate::children::Children;
use crate::proxy::Mesh;

impl Members {
    /// The network between them.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Kills a member with SIGKILL.
    pub fn kill(&mut self, node: usize) {
        let process = &mut self.processes[node];
        if process.restart.is_none() {
            process.dying = true;
            self.children.kill(&process.name);
        }
    }

    /// Lets a member stand still with SIGSTOP.
    pub fn stop(&mut self, node: usize) {
        self.processes[node].stopped = true;
        self.children.stop(&self.processes[node].name);
    }

    /// Lets a member go on with SIGCONT.
    pub fn resume(&mut self, node: usize) {
        self.processes[node].stopped = false;
        self.children.resume(&self.processes[node].name);
    }

    /// Lets a process go on whose place was taken.
    pub fn resume_replaced(&mut self, name: &str) {
        self.children.resume(name);
    }

    /// From now on the disks of these members have this fault, while their processes live.
    ///
    /// # Errors
    ///
    /// If they cannot be told.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a line may be cut short.
    pub async fn tell_disks(&mut self, nodes: &[usize], fault: DiskFault) -> Result<(), MembersError> {
        let deadly = matches!(
            fault,
            DiskFault::DieInPart
                | DiskFault::DieBeforeRecord
                | DiskFault::DieAfterRecord
                | DiskFault::DieReading
        );
        for node in nodes {
            let process = &mut self.processes[*node];
            if process.restart.is_none() {
                // It may do so until it has heard of the next fault, so for the rest of its life.
                process.told_to_die |= deadly;
                let order = format!("{DISK}{fault}");
                self.children.tell(&process.name, &order).await.map_err(MembersError::Start)?;
            }
        }
        Ok(())
    }

    /// Whether processes that start now find a store that works.
    pub fn store_fails(&mut self, fails: bool) {
        self.store_fails = fails;
        if fails {
            self.processes.iter_mut().for_each(|process| process.missed_the_store = true);
        }
    }

    /// Says something to all members, all of which run.
    ///
    /// # Errors
    ///
    /// If one does not run.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a line may be cut short.
    pub async fn tell_all(&mut self, order: &str) -> Result<(), MembersError> {
        for process in &self.processes {
            self.children.tell(&process.name, order).await.map_err(MembersError::Start)?;
        }
        Ok(())
    }

    /// From now on members may end.
    pub fn may_leave(&mut self) {
        self.leaving = true;
    }

    /// How many members there are.
    pub fn count(&self) -> usize {
        self.processes.len()
    }

    /// How many processes died by SIGKILL.
    pub fn deaths(&self) -> u64 {
        self.deaths
    }

    /// Whether a member takes part.
    pub fn is_up(&self, node: usize) -> bool {
        self.processes[node].up
    }

    /// Whether a member was killed and has not ended yet.
    pub fn is_dying(&self, node: usize) -> bool {
        self.processes[node].dying
    }

    /// Whether a member stands still.
    pub fn is_stopped(&self, node: usize) -> bool {
        self.processes[node].stopped
    }

    /// Whether a process has not ended yet whose place was taken.
    pub fn is_replaced(&self, name: &str) -> bool {
        self.replaced.contains(name)
    }

    /// Whether each member takes part, with one process.
    pub fn are_complete(&self) -> bool {
        self.replaced.is_empty() && self.processes.iter().all(|process| process.up && !process.dying)
    }

    /// Whether no process is left.
    pub fn are_gone(&self) -> bool {
        self.children.running().next().is_none()
    }

    /// For the audit, when all are gone.
    pub fn children(&mut self) -> &mut Children {
        &mut self.children
    }

    /// Who does not take part, for people.
    pub fn describe(&self) -> String {
        let missing =
            self.processes.iter().filter(|process| !process.up).map(|process| process.name.as_str());
        let missing: Vec<&str> = missing.collect();
        match missing.is_empty() {
            true => "all processes run".to_owned(),
            false => format!("not started: {}", missing.join(", ")),
        }
    }
}
