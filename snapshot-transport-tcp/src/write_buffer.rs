//! Frames to bytes: what one connection is about to write. Encoded, bounded, and known frame by frame, so that a lost
//! connection takes no whole frame along that it had not begun.

use std::collections::{VecDeque, vec_deque};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use snapshot_core::{Body, Frame, Frames, MessageCodec, Run};
use tokio::io::AsyncWrite;

use crate::codec::{HEAD, Kind};

/// Frames are encoded while there are fewer bytes than this, so that this and one frame is the bound.
const WRITE_BUFFER: usize = 256 * 1024;
/// What one run of messages may take. The other end reads it as a whole, so it is less than what one read brings.
const RUN: usize = 64 * 1024;
/// Payloads over this many bytes are written from where they are.
const BY_REFERENCE: usize = 8 * 1024;
/// How many pieces one write takes.
const SLICES: usize = 64;

/// Encoded frames, written from the front.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    /// Before `tail`: payloads by reference and what stands between them.
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    /// How much of `tail` is written.
    sent: usize,
    /// How many bytes each frame has left.
    frames: VecDeque<usize>,
    /// Whether some bytes of the first frame are written.
    begun: bool,
    len: usize,
}

/// Why a frame was not taken. The buffer is as it was.
#[derive(Debug)]
pub(crate) enum EncodeError {
    TooLarge { size: usize },
    Codec(io::Error),
}

