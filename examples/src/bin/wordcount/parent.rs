//! The parent process: starts the workers, kills some, and takes the result from a committed snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use snapshot_core::{Archive, NodeId, Postcard};
use snapshot_examples::children::{Children, Heard};
use snapshot_examples::ports;
use snapshot_store::DirectoryStore;

use crate::arguments::Arguments;
use crate::input::Input;
use crate::killer::Killer;
use crate::message::Message;
use crate::plan::{Plan, Role};
use crate::report::Report;
use crate::result::Counts;
use crate::state::Worker;
use crate::worker::Task;

/// Where no worker says anything for this long, something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Counts the words of the files.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let plan = Plan {
        counters: arguments.workers.into(),
        kills: arguments.kills,
        bytes: Input::open(&arguments.files)?.len(),
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut temporary = None;
    let store = match &arguments.store {
        Some(folder) => fresh(folder)?,
        None => temporary.insert(tempfile::Builder::new().prefix("wordcount-").tempdir()?).path().to_owned(),
    };
    let mut group = Group::start(arguments, plan, seed, store.clone())?;
    if let Err(error) = group.work().await {
        return Err(format!("{error} (seed {seed})").into());
    }

    let archive = Archive::<Worker, Message>::open(DirectoryStore::open(&store)?, Postcard).await?;
    let latest = archive.latest().ok_or("no snapshot was committed")?;
    let snapshot = archive.read(latest).await?;
    if snapshot.in_flight().next().is_some() {
        return Err("the final snapshot has words in flight".into());
    }
    let counts = Counts::check(&plan, &snapshot.states().collect())?;
    counts.write(&mut io::stdout().lock())?;
    eprintln!(
        "wordcount: {} kills, {} rollbacks, {} snapshots committed (seed {seed}); {} words, {} different, in {} bytes: \
         as many counted as read, and every byte accounted for",
        group.killer.done(),
        group.rollbacks(),
        archive.commits().len(),
        counts.words,
        counts.different(),
        plan.bytes,
    );
    Ok(())
}

/// A folder that is new or empty: what an earlier run left there would be taken for this one's.
fn fresh(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
    let mut content = std::fs::read_dir(folder)
        .map_err(|error| format!("cannot look into {}: {error}", folder.display()))?;
    if content.next().is_some() {
        return Err(
            format!("{} is not empty: name a new or an empty folder with --store", folder.display()).into()
        );
    }
    Ok(folder.to_owned())
}

/// The workers, and what the parent knows of them.
struct Group<'a> {
    arguments: &'a Arguments,
    plan: Plan,
    store: PathBuf,
    addresses: BTreeMap<NodeId, SocketAddr>,
    children: Children,
    killer: Killer,
    running: BTreeSet<NodeId>,
    passed: BTreeMap<NodeId, u64>,
    complete: BTreeSet<NodeId>,
    generations: BTreeSet<u64>,
}

impl<'a> Group<'a> {
    fn start(
        arguments: &'a Arguments,
        plan: Plan,
        seed: u64,
        store: PathBuf,
    ) -> Result<Self, Box<dyn Error>> {
        let addresses = ports::free_addresses(plan.workers(), seed)?;
        let mut group = Self {
            arguments,
            plan,
            store,
            addresses: plan.members().zip(addresses).collect(),
            children: Children::new()?,
            killer: Killer::new(plan, seed),
            running: BTreeSet::new(),
            passed: BTreeMap::new(),
            complete: BTreeSet::new(),
            generations: BTreeSet::new(),
        };
        for id in plan.members() {
            group.start_worker(id)?;
        }
        Ok(group)
    }

    fn start_worker(&mut self, me: NodeId) -> Result<(), Box<dyn Error>> {
        let task = Task {
            me,
            plan: self.plan,
            addresses: self.addresses.clone(),
            store: self.store.clone(),
            kills: self.killer.done(),
        };
        let flags = ["--as-worker".to_owned(), serde_json::to_string(&task)?, "--".to_owned()];
        let files = self.arguments.files.iter().map(OsString::from);
        self.children.start(&self.name(me), flags.into_iter().map(OsString::from).chain(files))?;
        Ok(())
    }

