//! The committed snapshots of a run, read from outside the group.

use std::path::{Path, PathBuf};

use snapshot_core::{Archive, ArchiveError, Generation, Postcard, SnapshotId, Topology};
use snapshot_store::{DirectoryStore, OpenError};
use thiserror::Error;

use crate::audit::Cut;
use crate::folder::Folder;
use crate::ledger::{Ledger, Transfer};

/// A committed snapshot, unread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Committed {
    pub(crate) snapshot: SnapshotId,
    /// Of all parts.
    pub(crate) bytes: u64,
}

/// The snapshots of a bank, while it runs or afterwards.
#[derive(Debug)]
pub(crate) struct Cuts {
    store: DirectoryStore,
    topology: Topology,
    /// `None` until there is a journal.
    archive: Option<Archive<Ledger, Transfer>>,
    /// How many commits were told of.
    told: usize,
}

/// Why the snapshots cannot be read.
#[derive(Debug, Error)]
pub(crate) enum CutsError {
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(
        "the snapshots in {path} are of the group '{found}', and bank.json beside them is of '{expected}': \
         put back the store of this bank, or choose another folder"
    )]
    OtherGroup { path: PathBuf, found: String, expected: String },
}

impl Cuts {
    /// Opens the store in the folder of a run, which must be there. It may be empty still.
    pub(crate) async fn open(folder: &Path, topology: &Topology) -> Result<Self, CutsError> {
        let store = DirectoryStore::open_existing(Folder::store_in(folder))?;
        let mut cuts = Self { store, topology: topology.clone(), archive: None, told: 0 };
        cuts.refresh().await?;
        Ok(cuts)
    }

    /// What was committed since this was last asked, in the order of the journal.
    pub(crate) async fn fresh(&mut self) -> Result<Vec<Committed>, CutsError> {
        self.refresh().await?;
        let Some(archive) = &self.archive else { return Ok(Vec::new()) };
        let fresh = archive.commits()[self.told..].iter();
        let fresh: Vec<_> = fresh.map(|c| Committed { snapshot: c.snapshot, bytes: c.bytes() }).collect();
        self.told += fresh.len();
        Ok(fresh)
    }

    /// The records of the journal that are damaged, and what is wrong with them.
    pub(crate) fn unreadable(&self) -> Vec<(u64, String)> {
        let unreadable = self.archive.iter().flat_map(|archive| archive.unreadable());
        unreadable.map(|(index, error)| (*index, error.to_string())).collect()
    }

    /// The committed snapshots that the group has fallen back behind, as of the last [`fresh`](Self::fresh).
    pub(crate) fn given_up(&self) -> Vec<SnapshotId> {
        let commits = self.archive.as_ref().map_or(&[][..], |archive| archive.commits());
        commits.iter().filter(|commit| !commit.in_lineage).map(|commit| commit.snapshot).collect()
    }

    /// Where the journal says that a generation begins, as of the last [`fresh`](Self::fresh); `None` where it does not
    /// know the generation.
    pub(crate) fn start_of(&self, generation: Generation) -> Option<Option<SnapshotId>> {
        let opened =
            self.archive.as_ref()?.generations().iter().find(|opened| opened.generation == generation)?;
        Some(opened.start)
    }

    /// All generations of the journal and where they begin, in its order, as of the last [`fresh`](Self::fresh).
    pub(crate) fn generations(&self) -> impl Iterator<Item = (Generation, Option<SnapshotId>)> {
        let opened = self.archive.as_ref().map_or(&[][..], |archive| archive.generations());
        opened.iter().map(|opened| (opened.generation, opened.start))
    }

    /// Reads a committed snapshot.
    pub(crate) async fn read(&self, snapshot: SnapshotId) -> Result<Cut, CutsError> {
        let archive = self.archive.as_ref().ok_or(ArchiveError::Empty)?;
        Ok(archive.read(snapshot).await?)
    }

    async fn refresh(&mut self) -> Result<(), CutsError> {
        if let Some(archive) = &mut self.archive {
            return Ok(archive.refresh().await?);
        }
        let archive = match Archive::open(self.store.clone(), Postcard).await {
            Err(ArchiveError::Empty) => return Ok(()),
            other => other?,
        };
        if archive.group() != self.topology.group() || archive.members() != self.topology.members() {
            let (found, expected) = (archive.group().to_owned(), self.topology.group().to_owned());
            return Err(CutsError::OtherGroup { path: self.store.path().to_owned(), found, expected });
        }
        self.archive = Some(archive);
        Ok(())
    }
}
