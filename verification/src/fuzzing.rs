//! Bytes from anybody: what a fuzzer makes up is fed to everything that reads bytes of others, and judged.
//!
//! Each target is a function of some bytes that panics where something is wrong. Nothing private is reached for: bytes come
//! in as they would in a running group, from a socket, out of a store, through a transport. What is right is told by a second
//! account of the formats ([`forms`] and the `expected` modules), written from their documentation and sharing no code with
//! the readers.
//!
//! `cargo test` runs all targets on the kept inputs; `verification/fuzz` is the crate with which `cargo fuzz` looks for new ones.
//!
//! ```
//! let target = snapshot_verification::fuzzing::target("tcp_frames").unwrap();
//! (target.run)(b"any bytes at all");
//! ```

mod blob;
mod control;
pub mod coordinator;
mod drive;
pub mod forms;
pub mod journal;
mod later;
pub mod node;
pub mod part;
mod records;
mod tcp;
pub mod tcp_frames;
pub mod tcp_greeting;
pub mod tcp_tls;

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};

/// One entrance for bytes of others.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As `cargo fuzz` and the folder of its inputs name it.
    pub name: &'static str,
    /// Feeds it, and panics where something is wrong.
    pub run: fn(&[u8]),
    /// What some bytes mean to it, for people.
    pub show: fn(&[u8]) -> String,
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "tcp_frames", run: |bytes| with(bytes, tcp_frames::run), show: show::<tcp_frames::Input> },
    Target {
        name: "tcp_greeting",
        run: |bytes| with(bytes, tcp_greeting::run),
        show: show::<tcp_greeting::Input>,
    },
    Target { name: "tcp_tls", run: |bytes| with(bytes, tcp_tls::run), show: show::<tcp_tls::Input> },
    Target { name: "part", run: |bytes| with(bytes, part::run), show: show::<part::Input> },
    Target { name: "journal", run: |bytes| with(bytes, journal::run), show: show::<journal::Input> },
    Target {
        name: "coordinator",
        run: |bytes| with(bytes, coordinator::run),
        show: show::<coordinator::Input>,
    },
    Target { name: "node", run: |bytes| with(bytes, node::run), show: show::<node::Input> },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

fn with<T: for<'a> Arbitrary<'a>>(bytes: &[u8], run: fn(T)) {
    if let Ok(input) = T::arbitrary_take_rest(Unstructured::new(bytes)) {
        run(input);
    }
}

fn show<T: for<'a> Arbitrary<'a> + Debug>(bytes: &[u8]) -> String {
    let input = T::arbitrary_take_rest(Unstructured::new(bytes));
    input.map_or_else(|_| "too few bytes".to_owned(), |input| format!("{input:#?}"))
}
