//! The rules of snapshots, sans-IO: inputs are methods, outputs are polled. Everything that can change the state of the
//! protocol is in this file and the folder beside it.

mod arrival;
mod channel;
mod commit;
mod complaints;
mod credit;
mod flow;
mod intake;
mod journaling;
mod lane;
mod leaving;
mod leftovers;
mod outbox;
mod output;
mod phase;
mod places;
mod random;
mod recording;
mod recovery;
mod schedule;
mod search;
mod sets;
mod snapshotting;
mod strangers;
mod sweeping;
mod torn;
mod uncommitted;
mod untaken;
mod view;
mod weights;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use thiserror::Error;

pub use output::{Failure, Output, StoreAnswer, StoreRequest, Ticket};
pub use recording::Capture;

use crate::format::control::Control;
use crate::protocol::settings::{Bound, Settings};
use crate::vocabulary::event::Event;
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::{Generation, NodeId, Peer, SnapshotId, Turn};
use crate::vocabulary::outcome::{AbortReason, SnapshotReport};
use crate::vocabulary::shape::LinkUse;
use crate::vocabulary::topology::Topology;
use channel::Channel;
use commit::{Commits, Tally};
use complaints::Complaints;
use flow::Measure;
use lane::Lane;
use leftovers::Leftovers;
use outbox::Kind;
use phase::Phase;
use places::Places;
use random::SplitMix;
use recording::Recordings;
use recovery::Recovery;
use schedule::Schedule;
use sweeping::Sweeping;
use uncommitted::Uncommitted;
use untaken::Untaken;

/// Takes the state at the moment of the cut. The coordinator calls it, at most once a snapshot, from within the input that
/// makes the capture due; so no message can slip between the rule and the state.
pub type CaptureFn<'a, C> = dyn FnMut() -> Capture<C> + 'a;

