//! One case: its files, and the verdict.

use std::path::Path;

use thiserror::Error;

use crate::comparison;
use crate::expectation::Expectation;
use crate::group::Group;
use crate::script::Script;
use crate::simulation::{Simulation, Trouble};
use crate::text::{TextError, TextFile};

/// The names of a case's files, in the folder of the manifest.
#[derive(Debug)]
pub(crate) struct Case {
    /// The `.top` file.
    pub(crate) group: String,
    /// The `.events` file.
    pub(crate) script: String,
    /// The `.snap` files.
    pub(crate) snapshots: Vec<String>,
}

/// Why a case fails.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// A file cannot be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A step cannot be taken.
    #[error("{file}:{line}: {trouble}")]
    Step {
        /// The `.events` file.
        file: String,
        /// The step's line.
        line: usize,
        /// Why not.
        trouble: Trouble,
    },
    /// It went wrong before the first step or after the last one.
    #[error(transparent)]
    Run(#[from] Trouble),
    /// What was recorded is not what was expected.
    #[error("{0}")]
    Different(String),
}

impl Case {
    /// Runs it from a fresh start.
    pub(crate) fn run(&self, folder: &Path, delays: &[u64]) -> Result<(), Failure> {
        let read = |name: &String| TextFile::read(&folder.join(name), name);
        let group = Group::parse(&read(&self.group)?)?;
        let script = Script::parse(&read(&self.script)?, &group)?;
        let mut expectations = Vec::new();
        for name in &self.snapshots {
            expectations.push((name.clone(), Expectation::parse(&read(name)?)?));
        }
        let mut simulation = Simulation::new(&group, delays)?;
        for &(line, step) in &script.steps {
            simulation.take(step).map_err(|trouble| {
                let file = self.script.clone();
                Failure::Step { file, line, trouble }
            })?;
        }
        let outcome = simulation.drain()?;
        comparison::compare(&group, &outcome, &expectations).map_err(Failure::Different)
    }
}
