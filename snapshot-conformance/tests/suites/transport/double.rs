//! The in-memory transport, with one fault.

mod incoming;
mod outgoing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, pending, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{Either, select};
use snapshot_conformance::TransportFixture;
use snapshot_core::{
    Body, Clock, Frame, Frames, Graph, Inbox, Incoming, NodeId, Peer, Topology, Transport, TransportError,
    async_trait,
};
use snapshot_transport_mem::{Connection, MemNetwork, MemTransport};

use crate::transport::faults::Fault;

type Item = Incoming<Bytes>;

/// A fixture whose transports have one fault.
pub(crate) struct Doubles<W>(MemNetwork<Bytes>, Fault, PhantomData<W>);

/// Which fault, and what a fixture says that has it.
pub(crate) trait Which: Send + Sync + 'static {
    const RESTARTS: bool = true;
    const LIMIT: Duration = Duration::from_secs(10);
    fn fault() -> Fault;
}

/// One transport. What it keeps, it keeps for its own life.
pub(crate) struct Double {
    fault: Fault,
    network: MemNetwork<Bytes>,
    inner: MemTransport<Bytes>,
    /// By neighbour: frames that should have been sent.
    kept: Mutex<BTreeMap<NodeId, Frames<Bytes>>>,
    /// What has been received and not yet been pushed.
    received: Mutex<VecDeque<Item>>,
    /// By neighbour: what is held back on the way in.
    held: Mutex<BTreeMap<NodeId, Item>>,
    stamps: Mutex<BTreeSet<(NodeId, u64, u64)>>,
    /// The neighbours that are connected, those that ever were, and those that said goodbye.
    up: Mutex<BTreeSet<NodeId>>,
    known: Mutex<BTreeSet<NodeId>>,
    left: Mutex<BTreeSet<NodeId>>,
    /// Neighbours with which something is to be done yet.
    marked: Mutex<BTreeSet<NodeId>>,
    lock: futures::lock::Mutex<()>,
    calls: AtomicUsize,
    /// What it has taken for the end.
    over: AtomicBool,
    /// How often the end was told.
    ends: AtomicUsize,
    waker: Arc<OneWaker>,
    /// When it last received something.
    received_at: Mutex<Duration>,
}

impl<W: Which> TransportFixture for Doubles<W> {
    type Message = Bytes;
    type Transport = Double;

    const RESTARTS: bool = W::RESTARTS;
    const LIMIT: Duration = W::LIMIT;

    fn new(graph: &Graph) -> Self {
        let fault = W::fault();
        let capacity = if fault == Fault::UnboundedQueue { usize::MAX } else { 100 };
        Self(MemNetwork::builder(graph).seed(1).capacity(capacity).build().unwrap(), fault, PhantomData)
    }

    async fn start(&self, topology: Topology) -> Double {
        Double {
            fault: self.1,
            network: self.0.clone(),
            inner: self.0.transport(topology.me()),
            kept: Mutex::default(),
            received: Mutex::default(),
            held: Mutex::default(),
            stamps: Mutex::default(),
            up: Mutex::default(),
            known: Mutex::default(),
            left: Mutex::default(),
            marked: Mutex::default(),
            lock: futures::lock::Mutex::default(),
            calls: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            ends: AtomicUsize::new(0),
            waker: Arc::default(),
            received_at: Mutex::new(self.0.clock().now()),
        }
    }

    fn message(&self, number: u64, size: usize) -> Bytes {
        [&number.to_le_bytes()[..], &[0x5a].repeat(size.saturating_sub(8))].concat().into()
    }

    async fn cut(&self, a: NodeId, b: NodeId) -> bool {
        self.0.cut(a, b);
        self.0.heal(a, b);
        true
    }

    fn block_on<T>(&self, scenario: impl Future<Output = T>) -> T {
        self.0.run(scenario).unwrap()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock()
    }
}

#[async_trait]
impl Transport for Double {
    type Message = Bytes;

    fn topology(&self) -> &Topology {
        self.inner.topology()
    }

