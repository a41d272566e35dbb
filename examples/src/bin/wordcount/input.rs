//! The input: all files one after the other, as one stream of bytes with positions.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use thiserror::Error;

/// Whether a byte parts words: space, `\t`, `\n`, `\v`, `\f`, `\r`.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The files, seen as one stream: a word that begins at the end of one file may go on in the next, as with `cat`.
#[derive(Debug)]
pub(crate) struct Input {
    files: Vec<Part>,
    len: u64,
    /// The file read last, so that a run through the input opens each file once.
    open: Option<(usize, File)>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    begin: u64,
    end: u64,
}

/// Why there is no input.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    /// A file cannot be opened.
    #[error("cannot read {path}: {error}", path = path.display())]
    Unreadable {
        /// Its name.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It has no length that could be shared out.
    #[error("{path} is not a regular file: workers read it in several places at once, so write it to a file first", path = path.display())]
    NotAFile {
        /// Its name.
        path: PathBuf,
    },
}

impl Input {
    /// Looks at all files, and reads none yet.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self, InputError> {
        let mut files = Vec::new();
        let mut begin = 0;
        for path in paths {
            let unreadable = |error| InputError::Unreadable { path: path.clone(), error };
            let data = std::fs::metadata(path).map_err(unreadable)?;
            if !data.is_file() {
                return Err(InputError::NotAFile { path: path.clone() });
            }
            // Opened as well, so that a file that may not be read is found out before anything starts.
            File::open(path).map_err(unreadable)?;
            let end = begin + data.len();
            files.push(Part { path: path.clone(), begin, end });
            begin = end;
        }
        Ok(Self { files, len: begin, open: None })
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads `most` bytes from a position on; fewer only where the input ends.
    pub(crate) fn read(&mut self, position: u64, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        let end = position.saturating_add(most as u64).min(self.len);
        let mut at = position;
        while at < end {
            let index = self.files.partition_point(|part| part.end <= at);
            let upto = end.min(self.files[index].end);
            self.read_part(index, at, upto - at, into)?;
            at = upto;
        }
        Ok(())
    }

    fn read_part(&mut self, index: usize, at: u64, count: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let part = &self.files[index];
        let mut file = match self.open.take() {
            Some((open, file)) if open == index => file,
            _ => File::open(&part.path)?,
        };
        file.seek(SeekFrom::Start(at - part.begin))?;
        let got = (&mut file).take(count).read_to_end(into)?;
        if got as u64 != count {
            let message = format!("{} has become shorter while its words were counted", part.path.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.open = Some((index, file));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_one_stream() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = ["abc", "", "d", "", "efgh"]
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let path = folder.path().join(index.to_string());
                std::fs::write(&path, text).unwrap();
                path
            })
            .collect();
        let mut input = Input::open(&paths).unwrap();
        assert_eq!(input.len(), 8);
        let mut bytes = Vec::new();
        for position in 0..10 {
            for most in 0..10 {
                input.read(position, most, &mut bytes).unwrap();
                let begin = (position as usize).min(8);
                assert_eq!(bytes, &b"abcdefgh"[begin..(begin + most).min(8)], "{position} {most}");
            }
        }
    }

    #[test]
    fn a_file_that_shrinks_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let mut input = Input::open(std::slice::from_ref(&path)).unwrap();
        std::fs::write(&path, "a").unwrap();
        assert!(input.read(0, 3, &mut Vec::new()).is_err());
    }

    #[test]
    fn space_is_what_the_c_locale_says() {
        let spaces: Vec<u8> = (0..=255).filter(|byte| is_space(*byte)).collect();
        assert_eq!(spaces, b"\t\n\x0b\x0c\r ");
    }
}
