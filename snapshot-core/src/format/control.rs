//! The control frames of the protocol, and their versioned byte form.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::format::wire::{Reader, put_bytes, put_node, put_snapshot, put_uint, written};
use crate::vocabulary::frame::{Body, Frame, FrameKind};
use crate::vocabulary::id::{NodeId, SnapshotId, Turn};
use crate::vocabulary::malformed::Malformed;
use crate::vocabulary::outcome::{AbortReason, Awaiting};

/// The version that is spoken. Version 1 knew neither the nonce of a generation nor windows, and is still understood where
/// it is only looked at.
const VERSION: u8 = 2;

/// Of a longer text, such as what a store says of its failure, the beginning is sent. In bytes.
const MAX_TEXT: usize = 512;

/// Of more nodes that are waited for, the first are named.
const MAX_NAMED: usize = 16;

/// A control frame.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Control {
    /// The news of a generation, which its nonce tells from any other of the same number: the first frame on each channel,
    /// and posted again when a connection came up. Its number shows whether anything before it was lost. Outside the count
    /// it answers a frame of an older generation.
    Hello { nonce: u64 },
    /// Everything before me on this channel is in the cut.
    Marker { snapshot: SnapshotId },
    /// To the initiator: my part is durable, or, without a store, taken.
    Receipt(Receipt),
    /// From the initiator to all: the journal says so at this index.
    Committed { snapshot: SnapshotId, index: u64 },
    /// From the node that gave up to all.
    Aborted { snapshot: SnapshotId, by: NodeId, reason: AbortReason },
    /// From the receiver of a channel to its sender, by whatever way there is: how many messages of this generation it has
    /// taken, and what may be outstanding beyond them (W2).
    Grant { sender: NodeId, receiver: NodeId, grant: Grant },
    /// From the sender of the channel on which it comes: it is held up, and wants a grant as soon as all is taken (W2).
    Ask,
}

/// What a receiver tells the sender of a channel. Cumulative, so that an older or repeated one changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Grant {
    /// How many messages of this generation the application has taken.
    pub(crate) taken: u64,
    /// How many may be outstanding.
    pub(crate) messages: u64,
    /// What they may weigh, in bytes, by the sender's weights.
    pub(crate) bytes: u64,
    /// Whether that is the whole window: no message of before the rollback takes up a part of it.
    pub(crate) whole: bool,
}

/// One node's part of a snapshot, as its receipt describes it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Receipt {
    pub(crate) snapshot: SnapshotId,
    pub(crate) member: NodeId,
    pub(crate) turn: Turn,
    pub(crate) size: u64,
    pub(crate) checksum: u32,
    pub(crate) messages: u64,
    pub(crate) capture: Duration,
    pub(crate) durable_after: Duration,
}

impl Control {
    pub(crate) fn encode(&self) -> Bytes {
        written(|out| {
            out.put_u8(VERSION);
            match self {
                Self::Hello { nonce } => {
                    out.put_u8(0);
                    put_uint(out, *nonce);
                }
                Self::Marker { snapshot } => {
                    out.put_u8(1);
                    put_snapshot(out, *snapshot);
                }
                Self::Receipt(receipt) => {
                    out.put_u8(2);
                    put_snapshot(out, receipt.snapshot);
                    put_node(out, receipt.member);
                    for number in [
                        receipt.turn.0,
                        receipt.size,
                        u64::from(receipt.checksum),
                        receipt.messages,
                        micros(receipt.capture),
                        micros(receipt.durable_after),
                    ] {
                        put_uint(out, number);
                    }
                }
                Self::Committed { snapshot, index } => {
                    out.put_u8(3);
                    put_snapshot(out, *snapshot);
                    put_uint(out, *index);
                }
                Self::Aborted { snapshot, by, reason } => {
                    out.put_u8(4);
                    put_snapshot(out, *snapshot);
                    put_node(out, *by);
                    put_reason(out, reason);
                }
                Self::Grant { sender, receiver, grant } => {
                    out.put_u8(5);
                    put_node(out, *sender);
                    put_node(out, *receiver);
                    put_uint(out, grant.taken);
                    put_uint(out, grant.messages);
                    put_uint(out, grant.bytes);
                    out.put_u8(u8::from(grant.whole));
                }
                Self::Ask => out.put_u8(6),
            }
        })
    }

