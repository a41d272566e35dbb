//! The words that all rooms share: names, the graph, frames, parts, what a node hands out and why it stops. Data, and what
//! follows from it alone.

pub(crate) mod event;
pub(crate) mod frame;
pub(crate) mod frames;
pub(crate) mod id;
pub(crate) mod inbox;
pub(crate) mod key;
pub(crate) mod life;
pub(crate) mod malformed;
pub(crate) mod outcome;
pub(crate) mod part;
#[cfg(test)]
pub(crate) mod properties;
pub(crate) mod retention;
pub(crate) mod run;
pub(crate) mod shape;
pub(crate) mod topology;
