//! Files that are being written, in `tmp/`, and what a crash left of them.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

/// The folder below the root, and so on the same file system: a file can get its final name without being copied.
pub(super) const FOLDER: &str = "tmp";

/// Nothing else in the folder is ever removed.
const PREFIX: &str = "unfinished-";

/// A file is locked a moment after it is made, and some network file systems have no locks. So one that changed not long ago
/// is taken to be in use.
const ABANDONED_AFTER: Duration = Duration::from_secs(15 * 60);

/// A new file, locked for as long as it is open, and removed when it is dropped before it got its name.
pub(super) fn create(root: &Path) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new().prefix(PREFIX).tempfile_in(root.join(FOLDER))?;
    // Nobody else wants this lock but a sweeper; without it the age of the file protects it.
    if let Err(TryLockError::Error(error)) = file.as_file().try_lock() {
        tracing::trace!(%error, "this file system has no locks");
    }
    Ok(file)
}

/// Whether the folder holds nothing but unfinished files.
pub(super) fn is_ours(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if !has_our_name(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes what crashed processes left, as far as that is possible: it costs space and harms nobody.
pub(super) fn sweep(root: &Path) {
    let folder = root.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            return tracing::debug!(folder = %folder.display(), %error, "cannot look for abandoned files");
        }
    };
    for entry in entries.flatten().filter(|entry| has_our_name(&entry.file_name())) {
        let path = entry.path();
        match remove_if_abandoned(&path) {
            Ok(true) => tracing::debug!(file = %path.display(), "removed what a crash had left"),
            Ok(false) => {}
            Err(error) => tracing::debug!(file = %path.display(), %error, "cannot remove an abandoned file"),
        }
    }
}

fn remove_if_abandoned(path: &Path) -> io::Result<bool> {
    // Not the name's own metadata of a link that somebody put here: the file must be a plain one.
    let about = fs::symlink_metadata(path)?;
    if !about.is_file() || !is_old(about.modified()?) {
        return Ok(false);
    }
    // Kept open, and so locked, until the name is gone.
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if is_in_use(&file) || !is_old(file.metadata()?.modified()?) {
        return Ok(false);
    }
    fs::remove_file(path)?;
    Ok(true)
}

fn has_our_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX))
}

fn is_old(modified: SystemTime) -> bool {
    // A time in the future is that of a clock which differs from ours, so of a file that is young.
    SystemTime::now().duration_since(modified).is_ok_and(|age| age > ABANDONED_AFTER)
}

fn is_in_use(file: &File) -> bool {
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}