    async fn send(&self, to: Peer, frames: &mut Frames<Bytes>) -> Result<(), TransportError> {
        assert!(!self.is(Fault::PanicsInSend), "this transport cannot send");
        if self.is(Fault::SendBlocks) {
            std::thread::park();
        }
        if self.is(Fault::SendFailsInASecond) || self.is(Fault::SendFailsInFiveSeconds) {
            let Some(sent) = self.unless_late(self.inner.send(to, frames)).await else {
                return Err(TransportError::other("timed out"));
            };
            return sent;
        }
        let locked = [Fault::OneSendAtATime, Fault::OneLock, Fault::SendStopsRecv]
            .into_iter()
            .any(|fault| self.is(fault));
        if locked {
            let _locked = self.lock.lock().await;
            return self.inner.send(to, frames).await;
        }
        if self.is(Fault::MixesUpSends) {
            move_all(frames, self.kept.lock().unwrap().entry(self.topology().me()).or_default());
            let next = || self.kept.lock().unwrap().values_mut().find_map(Frames::pop_front);
            while let Some(frame) = next() {
                let mut one = Frames::new();
                one.push_back(frame);
                self.inner.send(to, &mut one).await?;
            }
            return Ok(());
        }
        while self.is(Fault::OnePoolForAll) && self.in_flight() >= 100 {
            let clock = self.network.clock();
            clock.sleep_until(clock.now() + Duration::from_millis(1)).await;
        }
        if self.left.lock().unwrap().contains(&to.id()) {
            if self.is(Fault::FailsWhenLeft) {
                return Err(TransportError::other("it has left"));
            }
            if self.is(Fault::DropsWhenLeft) {
                frames.clear();
            }
        }
        if self.is(Fault::RecvStopsSend) {
            drop(self.lock.lock().await);
        }
        if !self.is_connected(to.id()) {
            if self.is(Fault::FailsWhenNotConnected) {
                return Err(TransportError::other("connection refused"));
            }
            if self.is(Fault::DropsWhenNotConnected) {
                frames.clear();
            }
            if self.is(Fault::WaitsInVain) {
                return pending().await;
            }
            if self.is(Fault::KeepsAllWhenNotConnected) {
                let mut kept = self.kept.lock().unwrap();
                move_all(frames, kept.entry(to.id()).or_default());
                return Ok(());
            }
        }
        if self.is(Fault::TakesHalf) && frames.len() > 1 {
            let mut half = Frames::new();
            frames.drain(frames.len() / 2).for_each(|frame| half.push_back(frame));
            return self.inner.send(to, &mut half).await;
        }
        if self.is(Fault::DropsWhatDoesNotFit) {
            if let Some(sent) = self.inner.send(to, frames).now_or_never() {
                return sent;
            }
            frames.clear();
            return Ok(());
        }
        if self.is(Fault::ControlHasNoBound) {
            let control = frames.iter().all(|frame| matches!(frame.body, Body::Control(_)));
            if control && let Some(sent) = self.inner.send(to, frames).now_or_never() {
                return sent;
            }
            if control {
                move_all(frames, self.kept.lock().unwrap().entry(to.id()).or_default());
                return Ok(());
            }
        }
        if self.is(Fault::RepeatsUnderPressure) {
            if let Some(sent) = self.inner.send(to, frames).now_or_never() {
                return sent;
            }
            let again = frames.front().map(Frame::cloned);
            let rest: Vec<_> = again.into_iter().chain(frames.drain(usize::MAX)).collect();
            rest.into_iter().for_each(|frame| frames.push_back(frame));
        }
        if self.is(Fault::ReordersUnderPressure) {
            if let Some(sent) = self.inner.send(to, frames).now_or_never() {
                return sent;
            }
            let first = frames.pop_front();
            first.into_iter().for_each(|frame| frames.push_back(frame));
        }
        self.spoil(to.id(), frames);
        let sending = self.inner.send(to, frames);
        match () {
            () if self.is(Fault::OneWaker) => self.with_one_waker(sending).await,
            () if self.is(Fault::KeepsTheFirstWaker) => with_the_first_waker(sending).await,
            () => sending.await,
        }
    }