    /// Reads one of the version that is spoken.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.first() {
            Some(&VERSION) | None => Self::decode_any(bytes),
            Some(_) => Err(Malformed::new("a control frame of an unknown version")),
        }
    }

    /// The nonce that a greeting brings; `None` for all else.
    pub(crate) fn greeting(bytes: &[u8]) -> Option<u64> {
        match bytes {
            [VERSION, 0, ..] => match Self::decode(bytes) {
                Ok(Self::Hello { nonce }) => Some(nonce),
                _ => None,
            },
            _ => None,
        }
    }

    /// Reads one of any version that there has been.
    fn decode_any(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if !(1..=VERSION).contains(&version) {
            return Err(Malformed::new("a control frame of an unknown version"));
        }
        let control = match reader.byte()? {
            0 if version == 1 => Self::Hello { nonce: 0 },
            0 => Self::Hello { nonce: reader.uint()? },
            1 => Self::Marker { snapshot: reader.snapshot()? },
            2 => Self::Receipt(Receipt {
                snapshot: reader.snapshot()?,
                member: reader.node()?,
                turn: reader.turn()?,
                size: reader.uint()?,
                checksum: u32::try_from(reader.uint()?)
                    .map_err(|_| Malformed::new("a checksum over 32 bits"))?,
                messages: reader.uint()?,
                capture: Duration::from_micros(reader.uint()?),
                durable_after: Duration::from_micros(reader.uint()?),
            }),
            3 => Self::Committed { snapshot: reader.snapshot()?, index: reader.uint()? },
            4 => Self::Aborted {
                snapshot: reader.snapshot()?,
                by: reader.node()?,
                reason: reason(&mut reader, version)?,
            },
            5 if version > 1 => Self::Grant {
                sender: reader.node()?,
                receiver: reader.node()?,
                grant: Grant {
                    taken: reader.uint()?,
                    messages: reader.uint()?,
                    bytes: reader.uint()?,
                    whole: match reader.byte()? {
                        0 => false,
                        1 => true,
                        _ => return Err(Malformed::new("neither yes nor no")),
                    },
                },
            },
            6 if version > 1 => Self::Ask,
            _ => return Err(Malformed::new("a control frame of an unknown kind")),
        };
        reader.end()?;
        Ok(control)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn put_reason(out: &mut BytesMut, reason: &AbortReason) {
    match reason {
        AbortReason::Deadline { awaiting } => {
            out.put_u8(0);
            put_awaiting(out, awaiting);
        }
        AbortReason::RecordingFull => out.put_u8(1),
        AbortReason::TooMany => out.put_u8(2),
        AbortReason::PeerLost { peer } => {
            out.put_u8(3);
            put_node(out, *peer);
        }
        AbortReason::StoreFailed { error } => {
            out.put_u8(4);
            put_bytes(out, &error.as_bytes()[..error.floor_char_boundary(MAX_TEXT)]);
        }
        AbortReason::Requested => out.put_u8(5),
        AbortReason::RolledBack => out.put_u8(6),
        AbortReason::Superseded => out.put_u8(7),
        AbortReason::StoreBehind => out.put_u8(8),
    }
}

fn put_awaiting(out: &mut BytesMut, awaiting: &Awaiting) {
    let (kind, nodes) = match awaiting {
        Awaiting::Unknown => (0, None),
        Awaiting::Markers { of } => (1, Some(of)),
        Awaiting::Store => (2, None),
        Awaiting::Receipts { of } => (3, Some(of)),
        Awaiting::Journal => (4, None),
    };
    out.put_u8(kind);
    if let Some(nodes) = nodes {
        let named = nodes.len().min(MAX_NAMED);
        put_uint(out, named as u64);
        nodes.iter().take(named).for_each(|node| put_node(out, *node));
    }
}

fn awaiting(reader: &mut Reader<'_>) -> Result<Awaiting, Malformed> {
    Ok(match reader.byte()? {
        0 => Awaiting::Unknown,
        1 => Awaiting::Markers { of: named(reader)? },
        2 => Awaiting::Store,
        3 => Awaiting::Receipts { of: named(reader)? },
        4 => Awaiting::Journal,
        _ => return Err(Malformed::new("an unknown thing that is waited for")),
    })
}

fn named(reader: &mut Reader<'_>) -> Result<Vec<NodeId>, Malformed> {
    match reader.count()? {
        count @ ..=MAX_NAMED => (0..count).map(|_| reader.node()).collect(),
        _ => Err(Malformed::new("more nodes than are named")),
    }
}

fn reason(reader: &mut Reader<'_>, version: u8) -> Result<AbortReason, Malformed> {
    Ok(match reader.byte()? {
        0 if version == 1 => AbortReason::Deadline { awaiting: Awaiting::Unknown },
        0 => AbortReason::Deadline { awaiting: awaiting(reader)? },
        1 => AbortReason::RecordingFull,
        2 => AbortReason::TooMany,
        3 => AbortReason::PeerLost { peer: reader.node()? },
        4 => AbortReason::StoreFailed { error: reader.text()? },
        5 => AbortReason::Requested,
        6 => AbortReason::RolledBack,
        7 => AbortReason::Superseded,
        8 if version > 1 => AbortReason::StoreBehind,
        _ => return Err(Malformed::new("an unknown reason")),
    })
}

impl<M> Frame<M> {
    /// What this frame is.
    ///
    /// # Errors
    ///
    /// If it is a control frame that is malformed or of a version that is not known here.
    pub fn kind(&self) -> Result<FrameKind, Malformed> {
        match &self.body {
            Body::Message(_) => Ok(FrameKind::Message),
            Body::Control(bytes) => Control::decode_any(bytes).map(|control| match control {
                Control::Hello { .. } => FrameKind::Hello,
                Control::Grant { .. } | Control::Ask => FrameKind::Flow,
                Control::Marker { snapshot } => FrameKind::Marker(snapshot),
                Control::Receipt(receipt) => FrameKind::Receipt(receipt.snapshot),
                Control::Committed { snapshot, .. } | Control::Aborted { snapshot, .. } => {
                    FrameKind::Outcome(snapshot)
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::Generation;

    #[test]
    fn whatever_a_store_has_to_say_a_control_frame_stays_small() {
        let snapshot =
            SnapshotId { generation: Generation(u64::MAX), sequence: u64::MAX, initiator: NodeId(u64::MAX) };
        for letter in ["x", "ö", "雪", "𝄞"] {
            let reason = AbortReason::StoreFailed { error: letter.repeat(10_000) };
            let bytes = Control::Aborted { snapshot, by: NodeId(u64::MAX), reason }.encode();
            assert!(bytes.len() <= 1024, "{} bytes", bytes.len());
            let Ok(Control::Aborted { reason: AbortReason::StoreFailed { error }, .. }) =
                Control::decode(&bytes)
            else {
                panic!("it is read as what it was");
            };
            assert_eq!(error, letter.repeat(MAX_TEXT / letter.len()));
        }
    }
}
