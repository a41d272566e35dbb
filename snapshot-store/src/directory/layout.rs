//! What makes a folder a store: the marker file, its version, and the folders below it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use snapshot_core::StoreError;
use thiserror::Error;

use super::{sync, unfinished};

/// The version of the layout that this library writes. It changes only when older programs would misread a store.
const LAYOUT: u32 = 1;

/// The file that says: this folder is a store. It is made before any object, and never changed or removed.
const MARKER: &str = "SNAPSHOT-STORE";

/// How the marker begins; the version follows, then the end of the line.
const MAGIC: &str = "snapshot-store layout ";

/// Longer than any marker: more is not read of a file that is none.
const MARKER_LIMIT: u64 = 64;

/// The first words of all keys. They are made when the store is opened and stay for ever, so that a missing one says that
/// the store has gone, and not that it is empty.
const TOP_FOLDERS: [&str; 5] = ["journal", "seat", "initial", "part", "evidence"];

/// What the mount point of a new disk holds. A folder with nothing else is empty.
const LOST_AND_FOUND: &str = "lost+found";

/// A folder could not be opened as a store.
///
/// ```
/// use snapshot_store::{DirectoryStore, OpenError};
/// let place = tempfile::tempdir()?;
/// std::fs::write(place.path().join("letter.txt"), "dear")?;
/// let error = DirectoryStore::open(place.path()).unwrap_err();
/// assert!(matches!(error, OpenError::NotAStore { .. }));
/// assert!(error.to_string().ends_with("is not a snapshot store: choose an empty folder, or the one that holds the store"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is no such folder, and it was not to be made.
    #[error("there is no folder {}: check the path, or begin a new store with `DirectoryStore::open`", .folder.display())]
    Missing {
        /// The path that was asked for.
        folder: PathBuf,
    },
    /// It is something else.
    #[error("{} is not a snapshot store: choose an empty folder, or the one that holds the store", .folder.display())]
    NotAStore {
        /// The path that was asked for.
        folder: PathBuf,
    },
    /// The store was made by a newer version of this library.
    #[error("the store in {} has layout {found}, and this program knows layouts up to {LAYOUT}: upgrade the program", .folder.display())]
    NewerLayout {
        /// The path that was asked for.
        folder: PathBuf,
        /// The version in the marker.
        found: u32,
    },
    /// The system refused.
    #[error("cannot {action} {}: check that this user may write there", .path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        let message = error.to_string();
        match error {
            OpenError::System { source, .. } => Self::new(message, source),
            _ => Self::other(message),
        }
    }
}

/// Opens or begins a store, and returns its absolute path.
pub(super) fn open(path: &Path) -> Result<PathBuf, OpenError> {
    let root = absolute(path)?;
    let first_existing = root.ancestors().find(|folder| folder.exists()).unwrap_or(&root).to_owned();
    fs::create_dir_all(&root).map_err(refused("create the folder", &root))?;
    if !has_marker(&root)? {
        begin(&root)?;
    }
    complete(&root)?;
    sync_way_to(&root, &first_existing)?;
    unfinished::sweep(&root);
    Ok(root)
}

/// Opens a store that must be there, and returns its absolute path.
pub(super) fn open_existing(path: &Path) -> Result<PathBuf, OpenError> {
    let root = absolute(path)?;
    match fs::metadata(&root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing { folder: root });
        }
        Err(error) => return Err(refused("look at", &root)(error)),
        Ok(about) if !about.is_dir() => return Err(OpenError::NotAStore { folder: root }),
        Ok(_) => {}
    }
    if !has_marker(&root)? {
        return Err(OpenError::NotAStore { folder: root });
    }
    complete(&root)?;
    sync_way_to(&root, &root)?;
    unfinished::sweep(&root);
    Ok(root)
}

/// Whether the store that was opened here is still here, and not an empty mount point or a folder made anew.
pub(super) fn is_present(root: &Path) -> bool {
    root.join(MARKER).is_file()
}

fn absolute(path: &Path) -> Result<PathBuf, OpenError> {
    std::path::absolute(path).map_err(refused("make an absolute path of", path))
}

fn has_marker(root: &Path) -> Result<bool, OpenError> {
    let path = root.join(MARKER);
    let mut text = Vec::new();
    match File::open(&path).and_then(|file| file.take(MARKER_LIMIT).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(refused("read", &path)(error)),
    }
    match version_in(&text) {
        Some(1..=LAYOUT) => Ok(true),
        Some(found) if found > LAYOUT => Err(OpenError::NewerLayout { folder: root.to_owned(), found }),
        _ => Err(OpenError::NotAStore { folder: root.to_owned() }),
    }
}

fn version_in(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.strip_prefix(MAGIC)?.lines().next()?.parse().ok()
}

/// Makes a store of an empty folder. Others may be doing the same.
fn begin(root: &Path) -> Result<(), OpenError> {
    // Another process that is faster makes its marker before anything else. So who sees something else looks again.
    if !is_empty(root).map_err(refused("list", root))? && !has_marker(root)? {
        return Err(OpenError::NotAStore { folder: root.to_owned() });
    }
    let path = root.join(MARKER);
    make_folder(&root.join(unfinished::FOLDER))?;
    write_marker(root, &path).or_else(|error| match has_marker(root)? {
        // Another process was faster; it may be of another version.
        true => Ok(()),
        false => Err(refused("write", &path)(error)),
    })
}

/// Whether there is nothing but what an earlier, interrupted beginning may have left.
fn is_empty(root: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        let harmless = name == MARKER
            || name == LOST_AND_FOUND
            || (name == unfinished::FOLDER && unfinished::is_ours(&root.join(name))?);
        if !harmless {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_marker(root: &Path, path: &Path) -> io::Result<()> {
    let mut file = unfinished::create(root)?;
    writeln!(file, "{MAGIC}{LAYOUT}")?;
    sync::file(file.as_file(), file.path())?;
    file.persist_noclobber(path).map_err(|refused| refused.error)?;
    Ok(())
}

/// Makes what is missing of the folders, and makes them and the marker durable, whoever made them.
fn complete(root: &Path) -> Result<(), OpenError> {
    for name in TOP_FOLDERS.iter().chain([&unfinished::FOLDER]) {
        make_folder(&root.join(name))?;
    }
    sync::folder(root).map_err(refused("sync the folder", root))
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    fs::create_dir(path).or_else(|error| match path.is_dir() {
        true => Ok(()),
        false => Err(refused("create the folder", path)(error)),
    })
}

/// Makes the names durable that lead to the root: those made here, down from `first_existing`, or not at all; those above as
/// far as this user may, since another process may have made them a moment ago.
fn sync_way_to(root: &Path, first_existing: &Path) -> Result<(), OpenError> {
    for folder in root.ancestors().skip(1) {
        match sync::folder(folder) {
            Err(error) if folder.starts_with(first_existing) => {
                return Err(refused("sync the folder", folder)(error));
            }
            Err(error) => tracing::trace!(folder = %folder.display(), %error, "cannot sync this folder"),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::System { action, path: path.to_owned(), source }
}
