//! The line format that all files of a case share, and errors that name file and line.

use std::fs;
use std::io;
use std::path::Path;

use thiserror::Error;

/// Why a file of a case cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TextError {
    /// It is not there, or may not be read.
    #[error("{file}: {error}")]
    Unreadable {
        /// Its name.
        file: String,
        /// What the system said.
        error: io::Error,
    },
    /// A line is not what it should be.
    #[error("{file}:{line}: {what}")]
    Malformed {
        /// Its name.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what it should be.
        what: String,
    },
}

/// A file in memory.
#[derive(Debug)]
pub(crate) struct TextFile {
    name: String,
    text: String,
}

/// The words of one line.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    file: &'a str,
    number: usize,
    words: Vec<&'a str>,
}

impl TextFile {
    /// Reads a file. Its name in errors is `name`.
    pub(crate) fn read(path: &Path, name: &str) -> Result<Self, TextError> {
        let bytes = fs::read(path).map_err(|error| TextError::Unreadable { file: name.to_owned(), error })?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name: name.to_owned(), text }),
            Err(error) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
                let what = "bytes that are not text (UTF-8)".to_owned();
                Err(TextError::Malformed { file: name.to_owned(), line, what })
            }
        }
    }

    /// Its lines, without those that are empty or a comment (`#`).
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().enumerate().filter_map(|(index, line)| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let counts = words.first().is_some_and(|word| !word.starts_with('#'));
            counts.then_some(Line { file: &self.name, number: index + 1, words })
        })
    }

    /// An error about something that is missing at the end.
    pub(crate) fn ends_early(&self, what: impl Into<String>) -> TextError {
        let line = self.text.lines().count().max(1);
        TextError::Malformed { file: self.name.clone(), line, what: what.into() }
    }
}

impl<'a> Line<'a> {
    /// Its words: at least one.
    pub(crate) fn words(&self) -> &[&'a str] {
        &self.words
    }

    /// Where it stands.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// An error about this line.
    pub(crate) fn malformed(&self, what: impl Into<String>) -> TextError {
        TextError::Malformed { file: self.file.to_owned(), line: self.number, what: what.into() }
    }

    /// A word that must be a number.
    pub(crate) fn number_in(&self, word: &str) -> Result<u64, TextError> {
        // `parse` alone would take a sign.
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .then(|| word.parse().ok())
            .flatten()
            .ok_or_else(|| self.malformed(format!("'{word}' is no number between 0 and {}", u64::MAX)))
    }
}
