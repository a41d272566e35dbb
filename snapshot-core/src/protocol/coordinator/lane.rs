//! The node's dealings with the journal: one operation at a time, so that each is decided on what the last one showed.
//! Parts go beside it, any number at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::output::{Output, StoreAnswer, StoreRequest, Ticket};
use super::phase::Phase;
use super::{CaptureFn, SnapshotCoordinator};
use crate::format::envelope::{RecordError, encode_seat};
use crate::format::record::{CommittedSnapshot, Record};
use crate::vocabulary::id::{Generation, NodeId, SnapshotId};
use crate::vocabulary::key::{Created, Key};
use crate::vocabulary::part::PartRef;

/// Where this node stands in the journal, and what it is doing there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Lane {
    /// The newest record that was read; it sums up all before it (J1).
    pub(super) last: Option<Record>,
    asked: Option<(Ticket, Asked)>,
    /// Read on, if only to see that there is nothing new.
    pub(super) look: bool,
    tickets: u64,
}

/// The operation under way, and what for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Asked {
    /// Looking for the end at the start.
    Find { index: u64 },
    /// Reading the record after the last one.
    Next,
    /// The record at the end of the journal cannot be read, and neither can those down to this one: what is before them?
    Before { end: u64, index: u64, error: RecordError },
    /// The record after the last one cannot be read, and neither can those up to this one: is there one that sums them up?
    Behind { index: u64, error: RecordError },
    /// Creating a record.
    Append { record: Box<Record>, purpose: Purpose },
    /// After an ambiguous answer: is it there, and is it ours?
    Confirm { record: Box<Record>, purpose: Purpose, error: String },
    /// Creating the seat of a generation.
    Seat { generation: Generation },
    /// The seat exists, or may: whose is it?
    SeatHolder { generation: Generation, error: Option<String> },
    /// Which parts are there, so that a whole set can be committed?
    Sets,
    /// Is this part whole?
    Verify(Verification),
    /// The record of an older commit, to fall back to.
    OlderCommit { rest: Vec<(u64, SnapshotId)> },
    /// Reading this node's part of the start.
    Load,
    /// Writing this node's initial state.
    Initial,
}

/// Why a record is created.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Purpose {
    /// To open a generation.
    Open,
    /// To commit a whole set that was found.
    Found,
    /// To commit a snapshot of which all receipts are in.
    Receipts(SnapshotId),
    /// To settle snapshots that were given up.
    Discard,
}

/// Parts that are read to see whether they are whole.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Verification {
    pub(super) goal: Goal,
    pub(super) todo: VecDeque<(NodeId, Key, Option<PartRef>)>,
    pub(super) found: BTreeMap<NodeId, PartRef>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Goal {
    /// To commit this set, then look at the others.
    Commit { snapshot: SnapshotId, rest: VecDeque<SnapshotId> },
    /// To start from this commit; `None`: from the initial states.
    FallBack { to: Option<CommittedSnapshot>, rest: Vec<(u64, SnapshotId)> },
}

