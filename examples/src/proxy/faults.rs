//! What can happen to the bytes of a link.

use std::fmt;
use std::time::Duration;

/// In which direction bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// From the side that has dialed.
    Forth,
    /// To the side that has dialed.
    Back,
}

/// What happens to the connections of a link, to those that stand and to new ones.
///
/// ```
/// use snapshot_examples::proxy::{LinkFault, Way};
/// assert!(!LinkFault::Clear.swallows(Way::Forth));
/// assert!(LinkFault::OneWay(Way::Back).swallows(Way::Back));
/// assert_eq!(LinkFault::HalfOpen.to_string(), "half-open");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LinkFault {
    /// Nothing: bytes are carried as they come.
    #[default]
    Clear,
    /// They are closed, both ends of them.
    Cut,
    /// They are reset: what was under way is gone at once.
    Reset,
    /// Bytes vanish in both directions, and nothing is closed.
    HalfOpen,
    /// Bytes vanish in this direction, and nothing is closed.
    OneWay(Way),
    /// 512 bytes at a time, with a pause before each.
    Slow,
    /// A byte at a time.
    Split,
}

/// How bytes are handed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pace {
    /// As many at a time.
    pub(super) piece: usize,
    /// After waiting so long.
    pub(super) pause: Duration,
}

impl LinkFault {
    /// Whether bytes that go this way vanish.
    pub fn swallows(self, way: Way) -> bool {
        match self {
            Self::HalfOpen => true,
            Self::OneWay(lost) => lost == way,
            _ => false,
        }
    }

    /// Whether no connection can stand.
    pub fn severs(self) -> bool {
        matches!(self, Self::Cut | Self::Reset)
    }

    /// How bytes are handed on that do not vanish.
    pub(super) fn pace(self) -> Pace {
        match self {
            Self::Slow => Pace { piece: 512, pause: Duration::from_millis(4) },
            Self::Split => Pace { piece: 1, pause: Duration::ZERO },
            _ => Pace { piece: usize::MAX, pause: Duration::ZERO },
        }
    }
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear => "clear",
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::HalfOpen => "half-open",
            Self::OneWay(Way::Forth) => "one-way (forth is lost)",
            Self::OneWay(Way::Back) => "one-way (back is lost)",
            Self::Slow => "slow",
            Self::Split => "a byte at a time",
        })
    }
}
