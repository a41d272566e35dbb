//! The receiving half of a link: runs in the task that receives.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use snapshot_core::{Generation, Inbox, MessageCodec, Peer, TransportError};
use tokio::io::AsyncReadExt;

use crate::codec::{Decoded, FrameError, FrameReader};
use crate::error::LastSeen;
use crate::stream::ReadHalf;

/// How often a link may read in one `recv` while a large frame is still incomplete.
const READS: usize = 16;

/// The receiving half.
#[derive(Debug, Default)]
pub(crate) struct ReadSide {
    current: Option<Reading>,
    /// A newer connection: its turn comes when the current one has given what had arrived.
    next: Option<Reading>,
    /// Whether a connection came and went while it waited for its turn.
    skipped: bool,
    /// What `recv` has yet to be told. Bounded: more is added only when it is empty.
    news: VecDeque<News>,
    closed: bool,
}

#[derive(Debug)]
struct Reading {
    socket: ReadHalf,
    number: u64,
    frames: FrameReader,
    goodbye: bool,
}

#[derive(Debug)]
enum News {
    Up,
    Lost(String),
    Left,
}

/// What one step of a connection brought.
enum Step<M> {
    Frame(snapshot_core::Frame<M>),
    Run,
    Bytes,
    Nothing,
    End(News),
    /// A whole message that the codec refuses.
    Refused(std::io::Error),
}

impl ReadSide {
    pub(crate) fn connect(&mut self, socket: ReadHalf, number: u64, limit: usize) {
        if self.closed {
            return;
        }
        let reading = Reading { socket, number, frames: FrameReader::new(limit), goodbye: false };
        self.skipped |= self.next.replace(reading).is_some();
        if self.current.is_none() && self.news.is_empty() {
            self.turn_over();
        }
    }

    /// The number of the connection that is being read, and the generation of its last frame.
    pub(crate) fn heard(&self) -> Option<(u64, Generation)> {
        let reading = self.current.as_ref()?;
        Some((reading.number, reading.frames.heard()?))
    }

    pub(crate) fn close(&mut self) -> Option<ReadHalf> {
        self.closed = true;
        self.news.clear();
        let current = self.current.take();
        self.next.take().or(current).map(|reading| reading.socket)
    }

    /// Pushes what has arrived, at most `budget` frames, which it counts down, and no more than the inbox has room for.
    /// `ended` is told the number of each connection that is over.
    ///
    /// Pending: there is nothing more, and the task is woken when there is. Ready: there may be more. An error: the neighbour sent a
    /// message that cannot be decoded.
    pub(crate) fn poll<M: 'static>(
        &mut self,
        cx: &mut Context<'_>,
        peer: Peer,
        codec: &dyn MessageCodec<M>,
        into: &mut Inbox<M>,
        budget: &mut usize,
        ended: impl Fn(u64, LastSeen),
    ) -> Poll<Result<(), TransportError>> {
        let before = into.len();
        let mut reads = 0;
        loop {
            if into.room() == 0 || *budget == 0 {
                return Poll::Ready(Ok(()));
            }
            if let Some(news) = self.news.pop_front() {
                news.tell(peer, into);
                continue;
            }
            let replaced = self.next.is_some();
            let Some(reading) = &mut self.current else {
                if self.turn_over() {
                    continue;
                }
                return Poll::Pending;
            };
            let room = into.room().min(*budget);
            match reading.frames.take_run(codec, room, peer, into) {
                Ok(0) => {}
                Ok(taken) => {
                    *budget -= taken;
                    continue;
                }
                Err(FrameError::Message(error)) => {
                    return Poll::Ready(Err(TransportError::undecodable(peer.id(), codec, error)));
                }
                Err(error) => {
                    let end = News::Lost(error.to_string());
                    self.end(peer, end, &ended);
                    continue;
                }
            }
            // What is here is handed on before more is asked for; a frame that needs many reads lets others go first.
            let may_read = into.len() == before && reads < READS;
            match reading.step(cx, codec, may_read, replaced) {
                Step::Frame(frame) => {
                    into.push(peer, frame);
                    *budget -= 1;
                }
                Step::Run => {}
                Step::Bytes => reads += 1,
                Step::Nothing if may_read => return Poll::Pending,
                Step::Nothing => return Poll::Ready(Ok(())),
                Step::Refused(error) => {
                    return Poll::Ready(Err(TransportError::undecodable(peer.id(), codec, error)));
                }
                Step::End(end) => self.end(peer, end, &ended),
            }
        }
    }

    /// The current connection is over.
    fn end(&mut self, peer: Peer, end: News, ended: &impl Fn(u64, LastSeen)) {
        tracing::info!(%peer, ?end, "a connection has ended");
        if let Some(reading) = self.current.take() {
            ended(reading.number, end.last_seen());
        }
        self.news.push_back(end);
    }

    /// Lets the newer connection be the current one.
    fn turn_over(&mut self) -> bool {
        let Some(next) = self.next.take() else { return false };
        if std::mem::take(&mut self.skipped) {
            // Its frames were never read, and that has to be told as a loss (T2).
            self.news.push_back(News::Up);
            self.news.push_back(News::Lost("a newer connection took its place at once".to_owned()));
        }
        self.news.push_back(News::Up);
        self.current = Some(next);
        true
    }
}

