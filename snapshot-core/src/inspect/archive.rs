//! Reads a group's store from outside: which snapshots there are, whether they are whole, what they hold.

mod history;
mod restored;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use thiserror::Error;

pub use history::{Commit, CommittedPart, OpenedGeneration};

use crate::contract::codec::MessageCodec;
use crate::contract::state::StateProvider;
use crate::contract::store::{Sink, SnapshotStore, StoreError};
use crate::format::envelope::RecordError;
use crate::format::part::PartError;
use crate::format::part::{Expected, read_part, verify_part};
use crate::format::record::{CommittedSnapshot, Entry, Record, Start};
use crate::inspect::global_snapshot::{AssembleError, GlobalSnapshot};
use crate::protocol::journal::ForeignStore;
use crate::vocabulary::id::{NodeId, SnapshotId};
use crate::vocabulary::key::Key;
use crate::vocabulary::part::PartRef;
use crate::vocabulary::retention::Retention;

/// So many parts are read at the same time, each through 256 KiB of memory.
const PARTS_AT_ONCE: usize = 4;

/// A group's store, read from outside, without taking part in the group: for reports, tests, analysis, and to see whether
/// a restart would find what it needs. It may be used while the group runs, and changes nothing, but for
/// [`discard`](Self::discard) and, where the group does not run, [`open_generation`](Self::open_generation).
///
/// It shows the journal as it was when it was opened or last [refreshed](Self::refresh). Memory: some 100 bytes a member for
/// each commit in the journal, which is never shortened.
///
/// `S` is the application's state, needed only to [`read`](Self::read); `M` its messages. The codec is that of the group:
/// [`RawBytes`](crate::RawBytes) where messages are `Bytes`. Whoever only lists and verifies can open any store as
/// `Archive::<(), Bytes>` with `RawBytes`.
///
/// ```
/// use snapshot_core::{Archive, Event, Postcard, PostcardState, SnapshotNode};
/// use snapshot_store::MemoryStore;
/// use snapshot_transport_mem::MemNetwork;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Ledger { balance: u64 }
/// impl PostcardState for Ledger {}
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let (_network, [one, two]) = MemNetwork::<u64>::mesh::<2>();
/// let (mut here, mut there) = (Ledger { balance: 10 }, Ledger { balance: 0 });
/// let mut one = SnapshotNode::builder(one).store(store.clone()).codec(Postcard).start(&mut here).await?;
/// let mut two = SnapshotNode::builder(two).store(store.clone()).codec(Postcard).start(&mut there).await?;
/// one.snapshot();
/// loop {
///     tokio::select! {
///         event = one.next(&mut here) => if let Event::Committed { .. } = event? { break },
///         event = two.next(&mut there) => { event?; }
///     }
/// }
///
/// let archive = Archive::<Ledger, u64>::open(store, Postcard).await?;
/// let latest = archive.latest().expect("there is one");
/// archive.verify(latest).await?;
/// let cut = archive.read(latest).await?;
/// assert_eq!(cut.states().map(|(_, ledger)| ledger.balance).sum::<u64>(), 10);
/// # Ok(()) }
/// ```
pub struct Archive<S, M> {
    store: Arc<dyn SnapshotStore>,
    codec: Arc<dyn MessageCodec<M>>,
    group: String,
    members: Arc<[NodeId]>,
    retention: Retention,
    /// The index of the last record that was looked at.
    read: u64,
    /// The index of the last one that could be read.
    readable: u64,
    unreadable: Vec<(u64, RecordError)>,
    commits: Vec<Commit>,
    /// Those that the last record names as kept.
    kept: Vec<(u64, SnapshotId)>,
    parts: BTreeMap<SnapshotId, BTreeMap<NodeId, PartRef>>,
    generations: Vec<OpenedGeneration>,
    state: PhantomData<fn() -> S>,
}

