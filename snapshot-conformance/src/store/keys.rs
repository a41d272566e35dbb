//! Keys.

use snapshot_core::{Generation, Key, NodeId, SnapshotId};

pub(super) fn part(generation: u64, sequence: u64, initiator: u64, node: u64) -> Key {
    Key::Part { snapshot: snapshot(generation, sequence, initiator), node: NodeId(node) }
}

pub(super) fn seat(generation: u64, node: u64) -> Key {
    Key::Seat { generation: Generation(generation), node: NodeId(node) }
}

pub(super) fn evidence(generation: u64, sequence: u64, initiator: u64, node: u64) -> Key {
    Key::Evidence { snapshot: snapshot(generation, sequence, initiator), node: NodeId(node) }
}

fn snapshot(generation: u64, sequence: u64, initiator: u64) -> SnapshotId {
    SnapshotId { generation: Generation(generation), sequence, initiator: NodeId(initiator) }
}

/// One of each kind, numbered so that any number of such sets do not meet.
pub(super) fn of_each_kind(number: u64) -> [Key; 5] {
    [
        Key::Journal(number),
        seat(number, 2),
        Key::Initial(NodeId(number)),
        part(1, number, 1, 2),
        evidence(1, number, 1, 2),
    ]
}

/// Numbers that a store which shortens, converts or joins them takes for each other.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    10,
    11,
    12,
    111,
    (1 << 32) + 1,
    1 << 53,
    (1 << 53) + 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// Keys that are easily confused: all different.
pub(super) fn confusable() -> Vec<Key> {
    let mut keys = Vec::new();
    for n in NUMBERS {
        keys.extend(of_each_kind(n));
        keys.extend([seat(3, n), part(n, 1, 3, 2), part(2, 1, n, 2), part(2, 2, 1, n), evidence(2, 2, 1, n)]);
    }
    // Digits that run together.
    keys.extend([
        seat(12, 3),
        seat(1, 23),
        part(1, 23, 4, 5),
        part(12, 3, 4, 5),
        part(1, 2, 34, 5),
        part(1, 2, 3, 45),
    ]);
    keys.sort_unstable();
    keys.dedup();
    keys
}
