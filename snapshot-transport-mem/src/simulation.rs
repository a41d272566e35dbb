//! Tests of an application's state machine, on whole nodes, with the network in memory and a store that fails: by hand, or
//! under thousands of schedules and faults that a seed decides. Feature `simulation`.
//!
//! ```
//! use snapshot_core::{Graph, NodeId, PostcardState};
//! use snapshot_transport_mem::simulation::{Application, Outgoing, Random, SimulatedGroup};
//!
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! struct Ledger { balance: u64 }
//! impl PostcardState for Ledger {}
//!
//! struct Bank;
//!
//! impl Application for Bank {
//!     type State = Ledger;
//!     type Message = u64;
//!
//!     fn start(&mut self, _node: NodeId) -> Ledger {
//!         Ledger { balance: 100 }
//!     }
//!     fn handle(&mut self, ledger: &mut Ledger, _from: NodeId, amount: u64, _out: &mut Outgoing<'_, u64>) {
//!         ledger.balance += amount;
//!     }
//!     fn work(&mut self, ledger: &mut Ledger, random: &mut Random, out: &mut Outgoing<'_, u64>) {
//!         if ledger.balance > 0 {
//!             ledger.balance -= 1;
//!             out.send(*random.pick(out.neighbours()), 1);
//!         }
//!     }
//! }
//!
//! let summary = SimulatedGroup::new(Graph::mesh([1, 2, 3].map(NodeId)), || Bank)
//!     .invariant("money", |cut| {
//!         let held: u64 = cut.states().map(|(_, ledger)| ledger.balance).sum();
//!         let flying: u64 = cut.in_flight().map(|(_, amount)| *amount).sum();
//!         if held + flying == 300 { Ok(()) } else { Err(format!("{held} held and {flying} in flight")) }
//!     })
//!     .check(0..20);
//! assert!(summary.replayed || summary.commits > 20, "was there anything to look at? {summary}");
//! ```
//!
//! | to | use |
//! | --- | --- |
//! | describe the application | [`Application`], [`Outgoing`], [`Random`] |
//! | search for a schedule that breaks it | [`SimulatedGroup`], [`Faults`], [`FaultKind`] |
//! | see what a search was like, or what it found | [`Summary`], [`Failure`] |
//! | drive a group by hand: freeze a message, look at the cut, restart | [`TestGroup`], [`Cut`] |
//!
//! # When a seed fails
//!
//! The test panics with what did not hold, when, and what came before it; its last line replays it. With `SEED=17` in the
//! environment only that seed is run, and the whole trace is shown. Two runs of a seed are equal, line by line, on every
//! machine, as long as neither the application nor this library changes: keep a seed in a test for a day, and the case that
//! it found as a test by hand ([`TestGroup`]) for good.
//!
//! # What it cannot find
//!
//! A store that loses what it said was durable, frames that are damaged, a clock that goes wrong: what no contract here
//! allows does not happen here. What the application does outside of its turns, in other tasks and threads, is not seen.

mod application;
mod checks;
mod codec;
mod events;
mod failure;
mod faults;
mod group;
mod histories;
mod line;
mod plan;
mod process;
mod putting_back;
mod random;
mod run;
mod simulated_group;
mod store;
mod summary;
mod test_group;
mod trace;
mod trouble;
mod zombies;

pub use application::{Application, Cut, Outgoing};
pub use failure::Failure;
pub use faults::{FaultKind, Faults};
pub use random::Random;
pub use simulated_group::SimulatedGroup;
pub use summary::Summary;
pub use test_group::TestGroup;
