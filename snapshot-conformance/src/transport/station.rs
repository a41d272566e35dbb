//! One process under test: drives its transport as a node does, and minds what it is told of its neighbours.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use snapshot_core::{Frame, Frames, Inbox, Incoming, NodeId, Peer, Topology, Transport, TransportError};

use super::call::{Call, Process};
use super::frames::{Name, compare};
use super::{Breach, Limit, T2, T3, T4, T5, T6, T7, T8, TransportFixture};
use crate::trial::Trial;

/// How many items a `recv` may push, one after the other: mostly few, since that is where bounds are forgotten.
const ROOMS: [usize; 12] = [1, 3, 1, 2, 64, 1, 7, 2, 1, 1024, 5, 1];

/// More items than any check lets come from one neighbour before it looks at them.
const UNHEARD: usize = 1_000_000;

/// How much of what it was told of a neighbour is told in a breach.
const TOLD: usize = 8;

/// More connections with one neighbour than any check makes.
const CONNECTIONS: usize = 10_000;

type Received<M> = (Inbox<M>, Result<(), TransportError>);
pub(super) type BoxedFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(super) type FrameOf<F> = Frame<<F as TransportFixture>::Message>;

/// One process.
pub(super) struct Station<F: TransportFixture> {
    id: NodeId,
    topology: Topology,
    trial: Trial,
    limit: Limit,
    /// The `recv` under way, if there is one: it is never dropped before it is done. As a task, which is polled when it is
    /// itself woken and not whenever something else moves.
    receiving: FuturesUnordered<BoxedFuture<Received<F::Message>>>,
    /// Dropped after it.
    transport: Process<F>,
    calls: usize,
    /// How many items the inbox held before the last call.
    held: usize,
    /// Whether an item is in the inbox before each call.
    keeps: bool,
    /// Whether each call is asked by one task and then by another.
    moves: bool,
    views: BTreeMap<NodeId, View<F::Message>>,
}

/// What it was told of one neighbour.
struct View<M> {
    connection: Connection,
    heard: VecDeque<Heard<M>>,
    connections: usize,
    /// The last of what it was told: `up`, `frames`, `lost`, `left`.
    told: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Untold,
    Up,
    Lost,
    Left,
}

/// One thing that a process is told of a neighbour.
pub(super) enum Heard<M> {
    Frame(Frame<M>),
    Up,
    Lost(String),
    Left,
}

/// What a `recv` has brought.
pub(super) enum Recv {
    Items,
    End,
}

/// Runs a future as a task of its own: it is polled when it is woken itself. So a waker that was forgotten shows.
pub(super) async fn alone<T>(future: impl Future<Output = T> + Send) -> T {
    let mut task = FuturesUnordered::from_iter([future]);
    match task.next().await {
        Some(output) => output,
        None => unreachable!("there is one"),
    }
}

/// Polls on behalf of nobody first, if it `moves`, and then of who awaits it. So a waker that is kept from the first time
/// shows.
async fn moved<T>(moves: bool, future: impl Future<Output = T>) -> T {
    let (mut future, mut moves) = (pin!(future), moves);
    poll_fn(|cx| {
        if std::mem::take(&mut moves)
            && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            return Poll::Ready(output);
        }
        future.as_mut().poll(cx)
    })
    .await
}

impl<F: TransportFixture> Station<F> {
    pub(super) fn new(
        topology: Topology,
        transport: F::Transport,
        trial: Trial,
        limit: Limit,
    ) -> Result<Self, Breach> {
        if *transport.topology() != topology {
            let seen = format!("`topology()` of {} is not the one that it was started with", topology.me());
            return Err(trial.broken(seen));
        }
        let me = topology.me();
        let view = |peer: Peer| {
            (
                peer.id(),
                View {
                    connection: Connection::Untold,
                    heard: VecDeque::new(),
                    connections: 0,
                    told: Vec::new(),
                },
            )
        };
        Ok(Self {
            id: topology.me(),
            views: topology.peers().map(view).collect(),
            topology,
            transport: Process::new(&trial, me, transport),
            trial,
            limit,
            receiving: FuturesUnordered::new(),
            calls: 0,
            held: 0,
            keeps: false,
            moves: false,
        })
    }

    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Sends the batches one after the other. Without a limit, as a `send` may have to wait for ever.
    pub(super) fn send(
        &self,
        to: NodeId,
        batches: impl IntoIterator<Item = Vec<FrameOf<F>>, IntoIter: Send + 'static>,
    ) -> BoxedFuture<Result<(), Breach>> {
        let (id, trial, moves, transport) = (self.id, self.trial.clone(), self.moves, self.transport.share());
        let peer = self.topology.peer(to).expect("the checks send to neighbours");
        let batches = batches.into_iter();
        let call = Call::<F>::new(&trial, format!("`send` of {id} to {to}"));
        Box::pin(alone(async move {
            for batch in batches {
                let mut frames = Frames::new();
                batch.into_iter().for_each(|frame| frames.push_back(frame));
                if let Err(error) = moved(moves, call.watch(transport.send(peer, &mut frames))).await {
                    let hint = if error.is_frame_too_large() { ": set `LARGEST` of the fixture" } else { "" };
                    return Err(trial.broken(format!("`send` from {id} to {to} failed ({error}){hint}")));
                }
                if !frames.is_empty() {
                    let left = frames.len();
                    let seen = format!("`send` from {id} to {to} was ready and {left} frames were not taken");
                    return Err(T6.broken(seen));
                }
            }
            Ok(())
        }))
    }

