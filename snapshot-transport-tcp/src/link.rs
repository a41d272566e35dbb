//! One neighbour: its connection, which comes and goes, and what is known of it in between.
//!
//! Connections that follow each other may be one session, of which nothing is lost and nothing told. A session ends with a goodbye, with
//! one that takes its place, or when it has had no connection for too long.
//!
//! A connection has two halves, each behind a lock of its own, so that sending and receiving do not wait for each other.
//! Locks are taken in the order `read`, `write`, `state`, and never held across an await.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use snapshot_core::{Frames, Inbox, Life, MessageCodec, Peer, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::error::LastSeen;
use crate::lock::lock;
use crate::receiving::{ReadSide, Told};
use crate::sending::{Wait, WriteSide};
use crate::session::{Sending, Session};
use crate::stream::{ReadHalf, Stream, WriteHalf};
use crate::write_buffer::WriteBuffer;

/// One neighbour.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: Peer,
    pub(crate) signal: Arc<Signal>,
    pub(crate) sending: Arc<Sending>,
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
    /// Whether a `send` waits for something to be read.
    awaited: AtomicBool,
    sending: Arc<Sending>,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Stream,
    /// Later connections to this node have larger numbers.
    pub(crate) number: u64,
    /// Which process is at the other end.
    pub(crate) life: Life,
    /// Its session, or 0.
    pub(crate) session: u64,
    /// Where that is resumed, how many bytes of it the other side has.
    pub(crate) resumed: Option<u64>,
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

#[derive(Debug)]
struct State {
    /// The connection that stands.
    live: Option<(u64, Life)>,
    /// The latest that ever stood, or was about to.
    newest: u64,
    /// The session of the latest, if it is not over.
    session: Option<Arc<Session>>,
    /// Since when no connection has stood.
    down: Instant,
    last: LastSeen,
    /// What was last noted since a connection stood, so that a refusal that goes on is logged once. Only of those who dial this
    /// node: the side that dials has its own memory, or both would take each other's failures for news.
    noted: Option<LastSeen>,
}

impl Link {
    pub(crate) fn new(peer: Peer, recv: Arc<AtomicWaker>, changes: Arc<watch::Sender<()>>) -> Self {
        let sending = Arc::<Sending>::default();
        let (ready, awaited) = (AtomicBool::new(true), AtomicBool::new(false));
        let signal = Signal { ready, recv, awaited, sending: Arc::clone(&sending) };
        let (live, newest, session, last, noted) = (None, 0, None, LastSeen::default(), None);
        let state = State { live, newest, session, down: Instant::now(), last, noted };
        Self {
            peer,
            signal: Arc::new(signal),
            read: Mutex::default(),
            write: Mutex::new(WriteSide::new(Arc::clone(&sending))),
            sending,
            state: Mutex::new(state),
            down: Notify::new(),
            changes,
        }
    }

    /// Takes a new connection in place of the present one, and says whether it has. One task alone installs connections on a link.
    pub(crate) fn install(&self, connection: Connection) -> bool {
        let Connection { socket, number, life, session, resumed, takes, gives } = connection;
        {
            let (mut read, mut write) = (lock(&self.read), lock(&self.write));
            let mut state = lock(&self.state);
            if number < state.newest {
                tracing::debug!(peer = %self.peer, "a connection was overtaken by a newer one during its handshake");
                return false;
            }
            let (read_half, write_half) = socket.into_split();
            let session = match resumed {
                None => {
                    let session = Arc::new(Session::new(session));
                    write.connect(write_half, number, gives, Arc::clone(&session));
                    read.connect(read_half, number, takes, Arc::clone(&session));
                    session
                }
                Some(count) => {
                    let session = state.session.clone().filter(|present| present.number() == session);
                    let Some(session) = session.filter(|_| write.can_resume(count)) else {
                        tracing::debug!(peer = %self.peer, "a connection came too late to be resumed");
                        return false;
                    };
                    write.resume(write_half, number, count);
                    read.resume(&session, read_half, number);
                    tracing::info!(peer = %self.peer, "the connection goes on where it was broken");
                    session
                }
            };
            state.live = Some((number, life));
            (state.newest, state.session) = (number, Some(session));
            (state.last, state.noted) = (LastSeen::Connected, None);
        }
        self.sending.sender.wake();
        self.sending.tender.notify_one();
        self.signal.set();
        self.changes.send_replace(());
        true
    }

    /// The number of the session that could be resumed, or 0.
    pub(crate) fn resumable(&self) -> u64 {
        lock(&self.state).session.as_ref().map_or(0, |session| session.number())
    }

