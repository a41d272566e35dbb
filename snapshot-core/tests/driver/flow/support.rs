//! Applications that keep every queue full and applications that take their time, side by side in virtual time.
//!
//! Messages are numbered, so that each application knows at once if one is lost, comes twice or out of its order. They weigh what
//! a test says, and are not so large.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use snapshot_core::{
    AbortReason, Archive, Bound, Clock, Deliveries, Event, GlobalSnapshot, Graph, NodeBuilder, NodeId,
    Postcard, PostcardState, Retention, SharedNode, SnapshotError, SnapshotHandle, SnapshotId, SnapshotNode,
    SnapshotReport, SnapshotStore, Transport,
};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;

pub(crate) const A: NodeId = NodeId(1);
pub(crate) const B: NodeId = NodeId(2);
pub(crate) const C: NodeId = NodeId(3);

/// As many frames as fit into the buffers of sockets, where messages are small.
pub(crate) const DEPTH: usize = 1 << 19;

/// What a node lets each of its neighbours send, if it has one, and what it sends before it waits for room: the defaults.
pub(crate) const WINDOW: Bound = Bound::new(4096, 4 << 20);
pub(crate) const LOW: Bound = Bound::new(4096, 1 << 20);

#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Parcel {
    pub(crate) number: u64,
    pub(crate) weight: usize,
}

/// How many parcels were sent to whom, and taken from whom.
#[derive(Clone, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Book {
    pub(crate) sent: BTreeMap<NodeId, u64>,
    pub(crate) taken: BTreeMap<NodeId, u64>,
}

impl PostcardState for Book {}

impl Book {
    pub(crate) fn send(&mut self, to: NodeId, weight: usize) -> Parcel {
        let number = self.sent.entry(to).or_default();
        *number += 1;
        Parcel { number: *number, weight }
    }

    pub(crate) fn take(&mut self, from: NodeId, parcel: Parcel) {
        let taken = self.taken.entry(from).or_default();
        *taken += 1;
        assert_eq!(parcel.number, *taken, "from {from}: each takes effect once, in its order");
    }
}

pub(crate) type Node = SnapshotNode<Book, Parcel>;
pub(crate) type Builder = NodeBuilder<Book, Parcel>;
pub(crate) type Cut = GlobalSnapshot<Book, Parcel>;
pub(crate) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// No two processes may have the same seed.
static LIFE: AtomicU64 = AtomicU64::new(1);

pub(crate) fn builder(transport: impl Transport<Message = Parcel>) -> Builder {
    let seed = LIFE.fetch_add(1, Ordering::Relaxed);
    SnapshotNode::builder(transport).codec(Postcard).message_weight(|parcel| parcel.weight).seed(seed)
}

pub(crate) fn network(graph: &Graph) -> MemNetwork<Parcel> {
    MemNetwork::builder(graph).capacity(DEPTH).build().expect("a good graph")
}

/// What the applications were told.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) committed: Vec<SnapshotId>,
    pub(crate) aborted: Vec<(SnapshotId, NodeId, AbortReason)>,
    pub(crate) begun: Vec<NodeId>,
    pub(crate) rolled_back: Vec<NodeId>,
    /// How many parcels were taken, in all lives together, and the newest one of each channel.
    pub(crate) taken: u64,
    pub(crate) last: BTreeMap<(NodeId, NodeId), u64>,
    /// What nobody should be told in such a test.
    pub(crate) others: Vec<String>,
}

/// How an application spends its time.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// It keeps its queues to these full …
    pub(crate) to: Vec<NodeId>,
    /// … with parcels of this weight, and …
    pub(crate) weight: usize,
    /// … each parcel that it takes keeps it busy for so long, when it calls nothing.
    pub(crate) busy: Duration,
}

/// An application with a message loop.
pub(crate) async fn serve(
    mut node: Node,
    mut book: Book,
    habits: Habits,
    clock: Arc<dyn Clock>,
    log: Rc<RefCell<Log>>,
) {
    loop {
        while !habits.to.is_empty() && node.has_room() {
            for to in &habits.to {
                let parcel = book.send(*to, habits.weight);
                node.send(*to, parcel).expect("there is room");
            }
        }
        let event = node.next(&mut book).await.expect("it runs");
        let me = node.id();
        match event {
            Event::Message { from, message } => {
                book.take(from.id(), message);
                log.borrow_mut().taken += 1;
                log.borrow_mut().last.insert((from.id(), me), message.number);
                if !habits.busy.is_zero() {
                    clock.sleep_until(clock.now() + habits.busy).await;
                }
            }
            other => log.borrow_mut().note(me, other),
        }
    }
}

impl Log {
    fn note(&mut self, me: NodeId, event: Event<Parcel, Book>) {
        match event {
            Event::Committed { snapshot, report: Some(_), .. } => self.committed.push(snapshot),
            Event::SnapshotAborted { snapshot, by, reason } => self.aborted.push((snapshot, by, reason)),
            Event::SnapshotBegun { .. } => self.begun.push(me),
            Event::RolledBack { .. } => self.rolled_back.push(me),
            Event::Committed { .. }
            | Event::PartDurable { .. }
            | Event::Room
            | Event::PeerLost { .. }
            | Event::PeerBack { .. } => {}
            other => self.others.push(format!("{me}: {other:?}")),
        }
    }
}

