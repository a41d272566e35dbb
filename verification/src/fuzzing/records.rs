//! Records of the journal, as they are or as anybody may forge them, and their byte form.

use arbitrary::Arbitrary;
use snapshot_core::{Generation, NodeId, SnapshotId};

use super::forms::{Writer, sealed};

/// The name of the group in all targets.
pub(super) const GROUP: &str = "fuzz";

/// Counters in a stored object are below this.
pub(super) const LIMIT: u64 = 1 << 62;

/// A snapshot's name as an input gives it.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name {
    pub(super) generation: u64,
    pub(super) sequence: u64,
    pub(super) initiator: u64,
}

/// A part as a record describes it.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Described {
    pub(super) node: u64,
    pub(super) turn: u64,
    pub(super) size: u64,
    pub(super) checksum: u32,
}

/// A commit as a record describes it.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
pub(super) struct Commit {
    pub(super) index: u64,
    pub(super) snapshot: Name,
    pub(super) parts: Vec<Described>,
}

/// All that a record says.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) index: u64,
    pub(super) nonce: u64,
    pub(super) author: u64,
    /// `Some` for a generation: what it gave up.
    pub(super) given_up: Option<Vec<Name>>,
    pub(super) group: String,
    pub(super) members: Vec<u64>,
    /// 0: all.
    pub(super) retention: u64,
    pub(super) generation: u64,
    pub(super) start: Option<Commit>,
    pub(super) last: Option<Commit>,
    pub(super) sequences: Vec<(u64, u64)>,
    pub(super) kept: Vec<(u64, Name)>,
    /// The nonce of the record that opened the generation; only version 2 has it.
    #[arbitrary(default)]
    pub(super) opened: Option<u64>,
    #[arbitrary(value = 2)]
    pub(super) version: u8,
}

impl Name {
    pub(super) fn id(self) -> SnapshotId {
        SnapshotId {
            generation: Generation(self.generation),
            sequence: self.sequence,
            initiator: NodeId(self.initiator),
        }
    }
}

impl Record {
    /// The first of a group.
    pub(super) fn first(members: &[u64]) -> Self {
        Self {
            index: 1,
            nonce: 7,
            author: members[0],
            given_up: Some(Vec::new()),
            group: GROUP.to_owned(),
            members: members.to_vec(),
            retention: 3,
            generation: 1,
            start: None,
            last: None,
            sequences: Vec::new(),
            kept: Vec::new(),
            opened: Some(7),
            version: 2,
        }
    }

    /// The next generation, from the restart point.
    pub(super) fn next_generation(&self) -> Self {
        Self {
            index: self.index + 1,
            given_up: Some(Vec::new()),
            generation: self.generation + 1,
            start: self.last.clone().or_else(|| self.start.clone()),
            last: None,
            sequences: Vec::new(),
            opened: Some(self.nonce),
            ..self.clone()
        }
    }

    /// The commit of the next snapshot of `initiator`, with these parts.
    pub(super) fn commit(&self, initiator: u64, parts: Vec<Described>) -> Self {
        let sequence = 1 + self.sequences.iter().map(|(_, sequence)| *sequence).max().unwrap_or(0);
        let snapshot = Name { generation: self.generation, sequence, initiator };
        let index = self.index + 1;
        let mut sequences = self.sequences.clone();
        sequences.retain(|(node, _)| *node != initiator);
        sequences.push((initiator, sequence));
        sequences.sort_unstable();
        let mut kept = self.kept.clone();
        kept.push((index, snapshot));
        let surplus = kept.len().saturating_sub(self.retention as usize);
        kept.drain(..surplus);
        let last = Some(Commit { index, snapshot, parts });
        Self { index, given_up: None, last, sequences, kept, ..self.clone() }
    }

    /// The bytes, with a checksum that agrees.
    pub(super) fn sealed(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.uint(self.index).uint(self.nonce).uint(self.author);
        match &self.given_up {
            Some(given_up) => {
                out.byte(0).uint(given_up.len() as u64);
                for name in given_up {
                    out.snapshot(name.id());
                }
            }
            None => {
                out.byte(1);
            }
        }
        out.bytes(self.group.as_bytes());
        out.nodes(&self.members.iter().copied().map(NodeId).collect::<Vec<_>>());
        out.uint(self.retention).uint(self.generation);
        for commit in [&self.start, &self.last] {
            put_commit(&mut out, commit.as_ref());
        }
        out.uint(self.sequences.len() as u64);
        for (node, sequence) in &self.sequences {
            out.uint(*node).uint(*sequence);
        }
        out.uint(self.kept.len() as u64);
        for (index, name) in &self.kept {
            out.uint(*index).snapshot(name.id());
        }
        if self.version > 1 {
            out.byte(u8::from(self.opened.is_some()));
            if let Some(nonce) = self.opened {
                out.uint(nonce);
            }
        }
        sealed(b'J', self.version, &out.0)
    }

    /// Whether what it says can be, at an index: its documented order and bounds. Not all that a reader may check.
    pub(super) fn can_be_at(&self, index: u64) -> bool {
        let is_member = |node: u64| self.members.contains(&node);
        let bounded = |commit: &Commit| {
            (2..=self.index).contains(&commit.index)
                && commit.parts.iter().map(|part| part.node).eq(self.members.iter().copied())
                && commit.parts.iter().all(|part| part.turn < LIMIT && part.size < LIMIT)
                && is_member(commit.snapshot.initiator)
                && commit.snapshot.sequence < LIMIT
                && (1..=self.generation).contains(&commit.snapshot.generation)
        };
        let most_kept = if self.retention == 0 { 64 } else { self.retention };
        self.index == index
            && (1..=index).contains(&self.generation)
            && !self.members.is_empty()
            && self.members.is_sorted_by(|a, b| a < b)
            && is_member(self.author)
            && self.retention <= 1000
            && self.start.iter().chain(&self.last).all(bounded)
            && self.start.iter().all(|start| start.snapshot.generation < self.generation)
            && self.last.iter().all(|last| last.snapshot.generation == self.generation)
            && self.sequences.iter().all(|(node, sequence)| is_member(*node) && *sequence < LIMIT)
            && self.sequences.is_sorted_by(|(a, _), (b, _)| a < b)
            && self.kept.len() as u64 <= most_kept
            && self.kept.is_sorted_by(|(a, _), (b, _)| a < b)
            && self.given_up.is_some() == self.last.as_ref().is_none_or(|last| last.index != index)
    }
}

fn put_commit(out: &mut Writer, commit: Option<&Commit>) {
    let Some(commit) = commit else {
        out.uint(0);
        return;
    };
    out.uint(commit.index).snapshot(commit.snapshot.id()).uint(commit.parts.len() as u64);
    for part in &commit.parts {
        out.uint(part.node).uint(part.turn).uint(part.size).raw(&part.checksum.to_le_bytes());
    }
}
