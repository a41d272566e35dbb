//! One run: a storm that a seed decides, then calm, in which everything must come right.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use snapshot_core::{NodeId, SnapshotError, SnapshotId, SnapshotReport};

use super::checks::Checks;
use super::group::{Group, Wrong};
use super::histories::Backup;
use super::plan::Plan;
use super::process::{Death, Life, Progress};
use super::{Application, Cut, FaultKind, Random, Summary};

pub(super) const MS: Duration = Duration::from_millis(1);

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

/// How often in calm some node may go back: what the storm has left behind takes a few generations.
const CALM_ROLLBACKS: u64 = 1_000;

pub(super) struct Run<'a, A: Application> {
    pub(super) group: Group<A>,
    checks: &'a Checks<A>,
    pub(super) plan: Plan,
    /// Decides who moves and what goes wrong.
    pub(super) random: Random,
    /// The application's own.
    work: Random,
    pub(super) links: Vec<(NodeId, NodeId)>,
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    pub(super) backup: Backup,
    faults: BTreeMap<FaultKind, u64>,
}

/// Who can be polled.
#[derive(Clone, Copy)]
enum Mover {
    Process(NodeId),
    Zombie(u64),
}

/// A request for a snapshot that has not been answered.
type Asked = Pin<Box<dyn Future<Output = Result<SnapshotReport, SnapshotError>>>>;

impl<'a, A: Application> Run<'a, A> {
    pub(super) fn new(group: Group<A>, checks: &'a Checks<A>, plan: Plan, seed: u64) -> Self {
        let random = Random::of(seed, 3);
        let links = group.network.fabric.topology.links().map(|(from, to, _)| (from, to)).collect();
        let work = Random::of(seed, 4);
        let (cut, backup, faults) = (BTreeSet::new(), Backup::default(), BTreeMap::new());
        Self { group, checks, plan, random, work, links, cut, backup, faults }
    }

    /// The whole run: storm and calm, as often as is asked for.
    pub(super) fn finish(mut self, rounds: usize, steps: usize) -> Result<Summary, Wrong> {
        for kind in self.plan.standing_faults() {
            self.faults.insert(kind, 1);
        }
        for round in 1..=rounds {
            self.begin_storm();
            for _ in 0..steps {
                self.step()?;
                self.check_commits()?;
            }
            let last = self.come_to_rest()?;
            for (name, check) in &self.checks.at_rest {
                check(&self.group.app, &last)
                    .map_err(|what| format!("`{name}` does not hold at rest, in {}: {what}", last.id()))?;
            }
            if round < rounds {
                self.crash_all();
            }
        }
        Ok(self.summary())
    }

    fn begin_storm(&mut self) {
        for (from, to) in &self.links {
            let longest = self.random.time(..=self.plan.delay);
            self.group.network.set_delay(*from, *to, Duration::ZERO..=longest);
        }
        self.plan.store(&mut self.group.storage.weather(), &mut self.random);
        for id in self.group.members() {
            self.start(id);
        }
    }

    pub(super) fn start(&mut self, id: NodeId) {
        let (plan, tune) = (&self.plan, &self.checks.tune);
        self.group.start(id, |builder| tune(plan.settings(builder)));
    }