/// All the rules of consistent snapshots for one node, without I/O, clock or runtime: recording (Chandy & Lamport 1985),
/// commit, recovery.
///
/// # The one rule of driving it
///
/// **After every input, drain [`poll_output`](Self::poll_output).** Inputs are all methods that take `&mut self` but the
/// two named `take_`. A driver then
///
/// 1. brings what the transport says to [`handle_frame`](Self::handle_frame), [`handle_up`](Self::handle_up),
///    [`handle_lost`](Self::handle_lost), [`handle_left`](Self::handle_left), while [`wants_frames`](Self::wants_frames);
/// 2. sends what [`take_outgoing`](Self::take_outgoing) gives, and says so with [`handle_sent`](Self::handle_sent);
/// 3. does what [`Output::Store`] asks, and answers with [`handle_store`](Self::handle_store); installs what
///    [`Output::Restore`] brings, and says so with [`handle_restored`](Self::handle_restored);
/// 4. calls [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) is due;
/// 5. hands [`take_message`](Self::take_message) and [`Output::Event`] to the application, and calls
///    [`end_turn`](Self::end_turn) when the application comes back for more.
///
/// Time is a parameter: any origin, never backwards. [`SnapshotNode`](crate::SnapshotNode) is such a driver.
///
/// ```
/// use snapshot_core::{Capture, Event, Frames, GlobalSnapshot, Graph, NodeId, Output, Settings, SnapshotCoordinator};
/// use std::time::Duration;
///
/// let graph = Graph::mesh([NodeId(1), NodeId(2)]);
/// let now = Duration::ZERO;
/// let mut nodes = [1, 2].map(|id| {
///     let topology = graph.at(NodeId(id)).unwrap();
///     let mut node = SnapshotCoordinator::<&str, u64>::new(topology, Settings::default(), id);
///     node.start(now);
///     node
/// });
/// let [one, two] = &mut nodes;
/// let (to_two, to_one) = (one.topology().peer(NodeId(2)).unwrap(), two.topology().peer(NodeId(1)).unwrap());
///
/// one.send(to_two, "in flight")?;
/// one.end_turn()?;
/// two.initiate(now, &mut || Capture::new(20))?;                  // cuts at two, before the message arrives
/// let (mut frames, mut parts) = (Frames::new(), Vec::new());
/// for _ in 0..2 {
///     two.take_outgoing(to_one, &mut frames);
///     two.handle_sent(now, to_one);
///     frames.drain(9).for_each(|frame| one.handle_frame(now, to_two, frame, &mut || Capture::new(10)));
///     one.take_outgoing(to_two, &mut frames);
///     one.handle_sent(now, to_two);
///     frames.drain(9).for_each(|frame| two.handle_frame(now, to_one, frame, &mut || unreachable!()));
/// }
/// for node in [one, two] {
///     while let Some(output) = node.poll_output() {
///         if let Output::Event(Event::LocalSnapshot(part)) = output { parts.push(*part); }
///     }
/// }
/// // It had not departed when the marker of `one` did, so `one` has recorded it.
/// assert_eq!(parts[0].outgoing[&NodeId(2)], ["in flight"]);
/// assert_eq!(GlobalSnapshot::assemble(parts)?.channel(NodeId(1), NodeId(2)), ["in flight"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SnapshotCoordinator<M, C> {
    topology: Topology,
    settings: Settings,
    measure: Measure<M>,
    random: SplitMix,
    life: u64,
    phase: Phase,
    generation: Generation,
    /// The last turn that has ended; captures cover it.
    ended: Turn,
    overflowed: bool,
    /// Of the record that opened the generation: tells it from any other of the same number (F5).
    nonce: u64,
    /// The generation in which this node speaks, and its nonce: as a rule the one in which it lives. A node that goes over to the
    /// next one says so before it has read its state, so that the others can begin with theirs.
    speaks: (Generation, u64),
    channels: Vec<Channel<M>>,
    /// The window of each channel to this node (W12).
    window: Bound,
    /// What may wait for each neighbour while there is room for it.
    share: Bound,
    /// Messages, and their bytes, that are queued or under way, to all neighbours together.
    load: (usize, usize),
    /// One more message may be handed out, though the outbox is over its high mark (W8).
    extra: bool,
    /// The neighbours for which a batch can be taken: so that the others cost nothing.
    departing: Places,
    untaken: Untaken<M>,
    recordings: Recordings<M, C>,
    commits: Commits,
    /// The largest sequence seen in this generation, from anyone.
    largest: u64,
    uncommitted: Uncommitted,
    /// The largest sequence of each initiator that was begun or given up here: a marker up to it is a late one.
    begun: BTreeMap<NodeId, u64>,
    /// Snapshots that were given up before their first marker came. Bounded by `MAX_FORESTALLED`.
    forestalled: BTreeSet<SnapshotId>,
    complaints: Complaints,
    schedule: Schedule,
    lane: Lane,
    sweeping: Sweeping,
    leftovers: Leftovers,
    recovery: Recovery<M>,
    outputs: VecDeque<Output<M, C>>,
    /// Counts changes of what [`running`](Self::running) shows.
    revision: u64,
}

/// Beyond this many, the oldest is forgotten: its markers then begin a recording that its deadline ends.
const MAX_FORESTALLED: usize = 256;

/// A message was not sent.
///
/// ```
/// use snapshot_core::{Graph, NodeId, SendError, SnapshotNode};
/// # use snapshot_core::PostcardState;
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct State;
/// # impl PostcardState for State {}
/// use snapshot_transport_mem::MemNetwork;
/// let (network, [one, _two]) = MemNetwork::<u64>::mesh::<2>();
/// let mut node = network.run(SnapshotNode::builder(one).start(&mut State))??;
/// assert_eq!(node.send(NodeId(9), 5), Err(SendError::UnknownPeer { me: NodeId(1), to: NodeId(9) }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such neighbour.
    #[error("{to} is no neighbour of {me}: add the link to the graph, or send by way of a node that has it")]
    UnknownPeer {
        /// This node.
        me: NodeId,
        /// Where the message should go.
        to: NodeId,
    },
    /// The channel is a way back, or leads only from the neighbour to this node.
    #[error("the link {me} -> {to} carries no messages: add it to the graph with `Graph::link`")]
    NoMessages {
        /// This node.
        me: NodeId,
        /// Where the message should go.
        to: NodeId,
    },
    /// The outbox is at its hard bound. The turn is lost, and `next` will fail.
    #[error(
        "the outbox is full: begin new work only while `has_room()`, send less in a turn, or raise `outbox_hard`; \
         nothing of this turn is sent, and the node ends"
    )]
    OutboxFull,
}

