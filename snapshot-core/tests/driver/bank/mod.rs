//! Applications on whole nodes over the in-memory network, polled by hand: every `next` is dropped whenever it waits, so
//! that each test is one of cancel safety too.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use snapshot_core::{
    Clock, Event, Flushed, Graph, LocalSnapshot, NodeBuilder, NodeError, NodeId, Postcard, PostcardState,
    SnapshotNode, SnapshotStore, Turn,
};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;

pub const A: NodeId = NodeId(1);
pub const B: NodeId = NodeId(2);
pub const C: NodeId = NodeId(3);

#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Ledger {
    pub balance: u64,
    pub received: Vec<u64>,
}

impl PostcardState for Ledger {}

pub type Node = SnapshotNode<Ledger, u64>;

/// One application.
pub struct App {
    pub node: Node,
    pub ledger: Ledger,
    pub locals: Vec<LocalSnapshot<Ledger, u64>>,
    pub committed: Vec<Turn>,
    pub events: Vec<String>,
    pub error: Option<NodeError>,
    /// A slow application: it takes no messages.
    pub idle: bool,
}

impl App {
    pub async fn flush(&mut self) -> Result<Flushed, NodeError> {
        self.node.flush(&mut self.ledger).await
    }

    pub fn id(&self) -> NodeId {
        self.node.id()
    }

    /// A turn: sends one message.
    pub fn pay(&mut self, to: NodeId, amount: u64) {
        self.ledger.balance -= amount;
        self.node.send(to, amount).expect("there is room");
    }

    pub fn saw(&self, what: &str) -> usize {
        self.events.iter().filter(|event| event.contains(what)).count()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.error.is_some() {
            return false;
        }
        let generation = self.node.generation();
        let event = pin!(self.node.next(&mut self.ledger)).poll(cx);
        let told = matches!(event, Poll::Ready(Ok(Event::RolledBack { .. }) | Err(_)));
        assert!(
            told || self.node.generation() == generation,
            "the state went back, and all it said was {event:?}"
        );
        let Poll::Ready(event) = event else { return false };
        match event {
            Ok(Event::Message { message, .. }) => {
                self.ledger.balance += message;
                self.ledger.received.push(message);
            }
            Ok(event) => {
                self.events.push(format!("{event:?}"));
                match event {
                    Event::LocalSnapshot(local) => self.locals.push(*local),
                    Event::Committed { turn, .. } => self.committed.push(turn),
                    _ => {}
                }
            }
            Err(error) => self.error = Some(error),
        }
        true
    }
}

pub struct Group {
    pub network: MemNetwork<u64>,
    pub store: Option<Arc<dyn SnapshotStore>>,
    pub apps: Vec<App>,
    pub tune: fn(NodeBuilder<Ledger, u64>) -> NodeBuilder<Ledger, u64>,
}

/// A store of this test's own.
pub fn durable() -> Option<Arc<dyn SnapshotStore>> {
    on(&MemoryStore::new())
}

/// Time that stands still, for nodes over transports of the tests' own: however slow the machine is, what is polled once is not
/// found to have been busy for too long.
pub fn still() -> Arc<dyn Clock> {
    MemNetwork::<u64>::mesh::<1>().0.clock()
}

/// A store that others see too.
pub fn on(store: &(impl SnapshotStore + Clone)) -> Option<Arc<dyn SnapshotStore>> {
    Some(Arc::new(store.clone()))
}

/// No two processes may have the same seed.
static LIFE: AtomicU64 = AtomicU64::new(1);

pub const START: u64 = 100;

impl Group {
    pub fn new(graph: &Graph, store: Option<Arc<dyn SnapshotStore>>) -> Self {
        Self::tuned(graph, store, |builder| builder)
    }

    pub fn tuned(
        graph: &Graph,
        store: Option<Arc<dyn SnapshotStore>>,
        tune: fn(NodeBuilder<Ledger, u64>) -> NodeBuilder<Ledger, u64>,
    ) -> Self {
        let network = MemNetwork::new(graph).expect("a good graph");
        let mut group = Self { network, store, apps: Vec::new(), tune };
        for id in graph.members() {
            group.boot(*id).expect("it starts");
        }
        group.greet();
        group
    }