    fn step(&mut self) -> Result<(), Wrong> {
        if self.plan.faults.has(FaultKind::PutBack) {
            self.keep_a_backup()?;
        }
        let Plan { trouble, work, snapshots, .. } = self.plan;
        // What is to be undone must first be done.
        let trouble = if self.backup.is_to_be_put_back() { trouble / 8 } else { trouble };
        let dice = self.random.below(1000);
        let mut bound = 0;
        let mut under = |share: u64| {
            bound += share;
            dice < bound
        };
        if under(trouble) {
            self.make_trouble()?;
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
        let id = match self.someone() {
            Some(Mover::Process(id)) => id,
            Some(Mover::Zombie(number)) => return self.group.poll_zombie(number),
            None => {
                self.pass_time(LEAP);
                return Ok(());
            }
        };
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

    pub(super) fn count(&mut self, kind: FaultKind) {
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
        let rollbacks = self.group.counts.rollbacks;
        for _ in 0..CALM_POLLS {
            newest = self.check_commits()?.or(newest);
            if let Some(Poll::Ready(answer)) = asked.as_mut().map(poll_once) {
                asked = None;
                goal = answer.ok().map(|report| report.snapshot);
            }
            if let Some(cut) = newest.take_if(|cut| Some(cut.id()) == goal && self.group.all_know(cut)) {
                if self.checks.at_rest.is_empty() || cut.in_flight().next().is_none() {
                    self.outlive_the_zombies()?;
                    return Ok(cut);
                }
                (goal, restless) = (None, Some(cut));
            }
            let now = self.group.network.now();
            if now > end {
                break;
            }
            if self.group.counts.rollbacks > rollbacks + CALM_ROLLBACKS {
                return Err(format!(
                    "the group goes back without end after the faults:{}",
                    self.group.standing()
                ));
            }
            for id in self.group.members() {
                self.start(id);
            }
            if ask_at <= now && asked.is_none() {
                ask_at = now + PATIENCE;
                asked = self.ask_and_wait(self.group.members()[0]);
            }
            if !self.move_calmly()? {
                let next = self
                    .group
                    .next_moment()
                    .map_or(ask_at, |at| if ask_at > now { at.min(ask_at) } else { at });
                self.group.move_to(next.max(now + Duration::from_nanos(1)));
            }
        }
        Err(self.unrest(goal, restless))
    }

    /// Polls one of those that are awake; returns whether there was one.
    fn move_calmly(&mut self) -> Result<bool, Wrong> {
        match self.someone() {
            Some(Mover::Process(id)) => drop(self.group.poll(id)?),
            Some(Mover::Zombie(number)) => self.group.poll_zombie(number)?,
            None => return Ok(false),
        }
        Ok(true)
    }

    /// One of those that are awake.
    fn someone(&mut self) -> Option<Mover> {
        let awake = self.group.awake().into_iter().map(Mover::Process);
        let all: Vec<Mover> =
            awake.chain(self.group.zombies_awake().into_iter().map(Mover::Zombie)).collect();
        if all.is_empty() { None } else { Some(*self.random.pick(&all)) }
    }

    /// Goes on until every process that was taken for dead has found out.
    fn outlive_the_zombies(&mut self) -> Result<(), Wrong> {
        let end = self.group.network.now() + CALM;
        for _ in 0..CALM_POLLS {
            if self.group.zombies.is_empty() {
                return Ok(());
            }
            for id in self.group.members() {
                self.start(id);
            }
            if !self.move_calmly()? {
                match self.group.next_moment().filter(|at| *at <= end) {
                    Some(at) => self.group.move_to(at),
                    None => break,
                }
            }
            self.check_commits()?;
        }
        Err(format!("a process that was replaced never finds out:{}", self.group.standing()))
    }

    fn crash_all(&mut self) {
        for id in self.group.members() {
            self.group.stop(id, Death::Crashed);
        }
    }

    fn end_trouble(&mut self) {
        self.group.trace.line(format_args!("the faults are over"));
        // Once more for what nobody has written down.
        if self.plan.faults.has(FaultKind::Crash) && self.random.chance(50) {
            self.crash_all();
            self.count(FaultKind::Crash);
        }
        for (a, b) in std::mem::take(&mut self.cut) {
            self.heal(a, b);
        }
        self.release_what_stands_still();
        for (from, to) in &self.links {
            self.group.network.set_delay(*from, *to, CALM_DELAY);
        }
        self.group.storage.calm();
        let zombies = self.group.zombies.values_mut().map(|(_, process)| process);
        for process in self.group.processes.values_mut().chain(zombies) {
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
