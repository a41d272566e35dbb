//! The model check: the configurations that take seconds, within a bound.

use std::time::Duration;

use super::{Bounds, Kill, caught};
use crate::model::config::Effort;
use crate::model::{Limits, configs, search};

/// The most time for one configuration.
const TIME: Duration = Duration::from_secs(120);

/// The small ones first. A search without an end is left at its bound, and so is the model check: what goes on for ever is for
/// the simulation to judge.
pub(super) fn look(bounds: Bounds) -> Option<Kill> {
    let mut quick: Vec<_> = configs::ALL.iter().filter(|config| config.effort <= Effort::Seconds).collect();
    quick.sort_by_key(|config| config.effort);
    for config in quick {
        let limits = Limits { states: bounds.states, time: TIME, ..Limits::default() };
        let mut has_end = true;
        let kill = caught(format!("model, {}", config.name), || {
            let found = search(config, limits);
            has_end = found.ended;
            found.broken.map(|(rule, _)| rule.to_owned())
        });
        if kill.is_some() || !has_end {
            return kill;
        }
    }
    None
}
