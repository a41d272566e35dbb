//! How each fault is done.

use std::sync::PoisonError;
use std::time::Duration;

use snapshot_examples::chaos::{Act, Kind};
use snapshot_examples::ports::free_addresses;
use snapshot_examples::proxy::LinkFault;

use super::{Chaos, ChaosError};

/// A server stands still for so much longer than other faults last: clients and other servers lose their patience.
const STOPPED_LASTS: u32 = 8;

impl Chaos {
    /// Does what is to be done, and returns when it is over.
    pub(super) async fn inflict(&mut self, act: &Act) -> Result<(), ChaosError> {
        let first = act.nodes[0];
        match act.kind {
            Kind::KillOne | Kind::KillSeveral | Kind::KillAll => {
                act.nodes.iter().for_each(|node| self.members.kill(*node));
                self.until("servers to die", |chaos| {
                    act.nodes.iter().all(|node| !chaos.members.is_dying(*node))
                })
                .await
            }
            Kind::Stop => {
                self.members.stop(first);
                self.pass(act.lasts * STOPPED_LASTS).await?;
                self.members.resume(first);
                Ok(())
            }
            Kind::Replace => self.replace(first).await,
            Kind::Cut => self.on_links(act, LinkFault::Cut).await,
            Kind::Reset => self.on_links(act, LinkFault::Reset).await,
            Kind::HalfOpen => self.on_links(act, LinkFault::HalfOpen).await,
            Kind::OneWay => self.on_links(act, LinkFault::OneWay(act.way)).await,
            Kind::SlowLink => self.on_links(act, LinkFault::Slow).await,
            Kind::Split => self.on_links(act, LinkFault::Split).await,
            Kind::FolderGone => self.folder_gone(act.lasts + Duration::from_millis(300)).await,
            // These need the help of the program, and are not in the schedule.
            Kind::KillAtCapture
            | Kind::KillInPart
            | Kind::KillBeforeRecord
            | Kind::KillAfterRecord
            | Kind::KillInRollback
            | Kind::FullDisk
            | Kind::SlowDisk
            | Kind::HangingDisk => Ok(()),
        }
    }

    async fn on_links(&mut self, act: &Act, fault: LinkFault) -> Result<(), ChaosError> {
        act.links.iter().for_each(|pair| self.members.mesh().set(*pair, fault));
        self.pass(act.lasts).await?;
        self.members.mesh().clear();
        Ok(())
    }

    /// A server stands still, another process takes its place, and then it goes on.
    async fn replace(&mut self, node: usize) -> Result<(), ChaosError> {
        self.settle().await?;
        self.members.stop(node);
        let address = free_addresses(1, node as u64)?[0];
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)[node] = address;
        let old = self.members.replace(node)?;
        self.doors.links()[node].lead_to(address);
        while !self.serves(node).await? {}
        self.members.resume_replaced(&old);
        self.until("the first process to end", |chaos| !chaos.members.is_replaced(&old)).await
    }
}
