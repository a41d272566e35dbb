//! The trait that stands between a node and the application's state.

use std::io;

/// The application's state, as a snapshot sees it.
///
/// Capture has two phases, so that a large state does not stop the message loop: [`capture`](Self::capture) is cheap and
/// runs between two turns; [`encode`](Self::encode) runs on a thread of the store and streams into it, without a second
/// copy in memory.
///
/// A state with serde's traits and `Clone` becomes one by a single line, see [`PostcardState`](crate::PostcardState)
/// (feature `postcard`).
///
/// # Contract
///
/// * **P1** `capture` has no effect that the application could see, and does no I/O.
/// * **P2** What it returns is owned: it does not change when the application goes on.
/// * **P3** `install(decode(VERSION, encode(capture())))` makes a state that behaves as the captured one did.
/// * **P4** `install` replaces all of the state: nothing of what was there before shows through.
/// * **P5** `decode` fails on bytes that it does not understand, and on a version that it does not know; it does not panic.
///
/// ```
/// use snapshot_core::StateProvider;
/// use std::io::{self, Read, Write};
///
/// #[derive(Debug, PartialEq)]
/// struct Counter(u64);
///
/// impl StateProvider for Counter {
///     type Captured = u64;
///     fn capture(&mut self) -> u64 { self.0 }
///     fn install(&mut self, captured: u64) { self.0 = captured; }
///     fn encode(captured: &u64, out: &mut dyn Write) -> io::Result<()> { out.write_all(&captured.to_le_bytes()) }
///     fn decode(_version: u32, input: &mut dyn Read) -> io::Result<u64> {
///         let mut bytes = [0; 8];
///         input.read_exact(&mut bytes)?;
///         Ok(u64::from_le_bytes(bytes))
///     }
/// }
/// ```
pub trait StateProvider: 'static {
    /// What a capture holds: a clone of a persistent map, an `Arc`, the plain value where it is small.
    type Captured: Send + 'static;

    /// The version of the byte form, given to [`decode`](Self::decode) of a later release.
    const VERSION: u32 = 1;

    /// Takes the state as it is between two turns.
    fn capture(&mut self) -> Self::Captured;

    /// Goes back to a captured state.
    fn install(&mut self, captured: Self::Captured);

    /// Writes a captured state. Runs off the message loop.
    ///
    /// # Errors
    ///
    /// What `out` says. The snapshot is then aborted.
    fn encode(captured: &Self::Captured, out: &mut dyn io::Write) -> io::Result<()>;

    /// Reads what [`encode`](Self::encode) of `version` wrote. Runs off the message loop.
    ///
    /// # Errors
    ///
    /// If these bytes are no state, or of a version that this release does not know.
    fn decode(version: u32, input: &mut dyn io::Read) -> io::Result<Self::Captured>;
}

/// A node that has no state to keep: only what is in flight is recorded.
impl StateProvider for () {
    type Captured = ();

    fn capture(&mut self) {}

    fn install(&mut self, (): ()) {}

    fn encode((): &(), _: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }

    fn decode(_: u32, _: &mut dyn io::Read) -> io::Result<()> {
        Ok(())
    }
}
