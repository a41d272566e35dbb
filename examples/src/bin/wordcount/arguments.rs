//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Counts the words of files with several processes, of which some are killed meanwhile. Prints a line for each word, sorted
/// by its bytes: the count, a tab, the word.
#[derive(Parser, Debug)]
#[command(name = "wordcount")]
pub(crate) struct Arguments {
    /// The files, taken as one stream of bytes.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// How many processes count; half as many more read.
    #[arg(long, value_name = "W", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: u16,
    /// How many times a worker is killed with SIGKILL and started again, spread over the input.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) kills: u64,
    /// Keep the snapshots in this folder, new or empty. Without: a temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Whom to kill is drawn from this number. Without: another one every time.
    #[arg(long, value_name = "X")]
    pub(crate) seed: Option<u64>,
    /// Work for the process that started this one.
    #[arg(long, value_name = "TASK", hide = true)]
    pub(crate) as_worker: Option<String>,
}
