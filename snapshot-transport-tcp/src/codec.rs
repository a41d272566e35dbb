//! Bytes to frames: the wire format, and an incremental decoder. Pure; knows no sockets.
//!
//! ```text
//! [u32 length, little-endian][u8 tag][stamp][body]        length counts what follows it
//!                            tag: kind in the upper 3 bits, length of the stamp in the lower 5
//! a run's body:              [varint step] and, once or more, [varint length][message]
//! an acknowledgement:        no stamp, [u64 how many bytes of the session have come]
//! ```
//!
//! A run is several messages whose numbers follow each other: the stamp is that of the first, each other has a number that is
//! `step` more. So a small message takes a byte beside its own.
//!
//! The version of this format is that of the handshake.

use std::ops::Range;

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use snapshot_core::{Body, Frame, Generation, Inbox, MessageCodec, Peer, Stamp};
use thiserror::Error;

/// The bytes of the length.
pub(crate) const HEAD: usize = 4;
/// What one read may bring, and thus what a decoder holds beside a frame that is larger than this.
pub(crate) const READ_BUFFER: usize = 256 * 1024;
/// The most frames that are cut off as one run.
const RUN: usize = 512;
/// Frames from this size on are read by themselves, or so many of them as a read brings …
const LARGE: usize = 32 * 1024;
/// … and so much of what follows, in which the head of the next frame is.
const SLACK: usize = 4 * 1024;
/// How far a frame that is announced may make the buffer grow before its bytes have come.
const EAGER_GROWTH: usize = 1024 * 1024;

/// What a frame on the wire is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Message = 0,
    Control = 1,
    Goodbye = 2,
    Run = 3,
    Ack = 4,
}

impl Kind {
    /// The byte after the length.
    pub(crate) fn tag(self, stamp_len: usize) -> u8 {
        (self as u8) << 5 | stamp_len as u8
    }
}

/// What the decoder hands out.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Decoded<M> {
    Frame(Frame<M>),
    /// A run has begun.
    Run,
    /// So many bytes of this side's have come to the peer since the session began.
    Ack(u64),
    /// The peer sends nothing more.
    Goodbye,
}

