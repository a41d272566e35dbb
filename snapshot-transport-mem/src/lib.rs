//! The in-memory network of snapshot-core: seeded, deterministic, with virtual time.
//!
//! ```
//! use snapshot_core::{Body, Frame, Frames, Generation, Inbox, Incoming, Stamp, Transport};
//! use snapshot_transport_mem::MemNetwork;
//!
//! // Two nodes, n1 and n2, linked both ways.
//! let (network, [a, b]) = MemNetwork::mesh::<2>();
//! let to_b = a.topology().peer(b.id()).unwrap();
//! let from_a = b.topology().peer(a.id()).unwrap();
//!
//! // Freeze five coins in flight.
//! network.hold(a.id(), b.id());
//! let coins = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message("five coins") };
//! let mut frames = Frames::new();
//! frames.push_back(coins.clone());
//! let mut inbox = Inbox::with_capacity(16);
//! network.run(async {
//!     a.send(to_b, &mut frames).await?;
//!     b.recv(&mut inbox).await
//! })??;
//! assert_eq!(inbox.pop(), Some(Incoming::Up(from_a)));
//! assert_eq!((inbox.pop(), network.in_flight(a.id(), b.id())), (None, 1));
//!
//! // A test that waits for them now would fail, and say why.
//! let stuck = network.run(b.recv(&mut inbox)).unwrap_err();
//! assert!(stuck.to_string().contains("n1 -> n2: 1 frame, held"));
//!
//! // Let them arrive.
//! network.release(a.id(), b.id());
//! network.run(b.recv(&mut inbox))??;
//! assert_eq!(inbox.pop(), Some(Incoming::Frame { from: from_a, frame: coins }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a test can do
//!
//! | to | call |
//! | --- | --- |
//! | freeze frames in flight, let some or all of them go | [`hold`](MemNetwork::hold), [`let_pass`](MemNetwork::let_pass), [`release`](MemNetwork::release) |
//! | break a connection and mend it | [`cut`](MemNetwork::cut), [`heal`](MemNetwork::heal) |
//! | lose a process, or a machine, and start it again | drop the transport, [`crash`](MemNetwork::crash), [`transport`](MemNetwork::transport) |
//! | make links slow and uneven | [`MemNetworkBuilder::delay`], [`set_delay`](MemNetwork::set_delay) |
//! | see what is under way | [`in_flight`](MemNetwork::in_flight), [`look`](MemNetwork::look), [`channels`](MemNetwork::channels) |
//! | let time pass | [`run`](MemNetwork::run) by itself, [`advance`](MemNetwork::advance) by hand |
//!
//! # Which executor
//!
//! * [`MemNetwork::run`], for tests: one thread, the same run for the same seed, time that leaps ahead instead of passing, and
//!   an error in place of a test that hangs.
//! * Any other one, with as many threads as it likes: nothing here needs a runtime. Time then stands still but for
//!   [`MemNetwork::advance`], so leave out delays, or drive time by hand. The order in which threads run is not the seed's to
//!   decide.
//!
//! # Features
//!
//! * `simulation`: tests of an application's state machine on whole nodes, in the module `simulation`: by hand, or under
//!   schedules and faults that a seed decides. Off by default.
//!
//! # What is not simulated
//!
//! Bandwidth, frames that are damaged or come out of order, a loss that nobody is told of: a transport that kept its contract
//! could show none of these. A process that is paused is one that nobody polls.

mod builder;
mod channel;
mod clock;
mod delay;
mod fabric;
mod network;
mod process;
mod run;
mod seed;
#[cfg(feature = "simulation")]
pub mod simulation;
mod status;
mod transport;

pub use builder::MemNetworkBuilder;
pub use delay::Delay;
pub use network::MemNetwork;
pub use run::Stuck;
pub use status::{ChannelStatus, Connection};
pub use transport::MemTransport;
