//! `bank`: branches as processes of their own that transfer money without pause, snapshots all the while, `kill -9`, and
//! recovery to the newest committed snapshot. At the end every snapshot is audited.
//!
//! [`branch`] is the program that uses the library. See `bank --help`.

mod audit;
mod auditor;
mod branch;
#[cfg(unix)]
mod chaos;
mod course;
mod cuts;
mod flags;
mod folder;
mod judgement;
mod ledger;
mod parent;
mod report;
mod screen;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::branch::BranchError;
use crate::flags::{CommandLine, Role};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let CommandLine { role, run } = CommandLine::parse();
    let ended: Result<(), Box<dyn Error>> = match role {
        #[cfg(unix)]
        None if run.chaos.is_some() => chaos::run(run).await.map_err(Into::into),
        #[cfg(not(unix))]
        None if run.chaos.is_some() => Err("--chaos needs the signals of Unix".into()),
        None => parent::run(run).await.map_err(Into::into),
        Some(Role::Audit(flags)) => auditor::run(flags).await.map_err(Into::into),
        Some(Role::Branch(flags)) => branch::run(flags).await.map_err(Into::into),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed the exit code has to do.
            let _ = writeln!(io::stderr(), "bank: {}", with_causes(&*error));
            error
                .downcast_ref()
                .map_or(ExitCode::FAILURE, |end: &BranchError| ExitCode::from(end.exit_code()))
        }
    }
}

fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause: &&dyn Error| (*cause).source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}
