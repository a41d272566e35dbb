//! The end of a run: every committed snapshot is audited by a process that took no part.

use std::path::Path;

use snapshot_core::SnapshotId;
use snapshot_examples::children::{Children, Heard};

use crate::auditor::{self, Verdict};
use crate::parent::RunError;

/// Has all committed snapshots in a folder audited. Those in `must` have to be among them. Returns how many there are.
pub(crate) async fn judge(
    children: &mut Children,
    folder: &Path,
    coins: u64,
    must: impl IntoIterator<Item = &SnapshotId>,
) -> Result<usize, RunError> {
    children.start("audit", auditor::arguments(folder)).map_err(RunError::Start)?;
    let mut verdict = None;
    let mut audited = Vec::new();
    while let Some(heard) = children.next().await {
        match heard {
            Heard::Line { name, text } => match serde_json::from_str(&text) {
                Ok(Verdict::Sound { snapshot, .. }) => audited.push(snapshot),
                Ok(Verdict::GivenUp { .. } | Verdict::Unreadable { .. }) => {}
                Ok(Verdict::All { snapshots, total }) => verdict = Some((snapshots, total)),
                Err(_) => return Err(RunError::Gibberish { name, text }),
            },
            Heard::Ended { status, .. } if status.success() => {}
            Heard::Ended { name, status, .. } => {
                let words = children.last_words(&name);
                return Err(RunError::Ended { name, status, words });
            }
        }
    }
    if let Some(missed) = must.into_iter().find(|id| !audited.contains(id)) {
        return Err(RunError::NotAudited(*missed));
    }
    match verdict {
        Some((snapshots, total)) if snapshots == audited.len() && total == coins => Ok(snapshots),
        _ => Err(RunError::NoVerdict),
    }
}
