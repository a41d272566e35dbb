//! A record of the journal, right or not.

use arbitrary::Arbitrary;

use crate::fuzzing::forms::sealed;
use crate::fuzzing::later::Later;
use crate::fuzzing::records::{Commit, Described, Name, Record};

/// A record: the one that may come next, or another.
#[derive(Arbitrary, Debug)]
pub(super) enum Forged {
    /// The one that opens the next generation, or the first.
    Generation,
    /// The one that commits a snapshot.
    Commit {
        by: u8,
        turn: u32,
        size: u32,
        checksum: u32,
    },
    /// One of these two, with something that is not as it should be.
    Bent {
        commit: bool,
        bend: Later<Bend, LateBend>,
    },
    /// Any record.
    Any(Box<Record>),
    /// A checksum that agrees with anything.
    Sealed {
        kind: Kind,
        version: u8,
        contents: Vec<u8>,
    },
    /// The next one, whose bytes are then changed.
    Damaged {
        commit: bool,
        at: u16,
        bits: u8,
        cut: Option<u16>,
    },
    Raw(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
pub(super) enum Kind {
    Record,
    Seat,
    Other(u8),
}

#[derive(Arbitrary, Debug)]
pub(super) enum Bend {
    Index(u64),
    Author(u64),
    GivenUp(Option<Vec<Name>>),
    Group(String),
    Members(Vec<u64>),
    Retention(u64),
    Generation(u64),
    Start(Option<Commit>),
    Last(Option<Commit>),
    LastIndex(u64),
    LastName(Name),
    LastPart { at: u8, part: Described },
    Sequences(Vec<(u64, u64)>),
    Kept(Vec<(u64, Name)>),
}

/// What concerns the name of a generation.
#[derive(Arbitrary, Debug)]
pub(super) enum LateBend {
    Opened(Option<u64>),
    /// As a release wrote it that knew no names; or as none does.
    Version(u8),
}

/// The versions that are read.
const VERSIONS: [u8; 2] = [1, 2];

/// What must become of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is taken.
    Right,
    /// It is refused.
    Refused,
    /// Either: the documentation does not say.
    Unsaid,
}

impl Forged {
    /// Its bytes at an index, behind the last record that was right.
    pub(super) fn at(&self, index: u64, before: &mut Option<Record>, members: &[u64]) -> (Vec<u8>, Verdict) {
        let right = |commit: bool| next(before.as_ref(), commit, members, index);
        match self {
            Self::Generation => {
                let record = right(false);
                keep(record, before)
            }
            Self::Commit { by, turn, size, checksum } => {
                let mut record = right(true);
                let parts = record.last.iter_mut().filter(|_| record.given_up.is_none());
                for part in parts.flat_map(|last| &mut last.parts) {
                    // Never behind the last commit (J5).
                    part.turn += u64::from(*turn);
                    (part.size, part.checksum) = (u64::from(*size), *checksum);
                }
                record.author = members[usize::from(*by) % members.len()];
                keep(record, before)
            }
            Self::Bent { commit, bend } => {
                let mut record = right(*commit);
                match bend {
                    Later::Early(bend) => bend.to(&mut record),
                    Later::Late(LateBend::Opened(opened)) => record.opened = *opened,
                    Later::Late(LateBend::Version(version)) => record.version = *version,
                }
                judge(&record, index)
            }
            Self::Any(record) => judge(record, index),
            Self::Sealed { kind, version, contents } => {
                let (kind, is_record) = match kind {
                    Kind::Record => (b'J', true),
                    Kind::Seat => (b'S', false),
                    Kind::Other(kind) => (*kind, *kind == b'J'),
                };
                let refused = !is_record || !VERSIONS.contains(version);
                (sealed(kind, *version, contents), if refused { Verdict::Refused } else { Verdict::Unsaid })
            }
            Self::Damaged { commit, at, bits, cut } => {
                let whole = right(*commit).sealed();
                let mut bytes = whole.clone();
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= bits;
                cut.iter().for_each(|cut| bytes.truncate(usize::from(*cut)));
                let verdict = if bytes == whole { Verdict::Unsaid } else { Verdict::Refused };
                (bytes, verdict)
            }
            // It would have to get the checksum right.
            Self::Raw(bytes) => (bytes.clone(), Verdict::Unsaid),
        }
    }
}

/// The record that may come next.
fn next(before: Option<&Record>, commit: bool, members: &[u64], index: u64) -> Record {
    let mut record = match before {
        None => Record::first(members),
        Some(before) if commit => {
            let turns = before.last.as_ref().or(before.start.as_ref());
            let turn = |at: usize| turns.map_or(1, |last| last.parts[at].turn);
            let part =
                |(at, node): (usize, &u64)| Described { node: *node, turn: turn(at), size: 1, checksum: 2 };
            before.commit(members[0], members.iter().enumerate().map(part).collect())
        }
        Some(before) => before.next_generation(),
    };
    // What was not right stands in between, so that not even this one is.
    record.index = index;
    record
}

/// It is right if all before it were.
fn keep(record: Record, before: &mut Option<Record>) -> (Vec<u8>, Verdict) {
    let follows = record.index == before.as_ref().map_or(0, |before| before.index) + 1;
    let bytes = record.sealed();
    if follows {
        *before = Some(record);
    }
    (bytes, if follows { Verdict::Right } else { Verdict::Unsaid })
}

fn judge(record: &Record, index: u64) -> (Vec<u8>, Verdict) {
    (
        record.sealed(),
        if record.can_be_at(index) && VERSIONS.contains(&record.version) {
            Verdict::Unsaid
        } else {
            Verdict::Refused
        },
    )
}

impl Bend {
    fn to(&self, record: &mut Record) {
        match self {
            Self::Index(index) => record.index = *index,
            Self::Author(author) => record.author = *author,
            Self::GivenUp(given_up) => record.given_up.clone_from(given_up),
            Self::Group(group) => record.group.clone_from(group),
            Self::Members(members) => record.members.clone_from(members),
            Self::Retention(retention) => record.retention = *retention,
            Self::Generation(generation) => record.generation = *generation,
            Self::Start(start) => record.start.clone_from(start),
            Self::Last(last) => record.last.clone_from(last),
            Self::LastIndex(index) => record.last.iter_mut().for_each(|last| last.index = *index),
            Self::LastName(name) => record.last.iter_mut().for_each(|last| last.snapshot = *name),
            Self::LastPart { at, part } => {
                for last in record.last.iter_mut().filter(|last| !last.parts.is_empty()) {
                    let at = usize::from(*at) % last.parts.len();
                    last.parts[at] = *part;
                }
            }
            Self::Sequences(sequences) => record.sequences.clone_from(sequences),
            Self::Kept(kept) => record.kept.clone_from(kept),
        }
    }
}
