//! How the bytes of an object come to its file.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::thread;

use super::early::Early;

/// Small writes are gathered to this many bytes.
const GATHERED: usize = 64 << 10;

/// Writes what `fill` gives to a file. It is in the file then, and not yet durable.
pub(super) fn write(file: &File, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    thread::scope(|scope| {
        let mut out = Writing { file, gathered: Vec::new(), early: Early::of(scope, file) };
        fill(&mut out)?;
        out.flush()?;
        out.early.finish()
    })
}

/// Gathers small writes; large ones go to the system as they come, without a copy.
struct Writing<'s, 'e> {
    file: &'e File,
    gathered: Vec<u8>,
    early: Early<'s, 'e>,
}

impl Writing<'_, '_> {
    /// Makes room for so many bytes; `false`: they are too many to be gathered.
    fn is_small(&mut self, count: usize) -> io::Result<bool> {
        if self.gathered.len().saturating_add(count) > GATHERED {
            self.flush()?;
        }
        Ok(count < GATHERED)
    }
}

impl Write for Writing<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_small(bytes.len())? {
            return self.file.write(bytes).inspect(|count| self.early.wrote(*count));
        }
        self.gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = pieces.iter().map(|piece| piece.len()).fold(0, usize::saturating_add);
        if !self.is_small(count)? {
            return self.file.write_vectored(pieces).inspect(|count| self.early.wrote(*count));
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
        self.early.wrote(done);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::early::STRIDE;

    #[test]
    fn writes_of_all_sizes_stand_in_the_file_one_behind_the_other() {
        let sizes =
            [1, 9, GATHERED - 1, 0, GATHERED, 5, GATHERED + 1, 3 * GATHERED, GATHERED / 2, GATHERED / 2, 7];
        let pieces: Vec<Vec<u8>> = sizes.iter().zip(1..).map(|(size, byte)| vec![byte; *size]).collect();
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        for together in [1, 2, 5] {
            let file = File::create(&path).unwrap();
            let fill = |out: &mut dyn Write| {
                for some in pieces.chunks(together) {
                    let mut slices: Vec<IoSlice<'_>> = some.iter().map(|piece| IoSlice::new(piece)).collect();
                    let mut slices = &mut slices[..];
                    IoSlice::advance_slices(&mut slices, 0);
                    while !slices.is_empty() {
                        let count =
                            if together == 1 { out.write(&slices[0]) } else { out.write_vectored(slices) };
                        IoSlice::advance_slices(&mut slices, count?);
                    }
                }
                Ok(())
            };
            write(&file, fill).unwrap();
            assert!(std::fs::read(&path).unwrap() == pieces.concat(), "{together} at a time");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_could_not_be_written_is_told_with_every_later_write_that_needs_its_room() {
        let file = File::create("/dev/full").unwrap();
        let overlooked = write(&file, |out| {
            out.write_all(b"small")?;
            for _ in 0..2 {
                assert_eq!(out.flush().unwrap_err().kind(), ErrorKind::StorageFull);
            }
            assert_eq!(out.write(&[0; GATHERED]).unwrap_err().kind(), ErrorKind::StorageFull);
            let (head, body) = (IoSlice::new(b"head"), IoSlice::new(&[0; GATHERED]));
            assert_eq!(out.write_vectored(&[head, body]).unwrap_err().kind(), ErrorKind::StorageFull);
            Ok(())
        });
        assert_eq!(overlooked.unwrap_err().kind(), ErrorKind::StorageFull);
    }

    #[test]
    fn a_large_object_is_synced_while_it_is_written_and_stands_there_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let piece: Vec<u8> = (0..STRIDE / 4).map(|at| (at >> 8) as u8).collect();
        let fill = |out: &mut dyn Write| (0..10).try_for_each(|_| out.write_all(&piece));
        write(file.as_file(), fill).unwrap();
        assert!(std::fs::read(file.path()).unwrap() == piece.repeat(10));
    }
}
