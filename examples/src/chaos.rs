//! Everything that can happen to a group of processes, in a seeded order: killed, stopped, replaced; connections that break in
//! every way; disks that are full, slow, or gone.
//!
//! [`Schedule`] says what happens next, [`Tally`] counts what came of it, [`FaultyDisk`] is a store in which it happens, `Members` are
//! the processes to which it happens; what happens to connections is done by [`proxy`](crate::proxy). Two programs do it to themselves: `bank --chaos` and `existing_app --chaos`.
//!
//! **What is real and what is not.** Processes are real ones, and killed, stopped and continued by signals of the system. Connections are real
//! ones through a proxy of ours. A store folder that goes away is renamed. Disks that are full, slow or hang are a wrapper around the
//! store in the process itself: to fill a real disk would take a file system of one's own, and rights that a test should not have.

mod disk;
mod kind;
#[cfg(unix)]
mod members;
mod schedule;
mod stopwatch;
mod tally;
mod terms;

pub use disk::{DiskControl, DiskFault, FaultyDisk, UnknownDiskFault};
pub use kind::Kind;
#[cfg(unix)]
pub use members::{Members, MembersError, Start};
pub use schedule::{Act, Schedule};
pub use stopwatch::Stopwatch;
pub use tally::{Recovery, Tally};
pub use terms::{DISK, NO_STORE, REPLACED};
