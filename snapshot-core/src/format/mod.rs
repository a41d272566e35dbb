//! The bytes of everything that is stored or sent, and the checks of what is read.

pub(crate) mod control;
pub(crate) mod envelope;
#[cfg(test)]
pub(crate) mod golden;
pub(crate) mod part;
#[cfg(test)]
pub(crate) mod properties;
pub(crate) mod record;
pub(crate) mod stamp;
pub(crate) mod wire;
