//! The two halves of a connection: what the task that reads holds, and what the task that writes holds.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;

use super::Disconnected;
use super::link::End;
use super::shared::Shared;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::frames::Frames;

/// One connection, as its task that reads sees it: takes the frames that have come in.
///
/// Dropping it says that the connection is lost, unless it was over before.
///
/// ```
/// use snapshot_core::{Arrivals, Disconnected, Frame};
/// # use futures::{Stream, StreamExt};
///
/// /// What crosses the application's connections.
/// enum Packet { Frame(Frame<String>), Goodbye }
///
/// async fn read(mut packets: impl Stream<Item = Packet> + Unpin, mut arrivals: Arrivals<String>) -> Result<(), Disconnected> {
///     while let Some(packet) = packets.next().await {
///         match packet {
///             Packet::Frame(frame) => arrivals.push(frame).await?,
///             Packet::Goodbye => { arrivals.leave(); return Ok(()); }
///         }
///     }
///     arrivals.lost("the other side has closed it without a goodbye");
///     Ok(())
/// }
/// ```
pub struct Arrivals<M> {
    half: Half<M>,
}

/// One connection, as its task that writes sees it: gives the frames that are to go out.
///
/// It is also a [`Stream`] of them, for those who write in batches (`ready_chunks`, `send_all` into a sink).
///
/// Dropping it says that the connection is lost, unless it was over before.
///
/// ```
/// use snapshot_core::{Departures, Frame};
/// # use futures::{Sink, SinkExt};
///
/// /// What crosses the application's connections.
/// enum Packet { Frame(Frame<String>), Goodbye }
///
/// async fn write<S: Sink<Packet> + Unpin>(mut departures: Departures<String>, mut packets: S) -> Result<(), S::Error> {
///     while let Some(frame) = departures.next().await {
///         packets.send(Packet::Frame(frame)).await?;
///     }
///     if departures.is_closing() {
///         packets.send(Packet::Goodbye).await?;
///     }
///     packets.close().await
/// }
/// ```
pub struct Departures<M> {
    half: Half<M>,
}

/// Waits until there is room for the next frame. See [`Arrivals::push`].
#[must_use = "the frame is taken, but the reader must wait for room: `push(frame).await?`"]
pub struct Push<'a, M> {
    arrivals: &'a Arrivals<M>,
    pushed: Result<bool, Disconnected>,
}

/// The most frames that are given at once.
const BATCH: usize = 128;

struct Half<M> {
    shared: Arc<Shared<M>>,
    index: usize,
    connection: u64,
}

pub(super) fn pair<M>(
    shared: &Arc<Shared<M>>,
    index: usize,
    connection: u64,
) -> (Arrivals<M>, Departures<M>) {
    let half = || Half { shared: Arc::clone(shared), index, connection };
    (Arrivals { half: half() }, Departures { half: half() })
}

impl<M> Arrivals<M> {
    /// A frame has come in. It is taken at once; the future waits until there is room for another.
    ///
    /// A reader that does not wait is stopped when twice the transport's capacity waits to be received.
    ///
    /// When the transport was closed or dropped, frames are taken and thrown away: read on to the neighbour's end. (Over TCP,
    /// a side that closes with something unread resets the connection, and its last frames and goodbye may be lost.)
    ///
    /// # Errors
    ///
    /// If the connection is over. The frame may be lost then, which the node is told.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the frame is taken by the call, not by the future.
    pub fn push(&mut self, frame: Frame<M>) -> Push<'_, M> {
        let Half { shared, index, connection } = &self.half;
        let pushed = shared.push(*index, *connection, frame).map_err(|(why, _)| why);
        Push { arrivals: self, pushed }
    }

    /// Frames have come in: waits until all of them are taken, as there is room. That is cheaper than one by one.
    ///
    /// When the transport was closed or dropped, they are thrown away, as by [`push`](Self::push).
    ///
    /// # Errors
    ///
    /// If the connection is over. The frames may be lost then, which the node is told.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: those that were not taken are still in `frames`.
    pub async fn push_batch(&mut self, frames: &mut Frames<M>) -> Result<(), Disconnected> {
        let Half { shared, index, connection } = &self.half;
        poll_fn(|cx| shared.poll_push(cx, *index, *connection, frames)).await?;
        frames.clear();
        Ok(())
    }

    /// Waits until the connection is over by something else than this half: a reader that has nothing to read need not stay.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn over(&mut self) -> Disconnected {
        let Half { shared, index, connection } = &self.half;
        poll_fn(|cx| shared.poll_over(cx, *index, *connection)).await
    }

    /// The neighbour has said goodbye: the connection is over, and it is no loss.
    pub fn leave(self) {
        self.half.end(End::Left);
    }

    /// The connection is lost. What is known of it is for people: [`Event::PeerLost`](crate::Event::PeerLost) shows it.
    pub fn lost(self, why: impl Into<String>) {
        self.half.end(End::Lost(why.into()));
    }
}

