//! Chunks: the checked pieces in which a part is written and read.
//!
//! This layer never changes, whatever the format's version, so that any release can tell damage from news.

use std::io::{self, Read, Write};

use crc32fast::Hasher;

use super::PartError;
use crate::vocabulary::key::Key;
use crate::vocabulary::malformed::Malformed;

/// The most bytes that a chunk holds.
pub(super) const CHUNK: usize = 64 << 10;

/// The newest version of what the chunks hold.
pub(super) const VERSION: u8 = 2;

const OPENING: &[u8; 5] = b"SNAPP";
/// Kind and length: what the checksum covers beside the bytes.
const PREFIX: usize = 5;
const FRAME: usize = PREFIX + 4;

/// What a chunk holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Header = 1,
    State = 2,
    Channel = 3,
    Messages = 4,
    End = 5,
    Outgoing = 6,
    Queued = 7,
}

impl Kind {
    /// What version 1 knew.
    const FIRST: [Self; 5] = [Self::Header, Self::State, Self::Channel, Self::Messages, Self::End];
    const SECOND: [Self; 7] =
        [Self::Header, Self::State, Self::Channel, Self::Messages, Self::End, Self::Outgoing, Self::Queued];

    fn of(byte: u8, version: u8) -> Option<Self> {
        let known = if version == 1 { &Self::FIRST[..] } else { &Self::SECOND };
        known.iter().copied().find(|kind| *kind as u8 == byte)
    }

    fn may_follow(self, before: Option<Self>) -> bool {
        match self {
            Self::Header => matches!(before, None | Some(Self::Header)),
            Self::State => matches!(before, Some(Self::Header | Self::State)),
            Self::Channel => {
                matches!(before, Some(Self::Header | Self::State | Self::Channel | Self::Messages))
            }
            Self::Messages => matches!(before, Some(Self::Channel | Self::Messages)),
            Self::Outgoing | Self::End => before.is_some_and(|before| before != Self::End),
            Self::Queued => matches!(before, Some(Self::Outgoing | Self::Queued)),
        }
    }
}

/// Cuts what is written into chunks. Holds one of them, 64 KiB.
pub(super) struct ChunkWriter<'a> {
    out: &'a mut dyn Write,
    hash: Hasher,
    size: u64,
    kind: Kind,
    /// The frame's place, then the bytes.
    buffer: Vec<u8>,
    /// A write has failed, so all that follows must, even if whoever wrote has overlooked it.
    broken: bool,
}

impl<'a> ChunkWriter<'a> {
    pub(super) fn open(out: &'a mut dyn Write) -> io::Result<Self> {
        let opening = [&OPENING[..], &[VERSION]].concat();
        out.write_all(&opening)?;
        let mut hash = Hasher::new();
        hash.update(&opening);
        let size = opening.len() as u64;
        Ok(Self { out, hash, size, kind: Kind::Header, buffer: vec![0; FRAME], broken: false })
    }

    /// What is written from here on is of this kind.
    pub(super) fn begin(&mut self, kind: Kind) -> io::Result<()> {
        if self.buffer.len() > FRAME {
            self.emit()?;
        }
        self.kind = kind;
        Ok(())
    }

    /// Ends the part. Returns its size in bytes and its checksum.
    pub(super) fn finish(mut self) -> io::Result<(u64, u32)> {
        self.begin(Kind::End)?;
        let size = self.size + (FRAME + size_of::<u64>()) as u64;
        self.write_all(&size.to_le_bytes())?;
        self.emit()?;
        Ok((self.size, self.hash.finalize()))
    }

    fn emit(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write of this part failed"));
        }
        let length = (self.buffer.len() - FRAME) as u32;
        self.buffer[0] = self.kind as u8;
        self.buffer[1..PREFIX].copy_from_slice(&length.to_le_bytes());
        self.hash.update(&self.buffer[..PREFIX]);
        self.hash.update(&self.buffer[FRAME..]);
        let checksum = self.hash.clone().finalize();
        self.buffer[PREFIX..FRAME].copy_from_slice(&checksum.to_le_bytes());
        self.broken = true;
        self.out.write_all(&self.buffer)?;
        self.broken = false;
        self.size += self.buffer.len() as u64;
        self.buffer.truncate(FRAME);
        Ok(())
    }
}

impl Write for ChunkWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == FRAME + CHUNK || self.broken {
            self.emit()?;
        }
        let count = bytes.len().min(FRAME + CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Whoever encodes a state may flush as he likes: that must not cut small chunks.
        Ok(())
    }
}

/// Reads chunks and checks each before any of its bytes are seen. Holds one of them, at most 64 KiB.
pub(super) struct ChunkReader<'a> {
    key: Key,
    input: &'a mut dyn Read,
    version: u8,
    hash: Hasher,
    size: u64,
    kind: Option<Kind>,
    bytes: Vec<u8>,
    /// How many of them are taken.
    taken: usize,
    /// Reading has failed, and nothing more is read.
    failed: Option<PartError>,
}

impl<'a> ChunkReader<'a> {
    /// Reads the opening and the first chunk.
    pub(super) fn open(key: Key, input: &'a mut dyn Read) -> Result<Self, PartError> {
        let (hash, bytes) = (Hasher::new(), Vec::new());
        let (version, size, kind, taken, failed) = (VERSION, 0, None, 0, None);
        let mut chunks = Self { key, input, version, hash, size, kind, bytes, taken, failed };
        let mut opening = [0; OPENING.len() + 1];
        chunks.read_exact(&mut opening)?;
        chunks.hash.update(&opening);
        let [magic @ .., version] = opening;
        if magic != *OPENING {
            return Err(chunks.corrupt(Malformed::new("this is no part")));
        }
        // A wrong version is news only if its checksum is right; so the chunk comes first.
        let kind = chunks.read_chunk()?;
        if version > VERSION {
            return Err(PartError::NewerFormat { key, found: version, known: VERSION });
        }
        if version == 0 {
            return Err(chunks.corrupt(Malformed::new("a version that never was")));
        }
        chunks.version = version;
        chunks.enter(kind)?;
        Ok(chunks)
    }

