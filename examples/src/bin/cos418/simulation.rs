//! The simulated network: one coordinator a server, links with delays, time in ticks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use snapshot_core::{
    Bound, Capture, Event, Failure, Frame, FrameKind, Frames, Graph, InitiateError, LocalSnapshot, Malformed,
    NodeId, Output, Peer, SendError, Settings, SnapshotCoordinator, SnapshotId, TopologyError,
};
use thiserror::Error;

use crate::comparison::Outcome;
use crate::expectation::Recorded;
use crate::group::Group;
use crate::script::Step;

/// After the last event, this many ticks must be enough for all to arrive.
const DRAIN: u64 = 100_000;

/// What a message carries and a state is: tokens. Wide enough that no sum overflows.
type Tokens = u128;

/// Why a run cannot go on.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    /// The servers and links make no group.
    #[error("{0} (n1 is the first server by name, n2 the second, and so on)")]
    Group(#[from] TopologyError),
    /// There is no such link.
    #[error("there is no link {from} -> {to}")]
    NoLink {
        /// Source.
        from: String,
        /// Destination.
        to: String,
    },
    /// A server sends more than it has.
    #[error("{server} has {has} tokens and cannot send {wanted}")]
    TooFew {
        /// Who.
        server: String,
        /// What it has.
        has: Tokens,
        /// What it should send.
        wanted: u64,
    },
    /// More messages than delays.
    #[error("the delays file has only {count} delays, and the case needs more")]
    NoDelay {
        /// How many there are.
        count: usize,
    },
    /// More time than a clock can show.
    #[error("the time is over {} ticks", u64::MAX)]
    Late,
    /// Something is still missing at the end.
    #[error(
        "{DRAIN} ticks after the last event, {messages} messages are in flight and {snapshots} snapshots are not complete"
    )]
    Endless {
        /// Messages and markers that have not arrived.
        messages: usize,
        /// Snapshots that not every server has finished.
        snapshots: usize,
    },
    /// The coordinator did not send.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The coordinator ended.
    #[error(transparent)]
    Ended(Box<Failure>),
    /// The coordinator did not begin.
    #[error(transparent)]
    Initiate(#[from] InitiateError),
    /// A frame is not what it should be.
    #[error(transparent)]
    Frame(#[from] Malformed),
    /// Something that may not happen here.
    #[error("{server}: {what}")]
    Unexpected {
        /// At which server.
        server: String,
        /// What.
        what: String,
    },
}

/// A group of servers in a discrete-time world.
#[derive(Debug)]
pub(crate) struct Simulation<'a> {
    group: &'a Group,
    delays: &'a [u64],
    next_delay: usize,
    time: u64,
    servers: Vec<Server>,
    /// By source and destination, ascending; what is under way on each link.
    links: BTreeMap<(usize, usize), VecDeque<Flight>>,
    /// The snapshots in the order of their beginning, and how many servers have finished each.
    begun: Vec<SnapshotId>,
    finished: BTreeMap<SnapshotId, (usize, Recorded)>,
}

#[derive(Debug)]
struct Server {
    coordinator: SnapshotCoordinator<Tokens, Tokens>,
    tokens: Tokens,
}

/// A frame under way. Control frames other than markers are no messages of the simulated world: they keep their place
/// on the link and take no time.
#[derive(Debug)]
struct Flight {
    due: Option<u64>,
    frame: Frame<Tokens>,
}

impl<'a> Simulation<'a> {
    /// All servers started, at time 0.
    pub(crate) fn new(group: &'a Group, delays: &'a [u64]) -> Result<Self, Trouble> {
        let mut graph = Graph::new((0..group.len()).map(node));
        for (from, to) in group.links() {
            graph = graph.link(node(from), node(to));
        }
        // Every snapshot must end by its markers alone, so nothing may be given up for being late or many.
        let unlimited = Bound::new(usize::MAX, usize::MAX);
        let settings = Settings {
            deadline: Duration::MAX,
            stall: Duration::MAX,
            max_recorded_bytes: usize::MAX,
            max_running: usize::MAX,
            outbox_low: unlimited,
            outbox_high: unlimited,
            outbox_hard: unlimited,
            inbox: unlimited,
            ..Settings::default()
        };
        let mut servers = Vec::new();
        for (index, seed) in (0..group.len()).zip(0..) {
            let coordinator = SnapshotCoordinator::new(graph.at(node(index))?, settings.clone(), seed);
            servers.push(Server { coordinator, tokens: group.starting_tokens(index).into() });
        }
        let links = group.links().map(|link| (link, VecDeque::new())).collect();
        let mut simulation = Self {
            group,
            delays,
            next_delay: 0,
            time: 0,
            servers,
            links,
            begun: Vec::new(),
            finished: BTreeMap::new(),
        };
        for server in 0..group.len() {
            simulation.servers[server].coordinator.start(Duration::ZERO);
            simulation.pump(server)?;
        }
        simulation.settle()?;
        Ok(simulation)
    }

