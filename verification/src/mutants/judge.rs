//! What looks for a mistake: the model check, then the simulation with a fixed number of seeds, up to the first thing that
//! does not hold.

use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Duration;

use crate::model::config::{Config, Effort};
use crate::model::{Limits, configs, search};
use crate::soak::{App, Soak};

/// What was found in the code that the judge was built with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing.
    Passed,
    /// Something did not hold.
    Killed(Kill),
}

/// What did not hold, and who found it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kill {
    /// The configuration of the model check, or the application and the seed of the simulation.
    pub by: String,
    /// The property that did not hold.
    pub property: String,
}

/// How hard the judge looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The most states of a configuration.
    pub states: u64,
    /// The seeds of each application.
    pub seeds: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { states: 400_000, seeds: 300 }
    }
}

/// Looks for a mistake in the code that this program was built with. Only a property that does not hold, or a panic, counts: a
/// search that stops at its limits, or that never came by something, says nothing.
pub fn judge(bounds: Bounds) -> Verdict {
    // What panics is reported as a verdict.
    panic::set_hook(Box::new(|_| {}));
    let small = configs::ALL.iter().filter(|config| config.effort == Effort::Moment);
    let large = configs::ALL.iter().filter(|config| config.effort == Effort::Seconds);
    let kill = small
        .map(|config| checked(config, bounds))
        .chain((0..bounds.seeds).flat_map(|seed| App::ALL.map(|app| simulated(app, seed))))
        .chain(large.map(|config| checked(config, bounds)))
        .find_map(|kill| kill);
    kill.map_or(Verdict::Passed, Verdict::Killed)
}

fn checked(config: &Config, bounds: Bounds) -> Option<Kill> {
    let limits = Limits { states: bounds.states, time: Duration::from_secs(120), ..Limits::default() };
    let property = match catch_unwind(AssertUnwindSafe(|| search(config, limits))) {
        Ok(found) => found.broken.map(|(rule, _)| rule.to_owned()),
        Err(panic) => Some(said(&*panic)),
    };
    property.map(|property| Kill { by: format!("model, {}", config.name), property })
}

fn simulated(app: App, seed: u64) -> Option<Kill> {
    let property = match catch_unwind(|| Soak::with_trace(1).run(app, seed)) {
        Ok(Ok(_)) => return None,
        Ok(Err(defect)) => defect.failure.what().to_owned(),
        Err(panic) => said(&*panic),
    };
    Some(Kill { by: format!("simulation, {app}, seed {seed}"), property })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without a word"))
}

/// One line, which [`FromStr`] reads: a judge is a process of its own.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Killed(Kill { by, property }) => {
                let property = property.lines().next().unwrap_or_default().replace('\t', " ");
                write!(f, "killed\t{by}\t{property}")
            }
        }
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.trim_end().split('\t');
        match (words.next(), words.next(), words.next()) {
            (Some("passed"), None, None) => Ok(Self::Passed),
            (Some("killed"), Some(by), Some(property)) => {
                Ok(Self::Killed(Kill { by: by.to_owned(), property: property.to_owned() }))
            }
            _ => Err(format!("'{text}' is no verdict")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_comes_back_from_its_line() {
        let kill = Kill { by: "model, cut".to_owned(), property: "every cut is consistent: not".to_owned() };
        for verdict in [Verdict::Passed, Verdict::Killed(kill)] {
            assert_eq!(verdict.to_string().parse(), Ok(verdict));
        }
        assert!("the process died".parse::<Verdict>().is_err());
    }
}
