//! Searches all configurations, or some, and prints a table. Ends with status 1 if a property does not hold.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use snapshot_verification::model::config::{Config, Effort};
use snapshot_verification::model::oracle::Rule;
use snapshot_verification::model::trace::Trace;
use snapshot_verification::model::{Found, Group, Limits, configs, search};

/// Walks through every state of small groups of the shipped coordinators and checks what must hold in each.
///
/// Ends with status 1 if a property does not hold, or if a search never came by what it is for.
#[derive(Debug, Parser)]
#[command(name = "model_check", version)]
struct CommandLine {
    /// The large configurations as well
    #[arg(long)]
    all: bool,
    /// Only the small ones, up to the first that fails; one that has no end fails too
    #[arg(long, conflicts_with = "all")]
    quick: bool,
    /// Only the configuration of this name, or those whose names begin so
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// The most states of a configuration [default: 20 million; 2 million with --quick]
    #[arg(long, value_name = "N")]
    states: Option<u64>,
    /// The most minutes for a configuration
    #[arg(long, value_name = "M", default_value_t = 30)]
    minutes: u64,
    /// How many threads search; with one, a counterexample is the shortest
    #[arg(long, value_name = "T", default_value_t = 1)]
    threads: usize,
    /// Depth first: little memory for any number of states, and longer counterexamples
    #[arg(long)]
    deep: bool,
    /// Prints the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// Walks one way through the only configuration: the numbers of a counterexample
    #[arg(long, value_name = "CHOICES", requires = "only")]
    replay: Option<String>,
    /// Says what is searched, and searches nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let mut chosen = line.chosen();
    if line.quick {
        // What fails should fail soon.
        chosen.sort_by_key(|config| config.effort);
    }
    if chosen.is_empty() {
        eprintln!("no configuration has that name: `--all --list` shows them");
        ExitCode::from(2)
    } else if line.list {
        chosen.iter().for_each(|config| println!("{:<16} {:<8} {}", config.name, when(config), config.about));
        ExitCode::SUCCESS
    } else if let Some(choices) = &line.replay {
        replay(&chosen, choices)
    } else {
        line.search(&chosen)
    }
}

impl CommandLine {
    fn chosen(&self) -> Vec<&'static Config> {
        let most = match (self.all || self.only.is_some(), self.quick) {
            (_, true) => Effort::Seconds,
            (true, _) => Effort::Hours,
            (false, _) => Effort::Minutes,
        };
        let all = || configs::ALL.iter().filter(|config| config.effort <= most);
        let Some(only) = &self.only else { return all().collect() };
        let named: Vec<_> = all().filter(|config| config.name == only).collect();
        if named.is_empty() { all().filter(|config| config.name.starts_with(only)).collect() } else { named }
    }

    fn limits(&self) -> Limits {
        let states = self.states.unwrap_or(if self.quick { 2_000_000 } else { 20_000_000 });
        let time = Duration::from_secs(self.minutes.saturating_mul(60));
        Limits { states, time, threads: self.threads, deep: self.deep }
    }

    fn search(&self, chosen: &[&Config]) -> ExitCode {
        println!("{} properties in every state of every configuration:\n", Rule::ALL.len());
        Rule::ALL.iter().for_each(|rule| println!("* {}", rule.name()));
        println!();
        if self.markdown {
            println!("| configuration | what | states | steps | depth | seconds | result |");
            println!("| --- | --- | ---: | ---: | ---: | ---: | --- |");
        } else {
            let heads = ("configuration", "states", "steps", "depth", "seconds");
            println!("{:<16} {:>11} {:>12} {:>6} {:>9}  result", heads.0, heads.1, heads.2, heads.3, heads.4);
        }
        let mut failed = Vec::new();
        for config in chosen {
            let found = search(config, self.limits());
            self.print(config, &found);
            failed.extend(self.complaint(&found).map(|complaint| format!("{}: {complaint}", config.name)));
            if self.quick && !failed.is_empty() {
                break;
            }
        }
        failed.iter().for_each(|failed| println!("FAILED {failed}"));
        if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// What is wrong, if anything.
    fn complaint(&self, found: &Found) -> Option<String> {
        match &found.broken {
            Some((rule, _)) => Some(format!("it does not hold that {rule}")),
            None if !found.missing.is_empty() => Some(format!("never came by {:?}", found.missing)),
            None if self.quick && !found.ended => Some("there is no end to it".to_owned()),
            None => None,
        }
    }

    /// Prints a line of the table, and the counterexample if there is one.
    fn print(&self, config: &Config, found: &Found) {
        let Found { states, steps, depth, .. } = found;
        let (name, seconds) = (config.name, found.time.as_secs_f64());
        let result = match self.complaint(found) {
            Some(complaint) => complaint,
            None if found.ended => "searched to the end".to_owned(),
            None => "no violation, stopped at the limit".to_owned(),
        };
        if self.markdown {
            let (states, steps, about) = (grouped(*states), grouped(*steps), config.about);
            println!("| {name} | {about} | {states} | {steps} | {depth} | {seconds:.1} | {result} |");
        } else {
            println!("{name:<16} {states:>11} {steps:>12} {depth:>6} {seconds:>9.1}  {result}");
        }
        if let Some((_, trace)) = &found.broken {
            println!("\n{}", trace.to_text());
            println!("      replay: --only {name} --replay {}\n", trace.choices);
        }
    }
}

fn when(config: &Config) -> &'static str {
    match config.effort {
        Effort::Moment | Effort::Seconds => "--quick",
        Effort::Minutes => "",
        Effort::Hours => "--all",
    }
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
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
