//! Over real sockets: by the contract, how two processes meet, what strangers may do, and what the log says.

mod common;
mod conformance;
mod contract;
mod hostile;
mod meeting;
mod telling;
