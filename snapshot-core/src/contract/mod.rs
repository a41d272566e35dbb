//! What users implement, a trait a file, each with its numbered clauses.

pub(crate) mod clock;
pub(crate) mod codec;
mod delimited;
#[cfg(test)]
mod delimited_tests;
#[cfg(feature = "postcard")]
pub(crate) mod postcard;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod transport;
