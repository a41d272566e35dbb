//! Consistent global snapshots of a distributed application while it keeps running, and restart from them exactly once.
//!
//! ```
//! use snapshot_core::{Event, Postcard, PostcardState, SnapshotNode};
//! use snapshot_store::MemoryStore;
//! use snapshot_transport_mem::MemNetwork;
//!
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! struct Ledger { balance: u64 }
//! impl PostcardState for Ledger {}
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two nodes in one process; over TCP each would be a process of its own.
//! let (_network, [here, there]) = MemNetwork::<u64>::mesh::<2>();
//! let store = MemoryStore::new();
//! let (mut ours, mut theirs) = (Ledger { balance: 100 }, Ledger { balance: 0 });
//! let mut one = SnapshotNode::builder(here).store(store.clone()).codec(Postcard).start(&mut ours).await?;
//! let mut two = SnapshotNode::builder(there).store(store.clone()).codec(Postcard).start(&mut theirs).await?;
//!
//! // A turn: what it does to the state and what it sends are one.
//! ours.balance -= 30;
//! one.send(two.id(), 30)?;
//! let sent_in = one.turn();
//!
//! // Asks for a snapshot; the loops go on as ever.
//! one.snapshot();
//! let mut covered = false;
//! while !covered {
//!     tokio::select! {
//!         event = one.next(&mut ours) => match event? {
//!             Event::Message { message, .. } => ours.balance += message,
//!             // Whatever fails from now on, this turn has happened: its effects may leave the node.
//!             Event::Committed { turn, .. } => covered = turn >= sent_in,
//!             _ => {}
//!         },
//!         event = two.next(&mut theirs) => if let Event::Message { message, .. } = event? {
//!             theirs.balance += message;
//!         },
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # Where to find what
//!
//! The [`guide`] begins with programs: [add snapshots to an application](guide::add_snapshots), [a whole server before and
//! after](guide::existing_app), [mistakes](guide::mistakes), [write a transport](guide::write_a_transport), [test in
//! memory](guide::test_in_memory), [deploy](guide::deploying). Then it tells [what recovery promises](guide::recovery), [what
//! large states need](guide::large_states), [how all this is tested](guide::how_this_is_tested), and answers [why there is
//! no …](guide::questions).
//!
//! | to | look at |
//! | --- | --- |
//! | add snapshots to an application with a message loop | [`SnapshotNode`], [`NodeBuilder`], [`Event`] |
//! | add snapshots to an application of many tasks | [`SharedNode`], [`Calls`] |
//! | ask for a snapshot from another task, see what one waits for, abort one | [`SnapshotHandle`], [`SnapshotReport`], [`SnapshotStatus`] |
//! | make a state one that can be captured | [`StateProvider`], or [`PostcardState`] in one line |
//! | say who is in the group, and who sends to whom | [`Graph`], [`Topology`] |
//! | use a network of your own | [`Transport`], its clauses T1 to T8, [`Frame`], [`Stamp`] |
//! | keep your own connections, tasks and wire format | [`LinkTransport`], [`Links`] |
//! | use a store of your own | [`SnapshotStore`], its clauses D1 to D8, [`Key`], [`Content`], [`Sink`] |
//! | look into a cut: audit, invariants, debugging | [`GlobalSnapshot`], [`Archive`] |
//! | have invariants checked on every committed snapshot, while the group runs | [`NodeBuilder::check`], [`Event::CheckFailed`] |
//! | drive the rules yourself, without async | [`SnapshotCoordinator`], [`Output`] |
//!
//! # What it does
//!
//! *Recording* is the algorithm of Chandy & Lamport (*Distributed Snapshots*, 1985): markers travel through the channels
//! among the messages, and split them into what is in the cut and what is not. Any node may begin a snapshot, several at a
//! time; the application never stops. *Commit* makes it count: every node's part is durable in the store, then one record in
//! the store's journal says so. *Recovery* takes the whole group back to the newest committed snapshot when something was
//! lost, replays what was in flight, and fences off whatever remains of the abandoned history.
//!
//! # What it does not do
//!
//! * Members do not come and go; the group is what its [`Graph`] says.
//! * Channels must keep order. One that loses frames says so, and the group rolls back; nothing is sent again.
//! * It does not start processes that have died.
//! * What stands outside the group (clients, databases, e-mail) is not in the cut. [`Event::Committed`] says when an effect may
//!   leave; [`Event::RolledBack`] says which effects never happened.
//! * Without a store there are snapshots and no recovery.
//!
//! # Features
//!
//! * `postcard`: one byte format for states and messages with serde's traits: [`Postcard`], [`PostcardState`]. Off by default.
#![cfg_attr(not(feature = "postcard"), allow(rustdoc::broken_intra_doc_links))]

mod contract;
mod driver;
mod format;
pub mod guide;
mod inspect;
mod protocol;
mod vocabulary;

/// The attribute for implementations of the traits here that have `async fn`s, from the crate of that name.
pub use async_trait::async_trait;
/// What frames and codecs carry, from the crate of that name.
pub use bytes::Bytes;

pub use contract::clock::{Clock, SystemClock};
pub use contract::codec::{MessageCodec, RawBytes};
#[cfg(feature = "postcard")]
pub use contract::postcard::{Postcard, PostcardState};
pub use contract::state::{StateProvider, UnknownVersion};
pub use contract::store::{Collected, Content, Sink, SnapshotStore, StoreError};
pub use contract::transport::{Transport, TransportError};
pub use driver::builder::NodeBuilder;
pub use driver::error::{NodeError, SnapshotError};
pub use driver::handle::{BegunSnapshot, SnapshotHandle};
pub use driver::links::{
    Arrivals, ConnectError, Departures, Disconnected, LinkTransport, Links, Packet, Push,
};
pub use driver::node::{Destination, Farewell, Flushed, SnapshotNode};
pub use driver::shared::{
    Answer, CallError, CallId, Calls, Deliveries, Delivery, Outbox, SharedDriver, SharedNode, TurnError,
    TurnId, Work,
};
pub use format::envelope::RecordError;
pub use format::part::PartError;
pub use format::stamp::StampBytes;
pub use inspect::archive::{Archive, ArchiveError, Commit, CommittedPart, OpenedGeneration};
pub use inspect::global_snapshot::{AssembleError, GlobalSnapshot};
pub use protocol::coordinator::{
    Capture, CaptureFn, Failure, InitiateError, Output, SendError, SnapshotCoordinator, StoreAnswer,
    StoreRequest, Ticket,
};
pub use protocol::journal::ForeignStore;
pub use protocol::settings::{Bound, Settings, UncommittedBound};
pub use vocabulary::event::{Event, Violation};
pub use vocabulary::frame::{Body, Frame, FrameKind, Stamp};
pub use vocabulary::frames::Frames;
pub use vocabulary::id::{Generation, NodeId, Peer, SnapshotId, Turn};
pub use vocabulary::inbox::{Inbox, Incoming};
pub use vocabulary::key::{Created, Key};
pub use vocabulary::life::Life;
pub use vocabulary::malformed::Malformed;
pub use vocabulary::outcome::{
    AbortReason, Awaiting, PartReport, SnapshotPhase, SnapshotReport, SnapshotStatus,
};
pub use vocabulary::part::{LocalSnapshot, PartRef, StoredPart};
pub use vocabulary::retention::Retention;
pub use vocabulary::run::Run;
pub use vocabulary::shape::LinkUse;
pub use vocabulary::topology::{Graph, Topology, TopologyError};

/// The programs of the README, so that they are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeDoctests;
