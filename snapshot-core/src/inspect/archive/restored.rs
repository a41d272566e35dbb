//! What a store needs that was put back, before anybody starts on it.

use std::hash::{BuildHasher, RandomState};

use super::{Archive, ArchiveError, record};
use crate::format::record::Record;
use crate::vocabulary::id::Generation;
use crate::vocabulary::key::{Created, Key};

impl<S, M: Send + 'static> Archive<S, M> {
    /// Opens the next generation, at [`latest`](Self::latest), on behalf of the first member: for a store that was put back from a
    /// backup, once, while no process runs. Nobody lives in it: whoever starts next opens the one behind it, and all others take part in
    /// that. Of what was said in the generations before, in whatever history of the store, nothing is believed any more.
    ///
    /// A backup that was taken at the right moment needs none of this: [when that is](crate::guide::deploying#backups). In one that
    /// has the record of a generation, and not the seats of all its members, a process would sit down where another one has sent,
    /// and over a network that still holds those frames (a bus, a queue) its neighbours would take them for its own.
    ///
    /// Where the newest records are [damaged](Self::unreadable), it goes on from what came before them.
    ///
    /// A snapshot of which all parts are there, and no record, is not committed after this. Nobody was told that it was.
    ///
    /// ```
    /// use snapshot_core::{Archive, Generation, Graph, NodeId, Postcard, PostcardState, RawBytes, SnapshotNode};
    /// use snapshot_store::MemoryStore;
    /// use snapshot_transport_mem::MemNetwork;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Ledger { balance: u64 }
    /// impl PostcardState for Ledger {}
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let network = MemNetwork::<u64>::new(&Graph::new([NodeId(1)]))?;
    /// let mut ledger = Ledger { balance: 10 };
    /// let node = SnapshotNode::builder(network.transport(NodeId(1)));
    /// drop(node.store(store.clone()).codec(Postcard).start(&mut ledger).await?);
    ///
    /// // … the store is lost, and a backup put in its place; then, before any process starts:
    /// let backup = store.backup();
    /// let mut archive = Archive::<(), _>::open(backup.clone(), RawBytes).await?;
    /// assert_eq!(archive.open_generation().await?, Generation(2));
    ///
    /// let node = SnapshotNode::builder(network.transport(NodeId(1)));
    /// let node = node.store(backup).codec(Postcard).start(&mut ledger).await?;
    /// assert_eq!(node.generation(), Generation(3));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If the store fails, or has a record that cannot be read. Then try again: if it was done all the same, there is one
    /// generation more, which costs nothing.
    ///
    /// # Cancel safety
    ///
    /// A generation may have been opened or not, as after an error.
    pub async fn open_generation(&mut self) -> Result<Generation, ArchiveError> {
        loop {
            self.refresh().await?;
            let last = record(&*self.store, self.readable).await?.ok_or(ArchiveError::Empty)?;
            // Behind what cannot be read, and from what came before it.
            let last = Record { index: self.read, ..last };
            // Never one that an earlier history had: each hash map has other keys.
            let nonce = RandomState::new().hash_one(std::process::id());
            let mut next = last.open(self.members[0], nonce);
            // Without a name it is nobody's to live in: whoever starts opens one of its own. Were the store copied from here, once for
            // each node, all would else be in generations of one name, and take their stores for one (F6).
            next.opened = None;
            let key = Key::Journal(next.index);
            // Where somebody else was first, see what is there, and decide anew (J1).
            if self.store.create(key, next.encode().into()).await? == Created::New {
                self.refresh().await?;
                return Ok(next.generation);
            }
        }
    }
}
