//! The byte forms as their documentation tells them, written down a second time.

use snapshot_core::{NodeId, SnapshotId};

/// Bytes being written.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A LEB128 integer.
    pub fn uint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.uint(bytes.len() as u64).raw(bytes)
    }

    /// The name of a snapshot.
    pub fn snapshot(&mut self, id: SnapshotId) -> &mut Self {
        self.uint(id.generation.0).uint(id.sequence).uint(id.initiator.0)
    }

    /// Nodes behind their number.
    pub fn nodes(&mut self, nodes: &[NodeId]) -> &mut Self {
        self.uint(nodes.len() as u64);
        nodes.iter().fold(self, |out, node| out.uint(node.0))
    }
}

/// Reads a LEB128 integer in its only form: no more bytes than it takes, 64 bits at most.
pub fn read_uint(bytes: &mut &[u8]) -> Option<u64> {
    let len = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (digits, rest) = bytes.split_at(len);
    let value = digits
        .iter()
        .rev()
        .try_fold(0_u64, |value, byte| value.checked_mul(0x80).map(|value| value + u64::from(byte & 0x7f)))?;
    *bytes = rest;
    (len == 1 || digits.last() != Some(&0)).then_some(value)
}

/// A record of the journal (`J`) or a seat (`S`): `SNAP`, kind, version, contents, CRC-32 of all before it.
pub fn sealed(kind: u8, version: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = [b"SNAP", &[kind, version][..], contents].concat();
    let checksum = crc32fast::hash(&out);
    out.extend(checksum.to_le_bytes());
    out
}

/// The opening of a part.
pub const OPENING: &[u8; 5] = b"SNAPP";

/// Kinds of chunks of a part. They may come in this order, but for the end, which is last; the last two are unknown to version 1.
pub mod chunk {
    #![allow(missing_docs, reason = "the names say it")]
    pub const HEADER: u8 = 1;
    pub const STATE: u8 = 2;
    pub const CHANNEL: u8 = 3;
    pub const MESSAGES: u8 = 4;
    pub const END: u8 = 5;
    pub const OUTGOING: u8 = 6;
    pub const QUEUED: u8 = 7;
    pub const MOST: usize = 64 << 10;
}

/// A part made of chunks, each `[kind u8][length u32][checksum u32][bytes]`; a checksum is that of the opening and of kind,
/// length and bytes of all chunks up to its own.
pub fn part<'a>(version: u8, chunks: impl IntoIterator<Item = (u8, &'a [u8])>) -> Vec<u8> {
    let mut out = [&OPENING[..], &[version]].concat();
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&out);
    for (kind, bytes) in chunks {
        let length = (bytes.len() as u32).to_le_bytes();
        for piece in [&[kind][..], &length, bytes] {
            checksum.update(piece);
        }
        let sum = checksum.clone().finalize().to_le_bytes();
        out.extend([&[kind][..], &length, &sum, bytes].concat());
    }
    out
}

/// The checksum of a whole part, as its commit record names it: over all bytes but the checksums.
pub fn part_checksum<'a>(version: u8, chunks: impl IntoIterator<Item = (u8, &'a [u8])>) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(OPENING);
    checksum.update(&[version]);
    for (kind, bytes) in chunks {
        checksum.update(&[kind]);
        checksum.update(&(bytes.len() as u32).to_le_bytes());
        checksum.update(bytes);
    }
    checksum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_read_in_its_only_form() {
        for value in [0, 1, 127, 128, 300, u64::MAX / 2, u64::MAX] {
            let bytes = Writer::default().uint(value).0.clone();
            assert_eq!(read_uint(&mut &bytes[..]), Some(value));
        }
        for none in [
            &[][..],
            &[0x80],
            &[0x80, 0],
            &[0xff; 10],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert_eq!(read_uint(&mut &none[..]), None, "{none:?}");
        }
    }
}
