//! The simulation: the first seeds of each application.

use super::{Bounds, Kill, caught};
use crate::soak::{App, Soak};

pub(super) fn look(bounds: Bounds) -> Option<Kill> {
    let mut runs = (0..bounds.seeds).flat_map(|seed| App::ALL.map(|app| (app, seed)));
    runs.find_map(|(app, seed)| simulated(app, seed))
}

fn simulated(app: App, seed: u64) -> Option<Kill> {
    caught(format!("simulation, {app}, seed {seed}"), || {
        Soak::with_trace(1).run(app, seed).err().map(|defect| defect.failure.what().to_owned())
    })
}
