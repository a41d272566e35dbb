//! The numbers by which the rules go: deadlines and bounds.

use std::time::Duration;

use crate::vocabulary::retention::Retention;

/// A bound on something that is queued: whichever of the two is reached first.
///
/// ```
/// use snapshot_core::{Bound, Settings};
/// let settings = Settings { inbox: Bound::new(100, 1 << 20), ..Settings::default() };
/// assert_eq!(settings.inbox.frames, 100);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bound {
    /// In frames or messages.
    pub frames: usize,
    /// In bytes, as messages are weighed.
    pub bytes: usize,
}

impl Bound {
    /// This many frames, and this many bytes.
    pub const fn new(frames: usize, bytes: usize) -> Self {
        Self { frames, bytes }
    }

    /// One of `shares` equal parts, and `floor` at least.
    pub(crate) fn share(self, shares: usize, floor: Self) -> Self {
        let shares = shares.max(1);
        Self {
            frames: (self.frames / shares).max(floor.frames),
            bytes: (self.bytes / shares).max(floor.bytes),
        }
    }

    pub(crate) fn is_reached(self, frames: usize, bytes: usize) -> bool {
        frames >= self.frames || bytes >= self.bytes
    }
}

/// How much work may be uncommitted: whichever of the two is reached first.
///
/// ```
/// use snapshot_core::{Settings, UncommittedBound};
/// use std::time::Duration;
/// let most = UncommittedBound { age: Duration::from_secs(60), turns: 1_000_000 };
/// let settings = Settings { durable: true, max_uncommitted: Some(most), ..Settings::default() };
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UncommittedBound {
    /// How old the oldest turn may be that no commit covers.
    pub age: Duration,
    /// How many turns there may be that no commit covers. Every call of `next` ends a turn, also one in which nothing happened.
    pub turns: u64,
}

/// How a coordinator goes about snapshots. The builder of a node sets these one by one.
///
/// ```
/// use snapshot_core::Settings;
/// use std::time::Duration;
/// let settings = Settings { deadline: Duration::from_secs(5), ..Settings::default() };
/// assert!(!settings.durable);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Settings {
    /// Whether there is a store, and so commit and recovery. Default `false`.
    pub durable: bool,
    /// Begin a snapshot when none was seen from anyone for this long. Members wait a little longer each, in the order of
    /// their ids and up to a quarter more, so that they do not all begin at once. Default: none.
    pub interval: Option<Duration>,
    /// A snapshot that has not ended by then, counted from the capture on each node, is aborted. Default 30 s.
    pub deadline: Duration,
    /// The most that all recorded channels of this node may weigh, in bytes, until their parts are durable; beyond that
    /// the snapshot that grows is aborted. Default 256 MiB.
    pub max_recorded_bytes: usize,
    /// The most snapshots that may be recorded or written at this node, and the most of those that it began itself that may be
    /// under way; beyond that new ones are aborted. Default 64.
    pub max_running: usize,
    /// New work is welcome while the outbox is under this, in all for [`has_room`](crate::SnapshotCoordinator::has_room), and by
    /// equal shares for [`has_room_for`](crate::SnapshotCoordinator::has_room_for). The outbox is what was sent and is not yet
    /// handed to the transport; control frames do not count. Default 4096 messages or 1 MiB.
    pub outbox_low: Bound,
    /// Messages are handed out while the outbox is under this; beyond it one each tenth of `stall` in which nothing departs,
    /// up to half of `outbox_hard`. Default 65,536 messages or 16 MiB.
    pub outbox_high: Bound,
    /// Sends fail from here on. Default 1,048,576 messages or 64 MiB.
    pub outbox_hard: Bound,
    /// How much may be on its way to this node or wait in it to be taken, from all neighbours together: each has the same part
    /// of it as its window, and `window_floor` at least. Control frames do not count. Default 4096 messages or 4 MiB.
    pub inbox: Bound,
    /// The least window of one neighbour. A message that is larger than a window passes alone. Default 64 messages or 64 KiB.
    pub window_floor: Bound,
    /// An outbox over its high mark of which nothing has departed for this long is reported. Default 10 s.
    pub stall: Duration,
    /// A call of the store that has not been answered, and in which no byte has moved, for this long has failed. The driver's to
    /// notice. Default 60 s.
    pub store_timeout: Duration,
    /// Beyond so much work of this node that no commit covers, new work is not welcome: while a member is dead, or no snapshot
    /// commits, what is done meanwhile will be undone. Messages are handed out all the same. Only where there is a store.
    /// Default: none.
    pub max_uncommitted: Option<UncommittedBound>,
    /// Which committed snapshots are kept. Written into the journal by the node that opens the group's first generation;
    /// from then on the journal's word counts. Default: the last 3.
    pub retention: Retention,
    /// Whether the group may go back behind a damaged snapshot, which takes back what was announced. Default `false`.
    pub fall_back: bool,
}

impl Default for Settings {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            durable: false,
            interval: None,
            deadline: Duration::from_secs(30),
            max_recorded_bytes: 256 * MIB,
            max_running: 64,
            outbox_low: Bound::new(4096, MIB),
            outbox_high: Bound::new(16 * 4096, 16 * MIB),
            outbox_hard: Bound::new(256 * 4096, 64 * MIB),
            inbox: Bound::new(4096, 4 * MIB),
            window_floor: Bound::new(64, 64 << 10),
            stall: Duration::from_secs(10),
            store_timeout: Duration::from_secs(60),
            max_uncommitted: None,
            retention: Retention::default(),
            fall_back: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_the_documentation_says() {
        let default = Settings {
            durable: false,
            interval: None,
            deadline: Duration::from_secs(30),
            max_recorded_bytes: 268_435_456,
            max_running: 64,
            outbox_low: Bound::new(4096, 1_048_576),
            outbox_high: Bound::new(65_536, 16_777_216),
            outbox_hard: Bound::new(1_048_576, 67_108_864),
            inbox: Bound::new(4096, 4_194_304),
            window_floor: Bound::new(64, 65_536),
            stall: Duration::from_secs(10),
            store_timeout: Duration::from_secs(60),
            max_uncommitted: None,
            retention: Retention::last(3),
            fall_back: false,
        };
        assert_eq!(Settings::default(), default);
    }
}
