//! Generations: finding one's place at the start, leaving a generation that has lost something, restoring.
//!
//! One loop for all of it: read the journal to its end, decide what the end asks for, do one thing, look again. Nobody
//! needs to know whether it is the first start.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::lane::{Asked, Purpose};
use super::output::{Failure, Output, StoreAnswer, StoreRequest};
use super::phase::{Phase, Step, Why};
use super::search::Search;
use super::{CaptureFn, SnapshotCoordinator};
use crate::format::envelope::decode_seat;
use crate::format::part::PartError;
use crate::format::record::{Entry, Record, Start};
use crate::vocabulary::event::{Event, Violation};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::id::{Generation, NodeId, Peer, Turn};
use crate::vocabulary::key::{Created, Key};
use crate::vocabulary::part::StoredPart;

/// After the store has failed a node that rolls back, it tries again this much later.
const RETRY: Duration = Duration::from_millis(500);

/// What is known on the way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Recovery<M> {
    pub(super) step: Step,
    /// Frames that wait for the rollback, in order. Bounded by what the driver had received when it began.
    pub(super) held: VecDeque<(Peer, Frame<M>)>,
    pub(super) retry_at: Option<Duration>,
    search: Search,
    /// The generation whose whole sets have been looked for.
    pub(super) looked: Option<Generation>,
    /// The generation in which this node has its seat.
    seat: Option<Generation>,
    /// A generation whose seat another process of this node has: the next one must be opened.
    taken: Option<Generation>,
    /// The generation behind which this node has paused before it opens the next one (J7).
    paused: Option<Generation>,
    /// What is wrong with the start of the generation in which this node sits.
    pub(super) damaged: Option<(Generation, PartError)>,
    /// What was loaded, while the driver installs the state.
    loaded: Option<Loaded<M>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Loaded<M> {
    turn: Turn,
    channels: BTreeMap<NodeId, Vec<M>>,
    outgoing: BTreeMap<NodeId, Vec<M>>,
    /// Whether the state came from the store, and did not just begin.
    resumed: bool,
}

impl<M> Recovery<M> {
    pub(super) fn new() -> Self {
        Self {
            step: Step::Find,
            held: VecDeque::new(),
            retry_at: None,
            search: Search::default(),
            looked: None,
            seat: None,
            taken: None,
            paused: None,
            damaged: None,
            loaded: None,
        }
    }
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    pub(super) fn begin_start(&mut self) {
        self.phase = Phase::Recovering(Why::Start);
        self.ask(Asked::Find { index: 1 });
    }

    /// Stops taking part until it is known what the journal says.
    pub(super) fn begin_recovery(&mut self, _now: Duration, why: Why) {
        if self.phase == Phase::Running {
            self.phase = Phase::Recovering(why);
            // Sets may have become whole since the last look.
            self.recovery.looked = None;
            self.read_on();
            // A read that began before the news may miss the record that it is about (D4).
            self.lane.forget_look();
        }
    }

    /// The journal has a newer generation: nothing of this one counts any more.
    pub(super) fn leave_generation(&mut self, now: Duration) {
        self.begin_recovery(now, Why::Newer);
        self.abandon_snapshots();
        self.untaken.clear();
    }

    pub(super) fn retry_recovery(&mut self, now: Duration) {
        if self.recovery.retry_at.is_some_and(|at| at <= now) {
            self.recovery.retry_at = None;
            self.recovery.looked = None;
            self.read_on();
        }
    }

    /// The store has failed: a start ends with that, a running node tries again.
    pub(super) fn store_failed(&mut self, now: Duration, error: String) {
        match self.phase {
            Phase::Recovering(Why::Start) => self.fail(Failure::Store { error }),
            Phase::Recovering(_) => {
                self.emit(Event::StoreFailed { error });
                self.recovery.retry_at = Some(now.saturating_add(RETRY));
            }
            _ => self.emit(Event::StoreFailed { error }),
        }
    }

