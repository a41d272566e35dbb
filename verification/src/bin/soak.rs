//! Runs simulations for as long as one says. Ends with status 1 if a seed fails.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use snapshot_transport_mem::simulation::Summary;
use snapshot_verification::soak::{App, Soak};

/// How often it says that it is still at work.
const PROGRESS: Duration = Duration::from_secs(60);

/// Simulates whole groups under faults, seed after seed, and says how many, how fast, and what went wrong in them.
#[derive(Debug, Parser)]
#[command(name = "soak", version)]
struct CommandLine {
    /// For how long
    #[arg(long, value_name = "M", default_value_t = 1.0, conflicts_with = "seed")]
    minutes: f64,
    /// Only this application; may be given more than once
    #[arg(long, value_name = "NAME")]
    app: Vec<App>,
    /// Only this seed, with its whole trace if it fails
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The first seed; by default the present time in seconds, so that no two soaks are the same
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// How many threads run seeds; by default as many as there are processors
    #[arg(long, value_name = "T")]
    threads: Option<usize>,
    /// Goes on after a failure
    #[arg(long)]
    keep_going: bool,
}

/// What all threads share.
struct Work {
    apps: Vec<App>,
    next: AtomicU64,
    first: u64,
    failed: AtomicBool,
    keep_going: bool,
    end: Instant,
    done: Mutex<BTreeMap<App, Summary>>,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let apps = if line.app.is_empty() { App::ALL.to_vec() } else { line.app };
    if let Some(seed) = line.seed {
        return replay(&apps, seed);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first = line.from.unwrap_or(now.as_secs() << 16);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let begun = Instant::now();
    let work = Work {
        apps,
        next: AtomicU64::new(0),
        first,
        failed: AtomicBool::new(false),
        keep_going: line.keep_going,
        end: begun + Duration::from_secs_f64((line.minutes * 60.0).clamp(0.0, 1e7)),
        done: Mutex::default(),
    };
    println!("seeds from {first} on");
    thread::scope(|scope| {
        let (running, ended) = mpsc::channel::<()>();
        for _ in 0..line.threads.unwrap_or(cores).max(1) {
            let (work, running) = (&work, running.clone());
            scope.spawn(move || {
                run(work);
                drop(running);
            });
        }
        drop(running);
        while ended.recv_timeout(PROGRESS) == Err(RecvTimeoutError::Timeout) {
            let seeds = work.next.load(Ordering::Relaxed);
            eprintln!("{seeds} seeds, {:.1} a second", seeds as f64 / begun.elapsed().as_secs_f64());
        }
    });
    report(&work, begun.elapsed());
    if work.failed.into_inner() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs seeds, each with every application, until the time is over or one has failed.
fn run(work: &Work) {
    let mut soak = Soak::new();
    while Instant::now() < work.end && (work.keep_going || !work.failed.load(Ordering::Relaxed)) {
        let count = work.next.fetch_add(1, Ordering::Relaxed);
        let apps = work.apps.len() as u64;
        let (app, seed) = (work.apps[(count % apps) as usize], work.first.wrapping_add(count / apps));
        match soak.run(app, seed) {
            Ok(summary) => {
                let mut done = work.done.lock().unwrap_or_else(PoisonError::into_inner);
                *done.entry(app).or_default() += &summary;
            }
            Err(defect) => {
                work.failed.store(true, Ordering::Relaxed);
                eprintln!("{defect}");
            }
        }
    }
}

fn report(work: &Work, took: Duration) {
    let done = work.done.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = Summary::default();
    for (app, summary) in &*done {
        let Summary { runs, messages, commits, aborts, rollbacks, .. } = summary;
        println!(
            "{app:<9} {runs:>9} seeds {messages:>11} messages {commits:>9} snapshots committed {aborts:>9} given up \
             {rollbacks:>9} rollbacks"
        );
        all += summary;
    }
    let seconds = took.as_secs_f64();
    println!("\n{all}");
    println!("\n{:.0} seconds, {:.1} seeds/s", seconds, all.runs as f64 / seconds);
}

/// Runs one seed, twice, since it must do the same both times.
fn replay(apps: &[App], seed: u64) -> ExitCode {
    let mut soak = Soak::with_trace(usize::MAX);
    let mut well = true;
    for app in apps {
        let (once, again) = (soak.run(*app, seed), soak.run(*app, seed));
        if once != again {
            well = false;
            eprintln!("{app}: seed {seed} does not do the same each time");
        }
        match once {
            Ok(summary) => println!("{app}: seed {seed} holds: {summary}"),
            Err(defect) => {
                well = false;
                eprintln!("{defect}");
            }
        }
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
