//! Control frames, as a node sends them or as nobody would, and their byte form.

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{NodeId, SnapshotId};

use super::forms::Writer;

/// A control frame.
#[derive(Clone, Debug)]
pub(super) enum Control {
    Hello,
    Marker(SnapshotId),
    Receipt { snapshot: SnapshotId, member: NodeId, numbers: [u64; 6] },
    Committed { snapshot: SnapshotId, index: u64 },
    Aborted { snapshot: SnapshotId, by: NodeId, reason: Reason },
}

/// Why a snapshot is said to be given up.
#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Reason {
    Plain(u8),
    PeerLost(u64),
    StoreFailed(Vec<u8>),
}

impl Control {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::default();
        out.byte(1);
        match self {
            Self::Hello => {
                out.byte(0);
            }
            Self::Marker(snapshot) => {
                out.byte(1).snapshot(*snapshot);
            }
            Self::Receipt { snapshot, member, numbers } => {
                out.byte(2).snapshot(*snapshot).uint(member.0);
                for number in numbers {
                    out.uint(*number);
                }
            }
            Self::Committed { snapshot, index } => {
                out.byte(3).snapshot(*snapshot).uint(*index);
            }
            Self::Aborted { snapshot, by, reason } => {
                out.byte(4).snapshot(*snapshot).uint(by.0);
                match reason {
                    Reason::Plain(kind) => out.byte(*kind),
                    Reason::PeerLost(peer) => out.byte(3).uint(*peer),
                    Reason::StoreFailed(text) => out.byte(4).bytes(text),
                };
            }
        }
        out.0.into()
    }
}
