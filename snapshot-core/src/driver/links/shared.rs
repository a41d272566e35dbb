//! All links of one transport, each behind a lock of its own that is never held across an await, a wake-up or the drop of a
//! message.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::task::AtomicWaker;

use super::gate::Gate;
use super::link::{Aftermath, End, Ending, Link};
use super::{ConnectError, Disconnected};
use crate::contract::transport::TransportError;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::{Generation, Peer};
use crate::vocabulary::inbox::Inbox;
use crate::vocabulary::life::Life;
use crate::vocabulary::topology::Topology;

#[derive(Debug)]
pub(super) struct Shared<M> {
    pub(super) topology: Topology,
    slots: Box<[Slot<M>]>,
    /// Which process this is: another number in each.
    number: u64,
    /// The newest generation in which it has spoken; 0: none yet.
    spoken: AtomicU64,
    receiving: AtomicWaker,
    /// The link that the next `recv` serves first.
    first: AtomicUsize,
    /// Only the first one counts.
    ending: OnceLock<Ending>,
    failure: Mutex<Option<TransportError>>,
    /// Halves in use, of the newest connection to each neighbour.
    halves: AtomicUsize,
    /// All `Links` are dropped: nobody can connect any more.
    forsaken: AtomicBool,
    /// The end has reached every link: from here on `halves` only falls.
    finished: AtomicBool,
    /// Opens when the transport has ended.
    pub(super) ended: Gate,
    /// Opens when it has ended and no half is in use any more.
    pub(super) settled: Gate,
}

#[derive(Debug)]
pub(super) struct Slot<M> {
    peer: Peer,
    /// Whether there may be something to receive, so that a `recv` looks only at links that have something.
    ready: AtomicBool,
    link: Mutex<Link<M>>,
}

impl<M> Shared<M> {
    pub(super) fn new(topology: Topology, capacity: usize, outgoing: usize) -> Self {
        let link = || Mutex::new(Link::new(capacity, outgoing));
        let slot = |peer| Slot { peer, ready: AtomicBool::new(false), link: link() };
        Self {
            slots: topology.peers().map(slot).collect(),
            // The standard library seeds its hash maps from the operating system's random numbers.
            number: RandomState::new().hash_one(std::process::id()),
            spoken: AtomicU64::new(0),
            topology,
            receiving: AtomicWaker::new(),
            first: AtomicUsize::new(0),
            ending: OnceLock::new(),
            failure: Mutex::new(None),
            halves: AtomicUsize::new(0),
            forsaken: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            ended: Gate::new(),
            settled: Gate::new(),
        }
    }

    /// Which process this is.
    pub(super) fn life(&self) -> Life {
        Life::new(self.number).speaking(Generation(self.spoken.load(Ordering::Relaxed)))
    }

    /// The number of the new connection.
    pub(super) fn connect(&self, index: usize, life: Option<Life>) -> Result<u64, ConnectError> {
        let slot = &self.slots[index];
        let (connection, aftermath) = {
            let mut link = lock(&slot.link);
            let (connection, more, aftermath) = link.connect(slot.peer, life)?;
            // Under the lock: before `finish` comes to this link.
            self.halves.fetch_add(more, Ordering::SeqCst);
            (connection, aftermath)
        };
        aftermath.settle();
        self.arrived(slot);
        Ok(connection)
    }

    pub(super) fn end(&self, index: usize, connection: u64, end: End) {
        let slot = &self.slots[index];
        let ended = lock(&slot.link).end(connection, end, Disconnected::Lost);
        self.over(slot, ended);
    }

    pub(super) fn end_by_writer(&self, index: usize, connection: u64, end: End) {
        let slot = &self.slots[index];
        let ended = lock(&slot.link).end_by_writer(connection, end, Disconnected::Lost);
        self.over(slot, ended);
    }

    /// A task has dropped its half; [`end`](Self::end) came before.
    pub(super) fn release(&self, index: usize, connection: u64) {
        let mut link = lock(&self.slots[index].link);
        if link.release(connection) && self.halves.fetch_sub(1, Ordering::SeqCst) == 1 {
            drop(link);
            if self.finished.load(Ordering::SeqCst) {
                self.settled.open();
            }
            // Where nobody can connect any more, this was the last that `recv` waited for.
            self.receiving.wake();
        }
    }

    /// Whether there is room for another; what the reader must be told where not.
    pub(super) fn push(
        &self,
        index: usize,
        connection: u64,
        frame: Frame<M>,
    ) -> Result<bool, (Disconnected, Frame<M>)> {
        let slot = &self.slots[index];
        let pushed = lock(&slot.link).push(connection, frame);
        match &pushed {
            Ok(_) => self.arrived(slot),
            Err((Disconnected::Overrun, _)) => {
                self.end(index, connection, End::Lost("its reader does not wait for room".to_owned()));
            }
            Err(_) => {}
        }
        pushed
    }

    pub(super) fn poll_push(
        &self,
        cx: &Context<'_>,
        index: usize,
        connection: u64,
        frames: &mut Frames<M>,
    ) -> Poll<Result<(), Disconnected>> {
        let slot = &self.slots[index];
        let (pushed, some) = lock(&slot.link).poll_push(cx, connection, frames);
        if some {
            self.arrived(slot);
        }
        pushed
    }

    pub(super) fn poll_room(
        &self,
        cx: &Context<'_>,
        index: usize,
        connection: u64,
    ) -> Poll<Result<(), Disconnected>> {
        lock(&self.slots[index].link).poll_room(cx, connection)
    }

    pub(super) fn poll_over(&self, cx: &Context<'_>, index: usize, connection: u64) -> Poll<Disconnected> {
        lock(&self.slots[index].link).poll_over(cx, connection)
    }

