//! Runs Chandy-Lamport conformance cases on the real [`SnapshotCoordinator`](snapshot_core::SnapshotCoordinator), without
//! network, clock or threads: `cos418 DIR [--delays FILE]`.
//!
//! A case is a topology with tokens, a list of events, and the snapshots that must come of them. Time is counted in ticks
//! and the delay of every message is read from a file, so a case has one right outcome. Prints `PASS name` or
//! `FAIL name: first difference` for each case that `DIR/manifest.txt` names, then how many passed and failed.
//!
//! Exits 0 if all passed, 1 if one failed, 2 if there was nothing to run.

mod case;
mod comparison;
mod delays;
mod expectation;
mod group;
mod manifest;
mod script;
mod simulation;
mod text;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Runs Chandy-Lamport conformance cases on the real coordinator: exits 0 if all pass, 1 if one fails, 2 if there is nothing
/// to run.
#[derive(Parser, Debug)]
#[command(name = "cos418")]
struct Arguments {
    /// The folder that holds manifest.txt and the files that it names.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How long messages take: one number of ticks a line. Without: DIR/delays.txt.
    #[arg(long, value_name = "FILE")]
    delays: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cos418: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs all cases and returns how many failed.
fn run(arguments: &Arguments) -> Result<usize, Box<dyn std::error::Error>> {
    let entries = manifest::read(&arguments.folder)?;
    let delays = arguments.delays.clone().unwrap_or_else(|| arguments.folder.join("delays.txt"));
    let delays = delays::read(&delays)?;
    let mut out = io::stdout().lock();
    let mut failed = 0;
    for entry in &entries {
        let verdict = match &entry.case {
            Ok(case) => case.run(&arguments.folder, &delays).map_err(|failure| failure.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match verdict {
            Ok(()) => writeln!(out, "PASS {}", entry.name)?,
            Err(difference) => {
                failed += 1;
                writeln!(out, "FAIL {}: {difference}", entry.name)?;
            }
        }
    }
    writeln!(out, "{} passed, {failed} failed", entries.len() - failed)?;
    out.flush()?;
    Ok(failed)
}
