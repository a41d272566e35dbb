//! Which folders are known to have a durable name, so that they need not be synced each time something is put into them.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::sync;

/// How many folders are remembered: those of the last snapshots. Whatever is forgotten is synced once more.
pub(super) const MOST: usize = 64;

/// What this process has seen to it by itself. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct SyncedFolders(Arc<Mutex<VecDeque<(PathBuf, Identity)>>>);

/// Tells a folder from one that was later made under the same name: systems use their numbers again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    number: u64,
    born: SystemTime,
}

impl SyncedFolders {
    /// Makes the name of a file durable, and those of the folders that lead to it from `top`, which is always there.
    ///
    /// That a folder is there does not say that it is durable: another process may have made it a moment ago and not synced it
    /// yet. So what this process has not synced itself is synced, whoever made it.
    pub(super) fn sync(&self, top: &Path, file: &Path) -> io::Result<()> {
        let mut folder = file.parent().unwrap_or(top);
        sync::folder(folder)?;
        while let Some(above) = folder.parent().filter(|above| above.starts_with(top)) {
            // Looked at before the sync, which so covers the one that was seen.
            let seen = Identity::of(folder);
            if seen.is_none_or(|seen| !self.is_known(folder, seen)) {
                sync::folder(above)?;
                seen.into_iter().for_each(|seen| self.remember(folder, seen));
            }
            folder = above;
        }
        Ok(())
    }

    fn is_known(&self, folder: &Path, identity: Identity) -> bool {
        self.folders().iter().any(|(path, known)| path == folder && *known == identity)
    }

    fn remember(&self, folder: &Path, identity: Identity) {
        let mut folders = self.folders();
        folders.retain(|(path, _)| path != folder);
        if folders.len() == MOST {
            folders.pop_front();
        }
        folders.push_back((folder.to_owned(), identity));
    }

    // Every change is one call: a panic elsewhere leaves it whole.
    fn folders(&self) -> MutexGuard<'_, VecDeque<(PathBuf, Identity)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// `None` where the system does not tell when a folder was made: then it is synced each time.
    #[cfg(unix)]
    fn of(folder: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let about = std::fs::symlink_metadata(folder).ok()?;
        Some(Self { device: about.dev(), number: about.ino(), born: about.created().ok()? })
    }

    #[cfg(not(unix))]
    fn of(_: &Path) -> Option<Self> {
        None
    }
}
