//! What can happen.

use std::collections::VecDeque;

use snapshot_core::{Key, StoreRequest};

use super::config::Config;
use super::state::{Budget, Item, Process, Request, State};

/// One step. Processes are named by their place: those of the nodes first, then those that were replaced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the fields are what the variants say")]
pub enum Action {
    /// The front of a channel reaches the process.
    Deliver { place: usize, from: usize },
    /// What is queued for a neighbour leaves the process.
    Flush { place: usize, to: usize },
    /// The process learns that its last batch for a neighbour has left it.
    Sent { place: usize, to: usize },
    /// The application takes a message: one turn.
    Take { place: usize },
    /// A store operation.
    Store { place: usize, operation: usize, how: How },
    /// A process that waits for a moment, to try the store again or to hand out one more message, sees it come.
    Retry { place: usize },
    /// A supervisor starts a process; of the frames sent meanwhile, the dead connections have swallowed so many.
    Start { node: usize, swallowed: usize },
    /// Nothing moves, until all timers are due.
    Silence,
    /// An application sends: an entry of the configuration.
    Send { entry: usize },
    /// An application begins a snapshot: an entry of the configuration.
    Initiate { entry: usize },
    /// An application gives up a snapshot, counted among those that run there.
    Abort { place: usize, running: usize },
    /// The deadline of what runs there passes.
    Deadline { place: usize },
    /// A process dies; of the frames it had sent on each channel, so many still arrive.
    Crash { node: usize, kept: usize },
    /// A connection breaks and comes back; so many of the last frames are lost each way.
    Break { a: usize, b: usize, lost: (usize, usize) },
    /// A second process of a node starts, and the network belongs to it; as for a crash.
    Double { node: usize, kept: usize },
    /// An operation happens whose process has died.
    Land { orphan: usize },
    /// All processes die, and the store becomes what it was: nothing, or one of the copies, counted from 1.
    Rewind { copy: usize },
}

/// How a store operation goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum How {
    /// It is done and answered.
    Done,
    /// It is done; the answer is under way.
    Effect,
    /// The answer arrives.
    Answer,
    /// It is not done, and reported as failed.
    Refused,
    /// It is done, and reported as failed.
    Denied,
    /// It is reported as failed, and may be done later.
    Late,
    /// A listing leaves out all parts, since it lags.
    Lagging,
}

/// All that a group which is left alone can do. A silence is among them only where nothing else is.
pub fn progress(config: &Config, state: &State, actions: &mut Vec<Action>) {
    let before = actions.len();
    let nodes = usize::from(config.shape.nodes());
    for (place, process) in state.processes.iter().enumerate() {
        let Some(process) = process.as_deref() else {
            if place < nodes {
                starts(config, state, place, actions);
            }
            continue;
        };
        if process.failed.is_some() {
            continue;
        }
        let waits = process.coordinator.wants_frames() || config.eager;
        for from in 0..nodes {
            if waits && !state.channel(place, from, nodes).is_empty() {
                actions.push(Action::Deliver { place, from });
            }
        }
        if !config.flushes {
            for peer in process.coordinator.topology().outgoing() {
                if process.coordinator.has_outgoing(peer) {
                    actions.push(Action::Flush { place, to: super::state::index(peer.id()) });
                }
            }
        }
        actions.extend((0..nodes).filter(|to| process.flying[*to]).map(|to| Action::Sent { place, to }));
        if process.coordinator.has_message() {
            actions.push(Action::Take { place });
        }
        for (operation, pending) in process.pending.iter().enumerate() {
            let is_read = matches!(pending.request, StoreRequest::Read(_));
            let in_two = config.split && changes(&pending.request) || config.stale && is_read;
            let how = match (&pending.answer, in_two) {
                (Some(_), _) => How::Answer,
                (None, true) => How::Effect,
                (None, false) => How::Done,
            };
            actions.push(Action::Store { place, operation, how });
        }
        if waits_to_retry(process) {
            actions.push(Action::Retry { place });
        }
    }
    if actions.len() == before && state.budget.silences > 0 && state.budget.doubles == 0 {
        actions.push(Action::Silence);
    }
}

/// All that the environment may do.
pub fn environment(config: &Config, state: &State, actions: &mut Vec<Action>) {
    let budget = &state.budget;
    let nodes = usize::from(config.shape.nodes());
    let running = |place: usize| {
        state.process(place).filter(|process| process.failed.is_none() && process.coordinator.is_running())
    };
    for (entry, (from, ..)) in config.sends.iter().enumerate() {
        let can = |p: &Process| p.coordinator.has_room() && p.app.coins > 0;
        if budget.sends[entry] > 0 && running(usize::from(*from)).is_some_and(can) {
            actions.push(Action::Send { entry });
        }
    }
    for (entry, (node, _)) in config.snapshots.iter().enumerate() {
        let can = |p: &Process| p.coordinator.unreachable().next().is_none();
        if budget.snapshots[entry] > 0 && running(usize::from(*node)).is_some_and(can) {
            actions.push(Action::Initiate { entry });
        }
    }
    for place in 0..nodes {
        let Some(process) = running(place) else { continue };
        let count =
            if budget.aborts > 0 || budget.deadlines > 0 { process.coordinator.running().len() } else { 0 };
        if budget.aborts > 0 {
            actions.extend((0..count).map(|running| Action::Abort { place, running }));
        }
        if budget.deadlines > 0 && count > 0 {
            actions.push(Action::Deadline { place });
        }
    }
    failures(config, state, budget, actions);
    for (orphan, _) in state.orphans.iter().enumerate() {
        actions.push(Action::Land { orphan });
    }
}

