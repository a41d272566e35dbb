//! The trait that stands between a node and the application's state.

use std::io;

use thiserror::Error;

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
/// * **P5** `decode` fails on bytes that it does not understand, and on a version that it does not know; it does not panic,
///   and takes no more memory than is in proportion to its input.
///
/// One line runs a test of each clause, `snapshot_conformance::state!(…)`: see the crate
/// `snapshot-conformance`.
///
/// ```
/// use snapshot_core::{StateProvider, UnknownVersion};
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
///     fn decode(version: u32, input: &mut dyn Read) -> io::Result<u64> {
///         if version != Self::VERSION {
///             return Err(UnknownVersion::of::<Self>(version).into());
///         }
///         let mut bytes = [0; 8];
///         input.read_exact(&mut bytes)?;
///         Ok(u64::from_le_bytes(bytes))
///     }
/// }
/// ```
///
/// # When the state's form changes
///
/// A snapshot outlives the release of the application that wrote it: the next release starts from it. So a release that
/// writes another byte form, or gives the same bytes another meaning, has a larger [`VERSION`](Self::VERSION) and keeps the
/// code that reads the older forms for as long as there may be snapshots of them: until each group has committed as many
/// snapshots as its store keeps, with the new release.
///
/// The way is forward only. A node whose newest committed snapshot is of a **newer** version than its own does not start,
/// and says so; its `decode` is not asked. A release that may have to be taken back reads the new version first, and writes
/// it one release later.
///
/// Messages in flight are in the snapshot too, and have no version: see [`MessageCodec`](crate::MessageCodec).
///
/// ```
/// use snapshot_core::{StateProvider, UnknownVersion};
/// use std::io::{self, Read, Write};
///
/// /// Version 1 held whole coins in 32 bits; version 2 holds hundredths in 64.
/// struct Till { cents: u64 }
///
/// impl StateProvider for Till {
///     type Captured = u64;
///     const VERSION: u32 = 2;
///     fn capture(&mut self) -> u64 { self.cents }
///     fn install(&mut self, cents: u64) { self.cents = cents; }
///     fn encode(cents: &u64, out: &mut dyn Write) -> io::Result<()> { out.write_all(&cents.to_le_bytes()) }
///     fn decode(version: u32, input: &mut dyn Read) -> io::Result<u64> {
///         match version {
///             1 => {
///                 let mut coins = [0; 4];
///                 input.read_exact(&mut coins)?;
///                 Ok(u64::from(u32::from_le_bytes(coins)) * 100)
///             }
///             2 => {
///                 let mut cents = [0; 8];
///                 input.read_exact(&mut cents)?;
///                 Ok(u64::from_le_bytes(cents))
///             }
///             _ => Err(UnknownVersion::of::<Self>(version).into()),
///         }
///     }
/// }
///
/// assert_eq!(Till::decode(1, &mut &[7, 0, 0, 0][..])?, 700);
/// let refused = Till::decode(3, &mut &[][..]).unwrap_err();
/// assert!(refused.to_string().contains("newer release"));
/// # Ok::<(), io::Error>(())
/// ```
pub trait StateProvider: 'static {
    /// What a capture holds: a clone of a persistent map, an `Arc`, the plain value where it is small.
    type Captured: Send + 'static;

    /// The version of the byte form that [`encode`](Self::encode) writes. It is stored with the state, and given to
    /// [`decode`](Self::decode).
    ///
    /// Raise it by one when an older release could not read what this one writes, or would misread it. State of a version
    /// above it is refused before `decode` is asked.
    const VERSION: u32 = 1;

    /// Takes the state as it is between two turns.
    fn capture(&mut self) -> Self::Captured;

    /// Goes back to a captured state.
    fn install(&mut self, captured: Self::Captured);

    /// Another handle on a captured state, where that costs next to nothing: a clone of a persistent map or an `Arc`. Then a node
    /// whose group goes back to a snapshot that it has just taken installs what it holds, and reads nothing. By default there is
    /// none, and it reads. See [`NodeBuilder::keep_captures`](crate::NodeBuilder::keep_captures).
    ///
    /// ```
    /// use snapshot_core::StateProvider;
    /// use std::{io, sync::Arc};
    /// struct Catalogue { entries: Arc<Vec<u8>> }
    /// impl StateProvider for Catalogue {
    ///     type Captured = Arc<Vec<u8>>;
    ///     fn capture(&mut self) -> Arc<Vec<u8>> { Arc::clone(&self.entries) }
    ///     fn install(&mut self, captured: Arc<Vec<u8>>) { self.entries = captured; }
    ///     fn keep(captured: &Arc<Vec<u8>>) -> Option<Arc<Vec<u8>>> { Some(Arc::clone(captured)) }
    ///     fn encode(captured: &Arc<Vec<u8>>, out: &mut dyn io::Write) -> io::Result<()> { out.write_all(captured) }
    ///     fn decode(_: u32, input: &mut dyn io::Read) -> io::Result<Arc<Vec<u8>>> {
    ///         let mut entries = Vec::new();
    ///         input.read_to_end(&mut entries)?;
    ///         Ok(Arc::new(entries))
    ///     }
    /// }
    /// ```
    fn keep(captured: &Self::Captured) -> Option<Self::Captured> {
        let _ = captured;
        None
    }

    /// Writes a captured state. Runs off the message loop.
    ///
    /// # Errors
    ///
    /// What `out` says. The snapshot is then aborted.
    fn encode(captured: &Self::Captured, out: &mut dyn io::Write) -> io::Result<()>;

    /// Reads what [`encode`](Self::encode) of `version` wrote. Runs off the message loop.
    ///
    /// It reads to the end of the state: bytes that it leaves are taken to mean that it did not understand them. Reads bring
    /// any number of bytes, often fewer than asked for.
    ///
    /// # Errors
    ///
    /// If these bytes are no state. If `version` is one that this release does not read: [`UnknownVersion`], so that the
    /// node's error says what to do.
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

    fn decode(version: u32, _: &mut dyn io::Read) -> io::Result<()> {
        if version == Self::VERSION { Ok(()) } else { Err(UnknownVersion::of::<Self>(version).into()) }
    }
}

