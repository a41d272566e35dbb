//! The processes of a group: started, killed, stopped, replaced, and started again as a supervisor does.

mod deeds;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use fastrand::Rng;
use thiserror::Error;

use super::{DiskFault, NO_STORE, REPLACED};
use crate::children::{Children, Heard};
use crate::proxy::Mesh;

/// What passes before a process is started again, at most.
const RESTART: Duration = Duration::from_millis(80);

const SIGKILL: i32 = 9;

/// A group of processes of this executable, and the network between them. Members are counted from 0.
///
/// Whoever ends because it was killed, or because the store failed as it started, is started again by
/// [`start_due`](Self::start_due). Any other end is an [error](Self::ended).
///
/// # Panics
///
/// All methods that name a member panic if there is none of this number.
pub struct Members {
    mesh: Mesh,
    children: Children,
    arguments: Box<Arguments>,
    processes: Vec<Process>,
    /// Processes whose place was taken by others, and that have not ended yet.
    replaced: BTreeSet<String>,
    random: Rng,
    deaths: u64,
    /// The store fails at the moment.
    store_fails: bool,
    /// Members end because they were told to.
    leaving: bool,
}

/// How a process is started.
type Arguments = dyn Fn(&Start) -> Vec<OsString>;

/// A process that is about to be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// As which member.
    pub member: usize,
    /// By which addresses it knows all members; its own is where it shall listen.
    pub addresses: Vec<SocketAddr>,
    /// The fault that its disk has from the beginning.
    pub disk: DiskFault,
}

/// What should not have happened.
#[derive(Debug, Error)]
pub enum MembersError {
    /// There is no way to listen.
    #[error("cannot make a network: {0}")]
    Network(io::Error),
    /// A process cannot be started, or told something.
    #[error("cannot start a process, or talk with it: {0}")]
    Start(io::Error),
    /// A process ended and had no reason to.
    #[error("{name} ended by itself ({status}): {}", words.join(" / "))]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: ExitStatus,
        /// What it said last.
        words: Vec<String>,
    },
}

/// The process that runs as a member, or has run last.
#[derive(Default)]
struct Process {
    name: String,
    /// Of those of its member, counted from 1.
    number: u64,
    /// It takes part.
    up: bool,
    stopped: bool,
    /// It was killed, and has not ended yet.
    dying: bool,
    /// It was told to kill itself at a certain moment.
    told_to_die: bool,
    /// The store has failed since it began to start.
    missed_the_store: bool,
    /// It has ended, and the next one is started then.
    restart: Option<Instant>,
    /// What is wrong with the disk of the next process.
    next_disk: DiskFault,
}

impl Members {
    /// So many members, none of which was started. `arguments` says how one is.
    ///
    /// # Errors
    ///
    /// If there is no network for them.
    pub fn new(
        count: usize,
        seed: u64,
        arguments: impl Fn(&Start) -> Vec<OsString> + 'static,
    ) -> Result<Self, MembersError> {
        Ok(Self {
            mesh: Mesh::start(count, seed).map_err(MembersError::Network)?,
            children: Children::new().map_err(MembersError::Start)?,
            arguments: Box::new(arguments),
            processes: (0..count).map(|_| Process::default()).collect(),
            replaced: BTreeSet::new(),
            random: Rng::with_seed(seed.rotate_left(32)),
            deaths: 0,
            store_fails: false,
            leaving: false,
        })
    }

    /// Starts all.
    ///
    /// # Errors
    ///
    /// If a process cannot be started.
    pub fn start_all(&mut self) -> Result<(), MembersError> {
        (0..self.processes.len()).try_for_each(|node| self.start(node))
    }

    /// Starts those that have ended, when their time has come.
    ///
    /// # Errors
    ///
    /// If a process cannot be started.
    pub fn start_due(&mut self) -> Result<(), MembersError> {
        let now = Instant::now();
        for node in 0..self.processes.len() {
            if self.processes[node].restart.is_some_and(|at| at <= now) {
                self.start(node)?;
            }
        }
        Ok(())
    }

    /// The next process of a member has this fault from its beginning.
    pub fn start_next_with(&mut self, node: usize, fault: DiskFault) {
        self.processes[node].next_disk = fault;
    }

    /// Lets another process take the place of one that runs, at another port. Returns the name of the old one, which must end as
    /// replaced.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn replace(&mut self, node: usize) -> Result<String, MembersError> {
        self.mesh.relocate(node).map_err(MembersError::Network)?;
        let old = self.processes[node].name.clone();
        self.replaced.insert(old.clone());
        self.start(node)?;
        Ok(old)
    }

    fn start(&mut self, node: usize) -> Result<(), MembersError> {
        let before = &self.processes[node];
        let (number, disk) = (before.number + 1, before.next_disk);
        let start = Start { member: node, addresses: self.mesh.seen_by(node), disk };
        let process = Process {
            // A name for each, so that two of one member are told apart.
            name: format!("n{}.{number}", node + 1),
            number,
            told_to_die: disk != DiskFault::None,
            missed_the_store: self.store_fails,
            ..Process::default()
        };
        self.children.start(&process.name, (self.arguments)(&start)).map_err(MembersError::Start)?;
        self.processes[node] = process;
        Ok(())
    }

    /// What is heard next; never, where nobody runs.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Heard {
        match self.children.next().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }

    /// The member as which a process runs; `None` for one whose place was taken.
    pub fn node_of(&self, name: &str) -> Option<usize> {
        self.processes.iter().position(|process| process.name == name)
    }

    /// A member takes part from now on.
    pub fn has_started(&mut self, node: usize) {
        self.processes[node].up = true;
    }

    /// A process has ended. Returns its member, if it was the process of one.
    ///
    /// # Errors
    ///
    /// If there was no reason for it to end.
    pub fn ended(
        &mut self,
        name: &str,
        status: ExitStatus,
        killed: bool,
    ) -> Result<Option<usize>, MembersError> {
        let code = |expected: u8| status.code() == Some(expected.into());
        let unexpected = || {
            let words = self.children.last_words(name);
            MembersError::Ended { name: name.to_owned(), status, words }
        };
        if self.replaced.contains(name) {
            if !code(REPLACED) {
                return Err(unexpected());
            }
            self.replaced.remove(name);
            return Ok(None);
        }
        let node = self.node_of(name).ok_or_else(unexpected)?;
        let process = &self.processes[node];
        let died = (killed || process.told_to_die) && status.signal() == Some(SIGKILL);
        let gave_up = process.missed_the_store && code(NO_STORE);
        let left = self.leaving && status.success();
        if !died && !gave_up && !left {
            return Err(unexpected());
        }
        if died {
            self.deaths += 1;
        }
        let restart = (!left).then(|| Instant::now() + RESTART.mul_f64(self.random.f64()));
        let process = &mut self.processes[node];
        (process.up, process.dying, process.stopped, process.restart) = (false, false, false, restart);
        Ok(Some(node))
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("mesh", &self.mesh).finish_non_exhaustive()
    }
}
