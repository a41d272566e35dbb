//! Measures snapshot-core beside other ways to send messages, in processes over loopback, and shows tables and plots.
//!
//! `cargo run --release --manifest-path compare/Cargo.toml -- --help`

mod clock;
mod end;
mod flags;
mod gaps;
mod machine;
mod plot;
mod process;
mod rounds;
mod setup;
mod statistics;
mod subject;
mod subjects;
mod table;
mod tally;
mod way;
mod ways;

use clap::Parser;

use flags::Flags;

fn main() {
    let mut words = std::env::args();
    if words.nth(1).as_deref() == Some(process::END) {
        end::run(&words.next().expect("the parent says what to do"));
    }
    let flags = Flags::parse();
    println!("{}", machine::describe());
    if flags.quick {
        println!("\nShort rounds and few of them: a first look, and no figures to quote.");
    }
    for subject in flags.subjects() {
        subjects::compare(subject, &flags);
    }
}
