//! The child's side: what the parent says, and what is said to it.

use std::io::{self, BufRead, Write};

use tokio::sync::mpsc;

use super::complain;

/// The exit code of a child that ended because its parent was gone.
pub const ORPHANED: i32 = 86;

/// Orders that wait to be taken by a child.
const WAITING_ORDERS: usize = 256;

/// What the parent says to this process, line by line.
///
/// ```no_run
/// # async fn f() {
/// let mut orders = snapshot_examples::children::Orders::listen();
/// while orders.next().await != "stop" { /* work */ }
/// # }
/// ```
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<String>);

impl Orders {
    /// Listens on standard input. From now on **this process ends, with the exit code [`ORPHANED`], as soon as its
    /// standard input is closed**, whatever it is doing: that is how a child learns that its parent was killed.
    pub fn listen() -> Self {
        let (give, take) = mpsc::channel(WAITING_ORDERS);
        // A thread of its own, and not the runtime's, which would wait at its end for the next line.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if let Err(mpsc::error::TrySendError::Full(_)) = give.try_send(line) {
                    complain(format_args!("{WAITING_ORDERS} orders wait: this process does not take them"));
                    break;
                }
            }
            std::process::exit(ORPHANED);
        });
        Self(take)
    }

    /// Waits for the next line.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a line that was not returned is returned by the next call.
    pub async fn next(&mut self) -> String {
        match self.0.recv().await {
            Some(line) => line,
            // Standard input is closed, and the process ends at any moment.
            None => std::future::pending().await,
        }
    }
}

/// Says a line to the parent, which hears it as [`Heard::Line`](super::Heard::Line). The line must not contain a line break.
///
/// # Errors
///
/// If the parent is gone.
pub fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
