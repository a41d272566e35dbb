//! A group under test: its processes, and what the checks do with several of them.

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select, try_join, try_join_all};
use snapshot_core::{Graph, NodeId};

use super::call::Call;
use super::frames::Stream;
use super::station::{BoxedFuture, FrameOf, Station, alone};
use super::{Breach, Limit, TransportFixture};
use crate::trial::Trial;

/// How long a `send` must not have moved to be taken for one that waits. Where it only is slow nothing fails.
const QUIET: Duration = Duration::from_millis(200);

/// The size of the messages of a flood, in bytes.
const LARGE: usize = 16 * 1024;

/// How many of them go into one `send`.
const BATCH: u64 = 32;

/// The size of the control frames of a flood, in bytes: more than those of a node have, as a rule.
const CONTROL: usize = 512;

pub(super) const A: NodeId = NodeId(1);
pub(super) const B: NodeId = NodeId(2);
pub(super) const C: NodeId = NodeId(3);

/// One group, isolated from all others.
pub(super) struct Lab<F> {
    pub(super) fixture: Arc<F>,
    graph: Graph,
    pub(super) trial: Trial,
    limit: Limit,
}

/// A `send` that has come to wait, if it does, and all that was given to it and to those before it.
pub(super) struct Flood<F: TransportFixture> {
    pub(super) frames: Vec<FrameOf<F>>,
    pub(super) sending: BoxedFuture<Result<(), Breach>>,
    waits: bool,
}

/// Runs one scenario of a check, on a fixture of its own.
pub(super) fn run<F: TransportFixture>(
    trial: &Trial,
    graph: &Graph,
    scenario: impl AsyncFnOnce(&Lab<F>) -> Result<(), Breach>,
) -> Result<(), Breach> {
    let fixture = Arc::new(F::new(graph));
    let limit = Limit::new(fixture.clock(), F::LIMIT);
    let lab = Lab { fixture: Arc::clone(&fixture), graph: graph.clone(), trial: trial.clone(), limit };
    fixture.block_on(scenario(&lab))
}

/// Two nodes.
pub(super) fn pair() -> Graph {
    Graph::mesh([A, B])
}

/// Three nodes, each linked with each.
pub(super) fn three() -> Graph {
    Graph::mesh([A, B, C])
}

impl<F: TransportFixture> Lab<F> {
    /// Starts a process of a node.
    pub(super) async fn start(&self, id: NodeId) -> Result<Station<F>, Breach> {
        let topology = self.graph.at(id).expect("the checks use graphs that are topologies");
        let start = Call::<F>::new(&self.trial, format!("`start` of the fixture for {id}"));
        let starting = start.watch(self.fixture.start(topology.clone()));
        let Some(transport) = self.limit.within(starting).await else {
            return Err(self.trial.broken(format!("`start` of the fixture was not ready in {}", self.limit)));
        };
        Station::new(topology, transport, self.trial.clone(), self.limit.clone())
    }

    /// Starts a process of each of these nodes, and waits until those who are neighbours are connected.
    pub(super) async fn start_all<const N: usize>(
        &self,
        ids: [NodeId; N],
    ) -> Result<[Station<F>; N], Breach> {
        let mut stations = Vec::new();
        for id in ids {
            stations.push(self.start(id).await?);
        }
        let Ok(mut stations) = <[Station<F>; N]>::try_from(stations) else { unreachable!("one for each id") };
        let connecting = stations.iter_mut().map(|station| {
            let peers: Vec<_> = station.topology().peers().map(NodeId::from).collect();
            let running: Vec<_> = peers.into_iter().filter(|peer| ids.contains(peer)).collect();
            async move { station.connected(&running).await }
        });
        try_join_all(connecting).await?;
        Ok(stations)
    }

    /// The frames of a process: `origin` is a number of its own, for each life and direction.
    pub(super) fn stream(&self, origin: u64) -> Stream<F> {
        Stream::new(&self.fixture, origin, 3000)
    }

