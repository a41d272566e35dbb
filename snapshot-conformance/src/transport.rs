//! Does a transport keep its clauses T1 to T8?
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use snapshot_conformance::TransportFixture;
//! use snapshot_core::{Frame, Frames, Graph, Inbox, NodeId, Peer, Topology, Transport, TransportError, async_trait};
//! use tokio::sync::{Mutex, mpsc};
//!
//! /// A transport over channels: each node has one queue, which outlives its processes.
//! struct Bus {
//!     topology: Topology,
//!     queues: Arc<BTreeMap<NodeId, Queue>>,
//! }
//!
//! struct Queue {
//!     to: mpsc::Sender<(NodeId, Frame<String>)>,
//!     from: Mutex<mpsc::Receiver<(NodeId, Frame<String>)>>,
//! }
//!
//! #[async_trait]
//! impl Transport for Bus {
//!     type Message = String;
//!
//!     fn topology(&self) -> &Topology { &self.topology }
//!
//!     async fn send(&self, to: Peer, frames: &mut Frames<String>) -> Result<(), TransportError> {
//!         while let Some(frame) = frames.pop_front() {
//!             let sent = self.queues[&to.id()].to.send((self.topology.me(), frame)).await;
//!             sent.expect("the queues are there as long as the bus");
//!         }
//!         Ok(())
//!     }
//!
//!     async fn recv(&self, into: &mut Inbox<String>) -> Result<(), TransportError> {
//!         let mut queue = self.queues[&self.topology.me()].from.lock().await;
//!         if let Some((from, frame)) = queue.recv().await {
//!             into.push(self.topology.peer(from).expect("a neighbour"), frame);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! /// How the suite makes one.
//! struct BusFixture {
//!     queues: Arc<BTreeMap<NodeId, Queue>>,
//! }
//!
//! impl TransportFixture for BusFixture {
//!     type Message = String;
//!     type Transport = Bus;
//!     // A bus knows nothing of its users coming and going.
//!     const CONNECTIONS: bool = false;
//!     const GOODBYE: bool = false;
//!
//!     fn new(graph: &Graph) -> Self {
//!         let queue = |id: &NodeId| {
//!             let (to, from) = mpsc::channel(16);
//!             (*id, Queue { to, from: Mutex::new(from) })
//!         };
//!         Self { queues: Arc::new(graph.members().iter().map(queue).collect()) }
//!     }
//!
//!     async fn start(&self, topology: Topology) -> Bus {
//!         Bus { topology, queues: Arc::clone(&self.queues) }
//!     }
//!
//!     fn message(&self, number: u64, size: usize) -> String {
//!         format!("{number}{}", ".".repeat(size))
//!     }
//! }
//!
//! // In a file of tests/: one test for each clause.
//! snapshot_conformance::transport!(BusFixture);
//! #
//! # // What the tests would do.
//! # use snapshot_conformance::{Breach, transport::*};
//! # type F = BusFixture;
//! # t1_order::<F>()?;
//! # t2_nothing_lost_repeated_or_changed::<F>()?;
//! # t3_bounded::<F>()?;
//! # t4_a_slow_peer_delays_only_itself::<F>()?;
//! # t5_send_and_recv_side_by_side::<F>()?;
//! # t6_ready_is_handed_on::<F>()?;
//! # t7_connections_are_told::<F>()?;
//! # t8_clean_end::<F>()?;
//! # Ok::<(), Breach>(())
//! ```
//!
//! # What the checks do
//!
//! Each runs several scenarios with groups of two or three nodes, each group on a fixture of its own. Transports are used
//! as a node uses them: one `recv` and one `send` per peer at a time, side by side, and none dropped before it is done
//! unless its process ends. Futures are polled only when their own waker was woken.
//!
//! * [`t1_order`]: mixed messages and control frames in batches of all sizes, both ways, on a mesh, a one-way ring, and a
//!   line whose way back carries only control.
//! * [`t2_nothing_lost_repeated_or_changed`]: bodies from nothing to [`LARGEST`](TransportFixture::LARGEST), stamps and
//!   control bytes of all kinds, equal frames; a batch of thousands, and 70,000 frames; everybody to everybody at once; senders
//!   and receivers that are killed, and a connection that is [cut](TransportFixture::cut), in the midst of traffic; the first
//!   frames after that.
//! * [`t3_bounded`]: inboxes with little room and with something in them; a receiver that takes nothing, neither messages nor
//!   control frames.
//! * [`t4_a_slow_peer_delays_only_itself`]: of three nodes one takes nothing, has never run, was killed, or said goodbye, and
//!   the other two go on; then it takes what was sent. And all at the same time, for as long as
//!   [`PATIENCE`](TransportFixture::PATIENCE): a `send` to a peer that takes nothing, is dead or has never run (T4), frames
//!   that lie undelivered (T2), a `recv` in silence, with neighbours and without (T8); then all goes on as if nothing had
//!   been.
//! * [`t5_send_and_recv_side_by_side`]: sends while nothing arrives, receives while sends wait, two sends at once, two nodes
//!   that first send and then receive; calls that are asked by one task and then by another.
//! * [`t6_ready_is_handed_on`]: after each `send` nothing is called on the sender until all has arrived.
//! * [`t7_connections_are_told`]: a first connection, a death, a [cut](TransportFixture::cut), a goodbye, restarts of either
//!   side, several while the other side looks away.
//! * [`t8_clean_end`]: all others are gone, and may come back; one's own `close`.
//!
//! # What gives up
//!
//! No clause has an end in time, since nobody knows how long a peer takes to come back. So these break the contract, however
//! long they are:
//!
//! * T2: frames that expire, such as by the TTL of a message broker, or are dropped when they have been queued for too long.
//! * T4: a `send` that fails after a timeout, whether for writing, for connecting, or for an acknowledgement.
//! * T8: a `recv` that fails, or is ready with nothing pushed, after an idle or a read timeout.
//!
//! A connection may have a timeout, such as one for heartbeats, where its end is told (`lost`), and then a new one is made.
//!
//! # What an implementation may leave out
//!
//! The constants of [`TransportFixture`] say so: a transport without connections, without a goodbye, or whose processes
//! cannot be started again. All else is for everyone.