/// Bytes that are no frames.
#[derive(Debug, Error)]
pub(crate) enum FrameError {
    #[error("it announced a frame of {len} bytes, over the limit of {limit}")]
    TooLarge { len: usize, limit: usize },
    #[error("it sent a frame that is no frame of this protocol ({0})")]
    Garbage(&'static str),
    #[error("it sent a message that the codec cannot decode ({0})")]
    Message(std::io::Error),
}

/// Takes bytes as they come and gives frames.
///
/// Bounded by one frame of the limit and [`READ_BUFFER`]; messages that share their memory with the buffer keep it alive
/// beyond that.
#[derive(Debug)]
pub(crate) struct FrameReader {
    limit: usize,
    /// The run whose messages are being handed out.
    run: Option<OpenRun>,
    /// Complete frames, frozen as one, so that messages are slices of it.
    whole: Bytes,
    /// What came after them.
    rest: BytesMut,
    /// How long the last complete frame was: the next is likely to be as long.
    last: usize,
    /// Where the messages are that are being handed out.
    parts: Vec<Range<usize>>,
    /// The generation of the last frame.
    heard: Option<Generation>,
}

impl FrameReader {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            run: None,
            whole: Bytes::new(),
            rest: BytesMut::new(),
            last: 0,
            parts: Vec::new(),
            heard: None,
        }
    }

    /// The generation of the last frame that was begun.
    pub(crate) fn heard(&self) -> Option<Generation> {
        self.heard
    }

    /// Where the next bytes go: there is room for one at least, and for no more than belong there. Where frames are large, that is to
    /// the end of a frame and a little more, so that next to nothing of what follows has to be moved into its own buffer.
    pub(crate) fn space(&mut self) -> Limit<&mut BytesMut> {
        let (have, free) = (self.rest.len(), self.rest.capacity() - self.rest.len());
        let missing = self.announced().map_or(0, |len| (HEAD + len).saturating_sub(have));
        let usual = match self.last {
            LARGE.. => (READ_BUFFER / self.last).max(1) * self.last + SLACK,
            _ => READ_BUFFER,
        };
        let most = usual.saturating_sub(have).max(missing + SLACK);
        // Grow with what has really come, so that an announcement alone does not cost a frame of memory.
        let eager = EAGER_GROWTH.max(have);
        if free < missing.min(eager) || free < most.min(READ_BUFFER / 4) {
            self.rest.reserve(most.min(eager));
        }
        (&mut self.rest).limit(most)
    }

    /// The next frame, or the news that a run has begun, all of which [`take_run`](Self::take_run) gives before this is called
    /// again; `None` where more bytes are needed. After an error there is nothing more to be had.
    pub(crate) fn next<M: 'static>(
        &mut self,
        codec: &dyn MessageCodec<M>,
    ) -> Result<Option<Decoded<M>>, FrameError> {
        if self.whole.is_empty() {
            let end = self.complete()?;
            if end == 0 {
                return Ok(None);
            }
            self.whole = self.rest.split_to(end).freeze();
        }
        // `complete` has seen to it that there are whole frames only.
        let len = self.whole.get_u32_le() as usize;
        let mut frame = self.whole.split_to(len);
        let tag = frame.get_u8();
        let stamp_len = usize::from(tag & 0x1f);
        let Some(stamp) = frame.get(..stamp_len) else {
            return Err(FrameError::Garbage("its stamp ends beyond its end"));
        };
        if tag == Kind::Goodbye.tag(0) && frame.is_empty() {
            return Ok(Some(Decoded::Goodbye));
        }
        if tag == Kind::Ack.tag(0) {
            return acknowledged(&frame).map(|count| Some(Decoded::Ack(count)));
        }
        let stamp = Stamp::from_bytes(stamp).map_err(|_| FrameError::Garbage("its stamp is malformed"))?;
        frame.advance(stamp_len);
        self.heard = Some(stamp.generation());
        let body = match tag >> 5 {
            0 => Body::Message(codec.decode(frame).map_err(FrameError::Message)?),
            1 => Body::Control(frame),
            3 => {
                self.run = Some(OpenRun::new(stamp, frame)?);
                return Ok(Some(Decoded::Run));
            }
            _ => return Err(FrameError::Garbage("it is of an unknown kind")),
        };
        Ok(Some(Decoded::Frame(Frame { stamp, body })))
    }

    /// Hands out messages of the run that has begun, at most `count`; returns how many. None where no run has begun.
    pub(crate) fn take_run<M: 'static>(
        &mut self,
        codec: &dyn MessageCodec<M>,
        count: usize,
        from: Peer,
        into: &mut Inbox<M>,
    ) -> Result<usize, FrameError> {
        let Some(run) = &mut self.run else { return Ok(0) };
        self.parts.clear();
        let Some(first) = run.next else {
            return Err(FrameError::Garbage("the numbers of its run have an end"));
        };
        let step = run.step;
        let scanned = run.scan(first, count, &mut self.parts);
        let (taken, decoded) = into.push_run(from, first, step, |messages, lengths| {
            lengths.extend(self.parts.iter().map(|part| part.len().max(1)));
            codec.decode_parts(&run.bytes, &self.parts, messages)
        });
        decoded.map_err(FrameError::Message)?;
        scanned?;
        if run.at == run.bytes.len() {
            // What was handed out keeps the memory, if it needs it.
            self.run = None;
        }
        Ok(taken)
    }

    /// How many bytes wait that were not looked at yet.
    pub(crate) fn waiting(&self) -> usize {
        self.rest.len()
    }

    /// The newest acknowledgement in what has come and is not handed out yet.
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        let mut newest = None;
        for mut bytes in [&self.whole[..], &self.rest[..]] {
            while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
                let Some((frame, behind)) = rest.split_at_checked(u32::from_le_bytes(*head) as usize) else {
                    break;
                };
                if let Some((tag, body)) = frame.split_first()
                    && *tag == Kind::Ack.tag(0)
                {
                    newest = acknowledged(body).ok().max(newest);
                }
                bytes = behind;
            }
        }
        newest
    }

    /// Bytes come, in as many reads as they need.
    #[cfg(test)]
    pub(crate) fn take_in(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut space = self.space();
            let count = bytes.len().min(space.chunk_mut().len());
            assert!(count > 0, "there is room for one at least");
            space.put_slice(&bytes[..count]);
            bytes = &bytes[count..];
        }
    }

    /// The next frame, be it of a run.
    #[cfg(test)]
    pub(crate) fn next_one<M: 'static>(
        &mut self,
        codec: &dyn MessageCodec<M>,
    ) -> Result<Option<Decoded<M>>, FrameError> {
        use snapshot_core::{Graph, Incoming, NodeId};
        static PEER: std::sync::OnceLock<Peer> = std::sync::OnceLock::new();
        let peer = *PEER.get_or_init(|| {
            let graph = Graph::mesh([NodeId(1), NodeId(2)]).at(NodeId(1)).expect("a graph");
            graph.peers().next().expect("a neighbour")
        });
        let mut inbox = Inbox::with_capacity(1);
        loop {
            if self.take_run(codec, 1, peer, &mut inbox)? > 0 {
                let Some(Incoming::Frame { frame, .. }) = inbox.pop() else { unreachable!("one was pushed") };
                return Ok(Some(Decoded::Frame(frame)));
            }
            match self.next(codec)? {
                Some(Decoded::Run) => {}
                other => return Ok(other),
            }
        }
    }

    /// The bytes of the frame that has begun and how many it needs, where the end of the stream would cut one off.
    pub(crate) fn cut_short(&self) -> Option<(usize, Option<usize>)> {
        (!self.rest.is_empty()).then(|| (self.rest.len(), self.announced().map(|len| HEAD + len)))
    }

    fn announced(&self) -> Option<usize> {
        self.rest.first_chunk::<HEAD>().map(|head| u32::from_le_bytes(*head) as usize)
    }

    /// Where the complete frames in `rest` end. A length that cannot be is an error only once it stands first, so that
    /// what came before it is handed out.
    fn complete(&mut self) -> Result<usize, FrameError> {
        let (mut end, mut last) = (0, self.last);
        for _ in 0..RUN {
            let Some(head) = self.rest[end..].first_chunk::<HEAD>() else { break };
            let len = u32::from_le_bytes(*head) as usize;
            let error = match len {
                0 => Some(FrameError::Garbage("it is empty")),
                len if len > self.limit => Some(FrameError::TooLarge { len, limit: self.limit }),
                _ => None,
            };
            match error {
                Some(error) if end == 0 => return Err(error),
                Some(_) => break,
                None if self.rest.len() - end - HEAD < len => break,
                None => {
                    last = HEAD + len;
                    end += last;
                }
            }
        }
        self.last = last;
        Ok(end)
    }
}

