//! The key-value server with snapshots (`after.rs`). With `--chaos SECONDS` it starts three of itself, lets clients write, and does
//! everything to them that can be done from outside; what was acknowledged must be there after each fault. See
//! `existing_app --chaos 1 --help`.

#[path = "after.rs"]
mod after;
#[cfg(unix)]
mod chaos;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use snapshot_core::{Failure, NodeError};
use snapshot_examples::chaos::{NO_STORE, REPLACED};
use snapshot_examples::children::Orders;

/// In the environment of a process that was started by another one of this program.
const CHILD: &str = "EXISTING_APP_CHILD";

fn main() -> ExitCode {
    #[cfg(unix)]
    if std::env::args().any(|argument| argument == "--chaos" || argument.starts_with("--chaos=")) {
        return ended(chaos::run().map_err(Into::into));
    }
    if std::env::var_os(CHILD).is_some() {
        // It ends with the one that has started it.
        let _orders = Orders::listen();
        return ended(after::main());
    }
    ended(after::main())
}

fn ended(result: Result<(), Box<dyn Error + Send + Sync>>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    // Where standard error is closed the exit code has to do.
    let _ = writeln!(io::stderr(), "existing_app: {error}");
    match error.downcast_ref::<NodeError>() {
        Some(error) if error.is_replaced() => ExitCode::from(REPLACED),
        Some(NodeError::Failed(Failure::Store { .. })) => ExitCode::from(NO_STORE),
        _ => ExitCode::FAILURE,
    }
}
