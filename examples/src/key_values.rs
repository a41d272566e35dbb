//! Clients of the key-value server (`existing_app`) that remember what they were told, and the question what has become of it.

mod clients;
mod line;
mod memory;
mod question;

pub use clients::Clients;
pub use line::Line;
pub use memory::{Memory, Register};
pub use question::{NeverAnswered, copies_are_good, verify};