mod call;
mod connections;
mod duplex;
mod end;
mod faithful;
mod frames;
mod handed_on;
mod isolation;
mod lab;
mod limits;
mod order;
mod patience;
mod relief;
mod station;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use snapshot_core::{Clock, Graph, NodeId, SystemClock, Topology, Transport};

pub use self::connections::t7_connections_are_told;
pub use self::duplex::t5_send_and_recv_side_by_side;
pub use self::end::t8_clean_end;
pub use self::faithful::t2_nothing_lost_repeated_or_changed;
pub use self::handed_on::t6_ready_is_handed_on;
pub use self::isolation::t4_a_slow_peer_delays_only_itself;
pub use self::limits::t3_bounded;
pub use self::order::t1_order;
use super::trial::Trial;
use super::{Breach, Clause, Limit};

const T1: Clause = Clause::new("T1", "order");
const T2: Clause = Clause::new("T2", "nothing lost, repeated or changed");
const T3: Clause = Clause::new("T3", "bounded");
const T4: Clause = Clause::new("T4", "a slow or lost peer delays only itself");
const T5: Clause = Clause::new("T5", "sends and recv do not wait for each other");
const T6: Clause = Clause::new("T6", "all is handed on when send is ready");
const T7: Clause = Clause::new("T7", "up, lost and left tell of each connection");
const T8: Clause = Clause::new("T8", "nothing pushed is the clean end");

/// How much longer than the limit a call may block its thread: as long as a busy machine may keep it waiting.
const GRACE: Duration = Duration::from_secs(1);

/// Runs the check of one clause.
fn check<F: TransportFixture>(
    clause: Clause,
    check: impl FnOnce(&Trial) -> Result<(), Breach> + Send + 'static,
) -> Result<(), Breach> {
    Trial::run(clause, F::LIMIT * 30 + F::PATIENCE, check)
}

