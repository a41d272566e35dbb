//! What runs the rules over a transport, a store and a clock. It moves data and decides nothing.

pub(crate) mod builder;
pub(crate) mod check;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod links;
pub(crate) mod node;
pub(crate) mod patience;
pub(crate) mod persist;
pub(crate) mod shared;
