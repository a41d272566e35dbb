//! One run: a storm that a seed decides, then calm, in which everything must come right.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use snapshot_core::{NodeId, SnapshotError, SnapshotId, SnapshotReport};

use super::group::{Death, Group, Wrong};
use super::plan::Plan;
use super::process::{Life, Progress};
use super::simulated_group::Checks;
use super::{Application, Cut, FaultKind, Random, Summary};

const MS: Duration = Duration::from_millis(1);

/// How far time leaps in the storm when nobody is awake: so that it does not spend itself in waiting for a deadline.
const LEAP: Duration = Duration::from_millis(100);

/// In calm: how long a frame takes, so that time passes while messages go round.
const CALM_DELAY: Duration = Duration::from_micros(100);

/// In calm: how long until the next snapshot is asked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// When calm must have brought what it shall: many times the longest deadline of a node, and more polls than any backlog
/// needs.
const CALM: Duration = Duration::from_secs(600);
const CALM_POLLS: u32 = 500_000;

pub(super) struct Run<'a, A: Application> {
    group: Group<A>,
    checks: &'a Checks<A>,
    plan: Plan,
    /// Decides who moves and what goes wrong.
    random: Random,
    /// The application's own.
    work: Random,
    links: Vec<(NodeId, NodeId)>,
    cut: BTreeSet<(NodeId, NodeId)>,
    faults: BTreeMap<FaultKind, u64>,
}

/// A request for a snapshot that has not been answered.
type Asked = Pin<Box<dyn Future<Output = Result<SnapshotReport, SnapshotError>>>>;

impl<'a, A: Application> Run<'a, A> {
    pub(super) fn new(group: Group<A>, checks: &'a Checks<A>, plan: Plan, seed: u64) -> Self {
        let random = Random::of(seed, 3);
        let links = group.network.fabric.topology.links().map(|(from, to, _)| (from, to)).collect();
        let work = Random::of(seed, 4);
        Self { group, checks, plan, random, work, links, cut: BTreeSet::new(), faults: BTreeMap::new() }
    }

    /// The whole run.
    pub(super) fn finish(mut self, steps: usize) -> Result<Summary, Wrong> {
        self.prepare();
        for _ in 0..steps {
            self.step()?;
            self.check_commits()?;
        }
        let last = self.come_to_rest()?;
        for (name, check) in &self.checks.at_rest {
            check(&self.group.app, &last)
                .map_err(|what| format!("`{name}` does not hold at rest, in {}: {what}", last.id()))?;
        }
        Ok(self.summary())
    }

    fn prepare(&mut self) {
        for (from, to) in &self.links {
            let longest = self.random.time(..=self.plan.delay);
            self.group.network.set_delay(*from, *to, Duration::ZERO..=longest);
        }
        self.plan.store(&mut self.group.storage.weather(), &mut self.random);
        for kind in self.plan.standing_faults() {
            self.faults.insert(kind, 1);
        }
        for id in self.group.members() {
            self.start(id);
        }
    }

    fn start(&mut self, id: NodeId) {
        let (plan, tune) = (&self.plan, &self.checks.tune);
        self.group.start(id, |builder| tune(plan.settings(builder)));
    }

    fn step(&mut self) -> Result<(), Wrong> {
        let Plan { trouble, work, snapshots, .. } = self.plan;
        let dice = self.random.below(1000);
        let mut bound = 0;
        let mut under = |share: u64| {
            bound += share;
            dice < bound
        };
        if under(trouble) {
            self.make_trouble();
        } else if under(2 * trouble + 20) {
            self.mend();
        } else if under(work) {
            self.bring_work()?;
        } else if under(snapshots) {
            self.ask_for_a_snapshot();
        } else if under(60) {
            let time = self.random.time(..20 * MS);
            self.pass_time(time);
        } else {
            for _ in 0..=self.random.below(8) {
                self.move_one()?;
            }
        }
        Ok(())
    }