    /// As [`send`](Self::send), all in one batch, within the limit.
    pub(super) fn send_now(
        &self,
        to: NodeId,
        frames: &[FrameOf<F>],
    ) -> impl Future<Output = Result<(), Breach>> + use<F> {
        let (count, id, trial, limit) = (frames.len(), self.id, self.trial.clone(), self.limit.clone());
        let sending = self.send(to, [frames.to_vec()]);
        async move {
            let late = || {
                trial.broken(format!("a `send` of {count} frames from {id} to {to} was not ready in {limit}"))
            };
            limit.within(sending).await.unwrap_or_else(|| Err(late()))
        }
    }

    /// Calls `recv`, or goes on with the one under way, and minds what it brings.
    pub(super) async fn recv(&mut self) -> Result<Recv, Breach> {
        let room = ROOMS[self.calls % ROOMS.len()];
        let kept = self.topology.peers().next().filter(|_| self.keeps);
        let kept = kept.map(|peer| Incoming::Lost { peer, why: "in the inbox before the call".to_owned() });
        let before = usize::from(kept.is_some());
        if self.receiving.is_empty() {
            let transport = self.transport.share();
            let mut inbox = Inbox::with_capacity(room + before);
            if let Some(Incoming::Lost { peer, why }) = &kept {
                inbox.lost(*peer, why.clone());
            }
            let (moves, call) = (self.moves, Call::<F>::new(&self.trial, format!("`recv` of {}", self.id)));
            self.held = before;
            self.receiving.push(Box::pin(async move {
                let received = moved(moves, call.watch(transport.recv(&mut inbox))).await;
                (inbox, received)
            }));
        }
        let Some((mut inbox, received)) = self.receiving.next().await else {
            unreachable!("a `recv` is under way")
        };
        self.calls += 1;
        if let Err(error) = received {
            return Err(self.trial.broken(format!("`recv` of {} failed ({error})", self.id)));
        }
        if kept.is_some() && inbox.pop() != kept {
            let seen =
                format!("a `recv` of {} took or moved what had been in the inbox before the call", self.id);
            return Err(T3.broken(seen));
        }
        if inbox.len() > room {
            let pushed = inbox.len();
            let seen =
                format!("a `recv` of {} pushed {pushed} items where there was room for {room}", self.id);
            return Err(T3.broken(seen));
        }
        if inbox.is_empty() {
            return Ok(Recv::End);
        }
        while let Some(item) = inbox.pop() {
            self.mind(item)?;
        }
        Ok(Recv::Items)
    }

    /// What to add where a `recv` pushed nothing and that may be why.
    fn before(&self) -> String {
        match self.held {
            0 => String::new(),
            held => format!(" (the inbox held {held} before the call)"),
        }
    }

    /// Whether each `recv` finds an inbox that is not empty.
    pub(super) fn keep_in_the_inbox(&mut self) {
        self.receiving.clear();
        self.keeps = true;
    }

    /// From now on, each call is asked by one task and then by another.
    pub(super) fn move_between_tasks(&mut self) {
        self.moves = true;
    }

    /// What it is told next of this neighbour.
    pub(super) async fn hear(&mut self, from: NodeId) -> Result<Heard<F::Message>, Breach> {
        loop {
            if let Some(heard) = self.views.get_mut(&from).and_then(|view| view.heard.pop_front()) {
                return Ok(heard);
            }
            if let Recv::End = self.recv().await? {
                let seen = format!(
                    "a `recv` of {} was ready with nothing pushed{}, which is the end, though {from} runs or may come back",
                    self.id,
                    self.before()
                );
                return Err(T8.broken(seen));
            }
        }
    }