    /// Takes one step of the script.
    pub(crate) fn take(&mut self, step: Step) -> Result<(), Trouble> {
        match step {
            Step::Send { from, to, tokens } => self.send(from, to, tokens),
            Step::Snapshot { server } => self.snapshot(server),
            Step::Tick { ticks } => {
                let end = self.time.checked_add(ticks).ok_or(Trouble::Late)?;
                while self.time < end {
                    self.skip_to_before(self.first_due(), end);
                    if self.time < end {
                        self.tick()?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Lets time pass until every snapshot is complete and nothing is in flight, and tells what came of it all.
    pub(crate) fn drain(mut self) -> Result<Outcome, Trouble> {
        let end = self.time.saturating_add(DRAIN);
        while !self.is_idle() {
            self.skip_to_before(self.first_due(), end);
            if self.time == end {
                let messages = self.links.values().map(VecDeque::len).sum();
                let snapshots = self.begun.iter().filter(|id| !self.is_complete(**id)).count();
                return Err(Trouble::Endless { messages, snapshots });
            }
            self.tick()?;
        }
        let mut snapshots = Vec::new();
        for id in &self.begun {
            snapshots.extend(self.finished.remove(id).map(|(_, recorded)| recorded));
        }
        Ok(Outcome { snapshots, tokens: self.servers.iter().map(|server| server.tokens).collect() })
    }

    fn send(&mut self, from: usize, to: usize, tokens: u64) -> Result<(), Trouble> {
        let name = |server| self.group.name(server).to_owned();
        if !self.links.contains_key(&(from, to)) {
            return Err(Trouble::NoLink { from: name(from), to: name(to) });
        }
        let server = &mut self.servers[from];
        let Some(left) = server.tokens.checked_sub(tokens.into()) else {
            return Err(Trouble::TooFew { server: name(from), has: server.tokens, wanted: tokens });
        };
        server.tokens = left;
        let to = peer(&server.coordinator, to)?;
        server.coordinator.send(to, tokens.into())?;
        self.pump(from)?;
        self.settle()
    }

    fn snapshot(&mut self, index: usize) -> Result<(), Trouble> {
        let Server { coordinator, tokens } = &mut self.servers[index];
        let id = coordinator.initiate(Duration::ZERO, &mut || Capture::new(*tokens))?;
        self.begun.push(id);
        self.pump(index)?;
        self.settle()
    }

    /// One tick: time goes on, and each server, in order, may deliver one message.
    fn tick(&mut self) -> Result<(), Trouble> {
        self.time = self.time.checked_add(1).ok_or(Trouble::Late)?;
        for from in 0..self.servers.len() {
            let links = self.links.range_mut((from, 0)..(from + 1, 0));
            let due = |flights: &VecDeque<Flight>| {
                flights.front().and_then(|f| f.due).is_some_and(|due| due <= self.time)
            };
            let first = links
                .filter(|(_, flights)| due(flights))
                .map(|(link, flights)| (*link, flights.pop_front()))
                .next();
            if let Some(((_, to), Some(flight))) = first {
                self.deliver(from, to, flight.frame)?;
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Delivers what stands at the front of a link and takes no time, until there is nothing of the kind.
    fn settle(&mut self) -> Result<(), Trouble> {
        let free = |flights: &VecDeque<Flight>| flights.front().is_some_and(|flight| flight.due.is_none());
        loop {
            let mut links = self.links.iter_mut();
            let Some((&(from, to), flights)) = links.find(|(_, flights)| free(flights)) else {
                return Ok(());
            };
            if let Some(flight) = flights.pop_front() {
                self.deliver(from, to, flight.frame)?;
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, frame: Frame<Tokens>) -> Result<(), Trouble> {
        let Server { coordinator, tokens } = &mut self.servers[to];
        let from = peer(coordinator, from)?;
        coordinator.handle_frame(Duration::ZERO, from, frame, &mut || Capture::new(*tokens));
        while let Some((_, message)) = coordinator.take_message() {
            *tokens += message;
        }
        self.pump(to)
    }

    /// After every input: ends the turn, takes the outputs, and puts what was sent on the links.
    fn pump(&mut self, index: usize) -> Result<(), Trouble> {
        self.servers[index].coordinator.end_turn().map_err(|failure| Trouble::Ended(Box::new(failure)))?;
        while let Some(output) = self.servers[index].coordinator.poll_output() {
            self.take_output(index, output)?;
        }
        let mut frames = Frames::new();
        let outgoing: Vec<Peer> = self.servers[index].coordinator.topology().outgoing().collect();
        for peer in outgoing {
            let coordinator = &mut self.servers[index].coordinator;
            if coordinator.take_outgoing(peer, &mut frames) {
                coordinator.handle_sent(Duration::ZERO, peer);
            }
            while let Some(frame) = frames.pop_front() {
                let due = match frame.kind()? {
                    FrameKind::Message | FrameKind::Marker(_) => Some(self.draw_due()?),
                    _ => None,
                };
                self.links.entry((index, server(peer.id()))).or_default().push_back(Flight { due, frame });
            }
        }
        Ok(())
    }

    fn take_output(&mut self, index: usize, output: Output<Tokens, Tokens>) -> Result<(), Trouble> {
        let what = match output {
            Output::Event(Event::LocalSnapshot(local)) => {
                self.collect(*local);
                return Ok(());
            }
            Output::Failed(failure) => return Err(Trouble::Ended(Box::new(failure))),
            Output::Event(Event::SnapshotAborted { snapshot, reason, .. }) => {
                format!("{snapshot} was given up: {reason}")
            }
            Output::Event(Event::Violation { peer, what, .. }) => {
                format!("{}: {what}", self.group.name(server(peer.id())))
            }
            _ => return Ok(()),
        };
        Err(Trouble::Unexpected { server: self.group.name(index).to_owned(), what })
    }

    fn collect(&mut self, local: LocalSnapshot<Tokens, Tokens>) {
        let (finished, recorded) = self.finished.entry(local.snapshot).or_default();
        *finished += 1;
        let to = self.group.name(server(local.node));
        recorded.tokens.insert(to.to_owned(), local.state);
        for (from, messages) in local.channels {
            for message in messages {
                recorded.push(self.group.name(server(from)), to, message);
            }
        }
    }

    fn draw_due(&mut self) -> Result<u64, Trouble> {
        let delay = self.delays.get(self.next_delay).ok_or(Trouble::NoDelay { count: self.delays.len() })?;
        self.next_delay += 1;
        Ok(self.time.saturating_add(1).saturating_add(*delay))
    }

    fn is_complete(&self, id: SnapshotId) -> bool {
        self.finished.get(&id).is_some_and(|(finished, _)| *finished == self.servers.len())
    }

    fn is_idle(&self) -> bool {
        self.links.values().all(VecDeque::is_empty) && self.begun.iter().all(|id| self.is_complete(*id))
    }

    /// The time at which the next message can leave its link.
    fn first_due(&self) -> Option<u64> {
        self.links.values().filter_map(|flights| flights.front()?.due).min()
    }

    /// Lets pass the ticks in which nothing happens, so that long waits cost nothing.
    fn skip_to_before(&mut self, due: Option<u64>, end: u64) {
        self.time = due.map_or(end, |due| due.saturating_sub(1).min(end)).max(self.time);
    }
}

// Names ascend as the indices do, so the coordinator's order of neighbours is the order of the names.
fn node(server: usize) -> NodeId {
    NodeId(server as u64 + 1)
}

fn server(node: NodeId) -> usize {
    node.0 as usize - 1
}

fn peer(coordinator: &SnapshotCoordinator<Tokens, Tokens>, other: usize) -> Result<Peer, Trouble> {
    let (me, to) = (coordinator.topology().me(), node(other));
    coordinator.topology().peer(to).ok_or(Trouble::Send(SendError::UnknownPeer { me, to }))
}
