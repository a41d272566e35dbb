//! The stored form of a part, and of an initial state: streamed both ways, so that there is never a second copy of the
//! state in memory, and checked before anything is decoded.
//!
//! ```text
//! "SNAP" 'P' version                                  then chunks of at most 64 KiB:
//! [kind u8][length u32][checksum u32][bytes]          integers little-endian
//!
//! header+  state*  (channel messages*)*  (outgoing queued*)*  end
//! ```
//!
//! `channel` names a sender, `outgoing` a receiver, each with the number of messages that follow; nodes ascend, and are members
//! other than the part's own. A receiver for whom there are none is left out. Version 1 had no `outgoing`, and is read as if there were
//! none to be named.
//!
//! The checksum of a chunk is the CRC-32 of the opening and of kind, length and bytes of all chunks up to this one. So a
//! chunk that is changed, swapped, left out or of another object is found before its bytes are used. `end` holds the size
//! of the object; its checksum is that of the whole.

mod ahead;
mod chunk;
mod error;
mod header;
mod reader;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::collections::BTreeMap;
use std::io;

use bytes::{Bytes, BytesMut};

use crate::contract::codec::MessageCodec;
use crate::contract::state::{StateProvider, UnknownVersion};
use crate::format::wire::{Reader, put_node, put_uint, written};
use crate::vocabulary::id::{NodeId, Turn};
use crate::vocabulary::key::Key;
use crate::vocabulary::malformed::Malformed;
use crate::vocabulary::part::PartRef;
use crate::vocabulary::part::StoredPart;
use chunk::Kind;
pub use error::PartError;
use header::Header;
use reader::ChunkReader;
use writer::ChunkWriter;

/// What a part says of itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct PartLabel {
    pub(crate) group: String,
    /// Ascending.
    pub(crate) members: Vec<NodeId>,
    /// [`Key::Part`] or [`Key::Initial`].
    pub(crate) key: Key,
    pub(crate) turn: Turn,
}

/// What a part must say of itself, so that it is the one that is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) group: &'a str,
    pub(crate) members: &'a [NodeId],
    /// [`Key::Part`], [`Key::Evidence`] or [`Key::Initial`].
    pub(crate) key: Key,
    /// What the commit record says of it, where there is one.
    pub(crate) part: Option<&'a PartRef>,
}

/// What a part holds, as it was captured.
#[derive(Debug)]
pub(crate) struct Contents<'a, C, M> {
    pub(crate) state: &'a C,
    /// By sender.
    pub(crate) channels: &'a BTreeMap<NodeId, Vec<M>>,
    /// By receiver.
    pub(crate) outgoing: &'a BTreeMap<NodeId, Vec<M>>,
}

/// Writes a part, in pieces of at most 64 KiB. Beside the state itself there is one encoded message in memory.
///
/// # Errors
///
/// What `out`, the state's `encode` or the codec say; messages without a codec; a group whose name and members take more
/// than 1 MiB; a label whose key is of another kind of object.
pub(crate) fn write_part<S: StateProvider, M: 'static>(
    label: &PartLabel,
    contents: &Contents<'_, S::Captured, M>,
    codec: Option<&dyn MessageCodec<M>>,
    out: &mut dyn io::Write,
) -> io::Result<PartRef> {
    let mut out = ChunkWriter::open(out)?;
    out.begin(Kind::Header)?;
    io::Write::write_all(&mut out, &header::encode(label, S::VERSION)?)?;
    out.begin(Kind::State)?;
    S::encode(contents.state, &mut out)?;
    for (sender, messages) in contents.channels {
        write_channel(Side::RECORDED, *sender, messages, codec, &mut out)?;
    }
    for (receiver, messages) in contents.outgoing.iter().filter(|(_, messages)| !messages.is_empty()) {
        write_channel(Side::QUEUED, *receiver, messages, codec, &mut out)?;
    }
    let (size, checksum) = out.finish()?;
    Ok(PartRef { turn: label.turn, size, checksum })
}

/// At which end of its channel a message was recorded: the kinds of chunks that hold it.
#[derive(Clone, Copy)]
struct Side {
    /// Names the node at the other end.
    about: Kind,
    messages: Kind,
}

impl Side {
    const RECORDED: Self = Self { about: Kind::Channel, messages: Kind::Messages };
    const QUEUED: Self = Self { about: Kind::Outgoing, messages: Kind::Queued };
}

fn write_channel<M: 'static>(
    side: Side,
    other: NodeId,
    messages: &[M],
    codec: Option<&dyn MessageCodec<M>>,
    out: &mut ChunkWriter<'_>,
) -> io::Result<()> {
    out.begin(side.about)?;
    let about = written(|out| {
        put_node(out, other);
        put_uint(out, messages.len() as u64);
    });
    io::Write::write_all(out, &about)?;
    out.begin(side.messages)?;
    let mut encoded = Vec::new();
    for message in messages {
        let codec = codec.ok_or_else(no_codec)?;
        match codec.as_bytes(message) {
            Some(bytes) => write_message(&bytes, out)?,
            None => {
                encoded.clear();
                codec.encode(message, &mut encoded)?;
                write_message(&encoded, out)?;
            }
        }
    }
    Ok(())
}

fn no_codec() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "there are messages and no codec for them: give the builder a codec",
    )
}

fn write_message(bytes: &[u8], out: &mut ChunkWriter<'_>) -> io::Result<()> {
    let mut length = BytesMut::new();
    put_uint(&mut length, bytes.len() as u64);
    io::Write::write_all(out, &length)?;
    io::Write::write_all(out, bytes)
}

