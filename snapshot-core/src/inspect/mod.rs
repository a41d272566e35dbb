//! Looking at a group from outside: one whole cut, and a store that is read without a node.

pub(crate) mod archive;
pub(crate) mod global_snapshot;
