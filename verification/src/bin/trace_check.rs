//! Holds traces against the specification, or records one. Ends with status 1 if a trace has a step that no action allows.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use snapshot_verification::trace::{check, record};

/// Holds traces of snapshot coordinators against the specification
#[derive(Debug, Parser)]
#[command(name = "trace_check", version)]
struct CommandLine {
    /// The traces
    #[arg(required_unless_present_any = ["record", "runs"])]
    files: Vec<PathBuf>,
    /// Writes the trace of the run that this seed decides, and checks nothing
    #[arg(long, value_name = "SEED", conflicts_with = "files")]
    record: Option<u64>,
    /// Records and checks the runs of this many seeds
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["files", "record"])]
    runs: Option<u64>,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    if let Some(seed) = line.record {
        print!("{}", record(seed).text());
        return ExitCode::SUCCESS;
    }
    if let Some(runs) = line.runs {
        return check_runs(runs);
    }
    let mut status = ExitCode::SUCCESS;
    for file in &line.files {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("{}: {error}", file.display());
                return ExitCode::from(2);
            }
        };
        match check(&text) {
            Ok(checked) => println!(
                "{}: {} steps are allowed, {} snapshots committed, {} rollbacks",
                file.display(),
                checked.steps,
                checked.commits,
                checked.rollbacks
            ),
            Err(refused) => {
                println!("{}: {refused}", file.display());
                status = ExitCode::from(1);
            }
        }
    }
    status
}

fn check_runs(runs: u64) -> ExitCode {
    let (mut steps, mut commits, mut rollbacks) = (0, 0, 0);
    for seed in 0..runs {
        match check(&record(seed).text()) {
            Ok(checked) => {
                steps += checked.steps;
                commits += checked.commits;
                rollbacks += checked.rollbacks;
            }
            Err(refused) => {
                println!("seed {seed}: {refused}");
                return ExitCode::from(1);
            }
        }
    }
    println!("{runs} runs: {steps} steps are allowed, {commits} snapshots committed, {rollbacks} rollbacks");
    ExitCode::SUCCESS
}
