//! What some bytes are as the part of node 1.

use bytes::Bytes;
use snapshot_core::{PartError, PartRef, SnapshotId};

use super::MEMBERS;
use crate::fuzzing::blob::{LAZY, REFUSED, VERSIONS};
use crate::fuzzing::forms::{OPENING, chunk, read_uint};
use crate::fuzzing::records::{GROUP, LIMIT};

/// What reading them must come to.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Whole(Whole),
    Damaged,
    /// The bytes are those that were written, and say what cannot be: seen only by who decodes them.
    Absurd,
    Newer,
    StateVersion,
    State,
    Message,
}

#[derive(PartialEq, Eq, Debug)]
pub(super) struct Whole {
    pub(super) turn: u64,
    pub(super) state: Vec<u8>,
    /// From node 2.
    pub(super) messages: Vec<Bytes>,
    /// For node 2.
    pub(super) outgoing: Vec<Bytes>,
}

impl Outcome {
    pub(super) fn of(bytes: &[u8], snapshot: SnapshotId, part: PartRef) -> Self {
        read(bytes, snapshot, part).map_or_else(|outcome| outcome, Self::Whole)
    }

    /// Whether an error says that.
    pub(super) fn check(&self, error: PartError) {
        let same = match self {
            Self::Whole(_) => false,
            Self::Damaged | Self::Absurd => error.is_damage(),
            Self::Newer => matches!(error, PartError::NewerFormat { .. }),
            Self::StateVersion => matches!(error, PartError::StateVersion { .. }),
            Self::State => matches!(error, PartError::State { .. }),
            Self::Message => matches!(error, PartError::Message { .. }),
        };
        assert!(same, "{self:?}, and the error is {error:?}");
        assert_eq!(error.is_damage(), matches!(self, Self::Damaged | Self::Absurd), "{error:?}");
    }
}

/// A piece of the part, checked.
type Chunk<'a> = (u8, &'a [u8]);

fn read(bytes: &[u8], snapshot: SnapshotId, part: PartRef) -> Result<Whole, Outcome> {
    let mut source = Source::open(bytes)?;
    // What stands at the head is looked at first, and then all is checked before anything is decoded.
    let mut chunks = Vec::new();
    while let Some(chunk) = source.next()? {
        chunks.push(chunk);
    }
    let header: Vec<u8> = run(&chunks, chunk::HEADER);
    let (turn, version) = read_header(&header, snapshot).ok_or(Outcome::Damaged)?;
    let checksum = source.checksum.finalize();
    if (turn, bytes.len() as u64, checksum) != (part.turn.0, part.size, part.checksum) {
        return Err(Outcome::Damaged);
    }
    if u64::from(u32::MAX) < version {
        return Err(Outcome::Damaged);
    }
    if !VERSIONS.map(u64::from).contains(&version) {
        return Err(Outcome::StateVersion);
    }
    let state = run(&chunks, chunk::STATE);
    match state.first() {
        Some(&REFUSED) => return Err(Outcome::State),
        Some(&LAZY) if state.len() > 1 => return Err(Outcome::State),
        _ => {}
    }
    let messages = read_channels(&chunks, chunk::CHANNEL, chunk::MESSAGES)?;
    let outgoing = read_channels(&chunks, chunk::OUTGOING, chunk::QUEUED)?;
    Ok(Whole { turn, state, messages, outgoing })
}

fn run(chunks: &[Chunk<'_>], kind: u8) -> Vec<u8> {
    chunks.iter().filter(|(k, _)| *k == kind).flat_map(|(_, bytes)| bytes.iter().copied()).collect()
}

/// Bytes as chunks, each checked with all before it.
struct Source<'a> {
    rest: &'a [u8],
    version: u8,
    size: usize,
    checksum: crc32fast::Hasher,
    before: Option<u8>,
}

