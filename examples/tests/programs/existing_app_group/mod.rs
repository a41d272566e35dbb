//! Processes of the key-value server, to be killed and started again.

pub(crate) mod course;

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use snapshot_examples::key_values::Line;
use snapshot_examples::ports::free_addresses;

/// How long something may take that is waited for. Far more than it ever does.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// From one look at something that is waited for to the next.
const LOOK: Duration = Duration::from_millis(5);

/// Which of the two programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    Before,
    After,
}

impl Program {
    pub(crate) fn command(self) -> Command {
        Command::new(match self {
            Self::Before => env!("CARGO_BIN_EXE_existing_app_before"),
            Self::After => env!("CARGO_BIN_EXE_existing_app_after"),
        })
    }
}

/// Three nodes, each a process of its own.
pub(crate) struct Group {
    program: Program,
    folder: tempfile::TempDir,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) clients: Vec<SocketAddr>,
    /// The folder of each node's snapshots, in that of the group. By right all have the same.
    stores: Vec<&'static str>,
    processes: Vec<Option<Child>>,
}

pub(crate) const NODES: usize = 3;

impl Group {
    /// All nodes, started.
    pub(crate) fn start(program: Program, seed: u64) -> Self {
        Self::start_on(program, seed, ["snapshots"; NODES])
    }

    /// All nodes, started, on these folders.
    pub(crate) fn start_on(program: Program, seed: u64, stores: [&'static str; NODES]) -> Self {
        let addresses = free_addresses(2 * NODES, seed).expect("free ports");
        let (peers, clients) = addresses.split_at(NODES);
        let mut group = Self {
            program,
            folder: tempfile::tempdir().expect("a temporary folder"),
            peers: peers.to_vec(),
            clients: clients.to_vec(),
            stores: stores.to_vec(),
            processes: (0..NODES).map(|_| None).collect(),
        };
        (0..NODES).for_each(|node| group.start_node(node));
        group
    }

    /// Starts a node that does not run, on the folder that it had.
    pub(crate) fn start_node(&mut self, node: usize) {
        assert!(self.processes[node].is_none(), "node {node} runs");
        let name = |(index, address): (usize, &SocketAddr)| format!("{}={address}", index + 1);
        let peers: Vec<String> = self.peers.iter().enumerate().map(name).collect();
        let log = File::options().append(true).create(true).open(self.log(node)).expect("a log");
        let mut command = self.program.command();
        command.arg("--id").arg((node + 1).to_string());
        command.arg("--peers").arg(peers.join(","));
        command.arg("--clients").arg(self.clients[node].to_string());
        if self.program == Program::After {
            command.arg("--snapshots").arg(self.store(node));
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.processes[node] = Some(process.expect("the program can be started"));
    }

    /// From the next start on, a node reaches its folder by a link of this name.
    #[cfg(unix)]
    pub(crate) fn detour(&mut self, node: usize, name: &'static str) {
        let target = self.store(node);
        self.stores[node] = name;
        std::os::unix::fs::symlink(target, self.store(node)).expect("a link");
    }

    /// Ends a process that the group knows no more.
    pub(crate) fn end(&self, mut process: Child) {
        if let Some(status) = process.try_wait().expect("it is ours") {
            panic!("it ended by itself: {status}\n{}", self.logs());
        }
        process.kill().expect("it runs");
        process.wait().expect("it is ours");
    }

    /// Another process of a node while the first one lives, which the group knows no more: on the folder that all have by right, at
    /// addresses of its own.
    pub(crate) fn succeed(&mut self, node: usize, seed: u64) -> Child {
        let addresses = free_addresses(2, seed).expect("free ports");
        (self.peers[node], self.clients[node]) = (addresses[0], addresses[1]);
        self.stores[node] = "snapshots";
        let old = self.processes[node].take().expect("it runs");
        self.start_node(node);
        old
    }

    /// The folder of a node's snapshots.
    pub(crate) fn store(&self, node: usize) -> PathBuf {
        self.folder.path().join(self.stores[node])
    }

    /// How often the log of a node has this.
    pub(crate) fn told(&self, node: usize, what: &str) -> usize {
        fs::read_to_string(self.log(node)).unwrap_or_default().matches(what).count()
    }

    /// Kills a node with SIGKILL.
    pub(crate) fn kill(&mut self, node: usize) {
        let mut process = self.processes[node].take().expect("it runs");
        if let Some(status) = process.try_wait().expect("it is ours") {
            panic!("node {} ended by itself: {status}\n{}", node + 1, self.logs());
        }
        process.kill().expect("it runs");
        process.wait().expect("it is ours");
    }

    /// Waits until something holds.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + LIMIT;
        while !holds(self) {
            for node in 0..NODES {
                let process = self.processes[node].as_mut();
                if let Some(status) = process.and_then(|process| process.try_wait().expect("it is ours")) {
                    panic!("node {} ended by itself: {status}\n{}", node + 1, self.logs());
                }
            }
            assert!(Instant::now() < end, "this never came true: {what}\n{}", self.logs());
            thread::sleep(LOOK);
        }
    }

    /// Waits until all nodes answer with what others know, which takes connections between all.
    pub(crate) fn until_it_answers(&mut self) {
        self.until("every node answers for every key", |group| {
            let answers = |node| {
                let mut line = Line::open(group.clients[node])?;
                // Of so many keys each node owns some.
                (0..16).try_for_each(|key| match line.ask(&format!("GET early-{key}"))?.as_str() {
                    "NONE" => Ok(()),
                    other => Err(io::Error::other(other.to_owned())),
                })
            };
            (0..NODES).all(|node| answers(node).is_ok())
        });
    }

    /// The last that the nodes wrote to their logs.
    pub(crate) fn logs(&self) -> String {
        let tail = |node| {
            let text = fs::read_to_string(self.log(node)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(20)..].join("\n");
            format!("--- the log of node {}\n{tail}\n", node + 1)
        };
        (0..NODES).map(tail).collect()
    }

    fn log(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node-{}.log", node + 1))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().flatten() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
