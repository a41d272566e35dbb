//! Consistent global snapshots of a distributed application while it keeps running, and restart from them exactly once.

mod clock;
mod codec;
mod control;
mod frame;
mod id;
mod outcome;
#[cfg(feature = "postcard")]
mod serde_postcard;
mod state;
mod store;
mod topology;
mod transport;
mod wire;

pub use clock::{Clock, SystemClock};
pub use codec::{MessageCodec, RawBytes};
pub use frame::{Body, Frame, FrameKind, Frames, Stamp, StampBytes};
pub use id::{Generation, NodeId, Peer, SnapshotId, Turn};
pub use outcome::{AbortReason, PartReport, SnapshotPhase, SnapshotReport, SnapshotStatus};
#[cfg(feature = "postcard")]
pub use serde_postcard::{Postcard, PostcardState};
pub use state::StateProvider;
pub use store::{Collected, Content, Created, Key, Sink, SnapshotStore, StoreError};
pub use topology::{Graph, LinkUse, Topology, TopologyError};
pub use transport::{Incoming, Inbox, Transport, TransportError};
pub use wire::Malformed;
