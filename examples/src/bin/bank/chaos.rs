//! `bank --chaos`: everything happens to the bank that can, one fault after the other. After each of them the branches must
//! agree where they stand, every committed snapshot must add up, and another one must commit.

mod faults;
mod standing;
mod telling;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use snapshot_core::SnapshotId;
use snapshot_examples::chaos::{Act, Kind, Members, Recovery, Schedule, Start, Stopwatch, Tally};
use snapshot_examples::children::Heard;
use snapshot_store::DirectoryStore;
use tokio::time::Interval;

use self::standing::Standing;
use self::telling::Telling;
use crate::audit::Books;
use crate::cuts::{Cuts, CutsError};
use crate::flags::{BranchFlags, RunFlags};
use crate::folder::Folder;
use crate::judgement::judge;
use crate::parent::{RunError, millis};
use crate::report::{QUIET, Report, STOP};

/// From one look at the clock to the next.
const TICK: Duration = Duration::from_millis(5);

/// How long the bank may take to get over a fault. Far more than it ever does, on a machine that others use as well.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs the bank from beginning to end.
pub(crate) async fn run(flags: RunFlags) -> Result<(), RunError> {
    let seconds = Duration::from_secs(flags.chaos.unwrap_or_default());
    let nodes = Folder::nodes(&flags)? as usize;
    if nodes < 2 {
        return Err(RunError::Alone);
    }
    let replay = telling::command(&flags, nodes);
    let mut chaos = Chaos::prepare(flags, nodes).await?;
    chaos.begin().await?;
    while chaos.begun.elapsed() < seconds {
        let Some(act) = chaos.schedule.next() else { break };
        if let Err(error) = chaos.act(&act).await {
            let fault = format!("fault {}, {act}", act.number);
            return Err(RunError::Chaos { fault, error: Box::new(error), replay });
        }
    }
    chaos.end().await
}

/// How a branch is started.
fn arguments(flags: &RunFlags, folder: &Path) -> impl Fn(&Start) -> Vec<OsString> + 'static {
    let (interval, deadline, plant) = (millis(flags.interval()), millis(flags.deadline()), flags.plant);
    let store = folder.to_owned();
    move |start| {
        let branch = BranchFlags {
            id: start.member as u64 + 1,
            store: store.clone(),
            interval,
            deadline,
            fall_back: false,
            plant,
            addresses: start.addresses.clone(),
            disk: Some(start.disk),
        };
        branch.to_arguments()
    }
}

/// A bank, and what is done to it.
struct Chaos {
    folder: Folder,
    books: Books,
    cuts: Cuts,
    branches: Members,
    standing: Standing,
    schedule: Schedule,
    recovery: Recovery,
    tally: Tally,
    telling: Telling,
    begun: Instant,
    tick: Interval,
    commits: Vec<SnapshotId>,
    announced: BTreeSet<SnapshotId>,
    /// A commit was announced since the journal was last read.
    unread: bool,
    /// Where the store is while it is gone.
    away: Option<PathBuf>,
    /// A branch that is killed when it begins a snapshot.
    doomed: Option<usize>,
    /// How many snapshots were given up.
    aborted: u64,
    quiet: usize,
}

impl Chaos {
    async fn prepare(flags: RunFlags, nodes: usize) -> Result<Self, RunError> {
        let folder = Folder::open(&flags)?;
        let books = Books::of(&folder.bank)?;
        DirectoryStore::open(Folder::store_in(&folder.path)).map_err(CutsError::from)?;
        let cuts = Cuts::open(&folder.path, &books.topology).await?;
        let telling = Telling::begins(&flags, &folder).map_err(RunError::Print)?;
        Ok(Self {
            branches: Members::new(nodes, flags.seed, arguments(&flags, &folder.path))?,
            schedule: Schedule::new(flags.seed, nodes, Kind::ALL),
            folder,
            books,
            cuts,
            standing: Standing::of(nodes),
            recovery: Recovery::default(),
            tally: Tally::default(),
            telling,
            begun: Instant::now(),
            tick: tokio::time::interval(TICK),
            commits: Vec::new(),
            announced: BTreeSet::new(),
            unread: false,
            away: None,
            doomed: None,
            aborted: 0,
            quiet: 0,
        })
    }

    async fn begin(&mut self) -> Result<(), RunError> {
        self.branches.start_all()?;
        self.settle().await?;
        self.begun = Instant::now();
        Ok(())
    }

    /// One fault, and what comes of it.
    async fn act(&mut self, act: &Act) -> Result<(), RunError> {
        self.pass(act.lead).await?;
        self.telling.act(self.begun.elapsed(), act).map_err(RunError::Print)?;
        self.inflict(act).await?;
        self.recovery.begins(act.kind);
        if !act.rush {
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits until the bank has got over all that was done to it.
    async fn settle(&mut self) -> Result<(), RunError> {
        self.standing.lift();
        self.until("the bank to go on", |chaos| chaos.is_sound()).await?;
        // What was said since the journal was last read is held against it, too.
        self.read_commits().await?;
        let took = self.recovery.ends(&mut self.tally);
        self.telling.recovered(&self.standing, self.commits.last(), took).map_err(RunError::Print)
    }

    fn is_sound(&self) -> bool {
        self.branches.are_complete() && self.standing.is_settled(&self.commits)
    }

    /// Lets time pass, in which the bank is heard.
    async fn pass(&mut self, time: Duration) -> Result<(), RunError> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step().await?;
        }
        Ok(())
    }

