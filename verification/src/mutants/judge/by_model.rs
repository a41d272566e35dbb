//! The model check: the configurations that take seconds, within a bound.

use std::time::Duration;

use super::{Bounds, Kill, caught};
use crate::model::config::{Config, Effort};
use crate::model::{Limits, configs, search};

/// The most time for one configuration.
const TIME: Duration = Duration::from_secs(120);

pub(super) fn look(bounds: Bounds) -> Option<Kill> {
    let mut quick: Vec<_> = configs::ALL.iter().filter(|config| config.effort <= Effort::Seconds).collect();
    quick.sort_by_key(|config| config.effort);
    quick.into_iter().find_map(|config| searched(config, bounds))
}

fn searched(config: &Config, bounds: Bounds) -> Option<Kill> {
    let limits = Limits { states: bounds.states, time: TIME, ..Limits::default() };
    caught(format!("model, {}", config.name), || {
        search(config, limits).broken.map(|(rule, _)| rule.to_owned())
    })
}
