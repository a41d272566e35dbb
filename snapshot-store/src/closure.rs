//! Calls the closures of the application without trusting them.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use snapshot_core::{Content, Sink};

/// Lets `content` write; a panic in it is an error like any other (D8).
pub(crate) fn write(content: Content, out: &mut dyn io::Write) -> io::Result<()> {
    guarded(|| content.write_to(out))
}

/// Lets `sink` read; a panic in it is an error like any other (D8).
pub(crate) fn read(sink: Sink, input: &mut dyn io::Read) -> io::Result<()> {
    guarded(|| sink.read_from(input))
}

// Unwind safety: the closure is consumed, and what it wrote so far is thrown away by every caller.
fn guarded(call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(io::Error::other(format!("the code that encodes or decodes panicked: {}", text_of(&*panic))))
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