    async fn recv(&self, into: &mut Inbox<Bytes>) -> Result<(), TransportError> {
        if self.is(Fault::FlushesInRecv) || self.is(Fault::KeepsAllWhenNotConnected) {
            self.flush().await?;
        }
        while self.is(Fault::WaitsForEverybody)
            && !self.topology().peers().all(|peer| self.is_connected(peer.id()))
        {
            let clock = self.network.clock();
            clock.sleep_until(clock.now() + Duration::from_millis(1)).await;
        }
        if self.is(Fault::ReadyWithAFullInbox) && !into.is_empty() {
            return Ok(());
        }
        if self.is(Fault::ExpiresInASecond) || self.is(Fault::ExpiresInFiveSeconds) {
            self.expire()?;
        }
        if self.is(Fault::EmptiesTheInbox) {
            while into.pop().is_some() {}
        }
        if self.is(Fault::EndsBeforeTheFirst)
            && !self.topology().peers().any(|peer| self.is_connected(peer.id()))
        {
            return Ok(());
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.is(Fault::EndsNowAndThen) && call % 10 == 9 {
            return Ok(());
        }
        loop {
            if self.push(into) || self.over.load(Ordering::SeqCst) {
                return Ok(());
            }
            let room = match () {
                // Read ahead, as one may.
                () if Fault::THAT_READ_AHEAD.into_iter().any(|fault| self.is(fault)) => 64,
                () if self.is(Fault::PushesOneTooMany) => into.room().max(2),
                () => into.room(),
            };
            let mut inbox = Inbox::with_capacity(room);
            if self.is(Fault::FlapsForEver)
                && let Some(peer) =
                    self.topology().peers().find(|peer| self.up.lock().unwrap().contains(&peer.id()))
            {
                inbox.up(peer);
                inbox.lost(peer, "no answer");
            }
            if self.is(Fault::SilenceIsAnError) || self.is(Fault::SilenceIsTheEnd) {
                match self.unless_late(self.receive(&mut inbox)).await {
                    Some(received) => received?,
                    None if self.is(Fault::SilenceIsTheEnd) => return Ok(()),
                    None => return Err(TransportError::other("nothing was heard")),
                }
            } else {
                self.receive(&mut inbox).await?;
            }
            *self.received_at.lock().unwrap() = self.network.clock().now();
            let mut items: Vec<Item> = std::iter::from_fn(|| inbox.pop()).collect();
            let is_frame = |item: &Item| matches!(item, Incoming::Frame { .. });
            if self.is(Fault::SwapsReads) && items.iter().all(is_frame) {
                let mut next = Inbox::with_capacity(64);
                self.inner.recv(&mut next).now_or_never().unwrap_or(Ok(()))?;
                let next: Vec<Item> = std::iter::from_fn(|| next.pop()).collect();
                let at = if next.iter().all(is_frame) { 0 } else { items.len() };
                items.splice(at..at, next);
            }
            if items.is_empty() {
                return self.at_the_end(into).await;
            }
            if self.is(Fault::NewestFirst) {
                items.reverse();
                items.sort_by_key(is_frame);
            }
            if self.takes_it_for_the_end(&items) {
                self.over.store(true, Ordering::SeqCst);
            }
            items.into_iter().for_each(|item| self.take(item));
        }
    }

    async fn close(&self) -> Result<(), TransportError> {
        if self.is(Fault::CloseWaitsForEver) {
            return pending().await;
        }
        if self.is(Fault::CloseBlocks) {
            std::thread::park();
        }
        if self.is(Fault::CloseFails) {
            return Err(TransportError::other("broken pipe"));
        }
        self.inner.close().await
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if self.is(Fault::DropBlocks) {
            std::thread::park();
        }
    }
}

impl Double {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    async fn receive(&self, inbox: &mut Inbox<Bytes>) -> Result<(), TransportError> {
        if self.is(Fault::RecvBlocks) {
            std::thread::park();
        }
        if self.is(Fault::OneLock) || self.is(Fault::RecvStopsSend) {
            let _locked = self.lock.lock().await;
            return self.inner.recv(inbox).await;
        }
        if self.is(Fault::SendStopsRecv) {
            drop(self.lock.lock().await);
        }
        if self.is(Fault::KeepsTheFirstWaker) {
            return with_the_first_waker(self.inner.recv(inbox)).await;
        }
        if self.is(Fault::FlapsForEver) && !inbox.is_empty() {
            return Ok(());
        }
        if self.is(Fault::DoesNotWait) {
            return self.inner.recv(inbox).now_or_never().unwrap_or(Ok(()));
        }
        let receiving = self.inner.recv(inbox);
        if self.is(Fault::OneWaker) {
            return self.with_one_waker(receiving).await;
        }
        receiving.await
    }

