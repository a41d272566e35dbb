//! What an action does. All that is decided here is what the environment decides; the rest is the code under test.

use std::sync::Arc;
use std::time::Duration;

use super::Group;
use super::action::Action;
use super::app::App;
use super::config::Seen;
use super::oracle::{Fault, Rule, Verdict};
use super::state::{Process, State};

/// A state on its way to the next one.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) group: &'a Group,
    pub(super) state: State,
    /// The application as it was before the restore that is being told.
    pub(super) before: Option<Arc<App>>,
}

/// Longer than every patience and deadline.
const SILENCE: Duration = Duration::from_secs(3600);

impl<'a> Step<'a> {
    /// Begins a step from a state.
    pub(super) fn from(group: &'a Group, state: State) -> Self {
        Self { group, state, before: None }
    }

    /// The state after an action.
    #[must_use]
    pub(super) fn after(mut self, action: Action) -> State {
        self.act(action);
        self.state
    }

    fn act(&mut self, action: Action) {
        let config = &self.group.config;
        let budget = &mut self.state.budget;
        match action {
            Action::Deliver { place, from } => self.deliver(place, from),
            Action::Flush { place, to } => self.with(place, |step, process| step.flush(place, process, to)),
            Action::Sent { place, to } => self.with(place, |step, process| step.sent(place, process, to)),
            Action::Take { place } => self.with(place, |step, process| step.take(place, process)),
            Action::Store { place, operation, how } => self.operate(place, operation, how),
            Action::Retry { place } => self.with(place, |step, process| {
                let coordinator = &process.coordinator;
                step.group.note(Seen::Relieved, coordinator.is_running() && !coordinator.has_room());
                process.now = process.coordinator.poll_timeout().unwrap_or_default().max(process.now);
                step.input(place, process, |c, now, capture| c.handle_timeout(now, capture));
            }),
            Action::Start { node, swallowed } => self.start(node, swallowed),
            Action::Silence => {
                budget.silences -= 1;
                for place in 0..self.state.processes.len() {
                    self.pass_time(place, SILENCE);
                }
            }
            Action::Send { entry } => {
                budget.sends[entry] -= 1;
                let (from, to, _) = config.sends[entry];
                let place = usize::from(from);
                self.with(place, |step, process| step.send(place, process, to, config.hops));
            }
            Action::Initiate { entry } => {
                budget.snapshots[entry] -= 1;
                self.initiate(config.snapshots[entry].0.into());
            }
            Action::Abort { place, running } => {
                budget.aborts -= 1;
                self.with(place, |step, process| {
                    let id = process.coordinator.running()[running].snapshot;
                    step.input(place, process, |c, _, _| c.abort(id));
                });
            }
            Action::Deadline { place } => {
                budget.deadlines -= 1;
                self.pass_time(place, self.group.settings.deadline);
            }
            Action::Crash { node, kept } => {
                budget.crashes -= 1;
                self.crash(node, kept);
            }
            Action::Break { a, b, lost } => {
                budget.breaks -= 1;
                self.break_link(a, b, lost);
            }
            Action::Double { node, kept } => {
                budget.doubles -= 1;
                self.double(node, kept);
            }
            Action::Land { orphan } => self.land(orphan),
            Action::Rewind { copy } => {
                budget.rewinds -= 1;
                self.rewind(copy);
            }
        }
    }

    /// Changes a process together with the rest of the state.
    pub(super) fn with(&mut self, place: usize, change: impl FnOnce(&mut Self, &mut Process)) {
        let Some(shared) = self.state.processes[place].take() else { return };
        let mut process = Process::clone(&shared);
        change(self, &mut process);
        self.put(place, process);
    }

    /// Time passes for a process.
    pub(super) fn pass_time(&mut self, place: usize, by: Duration) {
        self.with(place, |step, process| {
            process.now += by;
            step.input(place, process, |c, now, capture| c.handle_timeout(now, capture));
        });
    }

    pub(super) fn judge(&mut self, verdict: Verdict) {
        if let Err(fault) = verdict {
            // The first one counts: what follows may come of it.
            self.state.fault.get_or_insert_with(|| Arc::new(fault));
        }
    }

    pub(super) fn broke(&mut self, rule: Rule, what: String) {
        self.judge(Err(Fault { rule, what }));
    }
}
