//! Consistent global snapshots of a distributed application while it keeps running, and restart from them exactly once.

mod archive;
mod builder;
mod clock;
mod codec;
mod control;
mod coordinator;
mod error;
mod event;
mod frame;
mod handle;
mod id;
mod journal;
mod node;
mod outcome;
mod part;
mod persist;
#[cfg(feature = "postcard")]
mod serde_postcard;
mod settings;
mod snapshot;
mod state;
mod store;
mod topology;
mod transport;
mod wire;

pub use archive::{Archive, ArchiveError, Commit, CommittedPart, OpenedGeneration};
pub use builder::NodeBuilder;
pub use clock::{Clock, SystemClock};
pub use codec::{MessageCodec, RawBytes};
pub use coordinator::{
    Capture, CaptureFn, Failure, InitiateError, Output, SendError, SnapshotCoordinator, StoreAnswer,
    StoreRequest, Ticket,
};
pub use error::{NodeError, SnapshotError};
pub use event::{Event, Violation};
pub use frame::{Body, Frame, FrameKind, Frames, Stamp, StampBytes};
pub use handle::SnapshotHandle;
pub use id::{Generation, NodeId, Peer, SnapshotId, Turn};
pub use journal::{ForeignStore, PartRef, RecordError, Retention};
pub use node::{Destination, SnapshotNode};
pub use outcome::{AbortReason, PartReport, SnapshotPhase, SnapshotReport, SnapshotStatus};
pub use part::{PartError, StoredPart};
#[cfg(feature = "postcard")]
pub use serde_postcard::{Postcard, PostcardState};
pub use settings::{Bound, Settings};
pub use snapshot::{AssembleError, GlobalSnapshot, LocalSnapshot};
pub use state::StateProvider;
pub use store::{Collected, Content, Created, Key, Sink, SnapshotStore, StoreError};
pub use topology::{Graph, LinkUse, Topology, TopologyError};
pub use transport::{Inbox, Incoming, Transport, TransportError};
pub use wire::Malformed;