impl<S, M: Send + 'static> Archive<S, M> {
    /// Reads the journal of a store, from its first record to its last. Records that are damaged are passed over, and
    /// [named](Self::unreadable): each of the others sums up what was before it.
    ///
    /// # Errors
    ///
    /// If the store fails, has no journal, none of its records can be read, or a newer release has written one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn open(store: impl SnapshotStore, codec: impl MessageCodec<M>) -> Result<Self, ArchiveError> {
        let store: Arc<dyn SnapshotStore> = Arc::new(store);
        let mut unreadable = Vec::new();
        let first = loop {
            let index = unreadable.len() as u64 + 1;
            match (record(&*store, index).await, unreadable.first()) {
                (Ok(Some(first)), _) => break first,
                (Ok(None), None) => return Err(ArchiveError::Empty),
                (Ok(None), Some((index, error))) => {
                    return Err(ArchiveError::Record { key: Key::Journal(*index), error: *error });
                }
                (Err(ArchiveError::Record { error, .. }), _) if error.is_damage() => {
                    unreadable.push((index, error));
                }
                (Err(error), _) => return Err(error),
            }
        };
        let mut archive = Self {
            store,
            codec: Arc::new(codec),
            group: first.group.clone(),
            members: first.members.clone().into(),
            retention: first.retention,
            read: 0,
            readable: 0,
            unreadable,
            commits: Vec::new(),
            kept: Vec::new(),
            parts: BTreeMap::new(),
            generations: Vec::new(),
            state: PhantomData,
        };
        archive.learn(first)?;
        archive.refresh().await?;
        Ok(archive)
    }

    /// Reads on to the end of the journal.
    ///
    /// # Errors
    ///
    /// If the store fails, or a newer release has written a record.
    ///
    /// # Cancel safety
    ///
    /// What was read until then is kept, and shown; the next call reads on.
    pub async fn refresh(&mut self) -> Result<(), ArchiveError> {
        loop {
            let index = self.read + 1;
            match record(&*self.store, index).await {
                Ok(Some(record)) => self.learn(record)?,
                Ok(None) => return Ok(()),
                Err(ArchiveError::Record { error, .. }) if error.is_damage() => {
                    self.unreadable.push((index, error));
                    self.read = index;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The records that are damaged, by index, and what is wrong with them; ascending. What they said, and no later record sums up, is
    /// not shown: a commit among them that retention has let go of, or all of those that no later record follows. A group does
    /// not start while the newest record is among them, unless it may [fall back](crate::NodeBuilder::fall_back), or somebody
    /// has put the record back, or has [opened a generation](Self::open_generation) behind it.
    pub fn unreadable(&self) -> &[(u64, RecordError)] {
        &self.unreadable
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The group's members, ascending.
    pub fn members(&self) -> &[NodeId] {
        &self.members
    }

    /// How many commits the group keeps.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Every generation, oldest first.
    pub fn generations(&self) -> &[OpenedGeneration] {
        &self.generations
    }

    /// Every commit, oldest first; also those whose parts are deleted.
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// The commit from which a restart would begin; `None`: it would begin at the states that the applications first
    /// started with.
    pub fn latest(&self) -> Option<SnapshotId> {
        self.commits.iter().rev().find(|commit| commit.in_lineage).map(|commit| commit.snapshot)
    }

    /// The commits of which a copy is held because they failed a [check](crate::NodeBuilder::check), oldest first. They can
    /// be [read](Self::read) whatever retention keeps, until they are [discarded](Self::discard).
    ///
    /// Looks for a copy of each commit in the journal, one read of the store each.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn evidence(&self) -> Result<Vec<SnapshotId>, ArchiveError> {
        let mut held = Vec::new();
        // The copy of the last member's part is made last.
        let Some(node) = self.members.last().copied() else { return Ok(held) };
        for Commit { snapshot, .. } in &self.commits {
            let snapshot = *snapshot;
            if self.store.read(Key::Evidence { snapshot, node }, Sink::new(|_| Ok(()))).await? {
                held.push(snapshot);
            }
        }
        Ok(held)
    }

    /// Removes the copy that is held of a snapshot, if there is one: nobody else ever does. What retention keeps of it stays.
    ///
    /// # Errors
    ///
    /// If the store fails, or the snapshot is not committed. Then try again: some of it may be left.
    ///
    /// # Cancel safety
    ///
    /// Some of the copy may be left, which [`evidence`](Self::evidence) may not show; the next call removes it.
    pub async fn discard(&self, snapshot: SnapshotId) -> Result<(), ArchiveError> {
        // The last first: what is half gone is not shown as held.
        for node in self.parts(snapshot)?.keys().rev() {
            self.store.delete(Key::Evidence { snapshot, node: *node }).await?;
        }
        Ok(())
    }

    /// Reads and decodes a committed snapshot, from its parts or from a copy held as [evidence](Self::evidence). Memory: all
    /// of it, at once.
    ///
    /// # Errors
    ///
    /// If the store fails, the snapshot is not committed or retention has let go of it, or one of its parts is missing, damaged
    /// or not understood.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect; the store may finish a read of its own.
    pub async fn read(&self, snapshot: SnapshotId) -> Result<GlobalSnapshot<S::Captured, M>, ArchiveError>
    where
        S: StateProvider,
    {
        let codec = Arc::clone(&self.codec);
        let read = move |expected: &Expected<'_>, input: &mut dyn Read| {
            read_part::<S, M>(expected, Some(&*codec), input)
        };
        let stored = self.open_parts(snapshot, true, read).await?;
        let locals =
            stored.into_iter().map(|(node, part)| part.into_local(snapshot, node, Arc::clone(&self.members)));
        Ok(GlobalSnapshot::assemble(locals)?)
    }

    /// Reads all parts of a committed snapshot and checks them, without decoding any; those of one that retention has let go
    /// of, where they are held as [evidence](Self::evidence). Memory: 1 MiB.
    ///
    /// # Errors
    ///
    /// If the store fails, the snapshot is not committed or retention has let go of it, or one of its parts is missing or
    /// damaged.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect; the store may finish a read of its own.
    pub async fn verify(&self, snapshot: SnapshotId) -> Result<(), ArchiveError> {
        // A restart knows nothing of copies: what it may begin from must be there itself.
        let is_kept = self.commits.iter().any(|commit| commit.snapshot == snapshot && commit.kept);
        let verify = |expected: &Expected<'_>, input: &mut dyn Read| verify_part(expected, input);
        self.open_parts(snapshot, !is_kept, verify).await.map(drop)
    }

    fn parts(&self, snapshot: SnapshotId) -> Result<&BTreeMap<NodeId, PartRef>, ArchiveError> {
        self.parts.get(&snapshot).ok_or(ArchiveError::Unknown { snapshot })
    }

    /// Opens all parts, several at a time. Of several that cannot be used, the error is of the first one.
    async fn open_parts<T: Send + 'static>(
        &self,
        snapshot: SnapshotId,
        or_its_copy: bool,
        read: impl Fn(&Expected<'_>, &mut dyn Read) -> Result<T, PartError> + Clone + Send + 'static,
    ) -> Result<Vec<(NodeId, T)>, ArchiveError> {
        let open = |(node, part): (&NodeId, &PartRef)| {
            let (node, opened) = (*node, self.open_part(snapshot, *node, *part, or_its_copy, read.clone()));
            async move { Ok((node, opened.await?)) }
        };
        let parts: Vec<_> = self.parts(snapshot)?.iter().map(open).collect();
        stream::iter(parts).buffered(PARTS_AT_ONCE).try_collect().await
    }

    async fn open_part<T: Send + 'static>(
        &self,
        snapshot: SnapshotId,
        node: NodeId,
        part: PartRef,
        or_its_copy: bool,
        read: impl Fn(&Expected<'_>, &mut dyn Read) -> Result<T, PartError> + Clone + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let (key, copy) = (Key::Part { snapshot, node }, Key::Evidence { snapshot, node });
        for key in std::iter::once(key).chain(or_its_copy.then_some(copy)) {
            let (group, members, read) = (self.group.clone(), self.members.clone(), read.clone());
            let (sink, place) = Sink::collecting(move |input| {
                Ok(read(&Expected { group: &group, members: &members, key, part: Some(&part) }, input))
            });
            self.store.read(key, sink).await?;
            if let Some(found) = place.take() {
                return Ok(found?);
            }
        }
        if self.commits.iter().any(|commit| commit.snapshot == snapshot && !commit.kept) {
            return Err(ArchiveError::LetGo { snapshot });
        }
        Err(PartError::Missing { key }.into())
    }

    fn learn(&mut self, record: Record) -> Result<(), ArchiveError> {
        if record.group != self.group || *record.members != *self.members {
            let (stored, ours) = (record.members, self.members.to_vec());
            return Err(ArchiveError::Foreign(if record.group == self.group {
                ForeignStore::OtherMembers { stored, ours }
            } else {
                ForeignStore::OtherGroup { stored: record.group, ours: self.group.clone() }
            }));
        }
        (self.read, self.readable) = (record.index, record.index);
        self.retention = record.retention;
        match record.entry {
            Entry::Generation { .. } => {
                let start = match &record.start {
                    Start::Initial => None,
                    Start::Snapshot(start) => Some(start),
                };
                // All behind its start has left the lineage, whether the record names it or not.
                let end = start.map_or(0, |start| start.index);
                for commit in self.commits.iter_mut().rev().take_while(|commit| commit.index > end) {
                    commit.in_lineage = false;
                }
                self.generations.push(OpenedGeneration {
                    generation: record.generation,
                    index: record.index,
                    by: record.author,
                    start: start.map(|start| start.snapshot),
                });
            }
            Entry::Commit => self.commits.extend(record.last.map(|last| {
                let CommittedSnapshot { snapshot, index, parts } = last;
                let shown =
                    parts.iter().map(|(node, p)| CommittedPart { node: *node, turn: p.turn, bytes: p.size });
                let parts_shown = shown.collect();
                self.parts.insert(snapshot, parts);
                Commit { snapshot, index, parts: parts_shown, in_lineage: true, kept: true }
            })),
            // It says of which snapshots there will be no record.
            Entry::Discard => {}
        }
        self.mark_kept(record.kept);
        Ok(())
    }

    fn mark_kept(&mut self, kept: Vec<(u64, SnapshotId)>) {
        // Where all are kept, a record names only the last few.
        if self.retention == Retention::All {
            return;
        }
        let before = std::mem::replace(&mut self.kept, kept);
        for (of, is_kept) in [(&before, false), (&self.kept, true)] {
            for (index, _) in of {
                if let Ok(place) = self.commits.binary_search_by_key(index, |commit| commit.index) {
                    self.commits[place].kept = is_kept;
                }
            }
        }
    }
}

async fn record(store: &dyn SnapshotStore, index: u64) -> Result<Option<Record>, ArchiveError> {
    let key = Key::Journal(index);
    let (sink, place) = Sink::collect();
    store.read(key, sink).await?;
    let decode = |bytes: Vec<u8>| Record::decode(index, &bytes);
    place.take().map(decode).transpose().map_err(|error| ArchiveError::Record { key, error })
}

impl<S, M> fmt::Debug for Archive<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("group", &self.group)
            .field("members", &self.members)
            .field("generations", &self.generations.len())
            .field("commits", &self.commits.len())
            .finish_non_exhaustive()
    }
}

/// Why an [`Archive`] could not be opened or read.
///
/// ```
/// use snapshot_core::ArchiveError;
/// assert!(ArchiveError::Empty.to_string().contains("no snapshots here"));
/// ```
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The store failed.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// There is no journal.
    #[error("there are no snapshots here: open the store that a group has used, at the same place")]
    Empty,
    /// A record of the journal cannot be read.
    #[error("{key} in the store cannot be read: {error}")]
    Record {
        /// Which.
        key: Key,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The journal changes its group on the way.
    #[error("the journals of two groups are mixed up: {0}")]
    Foreign(ForeignStore),
    /// The snapshot is not in the journal.
    #[error("{snapshot} was never committed: take one of `commits()`, after `refresh()` if it is new")]
    Unknown {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// The snapshot was committed, and retention has deleted parts of it since.
    #[error(
        "retention has let go of {snapshot}: take one of `commits()` that is `kept`, after `refresh()` if the group runs, or have \
         the group keep more with `retention` on the builder"
    )]
    LetGo {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// A part cannot be used.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The parts do not fit together.
    #[error(transparent)]
    Misfit(#[from] AssembleError),
}
