//! What makes files and names durable: the entries of a folder reach the disk when the folder itself is synced.

use std::fs::File;
use std::io;
use std::path::Path;

/// Syncs what was written to a file.
pub(super) fn file(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    seen(path);
    Ok(())
}

/// Syncs the entries of one folder.
#[cfg(unix)]
pub(super) fn folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    seen(path);
    Ok(())
}

/// Elsewhere a folder cannot be opened as a file; whether its entries are durable is the file system's affair.
#[cfg(not(unix))]
pub(super) fn folder(path: &Path) -> io::Result<()> {
    std::fs::metadata(path)?;
    seen(path);
    Ok(())
}

#[cfg(not(test))]
fn seen(_: &Path) {}

#[cfg(test)]
use tests::seen;

/// Whether something was synced shows only when the power fails. So the tests of this crate look over its shoulder.
#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;
    use std::path::{Path, PathBuf};

    thread_local! {
        static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn seen(path: &Path) {
        SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
    }

    /// What this thread has synced since it was last asked, in that order.
    pub(in crate::directory) fn synced() -> Vec<PathBuf> {
        SYNCED.take()
    }
}
