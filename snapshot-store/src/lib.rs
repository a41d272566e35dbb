//! Stores for [`snapshot_core`]: a folder that outlives the machine's crash, and memory for tests.
//!
//! ```
//! use futures::executor::block_on;
//! use snapshot_core::{Content, Created, Key, Sink, SnapshotStore};
//! use snapshot_store::DirectoryStore;
//!
//! # let place = tempfile::tempdir()?;
//! # let folder = place.path().join("snapshots");
//! let store = DirectoryStore::open(folder)?;
//! block_on(async {
//!     let created = store.create(Key::Journal(1), Content::new(|out| out.write_all(b"first"))).await?;
//!     assert_eq!(created, Created::New);
//!     let (sink, found) = Sink::collect();
//!     assert!(store.read(Key::Journal(1), sink).await?);
//!     assert_eq!(found.take().as_deref(), Some(&b"first"[..]));
//!     Ok::<(), snapshot_core::StoreError>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`DirectoryStore`]: one folder, shared by all processes of the group; every object a file.
//! * [`MemoryStore`]: a map, gone with the process; deterministic.
//! * [`FaultyStore`]: around another store, fails where a test wants it to.
//!
//! A store keeps bytes and does not look into them: that an object is damaged is found by the checksums of the core's own
//! formats, when it is read.

mod closure;
mod directory;
mod faulty;
mod memory;

pub use directory::{DirectoryStore, OpenError};
pub use faulty::{Fault, FaultyStore, Operation};
pub use memory::MemoryStore;
