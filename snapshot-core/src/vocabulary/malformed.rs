//! Bytes that cannot be read.

use thiserror::Error;

/// Bytes that are not what they should be.
///
/// ```
/// let error = snapshot_core::Stamp::from_bytes(b"").unwrap_err();
/// assert_eq!(error.to_string(), "malformed bytes: ends too early");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[error("malformed bytes: {what}")]
pub struct Malformed {
    what: &'static str,
}

impl Malformed {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what }
    }
}
