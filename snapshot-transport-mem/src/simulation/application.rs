//! The application under test.

use std::fmt;
use std::time::Duration;

use snapshot_core::{GlobalSnapshot, NodeId, StateProvider, Turn};

use super::Random;

/// A committed snapshot of the application `A`.
pub type Cut<A> =
    GlobalSnapshot<<<A as Application>::State as StateProvider>::Captured, <A as Application>::Message>;

/// An application as a simulation sees it: what its message loop does with each event, as plain methods.
///
/// The state of one process is [`State`](Self::State), which snapshots capture and restore. **The value itself is what
/// snapshots do not reach**: the clients, what they were told, acknowledgements that wait in memory. One value lives through
/// a whole run and is never rolled back. So a handler that keeps something in `self` which belongs into the state is the
/// defect that a simulation finds; a list of effects that wait for [`committed`](Self::committed) is what it is for.
///
/// All methods are one turn each: what they do to the state and what they send is in a snapshot together or not at all.
/// They must depend on nothing but what they are given: no time, no randomness, no order of a hash map. An assertion that
/// fails in one of them fails the run.
///
/// A counter whose clients must never be told of an increment that is later undone:
///
/// ```
/// use std::collections::{BTreeMap, VecDeque};
/// use snapshot_core::{Graph, NodeId, PostcardState, Turn};
/// use snapshot_transport_mem::simulation::{Application, Outgoing, Random, SimulatedGroup};
///
/// #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
/// struct Count(u64);
/// impl PostcardState for Count {}
///
/// #[derive(Default)]
/// struct Counters {
///     pending: BTreeMap<NodeId, VecDeque<(Turn, u64)>>,
///     told: BTreeMap<NodeId, VecDeque<(Turn, u64)>>,
/// }
///
/// impl Application for Counters {
///     type State = Count;
///     type Message = u64;
///
///     fn start(&mut self, node: NodeId) -> Count {
///         self.pending.insert(node, VecDeque::new());      // a new process remembers nothing
///         Count(0)
///     }
///     fn handle(&mut self, count: &mut Count, _from: NodeId, add: u64, out: &mut Outgoing<'_, u64>) {
///         count.0 += add;
///         self.pending.entry(out.me()).or_default().push_back((out.turn(), count.0));
///     }
///     fn work(&mut self, _: &mut Count, random: &mut Random, out: &mut Outgoing<'_, u64>) {
///         let to = *random.pick(out.neighbours());
///         out.send(to, 1);
///     }
///     fn committed(&mut self, _: &mut Count, turn: Turn, out: &mut Outgoing<'_, u64>) {
///         let pending = self.pending.entry(out.me()).or_default();
///         while pending.front().is_some_and(|(of, _)| *of <= turn) {
///             self.told.entry(out.me()).or_default().extend(pending.pop_front());
///         }
///     }
///     fn rolled_back(&mut self, count: &mut Count, turn: Turn, out: &mut Outgoing<'_, u64>) {
///         self.committed(count, turn, out);
///         self.pending.entry(out.me()).or_default().clear();
///     }
///     fn put_back(&mut self, node: NodeId, turn: Turn) {
///         // Somebody has put a backup in place: what was told since then is void.
///         self.told.entry(node).or_default().retain(|(of, _)| *of <= turn);
///     }
/// }
///
/// SimulatedGroup::new(Graph::mesh([NodeId(1), NodeId(2)]), Counters::default)
///     .at_rest("told is kept", |counters, cut| {
///         let newest = counters.told.iter().filter_map(|(node, told)| Some((*node, told.back()?.1)));
///         let lost = newest.into_iter().find(|(node, told)| cut.state(*node).is_none_or(|c| c.0 < *told));
///         lost.map_or(Ok(()), |(node, told)| Err(format!("{node} had told of {told}")))
///     })
///     .check(0..10);
/// ```
pub trait Application {
    /// What a snapshot captures of one process.
    type State: StateProvider;

    /// What processes send each other.
    type Message: Clone + fmt::Debug + Send + 'static;

    /// A new process of this node begins: the state that it passes to its first start. Called anew for every process; where
    /// there is a committed snapshot, its state is installed into this one.
    fn start(&mut self, node: NodeId) -> Self::State;

