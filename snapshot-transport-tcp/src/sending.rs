//! The sending half of a link: runs in the task that sends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use snapshot_core::{Frames, MessageCodec, TransportError};

use crate::error::LastSeen;
use crate::session::{Sending, Session};
use crate::stream::WriteHalf;
use crate::write_buffer::{EncodeError, WriteBuffer};

/// The sending half.
#[derive(Debug)]
pub(crate) struct WriteSide {
    socket: Option<WriteHalf>,
    number: u64,
    session: Arc<Session>,
    /// The longest frame that may be sent.
    limit: usize,
    buffer: WriteBuffer,
    wake: Arc<Sending>,
    /// Wakes whoever waits until the socket takes more.
    waker: Waker,
    closed: bool,
}

/// What a `send` waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// A connection, or until the socket takes more.
    Socket,
    /// That the other side says what has come.
    Acknowledgement,
}

/// What a `send` has come to.
pub(crate) type Sent = Result<Result<(), TransportError>, Wait>;

impl WriteSide {
    pub(crate) fn new(wake: Arc<Sending>) -> Self {
        let waker = Waker::from(Arc::clone(&wake));
        let (session, buffer) = (Arc::default(), WriteBuffer::default());
        Self { socket: None, number: 0, session, limit: 0, buffer, wake, waker, closed: false }
    }

    /// The first connection of a session. Whoever waits is to be woken.
    pub(crate) fn connect(&mut self, socket: WriteHalf, number: u64, limit: usize, session: Arc<Session>) {
        if self.closed {
            return;
        }
        self.buffer.begin(session.may_be_resumed());
        (self.socket, self.number, self.limit, self.session) = (Some(socket), number, limit, session);
    }

    pub(crate) fn can_resume(&self, count: u64) -> bool {
        !self.closed && self.buffer.can_resume(count)
    }

    /// Another connection of the same session, on which the other side wants to go on behind so many bytes.
    pub(crate) fn resume(&mut self, socket: WriteHalf, number: u64, count: u64) {
        (self.socket, self.number) = (Some(socket), number);
        self.session.acknowledge(count);
        self.buffer.resume(count);
    }

    /// A connection is of no more use. Whoever waits is to be woken: there may be nothing left to wait for.
    pub(crate) fn disconnect(&mut self, number: u64) {
        if self.number == number {
            self.socket = None;
            if !self.session.may_be_resumed() {
                self.buffer.forget_begun();
            }
        }
    }

    /// A session is over for good.
    pub(crate) fn end(&mut self, session: &Arc<Session>) {
        if Arc::ptr_eq(&self.session, session) {
            self.socket = None;
            self.session = Arc::default();
            self.buffer.begin(false);
        }
    }

    pub(crate) fn close(&mut self) -> Option<(WriteHalf, WriteBuffer)> {
        self.closed = true;
        let buffer = std::mem::take(&mut self.buffer);
        self.socket.take().map(|socket| (socket, buffer))
    }

    /// Done when all frames are handed to the system. Takes a frame from `frames` when it encodes it, and encodes only while a
    /// connection stands, and no more than may be kept. `broken` is told the number of each connection that cannot be written to any
    /// more.
    pub(crate) fn poll<M: 'static>(
        &mut self,
        cx: &Context<'_>,
        frames: &mut Frames<M>,
        codec: &dyn MessageCodec<M>,
        broken: impl Fn(u64, LastSeen),
    ) -> Sent {
        let mut registered = false;
        loop {
            if self.closed {
                let error =
                    TransportError::closed("the transport was closed on this side: nothing can be sent");
                return Ok(Err(error));
            }
            self.tell();
            let wait = match &mut self.socket {
                None if frames.is_empty() && self.buffer.is_empty() => return Ok(Ok(())),
                None => Wait::Socket,
                Some(socket) => {
                    if let Err(error) = self.buffer.fill(frames, codec, self.limit) {
                        return Ok(Err(not_encoded(error, self.limit)));
                    }
                    match self.buffer.poll_write(&mut Context::from_waker(&self.waker), socket) {
                        Poll::Ready(Ok(())) if frames.is_empty() => return Ok(Ok(())),
                        Poll::Ready(Ok(())) if self.buffer.is_full() => Wait::Acknowledgement,
                        Poll::Ready(Ok(())) => continue,
                        Poll::Ready(Err(error)) => {
                            let number = self.number;
                            self.disconnect(number);
                            broken(number, LastSeen::Lost { why: format!("writing failed ({error})") });
                            continue;
                        }
                        Poll::Pending => Wait::Socket,
                    }
                }
            };
            if registered {
                return Err(wait);
            }
            // And once more, for what has come meanwhile wakes nobody.
            self.wake.sender.register(cx.waker());
            registered = true;
        }
    }

    /// Writes what no `send` is there for: acknowledgements, and what a new connection has to repeat. An error is the end of this
    /// connection, whose number it comes with.
    pub(crate) fn tend(&mut self) -> Result<(), (u64, LastSeen)> {
        self.tell();
        let Some(socket) = &mut self.socket else { return Ok(()) };
        if !self.buffer.is_empty() {
            // A `send` may wait until just this is written, and the socket will wake nobody for it.
            self.wake.sender.wake();
        }
        for again in [true, false] {
            match self.buffer.poll_write(&mut Context::from_waker(&self.waker), socket) {
                Poll::Ready(Ok(())) => {
                    self.wake.tending.store(false, Ordering::Release);
                    break;
                }
                Poll::Ready(Err(error)) => {
                    let number = self.number;
                    self.disconnect(number);
                    return Err((number, LastSeen::Lost { why: format!("writing failed ({error})") }));
                }
                // And once more, for what has come meanwhile wakes nobody.
                Poll::Pending if again => self.wake.tending.store(true, Ordering::Release),
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    /// Takes note of what the other side has, and has it told what has come here, if it is time.
    fn tell(&mut self) {
        if self.session.may_be_resumed() {
            self.buffer.acknowledged(self.session.acknowledged());
            if self.socket.is_some()
                && let Some(received) = self.session.to_be_told()
            {
                self.buffer.push_ack(received);
            }
        }
    }
}

fn not_encoded(error: EncodeError, limit: usize) -> TransportError {
    match error {
        EncodeError::TooLarge { size } => TransportError::frame_too_large(format!(
            "a frame of {size} bytes is over the limit of {limit} bytes, the smaller of both nodes' `max_frame`: \
             raise it on both, or send smaller messages"
        )),
        EncodeError::Codec(error) => TransportError::other(
            "a message could not be encoded: correct its `MessageCodec`, or do not send such messages",
        )
        .with_source(error),
    }
}
