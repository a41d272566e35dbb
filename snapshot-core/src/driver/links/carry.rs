//! A connection that is a stream and a sink: the two tasks, written once.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use futures::future::{Either, select};
use futures::{Sink, SinkExt, Stream, stream};
use serde::{Deserialize, Serialize};

use super::{Arrivals, ConnectError, Departures, Links};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::NodeId;
use crate::vocabulary::life::Life;

/// What crosses a connection of [`Links::carry`].
///
/// It has serde's traits, for applications that have no wire format of their own.
///
/// ```
/// use snapshot_core::{Body, Frame, Generation, MessageCodec, Packet, Postcard, Stamp};
/// let frame = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message("hello".to_owned()) };
/// let mut bytes = Vec::new();
/// Postcard.encode(&Packet::Frame(frame.clone()), &mut bytes)?;
/// let packet: Packet<String> = Postcard.decode(bytes.into())?;
/// assert_eq!(packet, Packet::Frame(frame));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Packet<M> {
    /// A frame.
    Frame(Frame<M>),
    /// Nothing follows, and that is no loss.
    Goodbye,
}

impl<M> Links<M> {
    /// Serves a connection from the moment it stands until it is over: passes on what the stream brings, and gives the sink
    /// what is to go out, flushed whenever nothing more waits. When the transport is closed, the last packet is a
    /// [`Goodbye`](Packet::Goodbye); one that arrives is told as such.
    ///
    /// The end of the stream without one, an error of either, and a newer connection end it as a loss. Then both are dropped,
    /// which must close the connection. An error that a new connection would only meet again, such as a message that is too
    /// large for the sink, is to be told with [`fail`](Self::fail) as well: otherwise the connection is made and lost for ever.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use futures::channel::mpsc;
    /// use snapshot_core::{Event, Graph, LinkTransport, NodeId, SnapshotNode};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let graph = Graph::mesh([NodeId(1), NodeId(2)]);
    /// let (one, links_of_one) = LinkTransport::<String>::new(graph.at(NodeId(1))?);
    /// let (two, links_of_two) = LinkTransport::<String>::new(graph.at(NodeId(2))?);
    ///
    /// // Two bounded channels serve as the connection.
    /// let ((to_two, from_one), (to_one, from_two)) = (mpsc::channel(8), mpsc::channel(8));
    /// tokio::spawn(async move { links_of_one.carry(NodeId(2), from_two.map(Ok::<_, String>), to_two).await });
    /// tokio::spawn(async move { links_of_two.carry(NodeId(1), from_one.map(Ok::<_, String>), to_one).await });
    ///
    /// let (mut here, mut there) = ((), ());
    /// let mut one = SnapshotNode::builder(one).start(&mut here).await?;
    /// let mut two = SnapshotNode::builder(two).start(&mut there).await?;
    /// one.send(NodeId(2), "hello".to_owned())?;
    /// // Each says how much it takes, and sends what it has.
    /// tokio::try_join!(two.flush(&mut there), one.flush(&mut here))?;
    /// let Event::Message { message, .. } = two.next(&mut there).await? else { panic!("a message") };
    /// assert_eq!(message, "hello");
    ///
    /// one.close(std::time::Duration::from_secs(10)).await?;
    /// assert!(matches!(two.next(&mut there).await?, Event::PeerLeft { .. }));
    /// // The task above has ended, and with it the last `Links` of `two`: no other connection can come.
    /// assert!(matches!(two.next(&mut there).await?, Event::Closed));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If this is no neighbour, or if the transport has ended: nothing was read or written then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is the loss of the connection.
    pub async fn carry<R, W, E>(
        &self,
        peer: impl Into<NodeId>,
        incoming: R,
        outgoing: W,
    ) -> Result<(), ConnectError>
    where
        R: Stream<Item = Result<Packet<M>, E>>,
        E: Display,
        W: Sink<Packet<M>, Error: Display>,
    {
        Self::carry_on(self.connect(peer)?, incoming, outgoing).await;
        Ok(())
    }

