//! A reader of the bytes that cross a coordinator's edge: journal records, seats and control frames, from their documented
//! forms and with none of the core's code.

use snapshot_core::{Generation, NodeId, SnapshotId};

use super::line::{Body, Counts, Entry, Grant, Reason, Record};

struct Rest<'a>(&'a [u8]);

/// A record of the journal; `None` if these bytes are none.
pub(super) fn record(bytes: &[u8]) -> Option<Record> {
    let mut rest = Rest(bytes.strip_prefix(b"SNAPJ\x03")?);
    let (index, nonce, author) = (rest.uint()?, rest.uint()?, rest.node()?);
    let kind = rest.byte()?;
    if kind == 0 {
        for _ in 0..rest.uint()? {
            rest.snapshot()?;
        }
    }
    let group = rest.uint()?;
    rest.bytes(usize::try_from(group).ok()?)?;
    for _ in 0..rest.uint()? {
        rest.node()?;
    }
    let _retention = rest.uint()?;
    let generation = Generation(rest.uint()?);
    let (start, last) = (rest.commit()?, rest.commit()?);
    let mut settled = Counts::new();
    for _ in 0..rest.uint()? {
        settled.insert(rest.node()?, rest.uint()?);
    }
    let mut kept = Vec::new();
    for _ in 0..rest.uint()? {
        let _index = rest.uint()?;
        kept.push(rest.snapshot()?);
    }
    let entry = match (kind, last) {
        (2, _) => Entry::Discard(settled),
        (1, Some((snapshot, turns))) => Entry::Commit(snapshot, turns),
        (0, None) => Entry::Open(generation, start.map(|(snapshot, _)| snapshot)),
        _ => return None,
    };
    Some(Record { index, author, nonce, entry, kept })
}

/// The life that sits.
pub(super) fn seat(bytes: &[u8]) -> Option<u64> {
    Rest(bytes.strip_prefix(b"SNAPS\x01")?).uint()
}

/// What a control frame says.
pub(super) fn control(bytes: &[u8]) -> Option<Body> {
    let mut rest = Rest(bytes.strip_prefix(&[2])?);
    Some(match rest.byte()? {
        0 => Body::Hello { nonce: rest.uint()? },
        1 => Body::Marker(rest.snapshot()?),
        2 => Body::Receipt { snapshot: rest.snapshot()?, member: rest.node()?, turn: rest.uint()? },
        3 => Body::Committed { snapshot: rest.snapshot()?, index: rest.uint()? },
        4 => {
            let (snapshot, by) = (rest.snapshot()?, rest.node()?);
            let reason = match rest.byte()? {
                // What was awaited then is for people.
                0 => Reason::Deadline,
                1 | 2 => Reason::Bound,
                3 => Reason::PeerLost(rest.node()?),
                4 => Reason::StoreFailed,
                5 => Reason::Requested,
                6 => Reason::RolledBack,
                7 => Reason::Superseded,
                8 => Reason::StoreBehind,
                _ => return None,
            };
            Body::Aborted { snapshot, by, reason }
        }
        5 => Body::Grant(Grant {
            sender: rest.node()?,
            receiver: rest.node()?,
            taken: rest.uint()?,
            messages: rest.uint()?,
            bytes: rest.uint()?,
            whole: rest.byte()? == 1,
        }),
        6 => Body::Ask,
        _ => return None,
    })
}

impl<'a> Rest<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn uint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn node(&mut self) -> Option<NodeId> {
        self.uint().map(NodeId)
    }

    fn snapshot(&mut self) -> Option<SnapshotId> {
        let (generation, sequence) = (Generation(self.uint()?), self.uint()?);
        Some(SnapshotId { generation, sequence, initiator: self.node()? })
    }

    /// A commit that a record names: the snapshot, and the turns of its parts.
    #[expect(clippy::option_option, reason = "bytes that are no commit, and no commit")]
    fn commit(&mut self) -> Option<Option<(SnapshotId, Counts)>> {
        if self.uint()? == 0 {
            return Some(None);
        }
        let snapshot = self.snapshot()?;
        let mut turns = Counts::new();
        for _ in 0..self.uint()? {
            let (node, turn, _size) = (self.node()?, self.uint()?, self.uint()?);
            let _checksum = self.bytes(4)?;
            turns.insert(node, turn);
        }
        Some(Some((snapshot, turns)))
    }
}
