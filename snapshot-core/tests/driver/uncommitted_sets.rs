//! A set of parts that is whole and that nobody has committed: whoever starts next verifies it, all parts of it at a time, and commits it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::{FutureExt, pending};
use snapshot_core::{
    Content, Created, Event, Generation, Key, NodeId, Postcard, Sink, SnapshotNode, SnapshotStore, StoreError,
};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;
use tokio::sync::watch;

const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// A store that answers no commit, and whose parts are read only when so many reads are under way.
#[derive(Clone)]
struct Strange {
    store: MemoryStore,
    commits: bool,
    readers: usize,
    reading: watch::Sender<usize>,
    reads: Arc<AtomicUsize>,
}

impl Strange {
    fn new(commits: bool, readers: usize, store: &MemoryStore) -> Self {
        let reading = watch::Sender::new(0);
        Self { store: store.clone(), commits, readers, reading, reads: Arc::default() }
    }
}

#[async_trait]
impl SnapshotStore for Strange {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        // The first record opens the generation.
        if !self.commits && matches!(key, Key::Journal(2..)) {
            return pending().await;
        }
        self.store.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        if matches!(key, Key::Part { .. }) {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.reading.send_modify(|reading| *reading += 1);
            // The sender is in `self`, and so it is there.
            let _ = self.reading.subscribe().wait_for(|reading| *reading >= self.readers).await;
        }
        self.store.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.store.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.store.delete(key).await
    }
}

/// A store with a set that was whole when all processes died.
fn left_behind() -> MemoryStore {
    let network = MemNetwork::<u64>::mesh::<3>().0;
    let store = MemoryStore::new();
    let strange = Strange::new(false, 0, &store);
    let mut nodes: Vec<SnapshotNode<(), u64>> = MEMBERS
        .into_iter()
        .map(|id| {
            let builder = SnapshotNode::builder(network.transport(id)).store(strange.clone());
            let start = async { builder.codec(Postcard).seed(id.0).start(&mut ()).await };
            network.run(start).expect("the store answers").expect("it starts")
        })
        .collect();
    nodes[0].snapshot();
    let parts = || store.keys().iter().filter(|key| matches!(key, Key::Part { .. })).count();
    while parts() < MEMBERS.len() {
        for node in &mut nodes {
            while let Some(event) = pin!(node.next(&mut ())).now_or_never() {
                event.expect("it runs");
            }
        }
        network.advance(std::time::Duration::from_millis(1));
    }
    store
}

#[test]
fn the_parts_of_a_set_are_verified_at_the_same_time_and_once_each() {
    let store = left_behind();
    let network = MemNetwork::<u64>::mesh::<3>().0;
    // Who read one part after the other would wait for ever.
    let strange = Strange::new(true, MEMBERS.len(), &store);
    let builder = SnapshotNode::builder(network.transport(MEMBERS[1])).store(strange.clone());
    let run = async {
        let mut node = builder.codec(Postcard).seed(9).start(&mut ()).await.expect("it starts");
        node.next(&mut ()).await.expect("it runs")
    };
    let event: Event<u64, ()> = network.run(run).expect("all parts are read at a time");
    assert!(
        matches!(event, Event::RolledBack { generation: Generation(2), snapshot: Some(_), .. }),
        "{event:?}"
    );
    // Then its own part is read back.
    assert_eq!(strange.reads.load(Ordering::Relaxed), MEMBERS.len() + 1);
}

#[test]
fn a_set_with_a_part_that_is_damaged_is_left_where_it_is() {
    for damaged in MEMBERS {
        let store = left_behind();
        let is_it = |key: &Key| matches!(key, Key::Part { node, .. } if *node == damaged);
        let part = *store.keys().iter().find(|key| is_it(key)).expect("it was written");
        assert!(store.corrupt(part, |bytes| bytes[0] ^= 1));
        let network = MemNetwork::<u64>::mesh::<3>().0;
        let builder = SnapshotNode::builder(network.transport(MEMBERS[1])).store(store.clone());
        let run = async {
            let mut node = builder.codec(Postcard).seed(9).start(&mut ()).await.expect("it starts");
            node.next(&mut ()).await.expect("it runs")
        };
        let event: Event<u64, ()> = network.run(run).expect("the store answers");
        assert!(matches!(event, Event::RolledBack { snapshot: None, .. }), "{event:?}");
    }
}
