//! A record of the journal: what it says, its byte form, and the check that what it says can be.
//!
//! Which record may follow which is told in `protocol/journal.rs`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

use crate::format::envelope::RecordError;
use crate::format::envelope::{Kind, LIMIT};
use crate::format::wire::{Reader, put_bytes, put_node, put_snapshot, put_uint};
use crate::vocabulary::id::{Generation, NodeId, SnapshotId, Turn};
use crate::vocabulary::malformed::Malformed;
use crate::vocabulary::part::PartRef;
use crate::vocabulary::retention::Retention;

/// Version 1 had no names of generations, version 2 no discards.
const RECORD: Kind = Kind { tag: b'J', version: 3 };

/// A commit: the snapshot, and what its parts must be.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct CommittedSnapshot {
    pub(crate) snapshot: SnapshotId,
    /// Of its `Commit` record.
    pub(crate) index: u64,
    pub(crate) parts: BTreeMap<NodeId, PartRef>,
}

/// Where a generation begins.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Start {
    /// At the states that the applications first started with.
    Initial,
    /// At a commit.
    Snapshot(CommittedSnapshot),
}

/// What a record adds to the one before.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Entry {
    /// A generation begins. `given_up`: the commits that it fell back behind; ordinarily none.
    Generation { given_up: Vec<SnapshotId> },
    /// A snapshot is committed: the record's `last`.
    Commit,
    /// Snapshots that were given up will never be committed (J6): those up to the record's `sequences`.
    Discard,
}

/// One record, with the sum of all before it.
///
/// Its size is bounded by the members and [`Retention`]: some 30 bytes a member, some 10 a commit named.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Record {
    pub(crate) index: u64,
    /// Drawn by the author, who knows the record by it after an ambiguous answer of the store.
    pub(crate) nonce: u64,
    pub(crate) author: NodeId,
    pub(crate) entry: Entry,
    pub(crate) group: String,
    /// Ascending.
    pub(crate) members: Vec<NodeId>,
    pub(crate) retention: Retention,
    /// The newest.
    pub(crate) generation: Generation,
    /// The nonce of the record that opened it: tells it from another of the same number, in another history of the store.
    /// `None`: a release opened it that wrote none, and windowed nothing.
    pub(crate) opened: Option<u64>,
    /// Where it begins.
    pub(crate) start: Start,
    /// Its last commit.
    pub(crate) last: Option<CommittedSnapshot>,
    /// Up to which sequence the snapshots of each initiator are settled in it: committed (`kept` says which), or never to be.
    pub(crate) sequences: BTreeMap<NodeId, u64>,
    /// The last commits of the lineage as (index, snapshot), oldest first; they end with the restart point. Bounded by
    /// [`Retention`].
    pub(crate) kept: Vec<(u64, SnapshotId)>,
}

impl Record {
    pub(crate) fn encode(&self) -> Bytes {
        RECORD.seal(|out| {
            put_uint(out, self.index);
            put_uint(out, self.nonce);
            put_node(out, self.author);
            match &self.entry {
                Entry::Generation { given_up } => {
                    out.put_u8(0);
                    put_uint(out, given_up.len() as u64);
                    given_up.iter().for_each(|snapshot| put_snapshot(out, *snapshot));
                }
                Entry::Commit => out.put_u8(1),
                Entry::Discard => out.put_u8(2),
            }
            put_bytes(out, self.group.as_bytes());
            put_uint(out, self.members.len() as u64);
            self.members.iter().for_each(|node| put_node(out, *node));
            put_uint(
                out,
                match self.retention {
                    Retention::All => 0,
                    Retention::Last(n) => u64::from(n.get()),
                },
            );
            put_uint(out, self.generation.0);
            let start = match &self.start {
                Start::Initial => None,
                Start::Snapshot(start) => Some(start),
            };
            put_commit(out, start);
            put_commit(out, self.last.as_ref());
            put_uint(out, self.sequences.len() as u64);
            for (node, sequence) in &self.sequences {
                put_node(out, *node);
                put_uint(out, *sequence);
            }
            put_uint(out, self.kept.len() as u64);
            for (index, snapshot) in &self.kept {
                put_uint(out, *index);
                put_snapshot(out, *snapshot);
            }
            out.put_u8(u8::from(self.opened.is_some()));
            self.opened.iter().for_each(|nonce| put_uint(out, *nonce));
        })
    }