    /// Likewise, with the [`Life`] that the neighbour has told in the handshake, as with [`connect_as`](Self::connect_as).
    ///
    /// # Errors
    ///
    /// If there is no connection, as of [`connect_as`](Self::connect_as).
    ///
    /// # Cancel safety
    ///
    /// As of [`carry`](Self::carry).
    pub async fn carry_as<E: Display>(
        &self,
        peer: impl Into<NodeId>,
        life: Life,
        incoming: impl Stream<Item = Result<Packet<M>, E>>,
        outgoing: impl Sink<Packet<M>, Error: Display>,
    ) -> Result<(), ConnectError> {
        Self::carry_on(self.connect_as(peer, life)?, incoming, outgoing).await;
        Ok(())
    }

    async fn carry_on<E: Display>(
        (arrivals, departures): (Arrivals<M>, Departures<M>),
        incoming: impl Stream<Item = Result<Packet<M>, E>>,
        outgoing: impl Sink<Packet<M>, Error: Display>,
    ) {
        let (reading, writing) = (pin!(read(arrivals, incoming)), pin!(write(departures, outgoing)));
        if let Either::Right(((), reading)) = select(reading, writing).await {
            // All is written. What still comes is read, to the neighbour's end.
            reading.await;
        }
    }
}

/// So many frames that have come are passed on together, at most.
const BATCH: usize = 128;

async fn read<M, E: Display>(mut arrivals: Arrivals<M>, incoming: impl Stream<Item = Result<Packet<M>, E>>) {
    let (mut incoming, mut turn) = (pin!(incoming), Turn::default());
    let mut frames = Frames::new();
    loop {
        // What is there is passed on together.
        let end = {
            let mut over = pin!(arrivals.over());
            poll_fn(|cx| {
                while frames.len() < BATCH {
                    let next = turn.poll(cx).is_ready().then(|| incoming.as_mut().poll_next(cx));
                    match next {
                        Some(Poll::Ready(Some(Ok(Packet::Frame(frame))))) => frames.push_back(frame),
                        Some(Poll::Ready(end)) => return Poll::Ready(Some(end)),
                        // It has waked this task already.
                        None => return Poll::Pending,
                        Some(Poll::Pending) if !frames.is_empty() => break,
                        Some(Poll::Pending) => return over.as_mut().poll(cx).map(|_| Some(None)),
                    }
                }
                Poll::Ready(None)
            })
            .await
        };
        if !frames.is_empty() && arrivals.push_batch(&mut frames).await.is_err() {
            return;
        }
        match end {
            None => {}
            Some(Some(Ok(Packet::Goodbye))) => return arrivals.leave(),
            Some(Some(Err(error))) => return arrivals.lost(error.to_string()),
            Some(Some(Ok(Packet::Frame(_)))) => unreachable!("it is among the others"),
            // Where it is over already, that is no news.
            Some(None) => return arrivals.lost("the neighbour has closed it without a goodbye"),
        }
    }
}

async fn write<M>(departures: Departures<M>, outgoing: impl Sink<Packet<M>, Error: Display>) {
    let (mut outgoing, mut turn) = (pin!(outgoing), Turn::default());
    let mut frames = Frames::new();
    let mut packets = stream::poll_fn(|cx| {
        ready!(turn.poll(cx));
        if frames.is_empty()
            && let Some(batch) = ready!(departures.poll_batch(cx))
        {
            frames = batch;
        }
        Poll::Ready(frames.pop_front().map(|frame| Ok(Packet::Frame(frame))))
    });
    let mut written = outgoing.send_all(&mut packets).await;
    if written.is_ok() && departures.is_closing() {
        written = outgoing.send(Packet::Goodbye).await;
    }
    if written.is_ok() {
        written = outgoing.close().await;
    }
    if let Err(error) = written {
        departures.lost(error.to_string());
    }
}

/// Reading and writing share one task: so many frames of the one, and the other has its turn (T5).
struct Turn {
    left: u32,
}

impl Turn {
    const FRAMES: u32 = 1024;

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Poll::Ready(())
            }
            None => {
                *self = Self::default();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self { left: Self::FRAMES }
    }
}
