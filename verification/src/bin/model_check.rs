//! Searches all configurations, or some, and prints a table. Ends with status 1 if a property does not hold.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use snapshot_verification::model::config::{Config, Effort};
use snapshot_verification::model::oracle::Rule;
use snapshot_verification::model::trace::Trace;
use snapshot_verification::model::{Found, Group, Limits, configs, search};

/// Walks through every state of small groups of the shipped coordinators and checks what must hold in each.
#[derive(Debug, Parser)]
#[command(name = "model_check", version)]
struct CommandLine {
    /// The large configurations as well
    #[arg(long)]
    all: bool,
    /// Only configurations whose name begins so
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// The most states of a configuration
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    states: u64,
    /// The most minutes for a configuration
    #[arg(long, value_name = "M", default_value_t = 30)]
    minutes: u64,
    /// How many threads search; with one, a counterexample is the shortest
    #[arg(long, value_name = "T", default_value_t = 1)]
    threads: usize,
    /// Depth first: less memory, longer counterexamples
    #[arg(long)]
    deep: bool,
    /// Walks one way through the only configuration: the numbers of a counterexample
    #[arg(long, value_name = "CHOICES", requires = "only")]
    replay: Option<String>,
    /// Says what is searched, and searches nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let named = |config: &&Config| line.only.as_ref().is_none_or(|only| config.name.starts_with(only));
    let wanted = |config: &&Config| named(config) && (line.all || line.only.is_some() || config.effort != Effort::Large);
    let chosen: Vec<&Config> = configs::ALL.iter().filter(wanted).collect();
    if chosen.is_empty() {
        eprintln!("no configuration has that name: --list shows them");
        return ExitCode::from(2);
    }
    if line.list {
        for config in chosen {
            println!("{:<16} {}{}", config.name, config.about, if config.effort == Effort::Large { " (--all)" } else { "" });
        }
        return ExitCode::SUCCESS;
    }
    if let Some(choices) = &line.replay {
        return replay(&chosen, choices);
    }
    println!("{} properties in every state of every configuration:", Rule::ALL.len());
    Rule::ALL.iter().for_each(|rule| println!("  {}", rule.name()));
    println!("\n{:<16} {:>11} {:>12} {:>6} {:>9}  result", "configuration", "states", "steps", "depth", "seconds");
    let time = Duration::from_secs(line.minutes.saturating_mul(60));
    let limits = Limits { states: line.states, time, threads: line.threads, deep: line.deep };
    let mut is_well = true;
    for config in chosen {
        is_well &= report(config, &search(config, limits));
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line of the table, and the counterexample if there is one. Returns whether all is well.
fn report(config: &Config, found: &Found) -> bool {
    let result = match (&found.broken, found.ended) {
        (Some((rule, _)), _) => format!("BROKEN: {rule}"),
        (None, true) if found.missing.is_empty() => "searched to the end".to_owned(),
        (None, true) => format!("USELESS: never came by {:?}", found.missing),
        (None, false) => "no violation, stopped at the limit".to_owned(),
    };
    let Found { states, steps, depth, .. } = found;
    let seconds = found.time.as_secs_f64();
    println!("{:<16} {states:>11} {steps:>12} {depth:>6} {seconds:>9.1}  {result}", config.name);
    if let Some((_, trace)) = &found.broken {
        println!("\n{}", trace.to_text());
        println!("      replay: --only {} --replay {}\n", config.name, trace.choices);
    }
    found.broken.is_none() && (!found.ended || found.missing.is_empty())
}

fn replay(chosen: &[&Config], choices: &str) -> ExitCode {
    let [config] = chosen else {
        eprintln!("--replay walks through one configuration: give its whole name with --only");
        return ExitCode::from(2);
    };
    match Trace::replay(&Group::new(config, u64::MAX), choices) {
        Ok(trace) => {
            print!("{}", trace.to_text());
            if trace.ends.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
