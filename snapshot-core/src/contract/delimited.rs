//! Messages one behind the other, each behind its length: what [`MessageCodec`](crate::MessageCodec) writes a batch with.

use std::io;

use bytes::{BufMut, BytesMut};

/// The most bytes that a length takes.
const LONGEST_LENGTH: usize = 10;

/// Writes messages by `write`, which is told the room that is left and says whether that was enough: as many as fit. Returns how many.
#[inline]
pub(super) fn all<'m, M: 'm>(
    messages: impl Iterator<Item = &'m M>,
    room: usize,
    out: &mut BytesMut,
    mut write: impl FnMut(&'m M, usize, &mut BytesMut) -> bool,
) -> usize {
    let end = out.len().saturating_add(room);
    let mut taken = 0;
    for message in messages {
        let before = out.len();
        if !write(message, end.saturating_sub(before), out) {
            out.truncate(before);
            break;
        }
        taken += 1;
    }
    taken
}

/// Writes bytes behind their length, if both take no more than `room`; whether they do.
#[inline]
pub(super) fn put(bytes: &[u8], longest: usize, room: usize, out: &mut BytesMut) -> bool {
    let len = bytes.len();
    if len > longest || len.saturating_add(LONGEST_LENGTH) > room {
        return false;
    }
    out.reserve(len + LONGEST_LENGTH);
    put_length(len, out);
    out.put_slice(bytes);
    true
}

/// Writes what `encode` writes behind its length, if both take no more than `room`. If not, or it fails, something of it may be left
/// behind.
#[inline]
pub(super) fn write(
    encode: impl FnOnce(&mut Limited<'_>) -> io::Result<()>,
    longest: usize,
    room: usize,
    out: &mut BytesMut,
) -> bool {
    if room <= LONGEST_LENGTH {
        return false;
    }
    let at = out.len();
    // The length of most takes one byte; for the others there is a place to be made.
    out.put_u8(0);
    let mut limited = Limited { out, room: longest.min(room.saturating_sub(LONGEST_LENGTH)), fits: true };
    if encode(&mut limited).is_err() || !limited.fits {
        return false;
    }
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
        return true;
    }
    let mut length = BytesMut::with_capacity(LONGEST_LENGTH);
    put_length(len, &mut length);
    let more = length.len() - 1;
    out.put_bytes(0, more);
    out.copy_within(at + 1..at + 1 + len, at + 1 + more);
    out[at..at + length.len()].copy_from_slice(&length);
    true
}

#[inline]
fn put_length(mut len: usize, out: &mut BytesMut) {
    while len >= 0x80 {
        out.put_u8(len as u8 | 0x80);
        len >>= 7;
    }
    out.put_u8(len as u8);
}

/// Takes no more than there is room for.
pub(super) struct Limited<'a> {
    out: &'a mut BytesMut,
    room: usize,
    fits: bool,
}

impl Limited<'_> {
    /// Takes these bytes, if there is room; whether there is.
    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) -> bool {
        self.fits = bytes.len() <= self.room;
        if self.fits {
            self.out.extend_from_slice(bytes);
            self.room -= bytes.len();
        }
        self.fits
    }
}

impl io::Write for Limited<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.put(bytes) { Ok(bytes.len()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::*;
    use crate::contract::codec::{MessageCodec, RawBytes};

    /// What the bytes say: messages behind their lengths.
    fn read(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (mut len, mut shift) = (0, 0);
            loop {
                let (byte, rest) = bytes.split_first().unwrap();
                bytes = rest;
                len |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let (message, rest) = bytes.split_at(len);
            found.push(message.to_vec());
            bytes = rest;
        }
        found
    }

    /// As [`RawBytes`], by way of `encode`; it has no bytes for what begins with a 9.
    struct Written;

    impl MessageCodec<Bytes> for Written {
        fn encode(&self, message: &Bytes, out: &mut dyn io::Write) -> io::Result<()> {
            out.write_all(&message[..message.len() / 2])?;
            if message.first() == Some(&9) {
                return Err(io::Error::other("no nines"));
            }
            out.write_all(&message[message.len() / 2..])
        }

        fn decode(&self, bytes: Bytes) -> io::Result<Bytes> {
            if bytes.first() == Some(&9) { Err(io::Error::other("no nines")) } else { Ok(bytes) }
        }
    }

    fn messages() -> VecDeque<Bytes> {
        [0, 1, 127, 128, 300, 20_000].map(|len| Bytes::from(vec![len as u8; len])).into()
    }

    #[test]
    fn messages_come_behind_their_lengths_whichever_way_they_are_written() {
        for codec in [&RawBytes as &dyn MessageCodec<Bytes>, &Written] {
            let mut out = BytesMut::from(&b"before"[..]);
            assert_eq!(codec.encode_delimited(messages().iter(), usize::MAX, usize::MAX, &mut out), 6);
            assert_eq!(&out[..6], b"before");
            assert_eq!(read(&out[6..]), messages().iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_whole_messages_are_written_and_none_behind_one_that_does_not_fit() {
        for codec in [&RawBytes as &dyn MessageCodec<Bytes>, &Written] {
            for room in 0..700 {
                let mut out = BytesMut::new();
                let taken = codec.encode_delimited(messages().iter(), usize::MAX, room, &mut out);
                assert!(out.len() <= room, "{} bytes, and room for {room}", out.len());
                assert_eq!(read(&out).len(), taken);
            }
            let mut out = BytesMut::new();
            assert_eq!(
                codec.encode_delimited(messages().iter(), 127, 10_000, &mut out),
                3,
                "the fourth is too long"
            );
            assert_eq!(read(&out).len(), 3);
        }
    }

    #[test]
    fn a_message_that_cannot_be_encoded_or_read_leaves_those_before_it() {
        let messages: VecDeque<_> = [7, 8, 9, 10].map(|first| Bytes::from(vec![first; 4])).into();
        let mut out = BytesMut::new();
        assert_eq!(Written.encode_delimited(messages.iter(), 100, 1000, &mut out), 2);
        assert_eq!(read(&out), [[7; 4], [8; 4]]);

        let buffer = Bytes::from_static(&[7, 7, 8, 8, 9, 9, 10]);
        let mut read = VecDeque::new();
        assert!(Written.decode_parts(&buffer, &[0..2, 2..4, 4..6, 6..7], &mut read).is_err());
        assert_eq!(read, [&[7, 7][..], &[8, 8]]);
        assert_eq!(read[0].as_ptr(), buffer.as_ptr());
    }
}
