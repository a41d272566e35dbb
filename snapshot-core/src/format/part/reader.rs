//! Puts chunks together again, each checked.

use std::io::{self, Read};
use std::ops::Range;

use crc32fast::Hasher;

use super::PartError;
use super::ahead::Ahead;
use super::chunk::{CHUNK, FRAME, Kind, OPENING, PREFIX, VERSION};
use crate::vocabulary::key::Key;
use crate::vocabulary::malformed::Malformed;

/// Reads chunks and checks each before any of its bytes are seen. Holds 256 KiB of what is read, at most.
pub(super) struct ChunkReader<'a> {
    key: Key,
    ahead: Ahead<'a>,
    version: u8,
    hash: Hasher,
    /// How many bytes were read, up to the end of the present chunk.
    size: u64,
    kind: Option<Kind>,
    /// What of the present chunk is not taken.
    rest: Range<usize>,
    /// Reading has failed, and nothing more is read.
    failed: Option<PartError>,
}

impl<'a> ChunkReader<'a> {
    /// Reads the opening and the first chunk.
    pub(super) fn open(key: Key, input: &'a mut dyn Read) -> Result<Self, PartError> {
        let (ahead, hash) = (Ahead::of(input), Hasher::new());
        let (version, size, kind, rest, failed) = (VERSION, 0, None, 0..0, None);
        let mut chunks = Self { key, ahead, version, hash, size, kind, rest, failed };
        let opening: [u8; OPENING.len() + 1] = chunks.take_array()?;
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
        self.ahead.bytes(self.rest.clone())
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
            self.rest = 0..0;
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
        self.rest.start += usize::from(byte.is_some());
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
            self.rest.start += some;
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
            self.rest.start += count;
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
        while self.kind() == kind && self.rest.is_empty() {
            self.advance()?;
        }
        Ok(if self.kind() == kind { self.bytes() } else { &[] })
    }

    fn read_chunk(&mut self) -> Result<u8, PartError> {
        let frame: [u8; FRAME] = self.take_array()?;
        let [kind, a, b, c, d, checksum @ ..] = frame;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > CHUNK {
            return Err(self.corrupt(Malformed::new("a chunk over its bound")));
        }
        let rest = self.take_ahead(length)?;
        self.hash.update(&frame[..PREFIX]);
        self.hash.update(self.ahead.bytes(rest.clone()));
        if self.hash.clone().finalize() != u32::from_le_bytes(checksum) {
            return Err(self.corrupt(Malformed::new("a checksum that does not agree")));
        }
        self.rest = rest;
        Ok(kind)
    }

    fn enter(&mut self, kind: u8) -> Result<(), PartError> {
        let kind = Kind::of(kind, self.version).filter(|kind| kind.may_follow(self.kind));
        let kind = kind.ok_or_else(|| self.corrupt(Malformed::new("a chunk out of place")))?;
        if kind == Kind::End {
            if self.bytes() != self.size.to_le_bytes() {
                return Err(self.corrupt(Malformed::new("a size that does not agree")));
            }
            if !self.ahead.is_at_end().map_err(|error| self.unreadable(&error))? {
                return Err(self.corrupt(Malformed::new("bytes after the end")));
            }
        }
        self.kind = Some(kind);
        Ok(())
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], PartError> {
        let taken = self.take_ahead(N)?;
        let mut array = [0; N];
        array.copy_from_slice(self.ahead.bytes(taken));
        Ok(array)
    }

    /// Where the next so many bytes are.
    fn take_ahead(&mut self, count: usize) -> Result<Range<usize>, PartError> {
        match self.ahead.take(count) {
            Ok(Some(taken)) => {
                self.size += count as u64;
                Ok(taken)
            }
            Ok(None) => Err(PartError::Truncated { key: self.key }),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    fn unreadable(&self, error: &io::Error) -> PartError {
        PartError::Unreadable { key: self.key, error: error.to_string() }
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
        self.chunks.rest.start += count;
        Ok(count)
    }

    /// Without the zeros that the library's own way writes first.
    fn read_to_end(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let before = into.len();
        loop {
            let bytes = self.chunks.fill(self.kind).map_err(io::Error::other)?;
            if bytes.is_empty() {
                return Ok(into.len() - before);
            }
            into.extend_from_slice(bytes);
            self.chunks.rest.start = self.chunks.rest.end;
        }
    }
}