    pub(super) fn found(&mut self, index: u64, bytes: Option<Bytes>) {
        let search = &mut self.recovery.search;
        search.found(index, bytes);
        match search.next() {
            Some(index) => self.ask(Asked::Find { index }),
            None => {
                if let Some((index, bytes)) = std::mem::take(search).last() {
                    match Record::decode(index, &bytes) {
                        Err(error) if error.is_damage() => return self.torn_end(index, index, error),
                        _ => self.lane.last = self.decode(index, &bytes),
                    }
                }
                // What was written meanwhile is read one by one.
                self.read_on();
            }
        }
    }

    /// Asks for the next thing on the way to running.
    pub(super) fn recover(&mut self, now: Duration, why: Why, capture: &mut CaptureFn<'_, C>) {
        if self.recovery.retry_at.is_some() {
            return;
        }
        match self.recovery.step {
            Step::Find | Step::Restoring => {}
            Step::ReadOn => self.ask(Asked::Next),
            Step::Decide => self.decide(now, why, capture),
        }
    }

    fn decide(&mut self, now: Duration, why: Why, capture: &mut CaptureFn<'_, C>) {
        let me = self.topology.me();
        let Some(last) = self.lane.last.clone() else {
            let nonce = self.random.draw();
            return self.append(Record::first(&self.topology, self.settings.retention, nonce), Purpose::Open);
        };
        let newest = last.generation;
        if why == Why::Newer && newest == self.generation {
            return self.resume(now, capture);
        }
        let lost = why == Why::Gap && newest == self.generation;
        // An older release has opened it: it would not be understood there, and has no name of its own.
        let foreign = last.opened.is_none();
        let open = lost || foreign || self.recovery.taken == Some(newest);
        if (open || why == Why::Start) && self.recovery.looked != Some(newest) {
            // If an initiator died between the last receipt and its commit, whoever comes next commits.
            return self.ask(Asked::Sets);
        }
        let pause = last.pause_before_the_next();
        if open && !pause.is_zero() && self.recovery.paused != Some(newest) {
            tracing::warn!(me = %self.topology.me(), %newest, ?pause, "no generation has committed anything of late: the next one waits");
            self.recovery.paused = Some(newest);
            self.recovery.retry_at = Some(now.saturating_add(pause));
            return;
        }
        if open {
            let nonce = self.random.draw();
            return self.append(last.open(me, nonce), Purpose::Open);
        }
        if self.recovery.seat != Some(newest) {
            return self.ask(Asked::Seat { generation: newest });
        }
        match self.recovery.damaged.clone().filter(|(generation, _)| *generation == newest) {
            Some((_, error)) if self.settings.fall_back => self.fall_back(&last, error),
            Some((_, error)) => self.fail(Failure::Damaged(error)),
            None => {
                // The others have as much to read: they hear of it before it is read here.
                self.announce_generation(&last);
                self.load(&last);
            }
        }
    }

    /// A frame spoke of a generation that the journal does not have: whoever sent it broke the protocol.
    fn resume(&mut self, now: Duration, capture: &mut CaptureFn<'_, C>) {
        self.phase = Phase::Running;
        let mut held = std::mem::take(&mut self.recovery.held);
        // Only what this look was for: a generation that another frame speaks of may have been opened meanwhile.
        if let Some((from, frame)) = held.pop_front() {
            let generation = frame.stamp.generation();
            if generation > self.generation {
                self.violated(from, Violation::UnknownGeneration { generation });
                self.estrange(from);
            } else {
                self.handle_frame(now, from, frame, capture);
            }
        }
        for (from, frame) in held {
            self.handle_frame(now, from, frame, capture);
        }
    }

    fn load(&mut self, last: &Record) {
        let me = self.topology.me();
        let (key, expected) = match &last.start {
            Start::Initial => (Key::Initial(me), None),
            Start::Snapshot(start) => {
                (Key::Part { snapshot: start.snapshot, node: me }, start.parts.get(&me).copied())
            }
        };
        self.ask_with(Asked::Load, StoreRequest::ReadPart { key, expected });
    }

