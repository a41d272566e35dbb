//! Counts the words of files with several processes, which are killed meanwhile: an ordinary distributed program on real
//! input. `wordcount [--workers W] [--kills K] FILE...`
//!
//! Readers split the files into words (runs of bytes that are no ASCII white space) and send them, by hash, to counters in
//! other processes. Snapshots go on all the while. `K` of the workers are killed with SIGKILL and started again; the group
//! goes back to its newest committed snapshot and on from there. The result is read from a committed snapshot in which
//! all words have arrived: `count<TAB>word` on standard output, sorted by the bytes of the word.
//!
//! Exits 0 only if the counts were checked against what the readers read.

mod arguments;
mod counter;
mod input;
mod killer;
mod message;
mod parent;
mod plan;
mod reader;
mod report;
mod result;
mod state;
mod worker;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.as_worker {
        Some(task) => run(worker::run(task, &arguments.files)),
        None => run(parent::run(&arguments)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            eprintln!("wordcount: {text}");
            ExitCode::FAILURE
        }
    }
}

/// One thread is enough for each process: there are many of them.
fn run(work: impl Future<Output = Result<(), Box<dyn Error>>>) -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
