//! A branch: one process, one node of the group. This is the program that uses the library; all else in `bank` watches it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use snapshot_core::{
    Bound, Event, Failure, LinkUse, NodeError, NodeId, Postcard, Retention, SendError, SnapshotHandle,
    SnapshotNode, SnapshotPhase, SnapshotStore, TopologyError,
};
use snapshot_examples::chaos::{DISK, DiskControl, FaultyDisk, NO_STORE, REPLACED};
use snapshot_examples::children::{self, Orders};
use snapshot_store::{DirectoryStore, OpenError};
use snapshot_transport_tcp::{BindError, TcpTransport};
use thiserror::Error;
use tokio::time::MissedTickBehavior;

use crate::audit::Books;
use crate::flags::{BranchFlags, Bug};
use crate::folder::{Folder, FolderError};
use crate::ledger::{Impossible, Ledger, Transfer};
use crate::report::{QUIET, Report, STOP};

/// From one batch of transfers to the next. The pause lets others on a small machine have their turn.
const WORK_EVERY: Duration = Duration::from_millis(2);

/// The transfers that all branches together begin in that time. So a large bank does not take more of the machine than a
/// small one.
const TRANSFERS: u32 = 128;

/// From one pulse to the next.
const PULSE_EVERY: Duration = Duration::from_millis(500);

/// New transfers are made out while fewer than this wait to be sent …
const LOW: Bound = Bound::new(512, 64 << 10);

/// … and arriving ones are taken in while fewer than this do. They cause no others, so that this is never reached.
const HIGH: Bound = Bound::new(16 * 512, 1 << 20);

/// Of the transfers on a channel every so many is booked twice, where that bug is planted.
const DUPLICATE_EVERY: u64 = 1000;

/// How long a goodbye may take. All that counts is in the store by then.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a branch ends without having been told to.
#[derive(Debug, Error)]
pub(crate) enum BranchError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error("there is no address for {0}")]
    NoAddress(NodeId),
    #[error(transparent)]
    Transport(#[from] BindError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(
        "{0}: with --fall-back the bank goes back to an older snapshot, and what was committed since is lost"
    )]
    Damaged(Failure),
    #[error(transparent)]
    Node(NodeError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("exactly-once is broken: {0}")]
    Impossible(#[from] Impossible),
    #[error("a neighbour broke the protocol: {from}: {what}")]
    Violation { from: NodeId, what: snapshot_core::Violation },
    #[error("the transport came to its end while the branch was at work")]
    Closed,
    #[error("the parent does not listen")]
    Parent(#[from] io::Error),
}

impl BranchError {
    /// What the process says with its end.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Node(error) if error.is_replaced() => REPLACED,
            Self::Node(NodeError::Failed(Failure::Store { .. })) => NO_STORE,
            Self::Store(OpenError::Missing { .. } | OpenError::System { .. }) => NO_STORE,
            _ => 1,
        }
    }
}

impl From<NodeError> for BranchError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Failed(failure @ Failure::Damaged(_)) => Self::Damaged(failure),
            other => Self::Node(other),
        }
    }
}

