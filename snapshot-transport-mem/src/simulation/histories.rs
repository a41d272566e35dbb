//! The store is put back to what it was, while the network brings what it had under way: one history ends and another begins.

use std::collections::BTreeMap;

use snapshot_core::{Key, NodeId, Turn};
use snapshot_store::MemoryStore;

use super::Application;
use super::group::{Group, Wrong};

/// The store as it was at one moment.
#[derive(Clone)]
pub(super) struct Copy {
    store: MemoryStore,
    /// The turn of each node that its newest commit covers.
    covered: BTreeMap<NodeId, Turn>,
    commits: usize,
}

/// What somebody has who keeps backups, and means to do with them.
#[derive(Default)]
pub(super) struct Backup {
    /// Of the history that goes on: a copy of one that was undone would bring its turns back.
    pub(super) copy: Option<Copy>,
    /// In so many steps the same is put back once more.
    pub(super) again_in: Option<u64>,
    /// Channels that stand still until then, so that the first frames of a history are there when it is undone.
    pub(super) still: Vec<(NodeId, NodeId)>,
}

impl Backup {
    /// Whether somebody waits to put it back once more.
    pub(super) fn is_to_be_put_back(&self) -> bool {
        self.again_in.is_some()
    }
}

impl<A: Application> Group<A> {
    /// A copy that may be put back: every member has its seat in the newest generation. In another one a process would sit down
    /// in a generation in which a process of another history has sent, and its frames would be believed.
    pub(super) fn copy_the_store(&mut self) -> Result<Option<Copy>, Wrong> {
        self.read_journal()?;
        let Some(archive) = &self.archive else { return Ok(None) };
        let Some(newest) = archive.generations().last() else { return Ok(None) };
        let keys = self.storage.memory.keys();
        let sits = |node| keys.binary_search(&Key::Seat { generation: newest.generation, node }).is_ok();
        if !self.members().into_iter().all(sits) {
            return Ok(None);
        }
        let commits = archive.commits();
        let covered = commits.last().into_iter().flat_map(|commit| &commit.parts);
        let copy = Copy {
            store: self.storage.memory.backup(),
            covered: covered.map(|part| (part.node, part.turn)).collect(),
            commits: commits.len(),
        };
        self.trace.line(format_args!("store: a copy is taken, with {} commits", copy.commits));
        Ok(Some(copy))
    }

    /// Ends all processes, also those that were taken for dead, and puts a copy in the place of the store; `None`: nothing. What
    /// was announced later is undone, and what is under way speaks of generations that never were.
    pub(super) fn put_back(&mut self, copy: Option<&Copy>) -> Result<(), Wrong> {
        self.read_journal()?;
        let newest = self.archive.as_ref().and_then(|archive| archive.generations().last());
        self.buried = self.buried.max(newest.map(|opened| opened.generation));
        let frames = self.network.outlive();
        self.processes.clear();
        self.zombies.clear();
        self.haunted.clear();
        self.storage.exchange(copy.map_or_else(MemoryStore::new, |copy| copy.store.backup()));
        self.archive = None;
        self.read = copy.map_or(0, |copy| copy.commits);
        self.trace
            .line(format_args!("store: put back to {} commits, with {frames} frames under way", self.read));
        for id in self.members() {
            let turn = copy.and_then(|copy| copy.covered.get(&id)).copied().unwrap_or_default();
            self.covered.entry(id).and_modify(|covered| *covered = turn.min(*covered));
            self.app.put_back(id, turn);
        }
        Ok(())
    }
}
