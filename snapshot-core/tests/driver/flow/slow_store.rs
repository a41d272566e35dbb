//! A store that takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use snapshot_core::{Clock, Content, Created, Generation, Key, Sink, SnapshotStore, StoreError, async_trait};
use snapshot_store::MemoryStore;

/// Whatever is created takes its time, or no end while it hangs.
#[derive(Clone)]
pub(crate) struct Slow {
    pub(crate) store: MemoryStore,
    pub(crate) takes: Duration,
    pub(crate) hangs: Arc<AtomicBool>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl SnapshotStore for Slow {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.clock.sleep_until(self.clock.now() + self.takes).await;
        while self.hangs.load(Ordering::Relaxed) {
            self.clock.sleep_until(self.clock.now() + self.takes).await;
        }
        self.store.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.store.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.store.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.store.delete(key).await
    }
}