    /// A message has come.
    fn handle(
        &mut self,
        state: &mut Self::State,
        from: NodeId,
        message: Self::Message,
        out: &mut Outgoing<'_, Self::Message>,
    );

    /// New work comes from outside: a request of a client, the next line of an input. Called for a node that has room, now
    /// and then, until the faults are over. By default there is none.
    fn work(&mut self, state: &mut Self::State, random: &mut Random, out: &mut Outgoing<'_, Self::Message>) {
        let _ = (state, random, out);
    }

    /// [`Event::Committed`](snapshot_core::Event::Committed): effects of this node's turns up to `turn` may leave it.
    fn committed(&mut self, state: &mut Self::State, turn: Turn, out: &mut Outgoing<'_, Self::Message>) {
        let _ = (state, turn, out);
    }

    /// [`Event::RolledBack`](snapshot_core::Event::RolledBack): the state stands where it stood after `turn`. Effects up to
    /// it are covered; later ones never happened.
    fn rolled_back(&mut self, state: &mut Self::State, turn: Turn, out: &mut Outgoing<'_, Self::Message>) {
        let _ = (state, turn, out);
    }

    /// The store was put back to an earlier copy of itself, or emptied ([`FaultKind::PutBack`](super::FaultKind::PutBack)), and no
    /// process runs. Of this node all turns behind `turn` never happened, though [`committed`](Self::committed) may have named
    /// them: what was let out of them is void, and `self` must not hold the group to it any more. Called once for each node.
    ///
    /// This is the one case in which a promise is taken back, and only by whoever puts a backup in place. By default there is
    /// nothing to forget.
    fn put_back(&mut self, node: NodeId, turn: Turn) {
        let _ = (node, turn);
    }
}

/// The turn that a method of an [`Application`] is in: where it sends, and what it may know.
///
/// ```
/// use snapshot_core::NodeId;
/// use snapshot_transport_mem::simulation::Outgoing;
///
/// fn greet_all(out: &mut Outgoing<'_, String>) {
///     for to in out.neighbours() {
///         out.send(*to, format!("hello from {}", out.me()));
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Outgoing<'a, M> {
    me: NodeId,
    turn: Turn,
    now: Duration,
    neighbours: &'a [NodeId],
    messages: Vec<(NodeId, M)>,
}

impl<'a, M> Outgoing<'a, M> {
    pub(super) fn new(me: NodeId, turn: Turn, now: Duration, neighbours: &'a [NodeId]) -> Self {
        Self { me, turn, now, neighbours, messages: Vec::new() }
    }

    /// Sends a message to a neighbour, behind all that was sent to it before. To anyone else, or beyond the hard bound of
    /// the outbox, it fails the run.
    pub fn send(&mut self, to: NodeId, message: M) {
        self.messages.push((to, message));
    }

    /// Gives the turn to a component with messages of its own, which `wrap` makes the application's:
    ///
    /// ```
    /// use snapshot_transport_mem::simulation::Outgoing;
    ///
    /// #[derive(Debug)]
    /// enum Message { Chat(String), Payment(u64) }
    ///
    /// fn ask_all(out: &mut Outgoing<'_, String>) {
    ///     for to in out.neighbours() {
    ///         out.send(*to, "hello?".to_owned());
    ///     }
    /// }
    ///
    /// fn work(out: &mut Outgoing<'_, Message>) {
    ///     out.component(Message::Chat, ask_all);
    /// }
    /// ```
    pub fn component<N, R>(
        &mut self,
        mut wrap: impl FnMut(N) -> M,
        act: impl FnOnce(&mut Outgoing<'a, N>) -> R,
    ) -> R {
        let mut out = Outgoing::new(self.me, self.turn, self.now, self.neighbours);
        let result = act(&mut out);
        self.messages.extend(out.messages.into_iter().map(|(to, message)| (to, wrap(message))));
        result
    }

    /// The node whose turn it is.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The number of this turn: its effects may leave the node when [`Application::committed`] names it or a later one.
    pub fn turn(&self) -> Turn {
        self.turn
    }

    /// The virtual time since the run began.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Whom this node can send to, ascending.
    pub fn neighbours(&self) -> &'a [NodeId] {
        self.neighbours
    }

    pub(super) fn into_messages(self) -> Vec<(NodeId, M)> {
        self.messages
    }
}