/// A state is of a version that this release of the application does not read. Says what to do.
///
/// [`StateProvider::decode`] returns it as an [`io::Error`]; the node's error, and the
/// [`Archive`](crate::Archive)'s, then name node and snapshot beside it
/// ([`PartError::StateVersion`](crate::PartError::StateVersion)).
///
/// ```
/// use snapshot_core::UnknownVersion;
/// let newer = UnknownVersion { found: 3, known: 2 };
/// assert!(newer.is_newer());
/// assert!(newer.to_string().starts_with("the state was written by a newer release of the application (version 3; this one reads up to version 2)"));
/// assert_eq!(std::io::Error::from(newer).kind(), std::io::ErrorKind::InvalidData);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[error("{}", advice(*.found, *.known))]
pub struct UnknownVersion {
    /// The version of the state.
    pub found: u32,
    /// The version that this release writes, which is the newest that it reads.
    pub known: u32,
}

impl UnknownVersion {
    /// `found` is not read by this release of `S`.
    pub fn of<S: StateProvider + ?Sized>(found: u32) -> Self {
        Self { found, known: S::VERSION }
    }

    /// Whether the state was written by a newer release than this one.
    pub fn is_newer(self) -> bool {
        self.found > self.known
    }
}

impl From<UnknownVersion> for io::Error {
    fn from(version: UnknownVersion) -> Self {
        Self::new(io::ErrorKind::InvalidData, version)
    }
}

fn advice(found: u32, known: u32) -> String {
    if found > known {
        format!(
            "the state was written by a newer release of the application (version {found}; this one reads up to version \
             {known}): run the newer release, or put back a copy of the store from before it ran"
        )
    } else {
        format!(
            "the state is of version {found}, and this release of the application (version {known}) does not read that \
             version: run a release that does, or teach this one with `decode` or `PostcardState::migrate`"
        )
    }
}
