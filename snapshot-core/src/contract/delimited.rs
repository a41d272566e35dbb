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
