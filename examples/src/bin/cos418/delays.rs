//! The delays file: how many ticks more than one each message takes, in the order in which messages are sent.

use std::path::Path;

use crate::text::{TextError, TextFile};

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Vec<u64>, TextError> {
    let file = TextFile::read(path, &path.display().to_string())?;
    file.lines()
        .map(|line| match line.words() {
            [delay] => line.number_in(delay),
            _ => Err(line.malformed("one delay a line")),
        })
        .collect()
}
