//! Messages to bytes and back.

use std::collections::{VecDeque, vec_deque};
use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::contract::delimited;

/// Turns messages into bytes: for the recorded channels in a store, and for transports that need it.
///
/// # Contract
///
/// * **M1** `decode(encode(m))` is `m`, on every machine and in every later version of the application that reads old
///   snapshots.
/// * **M2** `decode` fails on bytes that it does not understand; it does not panic, and takes no more memory than is in
///   proportion to its input.
///
/// With the feature `postcard` there is [`Postcard`](crate::Postcard) for messages with serde's traits; [`RawBytes`] serves
/// [`Bytes`]. One line runs a test of each clause, `snapshot_conformance::codec!(…)`: see the crate
/// `snapshot-conformance`.
///
/// # When the message type changes
///
/// Messages that were in flight are in the snapshot, in the byte form of the release that sent them, and without a version of
/// their own: only the bytes tell the codec what they are. So a form, once released, is read by every later release (M1),
/// for as long as there may be snapshots with such messages.
///
/// With [`Postcard`](crate::Postcard), and alike with other formats that do not name their fields:
///
/// * **A new variant** goes to the **end** of the message enum. The old ones keep their places, since a variant is stored as
///   its position.
/// * **Another form of an existing variant** is a new variant at the end; the old one stays to be read, and the handler turns
///   it into the new one. Fields are neither added, removed, reordered nor retyped in place.
/// * **A variant that is no longer sent** stays in its place until no stored snapshot can hold one.
/// * **A message that is no enum** has nowhere to grow: begin with an enum, be it of one variant.
///
/// An **older** release refuses a variant that it does not know: it does not start from that snapshot. Nodes of two releases
/// that run at the same time also read each other's live messages: either all nodes change together, or a release first
/// learns to read a new form and the next one sends it.
///
/// ```
/// # #[cfg(feature = "postcard")] {
/// use snapshot_core::{MessageCodec, Postcard};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum First { Coins(u32), Bye }
///
/// #[derive(Serialize, Deserialize, Debug, PartialEq)]
/// enum Second { Coins(u32), Bye, Cents { cents: u64, memo: String } }
///
/// let mut stored = Vec::new();
/// Postcard.encode(&First::Coins(7), &mut stored)?;
/// assert_eq!(MessageCodec::<Second>::decode(&Postcard, stored.into())?, Second::Coins(7));
///
/// let mut newer = Vec::new();
/// Postcard.encode(&Second::Cents { cents: 750, memo: "rent".to_owned() }, &mut newer)?;
/// assert!(MessageCodec::<First>::decode(&Postcard, newer.into()).is_err());
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait MessageCodec<M>: Send + Sync + 'static {
    /// Writes one message.
    ///
    /// # Errors
    ///
    /// What `out` says, or a message that has no byte form.
    fn encode(&self, message: &M, out: &mut dyn io::Write) -> io::Result<()>;

    /// Reads one message, which takes all of `bytes`.
    ///
    /// # Errors
    ///
    /// If these are not the bytes of a message.
    fn decode(&self, bytes: Bytes) -> io::Result<M>;

    /// How long the encoding of a message is, in bytes: what it weighs, in windows, outboxes and recordings. By default it is
    /// encoded for that, and the bytes are only counted; a codec that can tell without is cheaper. A message that cannot be
    /// encoded weighs nothing here: what becomes of it is found out where it is needed.
    fn encoded_len(&self, message: &M) -> usize {
        match self.as_bytes(message) {
            Some(bytes) => bytes.len(),
            None => {
                let mut counted = Counted(0);
                self.encode(message, &mut counted).map_or(0, |()| counted.0)
            }
        }
    }

    /// What errors call this codec. By default the name of its type.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// The message's encoding where it stands in memory already, so that a transport can send it by reference instead of
    /// copying it. By default there is none.
    fn as_bytes(&self, message: &M) -> Option<Bytes> {
        let _ = message;
        None
    }

    /// The same to look at and copy, without a reference of its own to the memory: what small messages are sent by. By default there is
    /// none, and the message is encoded.
    fn as_slice<'m>(&self, message: &'m M) -> Option<&'m [u8]> {
        let _ = message;
        None
    }

    /// [`decode`](Self::decode) of a part of a buffer that holds many messages. By default the message may share the buffer's
    /// memory, which takes a reference to it; a codec whose messages own what they hold reads it where it stands.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode).
    ///
    /// # Panics
    ///
    /// If the range is not within the buffer.
    fn decode_part(&self, buffer: &Bytes, part: Range<usize>) -> io::Result<M> {
        self.decode(buffer.slice(part))
    }

    /// [`decode_part`](Self::decode_part) of many, in order: one call for a batch, as transports have them. It need not be written: what stands
    /// here is compiled for each codec.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode). The messages before the one that is refused are in `messages`.
    ///
    /// # Panics
    ///
    /// If a range is not within the buffer.
    fn decode_parts(
        &self,
        buffer: &Bytes,
        parts: &[Range<usize>],
        messages: &mut VecDeque<M>,
    ) -> io::Result<()> {
        messages.reserve(parts.len());
        for part in parts {
            messages.push_back(self.decode_part(buffer, part.clone())?);
        }
        Ok(())
    }

    /// Writes the first of these messages, each behind its length as a LEB128 integer: as many as take `room` bytes together, up to one that is
    /// longer than `longest` or cannot be encoded. Returns how many. It need not be written: what stands here is compiled for each
    /// codec.
    fn encode_delimited(
        &self,
        messages: vec_deque::Iter<'_, M>,
        longest: usize,
        room: usize,
        out: &mut BytesMut,
    ) -> usize {
        delimited::all(messages, room, out, |message, room, out| match self.as_slice(message) {
            Some(bytes) => delimited::put(bytes, longest, room, out),
            None => delimited::write(|out| self.encode(message, out), longest, room, out),
        })
    }
}

/// Counts what is written.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The codec of [`Bytes`]: they are their own encoding.
///
/// ```
/// use bytes::Bytes;
/// use snapshot_core::{MessageCodec, RawBytes};
/// let message = Bytes::from_static(b"hello");
/// let mut out = Vec::new();
/// RawBytes.encode(&message, &mut out)?;
/// assert_eq!(RawBytes.decode(out.into())?, message);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RawBytes;

impl MessageCodec<Bytes> for RawBytes {
    fn encode(&self, message: &Bytes, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(message)
    }

    fn decode(&self, bytes: Bytes) -> io::Result<Bytes> {
        Ok(bytes)
    }

    fn encoded_len(&self, message: &Bytes) -> usize {
        message.len()
    }

    fn as_bytes(&self, message: &Bytes) -> Option<Bytes> {
        Some(message.clone())
    }

    fn as_slice<'m>(&self, message: &'m Bytes) -> Option<&'m [u8]> {
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_are_their_own_encoding_and_need_no_copy() {
        let message = Bytes::from_static(b"hello");
        let mut out = Vec::new();
        RawBytes.encode(&message, &mut out).unwrap();
        assert_eq!(out, message);
        assert_eq!(RawBytes.as_bytes(&message).map(|bytes| bytes.as_ptr()), Some(message.as_ptr()));
        assert_eq!(RawBytes.as_slice(&message), Some(&message[..]));
        assert_eq!(RawBytes.encoded_len(&message), 5);
        let part = RawBytes.decode_part(&message, 1..4).unwrap();
        assert_eq!((&part[..], part.as_ptr()), (&b"ell"[..], message[1..].as_ptr()));
    }
}