impl<'a> Source<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Outcome> {
        let (opening, rest) = bytes.split_first_chunk::<6>().ok_or(Outcome::Damaged)?;
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(opening);
        let [magic @ .., version] = *opening;
        let mut source = Self { rest, version, size: 6, checksum, before: None };
        if magic != *OPENING {
            return Err(Outcome::Damaged);
        }
        match version {
            1 | 2 => Ok(source),
            // A wrong version is news only if the first checksum is right.
            3.. => source.checked().and(Err(Outcome::Newer)),
            0 => Err(Outcome::Damaged),
        }
    }

    /// The next one; `None` at the end, behind which there must be nothing.
    fn next(&mut self) -> Result<Option<Chunk<'a>>, Outcome> {
        let size = self.size as u64;
        let (kind, bytes) = match self.before {
            Some(chunk::END) => return Ok(None),
            _ => self.checked()?,
        };
        let follows = match kind {
            chunk::HEADER => matches!(self.before, None | Some(chunk::HEADER)),
            chunk::STATE => matches!(self.before, Some(chunk::HEADER | chunk::STATE)),
            chunk::CHANNEL => !matches!(self.before, None | Some(chunk::OUTGOING | chunk::QUEUED)),
            chunk::END => self.before.is_some(),
            chunk::MESSAGES => matches!(self.before, Some(chunk::CHANNEL | chunk::MESSAGES)),
            chunk::OUTGOING => self.version > 1 && self.before.is_some(),
            chunk::QUEUED => matches!(self.before, Some(chunk::OUTGOING | chunk::QUEUED)),
            _ => false,
        };
        self.before = Some(kind);
        let end = (size + 9 + 8).to_le_bytes();
        let ends = kind != chunk::END || bytes == end && self.rest.is_empty();
        if follows && ends { Ok(Some((kind, bytes))) } else { Err(Outcome::Damaged) }
    }

    fn checked(&mut self) -> Result<Chunk<'a>, Outcome> {
        let (frame, rest) = self.rest.split_first_chunk::<9>().ok_or(Outcome::Damaged)?;
        let [kind, a, b, c, d, sum @ ..] = *frame;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > chunk::MOST {
            return Err(Outcome::Damaged);
        }
        let (bytes, rest) = rest.split_at_checked(length).ok_or(Outcome::Damaged)?;
        self.checksum.update(&frame[..5]);
        self.checksum.update(bytes);
        if self.checksum.clone().finalize() != u32::from_le_bytes(sum) {
            return Err(Outcome::Damaged);
        }
        self.rest = rest;
        self.size += 9 + length;
        Ok((kind, bytes))
    }
}

/// Turn and state version, if it is the part that is looked for.
fn read_header(mut bytes: &[u8], snapshot: SnapshotId) -> Option<(u64, u64)> {
    let bytes = &mut bytes;
    let (kind, rest) = bytes.split_first()?;
    *bytes = rest;
    let name = [read_uint(bytes)?, read_uint(bytes)?, read_uint(bytes)?, read_uint(bytes)?];
    let (turn, version) = (read_uint(bytes)?, read_uint(bytes)?);
    let length = usize::try_from(read_uint(bytes)?).ok()?;
    let (group, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let members = (0..read_uint(bytes)?).map(|_| read_uint(bytes)).take(3).collect::<Option<Vec<u64>>>()?;
    let right = *kind == 1
        && name == [snapshot.generation.0, snapshot.sequence, snapshot.initiator.0, MEMBERS[0]]
        && group == GROUP.as_bytes()
        && members == MEMBERS
        && bytes.is_empty()
        && turn < LIMIT;
    right.then_some((turn, version))
}

/// The messages from node 2 or for it: nobody else is there.
fn read_channels(chunks: &[Chunk<'_>], about: u8, of_messages: u8) -> Result<Vec<Bytes>, Outcome> {
    let channels: Vec<usize> = (0..chunks.len()).filter(|at| chunks[*at].0 == about).collect();
    let mut found = None;
    for at in channels {
        let mut head = chunks[at].1;
        let numbers = read_uint(&mut head).zip(read_uint(&mut head));
        let (other, count) = numbers.filter(|_| head.is_empty()).ok_or(Outcome::Absurd)?;
        let is_named_for_nothing = about == chunk::OUTGOING && count == 0;
        if other != MEMBERS[1] || found.is_some() || is_named_for_nothing {
            return Err(Outcome::Absurd);
        }
        let behind = chunks[at + 1..].iter().take_while(|(kind, _)| *kind == of_messages);
        let bytes: Vec<u8> = behind.flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        let (mut rest, mut messages) = (&bytes[..], Vec::new());
        for _ in 0..count {
            let length = read_uint(&mut rest).and_then(|length| usize::try_from(length).ok());
            let (message, behind) =
                length.and_then(|length| rest.split_at_checked(length)).ok_or(Outcome::Absurd)?;
            if message.first() == Some(&REFUSED) {
                return Err(Outcome::Message);
            }
            messages.push(Bytes::copy_from_slice(message));
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(Outcome::Absurd);
        }
        found = Some(messages);
    }
    Ok(found.unwrap_or_default())
}