/// How the suite makes transports: one value is one isolated network, in which one group runs. There is an example at the
/// [module](self).
///
/// A fixture says what is true of the transport and cannot be asked of it: the constants. A wrong one makes a test fail, or
/// leaves out what could be checked.
pub trait TransportFixture: Sized + Send + Sync + 'static {
    /// What the transport carries. `Debug` is for failures.
    type Message: Clone + PartialEq + Debug + Send + Sync + 'static;
    /// The transport.
    type Transport: Transport<Message = Self::Message>;

    /// Whether it has connections, and so tells `up`, `lost` and `left` (T7). A bus may have none.
    const CONNECTIONS: bool = true;
    /// Whether [`close`](Transport::close) says goodbye and ends one's own `recv`. By default it does nothing.
    const GOODBYE: bool = true;
    /// Whether a node can be started again after its process has ended.
    const RESTARTS: bool = true;
    /// The largest message that is asked for, in bytes. By default 1 MiB.
    const LARGEST: usize = 1024 * 1024;
    /// How many messages of 16 KiB are more than the transport and all beneath it may hold for a receiver that takes nothing
    /// (T3), or of control frames as many bytes. By default 8192, which is 128 MiB.
    const BUFFERED: usize = 8192;
    /// How long a check waits for one thing that should happen, by [`clock`](Self::clock). Only a check that fails waits as
    /// long, and it waits so once. A call that blocks its thread is told when it has not returned for this long and one second
    /// more, by real time. By default 10 s.
    const LIMIT: Duration = Duration::from_secs(10);
    /// How long the suite keeps things waiting, by [`clock`](Self::clock), to see that the transport does not give up: a
    /// `send` to a peer that takes nothing, frames that lie undelivered, a `recv` in silence. Timeouts and lifetimes that are
    /// longer are not found. The check of T4 takes as long, all others do not. It has nothing to do with
    /// [`LIMIT`](Self::LIMIT). By default 6 s.
    const PATIENCE: Duration = Duration::from_secs(6);

    /// A network in which no node runs yet, apart from all others: with ports, folders, names of its own. Dropped when the
    /// scenario is over.
    fn new(graph: &Graph) -> Self;

    /// Starts the process of one node. Called again for the same node, after the transport was dropped, it is a restart.
    /// It need not wait for any neighbour.
    fn start(&self, topology: Topology) -> impl Future<Output = Self::Transport>;

    /// A message of about `size` bytes. Messages of different numbers differ, but for those of 0 bytes, which may all be the
    /// same. A message type that has no such sizes may pass over `size`.
    fn message(&self, number: u64, size: usize) -> Self::Message;

    /// Breaks the connection of two running nodes, if the fixture can; it must come back by itself, or here. Whether it
    /// could. By default it cannot, and those parts of T2 and T7 are left out.
    fn cut(&self, _a: NodeId, _b: NodeId) -> impl Future<Output = bool> {
        async { false }
    }

    /// Runs a scenario: on the runtime that the transport needs. By default on this thread, without a runtime.
    fn block_on<T>(&self, scenario: impl Future<Output = T>) -> T {
        futures::executor::block_on(scenario)
    }

    /// The time that limits go by, which must pass by itself while [`block_on`](Self::block_on) waits. By default the
    /// system's.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }
}

/// Makes tests of all clauses of [`Transport`](snapshot_core::Transport), T1 to T8, for a
/// [`TransportFixture`](crate::TransportFixture).
///
/// The tests are functions of the same names as the [checks](mod@crate::transport), such as `t1_order`. So in a
/// module that imports the checks as well, `t1_order` is the test: `use transport::*` is shadowed without a word, and
/// `t1_order::<MyFixture>()` does not compile, as the test has no type argument; `use transport::t1_order` is refused as a
/// second definition. For that, and for a second fixture in the same file, put the line into a `mod` of its own,
/// with `super::MyFixture`.
#[macro_export]
macro_rules! transport {
    ($fixture:ty) => {
        $crate::transport!($fixture: t1_order t2_nothing_lost_repeated_or_changed t3_bounded
            t4_a_slow_peer_delays_only_itself t5_send_and_recv_side_by_side t6_ready_is_handed_on t7_connections_are_told
            t8_clean_end);
    };
    ($fixture:ty: $($check:ident)*) => {
        $(#[test]
        fn $check() {
            $crate::judge($crate::transport::$check::<$fixture>());
        })*
    };
}
