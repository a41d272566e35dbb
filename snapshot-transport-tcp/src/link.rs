//! One neighbour: its connection, which comes and goes, and what is known of it in between.
//!
//! A connection has two halves, each behind a lock of its own, so that sending and receiving do not wait for each other.
//! Locks are taken in the order `read`, `write`, `state`, and never held across an await.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use snapshot_core::{Frames, Inbox, Life, MessageCodec, Peer, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, watch};

use crate::error::LastSeen;
use crate::lock::lock;
use crate::receiving::ReadSide;
use crate::sending::WriteSide;
use crate::stream::{ReadHalf, Stream, WriteHalf};
use crate::write_buffer::WriteBuffer;

/// One neighbour.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: Peer,
    pub(crate) signal: Arc<Signal>,
    read: Mutex<ReadSide>,
    write: Mutex<WriteSide>,
    state: Mutex<State>,
    down: Notify,
    changes: Arc<watch::Sender<()>>,
}

/// Says to `recv` that this link has something for it, so that a `recv` looks only at links that do.
#[derive(Debug)]
pub(crate) struct Signal {
    ready: AtomicBool,
    recv: Arc<AtomicWaker>,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Stream,
    /// Later connections to this node have larger numbers.
    pub(crate) number: u64,
    /// Which process is at the other end.
    pub(crate) life: Life,
    /// The longest frame that this side takes.
    pub(crate) takes: usize,
    /// The longest frame that may be sent: within both sides' limits.
    pub(crate) gives: usize,
}

/// What is left of a connection when this side closes: the last frames, and a goodbye.
#[derive(Debug)]
pub(crate) struct Parting {
    read: Option<ReadHalf>,
    write: WriteHalf,
    buffer: WriteBuffer,
}

#[derive(Debug, Default)]
struct State {
    /// The connection that stands.
    live: Option<(u64, Life)>,
    /// The latest that ever stood.
    newest: u64,
    last: LastSeen,
    /// What was last noted since a connection stood, so that a refusal that goes on is logged once. Only of those who dial this
    /// node: the side that dials has its own memory, or both would take each other's failures for news.
    noted: Option<LastSeen>,
}

impl Link {
    pub(crate) fn new(peer: Peer, recv: Arc<AtomicWaker>, changes: Arc<watch::Sender<()>>) -> Self {
        Self {
            peer,
            signal: Arc::new(Signal { ready: AtomicBool::new(true), recv }),
            read: Mutex::default(),
            write: Mutex::default(),
            state: Mutex::default(),
            down: Notify::new(),
            changes,
        }
    }

    /// Takes a new connection in place of the present one. One task alone installs connections on a link.
    pub(crate) fn install(&self, connection: Connection) {
        let Connection { socket, number, life, takes, gives } = connection;
        {
            let mut state = lock(&self.state);
            if number < state.newest {
                tracing::debug!(peer = %self.peer, "a connection was overtaken by a newer one during its handshake");
                return;
            }
            // First of all, so that an end of this connection that is seen at once finds it here.
            *state =
                State { live: Some((number, life)), newest: number, last: LastSeen::Connected, noted: None };
        }
        let (read, write) = socket.into_split();
        let waiting = lock(&self.write).connect(write, number, gives);
        lock(&self.read).connect(read, number, takes);
        waiting.inspect(Waker::wake_by_ref);
        self.signal.set();
        self.changes.send_replace(());
    }

    /// Which process has the connection that stands, and in which generation it was last heard.
    pub(crate) fn standing(&self) -> Option<Life> {
        // One lock after the other, in their order.
        let heard = lock(&self.read).heard();
        let (number, life) = lock(&self.state).live?;
        let of_this = heard.filter(|(of, _)| *of == number);
        Some(of_this.map_or(life, |(_, generation)| life.speaking(generation)))
    }