    /// Ends the connection of a session that the neighbour resumes on the connection with this number. Gives how many bytes have come;
    /// nothing where it is not to be resumed.
    pub(crate) fn retire(&self, session: u64, number: u64) -> Option<u64> {
        const WHY: &str = "its neighbour has connected anew";
        let received = {
            let (mut read, mut write) = (lock(&self.read), lock(&self.write));
            let mut state = lock(&self.state);
            let present = state.session.clone().filter(|present| present.number() == session)?;
            if session == 0 || number < state.newest || !read.retire(&present, WHY) {
                return None;
            }
            state.newest = number;
            if let Some((live, _)) = state.live.take() {
                write.disconnect(live);
                state.down = Instant::now();
                state.last = LastSeen::Lost { why: WHY.to_owned() };
            }
            let received = present.received();
            present.told(received);
            received
        };
        self.sending.tender.notify_one();
        Some(received)
    }

    /// What there is to do beside `send` and `recv`: writes what no `send` is there for, and ends a session that has been without a
    /// connection for `limit`. Says when to come again, if it is not woken before.
    pub(crate) fn tend(&self, limit: Duration) -> Option<Instant> {
        let (written, waiting) = {
            let mut write = lock(&self.write);
            (write.tend(), lock(&self.state).waits())
        };
        if let Err((number, last)) = written {
            self.not_live(number, last);
            return Some(Instant::now());
        }
        let end = waiting?.checked_add(limit)?;
        if Instant::now() < end {
            return Some(end);
        }
        {
            let (mut read, mut write) = (lock(&self.read), lock(&self.write));
            let mut state = lock(&self.state);
            // Unless it has been resumed meanwhile, and broken again.
            if state.waits() != waiting {
                return Some(end);
            }
            let session = state.session.take()?;
            read.expire(&session);
            write.end(&session);
        }
        self.sending.sender.wake();
        self.signal.set();
        None
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
        lock(&self.read).poll(cx, self.peer, codec, into, budget, self)
    }

    /// Ready when all frames are handed to the system. Takes a frame from `frames` when it encodes it, and encodes only
    /// while a connection stands.
    pub(crate) fn poll_send<M: 'static>(
        &self,
        cx: &mut Context<'_>,
        frames: &mut Frames<M>,
        codec: &dyn MessageCodec<M>,
    ) -> Poll<Result<(), TransportError>> {
        loop {
            // The receiving half says `lost`, after what it can still read.
            let broken = |number, last| self.not_live(number, last);
            let sent = lock(&self.write).poll(cx, frames, codec, broken);
            match sent {
                Ok(sent) => return Poll::Ready(sent.map_err(|error| error.with_peer(self.peer.id()))),
                Err(Wait::Socket) => return Poll::Pending,
                Err(Wait::Acknowledgement) if self.read_ahead() => {}
                Err(Wait::Acknowledgement) => return Poll::Pending,
            }
        }
    }

    /// For a `send` that waits for an acknowledgement, so that it does not wait for somebody to call `recv`. Says whether one has come.
    fn read_ahead(&self) -> bool {
        self.signal.awaited.store(true, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.signal));
        let come = lock(&self.read).read_ahead(&mut Context::from_waker(&waker), self);
        // What was read has to be handed out, and `recv` to be woken when there is more.
        self.signal.set();
        come
    }

    /// A connection is of no more use, whatever may still be read from it.
    fn not_live(&self, number: u64, last: LastSeen) {
        let mut state = lock(&self.state);
        if state.live.is_some_and(|(live, _)| live == number) {
            state.live = None;
            state.down = Instant::now();
            state.last = last;
            drop(state);
            self.down.notify_one();
            self.sending.tender.notify_one();
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
        let last = lock(&self.write).close();
        {
            let mut state = lock(&self.state);
            (state.live, state.session) = (None, None);
        }
        self.sending.sender.wake();
        last.map(|(write, buffer)| Parting { read, write, buffer })
    }
}

impl Told for Link {
    fn broken(&self, number: u64, last: LastSeen) {
        lock(&self.write).disconnect(number);
        self.sending.sender.wake();
        self.not_live(number, last);
    }

    fn over(&self, number: u64, session: &Arc<Session>, last: LastSeen) {
        {
            let mut write = lock(&self.write);
            write.disconnect(number);
            write.end(session);
            let mut state = lock(&self.state);
            if state.session.as_ref().is_some_and(|present| Arc::ptr_eq(present, session)) {
                state.session = None;
            }
        }
        self.sending.sender.wake();
        self.not_live(number, last);
    }

    fn acknowledged(&self) {
        self.signal.awaited.store(false, Ordering::Release);
        self.sending.sender.wake();
    }

    fn tell(&self) {
        // Whoever holds the lock may have looked already.
        let told = self.write.try_lock().ok().map(|mut write| write.tend());
        match told {
            Some(Ok(())) => {}
            Some(Err((number, last))) => self.not_live(number, last),
            None => self.sending.tender.notify_one(),
        }
    }
}

impl State {
    /// Since when a session waits for a connection.
    fn waits(&self) -> Option<Instant> {
        let waits = self.live.is_none() && self.session.as_ref().is_some_and(|s| s.may_be_resumed());
        waits.then_some(self.down)
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

    fn arrived(&self) {
        self.set();
        if self.awaited.load(Ordering::Acquire) {
            self.sending.sender.wake();
        }
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
        self.arrived();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.arrived();
    }
}
