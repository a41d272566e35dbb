//! A neighbour that says anything at all to two honest nodes, amid all that happens to those: sends, snapshots, broken
//! connections, a store that fails, crashes, time.
//!
//! No panic, no bound broken, no node brought to its end; and once the liar is silent, both run and every message between
//! them has taken effect exactly once.
//!
//! What a liar can do is not judged here: nodes believe a member that says that a snapshot is committed, or what it says of
//! its own part. One that forges *another* member's receipt can have a commit written whose parts do not exist; such inputs are
//! only held to the rest.

mod action;
mod application;
mod store;
mod world;

use std::time::Duration;

use arbitrary::Arbitrary;

use action::Action;
use world::World;

/// What happens, in this order.
#[derive(Arbitrary, Debug)]
pub struct Input {
    durable: bool,
    shape: Shape,
    fall_back: bool,
    interval: Option<u16>,
    actions: Vec<Action>,
}

/// All have a link between the honest nodes.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Shape {
    Mesh,
    /// The liar hears only of node 1.
    Star,
    /// One way round, with a way back.
    Ring,
}

/// More than that shows nothing new, and takes long.
const MOST: usize = 300;

/// See the [module](self).
///
/// # Panics
///
/// Where a node does what the rules forbid.
pub fn run(input: Input) {
    let interval = input.interval.map(|millis| Duration::from_millis(1 + u64::from(millis)));
    let mut world = World::new(input.durable, input.shape, input.fall_back, interval);
    for action in input.actions.iter().take(MOST) {
        action.happen(&mut world);
        world.check_bounds();
    }
    world.settle();
}
