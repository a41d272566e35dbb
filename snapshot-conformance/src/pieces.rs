//! Readers and writers that keep to the letter of `std::io`, as the store's do.

use std::io::{self, ErrorKind, Read, Write};

/// How many bytes one call moves: always one, or less and more in turns.
#[derive(Clone, Copy)]
pub(super) enum Pieces {
    Single,
    Uneven,
    All,
}

impl Pieces {
    pub(super) const EACH: [Self; 3] = [Self::Single, Self::Uneven, Self::All];

    fn size(self, call: usize) -> usize {
        match self {
            Self::Single => 1,
            Self::Uneven => [3, 1, 700, 2, 64 << 10][call % 5],
            Self::All => usize::MAX,
        }
    }
}

/// Reads from bytes, fewer at a time than asked for. Counts what is left, and may fail in the end.
pub(super) struct PieceReader<'a> {
    pub(super) left: &'a [u8],
    pieces: Pieces,
    calls: usize,
    fails: bool,
}

impl<'a> PieceReader<'a> {
    pub(super) fn new(bytes: &'a [u8], pieces: Pieces) -> Self {
        Self { left: bytes, pieces, calls: 0, fails: false }
    }

    /// One that fails after the last byte, in place of coming to an end.
    pub(super) fn failing(bytes: &'a [u8]) -> Self {
        Self { left: bytes, pieces: Pieces::Uneven, calls: 0, fails: true }
    }
}

impl Read for PieceReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() && self.fails && !into.is_empty() {
            return Err(io::Error::new(ErrorKind::ConnectionReset, "the store is gone"));
        }
        self.calls += 1;
        let count = self.left.len().min(into.len()).min(self.pieces.size(self.calls));
        into[..count].copy_from_slice(&self.left[..count]);
        self.left = &self.left[count..];
        Ok(count)
    }
}

/// Writes to bytes, fewer at a time than it is given. May have no room for more.
pub(super) struct PieceWriter {
    pub(super) bytes: Vec<u8>,
    pieces: Pieces,
    calls: usize,
    room: usize,
}

impl PieceWriter {
    pub(super) fn new(pieces: Pieces) -> Self {
        Self { bytes: Vec::new(), pieces, calls: 0, room: usize::MAX }
    }

    /// One that fails after this many bytes.
    pub(super) fn with_room(room: usize) -> Self {
        Self { bytes: Vec::new(), pieces: Pieces::All, calls: 0, room }
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.room - self.bytes.len();
        if room == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        self.calls += 1;
        let count = bytes.len().min(room).min(self.pieces.size(self.calls));
        self.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The places up to `end`, all of them where they are few; else those at both ends, and others at equal distances. Fewer where
/// bytes are many, since each place takes a look at all of them.
pub(super) fn places(end: usize) -> impl Iterator<Item = usize> {
    let few = ((1 << 20) / end.max(1)).clamp(64, 1024);
    let step = (end / few).max(1);
    (0..end).filter(move |at| step == 1 || *at < few / 2 || end - *at < few / 2 || at.is_multiple_of(step))
}
