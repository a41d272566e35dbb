//! The checks can fail: each is run on a store that breaks just its clause.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use snapshot_core::{Content, Created, Generation, Key, Sink, SnapshotStore, StoreError};
use snapshot_store::MemoryStore;

use crate::checks;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Breach {
    EveryoneWins,
    LastOneWrites,
    NameFirst,
    Forgets,
    CutsLargeObjects,
    InventsObjects,
    ListsAllGenerations,
    ListsTheDeleted,
    KeepsTheDeleted,
    KeepsTheFailed,
    PassesOverTheSink,
}

struct Broken {
    breach: Breach,
    store: MemoryStore,
    deleted: Mutex<Vec<Key>>,
}

impl Broken {
    fn is(&self, breach: Breach) -> bool {
        self.breach == breach
    }

    async fn put(&self, key: Key, bytes: Vec<u8>) -> Result<Created, StoreError> {
        self.store.create(key, Bytes::from(bytes).into()).await
    }
}

#[async_trait]
impl SnapshotStore for Broken {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        if self.is(Breach::NameFirst) {
            self.put(key, Vec::new()).await?;
        }
        let mut bytes = Vec::new();
        if let Err(error) = content.write_to(&mut bytes) {
            if self.is(Breach::KeepsTheFailed) {
                self.put(key, bytes).await?;
            }
            return Err(StoreError::new("cannot write", error));
        }
        match self.breach {
            Breach::Forgets => return Ok(Created::New),
            Breach::CutsLargeObjects => bytes.truncate(1_000_000),
            Breach::LastOneWrites | Breach::NameFirst => self.store.delete(key).await?,
            _ => {}
        }
        let created = self.put(key, bytes).await?;
        Ok(if self.is(Breach::EveryoneWins) { Created::New } else { created })
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        match self.store.read(key, sink).await {
            Ok(false) if self.is(Breach::InventsObjects) => Ok(true),
            Err(_) if self.is(Breach::PassesOverTheSink) => Ok(true),
            other => other,
        }
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        let generation = generation.filter(|_| !self.is(Breach::ListsAllGenerations));
        let mut parts = self.store.list_parts(generation).await?;
        if self.is(Breach::ListsTheDeleted) {
            parts.extend(self.deleted.lock().unwrap().iter());
        }
        Ok(parts)
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.deleted.lock().unwrap().push(key);
        if self.is(Breach::KeepsTheDeleted) { Ok(()) } else { self.store.delete(key).await }
    }
}

#[track_caller]
fn fails(breach: Breach, check: impl Fn(&Broken)) {
    let store = Broken { breach, store: MemoryStore::new(), deleted: Mutex::default() };
    assert!(
        catch_unwind(AssertUnwindSafe(|| check(&store))).is_err(),
        "the check passes a store that {breach:?}"
    );
}

#[test]
fn every_check_fails_on_a_store_that_breaks_its_clause() {
    fails(Breach::EveryoneWins, checks::one_of_many_creates_wins);
    fails(Breach::LastOneWrites, checks::who_comes_later_changes_nothing);
    fails(Breach::CutsLargeObjects, checks::an_object_is_what_was_written);
    fails(Breach::NameFirst, checks::a_half_written_object_is_not_there);
    fails(Breach::Forgets, checks::a_created_object_is_found);
    fails(Breach::InventsObjects, checks::an_empty_store_holds_nothing);
    fails(Breach::ListsAllGenerations, checks::listed_parts_are_those_that_are_there);
    fails(Breach::ListsTheDeleted, checks::listed_parts_are_those_that_are_there);
    fails(Breach::KeepsTheDeleted, checks::a_deleted_object_is_gone_and_may_come_again);
    fails(Breach::KeepsTheFailed, checks::failed_content_leaves_nothing);
    fails(Breach::PassesOverTheSink, checks::a_failed_sink_is_an_error);
}