fn failures(config: &Config, state: &State, budget: &Budget, actions: &mut Vec<Action>) {
    let nodes = usize::from(config.shape.nodes());
    let alive = |node: &usize| state.processes[*node].is_some();
    if budget.store_faults > 0 {
        for (place, process) in state.processes.iter().enumerate() {
            let live = process.as_deref().filter(|process| process.failed.is_none());
            for (operation, pending) in
                live.into_iter().flat_map(|process| process.pending.iter().enumerate())
            {
                if pending.answer.is_none() {
                    actions.push(Action::Store { place, operation, how: How::Refused });
                    if changes(&pending.request) {
                        actions.push(Action::Store { place, operation, how: How::Denied });
                        if config.zombies {
                            actions.push(Action::Store { place, operation, how: How::Late });
                        }
                    }
                    if matches!(pending.request, StoreRequest::ListParts(_)) {
                        actions.push(Action::Store { place, operation, how: How::Lagging });
                    }
                }
            }
        }
    }
    if budget.crashes > 0 {
        for node in config.crashes.1.iter().map(|node| usize::from(*node)).filter(alive) {
            let kept = choices(config, most_in_flight(state, node, nodes));
            actions.extend(kept.map(|kept| Action::Crash { node, kept }));
        }
    }
    if budget.doubles > 0 {
        let live = |node: &usize| state.process(*node).is_some_and(|process| process.failed.is_none());
        for node in config.doubles.1.iter().map(|node| usize::from(*node)).filter(live) {
            let kept = choices(config, most_in_flight(state, node, nodes));
            actions.extend(kept.map(|kept| Action::Double { node, kept }));
        }
    }
    if budget.rewinds > 0 {
        actions.extend((0..=state.histories.copies.len()).map(|copy| Action::Rewind { copy }));
    }
    if budget.breaks > 0 {
        for a in (0..nodes).filter(alive) {
            for b in (a + 1..nodes).filter(alive) {
                if linked(state, a, b) {
                    for there in choices(config, in_flight(state, a, b, nodes)) {
                        for back in choices(config, in_flight(state, b, a, nodes)) {
                            actions.push(Action::Break { a, b, lost: (there, back) });
                        }
                    }
                }
            }
        }
    }
}

/// A process of a node that has none starts.
fn starts(config: &Config, state: &State, node: usize, actions: &mut Vec<Action>) {
    let nodes = usize::from(config.shape.nodes());
    let first = state.lives[node] == 0;
    let waiting = (0..nodes).map(|from| {
        let channel = state.channel(node, from, nodes);
        if first { left_over(channel) } else { channel.len() }
    });
    let most = waiting.max().unwrap_or(0);
    actions.extend(choices(config, most).map(|swallowed| Action::Start { node, swallowed }));
}

/// How many of so many frames: any number, or none or all.
fn choices(config: &Config, most: usize) -> impl Iterator<Item = usize> + use<> {
    let step = if config.any_loss { 1 } else { most.max(1) };
    (0..=most).step_by(step)
}

/// How many frames stand at the front that were on their way when the store went back.
pub fn left_over(channel: &VecDeque<Item>) -> usize {
    channel.iter().take_while(|item| matches!(item, Item::LeftOver(_))).count()
}

/// How many frames are on their way on the present connection.
pub fn in_flight(state: &State, from: usize, to: usize, nodes: usize) -> usize {
    let channel = state.channel(to, from, nodes);
    channel.iter().rev().take_while(|item| matches!(item, Item::Frame(_) | Item::LeftOver(_))).count()
}

fn most_in_flight(state: &State, from: usize, nodes: usize) -> usize {
    (0..nodes).map(|to| in_flight(state, from, to, nodes)).max().unwrap_or(0)
}

fn linked(state: &State, a: usize, b: usize) -> bool {
    let topology = state.process(a).map(|process| process.coordinator.topology());
    topology.is_some_and(|topology| topology.peers().any(|peer| super::state::index(peer.id()) == b))
}

/// Whether an operation changes the store.
pub fn changes(request: &Request) -> bool {
    matches!(
        request,
        StoreRequest::Create(..)
            | StoreRequest::WriteInitial(_)
            | StoreRequest::WritePart(_)
            | StoreRequest::Delete(_)
    )
}

/// Whether a process waits for a moment to come: one that is not running, one over its high mark, which hands out nothing until
/// then, or one for which something is due now.
pub fn waits_to_retry(process: &Process) -> bool {
    let coordinator = &process.coordinator;
    let Some(at) = coordinator.poll_timeout() else { return false };
    let is_held_up = !coordinator.has_room() && !coordinator.has_message();
    // Later, it only says that it is.
    let is_soon = at <= process.now + coordinator.settings().stall / 10;
    // What the application has given up was no input with a time: the look at the journal is due at once.
    let is_due = at <= process.now && coordinator.has_room();
    !coordinator.is_running() || is_held_up && is_soon || is_due
}

/// Whether this key is in the journal.
pub fn journal_index(key: Key) -> Option<u64> {
    match key {
        Key::Journal(index) => Some(index),
        _ => None,
    }
}
