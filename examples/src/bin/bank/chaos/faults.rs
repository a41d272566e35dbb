//! How each fault is done.

use std::time::Duration;

use snapshot_examples::chaos::{Act, DiskFault, Kind};
use snapshot_examples::proxy::LinkFault;

use super::Chaos;
use crate::parent::RunError;

/// A disk has its fault for so much longer, so that a snapshot meets it.
const DISKS_LAST: Duration = Duration::from_millis(300);

impl Chaos {
    /// Does what is to be done, and returns when it is over.
    pub(super) async fn inflict(&mut self, act: &Act) -> Result<(), RunError> {
        let first = act.nodes[0];
        match act.kind {
            Kind::KillOne | Kind::KillSeveral | Kind::KillAll => {
                act.nodes.iter().for_each(|node| self.branches.kill(*node));
                self.until_dead(&act.nodes).await
            }
            Kind::KillAtCapture => {
                let deaths = self.branches.deaths();
                self.doomed = Some(first);
                self.until("a branch to die as it begins a snapshot", |chaos| {
                    chaos.branches.deaths() > deaths
                })
                .await
            }
            Kind::KillInPart => self.die_by_itself(&act.nodes, DiskFault::DieInPart).await,
            Kind::KillBeforeRecord => self.die_by_itself(&act.nodes, DiskFault::DieBeforeRecord).await,
            Kind::KillAfterRecord => self.die_by_itself(&act.nodes, DiskFault::DieAfterRecord).await,
            Kind::KillInRollback => {
                self.until("the branch to run", |chaos| chaos.branches.is_up(first)).await?;
                let deaths = self.branches.deaths();
                self.branches.start_next_with(first, DiskFault::DieReading);
                self.branches.kill(first);
                self.until("a branch to die as it reads its part", |chaos| {
                    chaos.branches.deaths() > deaths + 1
                })
                .await
            }
            Kind::Stop => self.stop(first).await,
            Kind::Replace => self.replace(first).await,
            Kind::Cut => self.on_links(act, LinkFault::Cut).await,
            Kind::Reset => self.on_links(act, LinkFault::Reset).await,
            Kind::HalfOpen => self.on_links(act, LinkFault::HalfOpen).await,
            Kind::OneWay => self.on_links(act, LinkFault::OneWay(act.way)).await,
            Kind::SlowLink => self.on_links(act, LinkFault::Slow).await,
            Kind::Split => self.on_links(act, LinkFault::Split).await,
            Kind::FullDisk => self.on_disks(act, DiskFault::Full).await,
            Kind::SlowDisk => self.on_disks(act, DiskFault::Slow).await,
            Kind::HangingDisk => self.on_disks(act, DiskFault::Hang).await,
            Kind::FolderGone => {
                self.branches.store_fails(true);
                self.take_the_folder_away()?;
                self.pass(act.lasts + DISKS_LAST).await?;
                self.bring_the_folder_back()?;
                self.branches.store_fails(false);
                Ok(())
            }
        }
    }

    async fn until_dead(&mut self, nodes: &[usize]) -> Result<(), RunError> {
        self.until("branches to die", |chaos| nodes.iter().all(|node| !chaos.branches.is_dying(*node))).await
    }

    /// Tells these disks to kill their processes at a certain moment, and waits until one has.
    async fn die_by_itself(&mut self, nodes: &[usize], fault: DiskFault) -> Result<(), RunError> {
        let deaths = self.branches.deaths();
        self.branches.tell_disks(nodes, fault).await?;
        self.until("a branch to die by its store", |chaos| chaos.branches.deaths() > deaths).await?;
        self.branches.tell_disks(nodes, DiskFault::None).await?;
        Ok(())
    }

    async fn on_links(&mut self, act: &Act, fault: LinkFault) -> Result<(), RunError> {
        act.links.iter().for_each(|pair| self.branches.mesh().set(*pair, fault));
        self.pass(act.lasts).await?;
        self.branches.mesh().clear();
        Ok(())
    }

    async fn on_disks(&mut self, act: &Act, fault: DiskFault) -> Result<(), RunError> {
        self.branches.store_fails(true);
        self.branches.tell_disks(&act.nodes, fault).await?;
        self.pass(act.lasts + DISKS_LAST).await?;
        self.branches.store_fails(false);
        self.branches.tell_disks(&act.nodes, DiskFault::None).await?;
        Ok(())
    }

    /// A branch stands still until the others have given up a snapshot for its sake.
    async fn stop(&mut self, node: usize) -> Result<(), RunError> {
        // One that is not connected would not be waited for.
        self.settle().await?;
        let aborted = self.aborted;
        self.branches.stop(node);
        self.until("a snapshot to be given up", |chaos| chaos.aborted > aborted).await?;
        self.branches.resume(node);
        Ok(())
    }

    /// A branch stands still, another process takes its place, and then it goes on.
    async fn replace(&mut self, node: usize) -> Result<(), RunError> {
        self.settle().await?;
        self.branches.stop(node);
        let old = self.branches.replace(node)?;
        self.until("the second process to start", |chaos| chaos.branches.is_up(node)).await?;
        self.branches.resume_replaced(&old);
        self.until("the first process to end", |chaos| !chaos.branches.is_replaced(&old)).await
    }
}
