//! The sending half of a link: runs in the task that sends.

use std::task::{Context, Poll, Waker};

use snapshot_core::{Frames, MessageCodec, TransportError};

use crate::error::LastSeen;
use crate::stream::WriteHalf;
use crate::write_buffer::{EncodeError, WriteBuffer};

/// The sending half.
#[derive(Debug, Default)]
pub(crate) struct WriteSide {
    socket: Option<WriteHalf>,
    number: u64,
    /// The longest frame that may be sent.
    limit: usize,
    buffer: WriteBuffer,
    /// The task that sends, to be woken when the connection comes, goes or changes.
    waiting: Option<Waker>,
    closed: bool,
}

impl WriteSide {
    pub(crate) fn connect(&mut self, socket: WriteHalf, number: u64, limit: usize) -> Option<Waker> {
        if self.closed {
            return None;
        }
        self.buffer.forget_begun();
        self.socket = Some(socket);
        self.number = number;
        self.limit = limit;
        self.waiting.take()
    }

    pub(crate) fn disconnect(&mut self, number: u64) -> Option<Waker> {
        if self.number != number {
            return None;
        }
        self.socket = None;
        self.buffer.forget_begun();
        // A sender that waited for this socket may have nothing left to wait for.
        self.waiting.take()
    }

    pub(crate) fn close(&mut self) -> (Option<Waker>, Option<(WriteHalf, WriteBuffer)>) {
        self.closed = true;
        let buffer = std::mem::take(&mut self.buffer);
        (self.waiting.take(), self.socket.take().map(|socket| (socket, buffer)))
    }

    /// Ready when all frames are handed to the system. Takes a frame from `frames` when it encodes it, and encodes only
    /// while a connection stands. `broken` is told the number of each connection that cannot be written to any more.
    pub(crate) fn poll<M: 'static>(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Frames<M>,
        codec: &dyn MessageCodec<M>,
        broken: impl Fn(u64, LastSeen),
    ) -> Poll<Result<(), TransportError>> {
        loop {
            if self.closed {
                let error =
                    TransportError::closed("the transport was closed on this side: nothing can be sent");
                return Poll::Ready(Err(error));
            }
            let Some(socket) = &mut self.socket else {
                if frames.is_empty() && self.buffer.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                self.wait(cx);
                return Poll::Pending;
            };
            if let Err(error) = self.buffer.fill(frames, codec, self.limit) {
                return Poll::Ready(Err(not_encoded(error, self.limit)));
            }
            match self.buffer.poll_write(cx, socket) {
                Poll::Ready(Ok(())) if frames.is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    let number = self.number;
                    self.disconnect(number);
                    broken(number, LastSeen::Lost { why: format!("writing failed ({error})") });
                }
                Poll::Pending => {
                    self.wait(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waiting = Some(cx.waker().clone());
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
