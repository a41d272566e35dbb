//! The network in memory: by its contract, by hand, under virtual time and under runtimes.

mod conformance;
mod contract;
mod control;
mod outlive;
mod process;
mod runtimes;
mod schedules;
mod support;
mod time;
