//! What processes and those who start them say to each other.

/// The exit code of a process whose place was taken by another one.
pub const REPLACED: u8 = 3;

/// The exit code of a process that could not start since its store failed. It is worth another attempt.
pub const NO_STORE: u8 = 4;

/// Order to a process: from now on its disk has the fault that is named behind it.
pub const DISK: &str = "disk ";
