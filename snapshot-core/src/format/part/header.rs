//! What stands at the head of a part: whose it is.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};

use super::chunk::Kind;
use super::reader::ChunkReader;
use super::{Expected, PartError, PartLabel};
use crate::format::envelope::LIMIT;
use crate::format::wire::{Reader, put_bytes, put_node, put_snapshot, put_uint};
use crate::vocabulary::id::{NodeId, Turn};
use crate::vocabulary::key::Key;
use crate::vocabulary::malformed::Malformed;

/// The most bytes that a header takes: about a hundred thousand members.
const MAX_HEADER: usize = 1 << 20;

/// A header that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    key: Key,
    pub(super) node: NodeId,
    pub(super) turn: Turn,
    pub(super) state_version: u32,
    group: String,
    members: Vec<NodeId>,
}

pub(super) fn encode(label: &PartLabel, state_version: u32) -> io::Result<Bytes> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let mut header = BytesMut::new();
    match label.key {
        Key::Initial(node) => {
            header.put_u8(0);
            put_node(&mut header, node);
        }
        Key::Part { snapshot, node } => {
            header.put_u8(1);
            put_snapshot(&mut header, snapshot);
            put_node(&mut header, node);
        }
        Key::Journal(_) | Key::Seat { .. } | Key::Evidence { .. } => {
            return refused("only a part or an initial state is stored in this form");
        }
    }
    put_uint(&mut header, label.turn.0);
    put_uint(&mut header, u64::from(state_version));
    put_bytes(&mut header, label.group.as_bytes());
    put_uint(&mut header, label.members.len() as u64);
    label.members.iter().for_each(|node| put_node(&mut header, *node));
    if header.len() > MAX_HEADER {
        return refused(
            "the group has too many members, or too long a name, to be stored: its description is over 1 MiB",
        );
    }
    Ok(header.freeze())
}

impl Header {
    pub(super) fn read(chunks: &mut ChunkReader<'_>) -> Result<Self, PartError> {
        let mut bytes = Vec::new();
        while chunks.kind() == Kind::Header {
            bytes.extend_from_slice(chunks.bytes());
            if bytes.len() > MAX_HEADER {
                return Err(chunks.corrupt(Malformed::new("a header over its bound")));
            }
            chunks.advance()?;
        }
        decode(&bytes).map_err(|error| chunks.corrupt(error))
    }

    pub(super) fn check(&self, expected: &Expected<'_>) -> Result<(), PartError> {
        let key = expected.key;
        if self.group != expected.group {
            let (stored, ours) = (self.group.clone(), expected.group.to_owned());
            return Err(PartError::OtherGroup { key, stored, ours });
        }
        if self.members != expected.members {
            let (stored, ours) = (self.members.clone(), expected.members.to_vec());
            return Err(PartError::OtherMembers { key, stored, ours });
        }
        if self.key != written_as(key) {
            return Err(PartError::Misplaced { key, found: self.key });
        }
        match expected.part {
            Some(part) if part.turn != self.turn => Err(PartError::NotTheCommitted { key }),
            _ => Ok(()),
        }
    }
}

/// The key under which an object was first written: evidence is a part, copied as it is.
fn written_as(key: Key) -> Key {
    match key {
        Key::Evidence { snapshot, node } => Key::Part { snapshot, node },
        key => key,
    }
}

fn decode(bytes: &[u8]) -> Result<Header, Malformed> {
    let mut reader = Reader::new(bytes);
    let snapshot = match reader.byte()? {
        0 => None,
        1 => Some(reader.snapshot()?),
        _ => return Err(Malformed::new("a part of an unknown kind")),
    };
    let node = reader.node()?;
    let key = snapshot.map_or(Key::Initial(node), |snapshot| Key::Part { snapshot, node });
    let turn = reader.turn()?;
    let version = reader.uint()?;
    let state_version = u32::try_from(version).map_err(|_| Malformed::new("a state version over 32 bits"))?;
    let group = reader.text()?;
    let mut members = Vec::new();
    for _ in 0..reader.count()? {
        members.push(reader.node()?);
    }
    reader.end()?;
    if turn.0 >= LIMIT {
        return Err(Malformed::new("a turn beyond all bounds"));
    }
    Ok(Header { key, node, turn, state_version, group, members })
}
