//! Cuts what is written into chunks.

use std::io::{self, IoSlice, Write};

use crc32fast::Hasher;

use super::chunk::{CHUNK, FRAME, Kind, OPENING, PREFIX, VERSION};

/// So many chunks of what is written at one time are given on together: 1 MiB.
const TOGETHER: usize = 16;

/// Cuts what is written into chunks. Holds one of them, 64 KiB; those that are written whole are not copied.
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

    /// Gives on the chunk that was gathered.
    fn emit(&mut self) -> io::Result<()> {
        self.check()?;
        let frame = frame(self.kind, &self.buffer[FRAME..], &mut self.hash);
        self.buffer[..FRAME].copy_from_slice(&frame);
        self.broken = true;
        self.out.write_all(&self.buffer)?;
        self.broken = false;
        self.size += self.buffer.len() as u64;
        self.buffer.truncate(FRAME);
        Ok(())
    }

    /// Gives on whole chunks as they are. Returns how many bytes of them.
    fn emit_whole(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let chunks = bytes.chunks_exact(CHUNK).take(TOGETHER);
        let mut frames = [[0; FRAME]; TOGETHER];
        let framed = frames.iter_mut().zip(chunks).map(|(place, chunk)| {
            *place = frame(self.kind, chunk, &mut self.hash);
            (&*place, chunk)
        });
        let mut pieces: Vec<IoSlice<'_>> =
            framed.flat_map(|(frame, chunk)| [IoSlice::new(frame), IoSlice::new(chunk)]).collect();
        let count = pieces.len() / 2;
        self.broken = true;
        write_all_vectored(self.out, &mut pieces)?;
        self.broken = false;
        self.size += (count * (FRAME + CHUNK)) as u64;
        Ok(count * CHUNK)
    }

    fn check(&self) -> io::Result<()> {
        if self.broken { Err(io::Error::other("an earlier write of this part failed")) } else { Ok(()) }
    }
}

/// What stands before a chunk; counts it into the checksum.
fn frame(kind: Kind, bytes: &[u8], hash: &mut Hasher) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[0] = kind as u8;
    frame[1..PREFIX].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    hash.update(&frame[..PREFIX]);
    hash.update(bytes);
    frame[PREFIX..].copy_from_slice(&hash.clone().finalize().to_le_bytes());
    frame
}

fn write_all_vectored(out: &mut dyn Write, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !pieces.is_empty() {
        match out.write_vectored(pieces) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut pieces, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Write for ChunkWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == FRAME + CHUNK || self.broken {
            self.emit()?;
        }
        if self.buffer.len() == FRAME && bytes.len() >= CHUNK {
            return self.emit_whole(bytes);
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
