//! The kinds of faults.

use std::fmt;

/// What is done to a group.
///
/// ```
/// use snapshot_examples::chaos::Kind;
/// assert!(Kind::ALL.contains(&Kind::KillInPart));
/// assert_eq!(Kind::KillAll.to_string(), "kill all");
/// assert!(Kind::of_any_program().all(|kind| !kind.needs_help()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// SIGKILL of one, at any moment.
    KillOne,
    /// SIGKILL of more than one at once.
    KillSeveral,
    /// SIGKILL of all at once.
    KillAll,
    /// SIGKILL of one when it has begun a snapshot.
    KillAtCapture,
    /// SIGKILL in the middle of writing a part.
    KillInPart,
    /// SIGKILL before a record of the journal is written.
    KillBeforeRecord,
    /// SIGKILL when a record of the journal is written, and nobody was told.
    KillAfterRecord,
    /// SIGKILL of one, and again while it reads its part.
    KillInRollback,
    /// SIGSTOP until the others have given up a snapshot for its sake, then SIGCONT.
    Stop,
    /// SIGSTOP, a second process in its place, then SIGCONT: the first one must end by itself.
    Replace,
    /// Connections are closed.
    Cut,
    /// Connections are reset.
    Reset,
    /// Bytes vanish both ways, nothing is closed.
    HalfOpen,
    /// Bytes vanish one way, nothing is closed.
    OneWay,
    /// Connections are slow.
    SlowLink,
    /// A byte at a time.
    Split,
    /// The store has no space left.
    FullDisk,
    /// The store takes its time.
    SlowDisk,
    /// The store does not answer.
    HangingDisk,
    /// The folder of the store goes away, and comes back.
    FolderGone,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::KillOne,
        Self::KillSeveral,
        Self::KillAll,
        Self::KillAtCapture,
        Self::KillInPart,
        Self::KillBeforeRecord,
        Self::KillAfterRecord,
        Self::KillInRollback,
        Self::Stop,
        Self::Replace,
        Self::Cut,
        Self::Reset,
        Self::HalfOpen,
        Self::OneWay,
        Self::SlowLink,
        Self::Split,
        Self::FullDisk,
        Self::SlowDisk,
        Self::HangingDisk,
        Self::FolderGone,
    ];

    /// Whether the program must help: say what it is doing, or keep its snapshots in a [`FaultyDisk`](super::FaultyDisk).
    pub fn needs_help(self) -> bool {
        match self {
            Self::KillAtCapture
            | Self::KillInPart
            | Self::KillBeforeRecord
            | Self::KillAfterRecord
            | Self::KillInRollback
            | Self::FullDisk
            | Self::SlowDisk
            | Self::HangingDisk => true,
            Self::KillOne
            | Self::KillSeveral
            | Self::KillAll
            | Self::Stop
            | Self::Replace
            | Self::Cut
            | Self::Reset
            | Self::HalfOpen
            | Self::OneWay
            | Self::SlowLink
            | Self::Split
            | Self::FolderGone => false,
        }
    }

    /// Those that can be done to any program, from outside.
    pub fn of_any_program() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| !kind.needs_help())
    }

    /// How many times it comes in each round of a schedule. Processes die more often than disks.
    pub(super) fn weight(self) -> usize {
        match self {
            Self::KillOne | Self::KillSeveral | Self::KillAll => 3,
            _ => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KillOne => "kill one",
            Self::KillSeveral => "kill several",
            Self::KillAll => "kill all",
            Self::KillAtCapture => "kill at capture",
            Self::KillInPart => "kill in part write",
            Self::KillBeforeRecord => "kill before record",
            Self::KillAfterRecord => "kill after record",
            Self::KillInRollback => "kill in rollback",
            Self::Stop => "stop, continue",
            Self::Replace => "stop, replace",
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::HalfOpen => "half-open",
            Self::OneWay => "one-way",
            Self::SlowLink => "slow link",
            Self::Split => "byte by byte",
            Self::FullDisk => "full disk",
            Self::SlowDisk => "slow disk",
            Self::HangingDisk => "hanging disk",
            Self::FolderGone => "folder gone",
        })
    }
}
