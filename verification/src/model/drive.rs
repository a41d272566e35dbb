//! The driver of a process and its application: what `SnapshotNode` and a user's program do, a step at a time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use snapshot_core::{AbortReason, Capture, CaptureFn, Event, Failure, Frames, NodeId, Output, Violation};

use super::app::{App, Captured, Line, Message};
use super::config::{Seen, Shape};
use super::name::name;
use super::oracle::{Replay, Rule};
use super::shared::Shared;
use super::state::{Coordinator, Item, Pending, Process, index, is_ask, part};
use super::step::Step;

/// Several times what any configuration has a node say to a neighbour in one generation.
const MOST_FRAMES: u64 = 20;

impl Step<'_> {
    /// Gives the code under test one input, and does what comes of it.
    pub(super) fn input<R>(
        &mut self,
        place: usize,
        process: &mut Process,
        input: impl FnOnce(&mut Coordinator, Duration, &mut CaptureFn<'_, Captured>) -> R,
    ) -> Option<R> {
        let Process { now, coordinator, app, .. } = process;
        let (waiting, mut captures) = (coordinator.has_message(), 0);
        let mut capture = || {
            captures += 1;
            Capture::new(Arc::clone(app))
        };
        match catch_unwind(AssertUnwindSafe(|| input(coordinator, *now, &mut capture))) {
            Ok(result) => {
                self.group.note(Seen::Ahead, captures > 0 && waiting);
                self.group.note(Seen::Overlap, captures > 0 && coordinator.running().len() > 1);
                self.drain(place, process);
                Some(result)
            }
            Err(panic) => {
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
                self.broke(Rule::Sound, format!("n{} panicked: {said}", process.node + 1));
                None
            }
        }
    }

    /// Puts a process in its place, and looks whether it has ended.
    pub(super) fn put(&mut self, place: usize, process: Process) {
        let failed = process.failed.clone();
        self.state.processes[place] = Some(Shared::new(process));
        match failed {
            None => {}
            // A process that was replaced learns of it.
            Some(Failure::Replaced { .. }) if place >= self.group.nodes() => {}
            // The older process was first in a generation that was opened after this one had its seat.
            Some(Failure::Replaced { .. }) if self.give_way(place) => {}
            // A supervisor starts it again.
            Some(Failure::Store { .. }) if place < self.group.nodes() => {
                self.group.saw(Seen::FailedStart);
                self.crash(place, usize::MAX);
            }
            Some(failure) => {
                self.broke(Rule::Sound, format!("the process in place {place} ended: {failure}"));
            }
        }
    }

    pub(super) fn drain(&mut self, place: usize, process: &mut Process) {
        while let Some(output) = process.coordinator.poll_output() {
            match output {
                Output::Store { ticket, request } => {
                    process.pending.push(Pending { ticket, request, answer: None });
                }
                Output::Restore { state } => self.restore(process, state),
                Output::Event(event) => self.event(process, event),
                Output::Report(report) => process.open.retain(|id| *id != report.snapshot),
                Output::Failed(failure) => {
                    self.group.note(Seen::Replaced, matches!(failure, Failure::Replaced { .. }));
                    process.failed = Some(failure);
                }
            }
        }
        if self.group.config.flushes {
            for to in process.coordinator.topology().clone().outgoing() {
                self.flush(place, process, index(to.id()));
            }
        }
    }

    fn restore(&mut self, process: &mut Process, state: Option<Captured>) {
        self.group.note(Seen::WentBack, std::mem::replace(&mut process.has_run, true));
        self.before = Some(Arc::clone(&process.app));
        if let Some(app) = state {
            process.app = app;
        }
        process.era = self.next_era(process.node);
        let app = Arc::clone(&process.app);
        process.coordinator.handle_restored(process.now, &mut || Capture::new(Arc::clone(&app)));
        let generation = process.coordinator.generation().0;
        match self.state.oracle.restored(process.node, generation, &process.app) {
            Ok(Replay { recorded, resent }) => {
                process.replay = recorded.into_iter().map(VecDeque::from).collect();
                process.resent = resent.into_iter().map(VecDeque::from).collect();
            }
            Err(fault) => self.judge(Err(fault)),
        }
    }

    pub(super) fn next_era(&mut self, node: u8) -> u8 {
        let era = &mut self.state.eras[usize::from(node)];
        *era += 1;
        *era
    }

    fn event(&mut self, process: &mut Process, event: Event<Message, Captured>) {
        let node = process.node;
        match event {
            Event::Committed { snapshot, turn, .. } => {
                let app = &process.app;
                let verdict = self.state.oracle.update(|o| o.announced(node, name(snapshot), turn.0, app));
                self.judge(verdict);
            }
            Event::RolledBack { turn, .. } => {
                let before = self.before.take().unwrap_or_else(|| Arc::clone(&process.app));
                let app = &process.app;
                let verdict = self.state.oracle.update(|o| o.rolled_back(node, turn.0, &before, app));
                self.judge(verdict);
            }
            Event::SnapshotAborted { snapshot, reason, .. } => {
                self.group.saw(Seen::Aborted);
                self.group.note(Seen::Superseded, reason == AbortReason::Superseded);
                process.open.retain(|id| *id != snapshot);
            }
            Event::LocalSnapshot(local) => {
                let (snapshot, nodes) = (name(local.snapshot), self.group.config.shape.nodes());
                let piece = self.state.oracle.update(|o| o.piece(snapshot, node, part(*local, nodes)));
                match piece {
                    Ok(cut) => cut.iter().for_each(|cut| self.group.saw_cut(cut)),
                    Err(fault) => self.judge(Err(fault)),
                }
            }
            // It cannot be told from a lie. What comes of it is judged like all else.
            Event::Violation {
                what: Violation::UnknownGeneration { generation } | Violation::OtherHistory { generation },
                ..
            } if generation.0 <= self.state.histories.over => {}
            Event::Violation { peer, what, .. } => {
                self.broke(Rule::Sound, format!("n{} accuses {peer}: {what}", node + 1));
            }
            Event::FellBack { .. } => self.broke(Rule::Kept, "a node fell back behind a commit".to_owned()),
            _ => {}
        }
    }

    // ---- what the application does: one turn each --------------------------------------------------------------------

    pub(super) fn take(&mut self, place: usize, process: &mut Process) {
        let turn = process.coordinator.turn().0;
        let Some((from, message)) = process.coordinator.take_message() else { return };
        let from = index(from.id());
        let line = line(process);
        let (replayed, behind) =
            (process.replay[from].pop_front(), process.replay.iter().any(|left| !left.is_empty()));
        self.group.note(Seen::Replayed, replayed.is_some());
        let expected = replayed.or_else(|| {
            if behind {
                let what = format!("n{} got {message:?} before what it had recorded", process.node + 1);
                self.broke(Rule::Restored, what);
            }
            let resent = process.resent[from].pop_front();
            self.group.note(Seen::Resent, resent.is_some());
            resent
        });
        match expected {
            Some(expected) if expected != message => {
                let what = format!("n{} got {message:?} before {expected:?}", process.node + 1);
                self.broke(Rule::Restored, what);
            }
            None if message.line != line => {
                let what = format!("n{} got {message:?} in {line:?}", process.node + 1);
                self.broke(Rule::OwnGeneration, what);
            }
            _ => {}
        }
        Arc::make_mut(&mut process.app).take(&message, turn);
        let onward = match self.group.config.shape {
            Shape::Mesh(_) => from as u8,
            Shape::Ring(nodes) | Shape::Line(nodes) => (process.node + 1) % nodes,
        };
        let links = &self.group.links;
        if message.hops > 0 && links.contains(&(process.node, onward)) {
            return self.send(place, process, onward, message.hops - 1);
        }
        self.end_turn(process);
        self.drain(place, process);
    }

    pub(super) fn send(&mut self, place: usize, process: &mut Process, to: u8, hops: u8) {
        let (turn, line) = (process.coordinator.turn().0, line(process));
        let app = Arc::make_mut(&mut process.app);
        let message = app.send(to, hops, process.era, turn, line);
        let peer = process.coordinator.topology().peer(NodeId(u64::from(to) + 1));
        if let Some(Err(error)) = peer.map(|peer| process.coordinator.send(peer, message.clone())) {
            self.broke(Rule::Sound, format!("n{} could not send: {error}", process.node + 1));
        }
        self.end_turn(process);
        self.drain(place, process);
        let nodes = self.group.nodes();
        if self.group.config.flushes && place < nodes {
            let last = self.state.channel(to.into(), place, nodes).back();
            let left = last.is_some_and(|item| item.message() == Some(&message));
            self.group.note(Seen::HeldBack, !left);
        }
    }

    fn end_turn(&mut self, process: &mut Process) {
        if let Err(failure) = process.coordinator.end_turn() {
            self.broke(Rule::Sound, format!("n{} ended: {failure}", process.node + 1));
        }
    }

    pub(super) fn initiate(&mut self, place: usize) {
        self.with(place, |step, process| {
            let Process { now, coordinator, app, open, .. } = process;
            // What has begun is noted before its outputs are looked at: it may end in the same input.
            if let Ok(id) = coordinator.initiate(*now, &mut || Capture::new(Arc::clone(app))) {
                open.push(id);
                step.group.note(Seen::Overlap, coordinator.running().len() > 1);
            }
            step.drain(place, process);
        });
    }

    // ---- what the network does ---------------------------------------------------------------------------------------

    pub(super) fn deliver(&mut self, place: usize, from: usize) {
        let at = place * self.group.nodes() + from;
        let Some(item) = self.state.channels[at].update(VecDeque::pop_front) else { return };
        self.with(place, |step, process| {
            let Some(peer) = process.coordinator.topology().peer(NodeId(from as u64 + 1)) else { return };
            step.group.note(Seen::Held, !process.coordinator.is_running());
            step.group.note(Seen::LeftOver, matches!(item, Item::LeftOver(_)));
            step.input(place, process, |c, now, capture| match item {
                Item::Frame(frame) | Item::LeftOver(frame) => c.handle_frame(now, peer, frame, capture),
                Item::Up => c.handle_up(now, peer),
                Item::Lost => c.handle_lost(now, peer, "gone".to_owned(), capture),
            });
        });
    }

    /// What is queued for a neighbour is on its way. Nothing of what a replaced process sends arrives.
    pub(super) fn flush(&mut self, place: usize, process: &mut Process, to: usize) {
        let Some(peer) = process.coordinator.topology().peer(NodeId(to as u64 + 1)) else { return };
        let mut frames = Frames::new();
        if process.coordinator.take_outgoing(peer, &mut frames) {
            self.group.note(Seen::Asked, frames.iter().any(|frame| is_ask(&frame)));
            if frames.iter().any(|frame| frame.stamp.count() > MOST_FRAMES) {
                let what =
                    format!("n{} has said more than {MOST_FRAMES} things to n{}", process.node + 1, to + 1);
                self.broke(Rule::Ends, what);
            }
            if place < self.group.nodes() {
                let at = to * self.group.nodes() + usize::from(process.node);
                let items = frames.drain(usize::MAX).map(Item::Frame);
                self.state.channels[at].update(|channel| channel.extend(items));
            }
            if self.group.config.flights {
                process.flying[to] = true;
            } else {
                process.coordinator.handle_sent(process.now, peer);
            }
        }
    }

    /// A batch has left.
    pub(super) fn sent(&mut self, place: usize, process: &mut Process, to: usize) {
        let Some(peer) = process.coordinator.topology().peer(NodeId(to as u64 + 1)) else { return };
        process.flying[to] = false;
        self.input(place, process, |c, now, _| c.handle_sent(now, peer));
    }
}

fn line(process: &Process) -> Line {
    Line { history: process.history, generation: process.coordinator.generation().0 }
}

/// The application of a node that starts.
pub(super) fn fresh(node: u8) -> Captured {
    Arc::new(App::new(node))
}
