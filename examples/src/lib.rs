//! What the example programs share.

pub mod chaos;
pub mod children;
pub mod key_values;
pub mod ports;
pub mod proxy;
