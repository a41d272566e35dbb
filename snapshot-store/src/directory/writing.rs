//! How the bytes of an object come to its file.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};

/// Small writes are gathered to this many bytes.
const GATHERED: usize = 64 << 10;

/// Gathers small writes; large ones go to the system as they come, without a copy.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    file: &'a File,
    gathered: Vec<u8>,
}

impl<'a> Writing<'a> {
    pub(super) fn to(file: &'a File) -> Self {
        Self { file, gathered: Vec::new() }
    }

    /// Makes room for so many bytes; `false`: they are too many to be gathered.
    fn is_small(&mut self, count: usize) -> io::Result<bool> {
        if self.gathered.len().saturating_add(count) > GATHERED {
            self.flush()?;
        }
        Ok(count < GATHERED)
    }
}

impl Write for Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_small(bytes.len())? {
            return self.file.write(bytes);
        }
        self.gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = pieces.iter().map(|piece| piece.len()).fold(0, usize::saturating_add);
        if !self.is_small(count)? {
            return self.file.write_vectored(pieces);
        }
        pieces.iter().for_each(|piece| self.gathered.extend_from_slice(piece));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        let written = loop {
            match self.file.write(&self.gathered[done..]) {
                _ if done == self.gathered.len() => break Ok(()),
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.gathered.drain(..done);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_of_all_sizes_stand_in_the_file_one_behind_the_other() {
        let sizes =
            [1, 9, GATHERED - 1, 0, GATHERED, 5, GATHERED + 1, 3 * GATHERED, GATHERED / 2, GATHERED / 2, 7];
        let pieces: Vec<Vec<u8>> = sizes.iter().zip(1..).map(|(size, byte)| vec![byte; *size]).collect();
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        for together in [1, 2, 5] {
            let file = File::create(&path).unwrap();
            let mut out = Writing::to(&file);
            for some in pieces.chunks(together) {
                let mut slices: Vec<IoSlice<'_>> = some.iter().map(|piece| IoSlice::new(piece)).collect();
                let mut slices = &mut slices[..];
                IoSlice::advance_slices(&mut slices, 0);
                while !slices.is_empty() {
                    let count =
                        if together == 1 { out.write(&slices[0]) } else { out.write_vectored(slices) };
                    IoSlice::advance_slices(&mut slices, count.unwrap());
                }
            }
            out.flush().unwrap();
            assert!(std::fs::read(&path).unwrap() == pieces.concat(), "{together} at a time");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_could_not_be_written_is_told_with_every_later_write_that_needs_its_room() {
        let file = File::create("/dev/full").unwrap();
        let mut out = Writing::to(&file);
        out.write_all(b"small").unwrap();
        for _ in 0..2 {
            assert_eq!(out.flush().unwrap_err().kind(), ErrorKind::StorageFull);
        }
        assert_eq!(out.write(&[0; GATHERED]).unwrap_err().kind(), ErrorKind::StorageFull);
        let (head, body) = (IoSlice::new(b"head"), IoSlice::new(&[0; GATHERED]));
        assert_eq!(out.write_vectored(&[head, body]).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(out.gathered, b"small");
    }
}
