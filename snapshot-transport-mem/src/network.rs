//! The network, and what a test can do to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use snapshot_core::{Clock, Frame, Graph, NodeId, TopologyError};

use crate::clock::MemClock;
use crate::fabric::{Fabric, PipeState};
use crate::process::Death;
use crate::{ChannelStatus, Connection, Delay, MemNetworkBuilder, MemTransport};

/// A network in memory: a value of your own, of which any number can live side by side. Clones are the same network.
///
/// Everything in it follows from the graph, the seed and the order of the calls. Time is virtual and stands still, but for
/// [`advance`](Self::advance) and [`run`](Self::run).
///
/// A *channel* is one direction between two nodes; a *connection* is between a pair of nodes and carries both directions.
/// Each channel holds a bounded number of frames ([`MemNetworkBuilder::capacity`]); a `send` waits while it is full. A frame
/// that has come to the receiver's end of the channel has *arrived*, and waits there for a `recv`: at once where there is
/// no [`Delay`], and not while the channel is [held](Self::hold).
///
/// ```
/// use snapshot_core::{Graph, NodeId};
/// use snapshot_transport_mem::MemNetwork;
///
/// let network = MemNetwork::<u64>::new(&Graph::ring([NodeId(1), NodeId(2), NodeId(3)]))?;
/// let first = network.transport(NodeId(1));
/// assert_eq!(first.id(), NodeId(1));
/// # Ok::<(), snapshot_core::TopologyError>(())
/// ```
pub struct MemNetwork<M> {
    pub(crate) fabric: Arc<Fabric<M>>,
}

