//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Measures snapshot-core beside other ways to send messages.
#[derive(Parser)]
pub(crate) struct Flags {
    /// Fewer rounds, shorter ones, and no very large states: a first look, no figures to quote
    #[arg(long)]
    quick: bool,
    /// What to measure, all where nothing is named
    #[arg(long, value_delimiter = ',')]
    only: Vec<Subject>,
    /// Rounds, in each of which every row has its turn
    #[arg(long)]
    rounds: Option<usize>,
    /// Writes plots into this folder
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Subject {
    /// Throughput and CPU time against the size of messages
    Sizes,
}

impl Flags {
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        if self.only.is_empty() { Subject::value_variants().to_vec() } else { self.only.clone() }
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 9 }).max(1)
    }

    /// What passes before a row is looked at, so that connections stand and buffers have grown.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_millis(if self.quick { 100 } else { 300 })
    }

    /// How long a row is looked at in a round.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_millis(if self.quick { 250 } else { 700 })
    }
}
