//! Over real sockets: by the contract, how two processes meet, and what strangers may do.

mod common;
mod conformance;
mod contract;
mod hostile;
mod meeting;