/// Runs a branch until the parent says stop.
pub(crate) async fn run(flags: BranchFlags) -> Result<(), BranchError> {
    let mut orders = Orders::listen();
    let me = NodeId(flags.id);
    let bank = Folder::read(&flags.store)?;
    let topology = bank.graph().at(me)?;
    let address = |id: NodeId| {
        let position = topology.members().iter().position(|member| *member == id);
        position.and_then(|i| flags.addresses.get(i)).copied().ok_or(BranchError::NoAddress(id))
    };

    let mut tcp = TcpTransport::builder(topology.clone(), Postcard).listen(address(me)?);
    for peer in topology.peers() {
        tcp = tcp.peer(peer.id(), address(peer.id())?.to_string());
    }
    let transport: TcpTransport<Transfer> = tcp.bind().await?;
    let mut ledger =
        Ledger::opened(bank.accounts, bank.seed.wrapping_add(me.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let books = Books::of(&bank)?;
    let (store, disk) = store_in(&flags)?;
    let mut node = SnapshotNode::builder(transport)
        .store(store)
        .retention(Retention::All)
        .fall_back(flags.fall_back)
        .check("money", move |cut| books.conserved(cut).map(drop).map_err(|wrong| wrong.to_string()))
        .interval(Duration::from_millis(flags.interval))
        .deadline(Duration::from_millis(flags.deadline))
        .outbox(LOW, HIGH)
        .start(&mut ledger)
        .await?;
    tell(&Report::Started { generation: node.generation() })?;

    let outgoing = topology.outgoing().filter(|peer| topology.outgoing_use(*peer) == Some(LinkUse::Messages));
    let neighbours: Vec<NodeId> = outgoing.map(|peer| peer.id()).collect();
    let batch = (TRANSFERS / bank.nodes).max(4);
    let mut work = tokio::time::interval(WORK_EVERY);
    work.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pulse = tokio::time::interval(PULSE_EVERY);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut open, mut quiet) = (true, false);
    let mut gap = Gap::new();
    let mut sent = 0;

    loop {
        gap.pass();
        tokio::select! {
            event = node.next(&mut ledger) => match event? {
                Event::Message { from, message } => {
                    ledger.take_in(from.id(), message)?;
                    if flags.plant == Some(Bug::Duplicate) && message.number.is_multiple_of(DUPLICATE_EVERY) {
                        ledger.duplicate(message);
                    }
                }
                Event::SnapshotBegun { snapshot, .. } => tell(&Report::Begun { snapshot })?,
                Event::Committed { snapshot, report, .. } => {
                    if let Some(report) = report {
                        tell(&Report::Taken { snapshot, took: micros(report.took) })?;
                    }
                    tell(&Report::Pulse { sent: std::mem::take(&mut sent), gap: gap.take() })?;
                    tell(&Report::Committed { snapshot })?;
                }
                Event::CheckFailed { snapshot, check, what, kept } => {
                    tell(&Report::CheckFailed { snapshot, check, what, lost: kept.err() })?;
                }
                Event::CheckSkipped { snapshot, why } => tell(&Report::CheckSkipped { snapshot, why })?,
                Event::RolledBack { generation, snapshot, .. } => {
                    tell(&Report::RolledBack { generation, snapshot })?;
                }
                Event::FellBack { generation, to, given_up } => {
                    tell(&Report::FellBack { generation, to, given_up })?;
                }
                Event::SnapshotAborted { snapshot, by, reason } => {
                    tell(&Report::Aborted { snapshot, by: by.to_string(), why: reason.to_string() })?;
                }
                Event::Violation { peer, what, .. } => return Err(BranchError::Violation { from: peer.id(), what }),
                Event::StoreFailed { error } => eprintln!("the store failed: {error}"),
                Event::Stalled { waiting_for } => eprintln!("nothing moves: waiting for {waiting_for:?}"),
                Event::Closed => return Err(BranchError::Closed),
                // Lost neighbours come back by themselves, and what they have missed is settled by the library.
                _ => {}
            },
            // Every turn of work is guarded by `has_room`; the ticks go on without it, so that a gap is a loop that
            // stood still and not one that had nothing to do.
            _ = work.tick() => {
                if open && node.has_room() {
                    for _ in 0..batch {
                        match ledger.make_out(&neighbours) {
                            Some((to, transfer)) => node.send(to, transfer)?,
                            None if neighbours.is_empty() => {}
                            None => break,
                        }
                        sent += 1;
                    }
                }
                if !open && !quiet && !is_taking_a_snapshot(&node.handle()) {
                    quiet = true;
                    tell(&Report::Quiet)?;
                }
            }
            _ = pulse.tick() => tell(&Report::Pulse { sent: std::mem::take(&mut sent), gap: gap.take() })?,
            order = orders.next() => match order.as_str() {
                QUIET => open = false,
                STOP => break,
                other => match (other.strip_prefix(DISK).map(str::parse), &disk) {
                    (Some(Ok(fault)), Some(disk)) => disk.set(fault),
                    _ => eprintln!("an order that is not known: {other}"),
                },
            },
        }
    }
    // A neighbour that left a moment earlier takes nothing more; what is unsent then is of no account.
    node.close(GOODBYE).await?;
    Ok(())
}

/// The store, and what its disk is told by, if that shall have faults.
fn store_in(flags: &BranchFlags) -> Result<(Arc<dyn SnapshotStore>, Option<DiskControl>), OpenError> {
    let store = DirectoryStore::open_existing(Folder::store_in(&flags.store))?;
    let Some(fault) = flags.disk else { return Ok((Arc::new(store), None)) };
    let (store, control) = FaultyDisk::around(store, fault);
    Ok((Arc::new(store), Some(control)))
}

/// Whether this branch has work to do for a snapshot: to take it or to check it.
fn is_taking_a_snapshot(handle: &SnapshotHandle) -> bool {
    !handle.unchecked().is_empty()
        || handle.running().iter().any(|status| status.phase != SnapshotPhase::AwaitingOutcome)
}

fn tell(report: &Report) -> io::Result<()> {
    children::say(&serde_json::to_string(report)?)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The longest time between two passes of the message loop.
struct Gap {
    last: Instant,
    longest: Duration,
}

impl Gap {
    fn new() -> Self {
        Self { last: Instant::now(), longest: Duration::ZERO }
    }

    fn pass(&mut self) {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last);
        self.last = now;
    }

    /// In microseconds, since the last time it was asked for.
    fn take(&mut self) -> u64 {
        micros(std::mem::take(&mut self.longest))
    }
}
