//! The in-memory transport, with one fault.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use snapshot_core::conformance::TransportFixture;
use snapshot_core::{
    Body, Clock, Frame, Frames, Graph, Inbox, Incoming, NodeId, Peer, Stamp, Topology, Transport,
    TransportError, async_trait,
};
use snapshot_transport_mem::{Connection, MemNetwork, MemTransport};

use crate::faults::Fault;

type Item = Incoming<Bytes>;

/// Makes doubles with the fault of this number, of processes that come again or that do not.
pub(crate) struct Doubles<const FAULT: u8, const RESTARTS: bool = true>(MemNetwork<Bytes>);

/// One transport. What it keeps, it keeps for its own life.
pub(crate) struct Double<const FAULT: u8> {
    network: MemNetwork<Bytes>,
    inner: MemTransport<Bytes>,
    /// By neighbour: frames that should have been sent.
    kept: Mutex<BTreeMap<NodeId, Frames<Bytes>>>,
    /// What has been received and not yet been pushed.
    received: Mutex<VecDeque<Item>>,
    /// By neighbour: what is held back on the way in.
    held: Mutex<BTreeMap<NodeId, Item>>,
    stamps: Mutex<BTreeSet<(NodeId, u64, u64)>>,
    up: Mutex<BTreeSet<NodeId>>,
    lock: futures::lock::Mutex<()>,
    calls: AtomicUsize,
    /// What it has taken for the end.
    over: AtomicBool,
    /// How often the end was told.
    ends: AtomicUsize,
    waker: Arc<OneWaker>,
}

impl<const FAULT: u8, const RESTARTS: bool> TransportFixture for Doubles<FAULT, RESTARTS> {
    type Message = Bytes;
    type Transport = Double<FAULT>;

    const RESTARTS: bool = RESTARTS;
    const LIMIT: Duration =
        Duration::from_millis(if FAULT == Fault::BlocksItsThread as u8 { 20 } else { 10_000 });

    fn new(graph: &Graph) -> Self {
        let capacity = if FAULT == Fault::UnboundedQueue as u8 { usize::MAX } else { 100 };
        Self(MemNetwork::builder(graph).seed(1).capacity(capacity).build().unwrap())
    }

    async fn start(&self, topology: Topology) -> Double<FAULT> {
        Double {
            network: self.0.clone(),
            inner: self.0.transport(topology.me()),
            kept: Mutex::default(),
            received: Mutex::default(),
            held: Mutex::default(),
            stamps: Mutex::default(),
            up: Mutex::default(),
            lock: futures::lock::Mutex::default(),
            calls: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            ends: AtomicUsize::new(0),
            waker: Arc::default(),
        }
    }