impl WriteBuffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn has_room(&self) -> bool {
        self.len < WRITE_BUFFER
    }

    /// Takes frames from the front while there is room. Each frame, and each run, may be up to `limit` bytes long.
    pub(crate) fn fill<M: 'static>(
        &mut self,
        frames: &mut Frames<M>,
        codec: &dyn MessageCodec<M>,
        limit: usize,
    ) -> Result<(), EncodeError> {
        while self.has_room() {
            let taken = match frames.front_run() {
                Some((run, messages)) if run.len() > 1 => self.push_run(run, messages, codec, limit),
                _ => 0,
            };
            if taken > 0 {
                frames.drain_run(taken).for_each(drop);
                continue;
            }
            let Some(frame) = frames.front() else { return Ok(()) };
            self.push(frame, codec, limit)?;
            frames.pop_front();
        }
        Ok(())
    }

    /// Adds the first messages of a run, and returns how many: those that fit into one frame, and none where that is one
    /// alone. A message that cannot be encoded ends the run before it.
    fn push_run<M: 'static>(
        &mut self,
        run: Run,
        messages: vec_deque::Iter<'_, M>,
        codec: &dyn MessageCodec<M>,
        limit: usize,
    ) -> usize {
        let start = self.tail.len();
        let stamp = run.first().to_bytes();
        self.tail.put_u32_le(0);
        self.tail.put_u8(Kind::Run.tag(stamp.len()));
        self.tail.put_slice(&stamp);
        put_varint(&mut self.tail, run.step());
        let room = (start + HEAD + RUN.min(limit)).saturating_sub(self.tail.len());
        let taken = codec.encode_delimited(messages, BY_REFERENCE, room, &mut self.tail);
        if taken < 2 {
            self.tail.truncate(start);
            return 0;
        }
        let length = self.tail.len() - start - HEAD;
        self.tail[start..start + HEAD].copy_from_slice(&(length as u32).to_le_bytes());
        self.frames.push_back(HEAD + length);
        self.len += HEAD + length;
        taken
    }

    /// Adds a frame, which may be up to `limit` bytes long.
    pub(crate) fn push<M: 'static>(
        &mut self,
        frame: Frame<&M>,
        codec: &dyn MessageCodec<M>,
        limit: usize,
    ) -> Result<(), EncodeError> {
        let (kind, message, whole) = match frame.body {
            Body::Message(message) => (Kind::Message, Some(message), codec.as_bytes(message)),
            Body::Control(bytes) => (Kind::Control, None, Some(bytes)),
        };
        let stamp = frame.stamp.to_bytes();
        let start = self.tail.len();
        let fixed = 1 + stamp.len();
        let mut length = fixed + whole.as_ref().map_or(0, Bytes::len);
        if length > limit {
            return Err(EncodeError::TooLarge { size: length });
        }
        self.tail.put_u32_le(length as u32);
        self.tail.put_u8(kind.tag(stamp.len()));
        self.tail.put_slice(&stamp);
        match (whole, message) {
            (Some(body), _) if body.len() > BY_REFERENCE => self.push_piece(body),
            (Some(body), _) => self.tail.put_slice(&body),
            (None, Some(message)) => {
                let mut out = Limited { out: &mut self.tail, room: limit - fixed, beyond: 0 };
                let encoded = codec.encode(message, &mut out);
                let beyond = out.beyond;
                length = self.tail.len() - start - HEAD + beyond;
                if encoded.is_err() || beyond > 0 {
                    self.tail.truncate(start);
                    return Err(
                        encoded.map_or_else(EncodeError::Codec, |()| EncodeError::TooLarge { size: length })
                    );
                }
                self.tail[start..start + HEAD].copy_from_slice(&(length as u32).to_le_bytes());
            }
            (None, None) => {}
        }
        self.frames.push_back(HEAD + length);
        self.len += HEAD + length;
        Ok(())
    }

    /// Adds the frame after which nothing comes.
    pub(crate) fn push_goodbye(&mut self) {
        self.tail.put_u32_le(1);
        self.tail.put_u8(Kind::Goodbye.tag(0));
        self.frames.push_back(HEAD + 1);
        self.len += HEAD + 1;
    }

    /// Writes until there is nothing left here, nor in what it is written to.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while self.len > 0 {
            let socket = Pin::new(&mut *socket);
            let written = if self.pieces.is_empty() {
                ready!(socket.poll_write(cx, &self.tail[self.sent..]))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let mut used = 0;
                let pieces = self.pieces.iter().map(|piece| &piece[..]).chain([&self.tail[self.sent..]]);
                for (slot, piece) in slices.iter_mut().zip(pieces.filter(|piece| !piece.is_empty())) {
                    *slot = IoSlice::new(piece);
                    used += 1;
                }
                ready!(socket.poll_write_vectored(cx, &slices[..used]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Pin::new(socket).poll_flush(cx)
    }

    /// Drops what is left of a frame that was begun on a connection that is gone: sent again it might be there twice.
    pub(crate) fn forget_begun(&mut self) {
        if let (true, Some(left)) = (self.begun, self.frames.front()) {
            self.advance(*left);
        }
    }

    fn push_piece(&mut self, piece: Bytes) {
        let before = self.tail.split().freeze().slice(self.sent..);
        self.sent = 0;
        self.pieces.push_back(before);
        self.pieces.push_back(piece);
    }

    fn advance(&mut self, count: usize) {
        self.len -= count;
        self.advance_bytes(count);
        let mut count = count;
        while let Some(left) = self.frames.front_mut() {
            if *left > count {
                *left -= count;
                self.begun |= count > 0;
                return;
            }
            count -= *left;
            self.begun = false;
            self.frames.pop_front();
        }
    }

    fn advance_bytes(&mut self, mut count: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > count {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
        self.sent += count;
        if self.sent == self.tail.len() {
            self.tail.clear();
            self.sent = 0;
            if self.tail.capacity() > 2 * WRITE_BUFFER {
                self.tail = BytesMut::new();
            }
        }
    }
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Takes `room` bytes and counts the others, so that a message over the limit costs no memory and its size is known.
struct Limited<'a> {
    out: &'a mut BytesMut,
    room: usize,
    beyond: usize,
}

impl io::Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.room);
        self.out.put_slice(&bytes[..fits]);
        self.room -= fits;
        self.beyond = self.beyond.saturating_add(bytes.len() - fits);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "write_buffer_tests.rs"]
mod tests;
