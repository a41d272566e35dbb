//! The others hear of a new generation while the process that has opened it reads its part, be that as large as it may.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use snapshot_core::{
    Content, Created, Event, Generation, Key, NodeBuilder, NodeId, Postcard, Sink, SnapshotNode,
    SnapshotStore, StoreError,
};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;
use tokio::sync::watch;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// A store in which B cannot read what it starts from until it is let.
#[derive(Clone)]
struct Held {
    store: MemoryStore,
    open: watch::Sender<bool>,
}

#[async_trait]
impl SnapshotStore for Held {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.store.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        if matches!(key, Key::Initial(B) | Key::Part { node: B, .. }) {
            // The sender is in `self`, and so it is there.
            let _ = self.open.subscribe().wait_for(|open| *open).await;
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

#[test]
fn a_survivor_is_back_and_sends_before_the_new_process_has_read_its_part() {
    let network = MemNetwork::<u64>::mesh::<2>().0;
    let store = Held { store: MemoryStore::new(), open: watch::Sender::new(true) };
    let builder = |id: NodeId, seed: u64| -> NodeBuilder<(), u64> {
        SnapshotNode::builder(network.transport(id)).store(store.clone()).codec(Postcard).seed(seed)
    };
    let start = |id: NodeId, seed: u64| {
        network.run(builder(id, seed).start(&mut ())).expect("the store answers").expect("it starts")
    };
    let (mut a, b) = (start(A, 1), start(B, 2));
    network.crash(B);
    drop(b);
    network.advance(Duration::from_nanos(1));
    let begun = network.now();
    store.open.send_replace(false);
    let (mut none, mut own) = ((), ());
    let mut starting = pin!(builder(B, 3).start(&mut none));
    let back = poll_fn(|cx| {
        assert!(starting.as_mut().poll(cx).is_pending(), "it has yet to read its part");
        let mut next = pin!(a.next(&mut own));
        match next.as_mut().poll(cx) {
            Poll::Ready(Ok(Event::RolledBack { generation, .. })) => Poll::Ready(generation),
            Poll::Ready(event) => {
                event.expect("it runs");
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    });
    assert_eq!(network.run(back).expect("it hears of it"), Generation(2));
    // One that looks at the journal by itself does so in its own time.
    assert!(network.now() - begun < Duration::from_millis(10), "{:?}", network.now());
    a.send(B, 7).expect("there is room");
    store.open.send_replace(true);
    let mut b = network.run(starting).expect("it can read").expect("it starts");
    let heard = poll_fn(|cx| {
        while let Poll::Ready(event) = pin!(a.next(&mut own)).poll(cx) {
            event.expect("it runs");
        }
        match pin!(b.next(&mut ())).poll(cx) {
            Poll::Ready(Ok(Event::Message { message, .. })) => Poll::Ready(message),
            Poll::Ready(event) => {
                event.expect("it runs");
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    });
    assert_eq!(network.run(heard), Ok(7));
    assert_eq!(b.generation(), Generation(2), "and nothing was lost of it");
}