    pub(super) fn poll_take<T>(
        &self,
        cx: &Context<'_>,
        index: usize,
        connection: u64,
        take: impl FnOnce(&mut Frames<M>) -> Option<T>,
    ) -> Poll<Option<T>> {
        let (taken, sender) = lock(&self.slots[index].link).poll_take(cx, connection, take);
        sender.into_iter().for_each(Waker::wake);
        taken
    }

    /// The link to a neighbour that this node can send to.
    pub(super) fn outgoing(&self, to: Peer) -> Result<&Slot<M>, TransportError> {
        let slot = self.slots.get(to.index()).filter(|slot| slot.peer == to);
        slot.filter(|_| self.topology.outgoing_use(to).is_some()).ok_or_else(|| {
            let me = self.topology.me();
            let text =
                format!("there is no channel from {me} to {to}: add it to the graph with `Graph::link`");
            TransportError::other(text).with_peer(to.id())
        })
    }

    pub(super) fn poll_send(
        &self,
        cx: &Context<'_>,
        slot: &Slot<M>,
        frames: &mut Frames<M>,
    ) -> Poll<Result<(), TransportError>> {
        if let Some(frame) = frames.front() {
            let generation = frame.stamp.generation().0;
            if self.spoken.load(Ordering::Relaxed) < generation {
                self.spoken.fetch_max(generation, Ordering::Relaxed);
            }
        }
        let (sent, writer) = lock(&slot.link).poll_send(cx, frames);
        writer.into_iter().for_each(Waker::wake);
        sent.map_err(|why| match why {
            Ending::Failed => self.failure(),
            Ending::Closed | Ending::Dropped => {
                let text = "the transport was closed on this side: nothing can be sent";
                TransportError::closed(text).with_peer(slot.peer.id())
            }
        })
    }

    pub(super) fn poll_recv(
        &self,
        cx: &Context<'_>,
        into: &mut Inbox<M>,
    ) -> Poll<Result<(), TransportError>> {
        if into.room() == 0 {
            let text = "`recv` was called with an inbox that is full: call it only while there is room";
            return Poll::Ready(Err(TransportError::other(text)));
        }
        // Before the first look, so that what comes after it wakes this task.
        self.receiving.register(cx.waker());
        match self.ending.get() {
            Some(Ending::Failed) => return Poll::Ready(Err(self.failure())),
            Some(_) => return Poll::Ready(Ok(())),
            None => {}
        }
        // Before the links as well: what its last half has left behind is then seen there.
        let over = self.forsaken.load(Ordering::SeqCst) && self.halves.load(Ordering::SeqCst) == 0;
        let before = into.len();
        let first = self.first.load(Ordering::Relaxed);
        for index in (first..self.slots.len()).chain(0..first) {
            let slot = &self.slots[index];
            if !slot.ready.load(Ordering::Relaxed) || !slot.ready.swap(false, Ordering::AcqRel) {
                continue;
            }
            let (more, reader) = lock(&slot.link).receive(slot.peer, into);
            reader.into_iter().for_each(Waker::wake);
            if more {
                slot.ready.store(true, Ordering::Release);
            }
            if into.room() == 0 {
                self.first.store((index + 1) % self.slots.len(), Ordering::Relaxed);
                break;
            }
        }
        match into.len() > before {
            true => Poll::Ready(Ok(())),
            false if over => Poll::Ready(self.check_connected()),
            false => Poll::Pending,
        }
    }

    pub(super) fn fail(&self, error: TransportError) {
        {
            let mut failure = lock(&self.failure);
            if self.ending.get().is_none() && failure.is_none() {
                *failure = Some(error);
            }
        }
        self.finish(Ending::Failed);
    }

    pub(super) fn finish(&self, ending: Ending) {
        if self.ending.set(ending).is_err() {
            return;
        }
        for slot in &self.slots {
            let aftermath = lock(&slot.link).finish(ending);
            aftermath.settle();
        }
        self.receiving.wake();
        self.ended.open();
        self.finished.store(true, Ordering::SeqCst);
        if self.halves.load(Ordering::SeqCst) == 0 {
            self.settled.open();
        }
    }

    /// Nobody can connect any more.
    pub(super) fn forsake(&self) {
        self.forsaken.store(true, Ordering::SeqCst);
        self.receiving.wake();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.ending.get() == Some(&Ending::Closed)
    }

    fn over(&self, slot: &Slot<M>, ended: Option<Aftermath<M>>) {
        if let Some(aftermath) = ended {
            aftermath.settle();
            self.arrived(slot);
        }
    }

    fn arrived(&self, slot: &Slot<M>) {
        // Where it was set already, `recv` has been woken, or has left something behind by itself. It is taken back before the link
        // is looked at, and what is told here was put there before: so it needs no more than a look.
        if !slot.ready.load(Ordering::Acquire) && !slot.ready.swap(true, Ordering::AcqRel) {
            self.receiving.wake();
        }
    }

    /// A transport that came to its end and never had a connection is a mistake, which would look like silence.
    fn check_connected(&self) -> Result<(), TransportError> {
        if self.slots.is_empty() || self.slots.iter().any(|slot| lock(&slot.link).was_connected()) {
            return Ok(());
        }
        let text = "all `Links` of this transport were dropped, and no connection was ever made: keep them where \
            connections are made, and call `carry` or `connect` for each";
        Err(TransportError::other(text))
    }

    fn failure(&self) -> TransportError {
        let again =
            || TransportError::other("the transport has failed, and has said why before: start a new node");
        lock(&self.failure).take().unwrap_or_else(again)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
