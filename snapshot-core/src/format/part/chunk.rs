//! Chunks: the checked pieces in which a part is written and read.
//!
//! This layer never changes, whatever the format's version, so that any release can tell damage from news.

/// The most bytes that a chunk holds.
pub(super) const CHUNK: usize = 64 << 10;

/// The newest version of what the chunks hold.
pub(super) const VERSION: u8 = 2;

pub(super) const OPENING: &[u8; 5] = b"SNAPP";
/// Kind and length: what the checksum covers beside the bytes.
pub(super) const PREFIX: usize = 5;
pub(super) const FRAME: usize = PREFIX + 4;

/// What a chunk holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Header = 1,
    State = 2,
    Channel = 3,
    Messages = 4,
    End = 5,
    Outgoing = 6,
    Queued = 7,
}

impl Kind {
    /// What version 1 knew.
    const FIRST: [Self; 5] = [Self::Header, Self::State, Self::Channel, Self::Messages, Self::End];
    const SECOND: [Self; 7] =
        [Self::Header, Self::State, Self::Channel, Self::Messages, Self::End, Self::Outgoing, Self::Queued];

    pub(super) fn of(byte: u8, version: u8) -> Option<Self> {
        let known = if version == 1 { &Self::FIRST[..] } else { &Self::SECOND };
        known.iter().copied().find(|kind| *kind as u8 == byte)
    }

    pub(super) fn may_follow(self, before: Option<Self>) -> bool {
        match self {
            Self::Header => matches!(before, None | Some(Self::Header)),
            Self::State => matches!(before, Some(Self::Header | Self::State)),
            Self::Channel => {
                matches!(before, Some(Self::Header | Self::State | Self::Channel | Self::Messages))
            }
            Self::Messages => matches!(before, Some(Self::Channel | Self::Messages)),
            Self::Outgoing | Self::End => before.is_some_and(|before| before != Self::End),
            Self::Queued => matches!(before, Some(Self::Outgoing | Self::Queued)),
        }
    }
}
