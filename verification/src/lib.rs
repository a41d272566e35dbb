//! Evidence on `snapshot-core` that is too heavy for unit tests.
//!
//! * [`soak`]: whole nodes in deterministic simulation, under every fault, one seed deciding everything.
//!   `cargo run --release -p snapshot-verification --bin soak -- --minutes 5` runs new seeds for as long as one says.
//! * [`model`]: every interleaving of small groups of the shipped coordinators, judged by an independent account of what
//!   must hold. `cargo run --release -p snapshot-verification --bin model_check` searches and prints a table.
//! * [`mutants`]: plausible mistakes, each a patch, and proof that the two above find them.
//!   `cargo run --release -p snapshot-verification --bin mutants` tries them all and prints a table.
//! * [`fuzzing`]: bytes from anybody for everything that reads bytes of others. `cargo fuzz` looks for new ones, from
//!   `verification/fuzz`; the tests replay those that were kept.
//! * [`trace`]: traces of coordinators at work, held against the specification in `spec/`.
//!   `cargo run --release -p snapshot-verification --bin trace_check -- FILE…` says which step is not allowed.

#[cfg(feature = "all")]
pub mod fuzzing;
pub mod model;
pub mod mutants;
#[cfg(feature = "simulation")]
pub mod soak;
#[cfg(feature = "all")]
pub mod trace;
