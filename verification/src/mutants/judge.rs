//! What looks for a mistake: the model check, or the simulation with a fixed number of seeds, up to the first thing that does
//! not hold. They are built one after the other, since a broken core is built anew for each.

#[cfg(not(feature = "simulation"))]
mod by_model;
#[cfg(feature = "simulation")]
mod by_simulation;

use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

#[cfg(not(feature = "simulation"))]
use by_model::look;
#[cfg(feature = "simulation")]
use by_simulation::look;

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
        Self { states: 600_000, seeds: 300 }
    }
}

/// Looks for a mistake in the code that this program was built with: by the simulation, or, built without it, by the model
/// check. Only a property that does not hold, or a panic, counts: a search that stops at its limits, or that never came by
/// something, says nothing.
pub fn judge(bounds: Bounds) -> Verdict {
    // What panics is reported as a verdict.
    panic::set_hook(Box::new(|_| {}));
    look(bounds).map_or(Verdict::Passed, Verdict::Killed)
}

/// What a search has found, where a panic is a finding too.
fn caught(by: String, search: impl FnOnce() -> Option<String>) -> Option<Kill> {
    let property = catch_unwind(AssertUnwindSafe(search)).unwrap_or_else(|panic| Some(said(&*panic)));
    property.map(|property| Kill { by, property })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without a word"))
}

/// The most of a property that a verdict shows, in bytes.
const WIDTH: usize = 120;

/// One line, which [`FromStr`] reads: a judge is a process of its own.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Killed(Kill { by, property }) => {
                let line =
                    property.lines().next().unwrap_or_default().trim_end_matches(':').replace('\t', " ");
                let (short, rest) = line.split_at(line.floor_char_boundary(WIDTH));
                let more = if rest.is_empty() { "" } else { "…" };
                write!(f, "killed\t{by}\t{short}{more}")
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
        let long = Kill { by: String::new(), property: "é".repeat(100) };
        assert_eq!(Verdict::Killed(long).to_string(), format!("killed\t\t{}…", "é".repeat(60)));
        assert!("the process died".parse::<Verdict>().is_err());
    }
}