/// What keeps a node of tasks going without ever taking anything.
type Idle = (SharedNode<Book, Parcel>, Deliveries<Book, Parcel>);

/// Applications over one network, and a store that keeps every snapshot.
pub(crate) struct Flood {
    pub(crate) network: MemNetwork<Parcel>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: MemoryStore,
    pub(crate) log: Rc<RefCell<Log>>,
    pub(crate) handles: BTreeMap<NodeId, SnapshotHandle>,
    tasks: BTreeMap<NodeId, Task>,
    /// Those who have tasks around their node, and take nothing.
    idle: BTreeMap<NodeId, Idle>,
    /// What the test needs beside.
    pub(crate) others: Vec<Task>,
}

impl Flood {
    pub(crate) fn on(network: MemNetwork<Parcel>) -> Self {
        Self {
            clock: network.clock(),
            network,
            store: MemoryStore::new(),
            log: Rc::default(),
            handles: BTreeMap::new(),
            tasks: BTreeMap::new(),
            idle: BTreeMap::new(),
            others: Vec::new(),
        }
    }

    pub(crate) fn build(&self, transport: impl Transport<Message = Parcel>) -> Builder {
        builder(transport).clock(Arc::clone(&self.clock)).store(self.store.clone()).retention(Retention::All)
    }

    /// Starts an application with a message loop.
    pub(crate) fn start(&mut self, builder: Builder, habits: Habits) {
        let mut book = Book::default();
        let node = self.network.run(builder.start(&mut book)).expect("the store answers").expect("it starts");
        self.handles.insert(node.id(), node.handle());
        let (id, clock, log) = (node.id(), Arc::clone(&self.clock), Rc::clone(&self.log));
        self.tasks.insert(id, Box::pin(serve(node, book, habits, clock, log)));
    }

    /// Starts an application of tasks, none of which ever takes anything.
    pub(crate) fn start_idle(&mut self, builder: Builder) {
        let started = self.network.run(builder.share(Book::default()));
        let (node, driver) = started.expect("the store answers").expect("it starts");
        let (deliveries, drive) = driver.stream();
        let id = node.id();
        self.handles.insert(id, node.handle());
        self.idle.insert(id, (node, deliveries));
        self.tasks.insert(id, Box::pin(async move { drive.await.expect("it runs") }));
    }

    /// The process is killed.
    pub(crate) fn kill(&mut self, id: NodeId) {
        self.network.crash(id);
        self.tasks.remove(&id);
        self.idle.remove(&id);
    }

    /// Stops a process, as a signal would: its connections stand, and it does nothing.
    pub(crate) fn freeze(&mut self, id: NodeId) -> Task {
        self.tasks.remove(&id).expect("it runs")
    }

    pub(crate) fn thaw(&mut self, id: NodeId, task: Task) {
        self.tasks.insert(id, task);
    }

    /// Runs all until the test is done.
    pub(crate) fn until<R>(&mut self, test: impl Future<Output = R>) -> R {
        let (tasks, others) = (&mut self.tasks, &mut self.others);
        let mut test = pin!(test);
        let all = poll_fn(|cx| {
            if let Poll::Ready(result) = test.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            for task in tasks.values_mut() {
                assert!(task.as_mut().poll(cx).is_pending(), "an application has come to its end");
            }
            others.retain_mut(|task| task.as_mut().poll(cx).is_pending());
            // What they have done may be what the test waits for; its waker tells.
            Poll::Pending
        });
        self.network.run(all).unwrap_or_else(|stuck| panic!("{stuck}"))
    }

    /// Takes a snapshot by one node's handle.
    pub(crate) fn snapshot(&mut self, by: NodeId) -> Result<SnapshotReport, SnapshotError> {
        let handle = self.handles[&by].clone();
        self.until(async move { handle.snapshot().await })
    }

    pub(crate) fn sleep(&mut self, time: Duration) {
        let (clock, until) = (Arc::clone(&self.clock), self.clock.now() + time);
        self.until(async move { clock.sleep_until(until).await });
    }

    /// Runs all until the log says so, looking at it every now and then.
    pub(crate) fn until_log(&mut self, done: impl Fn(&Log) -> bool) {
        let (clock, log) = (Arc::clone(&self.clock), Rc::clone(&self.log));
        self.until(async move {
            while !done(&log.borrow()) {
                clock.sleep_until(clock.now() + Duration::from_millis(10)).await;
            }
        });
    }

    /// A committed snapshot. All that it has on its channels is what its states say: no parcel is missing or there twice.
    pub(crate) fn cut(&self, snapshot: SnapshotId) -> Cut {
        let cut = self.network.run(read(self.store.clone(), snapshot)).expect("the store answers");
        for (from, book) in cut.states() {
            for (to, sent) in &book.sent {
                let taken = cut.state(*to).and_then(|book| book.taken.get(&from)).copied().unwrap_or(0);
                let numbers = cut.channel(from, *to).iter().map(|parcel| parcel.number);
                assert!(numbers.eq(taken + 1..=*sent), "{from} to {to} in {snapshot}: {taken} to {sent}");
            }
        }
        cut
    }
}

async fn read(store: impl SnapshotStore, snapshot: SnapshotId) -> Cut {
    let archive = Archive::<Book, Parcel>::open(store, Postcard).await.expect("it is one");
    archive.read(snapshot).await.expect("it is committed")
}