    /// Reads the record that is stored at an index.
    ///
    /// # Errors
    ///
    /// If the bytes are damaged, or of a newer release, or say what cannot be. So whoever has a record can count on its
    /// documented order and bounds.
    pub(crate) fn decode(index: u64, bytes: &[u8]) -> Result<Self, RecordError> {
        let (version, contents) = RECORD.open(bytes)?;
        let mut reader = Reader::new(contents);
        let mut record = read_record(&mut reader)?;
        if version < 3 && record.entry == Entry::Discard {
            return Err(Malformed::new("an entry of an unknown kind").into());
        }
        if version > 1 {
            record.opened = match reader.byte()? {
                0 => None,
                1 => Some(reader.uint()?),
                _ => return Err(Malformed::new("neither yes nor no").into()),
            };
        }
        reader.end()?;
        if record.index != index {
            return Err(Malformed::new("the record of another index").into());
        }
        record.check_contents()?;
        Ok(record)
    }

    fn check_contents(&self) -> Result<(), Malformed> {
        let sure = |holds: bool, what| if holds { Ok(()) } else { Err(Malformed::new(what)) };
        let id = |id: &SnapshotId| id.sequence < LIMIT && self.members.binary_search(&id.initiator).is_ok();
        let earlier = |of: &SnapshotId| id(of) && of.generation < self.generation;

        sure((1..LIMIT).contains(&self.index) && self.generation.0 <= self.index, "an index that cannot be")?;
        sure(!self.members.is_empty() && self.members.is_sorted_by(|a, b| a < b), "members out of order")?;
        sure(self.members.binary_search(&self.author).is_ok(), "an author who is no member")?;
        sure(
            (self.index == 1)
                == (self.generation == Generation::FIRST && self.is_generation() && self.kept.is_empty()),
            "a first record that is not at the first index",
        )?;

        if let Start::Snapshot(start) = &self.start {
            sure(earlier(&start.snapshot) && self.can_be(start), "a start that cannot be")?;
        }
        if let Some(last) = &self.last {
            let sequence = self.sequences.get(&last.snapshot.initiator).copied();
            let fits =
                last.snapshot.generation == self.generation && sequence >= Some(last.snapshot.sequence);
            sure(fits && id(&last.snapshot) && self.can_be(last), "a last commit that cannot be")?;
        }
        let initiators = self.sequences.iter();
        sure(
            (self.last.is_none() || !self.sequences.is_empty())
                && initiators.clone().all(|(node, n)| *n < LIMIT && self.members.binary_search(node).is_ok()),
            "sequences that cannot be",
        )?;

        match &self.entry {
            Entry::Generation { given_up } => {
                let is_new = self.last.is_none() && self.sequences.is_empty();
                sure(is_new, "a commit in a generation that has just begun")?;
                sure(given_up.iter().all(earlier), "given up what cannot be")?;
            }
            Entry::Commit => {
                let is_last = self.last.as_ref().is_some_and(|last| last.index == self.index);
                let sequence = |id: &SnapshotId| self.sequences.get(&id.initiator) == Some(&id.sequence);
                let is_newest = self.last.as_ref().is_some_and(|last| sequence(&last.snapshot));
                sure(is_last && is_newest, "a commit that is not the last one")?;
            }
            Entry::Discard => {
                sure(!self.sequences.is_empty(), "nothing is discarded")?;
                let is_older = self.last.as_ref().is_none_or(|last| last.index < self.index);
                sure(is_older, "a commit by a record that discards")?;
            }
        }

        let kept = &self.kept;
        sure(kept.len() <= self.retention.named(), "more commits than are kept")?;
        sure(kept.is_sorted_by(|(a, _), (b, _)| a < b), "commits out of order")?;
        let known = |(index, of): &(u64, SnapshotId)| {
            (2..=self.index).contains(index) && id(of) && of.generation <= self.generation
        };
        let snapshots: BTreeSet<SnapshotId> = kept.iter().map(|(_, id)| *id).collect();
        sure(kept.iter().all(known) && snapshots.len() == kept.len(), "a kept commit that cannot be")?;
        let restart = match (&self.last, &self.start) {
            (Some(last), _) => Some(last),
            (None, Start::Snapshot(start)) => Some(start),
            (None, Start::Initial) => None,
        };
        sure(kept.last().copied() == restart.map(|c| (c.index, c.snapshot)), "the restart point is not kept")
    }