    fn message(&self, number: u64, size: usize) -> Bytes {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.resize(size.max(8), 0x5a);
        bytes.into()
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
impl<const FAULT: u8> Transport for Double<FAULT> {
    type Message = Bytes;

    fn topology(&self) -> &Topology {
        self.inner.topology()
    }

    async fn send(&self, to: Peer, frames: &mut Frames<Bytes>) -> Result<(), TransportError> {
        assert!(!is::<FAULT>(Fault::PanicsInSend), "this transport cannot send");
        let locked =
            [Fault::OneSendAtATime, Fault::OneLock, Fault::SendStopsRecv].into_iter().any(is::<FAULT>);
        if locked {
            let _locked = self.lock.lock().await;
            return self.inner.send(to, frames).await;
        }
        if is::<FAULT>(Fault::RecvStopsSend) {
            drop(self.lock.lock().await);
        }
        if !self.is_connected(to.id()) {
            if is::<FAULT>(Fault::FailsWhenNotConnected) {
                return Err(TransportError::other("connection refused"));
            }
            if is::<FAULT>(Fault::DropsWhenNotConnected) {
                frames.clear();
            }
            if is::<FAULT>(Fault::KeepsAllWhenNotConnected) {
                let mut kept = self.kept.lock().unwrap();
                move_all(frames, kept.entry(to.id()).or_default());
                return Ok(());
            }
        }
        if is::<FAULT>(Fault::TakesHalf) && frames.len() > 1 {
            let mut half = Frames::new();
            frames.drain(frames.len() / 2).for_each(|frame| half.push_back(frame));
            return self.inner.send(to, &mut half).await;
        }
        if is::<FAULT>(Fault::DropsWhatDoesNotFit) {
            if let Some(sent) = self.inner.send(to, frames).now_or_never() {
                return sent;
            }
            frames.clear();
            return Ok(());
        }
        if is::<FAULT>(Fault::ReordersUnderPressure) {
            if let Some(sent) = self.inner.send(to, frames).now_or_never() {
                return sent;
            }
            let first = frames.pop_front();
            first.into_iter().for_each(|frame| frames.push_back(frame));
        }
        self.spoil(to.id(), frames);
        let sending = self.inner.send(to, frames);
        if is::<FAULT>(Fault::OneWaker) { self.with_one_waker(sending).await } else { sending.await }
    }

    async fn recv(&self, into: &mut Inbox<Bytes>) -> Result<(), TransportError> {
        if is::<FAULT>(Fault::FlushesInRecv) || is::<FAULT>(Fault::KeepsAllWhenNotConnected) {
            self.flush().await?;
        }
        while is::<FAULT>(Fault::WaitsForEverybody)
            && !self.topology().peers().all(|peer| self.is_connected(peer.id()))
        {
            let clock = self.network.clock();
            clock.sleep_until(clock.now() + Duration::from_millis(1)).await;
        }
        if is::<FAULT>(Fault::EmptiesTheInbox) {
            while into.pop().is_some() {}
        }
        if is::<FAULT>(Fault::EndsBeforeTheFirst)
            && !self.topology().peers().any(|peer| self.is_connected(peer.id()))
        {
            return Ok(());
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if is::<FAULT>(Fault::EndsNowAndThen) && call % 10 == 9 {
            return Ok(());
        }
        loop {
            if self.push(into) || self.over.load(Ordering::SeqCst) {
                return Ok(());
            }
            let room = match () {
                // Read ahead, as one may.
                () if [Fault::IgnoresTheRoom, Fault::StaleFrames, Fault::NewsNeedsNoRoom]
                    .into_iter()
                    .any(is::<FAULT>) =>
                {
                    64
                }
                () if is::<FAULT>(Fault::PushesOneTooMany) => into.room().max(2),
                () => into.room(),
            };
            let mut inbox = Inbox::with_capacity(room);
            self.receive(&mut inbox).await?;
            let mut items: Vec<Item> = std::iter::from_fn(|| inbox.pop()).collect();
            if items.is_empty() {
                return self.at_the_end(into).await;
            }
            if is::<FAULT>(Fault::NewestFirst) {
                items.reverse();
                items.sort_by_key(|item| matches!(item, Incoming::Frame { .. }));
            }
            if self.takes_it_for_the_end(&items) {
                self.over.store(true, Ordering::SeqCst);
            }
            items.into_iter().for_each(|item| self.take(item));
        }
    }

    async fn close(&self) -> Result<(), TransportError> {
        self.inner.close().await
    }
}

impl<const FAULT: u8> Double<FAULT> {
    /// What becomes of frames on their way out.
    fn spoil(&self, to: NodeId, frames: &mut Frames<Bytes>) {
        let mut all: Vec<Frame<Bytes>> = frames.drain(usize::MAX).collect();
        let mut kept = self.kept.lock().unwrap();
        let kept = kept.entry(to).or_default();
        let is_control = |frame: &Frame<Bytes>| matches!(frame.body, Body::Control(_));
        if is::<FAULT>(Fault::ControlOvertakes) {
            all.sort_by_key(|frame| !is_control(frame));
        } else if is::<FAULT>(Fault::LargeOnesLast) {
            all.sort_by_key(|frame| matches!(&frame.body, Body::Message(bytes) if bytes.len() > 1000));
        } else if is::<FAULT>(Fault::SortsByNumber) {
            all.sort_by_key(|frame| frame.stamp.number());
        } else if is::<FAULT>(Fault::DropsTheLastOfABatch) && all.len() > 1 {
            all.pop();
        } else if is::<FAULT>(Fault::RepeatsNowAndThen) && all.len() > 100 {
            all.push(all[all.len() - 1].clone());
        } else if is::<FAULT>(Fault::LosesEmptyControl) {
            all.retain(|frame| frame.body != Body::Control(Bytes::new()));
        } else if is::<FAULT>(Fault::DropsEqualStamps) {
            let mut seen = self.stamps.lock().unwrap();
            all.retain(|frame| seen.insert((to, frame.stamp.generation().0, frame.stamp.number())));
        } else if is::<FAULT>(Fault::KeepsAllWhenNotConnected) {
            let mut first: Vec<_> = kept.drain(usize::MAX).collect();
            first.append(&mut all);
            all = first;
        } else if is::<FAULT>(Fault::KeepsTheLast) || is::<FAULT>(Fault::FlushesInRecv) {
            let mut first: Vec<_> = kept.drain(usize::MAX).collect();
            first.append(&mut all);
            all = first;
            all.pop().into_iter().for_each(|last| kept.push_back(last));
        } else if is::<FAULT>(Fault::GathersEight) {
            all.into_iter().for_each(|frame| kept.push_back(frame));
            all = if kept.len() < 8 { Vec::new() } else { kept.drain(usize::MAX).collect() };
        } else if is::<FAULT>(Fault::ControlWithTheNextMessage) {
            all.into_iter().for_each(|frame| kept.push_back(frame));
            let last = kept.iter().collect::<Vec<_>>().iter().rposition(|frame| !is_control(frame));
            all = last.map_or(Vec::new(), |last| kept.drain(last + 1).collect());
        }
        for mut frame in all {
            let Frame { stamp, body } = &mut frame;
            match body {
                Body::Message(bytes) if is::<FAULT>(Fault::CutsLongMessages) => bytes.truncate(0xffff),
                Body::Message(bytes) if is::<FAULT>(Fault::FlipsABit) && stamp.number() % 1000 == 999 => {
                    let mut changed = bytes.to_vec();
                    changed[0] ^= 1;
                    *bytes = changed.into();
                }
                _ => {}
            }
            if is::<FAULT>(Fault::CutsNumbers) {
                *stamp = Stamp::new(stamp.generation(), stamp.number() & 0xffff_ffff);
            }
            frames.push_back(frame);
        }
    }

    /// What becomes of items on their way in.
    fn take(&self, item: Item) {
        let mut out = self.received.lock().unwrap();
        let mut held = self.held.lock().unwrap();
        let peer = match &item {
            Incoming::Frame { from, .. } => *from,
            Incoming::Up(peer) | Incoming::Left(peer) | Incoming::Lost { peer, .. } => *peer,
        };
        let id = peer.id();
        match &item {
            Incoming::Frame { .. } => {}
            Incoming::Up(_) => _ = self.up.lock().unwrap().insert(id),
            Incoming::Lost { .. } | Incoming::Left(_) => _ = self.up.lock().unwrap().remove(&id),
        }
        let lost = |peer| Incoming::Lost { peer, why: "no answer".to_owned() };
        match item {
            Incoming::Frame { frame, .. } if is::<FAULT>(Fault::NamesTheWrongSender) => {
                let from = self.topology().peers().last().expect("a neighbour");
                out.push_back(Incoming::Frame { from, frame });
            }
            Incoming::Up(_) if is::<FAULT>(Fault::NoUp) => {}
            Incoming::Up(_) if is::<FAULT>(Fault::UpTwice) => {
                out.extend([Incoming::Up(peer), Incoming::Up(peer)])
            }
            Incoming::Up(_) if is::<FAULT>(Fault::LostBeforeUp) => {
                out.extend([lost(peer), Incoming::Up(peer)])
            }
            Incoming::Up(_) if is::<FAULT>(Fault::UpAfterTheFirstFrame) => {
                held.insert(id, item);
            }
            Incoming::Up(_) if is::<FAULT>(Fault::HidesReconnects) => {
                if held.insert(id, Incoming::Up(peer)).is_none() {
                    out.push_back(item);
                }
            }
            Incoming::Up(_)
                if is::<FAULT>(Fault::UpOnlyForReceivers) && !self.topology().is_incoming(peer) => {}
            Incoming::Up(_) if is::<FAULT>(Fault::StaleFrames) => {
                out.push_back(item);
                out.extend(held.remove(&id));
            }
            Incoming::Frame { .. } if is::<FAULT>(Fault::UpAfterTheFirstFrame) => {
                out.push_back(item);
                out.extend(held.remove(&id));
            }
            Incoming::Lost { .. } if is::<FAULT>(Fault::StaleFrames) => {
                if let Some(last) = out.pop_back_if(|item| matches!(item, Incoming::Frame { .. })) {
                    held.insert(id, last);
                }
                out.push_back(item);
            }
            Incoming::Lost { .. } if is::<FAULT>(Fault::NoLost) || is::<FAULT>(Fault::HidesReconnects) => {}
            Incoming::Lost { .. } if is::<FAULT>(Fault::LeftForADeath) => out.push_back(Incoming::Left(peer)),
            Incoming::Lost { .. } if is::<FAULT>(Fault::LostOverAndOver) => out.extend([item, lost(peer)]),
            Incoming::Lost { .. } if is::<FAULT>(Fault::AllAreLost) => {
                out.push_back(item);
                let others =
                    self.topology().peers().filter(|other| self.up.lock().unwrap().contains(&other.id()));
                out.extend(others.flat_map(|other| [lost(other), Incoming::Up(other)]));
            }
            Incoming::Left(_) if is::<FAULT>(Fault::LostForAGoodbye) => out.push_back(lost(peer)),
            item => out.push_back(item),
        }
    }

    /// Pushes what has been received; whether it did.
    fn push(&self, into: &mut Inbox<Bytes>) -> bool {
        let mut received = self.received.lock().unwrap();
        let room = match () {
            () if is::<FAULT>(Fault::IgnoresTheRoom) => usize::MAX,
            () if is::<FAULT>(Fault::PushesOneTooMany) => into.room().max(2),
            () if is::<FAULT>(Fault::NewsNeedsNoRoom) => {
                let frames = received.iter().position(|item| matches!(item, Incoming::Frame { .. }));
                into.room().max(frames.unwrap_or(received.len()))
            }
            () => into.room(),
        };
        let count = room.min(received.len());
        for item in received.drain(..count) {
            match item {
                Incoming::Frame { from, frame } => into.push(from, frame),
                Incoming::Up(peer) => into.up(peer),
                Incoming::Lost { peer, why } => into.lost(peer, why),
                Incoming::Left(peer) => into.left(peer),
            }
        }
        count > 0
    }

    async fn receive(&self, inbox: &mut Inbox<Bytes>) -> Result<(), TransportError> {
        if is::<FAULT>(Fault::BlocksItsThread) {
            std::thread::park();
        }
        if is::<FAULT>(Fault::OneLock) || is::<FAULT>(Fault::RecvStopsSend) {
            let _locked = self.lock.lock().await;
            return self.inner.recv(inbox).await;
        }
        if is::<FAULT>(Fault::SendStopsRecv) {
            drop(self.lock.lock().await);
        }
        if is::<FAULT>(Fault::DoesNotWait) {
            return self.inner.recv(inbox).now_or_never().unwrap_or(Ok(()));
        }
        let receiving = self.inner.recv(inbox);
        if is::<FAULT>(Fault::OneWaker) {
            return self.with_one_waker(receiving).await;
        }
        receiving.await
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
        if is::<FAULT>(Fault::EndsAtAGoodbye) {
            return items.iter().any(|item| matches!(item, Incoming::Left(_)));
        }
        if is::<FAULT>(Fault::EndsWhenAllAreGone) {
            let up = self.topology().peers().any(|peer| self.is_connected(peer.id()));
            return !up && items.iter().any(|item| matches!(item, Incoming::Left(_) | Incoming::Lost { .. }));
        }
        false
    }

    async fn at_the_end(&self, into: &mut Inbox<Bytes>) -> Result<(), TransportError> {
        let again = self.ends.fetch_add(1, Ordering::SeqCst) > 0;
        if is::<FAULT>(Fault::NeverEnds) || is::<FAULT>(Fault::EndsOnce) && again {
            return pending().await;
        }
        if is::<FAULT>(Fault::EndsWithAnError) {
            return Err(TransportError::closed("closed"));
        }
        if is::<FAULT>(Fault::GoesOnAfterTheEnd) && again {
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

fn is<const FAULT: u8>(fault: Fault) -> bool {
    FAULT == fault as u8
}

fn move_all(from: &mut Frames<Bytes>, to: &mut Frames<Bytes>) {
    from.drain(usize::MAX).for_each(|frame| to.push_back(frame));
}