/// A snapshot was not begun.
///
/// ```
/// use snapshot_core::{Capture, Graph, InitiateError, NodeId, Settings, SnapshotCoordinator};
/// let topology = Graph::new([NodeId(1)]).at(NodeId(1))?;
/// let mut node = SnapshotCoordinator::<u64, u64>::new(topology, Settings::default(), 1);
/// let refused = node.initiate(std::time::Duration::ZERO, &mut || Capture::new(0));
/// assert_eq!(refused, Err(InitiateError::NotRunning), "it was not started");
/// # Ok::<(), snapshot_core::TopologyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum InitiateError {
    /// The node is starting, rolling back, or has ended.
    #[error("the node is not running: it is starting, rolling back, or has ended")]
    NotRunning,
    /// It would have been given up at once.
    #[error("{0}")]
    Refused(AbortReason),
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// A coordinator that has not started. `seed` makes its random numbers (its life and its nonces); where there is a
    /// store, two processes must never have the same.
    pub fn new(topology: Topology, settings: Settings, seed: u64) -> Self {
        let mut random = SplitMix(seed);
        let channels = topology
            .peers()
            .map(|peer| {
                let incoming = topology.link_use(peer.id(), topology.me());
                Channel::new(peer, topology.outgoing_use(peer), incoming)
            })
            .collect::<Vec<Channel<M>>>();
        let carry = |used: &Option<LinkUse>| *used == Some(LinkUse::Messages);
        let senders = channels.iter().filter(|channel| carry(&channel.incoming)).count();
        let receivers = channels.iter().filter(|channel| carry(&channel.outgoing)).count();
        let (low, places) = (settings.outbox_low, channels.len());
        Self {
            life: random.draw(),
            random,
            phase: Phase::Idle,
            generation: Generation::FIRST,
            ended: Turn(0),
            overflowed: false,
            channels,
            nonce: topology.fingerprint(),
            speaks: (Generation::FIRST, topology.fingerprint()),
            window: settings.inbox.share(senders, settings.window_floor),
            share: settings
                .outbox_low
                .share(receivers, Bound { frames: low.frames.min(64), bytes: low.bytes.min(64 << 10) }),
            load: (0, 0),
            extra: false,
            departing: Places::new(places),
            untaken: Untaken::new(),
            recordings: Recordings::new(),
            commits: Commits::default(),
            largest: 0,
            uncommitted: Uncommitted::default(),
            begun: BTreeMap::new(),
            forestalled: BTreeSet::new(),
            complaints: Complaints::default(),
            schedule: Schedule::default(),
            lane: Lane::new(),
            sweeping: Sweeping::default(),
            leftovers: Leftovers::default(),
            recovery: Recovery::new(),
            outputs: VecDeque::new(),
            revision: 0,
            measure: Measure::default(),
            topology,
            settings,
        }
    }

    /// Weighs messages, in bytes, by `weigh` in place of their size in memory: for windows, outboxes and recordings. What it
    /// says of one message must not change. The two ends of a channel may weigh differently, but not by more than twice.
    #[must_use]
    pub fn with_weight(mut self, weigh: impl Fn(&M) -> usize + Send + Sync + 'static) -> Self {
        self.measure.weigh_by(weigh);
        self
    }

    /// Copies messages into recordings by `copy` in place of `Clone`, for messages that share a large buffer.
    #[must_use]
    pub fn with_copy(mut self, copy: fn(&M) -> M) -> Self {
        self.measure.copy = copy;
        self
    }

    /// Begins. Without a store the node runs at once; with one it first finds its place in the journal.
    pub fn start(&mut self, now: Duration) {
        if self.phase != Phase::Idle {
            return;
        }
        self.schedule.heard(now);
        if self.settings.durable {
            self.begin_start();
        } else {
            self.phase = Phase::Running;
            self.post_hello();
            self.post_grants();
        }
    }

    // ---- the application's side -------------------------------------------------------------------------------------

    /// Sends a message, as part of the present turn.
    ///
    /// # Errors
    ///
    /// If there is no channel for messages to that neighbour, or the outbox is at its hard bound.
    #[inline]
    pub fn send(&mut self, to: Peer, message: M) -> Result<(), SendError> {
        let Some(channel) =
            self.channels.get_mut(to.index()).filter(|channel| channel.takes_messages_for(to))
        else {
            return Err(self.no_way_to(to));
        };
        let (messages, bytes) = self.load;
        if self.overflowed || self.settings.outbox_hard.is_reached(messages, bytes) {
            self.overflowed = true;
            return Err(SendError::OutboxFull);
        }
        if !self.settings.durable && channel.is_cut() {
            // Lost for good: it would only take up room.
            return Ok(());
        }
        let weight = self.measure.weigh(&message);
        self.load = (messages + 1, bytes + weight);
        channel.outbox.post_message(self.ended.0 + 1, message, weight);
        // What stands behind another changes nothing, and what waits for a batch is looked at when that has left.
        if channel.outbox.has_just_one() {
            self.review(to);
        }
        Ok(())
    }

    #[cold]
    fn no_way_to(&self, to: Peer) -> SendError {
        let me = self.topology.me();
        if self.topology.peer(to.id()) == Some(to) {
            SendError::NoMessages { me, to: to.id() }
        } else {
            SendError::UnknownPeer { me, to: to.id() }
        }
    }

    /// Ends the present turn: what it did to the state and what it sent are now one.
    ///
    /// # Errors
    ///
    /// If the turn went over the hard bound of the outbox. Then nothing of it is sent, and the node has come to its end.
    #[inline]
    pub fn end_turn(&mut self) -> Result<(), Failure> {
        let turn = self.turn();
        if self.overflowed {
            for channel in &mut self.channels {
                channel.outbox.undo(turn.0);
            }
            self.weigh_outbox();
            self.phase = Phase::Over;
            return Err(Failure::OutboxOverflow);
        }
        self.ended = turn;
        self.count_turn();
        Ok(())
    }

    /// Takes the next message for the application: in the order of arrival, replayed ones first. `None` while the outbox
    /// is over its high mark, but for one now and then, and while the node is not running.
    #[must_use]
    #[inline(always)]
    pub fn take_message(&mut self) -> Option<(Peer, M)> {
        if !self.has_message() {
            return None;
        }
        self.extra = false;
        let (from, message, bytes) = self.untaken.pop()?;
        let intake = &mut self.channels[from.index()].intake;
        intake.take(bytes);
        if intake.is_grant_due(self.window) {
            self.post_grant(from);
        }
        Some((from, message))
    }

    /// Whether [`take_message`](Self::take_message) would give one.
    #[inline]
    pub fn has_message(&self) -> bool {
        self.phase == Phase::Running && !self.untaken.is_empty() && (self.extra || !self.is_over_high_mark())
    }

    /// Begins a snapshot with this node as its initiator.
    ///
    /// # Errors
    ///
    /// If the node is not running, or the snapshot would be given up at once: a neighbour is lost, too many are running.
    pub fn initiate(
        &mut self,
        now: Duration,
        capture: &mut CaptureFn<'_, C>,
    ) -> Result<SnapshotId, InitiateError> {
        if self.phase != Phase::Running {
            return Err(InitiateError::NotRunning);
        }
        if let Some(reason) = self.refusal() {
            return Err(InitiateError::Refused(reason));
        }
        // Those that wait for receipts are neither recorded nor written here any more, and are under way all the same.
        if self.commits.tallies.len() >= self.settings.max_running {
            return Err(InitiateError::Refused(AbortReason::TooMany));
        }
        let initiator = self.topology.me();
        let id = SnapshotId { generation: self.generation, sequence: self.largest + 1, initiator };
        self.commits.tallies.insert(id, Tally::new(now));
        self.begin(now, id, None, capture);
        self.advance(now, capture);
        Ok(id)
    }

    /// Gives a snapshot up, on behalf of the application. Returns whether there was anything to give up here.
    pub fn abort(&mut self, snapshot: SnapshotId) -> bool {
        self.give_up(snapshot, AbortReason::Requested)
    }

    // ---- the driver's side ------------------------------------------------------------------------------------------

    /// The next output, oldest first.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output<M, C>> {
        self.outputs.pop_front()
    }

    /// Moves what may depart to a neighbour into `into`, which must be empty, and returns whether there was anything: all
    /// control frames, then the messages that its window has room for (W1, W4). From here on they are on the channel, and no
    /// marker overtakes them (W5). One batch a neighbour is under way at a time: nothing is given until
    /// [`handle_sent`](Self::handle_sent). Not to be called within a turn.
    pub fn take_outgoing(&mut self, to: Peer, into: &mut Frames<M>) -> bool {
        let (generation, nonce) = self.speaks;
        into.is_empty()
            && self.departing.remove(to.index())
            && self.channels[to.index()].take(generation, nonce, into)
    }

    /// A neighbour for which there is a batch to take. A driver that asks this, and not for each in turn, has no cost for idle ones.
    ///
    /// ```
    /// use std::time::Duration;
    /// use snapshot_core::{Frames, Graph, NodeId, Settings, SnapshotCoordinator};
    ///
    /// let topology = Graph::mesh((0..100).map(NodeId)).at(NodeId(0))?;
    /// let mut node = SnapshotCoordinator::<u64, u64>::new(topology, Settings::default(), 7);
    /// node.start(Duration::ZERO);
    /// let (mut frames, mut batches) = (Frames::new(), 0);
    /// while let Some(peer) = node.departing() {
    ///     assert!(node.take_outgoing(peer, &mut frames));
    ///     // Here they go over the network.
    ///     frames.clear();
    ///     node.handle_sent(Duration::ZERO, peer);
    ///     batches += 1;
    /// }
    /// assert_eq!(batches, 99, "each was greeted");
    /// # Ok::<(), snapshot_core::TopologyError>(())
    /// ```
    pub fn departing(&self) -> Option<Peer> {
        self.departing.first().map(|place| self.channels[place].peer)
    }

    /// Whether there is a batch to take for this neighbour.
    pub fn has_outgoing(&self, to: Peer) -> bool {
        self.departing.contains(to.index())
    }

    /// The batch that was taken for this neighbour has been handed to the transport.
    pub fn handle_sent(&mut self, _now: Duration, to: Peer) {
        let (messages, bytes) = self.channels[to.index()].outbox.landed();
        self.load = (self.load.0 - messages, self.load.1 - bytes);
        if messages > 0 {
            self.schedule.departed();
        }
        self.review(to);
    }

    // ---- helpers of all concerns ------------------------------------------------------------------------------------

    fn emit(&mut self, event: Event<M, C>) {
        self.outputs.push_back(Output::Event(event));
    }

    fn fail(&mut self, failure: Failure) {
        self.phase = Phase::Over;
        self.outputs.push_back(Output::Failed(failure));
    }

    fn post(&mut self, to: Peer, control: &Control) {
        self.post_as(to, control.encode(), Kind::Other);
    }

    fn post_hello(&mut self) {
        for peer in self.topology.clone().outgoing() {
            self.greet(peer);
        }
    }

    fn greet(&mut self, to: Peer) {
        self.post(to, &Control::Hello { nonce: self.speaks.1 });
    }

    /// Passes something on to the members that hear of what `origin` says from this node.
    fn broadcast(&mut self, origin: NodeId, control: &Control) {
        let control = control.encode();
        for peer in self.topology.children(origin) {
            self.post_as(peer, control.clone(), Kind::Other);
        }
    }

    fn is_member(&self, node: NodeId) -> bool {
        self.topology.members().binary_search(&node).is_ok()
    }

    fn lost_peer(&self) -> Option<NodeId> {
        self.unreachable().next().map(Peer::id)
    }

    fn report(&mut self, report: SnapshotReport) {
        self.outputs.push_back(Output::Report(report));
    }
}
