//! Which committed snapshots are kept.

use std::num::NonZeroU32;

/// How many commits a record names where all are kept; falling back reaches no further.
pub(crate) const REMEMBERED: usize = 64;

/// Which committed snapshots are kept. Counted along the lineage: commits that the group fell back behind do not count.
///
/// The newest one is always kept: it is where a restart begins.
///
/// ```
/// use snapshot_core::Retention;
/// use std::num::NonZeroU32;
/// assert_eq!(Retention::default(), Retention::last(3));
/// assert_eq!(Retention::last(5), Retention::Last(NonZeroU32::new(5).unwrap()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Retention {
    /// No committed snapshot is ever deleted: the store grows without bound. What was given up goes, as far as the process that wrote
    /// it lives. Falling back from a damaged snapshot reaches the last 64.
    All,
    /// The last `n`; parts of older ones are deleted. More than [`Retention::MAX`] counts as that many.
    Last(NonZeroU32),
}

impl Retention {
    /// The most commits that [`Last`](Self::Last) keeps: every record of the journal names them.
    pub const MAX: u32 = 1000;

    /// The last `n` commits, brought into 1 to [`Retention::MAX`].
    pub const fn last(n: u32) -> Self {
        let n = if n > Self::MAX { Self::MAX } else { n };
        Self::Last(match NonZeroU32::new(n) {
            Some(n) => n,
            None => NonZeroU32::MIN,
        })
    }

    /// How many commits a record names under this.
    pub(crate) fn named(self) -> usize {
        match self {
            Self::All => REMEMBERED,
            Self::Last(n) => n.get().min(Self::MAX) as usize,
        }
    }

    pub(crate) fn within_bounds(self) -> Self {
        match self {
            Self::All => Self::All,
            Self::Last(n) => Self::last(n.get()),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::last(3)
    }
}
