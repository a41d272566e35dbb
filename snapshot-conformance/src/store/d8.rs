//! D8: content that fails leaves no object behind; a sink that fails is an error.

use std::io::{self, ErrorKind, Read, Write};

use snapshot_core::{Content, Key, Sink, StoreError};

use super::bench::chain;
use super::bench::{Bench, Check, unless_panic};
use super::contents::{LARGE, bytes};
use super::keys::{of_each_kind, part};
use crate::Breach;

pub(super) const CHECKS: &[Check] = &[
    content_that_fails_leaves_nothing,
    content_that_panics_leaves_nothing,
    a_sink_that_fails_is_an_error,
    a_sink_that_panics_breaks_nothing,
];

/// Kinds that a store might take for its own.
const KINDS: [ErrorKind; 9] = [
    ErrorKind::Other,
    ErrorKind::StorageFull,
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::UnexpectedEof,
    ErrorKind::Interrupted,
    ErrorKind::WouldBlock,
    ErrorKind::InvalidData,
    ErrorKind::BrokenPipe,
];

/// How much is written, or read, before the failure, and whether it is flushed.
const PLACES: [(usize, bool); 5] = [(0, false), (10, false), (10, true), (LARGE, false), (LARGE, true)];

fn content_that_fails_leaves_nothing(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, kind) in (0..).zip(KINDS) {
        for (at, (size, flush)) in PLACES.into_iter().enumerate() {
            let key = of_each_kind(1 + number)[at];
            let content = Content::new(move |out| {
                out.write_all(&vec![7; size])?;
                if flush {
                    out.flush()?;
                }
                Err(failure(kind))
            });
            match one.create_from(key, content) {
                Ok(created) => {
                    return Err(bench.broken(format!(
                        "`create` of {key} returned {created:?}, where its content failed with {kind:?} after {size} bytes"
                    )));
                }
                Err(error) => returned(bench, &error, kind)?,
            }
            for handle in [&one, &other] {
                handle
                    .must_miss(key, &format!("after its content failed with {kind:?} after {size} bytes"))?;
            }
            if number % 2 == 0 {
                other.put(key, &b"later"[..])?;
                one.must_hold(key, b"later", "after a `create` that failed and one that did not")?;
            }
        }
    }
    drop((one, other));
    let after = bench.open("the process after them");
    for number in (0..KINDS.len() as u64).filter(|number| number % 2 == 1) {
        for key in of_each_kind(1 + number) {
            after.must_miss(key, "after its content failed, and the store was opened again")?;
        }
    }
    Ok(())
}

/// Whether the panic goes on to the caller or becomes an error: nothing is there, and the store still works.
fn content_that_panics_leaves_nothing(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, (size, flush)) in (0..).zip(PLACES) {
        for key in of_each_kind(1 + number) {
            let content = Content::new(move |out: &mut dyn Write| {
                out.write_all(&vec![7; size])?;
                if flush {
                    out.flush()?;
                }
                panics("content")
            });
            if let Some(Ok(created)) = unless_panic(|| one.create_from(key, content)) {
                return Err(bench
                    .broken(format!("`create` of {key} returned {created:?}, where its content panicked")));
            }
            for handle in [&one, &other] {
                handle.must_miss(key, "after its content panicked")?;
            }
            one.put(key, &b"later"[..])?;
            other.must_hold(key, b"later", "after a `create` whose content panicked and one that worked")?;
        }
    }
    one.list(None).map(drop)
}

fn a_sink_that_fails_is_an_error(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, kind) in (0..).zip(KINDS) {
        for (at, (size, _)) in PLACES.into_iter().enumerate() {
            let key = of_each_kind(1 + number)[at];
            let written = bytes(number, size + 100);
            one.put(key, written.clone())?;
            for handle in [&one, &other] {
                let sink = Sink::new(move |input: &mut dyn Read| {
                    input.take(size as u64).read_to_end(&mut Vec::new())?;
                    Err(failure(kind))
                });
                match handle.read_into(key, sink) {
                    Ok(found) => {
                        return Err(bench.broken(format!(
                            "`read` of {key} by {} returned {found}, where its sink failed with {kind:?} after {size} bytes",
                            handle.name
                        )));
                    }
                    Err(error) => returned(bench, &error, kind)?,
                }
                handle.must_hold(key, &written, "after a sink that failed")?;
            }
        }
    }
    Ok(())
}

fn a_sink_that_panics_breaks_nothing(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for number in 0..3 {
        let keys: [Key; 5] = of_each_kind(1 + number);
        for key in keys {
            one.put(key, &b"object"[..])?;
            let sink = Sink::new(|_: &mut dyn Read| panics("a sink"));
            if let Some(Ok(found)) = unless_panic(|| one.read_into(key, sink)) {
                return Err(
                    bench.broken(format!("`read` of {key} returned {found}, where its sink panicked"))
                );
            }
            for handle in [&one, &other] {
                handle.must_hold(key, b"object", "after a sink that panicked")?;
            }
        }
    }
    one.put(part(9, 9, 9, 9), &b"new"[..])
}

const FAILURE: &str = "a failure that the suite has made up";

fn failure(kind: ErrorKind) -> io::Error {
    io::Error::new(kind, FAILURE)
}

/// Whoever looks for the reason finds it in the error, or in what it came from.
fn returned(bench: &Bench, error: &StoreError, kind: ErrorKind) -> Result<(), Breach> {
    let text = chain(error);
    if text.contains(FAILURE) {
        return Ok(());
    }
    Err(bench.broken(format!(
        "a closure failed with {kind:?}, and the error does not say so: {text}; give what it returned to `StoreError::new`"
    )))
}

/// Without the message that a panic hook prints: it is meant.
fn panics(what: &str) -> io::Result<()> {
    std::panic::resume_unwind(Box::new(format!("{what} of the suite, which panics on purpose")))
}
