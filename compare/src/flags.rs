//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::ValueEnum;

use crate::rounds::Pace;
use crate::subject::Subject;

/// Measures snapshot-core beside other ways to send messages.
#[derive(Parser)]
pub(crate) struct Flags {
    /// Fewer rounds, shorter ones, and no very large states: a first look, no figures to quote
    #[arg(long)]
    pub(crate) quick: bool,
    /// What to measure, all where nothing is named
    #[arg(long, value_delimiter = ',')]
    only: Vec<Subject>,
    /// Rounds, in each of which every row has its turn
    #[arg(long)]
    rounds: Option<usize>,
    /// Writes plots into this folder
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
    /// Where stores are, on the disk that shall be measured; else among the system's temporary files
    #[arg(long)]
    folder: Option<PathBuf>,
}

impl Flags {
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        if self.only.is_empty() { Subject::value_variants().to_vec() } else { self.only.clone() }
    }

    pub(crate) fn pace(&self) -> Pace {
        let [rounds, warm_up, window] = if self.quick { [3, 100, 250] } else { [9, 300, 700] };
        Pace {
            rounds: self.rounds.unwrap_or(rounds as usize).max(1),
            warm_up: Duration::from_millis(warm_up),
            window: Duration::from_millis(window),
        }
    }

    /// A folder for a store, which goes when it is dropped.
    pub(crate) fn store(&self) -> tempfile::TempDir {
        let below = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        tempfile::tempdir_in(below).expect("a folder")
    }
}