    /// Those that run tell each other what they may send. No virtual time passes.
    pub fn greet(&mut self) {
        let apps = &mut self.apps;
        let run = poll_fn(|cx| {
            for _ in 0..3 {
                for app in apps.iter_mut().filter(|app| !app.idle) {
                    app.poll(cx);
                }
            }
            Poll::Ready(())
        });
        self.network.run(run).expect("it ends by itself");
    }

    pub fn boot(&mut self, id: NodeId) -> Result<(), NodeError> {
        let mut ledger = Ledger { balance: START, received: Vec::new() };
        let mut builder = SnapshotNode::builder(self.network.transport(id))
            .codec(Postcard)
            .seed(LIFE.fetch_add(1, Ordering::Relaxed));
        if let Some(store) = &self.store {
            builder = builder.store(store.clone());
        }
        let node = self.network.run((self.tune)(builder).start(&mut ledger)).expect("the store answers")?;
        let app =
            App { node, ledger, locals: vec![], committed: vec![], events: vec![], error: None, idle: false };
        self.apps.push(app);
        self.apps.sort_by_key(App::id);
        Ok(())
    }

    /// The process is killed; what it had under way in both directions is gone.
    pub fn kill(&mut self, id: NodeId) {
        self.network.crash(id);
        self.apps.retain(|app| app.id() != id);
        self.network.advance(std::time::Duration::from_nanos(1));
    }

    pub fn app(&mut self, id: NodeId) -> &mut App {
        self.apps.iter_mut().find(|app| app.id() == id).expect("it runs")
    }

    /// Runs all applications until `done`, or fails with how things stand.
    pub fn until(&mut self, done: impl Fn(&[App]) -> bool) {
        let apps = &mut self.apps;
        let run = poll_fn(|cx| {
            loop {
                let mut moved = false;
                for app in apps.iter_mut().filter(|app| !app.idle) {
                    moved |= app.poll(cx);
                }
                if done(apps) {
                    return Poll::Ready(());
                }
                if !moved {
                    return Poll::Pending;
                }
            }
        });
        let result = self.network.run(run);
        if let Err(stuck) = result {
            let seen: Vec<_> = self.apps.iter().map(|a| (a.id(), &a.ledger, &a.events, &a.error)).collect();
            panic!("{stuck}\n{seen:#?}");
        }
    }

    /// Polls the applications in an order that `pick` chooses, this often or until nothing moves at this moment.
    pub fn some(&mut self, polls: usize, mut pick: impl FnMut(usize) -> usize) {
        let apps = &mut self.apps;
        let run = poll_fn(|cx| {
            for _ in 0..polls {
                let chosen = pick(apps.len());
                if let Some(app) = apps.get_mut(chosen) {
                    app.poll(cx);
                }
            }
            Poll::Ready(())
        });
        self.network.run(run).expect("it ends by itself");
    }

    /// Takes a snapshot by one node's handle, while all run, and returns the report.
    pub fn snapshot(
        &mut self,
        by: NodeId,
    ) -> Result<snapshot_core::SnapshotReport, snapshot_core::SnapshotError> {
        let handle = self.app(by).node.handle();
        let asked = handle.snapshot();
        let mut asked = pin!(asked);
        let apps = &mut self.apps;
        let run = poll_fn(|cx| {
            loop {
                let mut moved = false;
                if let Poll::Ready(report) = asked.as_mut().poll(cx) {
                    return Poll::Ready(report);
                }
                for app in apps.iter_mut().filter(|app| !app.idle) {
                    moved |= app.poll(cx);
                }
                if !moved {
                    return Poll::Pending;
                }
            }
        });
        self.network.run(run).expect("the snapshot ends, well or not")
    }

    pub fn total(&self) -> u64 {
        self.apps.iter().map(|app| app.ledger.balance).sum()
    }
}