    /// Polls one of those that are awake; where nobody is, time moves on.
    fn move_one(&mut self) -> Result<(), Wrong> {
        if self.random.chance(self.plan.dropped) {
            let now = self.group.network.now();
            let idle = self.group.processes.values().filter(|process| process.asleep_until <= now);
            idle.for_each(super::process::Process::wake);
            self.count(FaultKind::DroppedNext);
        }
        let awake = self.group.awake();
        if awake.is_empty() {
            self.pass_time(LEAP);
            return Ok(());
        }
        let id = *self.random.pick(&awake);
        if self.group.poll(id)? == Progress::Message
            && !self.plan.slow_turn.is_zero()
            && self.random.chance(30)
        {
            self.put_to_sleep(id, self.plan.slow_turn);
            self.count(FaultKind::SlowTurn);
        }
        Ok(())
    }

    /// To the next moment at which something happens, or until the time is over.
    fn pass_time(&mut self, at_most: Duration) {
        let end = self.group.network.now() + at_most;
        self.group.move_to(self.group.next_moment().map_or(end, |at| at.min(end)));
    }

    fn bring_work(&mut self) -> Result<(), Wrong> {
        let now = self.group.network.now();
        let free = self.group.processes.iter().filter(|(_, process)| process.has_room(now));
        let free: Vec<NodeId> = free.map(|(id, _)| *id).collect();
        if free.is_empty() {
            return Ok(());
        }
        let id = *self.random.pick(&free);
        let work = &mut self.work;
        self.group.trace.line(format_args!("{id} is offered work"));
        self.group.turn(id, |app, state, out| app.work(state, work, out))?;
        Ok(())
    }

    fn ask_for_a_snapshot(&mut self) {
        let members = self.group.members();
        let any = self.plan.faults.has(FaultKind::ManyInitiators);
        let id = if any { *self.random.pick(&members) } else { members[0] };
        self.ask(id);
    }

    fn ask(&mut self, id: NodeId) {
        if let Some(process) = self.group.processes.get_mut(&id)
            && let Life::Running { node, .. } = &mut process.life
        {
            self.group.trace.line(format_args!("{id} is asked for a snapshot"));
            node.snapshot();
            process.wake();
        }
    }

    fn ask_and_wait(&self, id: NodeId) -> Option<Asked> {
        let Life::Running { node, .. } = &self.group.processes.get(&id)?.life else { return None };
        let handle = node.handle();
        self.group.trace.line(format_args!("{id} is asked for a snapshot"));
        Some(Box::pin(async move { handle.snapshot().await }))
    }

