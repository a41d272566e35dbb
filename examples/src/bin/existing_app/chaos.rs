//! Three servers, clients that write, and everything that can happen to servers from outside. After each fault every client must be
//! answered again, and what was acknowledged must be at every server.

mod faults;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use snapshot_examples::chaos::{
    Act, Kind, Members, MembersError, Recovery, Schedule, Start, Stopwatch, Tally,
};
use snapshot_examples::children::Heard;
use snapshot_examples::key_values::{Clients, Line, NeverAnswered, copies_are_good, verify};
use snapshot_examples::ports::free_addresses;
use snapshot_examples::proxy::Network;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::Interval;

const NODES: usize = 3;
const CLIENTS: usize = 8;

/// From one look at the clock to the next.
const TICK: Duration = Duration::from_millis(5);

/// How long the group may take to get over a fault. Far more than it ever does.
const PATIENCE: Duration = Duration::from_secs(180);

/// Commands of each client that must be answered after a fault, before it counts as got over.
const ANSWERS: usize = 2;

/// Three key-value servers, each a process of its own, and clients that remember what they were told. Everything happens to the
/// servers that can be done from outside; what was acknowledged must be there after each fault.
#[derive(Debug, Parser)]
#[command(name = "existing_app", version)]
struct Flags {
    /// For so many seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    chaos: u64,
    /// Says what happens, and what clients write
    #[arg(long, value_name = "X", default_value_t = 1)]
    seed: u64,
}

