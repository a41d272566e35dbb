//! What a coordinator asks of its driver.

use bytes::Bytes;
use thiserror::Error;

use crate::format::envelope::RecordError;
use crate::format::part::PartError;
use crate::protocol::journal::ForeignStore;
use crate::vocabulary::event::Event;
use crate::vocabulary::id::Generation;
use crate::vocabulary::key::{Created, Key};
use crate::vocabulary::outcome::SnapshotReport;
use crate::vocabulary::part::LocalSnapshot;
use crate::vocabulary::part::PartRef;
use crate::vocabulary::part::StoredPart;

/// What a coordinator asks of its driver, in order. Drain [`poll_output`](crate::SnapshotCoordinator::poll_output) after
/// every input.
///
/// ```
/// use snapshot_core::{Graph, Key, NodeId, Output, Settings, SnapshotCoordinator, StoreAnswer, StoreRequest};
/// use std::time::Duration;
/// let topology = Graph::new([NodeId(1)]).at(NodeId(1))?;
/// let settings = Settings { durable: true, ..Settings::default() };
/// let mut node = SnapshotCoordinator::<u64, u64>::new(topology, settings, 1);
/// node.start(Duration::ZERO);
/// // The first thing that a node wants to know: is there a journal?
/// let Some(Output::Store { ticket, request }) = node.poll_output() else { panic!() };
/// assert_eq!(request, StoreRequest::Read(Key::Journal(1)));
/// node.handle_store(Duration::ZERO, ticket, StoreAnswer::Read(None), &mut || unreachable!());
/// # Ok::<(), snapshot_core::TopologyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Output<M, C> {
    /// Hand this to the application. Messages are not among these: see
    /// [`take_message`](crate::SnapshotCoordinator::take_message).
    Event(Event<M, C>),
    /// A snapshot that this node began has ended well.
    Report(SnapshotReport),
    /// Do this with the store, and bring the answer to
    /// [`handle_store`](crate::SnapshotCoordinator::handle_store). Requests may run side by side.
    Store {
        /// Names the request in the answer.
        ticket: Ticket,
        /// What to do.
        request: StoreRequest<M, C>,
    },
    /// Hand out all events before this one, then install this state, if there is one, call
    /// [`handle_restored`](crate::SnapshotCoordinator::handle_restored), and hand out the event that follows before the
    /// application does anything else. Until then nothing is handed out and there is no room for new work.
    Restore {
        /// The state; `None`: the one that the application started with stands.
        state: Option<C>,
    },
    /// The node has come to its end; it takes no more input.
    Failed(Failure),
}

/// Names a request to the store, so that its answer finds its way. See [`Output`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub(crate) u64);

/// Something to do with the store. See [`Output`] for an example.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum StoreRequest<M, C> {
    /// Read a small object.
    Read(Key),
    /// Create a small object if it is absent.
    Create(Key, Bytes),
    /// Encode and create this node's initial state if it is absent.
    WriteInitial(C),
    /// Encode and create a part.
    WritePart(LocalSnapshot<C, M>),
    /// Read, check and decode a part or an initial state.
    ReadPart {
        /// Which.
        key: Key,
        /// What the commit record says of it.
        expected: Option<PartRef>,
    },
    /// Read and check a part or an initial state without decoding it.
    VerifyPart {
        /// Which.
        key: Key,
        /// What the commit record says of it.
        expected: Option<PartRef>,
    },
    /// List the parts of a generation, or all.
    ListParts(Option<Generation>),
    /// Delete these, one after the other, also where one of them cannot be.
    Delete(Vec<Key>),
}

/// What became of a [`StoreRequest`]. See [`Output`] for an example.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum StoreAnswer<M, C> {
    /// Of `Read`: the bytes, if there is such an object.
    Read(Option<Bytes>),
    /// Of `Create` and `WriteInitial`.
    Created(Created),
    /// Of `WritePart`: it is durable.
    Written(PartRef),
    /// Of `ReadPart`: what it holds, or what is wrong with it.
    Part(Result<StoredPart<C, M>, PartError>),
    /// Of `VerifyPart`: what it is, or what is wrong with it.
    Verified(Result<PartRef, PartError>),
    /// Of `ListParts`.
    Listed(Vec<Key>),
    /// Of `Delete`: none of them is there any more.
    Deleted,
    /// Of `Delete`: all others are gone.
    Undeleted {
        /// These are still there, as far as is known.
        keys: Vec<Key>,
        /// What the store said of the first of them.
        error: String,
    },
    /// Of any: the store failed, and it may or may not have been done (D7).
    Failed(String),
}

/// Why a node has come to its end.
///
/// ```
/// use snapshot_core::{Failure, Generation};
/// let failure = Failure::Replaced { generation: Generation(4) };
/// assert!(failure.to_string().contains("do not start it again"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// Another process runs as this node.
    #[error(
        "another process has taken this node's place in {generation}: end this one, and do not start it again; \
         if that was a mistake, see that only one process runs for each node"
    )]
    Replaced {
        /// The generation in which it did.
        generation: Generation,
    },
    /// The store belongs to another group.
    #[error(transparent)]
    Foreign(ForeignStore),
    /// What the group must start from is damaged, or this release of the application does not understand it.
    #[error(transparent)]
    Damaged(PartError),
    /// A record of the journal cannot be read.
    #[error(
        "{key} in the store cannot be read: {error}; where it is the newest record, `fall_back` goes on from what came before it, \
         and so does `Archive::open_generation`"
    )]
    Record {
        /// Which.
        key: Key,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The store failed while the node was starting.
    #[error("the store failed: {error}")]
    Store {
        /// What it said.
        error: String,
    },
    /// A turn sent more than the outbox can take.
    #[error(
        "one turn sent more than the outbox can take, so nothing of it was sent: \
         begin new work only while `has_room()`, send less in a turn, or raise `outbox_hard`"
    )]
    OutboxOverflow,
}