fn acknowledged(body: &[u8]) -> Result<u64, FrameError> {
    match body.try_into() {
        Ok(count) => Ok(u64::from_le_bytes(count)),
        Err(_) => Err(FrameError::Garbage("its acknowledgement is malformed")),
    }
}

/// A run of which some messages are handed out.
#[derive(Debug)]
struct OpenRun {
    bytes: Bytes,
    /// Where the next message begins.
    at: usize,
    /// The stamp of the next message. `None`: there is no number that follows.
    next: Option<Stamp>,
    step: u64,
}

impl OpenRun {
    fn new(first: Stamp, bytes: Bytes) -> Result<Self, FrameError> {
        let mut run = Self { bytes, at: 0, next: Some(first), step: 0 };
        run.step = run.varint()?;
        if run.at == run.bytes.len() {
            return Err(FrameError::Garbage("it is a run of no messages"));
        }
        Ok(run)
    }

    /// Where the next messages are, at most `count`; all that are whole, be there an error behind them.
    fn scan(&mut self, first: Stamp, count: usize, parts: &mut Vec<Range<usize>>) -> Result<(), FrameError> {
        // As many numbers are left, and the first.
        let numbers = (u64::MAX - first.number()).checked_div(self.step).unwrap_or(u64::MAX);
        let count = count.min(usize::try_from(numbers).unwrap_or(usize::MAX).saturating_add(1));
        while parts.len() < count && self.at < self.bytes.len() {
            let len = self.varint()?;
            let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
            let Some(end) = end.filter(|end| *end <= self.bytes.len()) else {
                return Err(FrameError::Garbage("a message of its run ends beyond its end"));
            };
            parts.push(self.at..end);
            self.at = end;
        }
        let number =
            self.step.checked_mul(parts.len() as u64).and_then(|more| more.checked_add(first.number()));
        self.next = number.map(|number| Stamp::new(first.generation(), number));
        Ok(())
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, FrameError> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, FrameError> {
        let mut value = 0;
        for (shift, byte) in (0..).step_by(7).zip(&self.bytes[self.at..]) {
            let bits = u64::from(byte & 0x7f);
            // A value has one form: nothing is cut off, and no byte more than it needs.
            if shift == 63 && bits > 1 || shift > 0 && *byte == 0 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                self.at += shift / 7 + 1;
                return Ok(value);
            }
        }
        Err(FrameError::Garbage("a number of its run is malformed"))
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
