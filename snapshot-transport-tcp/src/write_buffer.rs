//! Frames to bytes: what one link is about to write, and what it has written and the other side may not have. Encoded, bounded, and
//! known frame by frame, so that a lost connection takes no whole frame along that it had not begun.
//!
//! Where a session may be resumed, the bytes that were written stay where they are until the other side is known to have them. They
//! are counted from the beginning of the session, so that a new connection goes on from any of them.

use std::collections::{VecDeque, vec_deque};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
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
/// No frame is taken while so many bytes are not known to have arrived. So this and one frame is the bound of what is kept.
pub(crate) const KEEP: u64 = 4 * 1024 * 1024;
/// How many buffers that are done with are kept for the next bytes.
const SPARES: usize = 4;

/// Encoded frames, written from the front.
///
/// Places count bytes since the buffer was made: `front <= acked <= next <= fresh <= next + len`.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    /// Before `tail`: what is full, and payloads by reference with what stands between them. None is empty.
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    /// Whether what is written is kept until it is acknowledged.
    keeps: bool,
    /// The first byte of the session.
    base: u64,
    /// The first byte that is here.
    front: u64,
    /// The first byte that the other side is not known to have.
    acked: u64,
    /// The byte to be written next, and where it is: in which piece, and where in it. One piece too far is the tail.
    next: u64,
    piece: usize,
    at: usize,
    /// The first byte that was never written.
    fresh: u64,
    /// How many bytes are to be written.
    len: usize,
    /// How many bytes each frame has left that was not wholly written once.
    frames: VecDeque<usize>,
    /// Whether some bytes of the first frame are written.
    begun: bool,
    spare: Vec<BytesMut>,
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
        self.len < WRITE_BUFFER && !self.is_full()
    }

    /// Whether there is nothing to be done but to wait for what the other side has.
    pub(crate) fn is_full(&self) -> bool {
        self.keeps && self.end() - self.acked >= KEEP
    }

    /// A session begins, which may be resumed or not. Of the one before only whole frames are left that were not begun.
    pub(crate) fn begin(&mut self, keeps: bool) {
        self.advance((self.fresh - self.next) as usize);
        self.forget_begun();
        self.release_to(self.next);
        self.base = self.next;
        self.keeps = keeps;
        self.spare.clear();
    }

    /// The other side has so many bytes of this session.
    pub(crate) fn acknowledged(&mut self, count: u64) {
        let to = self.base.saturating_add(count).min(self.next);
        if to > self.acked {
            self.release_to(to);
        }
    }

    /// Whether this session can go on where the other side has so many bytes of it.
    pub(crate) fn can_resume(&self, count: u64) -> bool {
        self.keeps && self.base.checked_add(count).is_some_and(|to| (self.acked..=self.fresh).contains(&to))
    }

    /// A new connection of this session: what the other side does not have is written again.
    pub(crate) fn resume(&mut self, count: u64) {
        let to = self.base + count;
        self.len = (self.end() - to) as usize;
        self.next = to;
        let mut skip = (to - self.front) as usize;
        self.piece = 0;
        while let Some(piece) = self.pieces.get(self.piece).filter(|piece| piece.len() <= skip) {
            skip -= piece.len();
            self.piece += 1;
        }
        self.at = skip;
        self.release_to(to);
    }

    fn end(&self) -> u64 {
        self.next + self.len as u64
    }

    /// Takes frames from the front while there is room. Each frame, and each run, may be up to `limit` bytes long.
    pub(crate) fn fill<M: 'static>(
        &mut self,
        frames: &mut Frames<M>,
        codec: &dyn MessageCodec<M>,
        limit: usize,
    ) -> Result<(), EncodeError> {
        while self.has_room() {
            if self.keeps {
                self.prepare_tail();
            }
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

    /// Adds how many bytes this side has of the other's.
    pub(crate) fn push_ack(&mut self, count: u64) {
        self.tail.put_u32_le(1 + 8);
        self.tail.put_u8(Kind::Ack.tag(0));
        self.tail.put_u64_le(count);
        self.frames.push_back(HEAD + 1 + 8);
        self.len += HEAD + 1 + 8;
    }

    /// Writes until there is nothing left here, nor in what it is written to.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while self.len > 0 {
            let socket = Pin::new(&mut *socket);
            let written = if self.piece == self.pieces.len() {
                ready!(socket.poll_write(cx, &self.tail[self.at..]))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let mut used = 0;
                let pieces = self.pieces.range(self.piece..).map(|piece| &piece[..]).chain([&self.tail[..]]);
                let mut begin = self.at;
                for (slot, piece) in slices.iter_mut().zip(pieces) {
                    *slot = IoSlice::new(&piece[std::mem::take(&mut begin)..]);
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
        let before = self.tail.split().freeze();
        self.push_whole(before);
        self.push_whole(piece);
    }

    /// Adds what stands before the (empty) tail.
    fn push_whole(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.piece == self.pieces.len() && self.at == piece.len() {
            self.piece += 1;
            self.at = 0;
        }
        self.pieces.push_back(piece);
    }

    /// Where written bytes stay, nothing is written over: a tail that is full stands aside as it is.
    fn prepare_tail(&mut self) {
        if self.tail.len() >= WRITE_BUFFER {
            let next = self.spare.pop().unwrap_or_else(|| BytesMut::with_capacity(WRITE_BUFFER + 2 * RUN));
            let full = std::mem::replace(&mut self.tail, next).freeze();
            self.push_whole(full);
        } else if self.tail.is_empty() && self.tail.capacity() < 64 {
            // What is left of a buffer between payloads by reference.
            self.tail = BytesMut::with_capacity(BY_REFERENCE);
        }
    }

    /// So many bytes more are written, or done with.
    fn advance(&mut self, count: usize) {
        let again = ((self.fresh - self.next) as usize).min(count);
        self.len -= count;
        self.next += count as u64;
        self.fresh = self.fresh.max(self.next);
        self.at += count;
        while let Some(piece) = self.pieces.get(self.piece).filter(|piece| piece.len() <= self.at) {
            self.at -= piece.len();
            self.piece += 1;
        }
        let mut count = count - again;
        while let Some(left) = self.frames.front_mut() {
            if *left > count {
                *left -= count;
                self.begun |= count > 0;
                break;
            }
            count -= *left;
            self.begun = false;
            self.frames.pop_front();
        }
        if !self.keeps {
            self.release_to(self.next);
        }
    }

    /// What comes before this place is needed no more.
    fn release_to(&mut self, to: u64) {
        self.acked = to;
        while let Some(piece) = self.pieces.front()
            && self.front + piece.len() as u64 <= to
        {
            self.front += piece.len() as u64;
            self.piece -= 1;
            if let Some(piece) = self.pieces.pop_front()
                && self.spare.len() < SPARES
                && self.keeps
                && let Ok(mut buffer) = piece.try_into_mut()
                && (WRITE_BUFFER..=2 * WRITE_BUFFER).contains(&buffer.capacity())
            {
                buffer.clear();
                self.spare.push(buffer);
            }
        }
        if self.len == 0 && to == self.next {
            self.front = to;
            self.tail.clear();
            self.at = 0;
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