    pub(super) fn recovery_answered(
        &mut self,
        now: Duration,
        asked: Asked,
        answer: StoreAnswer<M, C>,
        capture: &mut CaptureFn<'_, C>,
    ) {
        match (asked, answer) {
            // A generation that has committed has had all members in it: this seat was there, and the store has lost it.
            (Asked::Seat { generation }, StoreAnswer::Created(Created::New))
                if self.has_committed(generation) =>
            {
                self.recovery.taken = Some(generation);
                self.read_on();
            }
            (Asked::Seat { generation }, StoreAnswer::Created(Created::New)) => {
                self.recovery.seat = Some(generation);
            }
            (Asked::Seat { generation }, StoreAnswer::Created(Created::Exists)) => {
                self.ask(Asked::SeatHolder { generation, error: None });
            }
            (Asked::Seat { generation }, StoreAnswer::Failed(error)) => {
                self.ask(Asked::SeatHolder { generation, error: Some(error) });
            }
            (Asked::SeatHolder { generation, .. }, StoreAnswer::Read(Some(bytes))) => {
                self.seat_held(generation, decode_seat(&bytes).ok());
            }
            (Asked::SeatHolder { error: Some(error), .. }, StoreAnswer::Read(None)) => {
                self.store_failed(now, error);
            }
            (Asked::Sets, StoreAnswer::Listed(keys)) => {
                let whole = self.lane.last.as_ref().map_or(Vec::new(), |last| last.whole(&keys));
                self.verify_next_set(whole.into());
            }
            (Asked::Verify(verification), StoreAnswer::Verified(part)) => self.verified(verification, part),
            (Asked::OlderCommit { rest }, StoreAnswer::Read(Some(bytes))) => self.older_commit(rest, &bytes),
            (Asked::Load, StoreAnswer::Part(part)) => self.loaded(part, capture),
            (Asked::Initial, StoreAnswer::Created(Created::New)) => {
                let (channels, outgoing) = (BTreeMap::new(), BTreeMap::new());
                self.restore(None, Loaded { turn: Turn(0), channels, outgoing, resumed: false });
            }
            // Somebody else wrote it: what exists is installed. The next round reads it.
            (Asked::Initial, StoreAnswer::Created(Created::Exists)) => {}
            (_, StoreAnswer::Failed(error)) => self.store_failed(now, error),
            (_, _) => self.store_failed(now, "an object of the store has gone while it was read".to_owned()),
        }
    }

    fn has_committed(&self, generation: Generation) -> bool {
        let newest = self.lane.last.as_ref().filter(|last| last.generation == generation);
        newest.is_some_and(|last| last.last.is_some())
    }

    fn seat_held(&mut self, generation: Generation, life: Option<u64>) {
        if life == Some(self.life) {
            self.recovery.seat = Some(generation);
        } else if self.phase == Phase::Recovering(Why::Start) {
            self.recovery.taken = Some(generation);
            self.read_on();
        } else {
            self.fail(Failure::Replaced { generation });
        }
    }

    fn loaded(&mut self, part: Result<StoredPart<C, M>, PartError>, capture: &mut CaptureFn<'_, C>) {
        let Some(seat) = self.recovery.seat else { return };
        match part {
            Ok(StoredPart { turn, state, channels, outgoing }) => {
                self.restore(Some(state), Loaded { turn, channels, outgoing, resumed: true });
            }
            // The very first start: what the application began with becomes the initial state.
            Err(PartError::Missing { key: Key::Initial(_) })
                if self.phase == Phase::Recovering(Why::Start) =>
            {
                let state = capture().state;
                self.ask_with(Asked::Initial, StoreRequest::WriteInitial(state));
            }
            // Going back further would not help: it was read, and is not understood.
            Err(error) if !error.is_damage() => self.fail(Failure::Damaged(error)),
            // Gone because of a newer commit and generation? Read on; if there is none, it is damaged.
            Err(error) => {
                self.recovery.damaged = Some((seat, error));
                self.read_on();
            }
        }
    }

