//! What the nodes tell, who gets to know it, and what the store says to that.

use std::mem;
use std::sync::Arc;

use snapshot_core::{Archive, Event, NodeId, SnapshotId, Turn, Violation};

use super::group::{EventOf, Group, Wrong, chain};
use super::process::{Process, Progress};
use super::store::at_once;
use super::{Application, Cut};

impl<A: Application> Group<A> {
    /// Hands an event of a process that runs to the application.
    pub(super) fn hand_out(&mut self, id: NodeId, event: EventOf<A>) -> Result<Progress, Wrong> {
        if let Some(wrong) = self.outrage(id, &event) {
            return Err(wrong);
        }
        match event {
            Event::Message { from, message } => {
                self.trace.line(format_args!("{id} takes {message:?} from {from}"));
                self.counts.messages += 1;
                self.turn(id, |app, state, out| app.handle(state, from.id(), message, out))?;
                return Ok(Progress::Message);
            }
            Event::Committed { snapshot, turn, .. } => {
                self.trace.line(format_args!("{id} hears that {snapshot} is committed, up to {turn}"));
                self.heard(id, snapshot, turn)?;
                self.turn(id, |app, state, out| app.committed(state, turn, out))?;
            }
            Event::RolledBack { generation, snapshot, turn } => {
                let to = snapshot.map_or_else(|| "the beginning".to_owned(), |snapshot| snapshot.to_string());
                self.trace.line(format_args!("{id} goes back to {to}, after {turn}, in {generation}"));
                self.counts.rollbacks += 1;
                let covered = self.covered.entry(id).or_default();
                if turn < *covered {
                    return Err(format!(
                        "{id} went back to {turn}, though up to {covered} was announced as committed"
                    ));
                }
                *covered = turn;
                self.turn(id, |app, state, out| app.rolled_back(state, turn, out))?;
            }
            Event::SnapshotAborted { snapshot, by, reason } => {
                self.trace.line(format_args!("{id} hears that {by} gave up {snapshot}: {reason}"));
                self.counts.aborts += u64::from(by == id);
                self.counts.last_abort = Some(format!("{by} gave up {snapshot}: {reason}"));
            }
            Event::PeerLost { peer, why } => self.trace.line(format_args!("{id} has lost {peer}: {why}")),
            Event::PeerBack { peer } => self.trace.line(format_args!("{id} has {peer} back")),
            Event::PeerLeft { peer } => self.trace.line(format_args!("{id} hears that {peer} left")),
            Event::StoreFailed { error } => self.trace.line(format_args!("{id}: {error}")),
            Event::Stalled { waiting_for } => {
                self.trace.line(format_args!("{id} stands still, with frames for {waiting_for:?}"));
            }
            Event::Violation { peer, what, .. } => {
                self.trace.line(format_args!("{id} hears of {peer} what never was: {what}"));
            }
            _ => self.trace.line(format_args!("{id} has another event")),
        }
        Ok(Progress::Event)
    }

    /// A process of this node has announced a commit.
    pub(super) fn heard(&mut self, id: NodeId, snapshot: SnapshotId, turn: Turn) -> Result<(), Wrong> {
        self.read_journal()?;
        let known = |archive: &Archive<_, _>| archive.commits().iter().any(|c| c.snapshot == snapshot);
        if !self.archive.as_ref().is_some_and(known) {
            return Err(format!(
                "{id} heard that {snapshot} is committed, and the journal has no such commit"
            ));
        }
        let covered = self.covered.entry(id).or_default();
        *covered = turn.max(*covered);
        Ok(())
    }

    /// The snapshots that have been committed since this was last called, oldest first.
    pub(super) fn new_commits(&mut self) -> Result<Vec<Cut<A>>, Wrong> {
        self.read_journal()?;
        Ok(mem::take(&mut self.new))
    }

    pub(super) fn read_journal(&mut self) -> Result<(), Wrong> {
        if !self.storage.take_journal_grew() {
            return Ok(());
        }
        if self.archive.is_none() && self.storage.memory.keys().is_empty() {
            return Ok(());
        }
        let wrong = |error| format!("the store cannot be read: {}", chain(&error));
        let archive = match &mut self.archive {
            Some(archive) => archive,
            none => {
                let store = (self.wrap)(None, Arc::new(self.storage.memory.clone()));
                let opened = Archive::open(store, self.codec.clone());
                none.insert(at_once(opened).map_err(wrong)?)
            }
        };
        at_once(archive.refresh()).map_err(wrong)?;
        if let Some(lost) = archive.commits().iter().find(|commit| !commit.in_lineage) {
            return Err(format!("the group has gone back behind {}, which is committed", lost.snapshot));
        }
        for commit in archive.commits().iter().skip(self.read) {
            let cut = at_once(archive.read(commit.snapshot)).map_err(wrong)?;
            let (id, flying) = (cut.id(), cut.in_flight().count());
            self.trace.line(format_args!("{id} is committed, {flying} messages in flight"));
            self.new.push(cut);
        }
        self.counts.commits += archive.commits().len() - self.read;
        self.read = archive.commits().len();
        Ok(())
    }

    /// Whether each node runs and has been told of this commit, or of a later one.
    pub(super) fn all_know(&self, cut: &Cut<A>) -> bool {
        cut.members().iter().all(|id| {
            let runs = self.processes.get(id).is_some_and(Process::is_running);
            runs && self.covered.get(id) >= cut.turn(*id).as_ref()
        })
    }

    /// What no node may ever tell where nothing is damaged and nobody lies.
    pub(super) fn outrage(&self, id: NodeId, event: &EventOf<A>) -> Option<Wrong> {
        match event {
            // What is left over of a history that was undone greets in generations that never were.
            Event::Violation {
                what: Violation::UnknownGeneration { generation } | Violation::OtherHistory { generation },
                ..
            } if Some(*generation) <= self.buried => None,
            Event::Violation { peer, what, .. } => {
                Some(format!("{id} says that {peer} broke the protocol: {what}"))
            }
            Event::FellBack { to, given_up, .. } => {
                Some(format!("{id} fell back to {to:?} behind {given_up:?}, and nothing was damaged"))
            }
            Event::CheckFailed { snapshot, check, what, .. } => {
                Some(format!("the check `{check}` of {id} has failed on {snapshot}: {what}"))
            }
            _ => None,
        }
    }
}