impl Reading {
    fn step<M: 'static>(
        &mut self,
        cx: &mut Context<'_>,
        codec: &dyn MessageCodec<M>,
        may_read: bool,
        replaced: bool,
    ) -> Step<M> {
        match self.frames.next(codec) {
            Ok(Some(_)) if self.goodbye => {
                return Step::End(News::Lost("it sent a frame after its goodbye".to_owned()));
            }
            Ok(Some(Decoded::Frame(frame))) => return Step::Frame(frame),
            Ok(Some(Decoded::Run)) => return Step::Run,
            Ok(Some(Decoded::Goodbye)) => {
                self.goodbye = true;
                return Step::Bytes;
            }
            Ok(None) if !may_read => return Step::Nothing,
            Ok(None) => {}
            Err(FrameError::Message(error)) => return Step::Refused(error),
            Err(error) => return Step::End(News::Lost(error.to_string())),
        }
        let mut space = self.frames.space();
        let read = match pin!(self.socket.read_buf(&mut space)).poll(cx) {
            Poll::Ready(read) => read,
            // Before the connection is given up: `Pending` may also mean that the task has used up its share of time.
            Poll::Pending if replaced => match self.socket.try_read_buf(&mut self.frames.space()) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Step::End(News::Lost("a newer connection took its place".to_owned()));
                }
                read => read,
            },
            Poll::Pending => return Step::Nothing,
        };
        match read {
            Ok(0) => Step::End(self.end_of_stream()),
            Ok(_) => Step::Bytes,
            Err(_) if self.goodbye && self.frames.cut_short().is_none() => Step::End(News::Left),
            Err(error) => Step::End(News::Lost(format!("reading failed ({error})"))),
        }
    }

    fn end_of_stream(&self) -> News {
        match self.frames.cut_short() {
            Some((have, Some(need))) => News::Lost(format!(
                "it closed the connection in the middle of a frame ({have} of {need} bytes had come)"
            )),
            Some((have, None)) => News::Lost(format!(
                "it closed the connection in the middle of a frame ({have} bytes had come)"
            )),
            None if self.goodbye => News::Left,
            None => News::Lost("it closed the connection without a goodbye".to_owned()),
        }
    }
}

impl News {
    fn tell<M>(self, peer: Peer, into: &mut Inbox<M>) {
        match self {
            Self::Up => into.up(peer),
            Self::Lost(why) => into.lost(peer, why),
            Self::Left => into.left(peer),
        }
    }

    fn last_seen(&self) -> LastSeen {
        match self {
            Self::Up => LastSeen::Connected,
            Self::Lost(why) => LastSeen::Lost { why: why.clone() },
            Self::Left => LastSeen::Left,
        }
    }
}
