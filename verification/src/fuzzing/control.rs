//! Control frames, as a node sends them or as nobody would, and their byte form.

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{Body, Frame, NodeId, SnapshotId};

use super::forms::{Writer, read_uint};

/// A control frame.
#[derive(Clone, Debug)]
pub(super) enum Control {
    Hello {
        nonce: u64,
    },
    Marker(SnapshotId),
    Receipt {
        snapshot: SnapshotId,
        member: NodeId,
        numbers: [u64; 6],
    },
    Committed {
        snapshot: SnapshotId,
        index: u64,
    },
    Aborted {
        snapshot: SnapshotId,
        by: NodeId,
        reason: Reason,
    },
    /// It ran into its deadline.
    Late {
        snapshot: SnapshotId,
        by: NodeId,
        awaiting: Awaiting,
    },
    Grant {
        sender: NodeId,
        receiver: NodeId,
        grant: Grant,
    },
    Ask,
}

/// What the receiver of a channel is said to let its sender send.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) taken: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) whole: bool,
}

/// Why a snapshot is said to be given up.
#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Reason {
    Plain(u8),
    PeerLost(u64),
    StoreFailed(Vec<u8>),
}

/// What a snapshot that ran into its deadline is said to have waited for.
#[derive(Arbitrary, Clone, Debug)]
pub(super) struct Awaiting {
    kind: u8,
    /// Named where markers or receipts are missing.
    of: Vec<u64>,
}

const VERSION: u8 = 2;

/// The nonce of the generation in which a node greets, if it does.
pub(super) fn greeting<M>(frame: &Frame<M>) -> Option<u64> {
    let Body::Control(bytes) = &frame.body else { return None };
    match &bytes[..] {
        [VERSION, 0, nonce @ ..] => read_uint(&mut &*nonce),
        _ => None,
    }
}

/// Whether its sender asks for room by this frame.
pub(super) fn is_ask<M>(frame: &Frame<M>) -> bool {
    matches!(&frame.body, Body::Control(bytes) if bytes[..] == [VERSION, 6])
}

/// The number of the `count`-th frame in a channel of the generation that has this nonce.
pub(super) fn numbered(count: u64, nonce: u64) -> u64 {
    count << 16 | nonce & 0xffff
}

impl Control {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::default();
        out.byte(VERSION);
        match self {
            Self::Hello { nonce } => {
                out.byte(0).uint(*nonce);
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
                    // It waited for nothing that is known.
                    Reason::Plain(0) => out.byte(0).byte(0),
                    Reason::Plain(kind) => out.byte(*kind),
                    Reason::PeerLost(peer) => out.byte(3).uint(*peer),
                    Reason::StoreFailed(text) => out.byte(4).bytes(text),
                };
            }
            Self::Late { snapshot, by, awaiting } => {
                out.byte(4).snapshot(*snapshot).uint(by.0).byte(0).byte(awaiting.kind);
                if matches!(awaiting.kind, 1 | 3) {
                    out.nodes(&awaiting.of.iter().copied().map(NodeId).collect::<Vec<_>>());
                }
            }
            Self::Grant { sender, receiver, grant } => {
                out.byte(5).uint(sender.0).uint(receiver.0);
                out.uint(grant.taken).uint(grant.messages).uint(grant.bytes).byte(u8::from(grant.whole));
            }
            Self::Ask => {
                out.byte(6);
            }
        }
        out.0.into()
    }
}