    /// Hears the bank until something holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), RunError> {
        let mut watch = Stopwatch::start();
        while !holds(self) {
            self.step().await?;
            let waited = watch.passes();
            if waited > PATIENCE {
                let standing = self.standing.describe(&self.commits);
                let waiting_for = format!("{what} ({standing}; {})", self.branches.describe());
                return Err(RunError::Stuck { waited, waiting_for });
            }
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<(), RunError> {
        tokio::select! {
            heard = self.branches.next() => match heard {
                Heard::Line { name, text } => self.hear(&name, &text)?,
                Heard::Ended { name, status, killed } => {
                    if let Some(node) = self.branches.ended(&name, status, killed)? {
                        self.standing.ended(node);
                    }
                }
            },
            _ = self.tick.tick() => {
                self.recovery.passes();
                self.branches.start_due()?;
                if self.unread && self.away.is_none() {
                    self.read_commits().await?;
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, name: &str, text: &str) -> Result<(), RunError> {
        let gibberish = || RunError::Gibberish { name: name.to_owned(), text: text.to_owned() };
        let report: Report = serde_json::from_str(text).map_err(|_| gibberish())?;
        // What is announced counts, whoever says it. Where a process stands that was replaced does not.
        if let Report::Committed { snapshot } = report {
            self.unread |= self.announced.insert(snapshot);
        }
        let Some(node) = self.branches.node_of(name) else { return Ok(()) };
        match report {
            Report::Started { generation } => {
                self.branches.has_started(node);
                self.standing.started(node, generation);
                // It may have committed what a process that died had not told of.
                self.unread = true;
            }
            Report::RolledBack { generation, snapshot } => {
                self.standing.rolled_back(node, generation, snapshot);
                self.unread = true;
            }
            Report::Begun { snapshot } => {
                self.standing.begun(snapshot);
                if self.doomed.take_if(|doomed| *doomed == node).is_some() {
                    self.branches.kill(node);
                }
            }
            Report::Aborted { .. } if !self.branches.is_stopped(node) => self.aborted += 1,
            Report::CheckFailed { snapshot, check, what, lost } => {
                let kept =
                    lost.map_or_else(|| "is kept".to_owned(), |why| format!("could not be kept: {why}"));
                return Err(RunError::CheckFailed { snapshot, check, what, kept });
            }
            Report::Quiet => self.quiet += 1,
            Report::FellBack { .. } => return Err(gibberish()),
            Report::Aborted { .. }
            | Report::Committed { .. }
            | Report::CheckSkipped { .. }
            | Report::Pulse { .. }
            | Report::Taken { .. } => {}
        }
        Ok(())
    }

    /// Reads and audits what was committed since the last time, and checks that nobody went back behind it.
    async fn read_commits(&mut self) -> Result<(), RunError> {
        self.unread = false;
        for commit in self.cuts.fresh().await? {
            let cut = self.cuts.read(commit.snapshot).await?;
            let wrong = |discrepancy| RunError::Wrong { snapshot: commit.snapshot, discrepancy };
            self.books.audit(&cut).map_err(wrong)?;
            self.commits.push(commit.snapshot);
        }
        self.standing.check(self.cuts.generations(), &self.commits)?;
        Ok(())
    }

    /// Ends all branches in good order, and has all of it audited.
    async fn end(mut self) -> Result<(), RunError> {
        self.settle().await?;
        let took = self.begun.elapsed();
        self.quiet = 0;
        self.branches.tell_all(QUIET).await?;
        let nodes = self.branches.count();
        self.until("the branches to be quiet", |chaos| chaos.quiet == nodes).await?;
        self.branches.tell_all(STOP).await?;
        self.branches.may_leave();
        self.until("the branches to end", |chaos| chaos.branches.are_gone()).await?;
        self.read_commits().await?;
        let must = self.commits.iter().chain(&self.announced);
        let children = self.branches.children();
        let snapshots = judge(children, &self.folder.path, self.books.coins, must).await?;
        let generations = self.cuts.generations().count();
        let ended = telling::Ended {
            took,
            kills: self.branches.deaths(),
            generations,
            snapshots,
            total: self.books.coins,
        };
        self.telling.ends(&self.tally, &ended).map_err(RunError::Print)
    }

    fn store(&self) -> PathBuf {
        Folder::store_in(&self.folder.path)
    }

    /// Renames the folder of the store.
    fn take_the_folder_away(&mut self) -> Result<(), RunError> {
        let away = self.folder.path.join("away");
        fs::rename(self.store(), &away).map_err(RunError::Rename)?;
        self.away = Some(away);
        Ok(())
    }

    fn bring_the_folder_back(&mut self) -> Result<(), RunError> {
        let Some(away) = self.away.take() else { return Ok(()) };
        // Where somebody has made another one in its place, this fails.
        fs::rename(away, self.store()).map_err(RunError::Rename)
    }
}
