//! `manifest.txt`: which cases there are, and which files make them.

use std::path::Path;

use thiserror::Error;

use crate::case::Case;
use crate::text::{TextError, TextFile};

/// The name of the file.
const NAME: &str = "manifest.txt";

/// One line of the manifest. A malformed one is a case that fails, so that the others still run.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name of the case.
    pub(crate) name: String,
    /// Its files.
    pub(crate) case: Result<Case, TextError>,
}

/// Why there is nothing to run.
#[derive(Debug, Error)]
pub(crate) enum ManifestError {
    /// It cannot be read.
    #[error("{folder}: {error}: name a folder that holds a {NAME}")]
    Unreadable {
        /// The folder.
        folder: String,
        /// Why.
        error: TextError,
    },
    /// It is empty.
    #[error(
        "{folder}/{NAME} names no case: add a line with a name, a topology, an events file and the snapshots"
    )]
    Empty {
        /// The folder.
        folder: String,
    },
}

/// Reads the manifest of a folder: one case at least.
pub(crate) fn read(folder: &Path) -> Result<Vec<Entry>, ManifestError> {
    let shown = || folder.display().to_string();
    let file = TextFile::read(&folder.join(NAME), NAME)
        .map_err(|error| ManifestError::Unreadable { folder: shown(), error })?;
    let entries: Vec<Entry> = file
        .lines()
        .map(|line| match line.words() {
            [name, group, script, snapshots @ ..] => Entry {
                name: (*name).to_owned(),
                case: Ok(Case {
                    group: (*group).to_owned(),
                    script: (*script).to_owned(),
                    snapshots: snapshots.iter().map(|word| (*word).to_owned()).collect(),
                }),
            },
            words => Entry {
                name: words.first().copied().unwrap_or_default().to_owned(),
                case: Err(
                    line.malformed("a case has a name, a .top file, an .events file and its .snap files")
                ),
            },
        })
        .collect();
    if entries.is_empty() { Err(ManifestError::Empty { folder: shown() }) } else { Ok(entries) }
}
