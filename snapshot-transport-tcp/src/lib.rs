//! snapshot-core over TCP, on tokio.
//!
//! ```
//! use bytes::Bytes;
//! use snapshot_core::{Body, Frame, Frames, Generation, Graph, Inbox, Incoming, NodeId, RawBytes, Stamp, Transport};
//! use snapshot_transport_tcp::TcpTransport;
//! use std::time::Duration;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let group = Graph::mesh([NodeId(1), NodeId(2)]).named("greetings");
//! // Each node, in its own process: the one with the larger id dials.
//! let one = TcpTransport::builder(group.at(NodeId(1))?, RawBytes).listen("127.0.0.1:0".parse()?).bind().await?;
//! let address = one.local_addr().unwrap().to_string();
//! let two = TcpTransport::builder(group.at(NodeId(2))?, RawBytes).peer(NodeId(1), address).bind().await?;
//! two.connected(Duration::from_secs(10)).await?;
//!
//! // A node does this.
//! let mut frames = Frames::new();
//! frames.push_back(Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message(Bytes::from("hello")) });
//! two.send(two.topology().peer(NodeId(1)).unwrap(), &mut frames).await?;
//!
//! let mut inbox = Inbox::with_capacity(2);
//! one.recv(&mut inbox).await?;
//! assert!(matches!(inbox.pop(), Some(Incoming::Up(peer)) if peer.id() == NodeId(2)));
//! one.recv(&mut inbox).await?;
//! assert!(matches!(inbox.pop(), Some(Incoming::Frame { frame, .. }) if frame.body == Body::Message("hello".into())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Connections
//!
//! There is one connection for each pair of neighbours; the node with the larger id dials. Nodes may start in any order. A
//! handshake compares version, group, ids and graph, and a disagreement is reported on both sides: in the log, and by
//! [`connected`](TcpTransport::connected). So is a neighbour that cannot be reached, on the side that dials
//! ([`peer`](TcpBuilder::peer)). A lost connection is dialed again, at once and then ever more slowly, and a newer
//! connection of a neighbour takes the place of the older one, so that a process that was restarted is taken at once.
//!
//! A connection that breaks while both processes live is resumed, within the time of [`resume_within`](TcpBuilder::resume_within): what
//! had not arrived is sent again, and neither a loss nor a new connection is told. For that, what was sent is kept until the other side
//! acknowledges it, up to 4 MiB and one frame for each neighbour.
//!
//! A neighbour that says goodbye has [`left`](snapshot_core::Inbox::left). One that is not back in time, or is another process by then, is
//! [lost](snapshot_core::Inbox::lost). Frames that were handed to the system may be gone with it, and are not sent again; whole frames
//! that were not begun go out on the next connection.
//!
//! A machine that vanishes without a word is noticed by the system's keepalive within minutes; while something is on its way
//! to it, only when the system gives up sending (on Linux after some 15 minutes). Until then a snapshot's deadline says so.
//!
//! # Messages
//!
//! A [`MessageCodec`](snapshot_core::MessageCodec) turns them into bytes: `Postcard` of snapshot-core for types with serde's
//! traits, `RawBytes` for `Bytes`, or one of your own. A message that the codec gives
//! [in place](snapshot_core::MessageCodec::as_bytes) is sent from there when it is large. Received `Bytes` are slices of the
//! read buffer: a small one that is kept for long keeps up to 256 KiB alive.
//!
//! # Who may come in
//!
//! With [`Certificates`] (feature `tls`) connections are encrypted, by TLS 1.3, and each side proves which node of which group it is; whoever
//! cannot is turned away before it is heard. They are exchanged while the transport runs, with a [`CertificateHandle`].
//!
//! Without them a neighbour's word for its name is believed, and everybody on the network can read and forge: so nothing leaves the
//! machine's loopback, unless [`allow_plain_text_outside_loopback`](TcpBuilder::allow_plain_text_outside_loopback) says that it may.

mod clock;
mod codec;
mod config;
mod dial;
mod dialer;
mod entry;
mod error;
#[cfg(test)]
mod golden;
mod greeting;
mod half_open;
mod handshake;
mod link;
mod listen;
mod lock;
mod plain_text;
#[cfg(test)]
mod properties;
mod receiving;
mod sending;
mod session;
mod shared;
mod silence;
mod strangers;
mod stream;
mod tend;
#[cfg(feature = "tls")]
mod tls;
mod told;
mod transport;
mod turns;
mod write_buffer;

pub use clock::TokioClock;
pub use config::{Listener, TcpBuilder};
pub use error::{BindError, LastSeen, Missing, NotConnected};
#[cfg(feature = "tls")]
pub use tls::CertificateHandle;
#[cfg(feature = "tls")]
pub use tls::certificates::{CertificateError, Certificates};
pub use transport::TcpTransport;
