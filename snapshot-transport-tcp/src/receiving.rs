//! The receiving half of a link: runs in the task that receives.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use snapshot_core::{Generation, Inbox, MessageCodec, Peer, TransportError};
use tokio::io::AsyncReadExt;

use crate::codec::{Decoded, FrameError, FrameReader, READ_BUFFER};
use crate::error::LastSeen;
use crate::session::Session;
use crate::stream::ReadHalf;

/// How often a link may read in one `recv` while a large frame is still incomplete.
const READS: usize = 16;

/// What else has to know of what is read.
pub(crate) trait Told {
    /// A connection is of no more use. Its session may be resumed.
    fn broken(&self, number: u64, last: LastSeen);

    /// A session is over for good.
    fn over(&self, number: u64, session: &Arc<Session>, last: LastSeen);

    /// The other side has said how much it has.
    fn acknowledged(&self);

    /// It is time to tell the other side how much has come.
    fn tell(&self);
}

/// The receiving half.
#[derive(Debug, Default)]
pub(crate) struct ReadSide {
    current: Option<Reading>,
    /// A newer session: its turn comes when the current one has given what had arrived.
    next: Option<Reading>,
    /// Whether a session came and went while it waited for its turn.
    skipped: bool,
    /// What `recv` has yet to be told. Bounded: more is added only when it is empty.
    news: VecDeque<News>,
    closed: bool,
}

#[derive(Debug)]
struct Reading {
    /// Nothing while the session has no connection.
    socket: Option<ReadHalf>,
    number: u64,
    session: Arc<Session>,
    frames: FrameReader,
    goodbye: bool,
    /// Why it has no connection.
    broken: Option<String>,
    /// Whether it is over, once all is handed out that has come.
    expired: bool,
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
    Acknowledged,
    Nothing,
    /// The connection is of no more use. Its session may be resumed.
    Broken(String),
    End(News),
    /// A whole message that the codec refuses.
    Refused(std::io::Error),
}

impl ReadSide {
    /// The first connection of a session.
    pub(crate) fn connect(&mut self, socket: ReadHalf, number: u64, limit: usize, session: Arc<Session>) {
        if self.closed {
            return;
        }
        let (frames, socket) = (FrameReader::new(limit), Some(socket));
        let reading =
            Reading { socket, number, session, frames, goodbye: false, broken: None, expired: false };
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
        self.next.take().or(current).and_then(|reading| reading.socket)
    }

    /// Ends the connection of a session, which the neighbour will resume: what has not come by now comes again. Says whether that is
    /// so.
    pub(crate) fn retire(&mut self, session: &Arc<Session>, why: &str) -> bool {
        let Some(reading) = self.of(session).filter(|reading| !reading.goodbye && !reading.expired) else {
            return false;
        };
        reading.socket = None;
        reading.broken.get_or_insert_with(|| why.to_owned());
        true
    }

    /// Another connection of the same session.
    pub(crate) fn resume(&mut self, session: &Arc<Session>, socket: ReadHalf, number: u64) {
        if let Some(reading) = self.of(session) {
            (reading.socket, reading.number, reading.broken) = (Some(socket), number, None);
        }
    }

    /// A session that has no connection is not waited for any more.
    pub(crate) fn expire(&mut self, session: &Arc<Session>) {
        if let Some(reading) = self.of(session) {
            reading.expired = true;
        }
    }

    /// Reads for a `send` that waits for an acknowledgement, as far as there is room. Says whether one has come. Else the waker of `cx`
    /// is woken when there is more to read.
    pub(crate) fn read_ahead(&mut self, cx: &mut Context<'_>, told: &impl Told) -> bool {
        let Some(reading) = self.next.as_mut().or(self.current.as_mut()) else { return false };
        let before = reading.session.acknowledged();
        while reading.frames.waiting() < READ_BUFFER
            && let Some(socket) = &mut reading.socket
        {
            // The end of a connection is seen again by `recv`.
            match pin!(socket.read_buf(&mut reading.frames.space())).poll(cx) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    if reading.session.has_come(count) {
                        told.tell();
                    }
                }
                _ => break,
            }
        }
        if let Some(count) = reading.frames.acknowledged() {
            reading.session.acknowledge(count);
        }
        reading.session.acknowledged() > before
    }

    fn of(&mut self, session: &Arc<Session>) -> Option<&mut Reading> {
        [&mut self.next, &mut self.current]
            .into_iter()
            .flatten()
            .find(|reading| Arc::ptr_eq(&reading.session, session))
    }

    /// Pushes what has arrived, at most `budget` frames, which it counts down, and no more than the inbox has room for.
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
        told: &impl Told,
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
                    self.end(peer, end, told);
                    continue;
                }
            }
            // What is here is handed on before more is asked for; a frame that needs many reads lets others go first.
            let may_read = into.len() == before && reads < READS;
            match reading.step(cx, codec, may_read, replaced, told) {
                Step::Frame(frame) => {
                    into.push(peer, frame);
                    *budget -= 1;
                }
                Step::Run => {}
                Step::Bytes => reads += 1,
                Step::Acknowledged => told.acknowledged(),
                Step::Nothing if may_read => return Poll::Pending,
                Step::Nothing => return Poll::Ready(Ok(())),
                Step::Refused(error) => {
                    return Poll::Ready(Err(TransportError::undecodable(peer.id(), codec, error)));
                }
                Step::Broken(why) => {
                    tracing::info!(%peer, why, "a connection is broken");
                    reading.socket = None;
                    reading.broken = Some(why.clone());
                    told.broken(reading.number, LastSeen::Lost { why });
                }
                Step::End(end) => self.end(peer, end, told),
            }
        }
    }

    /// The current session is over.
    fn end(&mut self, peer: Peer, end: News, told: &impl Told) {
        tracing::info!(%peer, ?end, "a connection has ended");
        if let Some(reading) = self.current.take() {
            told.over(reading.number, &reading.session, end.last_seen());
        }
        self.news.push_back(end);
    }

    /// Lets the newer session be the current one.
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
        told: &impl Told,
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
            Ok(Some(Decoded::Ack(count))) => {
                self.session.acknowledge(count);
                return Step::Acknowledged;
            }
            Ok(None) if !may_read => return Step::Nothing,
            Ok(None) => {}
            Err(FrameError::Message(error)) => return Step::Refused(error),
            Err(error) => return Step::End(News::Lost(error.to_string())),
        }
        let Some(socket) = &mut self.socket else {
            if self.expired || replaced || !self.session.may_be_resumed() {
                return Step::End(News::Lost(self.broken.take().unwrap_or_default()));
            }
            return Step::Nothing;
        };
        let mut space = self.frames.space();
        let read = match pin!(socket.read_buf(&mut space)).poll(cx) {
            Poll::Ready(read) => read,
            // Before the connection is given up: `Pending` may also mean that the task has used up its share of time.
            Poll::Pending if replaced => match socket.try_read_buf(&mut self.frames.space()) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Step::End(News::Lost("a newer connection took its place".to_owned()));
                }
                read => read,
            },
            Poll::Pending => return Step::Nothing,
        };
        let end = match read {
            Ok(0) => self.end_of_stream(),
            Ok(count) => {
                if self.session.has_come(count) {
                    told.tell();
                }
                return Step::Bytes;
            }
            Err(_) if self.goodbye && self.frames.cut_short().is_none() => News::Left,
            Err(error) => News::Lost(format!("reading failed ({error})")),
        };
        match end {
            News::Lost(why) if !self.goodbye => Step::Broken(why),
            end => Step::End(end),
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