    /// A future's output within the limit, or a breach of the clause that is checked.
    pub(super) async fn in_time<T>(
        &self,
        what: impl FnOnce() -> String,
        future: impl Future<Output = Result<T, Breach>>,
    ) -> Result<T, Breach> {
        match self.limit.within(future).await {
            Some(output) => output,
            None => Err(self.trial.broken(format!("{} in {}", what(), self.limit))),
        }
    }

    pub(super) fn broken(&self, seen: impl Into<String>) -> Breach {
        self.trial.broken(seen)
    }

    /// Sends more and more large messages, which `to` does not take, until `send` waits. Where it does not, that is a breach.
    pub(super) async fn flood(&self, from: &Station<F>, to: NodeId, origin: u64) -> Result<Flood<F>, Breach> {
        let flood = self.fill(from, to, origin, F::BUFFERED).await?;
        self.must_wait(from, to, flood, "messages", LARGE)
    }

    /// The same with control frames.
    pub(super) async fn flood_with_control(
        &self,
        from: &Station<F>,
        to: NodeId,
        origin: u64,
    ) -> Result<Flood<F>, Breach> {
        let stream = self.stream(origin);
        let most = F::BUFFERED.saturating_mul(LARGE / CONTROL);
        let flood = self.fill_with(from, to, most, |number| stream.control(number, CONTROL)).await?;
        self.must_wait(from, to, flood, "control frames", CONTROL)
    }

    fn must_wait(
        &self,
        from: &Station<F>,
        to: NodeId,
        flood: Flood<F>,
        what: &str,
        size: usize,
    ) -> Result<Flood<F>, Breach> {
        if flood.waits {
            return Ok(flood);
        }
        let seen = format!(
            "`send` from {} took {} {what} of {size} bytes for {to}, which receives nothing, and does not wait (the limit \
             comes from `BUFFERED` of the fixture)",
            from.id(),
            flood.frames.len()
        );
        Err(self.trial.broken(seen))
    }

    /// The same, until `send` waits or has taken `most` messages.
    pub(super) async fn fill(
        &self,
        from: &Station<F>,
        to: NodeId,
        origin: u64,
        most: usize,
    ) -> Result<Flood<F>, Breach> {
        let stream = self.stream(origin);
        self.fill_with(from, to, most, |number| stream.message(number, LARGE)).await
    }

    async fn fill_with(
        &self,
        from: &Station<F>,
        to: NodeId,
        most: usize,
        frame: impl Fn(u64) -> FrameOf<F>,
    ) -> Result<Flood<F>, Breach> {
        let mut frames = Vec::new();
        loop {
            let first = frames.len() as u64;
            let batch: Vec<_> = (first..first + BATCH).map(&frame).collect();
            frames.extend_from_slice(&batch);
            let mut sending = from.send(to, [batch]);
            match self.soon(&mut sending).await {
                Some(sent) => sent?,
                None => return Ok(Flood { frames, sending, waits: true }),
            }
            if frames.len() > most {
                return Ok(Flood { frames, sending: Box::pin(ready(Ok(()))), waits: false });
            }
        }
    }

    /// Both send to each other and receive at the same time, in batches of all sizes.
    pub(super) async fn exchange(
        &self,
        one: &mut Station<F>,
        two: &mut Station<F>,
        origin: u64,
        count: u64,
    ) -> Result<(), Breach> {
        let here = self.stream(origin).frames(0..count);
        let there = self.stream(origin + 1).frames(0..count);
        let (to_two, to_one) = (self.send(one, two.id(), &here), self.send(two, one.id(), &there));
        let (one_id, two_id) = (one.id(), two.id());
        let receiving = try_join(one.receive(two_id, &there), two.receive(one_id, &here));
        try_join(try_join(to_two, to_one), receiving).await.map(|_| ())
    }

