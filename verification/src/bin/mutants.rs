//! Breaks a copy of the workspace in one place after another, and prints what found each mistake. Ends with status 1 if
//! nothing did, or if a mistake no longer fits the code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use snapshot_verification::mutants::judge::{Bounds, judge};
use snapshot_verification::mutants::{Kill, Mutant, Options, Verdict, Workshop};

/// Applies plausible mistakes, one at a time, to a temporary copy of the workspace, and prints a table of what finds them: the
/// model check, or the simulation.
///
/// Ends with status 1 if a mistake is not found or no longer fits, or if something is found where there is none.
#[derive(Debug, Parser)]
#[command(name = "mutants", version)]
struct CommandLine {
    /// Only the mutants whose names have this in them; may be given more than once
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Says which mutants there are, and tries none
    #[arg(long)]
    list: bool,
    /// The most states of a configuration of the model check: what is behind them is not looked at
    #[arg(long, value_name = "N", default_value_t = Bounds::default().states)]
    states: u64,
    /// The seeds of each application of the simulation
    #[arg(long, value_name = "N", default_value_t = Bounds::default().seeds)]
    seeds: u64,
    /// After so many minutes a mutant counts as not found
    #[arg(long, value_name = "M", default_value_t = 15)]
    minutes: u64,
    /// How many compilers run side by side
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Where the copy is made and built [default: `mutants` in the target folder of the workspace]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Prints the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// Judges the code that this program was built with: what is run in the copy
    #[arg(long, hide = true)]
    judge: bool,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    if line.judge {
        println!("{}", judge(line.bounds()));
        return ExitCode::SUCCESS;
    }
    match line.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

impl CommandLine {
    fn bounds(&self) -> Bounds {
        Bounds { states: self.states, seeds: self.seeds }
    }

    fn run(&self) -> Result<ExitCode, String> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut mutants = Mutant::all(&package.join("mutants")).map_err(|error| error.to_string())?;
        mutants
            .retain(|mutant| self.only.is_empty() || self.only.iter().any(|name| mutant.name.contains(name)));
        if mutants.is_empty() {
            return Err("no mutant has that name: `--list` shows them".to_owned());
        }
        if self.list {
            for Mutant { name, mistake, rule, .. } in &mutants {
                println!("{name}\n    {mistake}\n    breaks: {rule}");
            }
            return Ok(ExitCode::SUCCESS);
        }
        let workspace = package.parent().ok_or("the package has no workspace around it")?;
        let folder = self.folder.clone().unwrap_or_else(|| workspace.join("target").join("mutants"));
        let patience = Duration::from_secs(self.minutes.saturating_mul(60));
        let options = Options { jobs: self.jobs, patience, bounds: self.bounds() };
        let workshop = Workshop::open(workspace, &folder, options).map_err(|error| error.to_string())?;
        let begun = Instant::now();
        match workshop.try_sound()? {
            Verdict::Passed => {
                println!("without a mutant all holds ({:.0} s)\n", begun.elapsed().as_secs_f64());
            }
            Verdict::Killed(Kill { by, property }) => {
                return Err(format!("there is a mistake already, found by {by}: {property}"));
            }
        }
        Ok(self.table(&workshop, &mutants))
    }

    fn table(&self, workshop: &Workshop, mutants: &[Mutant]) -> ExitCode {
        if self.markdown {
            println!(
                "| mutant | breaks | killed by | what did not hold | seconds |\n| --- | --- | --- | --- | ---: |"
            );
        } else {
            println!("{:<32} {:>7}  {:<34} what did not hold", "mutant", "seconds", "killed by");
        }
        let mut alive = Vec::new();
        for mutant in mutants {
            let begun = Instant::now();
            let (by, what) = match workshop.try_mutant(mutant) {
                Ok(Verdict::Killed(Kill { by, property })) => (by, property),
                Ok(Verdict::Passed) => ("nothing".to_owned(), String::new()),
                Err(error) => ("nothing".to_owned(), error),
            };
            if by == "nothing" {
                alive.push(&mutant.name);
            }
            let seconds = begun.elapsed().as_secs_f64();
            let Mutant { name, rule, .. } = mutant;
            if self.markdown {
                println!("| {name} | {rule} | {by} | {what} | {seconds:.0} |");
            } else {
                println!("{name:<32} {seconds:>7.0}  {by:<34} {what}");
            }
        }
        println!("\n{} mutants, {} killed", mutants.len(), mutants.len() - alive.len());
        alive.iter().for_each(|name| println!("ALIVE {name}"));
        if alive.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
