//! What can be seen of a coordinator without changing it.

use std::collections::BTreeMap;

use super::SnapshotCoordinator;
use super::phase::Phase;
use crate::protocol::settings::Settings;
use crate::vocabulary::id::{Generation, Peer, SnapshotId, Turn};
use crate::vocabulary::outcome::{Awaiting, SnapshotPhase, SnapshotStatus};
use crate::vocabulary::topology::Topology;

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// The topology.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The generation in which the node lives.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The number of the turn that the application is in.
    pub fn turn(&self) -> Turn {
        self.ended.next()
    }

    /// Whether the node takes part in a generation: not starting, not rolling back, not ended.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether a snapshot is under way here and waits for a neighbour, the store or the rest of the group.
    pub(crate) fn is_snapshotting(&self) -> bool {
        !self.recordings.is_empty() || !self.commits.writing.is_empty() || !self.commits.tallies.is_empty()
    }

    /// A number that changes whenever [`running`](Self::running) may show something else.
    pub fn revision(&self) -> u64 {
        // What is recorded, and whether a record is being written, change without anybody's saying so.
        let recorded: u64 = self.recordings.iter().map(|(_, recording)| recording.messages).sum();
        let committing = self.commits.tallies.keys().any(|id| self.is_committing(*id));
        self.revision << 32 | recorded << 1 & 0xffff_fffe | u64::from(committing)
    }

    /// Snapshots have come or gone, or are a step further.
    pub(super) fn changed(&mut self) {
        self.revision += 1;
    }

    /// The snapshots under way, and what each waits for.
    pub fn running(&self) -> Vec<SnapshotStatus> {
        let members = self.topology.members();
        let missing = |id| self.commits.tallies.get(&id).map_or(Vec::new(), |tally| tally.missing(members));
        let status = |snapshot, phase| SnapshotStatus {
            snapshot,
            phase,
            missing_markers: Vec::new(),
            missing_receipts: missing(snapshot),
            recorded_messages: 0,
            recorded_bytes: 0,
        };
        let mut shown = BTreeMap::new();
        for id in self.commits.awaited() {
            shown.insert(id, status(id, SnapshotPhase::AwaitingOutcome));
        }
        for id in self.commits.tallies.keys() {
            let phase = if self.is_committing(*id) {
                SnapshotPhase::Committing
            } else {
                SnapshotPhase::AwaitingReceipts
            };
            shown.insert(*id, status(*id, phase));
        }
        for (id, writing) in self.commits.writing.iter().filter(|(_, writing)| !writing.given_up) {
            let sizes = (writing.messages, writing.bytes as u64);
            let status = status(*id, SnapshotPhase::Writing);
            shown.insert(
                *id,
                SnapshotStatus { recorded_messages: sizes.0, recorded_bytes: sizes.1, ..status },
            );
        }
        for (id, recording) in self.recordings.iter() {
            shown.insert(
                id,
                SnapshotStatus {
                    missing_markers: recording.open(),
                    recorded_messages: recording.messages,
                    recorded_bytes: recording.bytes as u64,
                    ..status(id, SnapshotPhase::Recording)
                },
            );
        }
        shown.into_values().collect()
    }

    /// What a snapshot waits for here; `None` where it is not under way.
    pub(super) fn awaiting(&self, id: SnapshotId) -> Option<Awaiting> {
        self.running().into_iter().find(|status| status.snapshot == id).map(|status| status.awaiting())
    }

    /// The neighbours whose connection is gone, and those that broke the rules of their channel.
    pub fn unreachable(&self) -> impl Iterator<Item = Peer> {
        self.channels.iter().filter(|c| c.is_cut()).map(|c| c.peer)
    }
}