    fn restore(&mut self, state: Option<C>, loaded: Loaded<M>) {
        self.recovery.loaded = Some(loaded);
        self.recovery.step = Step::Restoring;
        self.outputs.push_back(Output::Restore { state });
    }

    /// The state of [`Output::Restore`] is installed: the node runs in its new generation. What was recorded as arriving stands
    /// at the head of its channels, what was recorded as not departed is the first to depart (W7), `Hello` goes out and what
    /// the neighbours may send (W3), held frames are taken up. Nothing of that where the node has come to its end meanwhile.
    pub fn handle_restored(&mut self, now: Duration, capture: &mut CaptureFn<'_, C>) {
        if self.phase == Phase::Over {
            return;
        }
        let Some((loaded, last)) = self.recovery.loaded.take().zip(self.lane.last.clone()) else { return };
        let Some(generation) = self.recovery.seat else { return };
        self.generation = generation;
        self.nonce = last.opened.unwrap_or_default();
        self.phase = Phase::Running;
        self.ended = loaded.turn;
        self.uncommitted.begin(loaded.turn);
        self.overflowed = false;
        self.largest = last.start_sequence();
        self.recovery.damaged = None;
        self.recovery.taken = None;
        self.schedule.heard(now);
        self.extra = false;
        self.announce_generation(&last);
        self.replay(loaded.channels, loaded.outgoing);
        self.weigh_outbox();
        self.post_grants();
        self.tell_restored(&last, loaded.turn, loaded.resumed);
        for (from, frame) in std::mem::take(&mut self.recovery.held) {
            self.handle_frame(now, from, frame, capture);
        }
        self.advance(now, capture);
    }

    /// Whether this node speaks in a generation in which it does not live yet.
    pub(super) fn has_announced(&self) -> bool {
        self.speaks != (self.generation, self.nonce)
    }

    /// From here on this node speaks in the newest generation: nothing of an older one departs any more, and `Hello` goes out, the
    /// first frame on each channel. Only where it has its seat in it. Once for each.
    fn announce_generation(&mut self, last: &Record) {
        let speaks = (last.generation, last.opened.unwrap_or_default());
        if self.speaks != speaks {
            self.speaks = speaks;
            self.channels.iter_mut().for_each(super::Channel::reset);
            self.weigh_outbox();
            self.post_hello();
        }
    }

    fn replay(&mut self, channels: BTreeMap<NodeId, Vec<M>>, outgoing: BTreeMap<NodeId, Vec<M>>) {
        for (sender, messages) in channels {
            let Some(from) = self.topology.peer(sender) else { continue };
            for message in messages {
                let bytes = self.measure.weigh(&message);
                self.channels[from.index()].intake.replay(bytes);
                self.untaken.push(from, message, bytes);
            }
        }
        for (receiver, messages) in outgoing {
            let Some(to) = self.topology.peer(receiver) else { continue };
            for message in messages {
                let bytes = self.measure.weigh(&message);
                self.channels[to.index()].outbox.post_message(self.ended.0, message, bytes);
            }
        }
    }

    fn tell_restored(&mut self, last: &Record, turn: Turn, resumed: bool) {
        let generation = self.generation;
        let snapshot = match &last.start {
            Start::Initial => None,
            Start::Snapshot(start) => Some(start.snapshot),
        };
        tracing::info!(me = %self.topology.me(), %generation, ?snapshot, %turn, "running");
        if resumed {
            self.emit(Event::RolledBack { generation, snapshot, turn });
        }
        if let Entry::Generation { given_up } = &last.entry
            && !given_up.is_empty()
        {
            tracing::error!(me = %self.topology.me(), %generation, ?snapshot, ?given_up, "fell back behind a committed snapshot");
            self.emit(Event::FellBack { generation, to: snapshot, given_up: given_up.clone() });
        }
    }
}