/// What should not have happened.
#[derive(Debug, Error)]
pub(crate) enum ChaosError {
    #[error(transparent)]
    Members(#[from] MembersError),
    #[error("{0}")]
    System(#[from] io::Error),
    #[error("after {waited} s there is no end of waiting for {what}")]
    Stuck { waited: u64, what: &'static str },
    #[error(transparent)]
    NeverAnswered(#[from] NeverAnswered),
    #[error("{} things are broken, such as: {}", .0.len(), .0.first().map_or("", String::as_str))]
    Broken(Vec<String>),
    #[error("{fault}: {error}. The same faults again: {replay}")]
    Fault { fault: String, error: Box<Self>, replay: String },
}

pub(crate) fn run() -> Result<(), ChaosError> {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_all(flags))
}

async fn run_all(flags: Flags) -> Result<(), ChaosError> {
    let Flags { chaos: seconds, seed } = flags;
    let replay = format!("existing_app --chaos {seconds} --seed {seed}");
    println!("{NODES} servers, {CLIENTS} clients; the same faults again: {replay}");
    let mut chaos = Chaos::prepare(seed).await?;
    while chaos.begun.elapsed() < Duration::from_secs(seconds) {
        let Some(act) = chaos.schedule.next() else { break };
        if let Err(error) = chaos.act(&act).await {
            let fault = format!("fault {}, {act}", act.number);
            return Err(ChaosError::Fault { fault, error: Box::new(error), replay });
        }
    }
    chaos.end().await
}

/// The servers, and what is done to them.
struct Chaos {
    /// Removed in the end, if all was well.
    folder: tempfile::TempDir,
    members: Members,
    /// Where clients reach the servers, wherever those are.
    doors: Network,
    addresses: Vec<SocketAddr>,
    /// Where the servers listen for clients.
    behind: Arc<std::sync::Mutex<Vec<SocketAddr>>>,
    clients: Arc<Clients>,
    schedule: Schedule,
    recovery: Recovery,
    tally: Tally,
    begun: Instant,
    tick: Interval,
}

impl Chaos {
    async fn prepare(seed: u64) -> Result<Self, ChaosError> {
        let folder = tempfile::Builder::new().prefix("existing-app-").tempdir()?;
        println!("the snapshots are in {}", folder.path().display());
        let behind = free_addresses(NODES, seed)?;
        let addresses = free_addresses(NODES, seed)?;
        let doors = Network::start(addresses.iter().copied().zip(behind.iter().copied()))?;
        let behind = Arc::new(std::sync::Mutex::new(behind));
        let mut members =
            Members::new(NODES, seed, arguments(folder.path().join("snapshots"), Arc::clone(&behind)))?;
        members.children().environment(crate::CHILD, "1");
        members.children().silence();
        members.start_all()?;
        let clients = Arc::new(Clients::start(CLIENTS, &addresses, seed));
        let mut chaos = Self {
            folder,
            members,
            doors,
            addresses,
            behind,
            clients,
            schedule: Schedule::new(seed, NODES, Kind::of_any_program()),
            recovery: Recovery::default(),
            tally: Tally::default(),
            begun: Instant::now(),
            tick: tokio::time::interval(TICK),
        };
        chaos.settle().await?;
        chaos.begun = Instant::now();
        Ok(chaos)
    }

    /// One fault, and what comes of it.
    async fn act(&mut self, act: &Act) -> Result<(), ChaosError> {
        self.pass(act.lead).await?;
        println!("{:8.1} s  fault {}: {act}", self.begun.elapsed().as_secs_f64(), act.number);
        self.inflict(act).await?;
        self.recovery.begins(act.kind);
        if !act.rush {
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits until every client is answered again, and looks whether all is there that was acknowledged.
    async fn settle(&mut self) -> Result<(), ChaosError> {
        self.until("every server to run", |chaos| chaos.members.are_complete()).await?;
        let before = self.clients.answered();
        let answered = |chaos: &Self| {
            let now = chaos.clients.answered();
            now.iter().zip(&before).all(|(now, before)| *now >= before + ANSWERS)
        };
        self.until("every client to be answered", answered).await?;
        let took = self.recovery.ends(&mut self.tally);
        let (clients, addresses) = (Arc::clone(&self.clients), self.addresses.clone());
        let look = move || {
            clients.while_idle(|memory| {
                copies_are_good(&addresses, memory)?;
                Ok((memory.acknowledged(), memory.failures, memory.lies.clone()))
            })
        };
        let (acknowledged, failures, lies) =
            self.meanwhile(look).await?.map_err(|error: NeverAnswered| error)?;
        if !lies.is_empty() {
            return Err(ChaosError::Broken(lies));
        }
        println!(
            "            all are answered after {} ms; {acknowledged} writes were acknowledged and are there, {failures} commands \
             got no answer",
            took.as_millis()
        );
        Ok(())
    }

    /// Lets time pass, in which the servers are heard.
    async fn pass(&mut self, time: Duration) -> Result<(), ChaosError> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step().await?;
        }
        Ok(())
    }

    /// Hears the servers until something holds.
    async fn until(&mut self, what: &'static str, holds: impl Fn(&Self) -> bool) -> Result<(), ChaosError> {
        let mut watch = Stopwatch::start();
        while !holds(self) {
            self.step().await?;
            let waited = watch.passes();
            if waited > PATIENCE {
                return Err(ChaosError::Stuck { waited: waited.as_secs(), what });
            }
        }
        Ok(())
    }

    /// Has something done by another thread, and hears the servers.
    async fn meanwhile<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ChaosError> {
        let mut working = spawn_blocking(work);
        loop {
            tokio::select! {
                done = &mut working => return done.map_err(|error| io::Error::other(error).into()),
                stepped = self.step() => stepped?,
            }
        }
    }

    async fn step(&mut self) -> Result<(), ChaosError> {
        tokio::select! {
            heard = self.members.next() => if let Heard::Ended { name, status, killed } = heard {
                self.members.ended(&name, status, killed)?;
            },
            _ = self.tick.tick() => {
                self.recovery.passes();
                self.members.start_due()?;
                // They say nothing of themselves: whether they serve, clients find out.
                (0..NODES).for_each(|node| self.members.has_started(node));
            }
        }
        Ok(())
    }

    /// Whether a server answers clients.
    async fn serves(&mut self, node: usize) -> Result<bool, ChaosError> {
        let address = self.addresses[node];
        self.meanwhile(move || Line::open(address).and_then(|mut line| line.ask("PEEK any")).is_ok()).await
    }

    /// Looks at all writes once more, at their owners too.
    async fn end(mut self) -> Result<(), ChaosError> {
        self.settle().await?;
        let took = self.begun.elapsed();
        let Some(clients) = Arc::into_inner(self.clients) else {
            return Err(io::Error::other("somebody still looks at the clients").into());
        };
        let memory = clients.stop();
        let (addresses, acknowledged) = (self.addresses.clone(), memory.acknowledged());
        let broken =
            spawn_blocking(move || verify(&addresses, &memory)).await.map_err(io::Error::other)??;
        if !broken.is_empty() {
            return Err(ChaosError::Broken(broken));
        }
        println!(
            "\n{}\n{} faults and {} processes killed in {} s; {acknowledged} acknowledged writes, lost: 0: ok",
            self.tally,
            self.tally.faults(),
            self.members.deaths(),
            took.as_secs()
        );
        Ok(())
    }

    fn snapshots(&self) -> PathBuf {
        self.folder.path().join("snapshots")
    }

    /// The folder of the snapshots is renamed, and back after a while.
    async fn folder_gone(&mut self, time: Duration) -> Result<(), ChaosError> {
        // The server begins a new history where it finds none: one that starts now would.
        self.settle().await?;
        let away = self.folder.path().join("away");
        fs::rename(self.snapshots(), &away)?;
        self.pass(time).await?;
        Ok(fs::rename(away, self.snapshots())?)
    }
}

/// How a server is started.
fn arguments(
    snapshots: PathBuf,
    behind: Arc<std::sync::Mutex<Vec<SocketAddr>>>,
) -> impl Fn(&Start) -> Vec<OsString> + 'static {
    move |start| {
        let name = |(index, address): (usize, &SocketAddr)| format!("{}={address}", index + 1);
        let peers: Vec<String> = start.addresses.iter().enumerate().map(name).collect();
        let clients = behind.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[start.member];
        vec![
            "--id".into(),
            (start.member + 1).to_string().into(),
            "--peers".into(),
            peers.join(",").into(),
            "--clients".into(),
            clients.to_string().into(),
            "--snapshots".into(),
            snapshots.clone().into(),
        ]
    }
}
