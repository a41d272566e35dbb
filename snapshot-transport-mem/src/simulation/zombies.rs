//! Processes that were taken for dead, and are not.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use snapshot_core::{Event, NodeId};

use super::Application;
use super::group::{Group, Wrong, chain};
use super::process::Life;
use crate::process::Death as End;

impl<A: Application> Group<A> {
    /// Takes a process for dead: its connections are broken and its node is free for the next one. But it stands still only
    /// until `wakes_at`; then it goes on with what it was doing, cut off from the network and not from the store. Returns
    /// whether there was one that ran.
    pub(super) fn take_for_dead(&mut self, id: NodeId, wakes_at: Duration) -> bool {
        let Some(mut process) = self.take_running(id) else { return false };
        self.trace.line(format_args!("{id} stands still, and is taken for dead"));
        process.plug.pull();
        let fabric = &self.network.fabric;
        if let Some(index) = fabric.node(id) {
            fabric.stop(index, None, End::Killed);
        }
        process.asleep_until = wakes_at;
        self.haunted.insert(id);
        self.zombies.insert(process.number, (id, process));
        true
    }

    /// The zombies that have been woken and are not asleep, oldest first.
    pub(super) fn zombies_awake(&self) -> Vec<u64> {
        let now = self.network.now();
        self.zombies.iter().filter(|(_, (_, process))| process.is_awake(now)).map(|(of, _)| *of).collect()
    }

    /// Polls a zombie once. It does all that a node does by itself: captures, writes parts, commits, reads the journal. It
    /// dies in its next turn: the application has one memory for each node, and the successor has it by then.
    pub(super) fn poll_zombie(&mut self, number: u64) -> Result<(), Wrong> {
        let Some((id, process)) = self.zombies.get_mut(&number) else { return Ok(()) };
        let (id, waker) = (*id, process.waker());
        let Life::Running { node, state } = &mut process.life else { return Ok(()) };
        let event = pin!(node.next(state)).poll(&mut Context::from_waker(&waker));
        if self.storage.take_doom(number).is_some() {
            self.bury(number, "it has died");
            return Ok(());
        }
        let Poll::Ready(event) = event else { return Ok(()) };
        process.wake();
        match event {
            Ok(Event::Message { .. }) => self.bury(number, "it has died in a turn"),
            Ok(Event::Committed { snapshot, turn, .. }) => {
                self.trace.line(format_args!("a zombie of {id} hears that {snapshot} is committed"));
                self.heard(id, snapshot, turn)?;
            }
            Ok(event) => return self.outrage(id, &event).map_or(Ok(()), Err),
            Err(error) if error.is_replaced() => self.bury(number, "it has been replaced"),
            Err(error) => return Err(format!("a zombie of {id} has ended: {}", chain(&error))),
        }
        Ok(())
    }

    fn bury(&mut self, number: u64, why: &str) {
        if let Some((id, _)) = self.zombies.remove(&number) {
            self.trace.line(format_args!("the zombie of {id} is no more: {why}"));
        }
    }
}