    fn make_trouble(&mut self) {
        const ACTS: [FaultKind; 5] =
            [FaultKind::Cut, FaultKind::Crash, FaultKind::Leave, FaultKind::Pause, FaultKind::StoreFull];
        let acts: Vec<FaultKind> = ACTS.into_iter().filter(|kind| self.plan.faults.has(*kind)).collect();
        if acts.is_empty() {
            return;
        }
        let kind = *self.random.pick(&acts);
        let members = self.group.members();
        let one = *self.random.pick(&members);
        let now = self.group.network.now();
        match kind {
            FaultKind::Cut if !self.links.is_empty() => {
                let (a, b) = *self.random.pick(&self.links);
                let pair = (a.min(b), a.max(b));
                let lost = self.group.network.cut(a, b);
                self.group
                    .trace
                    .line(format_args!("{} and {} are cut off, {lost} frames lost", pair.0, pair.1));
                self.cut.insert(pair);
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
            FaultKind::Leave => self.group.leave(one),
            FaultKind::Pause => {
                self.group.trace.line(format_args!("{one} stands still"));
                self.put_to_sleep(one, 500 * MS);
            }
            FaultKind::StoreFull => {
                self.group.trace.line(format_args!("store: full"));
                self.group.storage.weather().full_until = now + self.random.time(..300 * MS);
            }
            _ => return,
        }
        self.count(kind);
    }

    /// Puts one thing right that is broken.
    fn mend(&mut self) {
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

    fn heal(&mut self, a: NodeId, b: NodeId) {
        self.group.trace.line(format_args!("{a} and {b} are connected again"));
        self.cut.remove(&(a, b));
        self.group.network.heal(a, b);
    }

    fn put_to_sleep(&mut self, id: NodeId, at_most: Duration) {
        let until = self.group.network.now() + self.random.time(..=at_most);
        if let Some(process) = self.group.processes.get_mut(&id) {
            process.asleep_until = until;
        }
    }

    fn count(&mut self, kind: FaultKind) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Checks what has been committed, and returns the newest.
    fn check_commits(&mut self) -> Result<Option<Cut<A>>, Wrong> {
        let cuts = self.group.new_commits()?;
        for cut in &cuts {
            for (name, check) in &self.checks.invariants {
                check(cut).map_err(|what| format!("`{name}` does not hold in {}: {what}", cut.id()))?;
            }
        }
        Ok(cuts.into_iter().last())
    }

    /// Ends all trouble, and goes on until a snapshot that was begun then is committed, the application is at rest in it, and
    /// all know of it.
    fn come_to_rest(&mut self) -> Result<Cut<A>, Wrong> {
        self.end_trouble();
        let end = self.group.network.now() + CALM;
        let mut ask_at = self.group.network.now();
        let mut asked: Option<Asked> = None;
        let (mut goal, mut newest): (Option<SnapshotId>, Option<Cut<A>>) = (None, None);
        let mut restless = None;
        for _ in 0..CALM_POLLS {
            newest = self.check_commits()?.or(newest);
            if let Some(Poll::Ready(answer)) = asked.as_mut().map(poll_once) {
                asked = None;
                goal = answer.ok().map(|report| report.snapshot);
            }
            if let Some(cut) = newest.take_if(|cut| Some(cut.id()) == goal && self.group.all_know(cut)) {
                if self.checks.at_rest.is_empty() || cut.in_flight().next().is_none() {
                    return Ok(cut);
                }
                (goal, restless) = (None, Some(cut));
            }
            let now = self.group.network.now();
            if now > end {
                break;
            }
            for id in self.group.members() {
                self.start(id);
            }
            if ask_at <= now && asked.is_none() {
                ask_at = now + PATIENCE;
                asked = self.ask_and_wait(self.group.members()[0]);
            }
            let awake = self.group.awake();
            if awake.is_empty() {
                let next = self
                    .group
                    .next_moment()
                    .map_or(ask_at, |at| if ask_at > now { at.min(ask_at) } else { at });
                self.group.move_to(next.max(now + Duration::from_nanos(1)));
            } else {
                let id = *self.random.pick(&awake);
                self.group.poll(id)?;
            }
        }
        Err(self.unrest(goal, restless))
    }

    fn end_trouble(&mut self) {
        self.group.trace.line(format_args!("the faults are over"));
        // Once more for what nobody has written down.
        if self.plan.faults.has(FaultKind::Crash) && self.random.chance(50) {
            for id in self.group.members() {
                self.group.stop(id, Death::Crashed);
            }
            self.count(FaultKind::Crash);
        }
        for (a, b) in std::mem::take(&mut self.cut) {
            self.heal(a, b);
        }
        for (from, to) in &self.links {
            self.group.network.set_delay(*from, *to, CALM_DELAY);
        }
        self.group.storage.calm();
        for process in self.group.processes.values_mut() {
            process.asleep_until = Duration::ZERO;
        }
    }

    fn unrest(&self, goal: Option<SnapshotId>, restless: Option<Cut<A>>) -> Wrong {
        let standing = self.group.standing();
        let flying = restless.as_ref().and_then(|cut| Some((cut, cut.in_flight().next()?)));
        match (goal, flying) {
            (Some(goal), _) => format!("{goal} is committed, and not all nodes hear of it:{standing}"),
            (None, Some((cut, ((from, to), message)))) => format!(
                "the application does not come to rest after the faults: {message:?} is in flight from {from} to {to} in \
                 {}, and {} messages in all; an application that never rests can have no `at_rest`",
                cut.id(),
                cut.in_flight().count()
            ),
            (None, None) => format!("no snapshot is committed after the faults:{standing}"),
        }
    }

    fn summary(self) -> Summary {
        let counts = self.group.counts;
        let mut summary = Summary {
            runs: 1,
            replayed: false,
            messages: counts.messages,
            commits: counts.commits as u64,
            aborts: counts.aborts,
            rollbacks: counts.rollbacks,
            time: self.group.network.now(),
            faults: self.faults,
            trace_hash: self.group.trace.hash(),
        };
        for (kind, count) in &self.group.storage.weather().faults {
            *summary.faults.entry(*kind).or_default() += count;
        }
        summary
    }
}

/// Nobody is woken by the answer: it is asked for again after every step.
fn poll_once(asked: &mut Asked) -> Poll<Result<SnapshotReport, SnapshotError>> {
    asked.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
