//! Over real sockets: by the contract, how two processes meet, what strangers may do, who belongs, and what the log says.

mod common;
mod conformance;
mod contract;
mod flood;
mod hostile;
mod lives;
mod meeting;
mod resuming;
mod silence;
mod snapshots;
mod telling;
#[cfg(feature = "tls")]
mod tls;
