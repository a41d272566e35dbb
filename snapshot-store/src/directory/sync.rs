//! Makes names durable: the entries of a folder reach the disk when the folder itself is synced.

use std::io;
use std::path::Path;

/// Syncs the entries of one folder.
#[cfg(unix)]
pub(super) fn folder(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

/// Elsewhere a folder cannot be opened as a file; whether its entries are durable is the file system's affair.
#[cfg(not(unix))]
pub(super) fn folder(path: &Path) -> io::Result<()> {
    std::fs::metadata(path).map(drop)
}

/// Syncs the folders that lead from `top`, which is included, to `file`.
///
/// All of them, each time: that a folder was there does not say that it is durable, since another process may have made it
/// a moment ago and not synced it yet. Syncing a folder without changes costs little.
pub(super) fn folders_between(top: &Path, file: &Path) -> io::Result<()> {
    file.ancestors().skip(1).take_while(|folder| folder.starts_with(top)).try_for_each(folder)
}