    /// Pushes what has arrived, at most `budget` frames, which it counts down, and no more than the inbox has room for.
    ///
    /// Pending: there is nothing more, and the link's signal is set when there is. Ready: there may be more.
    pub(crate) fn poll_recv<M: 'static>(
        &self,
        codec: &dyn MessageCodec<M>,
        into: &mut Inbox<M>,
        budget: &mut usize,
    ) -> Poll<Result<(), TransportError>> {
        let waker = Waker::from(Arc::clone(&self.signal));
        let cx = &mut Context::from_waker(&waker);
        let ended = |number, last| self.over(number, last);
        lock(&self.read).poll(cx, self.peer, codec, into, budget, ended)
    }

    /// Ready when all frames are handed to the system. Takes a frame from `frames` when it encodes it, and encodes only
    /// while a connection stands.
    pub(crate) fn poll_send<M: 'static>(
        &self,
        cx: &mut Context<'_>,
        frames: &mut Frames<M>,
        codec: &dyn MessageCodec<M>,
    ) -> Poll<Result<(), TransportError>> {
        // The receiving half says `lost`, after what it can still read.
        let broken = |number, last| self.not_live(number, last);
        let sent = lock(&self.write).poll(cx, frames, codec, broken);
        sent.map_err(|error| error.with_peer(self.peer.id()))
    }

    /// A connection has ended.
    fn over(&self, number: u64, last: LastSeen) {
        let waiting = lock(&self.write).disconnect(number);
        waiting.inspect(Waker::wake_by_ref);
        self.not_live(number, last);
    }

    /// A connection is of no more use, whatever may still be read from it.
    fn not_live(&self, number: u64, last: LastSeen) {
        let mut state = lock(&self.state);
        if state.live.is_some_and(|(live, _)| live == number) {
            state.live = None;
            state.last = last;
            drop(state);
            self.down.notify_one();
            self.changes.send_replace(());
        }
    }

    /// Keeps what was seen of the neighbour that dials this node, and says whether it is news.
    pub(crate) fn note(&self, seen: LastSeen) -> bool {
        self.see(seen.clone());
        let before = lock(&self.state).noted.replace(seen.clone());
        before != Some(seen)
    }

    /// Keeps what was seen of the neighbour.
    pub(crate) fn see(&self, seen: LastSeen) {
        let mut state = lock(&self.state);
        if state.live.is_none() {
            state.last = seen;
        }
    }

    /// What was last seen of the neighbour.
    pub(crate) fn last_seen(&self) -> LastSeen {
        lock(&self.state).last.clone()
    }

    /// Waits until no connection stands.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(crate) async fn wait_until_down(&self) {
        while lock(&self.state).live.is_some() {
            self.down.notified().await;
        }
    }

    /// Ends this link for good, and gives what is needed for a goodbye.
    pub(crate) fn close(&self) -> Option<Parting> {
        let read = lock(&self.read).close();
        let (waiting, last) = lock(&self.write).close();
        lock(&self.state).live = None;
        waiting.inspect(Waker::wake_by_ref);
        last.map(|(write, buffer)| Parting { read, write, buffer })
    }
}

impl Parting {
    /// Writes what is left and the goodbye, and waits until the neighbour has closed its side too: to close before that
    /// may reset the connection and take the last frames with it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection, be it with half a frame.
    pub(crate) async fn say_goodbye(mut self) -> std::io::Result<()> {
        self.buffer.push_goodbye();
        std::future::poll_fn(|cx| self.buffer.poll_write(cx, &mut self.write)).await?;
        self.write.shutdown().await?;
        if let Some(mut read) = self.read {
            let mut scrap = vec![0; 16 * 1024];
            while read.read(&mut scrap).await? > 0 {}
        }
        Ok(())
    }
}

impl Signal {
    pub(crate) fn set(&self) {
        self.ready.store(true, Ordering::Release);
        self.recv.wake();
    }

    /// Without waking: for `recv` itself.
    pub(crate) fn keep(&self) {
        self.ready.store(true, Ordering::Release);
    }

    pub(crate) fn take(&self) -> bool {
        // Of most links there is nothing, and a look costs less than a swap. What is set meanwhile wakes `recv` once more.
        self.ready.load(Ordering::Relaxed) && self.ready.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}