    fn is_generation(&self) -> bool {
        matches!(self.entry, Entry::Generation { .. })
    }

    /// Whether a commit is of a record up to this one, with just one part of each member.
    fn can_be(&self, commit: &CommittedSnapshot) -> bool {
        let sane = |part: &PartRef| part.turn.0 < LIMIT && part.size < LIMIT;
        (2..=self.index).contains(&commit.index)
            && self.members.iter().eq(commit.parts.keys())
            && commit.parts.values().all(sane)
    }
}

fn read_record(reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    Ok(Record {
        index: reader.uint()?,
        nonce: reader.uint()?,
        author: reader.node()?,
        entry: match reader.byte()? {
            0 => Entry::Generation { given_up: list(reader, |r| r.snapshot())? },
            1 => Entry::Commit,
            2 => Entry::Discard,
            _ => return Err(Malformed::new("an entry of an unknown kind")),
        },
        group: reader.text()?,
        members: list(reader, |r| r.node())?,
        retention: match reader.uint()? {
            0 => Retention::All,
            n => match u32::try_from(n) {
                Ok(n) if n <= Retention::MAX => Retention::last(n),
                _ => return Err(Malformed::new("a retention over its bound")),
            },
        },
        generation: reader.generation()?,
        opened: None,
        start: read_commit(reader)?.map_or(Start::Initial, Start::Snapshot),
        last: read_commit(reader)?,
        sequences: map(reader, |reader| Ok((reader.node()?, reader.uint()?)))?,
        kept: list(reader, |reader| Ok((reader.uint()?, reader.snapshot()?)))?,
    })
}

fn put_commit(out: &mut BytesMut, commit: Option<&CommittedSnapshot>) {
    // An index is never 0, which so says that there is none.
    put_uint(out, commit.map_or(0, |commit| commit.index));
    if let Some(commit) = commit {
        put_snapshot(out, commit.snapshot);
        put_uint(out, commit.parts.len() as u64);
        for (node, part) in &commit.parts {
            put_node(out, *node);
            put_uint(out, part.turn.0);
            put_uint(out, part.size);
            out.put_u32_le(part.checksum);
        }
    }
}

fn read_commit(reader: &mut Reader<'_>) -> Result<Option<CommittedSnapshot>, Malformed> {
    let index = reader.uint()?;
    if index == 0 {
        return Ok(None);
    }
    let snapshot = reader.snapshot()?;
    let parts = map(reader, |reader| {
        let (node, turn, size) = (reader.node()?, Turn(reader.uint()?), reader.uint()?);
        let checksum = u32::from_le_bytes([reader.byte()?, reader.byte()?, reader.byte()?, reader.byte()?]);
        Ok((node, PartRef { turn, size, checksum }))
    })?;
    Ok(Some(CommittedSnapshot { snapshot, index, parts }))
}

/// Things that take at least one byte each. Grows with what is read, not with what is promised.
fn list<T>(
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut items = Vec::new();
    for _ in 0..reader.count()? {
        items.push(read(reader)?);
    }
    Ok(items)
}

/// Strictly ascending, so that equal records have equal bytes.
fn map<T>(
    reader: &mut Reader<'_>,
    read: impl FnMut(&mut Reader<'_>) -> Result<(NodeId, T), Malformed>,
) -> Result<BTreeMap<NodeId, T>, Malformed> {
    let items = list(reader, read)?;
    if !items.is_sorted_by(|(a, _), (b, _)| a < b) {
        return Err(Malformed::new("nodes out of order"));
    }
    Ok(items.into_iter().collect())
}
