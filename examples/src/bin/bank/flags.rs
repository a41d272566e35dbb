//! The command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, NodeId};
use snapshot_examples::chaos::DiskFault;

/// Branches of a bank, each a process of its own, transfer money without pause while snapshots are taken; branches are
/// killed, and the bank goes on from the newest committed snapshot. At the end every snapshot is audited.
///
/// The store folder is kept. Whatever ends a run, even kill -9 of all its processes, it goes on with --resume.
#[derive(Debug, Parser)]
#[command(name = "bank", version, args_conflicts_with_subcommands = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) run: RunFlags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Audits all committed snapshots in the folder of an earlier run, and takes no part in any
    Audit(AuditFlags),
    /// One branch; started by the program itself
    #[command(hide = true)]
    Branch(BranchFlags),
}

#[derive(Debug, Args)]
pub(crate) struct RunFlags {
    /// How many branches [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(crate) nodes: Option<u32>,
    /// How long the branches transfer money; the run goes on a little longer where a kill or a snapshot is still due
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) seconds: u64,
    /// How many times a branch is killed with SIGKILL and started again
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) kills: u32,
    /// Instead: for so many seconds everything happens to the bank that can, in the order that --seed says
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=604_800), conflicts_with_all = ["kills", "seconds", "resume", "fall_back", "port"])]
    pub(crate) chaos: Option<u64>,
    /// From one snapshot to the next, in milliseconds [default: 1000; 200 with --chaos]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    interval: Option<u64>,
    /// How long a snapshot may take before it is given up, in milliseconds [default: 30000; 2000 with --chaos]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    deadline: Option<u64>,
    /// How many accounts each branch has [default: 1000]
    #[arg(long, value_name = "A", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) accounts: Option<u32>,
    /// The folder of the run, new or empty; with --resume that of an earlier run [default: a new temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Goes on from the newest committed snapshot in --store
    #[arg(long, requires = "store")]
    pub(crate) resume: bool,
    /// Says who is killed when, or what else happens to whom, and makes the transfers
    #[arg(long, value_name = "X", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Who transfers money to whom [default: mesh]
    #[arg(long, value_enum)]
    pub(crate) topology: Option<Shape>,
    /// The branches listen on this loopback port and those after it [default: free ones]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Plants a bug into every branch, for its check to find: the run ends with the first snapshot that shows it
    #[arg(long, value_enum, value_name = "BUG")]
    pub(crate) plant: Option<Bug>,
    /// Allows going back behind the newest committed snapshot if that is damaged. What was committed by it is lost
    #[arg(long)]
    pub(crate) fall_back: bool,
    /// Prints one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditFlags {
    /// The folder of the run
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// Prints one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BranchFlags {
    #[arg(long)]
    pub(crate) id: u64,
    #[arg(long)]
    pub(crate) store: PathBuf,
    #[arg(long)]
    pub(crate) interval: u64,
    #[arg(long)]
    pub(crate) deadline: u64,
    #[arg(long)]
    pub(crate) fall_back: bool,
    #[arg(long, value_enum)]
    pub(crate) plant: Option<Bug>,
    #[arg(long, value_delimiter = ',')]
    pub(crate) addresses: Vec<SocketAddr>,
    /// The snapshots are kept on a disk with this fault, which can be told to have others.
    #[arg(long)]
    pub(crate) disk: Option<DiskFault>,
}

impl RunFlags {
    pub(crate) fn interval(&self) -> Duration {
        let usual = if self.chaos.is_some() { 200 } else { 1000 };
        Duration::from_millis(self.interval.unwrap_or(usual))
    }

    pub(crate) fn deadline(&self) -> Duration {
        let usual = if self.chaos.is_some() { 2000 } else { 30_000 };
        Duration::from_millis(self.deadline.unwrap_or(usual))
    }
}

impl BranchFlags {
    /// The same as arguments.
    pub(crate) fn to_arguments(&self) -> Vec<std::ffi::OsString> {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let mut arguments: Vec<std::ffi::OsString> = vec![
            "branch".into(),
            "--id".into(),
            self.id.to_string().into(),
            "--store".into(),
            self.store.clone().into(),
            "--interval".into(),
            self.interval.to_string().into(),
            "--deadline".into(),
            self.deadline.to_string().into(),
            "--addresses".into(),
            addresses.join(",").into(),
        ];
        if self.fall_back {
            arguments.push("--fall-back".into());
        }
        if let Some(fault) = self.disk {
            arguments.extend(["--disk".into(), fault.to_string().into()]);
        }
        if let Some(bug) = self.plant {
            arguments.extend(["--plant".into(), bug.to_string().into()]);
        }
        arguments
    }
}

/// A bug that no branch can see in its own books.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Bug {
    /// Every thousandth transfer on a channel is booked twice
    Duplicate,
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "duplicate",
        })
    }
}

/// Who transfers money to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// Every branch to every other one
    Mesh,
    /// Each branch to the next one only, the last one to the first
    Ring,
    /// The first branch to all others, and they to it
    Star,
}

impl Shape {
    /// The graph of `nodes` branches, named n1, n2 and so on.
    pub(crate) fn graph(self, nodes: u32) -> Graph {
        let members = (1..=u64::from(nodes)).map(NodeId);
        match self {
            Self::Mesh => Graph::mesh(members),
            Self::Ring => Graph::ring(members),
            Self::Star => Graph::star(members),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mesh => "mesh",
            Self::Ring => "ring",
            Self::Star => "star",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_branch_reads_the_arguments_it_is_started_with() {
        let flags = BranchFlags {
            id: 3,
            store: "/some where/é".into(),
            interval: 250,
            deadline: 5000,
            fall_back: true,
            plant: Some(Bug::Duplicate),
            addresses: vec![
                "127.0.0.1:7001".parse().expect("an address"),
                "127.0.0.1:7002".parse().expect("one"),
            ],
            disk: Some(DiskFault::DieReading),
        };
        let line = std::iter::once("bank".into()).chain(flags.to_arguments());
        let Some(Role::Branch(read)) = CommandLine::parse_from(line).role else { panic!("not a branch") };
        assert_eq!(format!("{read:?}"), format!("{flags:?}"));
    }

    #[test]
    fn numbers_that_make_no_bank_are_refused() {
        for wrong in [
            &["--nodes", "0"][..],
            &["--accounts", "0"],
            &["--interval", "0"],
            &["--seconds", "0"],
            &["--resume"],
            &["--chaos", "0"],
            &["--chaos", "5", "--kills", "1"],
        ] {
            let line = std::iter::once("bank").chain(wrong.iter().copied());
            assert!(CommandLine::try_parse_from(line).is_err(), "{wrong:?}");
        }
    }
}
