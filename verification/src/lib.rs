//! Evidence on `snapshot-core` that is too heavy for unit tests.
//!
//! * [`model`]: every interleaving of small groups of the shipped coordinators, judged by an independent account of what
//!   must hold. `cargo run --release -p snapshot-verification --bin model_check` searches and prints a table.

pub mod model;