impl Lane {
    pub(super) fn new() -> Self {
        Self { last: None, asked: None, look: false, tickets: 0 }
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Waits no longer for what lies behind the last record: whoever wants to know asks again.
    pub(super) fn forget_look(&mut self) {
        self.asked.take_if(|(_, asked)| *asked == Asked::Next);
    }

    /// Whether no operation on the journal is under way.
    pub(super) fn is_free(&self) -> bool {
        self.asked.is_none()
    }

    pub(super) fn next_index(&self) -> u64 {
        self.last.as_ref().map_or(0, |record| record.index) + 1
    }
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// The store has answered. An answer that nobody waits for any more changes nothing.
    pub fn handle_store(
        &mut self,
        now: Duration,
        ticket: Ticket,
        answer: StoreAnswer<M, C>,
        capture: &mut CaptureFn<'_, C>,
    ) {
        if self.phase == Phase::Over {
            return;
        }
        if self.lane.asked.as_ref().is_some_and(|(asked, _)| *asked == ticket) {
            if let Some((_, asked)) = self.lane.asked.take() {
                self.answered(now, asked, answer, capture);
            }
        } else if self.sweeping.waits_for(ticket) {
            self.swept(now, answer);
        } else if let Some(id) =
            self.commits.writing.iter().find(|(_, w)| w.ticket == ticket).map(|(id, _)| *id)
        {
            let part = match answer {
                StoreAnswer::Written(part) => Ok(part),
                StoreAnswer::Failed(error) => Err(error),
                other => Err(unexpected(&other)),
            };
            self.part_answered(now, id, part);
        }
        self.advance(now, capture);
    }

    /// Asks for the next operation, if none is under way and one is wanted.
    pub(super) fn advance(&mut self, now: Duration, capture: &mut CaptureFn<'_, C>) {
        if !self.settings.durable || self.lane.asked.is_some() {
            return;
        }
        match self.phase {
            Phase::Idle | Phase::Leaving | Phase::Over => {}
            Phase::Recovering(why) => self.recover(now, why, capture),
            Phase::Running if self.lane.look => self.ask(Asked::Next),
            Phase::Running => self.commit_next(now),
        }
    }

    pub(super) fn ask(&mut self, asked: Asked) {
        let key = match &asked {
            Asked::Find { index } => StoreRequest::Read(Key::Journal(*index)),
            Asked::Next => StoreRequest::Read(Key::Journal(self.lane.next_index())),
            Asked::Before { index, .. } => StoreRequest::Read(Key::Journal(index - 1)),
            Asked::Behind { index, .. } => StoreRequest::Read(Key::Journal(index + 1)),
            Asked::Append { record, .. } => StoreRequest::Create(Key::Journal(record.index), record.encode()),
            Asked::Confirm { record, .. } => StoreRequest::Read(Key::Journal(record.index)),
            Asked::Seat { generation } => {
                let seat = Key::Seat { generation: *generation, node: self.topology.me() };
                StoreRequest::Create(seat, encode_seat(self.life))
            }
            Asked::SeatHolder { generation, .. } => {
                StoreRequest::Read(Key::Seat { generation: *generation, node: self.topology.me() })
            }
            Asked::Sets => StoreRequest::ListParts(self.lane.last.as_ref().map(|record| record.generation)),
            Asked::Verify(verification) => match verification.todo.front() {
                Some((_, key, expected)) => StoreRequest::VerifyPart { key: *key, expected: *expected },
                None => return,
            },
            Asked::OlderCommit { rest } => match rest.last() {
                Some((index, _)) => StoreRequest::Read(Key::Journal(*index)),
                None => return,
            },
            Asked::Load | Asked::Initial => return,
        };
        self.ask_with(asked, key);
    }

    pub(super) fn ask_with(&mut self, asked: Asked, request: StoreRequest<M, C>) {
        let ticket = self.lane.ticket();
        self.lane.asked = Some((ticket, asked));
        self.outputs.push_back(Output::Store { ticket, request });
    }

    pub(super) fn append(&mut self, record: Record, purpose: Purpose) {
        self.ask(Asked::Append { record: Box::new(record), purpose });
    }

    /// Whether the store is being asked to commit this snapshot: from then on only its answer can say how it ends.
    pub(super) fn is_committing(&self, id: SnapshotId) -> bool {
        matches!(
            &self.lane.asked,
            Some((_, Asked::Append { purpose: Purpose::Receipts(asked), .. }
                | Asked::Confirm { purpose: Purpose::Receipts(asked), .. })) if *asked == id
        )
    }

    fn answered(
        &mut self,
        now: Duration,
        asked: Asked,
        answer: StoreAnswer<M, C>,
        capture: &mut CaptureFn<'_, C>,
    ) {
        match (asked, answer) {
            (Asked::Find { index }, StoreAnswer::Read(bytes)) => self.found(index, bytes),
            (Asked::Next, StoreAnswer::Read(bytes)) => self.read_next(now, bytes),
            (Asked::Append { record, purpose }, StoreAnswer::Created(Created::New)) => {
                self.appended(now, *record, purpose);
            }
            // Somebody else was first: see what is there, and decide anew (J1).
            (Asked::Append { .. }, StoreAnswer::Created(Created::Exists)) => self.read_on(),
            (Asked::Append { record, purpose }, StoreAnswer::Failed(error)) => {
                self.ask(Asked::Confirm { record, purpose, error });
            }
            (Asked::Confirm { record, purpose, error }, answer) => {
                self.confirmed(now, *record, purpose, error, answer);
            }
            (Asked::Before { end, index, error }, StoreAnswer::Read(Some(bytes))) => {
                self.before_torn(end, index - 1, error, &bytes);
            }
            (Asked::Behind { index, error }, StoreAnswer::Read(bytes)) => {
                self.behind_torn(now, index, error, bytes);
            }
            (
                asked @ (Asked::Find { .. } | Asked::Next | Asked::Behind { .. }),
                StoreAnswer::Failed(error),
            ) => {
                if !matches!(asked, Asked::Find { .. }) && self.phase == Phase::Running {
                    self.lane.look = false;
                }
                self.store_failed(now, error);
            }
            (asked, answer) => self.recovery_answered(now, asked, answer, capture),
        }
    }
}

fn unexpected<M, C>(_: &StoreAnswer<M, C>) -> String {
    "the driver gave an answer of another kind than was asked for".to_owned()
}