impl<M: Send + 'static> MemNetwork<M> {
    /// A network without delays, of capacity 1024, in which nobody runs yet.
    ///
    /// # Errors
    ///
    /// A graph that is no topology, as [`Graph::at`] says.
    pub fn new(graph: &Graph) -> Result<Self, TopologyError> {
        Self::builder(graph).build()
    }

    /// Begins a network with other settings.
    pub fn builder(graph: &Graph) -> MemNetworkBuilder<M> {
        MemNetworkBuilder::new(graph)
    }

    /// A network without delays of the nodes 1 to `N`, each linked with every other one, and all of them running.
    pub fn mesh<const N: usize>() -> (Self, [MemTransport<M>; N]) {
        const { assert!(N > 0, "a group needs a member") }
        let ids: [NodeId; N] = std::array::from_fn(|index| NodeId(index as u64 + 1));
        let network = Self::new(&Graph::mesh(ids)).expect("a mesh of distinct nodes is a topology");
        let transports = ids.map(|id| network.transport(id));
        (network, transports)
    }

    /// Starts a process of this node. It is connected with each neighbour that runs.
    ///
    /// Where a process of the node runs already, that one ends first, as if it had been dropped: its `send` and `recv` are
    /// errors from then on; frames under way to it are lost; what it sent still arrives, followed by
    /// [`lost`](snapshot_core::Inbox::lost). Where that should be lost too, [`crash`](Self::crash) the node first.
    ///
    /// # Panics
    ///
    /// If the node is no member.
    #[track_caller]
    pub fn transport(&self, node: NodeId) -> MemTransport<M> {
        let index = self.member(node);
        let topology = self
            .fabric
            .graph
            .at(node)
            .expect("the graph was found to be a topology when the network was built");
        MemTransport::new(Arc::clone(&self.fabric), topology, index)
    }

    /// Starts a process of every node, in the order of their ids.
    pub fn transports(&self) -> Vec<MemTransport<M>> {
        self.fabric.topology.members().iter().map(|id| self.transport(*id)).collect()
    }

    /// The machine of this node fails: all its connections break, and what was under way in both directions is lost. What
    /// had arrived at its neighbours stays, followed by [`lost`](snapshot_core::Inbox::lost). The node's `send` and `recv`
    /// are errors from then on; [`transport`](Self::transport) starts its next process. Where the node does not run, this
    /// does nothing.
    ///
    /// Returns how many frames were lost.
    ///
    /// # Panics
    ///
    /// If the node is no member.
    #[track_caller]
    pub fn crash(&self, node: NodeId) -> usize {
        let index = self.member(node);
        self.fabric.stop(index, None, Death::Crashed)
    }

    /// All processes end at once, and the network outlives them, as a bus or a queue does: what is under way stays under way,
    /// held channels stay held, and all of it comes to the processes that [`transport`](Self::transport) starts next, ahead of
    /// their connections. Nobody is told that anything ended. The `send` and `recv` of those that ran are errors from then on.
    ///
    /// What such a network brings of another history of the store is what a group must not believe.
    ///
    /// Returns how many frames stay.
    ///
    /// ```
    /// use snapshot_core::{Body, Frame, Frames, Generation, Inbox, Incoming, Stamp, Transport};
    /// use snapshot_transport_mem::MemNetwork;
    /// # futures::executor::block_on(async {
    /// let (network, [a, b]) = MemNetwork::mesh::<2>();
    /// let to_b = a.topology().peer(b.id()).unwrap();
    /// let mut frames = Frames::new();
    /// frames.push_back(Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message("from the past") });
    /// a.send(to_b, &mut frames).await?;
    ///
    /// assert_eq!(network.outlive(), 1);
    /// let b = network.transport(b.id());
    /// let mut inbox = Inbox::with_capacity(16);
    /// b.recv(&mut inbox).await?;
    /// assert!(matches!(inbox.pop(), Some(Incoming::Frame { .. })));
    /// # Ok::<(), snapshot_core::TransportError>(())
    /// # }).unwrap();
    /// ```
    pub fn outlive(&self) -> usize {
        self.fabric.outlive()
    }

    /// Freezes a channel: frames stay in it, those that have arrived too, and so does what comes behind them. Sends go on
    /// until the channel is full.
    ///
    /// # Panics
    ///
    /// If the graph has no such channel.
    #[track_caller]
    pub fn hold(&self, from: NodeId, to: NodeId) {
        self.change(from, to, |state| state.channel.hold());
    }

    /// Takes a [`hold`](Self::hold) back. Frames whose time has come arrive at once.
    ///
    /// # Panics
    ///
    /// If the graph has no such channel.
    #[track_caller]
    pub fn release(&self, from: NodeId, to: NodeId) {
        self.change(from, to, |state| state.channel.release());
    }

    /// Lets the next `count` of the frames pass that are in a held channel now, and holds the rest: so a test can stop right
    /// before a marker. On a channel that is not held this does nothing.
    ///
    /// # Panics
    ///
    /// If the graph has no such channel.
    #[track_caller]
    pub fn let_pass(&self, from: NodeId, to: NodeId, count: usize) {
        self.change(from, to, |state| state.channel.let_pass(count));
    }

    /// Changes how long frames take from now on. Those under way keep the time that was drawn for them, and later ones do
    /// not overtake them.
    ///
    /// # Panics
    ///
    /// If the graph has no such channel.
    #[track_caller]
    pub fn set_delay(&self, from: NodeId, to: NodeId, delay: impl Into<Delay>) {
        let delay = delay.into();
        self.change(from, to, |state| state.channel.set_delay(delay));
    }

    /// Breaks the connection of two neighbours until it is [healed](Self::heal). Both are told at once, with
    /// [`lost`](snapshot_core::Inbox::lost) behind what had arrived; all else that was under way, in both directions, is
    /// lost (of a held channel: everything). Sends wait.
    ///
    /// Returns how many frames were lost.
    ///
    /// # Panics
    ///
    /// If the graph has no channel between them.
    #[track_caller]
    pub fn cut(&self, a: NodeId, b: NodeId) -> usize {
        let (a, b) = self.pair(a, b);
        self.fabric.cut(a, b)
    }

    /// Takes a [`cut`](Self::cut) back: where both nodes run, a new connection stands, both are told with
    /// [`up`](snapshot_core::Inbox::up), and sends go on. Where the pair was not cut, this does nothing.
    ///
    /// # Panics
    ///
    /// If the graph has no channel between them.
    #[track_caller]
    pub fn heal(&self, a: NodeId, b: NodeId) {
        let (a, b) = self.pair(a, b);
        self.fabric.heal(a, b);
    }

    /// How many frames have been sent on a channel and not yet been taken by a `recv`, whether they have arrived or not.
    ///
    /// # Panics
    ///
    /// If the graph has no such channel.
    #[track_caller]
    pub fn in_flight(&self, from: NodeId, to: NodeId) -> usize {
        self.fabric.state(self.pipe(from, to)).channel.len()
    }

    /// Looks at the frames of a channel that have not yet been taken, from front to back. `look` must not use the network.
    ///
    /// ```
    /// use snapshot_core::{Body, Frame, FrameKind, Frames, Generation, Stamp, Transport};
    /// use snapshot_transport_mem::MemNetwork;
    /// # futures::executor::block_on(async {
    /// let (network, [a, b]) = MemNetwork::mesh::<2>();
    /// let mut frames = Frames::new();
    /// frames.push_back(Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message(5) });
    /// a.send(a.topology().peer(b.id()).unwrap(), &mut frames).await?;
    ///
    /// let mut kinds = Vec::new();
    /// network.look(a.id(), b.id(), |frame| kinds.push(frame.kind()));
    /// assert_eq!(kinds, [Ok(FrameKind::Message)]);
    /// # Ok::<(), snapshot_core::TransportError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// If the graph has no such channel.
    #[track_caller]
    pub fn look(&self, from: NodeId, to: NodeId, look: impl FnMut(Frame<&M>)) {
        self.fabric.state(self.pipe(from, to)).channel.iter().for_each(look);
    }

    /// How every channel stands, ascending by sender, then receiver.
    pub fn channels(&self) -> Vec<ChannelStatus> {
        let links = self.fabric.links();
        let links = &*links;
        let status = |(from, to)| {
            let index = self.fabric.pipe(from, to)?;
            let pipe = &self.fabric.pipes[index];
            let runs = |node| links.running.contains_key(&node);
            let connection = if links.is_cut(pipe.from, pipe.to) {
                Connection::Cut
            } else if runs(pipe.from) && runs(pipe.to) {
                Connection::Up
            } else {
                Connection::Down
            };
            let state = self.fabric.state(index);
            let (in_flight, held) = (state.channel.len(), state.channel.is_held());
            let (full, sender_waits) = (state.channel.is_full(), state.waiting.is_some());
            Some(ChannelStatus { from, to, in_flight, full, held, connection, sender_waits })
        };
        self.fabric.topology.links().filter_map(|(from, to, _)| status((from, to))).collect()
    }

    /// The virtual time since the network was made.
    pub fn now(&self) -> Duration {
        self.fabric.time.now()
    }

    /// The network's clock, which [`Transport::clock`](snapshot_core::Transport::clock) names too. It keeps every clause of
    /// [`Clock`].
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(MemClock(Arc::clone(&self.fabric.time)))
    }

    /// Moves time on, for tests that drive it by hand: what is due by then arrives, and sleeps that are over end. Time comes
    /// to the end of `duration` in one leap: tasks that are woken find the later time.
    ///
    /// ```
    /// use futures::FutureExt;
    /// use snapshot_transport_mem::MemNetwork;
    /// use std::time::Duration;
    /// let (network, [_a, _b]) = MemNetwork::<u64>::mesh::<2>();
    /// let clock = network.clock();
    /// let mut sleep = clock.sleep_until(Duration::from_millis(5));
    /// assert!((&mut sleep).now_or_never().is_none());
    /// network.advance(Duration::from_millis(5));
    /// assert!(sleep.now_or_never().is_some());
    /// ```
    pub fn advance(&self, duration: Duration) {
        self.fabric.move_to(self.now().saturating_add(duration));
    }

    pub(crate) fn new_with(fabric: Fabric<M>) -> Self {
        Self { fabric: Arc::new(fabric) }
    }

    #[track_caller]
    fn change(&self, from: NodeId, to: NodeId, change: impl FnOnce(&mut PipeState<M>)) {
        let pipe = self.pipe(from, to);
        let mut state = self.fabric.state(pipe);
        change(&mut state);
        let receiver = self.fabric.attend(pipe, &mut state);
        drop(state);
        receiver.into_iter().for_each(std::task::Waker::wake);
    }

    #[track_caller]
    fn member(&self, node: NodeId) -> usize {
        match self.fabric.node(node) {
            Some(index) => index,
            None => panic!("{node} is not a member of this network: the graph does not name it"),
        }
    }

    #[track_caller]
    fn pipe(&self, from: NodeId, to: NodeId) -> usize {
        match self.fabric.pipe(from, to) {
            Some(pipe) => pipe,
            None => panic!("there is no channel from {from} to {to}: the graph has no such link"),
        }
    }

    #[track_caller]
    fn pair(&self, a: NodeId, b: NodeId) -> (usize, usize) {
        match self.fabric.pipe(a, b).or_else(|| self.fabric.pipe(b, a)) {
            Some(pipe) => (self.fabric.pipes[pipe].from, self.fabric.pipes[pipe].to),
            None => panic!("there is no channel between {a} and {b}: the graph has no such link"),
        }
    }
}

impl<M> Clone for MemNetwork<M> {
    fn clone(&self) -> Self {
        Self { fabric: Arc::clone(&self.fabric) }
    }
}

impl<M> fmt::Debug for MemNetwork<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemNetwork")
            .field("topology", &self.fabric.topology)
            .field("now", &self.fabric.time.now())
            .finish_non_exhaustive()
    }
}
