//! A network between processes that does what networks do on bad days: it cuts connections, lets bytes vanish, is slow.
//!
//! Between two nodes stands a [`Link`]: it listens, and carries what comes on to where it is told. What happens to the bytes
//! meanwhile is a [`LinkFault`] ([`faults`]). A [`Mesh`] is a link for each pair of a group. All run on one thread of their own ([`Network`]), so that
//! a parent that is busy does not slow its children down.
//!
//! Bytes that have vanished are never made up for: a connection that has lost some is reset before the next one would
//! arrive, as the system of a peer does that knows nothing of it. So no fault makes of TCP what it is not.

pub mod faults;
mod listener;
mod mesh;
mod pump;
mod route;
#[cfg(test)]
mod tests;

pub use faults::{LinkFault, Way};
pub use listener::{Link, Network};
pub use mesh::{Mesh, Pair, pairs};