/// Reads a part. Every byte that the state's `decode` or the codec see has been checked; the rest is checked even where
/// they fail, so that damage is never taken for a state that is not understood.
///
/// Memory: 256 KiB, one encoded message, and what `decode` takes.
///
/// # Errors
///
/// All but [`PartError::Missing`].
pub(crate) fn read_part<S: StateProvider, M: 'static>(
    expected: &Expected<'_>,
    codec: Option<&dyn MessageCodec<M>>,
    input: &mut dyn io::Read,
) -> Result<StoredPart<S::Captured, M>, PartError> {
    let mut chunks = ChunkReader::open(expected.key, input)?;
    let header = Header::read(&mut chunks)?;
    header.check(expected)?;
    let contents = read_contents::<S, M>(expected, &header, codec, &mut chunks);
    check_whole(expected, &header, chunks)?;
    contents
}

/// Reads a part to its end and checks all of it, without decoding state or messages. Memory: 256 KiB.
///
/// # Errors
///
/// All but [`PartError::Missing`], [`PartError::StateVersion`], [`PartError::State`] and [`PartError::Message`].
pub(crate) fn verify_part(expected: &Expected<'_>, input: &mut dyn io::Read) -> Result<PartRef, PartError> {
    let mut chunks = ChunkReader::open(expected.key, input)?;
    let header = Header::read(&mut chunks)?;
    header.check(expected)?;
    check_whole(expected, &header, chunks)
}

fn check_whole(
    expected: &Expected<'_>,
    header: &Header,
    chunks: ChunkReader<'_>,
) -> Result<PartRef, PartError> {
    let (size, checksum) = chunks.finish()?;
    let found = PartRef { turn: header.turn, size, checksum };
    match expected.part {
        Some(part) if *part != found => Err(PartError::NotTheCommitted { key: expected.key }),
        _ => Ok(found),
    }
}

fn read_contents<S: StateProvider, M: 'static>(
    expected: &Expected<'_>,
    header: &Header,
    codec: Option<&dyn MessageCodec<M>>,
    chunks: &mut ChunkReader<'_>,
) -> Result<StoredPart<S::Captured, M>, PartError> {
    let key = expected.key;
    let version = UnknownVersion::of::<S>(header.state_version);
    if version.is_newer() {
        return Err(PartError::StateVersion { key, version });
    }
    let not_understood = |error: String| PartError::State { key, version: header.state_version, error };
    let decoded = S::decode(header.state_version, &mut chunks.stream(Kind::State));
    let state = decoded.map_err(|error| match error.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(version) => PartError::StateVersion { key, version: *version },
        None => not_understood(error.to_string()),
    })?;
    // Two states must not look alike because one was read only in part.
    let unread = chunks.discard(Kind::State)?;
    if unread > 0 {
        return Err(not_understood(format!("`decode` left {unread} bytes unread")));
    }
    let channels = read_channels(Side::RECORDED, expected, header, codec, chunks)?;
    let outgoing = read_channels(Side::QUEUED, expected, header, codec, chunks)?;
    Ok(StoredPart { turn: header.turn, state, channels, outgoing })
}

fn read_channels<M: 'static>(
    side: Side,
    expected: &Expected<'_>,
    header: &Header,
    codec: Option<&dyn MessageCodec<M>>,
    chunks: &mut ChunkReader<'_>,
) -> Result<BTreeMap<NodeId, Vec<M>>, PartError> {
    let key = expected.key;
    let corrupt = |error| PartError::Corrupt { key, error };
    let mut channels = BTreeMap::new();
    while chunks.kind() == side.about {
        let (other, count) = read_about(chunks.bytes()).map_err(corrupt)?;
        let ascending = channels.last_key_value().is_none_or(|(last, _)| *last < other);
        let is_other_member = other != header.node && expected.members.binary_search(&other).is_ok();
        // One part has one form: who has nothing to receive is left out.
        let has_its_place = count > 0 || side.about == Kind::Channel;
        if !ascending || !is_other_member || !has_its_place {
            return Err(corrupt(Malformed::new("a channel that cannot be")));
        }
        let sender = if side.about == Kind::Channel { other } else { header.node };
        chunks.advance()?;
        let mut messages = Vec::new();
        for _ in 0..count {
            let message = Bytes::from(read_message(side.messages, chunks)?);
            let decoded = codec.ok_or_else(no_codec).and_then(|codec| codec.decode(message));
            let failed = |error: io::Error| PartError::Message { key, sender, error: error.to_string() };
            messages.push(decoded.map_err(failed)?);
        }
        if chunks.discard(side.messages)? > 0 {
            return Err(corrupt(Malformed::new("more messages than were counted")));
        }
        channels.insert(other, messages);
    }
    Ok(channels)
}

fn read_about(bytes: &[u8]) -> Result<(NodeId, u64), Malformed> {
    let mut reader = Reader::new(bytes);
    let channel = (reader.node()?, reader.uint()?);
    reader.end()?;
    Ok(channel)
}

/// Grows with what is there, not with what the length promises.
fn read_message(kind: Kind, chunks: &mut ChunkReader<'_>) -> Result<Vec<u8>, PartError> {
    let mut prefix = Vec::new();
    while prefix.last().is_none_or(|byte| byte & 0x80 != 0) {
        prefix.push(chunks.byte(kind)?);
        if prefix.len() > 10 {
            break;
        }
    }
    let length = Reader::new(&prefix).uint().map_err(|error| chunks.corrupt(error))?;
    let mut message = Vec::new();
    chunks.take(kind, length, &mut message)?;
    Ok(message)
}
