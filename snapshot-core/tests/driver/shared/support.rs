//! What the tests of `SharedNode` share: a bank of two nodes, their drivers, and a counter of wake-ups.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use snapshot_core::{
    CallError, CallId, Calls, Event, NodeBuilder, NodeError, NodeId, Outbox, Postcard, PostcardState,
    SendError, SharedDriver, SharedNode, SnapshotNode,
};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;

pub(crate) const A: NodeId = NodeId(1);
pub(crate) const B: NodeId = NodeId(2);
pub(crate) const START: u64 = 1_000;

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Ledger {
    pub(crate) balance: u64,
    pub(crate) received: Vec<u64>,
}

impl PostcardState for Ledger {}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Message {
    Pay(u64),
    Ask(CallId),
    Tell(CallId, u64),
}

pub(crate) type Node = SharedNode<Ledger, Message>;
pub(crate) type Driver = SharedDriver<Ledger, Message>;
pub(crate) type Out<'a> = Outbox<'a, Ledger, Message>;
pub(crate) type Events = Event<Message, Ledger>;
pub(crate) type Network = MemNetwork<Message>;

/// No two processes may have the same seed.
pub(crate) static LIFE: AtomicU64 = AtomicU64::new(1);

pub(crate) fn builder(network: &Network, id: NodeId) -> NodeBuilder<Ledger, Message> {
    let seed = LIFE.fetch_add(1, Ordering::Relaxed);
    SnapshotNode::builder(network.transport(id)).codec(Postcard).seed(seed)
}

pub(crate) fn share(network: &Network, builder: NodeBuilder<Ledger, Message>) -> (Node, Driver) {
    let ledger = Ledger { balance: START, received: Vec::new() };
    network.run(builder.share(ledger)).expect("the store answers").expect("it starts")
}

pub(crate) fn handle(
    ledger: &mut Ledger,
    event: Events,
    out: &mut Out<'_>,
    calls: &Calls<u64>,
) -> Result<(), SendError> {
    if let Event::Message { from, message } = event {
        match message {
            Message::Pay(amount) => {
                ledger.balance += amount;
                ledger.received.push(amount);
            }
            Message::Ask(call) => out.send(from, Message::Tell(call, ledger.balance))?,
            Message::Tell(call, value) => drop(calls.answer(out, call, value)),
        }
    }
    Ok(())
}

/// Something that runs beside a test.
pub(crate) type Task<'a> = Pin<Box<dyn Future<Output = Result<(), NodeError>> + 'a>>;

pub(crate) fn run<'a>(driver: Driver, calls: &Calls<u64>) -> Task<'a> {
    let calls = calls.clone();
    Box::pin(driver.run(move |ledger: &mut Ledger, event, out| handle(ledger, event, out, &calls)))
}

/// Runs the test to its end, and the tasks beside it.
pub(crate) fn until<R>(network: &Network, tasks: &mut [Task<'_>], test: impl Future<Output = R>) -> R {
    let mut test = pin!(test);
    let mut done = vec![false; tasks.len()];
    let both = poll_fn(|cx| {
        if let Poll::Ready(result) = test.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        for (task, done) in tasks.iter_mut().zip(&mut done).filter(|(_, done)| !**done) {
            *done = task.as_mut().poll(cx).is_ready();
        }
        // What the tasks have done may be what the test waits for; its waker tells.
        Poll::Pending
    });
    network.run(both).unwrap_or_else(|stuck| panic!("{stuck}"))
}

pub(crate) fn pay(ledger: &mut Ledger, out: &mut Out<'_>, to: NodeId, amount: u64) -> Result<(), SendError> {
    ledger.balance -= amount;
    out.send(to, Message::Pay(amount))
}

/// Two nodes on one store, their drivers, and calls from A.
pub(crate) struct Pair {
    pub(crate) network: Network,
    pub(crate) store: MemoryStore,
    pub(crate) a: Node,
    pub(crate) b: Node,
    pub(crate) calls: Calls<u64>,
}

pub(crate) fn pair(
    tune: impl Fn(NodeBuilder<Ledger, Message>) -> NodeBuilder<Ledger, Message>,
) -> (Pair, Vec<Task<'static>>) {
    pair_on(Network::mesh::<2>().0, tune)
}

pub(crate) fn pair_on(
    network: Network,
    tune: impl Fn(NodeBuilder<Ledger, Message>) -> NodeBuilder<Ledger, Message>,
) -> (Pair, Vec<Task<'static>>) {
    let (store, calls) = (MemoryStore::new(), Calls::new());
    let boot = |id| share(&network, tune(builder(&network, id).store(store.clone())));
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let mut tasks = vec![run(drive_a, &calls), run(drive_b, &Calls::new())];
    // The greetings are through.
    until(&network, &mut tasks, network.clock().sleep_until(Duration::from_millis(1)));
    (Pair { network, store, a, b, calls }, tasks)
}

impl Pair {
    /// B's process is killed and starts again, which takes the group back to the newest committed snapshot.
    pub(crate) fn restart_b(&mut self, tasks: &mut Vec<Task<'static>>) {
        self.network.crash(B);
        tasks.truncate(1);
        let (b, drive_b) = share(&self.network, builder(&self.network, B).store(self.store.clone()));
        self.b = b;
        tasks.push(run(drive_b, &Calls::new()));
    }
}

pub(crate) struct Woken(AtomicU64);

impl Woken {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn counting() -> (std::task::Waker, Arc<Woken>) {
    let woken = Arc::new(Woken(AtomicU64::new(0)));
    (Arc::clone(&woken).into(), woken)
}

pub(crate) async fn ask(pair: &Pair, timeout: Duration) -> Result<u64, CallError> {
    let asked = pair.calls.call(&pair.a, timeout, |_, call, out| out.send(B, Message::Ask(call)));
    asked.await.map(|answer| answer.value)
}

pub(crate) const SOON: Duration = Duration::from_secs(1);