    /// Receives and keeps what comes, without end.
    pub(super) async fn listen(&mut self) -> Result<Infallible, Breach> {
        loop {
            if let Recv::End = self.recv().await? {
                let seen = format!(
                    "a `recv` of {} was ready with nothing pushed{}, which is the end",
                    self.id,
                    self.before()
                );
                return Err(T8.broken(seen));
            }
        }
    }

    /// The same within the limit; `None` where it came first.
    pub(super) async fn hear_in_time(&mut self, from: NodeId) -> Result<Option<Heard<F::Message>>, Breach> {
        let limit = self.limit.clone();
        limit.within(self.hear(from)).await.transpose()
    }

    /// Takes frames from a neighbour until there are as many as were sent, and compares. Nobody breaks the connection
    /// meanwhile.
    pub(super) async fn receive(&mut self, from: NodeId, sent: &[FrameOf<F>]) -> Result<(), Breach> {
        let mut came = Vec::with_capacity(sent.len());
        while came.len() < sent.len() {
            let id = self.id;
            match self.hear_in_time(from).await? {
                Some(Heard::Frame(frame)) => came.push(frame),
                Some(Heard::Up) => {}
                Some(end @ (Heard::Lost(_) | Heard::Left)) => {
                    let end = match end {
                        Heard::Lost(why) => format!("is lost (`lost`: {why})"),
                        _ => "has left (`left`)".to_owned(),
                    };
                    return Err(T7.broken(format!(
                        "{id} was told that {from} {end} before all had come that it sent, {} of {} frames{}",
                        came.len(),
                        sent.len(),
                        self.so_far(from)
                    )));
                }
                None => {
                    if !sent.starts_with(&came) || ![T4, T5, T6].contains(&self.trial.clause) {
                        return compare(from, sent, &came);
                    }
                    let (next, limit) = (Name(&sent[came.len()]), &self.limit);
                    let seen = format!("{next} from {from} has not come to {id} in {limit}");
                    return Err(self.trial.broken(seen));
                }
            }
        }
        compare(from, sent, &came)
    }

    /// What it was told of a neighbour, and at which step of the check.
    pub(super) fn so_far(&self, peer: NodeId) -> String {
        let told = self.views.get(&peer).map_or(&[][..], |view| &view.told);
        let told = if told.is_empty() { "nothing".to_owned() } else { told.join(", ") };
        format!("; it was told of {peer}, at the end: {told} (at: {})", self.trial.doing())
    }

    /// Waits until it was told of the connections with all of its neighbours that `running` names.
    pub(super) async fn connected(&mut self, running: &[NodeId]) -> Result<(), Breach> {
        while F::CONNECTIONS
            && let Some(peer) = running.iter().copied().find(|id| !self.is_connected(*id))
        {
            let limit = self.limit.clone();
            match limit.within(self.recv()).await.transpose()? {
                Some(Recv::Items) => {}
                Some(Recv::End) => {
                    return Err(
                        T8.broken(format!("`recv` of {} has ended while its neighbours run", self.id))
                    );
                }
                None => {
                    let seen = format!("{} was not told in {limit} that {peer} is connected (`up`)", self.id);
                    return Err(T7.broken(seen));
                }
            }
        }
        for view in self.views.values_mut() {
            // What was told of earlier connections is of no more interest.
            if let Some(last) = view.heard.iter().rposition(|heard| matches!(heard, Heard::Up)) {
                view.heard.drain(..=last);
            }
        }
        Ok(())
    }

    /// Waits until it was told that the connection with this neighbour is lost; what comes before is of no interest.
    pub(super) async fn loses(&mut self, peer: NodeId) -> Result<(), Breach> {
        let id = self.id;
        loop {
            match self.hear_in_time(peer).await? {
                Some(Heard::Lost(_)) => return Ok(()),
                Some(Heard::Frame(_) | Heard::Up) => {}
                Some(Heard::Left) => {
                    return Err(T7.broken(format!("{id} was told that {peer} left, which had not said so")));
                }
                None => {
                    let seen =
                        format!("{id} was not told (`lost`) that its connection with {peer} has ended");
                    return Err(T7.broken(seen));
                }
            }
        }
    }

