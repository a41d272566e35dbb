//! Measures snapshot-core beside other ways to send messages, in processes over loopback, and shows tables and plots.
//!
//! `cargo run --release --manifest-path compare/Cargo.toml -- --help`

#![allow(dead_code)]

mod clock;
mod end;
mod flags;
mod gaps;
mod machine;
mod process;
mod rounds;
mod setup;
mod sizes;
mod statistics;
mod table;
mod tally;
mod ways;

use clap::Parser;

use flags::{Flags, Subject};

fn main() {
    let mut words = std::env::args();
    if words.by_ref().nth(1).as_deref() == Some(process::END) {
        end::run(&words.next().expect("the parent says what to do"));
    }
    let flags = Flags::parse();
    println!("{}", machine::describe());
    for subject in flags.subjects() {
        match subject {
            Subject::Sizes => sizes::compare(&flags),
        }
    }
}