    /// The kind of the present chunk.
    pub(super) fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::End)
    }

    /// What of the present chunk is not taken.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Goes on to the next chunk; at the end it stays there.
    pub(super) fn advance(&mut self) -> Result<(), PartError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if self.kind() == Kind::End {
            return Ok(());
        }
        let next = self.read_chunk().and_then(|kind| self.enter(kind));
        if let Err(error) = &next {
            self.bytes.clear();
            self.taken = 0;
            self.failed = Some(error.clone());
        }
        next
    }

    /// The bytes of the run of chunks of this kind that the present chunk is in.
    pub(super) fn stream(&mut self, kind: Kind) -> Stream<'_, 'a> {
        Stream { chunks: self, kind }
    }

    /// Takes one byte of such a run, which must have one.
    pub(super) fn byte(&mut self, kind: Kind) -> Result<u8, PartError> {
        let byte = self.fill(kind)?.first().copied();
        self.taken += usize::from(byte.is_some());
        byte.ok_or_else(|| self.corrupt(Malformed::new("ends too early")))
    }

    /// Takes this many bytes of such a run, which must have them.
    pub(super) fn take(&mut self, kind: Kind, mut count: u64, into: &mut Vec<u8>) -> Result<(), PartError> {
        while count > 0 {
            let bytes = self.fill(kind)?;
            let some = bytes.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            into.extend_from_slice(&bytes[..some]);
            if some == 0 {
                return Err(self.corrupt(Malformed::new("ends too early")));
            }
            self.taken += some;
            count -= some as u64;
        }
        Ok(())
    }

    /// Drops the rest of such a run and says how many bytes it was.
    pub(super) fn discard(&mut self, kind: Kind) -> Result<u64, PartError> {
        let mut dropped = 0;
        loop {
            let count = self.fill(kind)?.len();
            if count == 0 {
                return Ok(dropped);
            }
            self.taken += count;
            dropped += count as u64;
        }
    }

    /// Checks the rest. Returns the size of the part in bytes and its checksum.
    pub(super) fn finish(mut self) -> Result<(u64, u32), PartError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        while self.kind() != Kind::End {
            self.advance()?;
        }
        Ok((self.size, self.hash.finalize()))
    }

    pub(super) fn corrupt(&self, error: Malformed) -> PartError {
        PartError::Corrupt { key: self.key, error }
    }

    /// What is not taken of a run of chunks of this kind; nothing at its end.
    fn fill(&mut self, kind: Kind) -> Result<&[u8], PartError> {
        while self.kind() == kind && self.taken == self.bytes.len() {
            self.advance()?;
        }
        Ok(if self.kind() == kind { self.bytes() } else { &[] })
    }

    fn read_chunk(&mut self) -> Result<u8, PartError> {
        let mut frame = [0; FRAME];
        self.read_exact(&mut frame)?;
        let [kind, a, b, c, d, checksum @ ..] = frame;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > CHUNK {
            return Err(self.corrupt(Malformed::new("a chunk over its bound")));
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(length, 0);
        self.read_exact(&mut bytes)?;
        self.hash.update(&frame[..PREFIX]);
        self.hash.update(&bytes);
        if self.hash.clone().finalize() != u32::from_le_bytes(checksum) {
            return Err(self.corrupt(Malformed::new("a checksum that does not agree")));
        }
        (self.bytes, self.taken) = (bytes, 0);
        Ok(kind)
    }

    fn enter(&mut self, kind: u8) -> Result<(), PartError> {
        let kind = Kind::of(kind, self.version).filter(|kind| kind.may_follow(self.kind));
        let kind = kind.ok_or_else(|| self.corrupt(Malformed::new("a chunk out of place")))?;
        if kind == Kind::End {
            if self.bytes != self.size.to_le_bytes() {
                return Err(self.corrupt(Malformed::new("a size that does not agree")));
            }
            if self.read_some(&mut [0])? > 0 {
                return Err(self.corrupt(Malformed::new("bytes after the end")));
            }
        }
        self.kind = Some(kind);
        Ok(())
    }

    fn read_exact(&mut self, into: &mut [u8]) -> Result<(), PartError> {
        let mut filled = 0;
        while filled < into.len() {
            match self.read_some(&mut into[filled..])? {
                0 => return Err(PartError::Truncated { key: self.key }),
                count => filled += count,
            }
        }
        self.size += into.len() as u64;
        Ok(())
    }

    fn read_some(&mut self, into: &mut [u8]) -> Result<usize, PartError> {
        loop {
            match self.input.read(into) {
                Ok(count) => return Ok(count.min(into.len())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Some stores find out by themselves that an object is cut short.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(PartError::Unreadable { key: self.key, error: error.to_string() }),
            }
        }
    }
}

/// A run of chunks of one kind, as a reader.
pub(super) struct Stream<'c, 'a> {
    chunks: &'c mut ChunkReader<'a>,
    kind: Kind,
}

impl Read for Stream<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.chunks.fill(self.kind).map_err(io::Error::other)?;
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        self.chunks.taken += count;
        Ok(count)
    }
}