impl<M> Departures<M> {
    /// Waits for the next frame that is to go out; `None` when there will be none on this connection: it is over, or the
    /// transport has ended and all frames were given.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: a frame that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Frame<M>> {
        poll_fn(|cx| self.poll_take(cx)).await
    }

    /// Waits for frames that are to go out, and gives those that are there, at most 128; `None` as from [`next`](Self::next). That is
    /// cheaper than one by one. All of them count as sent on this connection, be they written or not.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: frames that were not returned are returned by the next call.
    pub async fn next_batch(&mut self) -> Option<Frames<M>> {
        poll_fn(|cx| self.poll_batch(cx)).await
    }

    /// Whether the transport was closed: after the last frame a goodbye is due, by which the neighbour tells this end from a
    /// loss ([`Arrivals::leave`]).
    pub fn is_closing(&self) -> bool {
        self.half.shared.is_closing()
    }

    /// The connection is lost. What is known of it is for people: [`Event::PeerLost`](crate::Event::PeerLost) shows it.
    pub fn lost(self, why: impl Into<String>) {
        self.end(why.into());
    }

    fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Frame<M>>> {
        let Half { shared, index, connection } = &self.half;
        shared.poll_take(cx, *index, *connection, Frames::pop_front)
    }

    pub(super) fn poll_batch(&self, cx: &Context<'_>) -> Poll<Option<Frames<M>>> {
        let Half { shared, index, connection } = &self.half;
        shared.poll_take(cx, *index, *connection, |departing| {
            let mut batch = Frames::new();
            departing.move_front(BATCH, &mut batch);
            (!batch.is_empty()).then_some(batch)
        })
    }

    fn end(&self, why: String) {
        let Half { shared, index, connection } = &self.half;
        shared.end_by_writer(*index, *connection, End::Lost(why));
    }
}

impl<M> Stream for Departures<M> {
    type Item = Frame<M>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame<M>>> {
        self.poll_take(cx)
    }
}

impl<M> Future for Push<'_, M> {
    type Output = Result<(), Disconnected>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.pushed {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                let Half { shared, index, connection } = &self.arrivals.half;
                shared.poll_room(cx, *index, *connection)
            }
            Err(why) => Poll::Ready(Err(why)),
        }
    }
}

impl<M> Drop for Arrivals<M> {
    fn drop(&mut self) {
        self.half.end(End::Lost("its reader has ended without a goodbye".to_owned()));
    }
}

impl<M> Drop for Departures<M> {
    fn drop(&mut self) {
        self.end("its writer has ended".to_owned());
    }
}

impl<M> Half<M> {
    fn end(&self, end: End) {
        self.shared.end(self.index, self.connection, end);
    }
}

impl<M> Drop for Half<M> {
    fn drop(&mut self) {
        self.shared.release(self.index, self.connection);
    }
}

impl<M> fmt::Debug for Arrivals<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals").field("connection", &self.half).finish()
    }
}

impl<M> fmt::Debug for Departures<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Departures").field("connection", &self.half).finish()
    }
}

impl<M> fmt::Debug for Push<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("pushed", &self.pushed).finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for Half<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.shared.topology.peers().nth(self.index);
        write!(f, "{}#{}", peer.map_or_else(String::new, |peer| peer.to_string()), self.connection)
    }
}