    /// The output, or `None` where it takes longer than the fault says.
    async fn unless_late<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let clock = self.network.clock();
        let sleep = clock.sleep_until(clock.now() + self.fault.patience().expect("a fault that gives up"));
        match select(pin!(future), sleep).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// Throws away the frames that have come, where it has been too long since something was taken.
    fn expire(&self) -> Result<(), TransportError> {
        let late = *self.received_at.lock().unwrap() + self.fault.patience().expect("a fault that gives up");
        while self.network.clock().now() > late {
            let mut inbox = Inbox::with_capacity(64);
            self.inner.recv(&mut inbox).now_or_never().unwrap_or(Ok(()))?;
            if inbox.is_empty() {
                break;
            }
            while let Some(item) = inbox.pop() {
                if !matches!(item, Incoming::Frame { .. }) {
                    self.take(item);
                }
            }
        }
        Ok(())
    }

    /// Sends what was kept, to those who are connected.
    async fn flush(&self) -> Result<(), TransportError> {
        for peer in self.topology().outgoing() {
            let mut frames = self.kept.lock().unwrap().remove(&peer.id()).unwrap_or_default();
            if self.is_connected(peer.id()) {
                // As far as it goes.
                self.inner.send(peer, &mut frames).now_or_never().unwrap_or(Ok(()))?;
            }
            self.kept.lock().unwrap().insert(peer.id(), frames);
        }
        Ok(())
    }

    fn takes_it_for_the_end(&self, items: &[Item]) -> bool {
        if self.is(Fault::EndsAtAGoodbye) {
            return items.iter().any(|item| matches!(item, Incoming::Left(_)));
        }
        if self.is(Fault::EndsWhenAllAreGone) {
            let up = self.topology().peers().any(|peer| self.is_connected(peer.id()));
            return !up && items.iter().any(|item| matches!(item, Incoming::Left(_) | Incoming::Lost { .. }));
        }
        false
    }

    async fn at_the_end(&self, into: &mut Inbox<Bytes>) -> Result<(), TransportError> {
        let again = self.ends.fetch_add(1, Ordering::SeqCst) > 0;
        if self.is(Fault::NeverEnds) || self.is(Fault::EndsOnce) && again {
            return pending().await;
        }
        if self.is(Fault::EndsWithAnError) {
            return Err(TransportError::closed("closed"));
        }
        if self.is(Fault::GoesOnAfterTheEnd) && again {
            let peer = self.topology().peers().next().expect("a neighbour");
            into.lost(peer, "closed");
        }
        Ok(())
    }

    fn is_connected(&self, to: NodeId) -> bool {
        let me = self.topology().me();
        let status = self.network.channels();
        status.iter().any(|channel| {
            let pair = [channel.from, channel.to];
            pair.contains(&me) && pair.contains(&to) && channel.connection == Connection::Up
        })
    }

    /// How much of what it has sent, to all together, has not been taken.
    fn in_flight(&self) -> usize {
        let me = self.topology().me();
        let channels = self.network.channels();
        channels.iter().filter(|channel| channel.from == me).map(|channel| channel.in_flight).sum()
    }

    /// Polls with a waker that wakes whoever was the last to ask anything of this transport.
    async fn with_one_waker<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|cx| {
            *self.waker.0.lock().unwrap() = Some(cx.waker().clone());
            future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.waker))))
        })
        .await
    }
}

#[derive(Default)]
struct OneWaker(Mutex<Option<Waker>>);

impl Wake for OneWaker {
    fn wake(self: Arc<Self>) {
        let waker = self.0.lock().unwrap().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Polls with the waker of whoever asked first.
async fn with_the_first_waker<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut first) = (pin!(future), None);
    poll_fn(|cx| {
        let first = first.get_or_insert_with(|| cx.waker().clone());
        future.as_mut().poll(&mut Context::from_waker(first))
    })
    .await
}

fn move_all(from: &mut Frames<Bytes>, to: &mut Frames<Bytes>) {
    from.drain(usize::MAX).for_each(|frame| to.push_back(frame));
}
