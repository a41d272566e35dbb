//! The clauses of `SnapshotStore`, for every store of this package.

use snapshot_conformance::StoreFixture;
use snapshot_store::{DirectoryStore, Fault, FaultyStore, MemoryStore};

mod directory_store {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    struct Folder(TempDir);

    impl StoreFixture for Folder {
        type Store = DirectoryStore;

        /// A folder has no pages.
        const PARTS: usize = 200;

        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        async fn open(&self) -> DirectoryStore {
            DirectoryStore::open(self.0.path().join("store")).unwrap()
        }

        /// As a disk that is unmounted: its mount point is empty.
        fn outage(&self, begins: bool) -> bool {
            let (store, away) = (self.0.path().join("store"), self.0.path().join("away"));
            if begins {
                fs::rename(&store, &away).unwrap();
                fs::create_dir(&store).unwrap();
            } else {
                fs::remove_dir(&store).unwrap();
                fs::rename(&away, &store).unwrap();
            }
            true
        }
    }

    snapshot_conformance::store!(Folder);
}

mod memory_store {
    use super::*;

    struct Memory(MemoryStore);

    impl StoreFixture for Memory {
        type Store = MemoryStore;

        fn new() -> Self {
            Self(MemoryStore::new())
        }

        async fn open(&self) -> MemoryStore {
            self.0.clone()
        }
    }

    snapshot_conformance::store!(Memory);
}

/// As a node holds it.
mod shared_store {
    use std::sync::Arc;

    use snapshot_core::SnapshotStore;

    use super::*;

    struct Shared(Arc<dyn SnapshotStore>);

    impl StoreFixture for Shared {
        type Store = Arc<dyn SnapshotStore>;

        fn new() -> Self {
            Self(Arc::new(MemoryStore::new()))
        }

        async fn open(&self) -> Arc<dyn SnapshotStore> {
            Arc::clone(&self.0)
        }
    }

    snapshot_conformance::store!(Shared);
}

mod faulty_store {
    use std::io::ErrorKind;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Without faults, but for an outage.
    struct Faulty {
        store: FaultyStore<MemoryStore>,
        down: Arc<AtomicBool>,
    }

    impl StoreFixture for Faulty {
        type Store = FaultyStore<MemoryStore>;

        fn new() -> Self {
            let down = Arc::new(AtomicBool::new(false));
            let is_down = Arc::clone(&down);
            let faults = move |_| match is_down.load(Ordering::SeqCst) {
                true => Fault::Fail(ErrorKind::NetworkUnreachable),
                false => Fault::None,
            };
            Self { store: FaultyStore::new(MemoryStore::new(), faults), down }
        }

        async fn open(&self) -> FaultyStore<MemoryStore> {
            self.store.clone()
        }

        fn outage(&self, begins: bool) -> bool {
            self.down.store(begins, Ordering::SeqCst);
            true
        }
    }

    snapshot_conformance::store!(Faulty);
}
