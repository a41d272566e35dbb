//! The sending half of a link: runs in the task that sends.

use std::task::{Context, Poll, Waker};

use snapshot_core::{Frames, MessageCodec, TransportError};
use tokio::net::tcp::OwnedWriteHalf;

use crate::error::LastSeen;
use crate::link::{Link, lock};
use crate::write_buffer::{EncodeError, WriteBuffer};

/// The sending half.
#[derive(Debug, Default)]
pub(crate) struct WriteSide {
    socket: Option<OwnedWriteHalf>,
    number: u64,
    /// The longest frame that may be sent.
    limit: usize,
    buffer: WriteBuffer,
    /// The task that sends, to be woken when the connection comes, goes or changes.
    waiting: Option<Waker>,
    closed: bool,
}

impl WriteSide {
    pub(crate) fn connect(&mut self, socket: OwnedWriteHalf, number: u64, limit: usize) -> Option<Waker> {
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

    pub(crate) fn close(&mut self) -> (Option<Waker>, Option<(OwnedWriteHalf, WriteBuffer)>) {
        self.closed = true;
        let buffer = std::mem::take(&mut self.buffer);
        (self.waiting.take(), self.socket.take().map(|socket| (socket, buffer)))
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waiting = Some(cx.waker().clone());
        }
    }
}

impl Link {
    /// Ready when all frames are handed to the system. Takes a frame from `frames` when it encodes it, and encodes only
    /// while a connection stands.
    pub(crate) fn poll_send<M: 'static>(
        &self,
        cx: &mut Context<'_>,
        frames: &mut Frames<M>,
        codec: &dyn MessageCodec<M>,
    ) -> Poll<Result<(), TransportError>> {
        let mut guard = lock(&self.write);
        loop {
            let side = &mut *guard;
            if side.closed {
                let error =
                    TransportError::closed("the transport was closed on this side: nothing can be sent");
                return Poll::Ready(Err(error.with_peer(self.peer.id())));
            }
            let Some(socket) = &mut side.socket else {
                if frames.is_empty() && side.buffer.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                side.wait(cx);
                return Poll::Pending;
            };
            while let Some(frame) = frames.front().filter(|_| side.buffer.has_room()) {
                if let Err(error) = side.buffer.push(frame, codec, side.limit) {
                    return Poll::Ready(Err(self.not_encoded(error, side.limit)));
                }
                frames.pop_front();
            }
            match side.buffer.poll_write(cx, socket) {
                Poll::Ready(Ok(())) if frames.is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    // The receiving half says `lost`, after what it can still read.
                    let number = side.number;
                    side.disconnect(number);
                    self.not_live(number, LastSeen::Lost { why: format!("writing failed ({error})") });
                }
                Poll::Pending => {
                    side.wait(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    fn not_encoded(&self, error: EncodeError, limit: usize) -> TransportError {
        let error = match error {
            EncodeError::TooLarge { size } => TransportError::frame_too_large(format!(
                "a frame of {size} bytes is over the limit of {limit} bytes, the smaller of both nodes' `max_frame`: \
                 raise it on both, or send smaller messages"
            )),
            EncodeError::Codec(error) => TransportError::other(
                "a message could not be encoded: correct its `MessageCodec`, or do not send such messages",
            )
            .with_source(error),
        };
        error.with_peer(self.peer.id())
    }
}