    /// Sees the workers through to the end: all kills done, every counter's words in a committed snapshot, all processes
    /// ended well.
    async fn work(&mut self) -> Result<(), Box<dyn Error>> {
        let mut dying = None;
        while dying.is_some()
            || self.killer.done() < self.plan.kills
            || self.complete.len() < self.plan.counters
        {
            if dying.is_none() {
                let passed = self.passed.values().sum();
                dying = self.killer.victim(passed, |id| self.running.contains(&id));
                if let Some(victim) = dying {
                    self.children.kill(&self.name(victim));
                }
            }
            match self.hear().await? {
                (id, Said::Report(report)) => self.take(id, report),
                (id, Said::Killed) if dying == Some(id) => {
                    dying = None;
                    self.resurrect(id).await?;
                }
                (id, _) => return Err(self.ended(id)),
            }
        }
        self.stop().await
    }

    fn take(&mut self, id: NodeId, report: Report) {
        match report {
            Report::Started => {
                self.running.insert(id);
            }
            Report::Passed(bytes) => {
                self.passed.insert(id, bytes);
            }
            Report::Committed => self.killer.committed(),
            Report::RolledBack(generation) => {
                self.generations.insert(generation);
            }
            Report::Final => {
                self.complete.insert(id);
            }
        }
    }

    /// Starts a killed worker again, and lets the readers go on.
    async fn resurrect(&mut self, id: NodeId) -> Result<(), Box<dyn Error>> {
        self.killer.killed();
        self.running.remove(&id);
        self.passed.remove(&id);
        self.start_worker(id)?;
        let order = format!("kills {}", self.killer.done());
        for other in self.plan.members().filter(|other| *other != id) {
            self.children.tell(&self.name(other), &order).await?;
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), Box<dyn Error>> {
        for id in self.plan.members() {
            self.children.tell(&self.name(id), "stop").await?;
        }
        let mut left = self.plan.workers();
        while left > 0 {
            match self.hear().await? {
                (_, Said::Report(_)) => {}
                (_, Said::Ended { well: true }) => left -= 1,
                (id, _) => return Err(self.ended(id)),
            }
        }
        Ok(())
    }

    /// What is heard next of any worker.
    async fn hear(&mut self) -> Result<(NodeId, Said), Box<dyn Error>> {
        let heard = tokio::time::timeout(PATIENCE, self.children.next()).await;
        let heard = heard.map_err(|_| format!("no worker has said anything for {PATIENCE:?}"))?;
        match heard.ok_or("all workers have ended")? {
            Heard::Line { name, text } => Ok((self.id(&name)?, Said::Report(text.parse()?))),
            Heard::Ended { name, status, killed } => {
                let said = if killed && is_sigkill(status) {
                    Said::Killed
                } else {
                    Said::Ended { well: status.success() }
                };
                Ok((self.id(&name)?, said))
            }
        }
    }

    fn rollbacks(&self) -> usize {
        self.generations.len()
    }

    fn ended(&self, id: NodeId) -> Box<dyn Error> {
        let name = self.name(id);
        let words = self.children.last_words(&name).join("; ");
        format!("{name} has ended by itself: {words}").into()
    }

    fn name(&self, id: NodeId) -> String {
        match self.plan.role(id) {
            Some(Role::Reader(_)) => format!("reader {id}"),
            _ => format!("counter {id}"),
        }
    }

    fn id(&self, name: &str) -> Result<NodeId, Box<dyn Error>> {
        let id = self.plan.members().find(|id| self.name(*id) == name);
        id.ok_or_else(|| format!("{name} is no worker").into())
    }
}

/// What a worker does that its parent hears of.
enum Said {
    Report(Report),
    Killed,
    Ended { well: bool },
}

#[cfg(unix)]
fn is_sigkill(status: std::process::ExitStatus) -> bool {
    const SIGKILL: i32 = 9;
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(SIGKILL)
}

#[cfg(not(unix))]
fn is_sigkill(status: std::process::ExitStatus) -> bool {
    !status.success()
}