    /// Says goodbye, within the limit.
    pub(super) fn close(&self) -> BoxedFuture<Result<(), Breach>> {
        let (id, trial, limit) = (self.id, self.trial.clone(), self.limit.clone());
        let transport = self.transport.share();
        let call = Call::<F>::new(&trial, format!("`close` of {id}"));
        Box::pin(async move {
            match limit.within(alone(call.watch(transport.close()))).await {
                Some(Ok(())) => Ok(()),
                Some(Err(error)) => Err(trial.broken(format!("`close` of {id} failed ({error})"))),
                None => Err(trial.broken(format!("`close` of {id} was not ready in {limit}"))),
            }
        })
    }

    /// Ends the process without a goodbye. Sends of it must have been dropped.
    pub(super) fn kill(self) {
        let Self { mut transport, receiving, .. } = self;
        transport.call.run(|| drop(receiving));
        assert!(transport.end(), "the check has dropped all that the process had under way");
    }

    /// Whether it was last told that this neighbour is connected.
    pub(super) fn is_connected(&self, peer: NodeId) -> bool {
        self.views.get(&peer).is_some_and(|view| view.connection == Connection::Up)
    }

    /// What a process is told of one connection has an order: up, frames, and one end (T7).
    fn mind(&mut self, item: Incoming<F::Message>) -> Result<(), Breach> {
        use Connection::{Left, Lost, Untold, Up};
        let id = self.id;
        let (peer, heard) = match item {
            Incoming::Frame { from, frame } => (from, Heard::Frame(frame)),
            Incoming::Up(peer) => (peer, Heard::Up),
            Incoming::Lost { peer, why } => (peer, Heard::Lost(why)),
            Incoming::Left(peer) => (peer, Heard::Left),
        };
        let known = self.topology.peer(peer.id()) == Some(peer);
        let Some(view) = self.views.get_mut(&peer.id()).filter(|_| known) else {
            return Err(T2.broken(format!("`recv` of {id} names {peer:?}, which is no peer of its topology")));
        };
        let told = match &heard {
            Heard::Frame(frame) if !self.topology.is_incoming(peer) => {
                let seen = format!("{id} got {} from {peer}, from which it has no channel", Name(frame));
                return Err(T2.broken(seen));
            }
            Heard::Frame(_) => view.connection,
            Heard::Up => Up,
            Heard::Lost(_) => Lost,
            Heard::Left => Left,
        };
        let word = match &heard {
            Heard::Frame(_) => "frames",
            Heard::Up => "`up`",
            Heard::Lost(_) => "`lost`",
            Heard::Left => "`left`",
        };
        if view.told.last() != Some(&word) || word != "frames" {
            view.told.push(word);
            let old = view.told.len().saturating_sub(TOLD);
            view.told.drain(..old);
        }
        if F::CONNECTIONS {
            let wrong = match (view.connection, &heard) {
                (Untold, Heard::Frame(frame)) => Some(format!("{} came before any `up`", Name(frame))),
                (Lost | Left, Heard::Frame(frame)) => {
                    Some(format!("{} came after the connection's end and before the next `up`", Name(frame)))
                }
                (Up, Heard::Up) => Some("`up` came again, and no end of the connection before".to_owned()),
                (Untold, Heard::Lost(why)) => Some(format!("`lost` ({why}) came before any `up`")),
                (Untold, Heard::Left) => Some("`left` came before any `up`".to_owned()),
                (Lost | Left, Heard::Lost(why)) => {
                    Some(format!("`lost` ({why}) came for a connection whose end had been told"))
                }
                (Lost | Left, Heard::Left) => {
                    Some("`left` came for a connection whose end had been told".to_owned())
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                let so_far = self.so_far(peer.id());
                return Err(T7.broken(format!("{id} was told of {peer}: {wrong}{so_far}")));
            }
        } else if matches!(heard, Heard::Up | Heard::Left) {
            let seen = "`up` or `left` was called, though `CONNECTIONS` of the fixture says that there are no connections";
            return Err(T7.broken(seen));
        }
        view.connection = told;
        view.connections += usize::from(matches!(heard, Heard::Up));
        if view.connections > CONNECTIONS {
            return Err(T7.broken(format!(
                "{id} was told of {CONNECTIONS} connections with {peer}, one after the other"
            )));
        }
        view.heard.push_back(heard);
        if view.heard.len() > UNHEARD {
            return Err(
                T2.broken(format!("more than {UNHEARD} frames came from {peer}, which has not sent as many"))
            );
        }
        Ok(())
    }
}
