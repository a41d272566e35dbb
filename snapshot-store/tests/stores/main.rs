//! The stores: by their contract, and each by what is its own.

mod conformance;
mod directory;
mod faults;
#[cfg(unix)]
mod processes;
