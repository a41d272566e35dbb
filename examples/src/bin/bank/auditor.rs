//! The audit: a process of its own that reads the store from outside and goes through every committed snapshot.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use snapshot_core::{SnapshotId, TopologyError};
use thiserror::Error;

use crate::audit::{Books, Discrepancy};
use crate::cuts::{Cuts, CutsError};
use crate::flags::AuditFlags;
use crate::folder::{Folder, FolderError};

/// What the audit says, with `--json` an object a line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Nothing is wrong with this one.
    Sound { snapshot: SnapshotId, transfers_in_flight: usize },
    /// The group has gone back behind this one because it was damaged, or came after one that was; it is not audited.
    GivenUp { snapshot: SnapshotId },
    /// A record of the journal is damaged: what it said is not audited.
    Unreadable { record: u64, error: String },
    /// Nothing is wrong with any.
    All { snapshots: usize, total: u64 },
}

/// Why the audit has failed.
#[derive(Debug, Error)]
pub(crate) enum AuditError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Cuts(#[from] CutsError),
    #[error("{snapshot} is wrong: {discrepancy}")]
    Wrong { snapshot: SnapshotId, discrepancy: Discrepancy },
    #[error("there are no snapshots to audit")]
    Nothing,
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// The arguments by which the parent starts the audit.
pub(crate) fn arguments(path: &Path) -> [OsString; 4] {
    ["audit".into(), "--json".into(), "--store".into(), path.into()]
}

/// Audits every committed snapshot of a run.
///
/// # Errors
///
/// If one is wrong or cannot be read, or if there is none.
pub(crate) async fn run(flags: AuditFlags) -> Result<(), AuditError> {
    let bank = Folder::read(&flags.store)?;
    let books = Books::of(&bank)?;
    let mut cuts = Cuts::open(&flags.store, &books.topology).await?;
    let say = |verdict: &Verdict| -> io::Result<()> {
        let line = if flags.json { serde_json::to_string(verdict)? } else { verdict.to_string() };
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    };
    let commits = cuts.fresh().await?;
    let given_up = cuts.given_up();
    for (record, error) in cuts.unreadable() {
        say(&Verdict::Unreadable { record, error })?;
    }
    let mut snapshots = 0;
    for commit in commits {
        let snapshot = commit.snapshot;
        if given_up.contains(&snapshot) {
            say(&Verdict::GivenUp { snapshot })?;
            continue;
        }
        let cut = cuts.read(snapshot).await?;
        let holdings =
            books.audit(&cut).map_err(|discrepancy| AuditError::Wrong { snapshot, discrepancy })?;
        say(&Verdict::Sound { snapshot, transfers_in_flight: holdings.transfers })?;
        snapshots += 1;
    }
    if snapshots == 0 {
        return Err(AuditError::Nothing);
    }
    Ok(say(&Verdict::All { snapshots, total: books.coins })?)
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sound { snapshot, transfers_in_flight } => {
                write!(f, "{snapshot}: ok, {transfers_in_flight} transfers in flight")
            }
            Self::GivenUp { snapshot } => write!(f, "{snapshot}: given up, not audited"),
            Self::Unreadable { record, error } => {
                write!(f, "record {record} of the journal cannot be read: {error}")
            }
            Self::All { snapshots, total } => write!(f, "{snapshots} snapshots, total {total} in each: ok"),
        }
    }
}