    /// Sends frames in batches of all sizes while the other side receives them.
    pub(super) async fn pass(
        &self,
        from: &Station<F>,
        to: &mut Station<F>,
        frames: &[FrameOf<F>],
    ) -> Result<(), Breach> {
        let sending = self.send(from, to.id(), frames);
        try_join(sending, to.receive(from.id(), frames)).await.map(|_| ())
    }

    /// A future's output, while these processes receive what comes, as a node does all the time: some transports notice in
    /// `recv` what becomes of their connections.
    pub(super) async fn while_listening<T, const N: usize>(
        &self,
        listeners: [&mut Station<F>; N],
        future: impl Future<Output = Result<T, Breach>>,
    ) -> Result<T, Breach> {
        let listening = listeners.map(|station| Box::pin(station.listen()));
        match select(std::pin::pin!(future), try_join_all(listening)).await {
            Either::Left((output, _)) => output,
            Either::Right((Err(breach), _)) => Err(breach),
            Either::Right((Ok(_), _)) => unreachable!("who listens does so without end"),
        }
    }

    /// Breaks the connection of two nodes that have nothing under way, and waits until both were told of its end and of the
    /// next one. Whether the fixture could.
    pub(super) async fn cut(&self, one: &mut Station<F>, two: &mut Station<F>) -> Result<bool, Breach> {
        let (one_id, two_id) = (one.id(), two.id());
        if !self.fixture.cut(one_id, two_id).await {
            return Ok(false);
        }
        if F::CONNECTIONS {
            try_join(one.loses(two_id), two.loses(one_id)).await?;
            try_join(one.connected(&[two_id]), two.connected(&[one_id])).await?;
            // Two that have dialed each other may give up one of two connections.
            self.quiet().await;
            try_join(one.connected(&[two_id]), two.connected(&[one_id])).await?;
        }
        Ok(true)
    }

    /// What comes of receiving, while another process sends without end.
    pub(super) async fn until<T>(
        &self,
        receiving: impl Future<Output = Result<T, Breach>>,
        sending: impl Future<Output = Result<(), Breach>>,
    ) -> Result<T, Breach> {
        match select(std::pin::pin!(receiving), std::pin::pin!(sending)).await {
            Either::Left((received, _)) => received,
            Either::Right((Err(breach), _)) => Err(breach),
            Either::Right((Ok(()), _)) => unreachable!("the batches have no end"),
        }
    }

    /// Time that passes for its own sake: so that what would go wrong in the background has time to.
    pub(super) async fn quiet(&self) {
        let clock = self.fixture.clock();
        alone(clock.sleep_until(clock.now().saturating_add(QUIET))).await;
    }

    /// As much time as a transport must be able to wait.
    pub(super) async fn patience(&self) {
        let clock = self.fixture.clock();
        alone(clock.sleep_until(clock.now().saturating_add(F::PATIENCE))).await;
    }

    /// What comes within the quiet time, if anything does.
    pub(super) async fn soon<T>(&self, future: impl Future<Output = T> + Unpin) -> Option<T> {
        match select(future, std::pin::pin!(self.quiet())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    fn send(
        &self,
        from: &Station<F>,
        to: NodeId,
        frames: &[FrameOf<F>],
    ) -> impl Future<Output = Result<(), Breach>> + use<F> {
        let sends: Vec<_> = batches(frames).iter().map(|batch| from.send_now(to, batch)).collect();
        async move {
            for send in sends {
                send.await?;
            }
            Ok(())
        }
    }
}

/// In batches of 1, 2, 5, 14, … 365, and again.
fn batches<T: Clone>(mut frames: &[T]) -> Vec<Vec<T>> {
    let mut batches = Vec::new();
    let sizes = std::iter::successors(Some(1), |size| Some(if *size > 300 { 1 } else { size * 3 - 1 }));
    for size in sizes.map(|size: usize| size.max(2)) {
        if frames.is_empty() {
            break;
        }
        let (single, rest) = frames.split_at(1);
        let (batch, rest) = rest.split_at(size.min(rest.len()));
        batches.extend([single.to_vec(), batch.to_vec()]);
        frames = rest;
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}
