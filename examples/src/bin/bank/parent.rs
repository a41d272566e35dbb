//! The parent: starts the branches, kills them, shows what they do, and has all of it audited at the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use snapshot_core::{NodeId, SnapshotId, TopologyError};
use snapshot_examples::children::{Children, Heard};
use snapshot_examples::ports;
use snapshot_store::DirectoryStore;
use thiserror::Error;

use crate::audit::{Books, Discrepancy, Holdings};
use crate::course::{Astray, Course};
use crate::cuts::{Cuts, CutsError};
use crate::flags::{BranchFlags, RunFlags};
use crate::folder::{Folder, FolderError};
use crate::judgement::judge;
use crate::report::{QUIET, Report, STOP};
use crate::screen::{Outcome, Row, Screen, Standing};

/// From one look at the clock to the next.
const TICK: Duration = Duration::from_millis(10);

/// How long nothing may happen that brings the run forward, beyond ten intervals.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a row waits for the branch that began its snapshot to say how long it took.
const ROW_WAITS: Duration = Duration::from_secs(1);

/// From one line of progress to the next, where nothing else is printed.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Why a run has failed.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Cuts(#[from] CutsError),
    #[error("{0}")]
    Address(io::Error),
    #[error("cannot start a process: {0}")]
    Start(io::Error),
    #[error("cannot print: {0}")]
    Print(io::Error),
    #[error("{name} ended by itself ({status}){}", last(words))]
    Ended { name: String, status: ExitStatus, words: Vec<String> },
    #[error("{name} said what is no report: {text}")]
    Gibberish { name: String, text: String },
    #[error(transparent)]
    Astray(#[from] Astray),
    #[error("the check '{check}' has failed on {snapshot}: {what}; the snapshot {kept}")]
    CheckFailed { snapshot: SnapshotId, check: String, what: String, kept: String },
    #[error("{snapshot} is wrong: {discrepancy}")]
    Wrong { snapshot: SnapshotId, discrepancy: Discrepancy },
    #[error("nothing has moved for {} s while waiting for {waiting_for}: is the machine overloaded?", waited.as_secs())]
    Stuck { waited: Duration, waiting_for: String },
    #[error("{0} was announced as committed, and the audit has not found it")]
    NotAudited(SnapshotId),
    #[error("the audit has come to no verdict")]
    NoVerdict,
    #[error("with --chaos there must be two branches at least")]
    #[cfg(unix)]
    Alone,
    #[error("the folder of the store cannot be renamed: {0}")]
    #[cfg(unix)]
    Rename(io::Error),
    #[error(transparent)]
    #[cfg(unix)]
    Members(#[from] snapshot_examples::chaos::MembersError),
    #[error("{fault}: {error}. The same faults again: {replay}")]
    #[cfg(unix)]
    Chaos { fault: String, error: Box<Self>, replay: String },
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn last(words: &[String]) -> String {
    words.last().map_or_else(String::new, |line| format!(": {}", line.trim_start_matches("bank: ")))
}

/// Runs the bank from beginning to end.
pub(crate) async fn run(flags: RunFlags) -> Result<(), RunError> {
    // First the ports: where they are taken no folder is made.
    let nodes = Folder::nodes(&flags)? as usize;
    let addresses = match flags.port {
        Some(first) => ports::addresses_from(first, nodes),
        None => ports::free_addresses(nodes, flags.seed),
    };
    let addresses = addresses.map_err(RunError::Address)?;
    let folder = Folder::open(&flags)?;
    let mut run = Run::prepare(folder, addresses, flags).await?;
    run.start_all()?;
    run.work().await?;
    run.stop().await?;
    run.audit().await
}

struct Run {
    flags: RunFlags,
    folder: Folder,
    books: Books,
    cuts: Cuts,
    branches: BTreeMap<String, NodeId>,
    arguments: BTreeMap<NodeId, BranchFlags>,
    children: Children,
    course: Course,
    screen: Screen,
    begun: Instant,
    moved: Instant,
    printed: Instant,
    /// Committed snapshots whose row is not printed yet.
    rows: VecDeque<(Row, Instant)>,
    took: BTreeMap<SnapshotId, u64>,
    aborted: BTreeSet<SnapshotId>,
    announced: BTreeSet<SnapshotId>,
    /// Those of which it was said that they are given up.
    mourned: BTreeSet<SnapshotId>,
    gap: u64,
    sent: u64,
    sent_shown: (u64, Instant),
}

impl Run {
    async fn prepare(folder: Folder, addresses: Vec<SocketAddr>, flags: RunFlags) -> Result<Self, RunError> {
        let graph = folder.bank.graph();
        let members = graph.members().to_vec();
        let books = Books::of(&folder.bank)?;
        // Made here and not by the branches, so that a store that is none is found before anything is started.
        DirectoryStore::open(Folder::store_in(&folder.path)).map_err(CutsError::from)?;
        let mut cuts = Cuts::open(&folder.path, &books.topology).await?;
        let earlier = cuts.fresh().await?;
        let seconds = Duration::from_secs(flags.seconds);
        let mut course = Course::new(&members, seconds, flags.kills, flags.interval(), flags.seed)
            .resumed(earlier.iter().map(|commit| commit.snapshot).collect());
        course.gave_up(cuts.given_up());
        let mut screen = Screen::new(flags.json);
        screen.begins(&folder.path, &folder.bank, &flags, earlier.len()).map_err(RunError::Print)?;
        let branch = |id: NodeId| BranchFlags {
            id: id.0,
            store: folder.path.clone(),
            interval: millis(flags.interval()),
            deadline: millis(flags.deadline()),
            fall_back: flags.fall_back,
            plant: flags.plant,
            addresses: addresses.clone(),
            disk: None,
        };
        let now = Instant::now();
        Ok(Self {
            branches: members.iter().map(|id| (id.to_string(), *id)).collect(),
            arguments: members.iter().map(|id| (*id, branch(*id))).collect(),
            children: Children::new().map_err(RunError::Start)?,
            flags,
            folder,
            books,
            cuts,
            course,
            screen,
            begun: now,
            moved: now,
            printed: now,
            rows: VecDeque::new(),
            took: BTreeMap::new(),
            aborted: BTreeSet::new(),
            announced: BTreeSet::new(),
            mourned: BTreeSet::new(),
            gap: 0,
            sent: 0,
            sent_shown: (0, now),
        })
    }

    fn start_all(&mut self) -> Result<(), RunError> {
        for name in self.branches.keys().cloned().collect::<Vec<_>>() {
            self.start(&name)?;
        }
        Ok(())
    }

    fn start(&mut self, name: &str) -> Result<(), RunError> {
        let arguments =
            self.branches.get(name).and_then(|id| self.arguments.get(id)).map(BranchFlags::to_arguments);
        self.children.start(name, arguments.unwrap_or_default()).map_err(RunError::Start)
    }

    /// Until all that was to be shown has been.
    async fn work(&mut self) -> Result<(), RunError> {
        let mut tick = tokio::time::interval(TICK);
        while !self.course.is_over(self.begun.elapsed()) {
            tokio::select! {
                heard = self.children.next() => match heard {
                    Some(Heard::Line { name, text }) => {
                        self.hear(&name, &text).await?;
                    }
                    // A killed one is started again; that is what it is about.
                    Some(Heard::Ended { name, status, killed: true }) if status.code().is_none() => self.start(&name)?,
                    Some(Heard::Ended { name, status, .. }) => return Err(self.ended(name, status)),
                    None => return Err(RunError::NoVerdict),
                },
                _ = tick.tick() => self.look_at_the_clock().await?,
            }
        }
        Ok(())
    }

    /// Returns what a branch said after having done all that follows from it.
    async fn hear(&mut self, name: &str, text: &str) -> Result<Report, RunError> {
        let gibberish = || RunError::Gibberish { name: name.to_owned(), text: text.to_owned() };
        let branch = *self.branches.get(name).ok_or_else(gibberish)?;
        let report: Report = serde_json::from_str(text).map_err(|_| gibberish())?;
        match &report {
            Report::Started { generation } => {
                self.moved = Instant::now();
                self.course.started(branch, *generation);
                let pid = self.children.pid(name).unwrap_or_default();
                self.screen.started(branch, pid, *generation).map_err(RunError::Print)?;
            }
            Report::Pulse { sent, gap } => {
                self.sent = self.sent.saturating_add(*sent);
                self.gap = self.gap.max(*gap);
            }
            Report::Committed { snapshot } => {
                if self.announced.insert(*snapshot) {
                    self.read_commits().await?;
                }
            }
            Report::Taken { snapshot, took } => {
                self.took.insert(*snapshot, *took);
            }
            Report::CheckFailed { snapshot, check, what, lost } => {
                let (snapshot, check, what) = (*snapshot, check.clone(), what.clone());
                let kept = match lost {
                    None => format!("is kept in {}", self.folder.path.display()),
                    Some(why) => format!("could not be kept: {why}"),
                };
                return Err(RunError::CheckFailed { snapshot, check, what, kept });
            }
            Report::CheckSkipped { snapshot, why } => {
                // The audit at the end leaves none out.
                self.screen.not_checked(*snapshot, why).map_err(RunError::Print)?;
            }
            Report::Aborted { snapshot, by, why } => {
                // Every branch says so, and once is enough.
                if self.aborted.insert(*snapshot) {
                    self.screen.aborted(*snapshot, by, why).map_err(RunError::Print)?;
                }
            }
            Report::RolledBack { generation, snapshot } => {
                self.moved = Instant::now();
                self.course.rolled_back(branch, (*generation, *snapshot));
            }
            Report::FellBack { to, given_up, .. } => {
                // Every branch says so, and once is loud enough.
                if given_up.iter().any(|id| !self.mourned.contains(id)) {
                    self.mourned.extend(given_up.iter().copied());
                    self.screen.gave_up(*to, given_up).map_err(RunError::Print)?;
                }
            }
            Report::Begun { .. } | Report::Quiet => {}
        }
        Ok(report)
    }

    /// Reads what was committed since the last time, and makes rows of it.
    async fn read_commits(&mut self) -> Result<(), RunError> {
        for commit in self.cuts.fresh().await? {
            let cut = self.cuts.read(commit.snapshot).await?;
            let wrong = |discrepancy| RunError::Wrong { snapshot: commit.snapshot, discrepancy };
            let holdings = match self.flags.plant {
                None => self.books.audit(&cut).map_err(wrong)?,
                // The branches find this one themselves; were they to miss it, the audit at the end would not.
                Some(_) => Holdings::of(&cut),
            };
            let gap = std::mem::take(&mut self.gap);
            let row = Row { snapshot: commit.snapshot, holdings, took: None, bytes: commit.bytes, gap };
            self.rows.push_back((row, Instant::now()));
            self.course.committed(commit.snapshot);
            self.moved = Instant::now();
        }
        Ok(())
    }

    async fn look_at_the_clock(&mut self) -> Result<(), RunError> {
        self.print_rows(false)?;
        if self.course.has_gone_back() {
            // Whoever started first may have committed a snapshot that nobody has announced.
            self.read_commits().await?;
            if self.flags.fall_back {
                self.course.gave_up(self.cuts.given_up());
            }
            let start_of = |generation| self.cuts.start_of(generation);
            if let Some(back) = self.course.returned(self.begun.elapsed(), start_of)? {
                self.print_rows(true)?;
                self.screen.returned(&back).map_err(RunError::Print)?;
            }
        }
        if let Some(victim) = self.course.kill(self.begun.elapsed()) {
            self.print_rows(true)?;
            let name = victim.to_string();
            let pid = self.children.pid(&name).unwrap_or_default();
            self.children.kill(&name);
            self.screen.killed(victim, pid).map_err(RunError::Print)?;
            self.moved = Instant::now();
        }
        let waited = self.moved.elapsed();
        if waited > PATIENCE + self.flags.interval() * 10 {
            return Err(RunError::Stuck { waited, waiting_for: self.course.waiting_for() });
        }
        let every = if self.screen.is_live() { Duration::from_millis(500) } else { PROGRESS_EVERY };
        if self.printed.elapsed() >= every {
            self.print_standing()?;
        }
        Ok(())
    }

    /// Prints the rows that know how long they took, or have waited for that long enough.
    fn print_rows(&mut self, all: bool) -> Result<(), RunError> {
        while let Some((row, since)) = self.rows.front_mut() {
            row.took = self.took.remove(&row.snapshot);
            let waits = self.course.is_up(row.snapshot.initiator) && since.elapsed() < ROW_WAITS;
            if row.took.is_none() && waits && !all {
                break;
            }
            self.screen.row(row).map_err(RunError::Print)?;
            self.rows.pop_front();
            if !self.screen.is_live() {
                self.printed = Instant::now();
            }
        }
        Ok(())
    }

    fn print_standing(&mut self) -> Result<(), RunError> {
        let (before, then) = std::mem::replace(&mut self.sent_shown, (self.sent, Instant::now()));
        let millis = then.elapsed().as_millis().max(1);
        let a_second = u128::from(self.sent - before) * 1000 / millis;
        self.printed = Instant::now();
        let standing = Standing {
            elapsed: self.begun.elapsed(),
            transfers_a_second: u64::try_from(a_second).unwrap_or(u64::MAX),
            snapshots: self.course.commits().len(),
            kills: self.course.kills(),
            waiting_for: self.course.waiting_for(),
        };
        self.screen.stands(&standing).map_err(RunError::Print)
    }

    /// Ends all branches in good order: first all become quiet, so that none waits for one that is gone.
    async fn stop(&mut self) -> Result<(), RunError> {
        self.tell_all(QUIET).await?;
        let mut quiet = 0;
        let begun = Instant::now();
        let patience = PATIENCE + self.flags.interval() * 10;
        let mut tick = tokio::time::interval(TICK);
        let mut told = false;
        loop {
            tokio::select! {
                heard = self.children.next() => match heard {
                    Some(Heard::Line { name, text }) => {
                        if self.hear(&name, &text).await? == Report::Quiet {
                            quiet += 1;
                        }
                    }
                    Some(Heard::Ended { status, .. }) if told && status.success() => {}
                    Some(Heard::Ended { name, status, .. }) => return Err(self.ended(name, status)),
                    None => break,
                },
                _ = tick.tick() => {
                    self.print_rows(false)?;
                    if begun.elapsed() > patience {
                        let waiting_for = "the branches to end".to_owned();
                        return Err(RunError::Stuck { waited: begun.elapsed(), waiting_for });
                    }
                }
            }
            if quiet == self.branches.len() && !told {
                told = true;
                self.tell_all(STOP).await?;
            }
        }
        self.read_commits().await?;
        self.print_rows(true)
    }

    async fn tell_all(&mut self, order: &str) -> Result<(), RunError> {
        for name in self.branches.keys() {
            self.children.tell(name, order).await.map_err(RunError::Start)?;
        }
        Ok(())
    }

    /// Has every committed snapshot audited by a process that took no part, and says that it was.
    async fn audit(&mut self) -> Result<(), RunError> {
        self.screen.audits(self.course.commits().len()).map_err(RunError::Print)?;
        let course = &self.course;
        let must = course.commits().iter().chain(&self.announced).filter(|id| !course.has_given_up(&[**id]));
        let snapshots = judge(&mut self.children, &self.folder.path, self.books.coins, must).await?;
        let outcome = Outcome { snapshots, kills: self.course.kills(), total: self.books.coins };
        self.screen.ends(&outcome).map_err(RunError::Print)
    }

    fn ended(&self, name: String, status: ExitStatus) -> RunError {
        let words = self.children.last_words(&name);
        RunError::Ended { name, status, words }
    }
}
