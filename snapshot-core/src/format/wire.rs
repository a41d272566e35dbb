//! The byte primitives of every format in this crate: LEB128 integers, length-prefixed bytes, errors instead of panics.

use bytes::{BufMut, Bytes, BytesMut};

use crate::vocabulary::id::{Generation, NodeId, SnapshotId, Turn};
use crate::vocabulary::malformed::Malformed;

pub(crate) fn put_uint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value as u8) | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub(crate) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

pub(crate) fn put_node(out: &mut BytesMut, node: NodeId) {
    put_uint(out, node.0);
}

pub(crate) fn put_snapshot(out: &mut BytesMut, id: SnapshotId) {
    put_uint(out, id.generation.0);
    put_uint(out, id.sequence);
    put_node(out, id.initiator);
}

/// Reads what the `put_` functions wrote. Never reads past its end and never allocates more than it was given.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed::new("ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::new("an integer over 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // One form for one number, so that equal records have equal bytes.
                return if byte == 0 && shift > 0 {
                    Err(Malformed::new("an overlong integer"))
                } else {
                    Ok(value)
                };
            }
        }
        Err(Malformed::new("an integer over 64 bits"))
    }

    /// A length of things that take at least one byte each, so that it cannot ask for more memory than there are bytes.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.uint()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(Malformed::new("a count beyond the end")),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count()?;
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::new("a text that is not UTF-8"))
    }

    pub(crate) fn node(&mut self) -> Result<NodeId, Malformed> {
        self.uint().map(NodeId)
    }

    pub(crate) fn generation(&mut self) -> Result<Generation, Malformed> {
        match self.uint()? {
            0 => Err(Malformed::new("generation 0")),
            n => Ok(Generation(n)),
        }
    }

    pub(crate) fn turn(&mut self) -> Result<Turn, Malformed> {
        self.uint().map(Turn)
    }

    pub(crate) fn snapshot(&mut self) -> Result<SnapshotId, Malformed> {
        Ok(SnapshotId { generation: self.generation()?, sequence: self.uint()?, initiator: self.node()? })
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::new("bytes after the end")) }
    }
}

/// Writes with `write` into fresh bytes.
pub(crate) fn written(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    // Most of what is written is a control frame.
    let mut out = BytesMut::with_capacity(64);
    write(&mut out);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_at_every_length() {
        for value in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let bytes = written(|out| put_uint(out, value));
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.uint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn an_integer_has_one_form_and_a_limit() {
        assert!(Reader::new(&[0x80, 0x00]).uint().is_err());
        assert!(Reader::new(&[0xff; 10]).uint().is_err());
        assert!(Reader::new(&[0x80]).uint().is_err());
    }

    #[test]
    fn a_length_cannot_reach_beyond_the_end() {
        assert!(Reader::new(&[5, 1, 2]).bytes().is_err());
        assert_eq!(Reader::new(&[2, 1, 2]).bytes(), Ok(&[1_u8, 2][..]));
    }
}
