//! A small bank, right or with one of the defects that a simulation is there to find.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, NodeId, Postcard, PostcardState, StateProvider, Turn};
use snapshot_transport_mem::simulation::{Application, Cut, Outgoing, Random, SimulatedGroup};

pub(crate) const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const START: u64 = 100;

/// What is wrong with the bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defect {
    Nothing,
    /// After a rollback it sends again what it remembers to have sent, though a snapshot brings that back by itself.
    SendsAgainAfterRollback,
    /// What is set aside is not captured.
    StateOutsideTheCapture,
    /// Which transfers it has seen is in the process's memory, which does not go back with the state.
    SeenInMemory,
    /// A deposit is acknowledged when it is made.
    AcknowledgesTooEarly,
    /// A deposit that was undone is acknowledged all the same when the next snapshot commits.
    ForgetsNothingAfterRollback,
    /// `install` leaves the state as it is.
    InstallsNothing,
    /// It panics at a balance of its own.
    Panics,
    /// It sends to a node that is none of its neighbours.
    SendsToAStranger,
    /// Every message is answered.
    NeverRests,
    /// When a backup is put in place, it holds the group to what was acknowledged after it.
    ForgetsNothingWithABackup,
}

/// A number of its own, so that deposits can be told apart in what clients remember.
type Deposit = u64;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Transfer {
    number: u64,
    amount: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) balance: u64,
    /// Part of the money.
    pub(crate) set_aside: u64,
    pub(crate) deposits: BTreeSet<Deposit>,
    pub(crate) sent: u64,
}

/// The state: a ledger, captured as the defect says.
pub(crate) struct Branch {
    ledger: Ledger,
    defect: Defect,
}

impl PostcardState for Ledger {}

impl StateProvider for Branch {
    type Captured = Ledger;

    fn capture(&mut self) -> Ledger {
        let mut captured = self.ledger.clone();
        if self.defect == Defect::StateOutsideTheCapture {
            captured.set_aside = 0;
        }
        captured
    }

    fn install(&mut self, captured: Ledger) {
        if self.defect != Defect::InstallsNothing {
            self.ledger = captured;
        }
    }

    fn encode(captured: &Ledger, out: &mut dyn io::Write) -> io::Result<()> {
        Ledger::encode(captured, out)
    }

    fn decode(version: u32, input: &mut dyn io::Read) -> io::Result<Ledger> {
        Ledger::decode(version, input)
    }
}

/// What snapshots do not reach.
pub(crate) struct Bank {
    defect: Defect,
    /// Deposits made so far, and those that clients were told to be safe.
    made: Deposit,
    told: BTreeMap<Deposit, (NodeId, Turn)>,
    /// In the memory of each process.
    pending: BTreeMap<NodeId, VecDeque<(Turn, Deposit)>>,
    seen: BTreeMap<NodeId, BTreeSet<(NodeId, u64)>>,
    last: BTreeMap<NodeId, (NodeId, Transfer)>,
}

impl Bank {
    pub(crate) fn new(defect: Defect) -> Self {
        let (pending, seen, last) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { defect, made: 0, told: BTreeMap::new(), pending, seen, last }
    }

    fn release(&mut self, node: NodeId, turn: Turn) {
        let pending = self.pending.entry(node).or_default();
        while pending.front().is_some_and(|(of, _)| *of <= turn) {
            self.told.extend(pending.pop_front().map(|(of, deposit)| (deposit, (node, of))));
        }
    }
}

impl Application for Bank {
    type State = Branch;
    type Message = Transfer;

    fn start(&mut self, node: NodeId) -> Branch {
        self.pending.remove(&node);
        self.seen.remove(&node);
        self.last.remove(&node);
        let ledger = Ledger { balance: START, ..Ledger::default() };
        Branch { ledger, defect: self.defect }
    }

    fn handle(
        &mut self,
        Branch { ledger, .. }: &mut Branch,
        from: NodeId,
        transfer: Transfer,
        out: &mut Outgoing<'_, Transfer>,
    ) {
        let new = self.seen.entry(out.me()).or_default().insert((from, transfer.number));
        if self.defect == Defect::SeenInMemory && !new {
            return;
        }
        ledger.balance += transfer.amount;
        match self.defect {
            Defect::Panics => assert!(ledger.balance < START + 5, "a balance of {}", ledger.balance),
            Defect::NeverRests => {
                ledger.balance -= transfer.amount;
                ledger.sent += 1;
                out.send(from, Transfer { number: ledger.sent, ..transfer });
            }
            _ => {}
        }
    }

    fn work(
        &mut self,
        Branch { ledger, .. }: &mut Branch,
        random: &mut Random,
        out: &mut Outgoing<'_, Transfer>,
    ) {
        match random.below(10) {
            0 => {
                self.made += 1;
                ledger.deposits.insert(self.made);
                if self.defect == Defect::AcknowledgesTooEarly {
                    self.told.insert(self.made, (out.me(), out.turn()));
                } else {
                    self.pending.entry(out.me()).or_default().push_back((out.turn(), self.made));
                }
            }
            1 if ledger.balance > 0 => {
                ledger.balance -= 1;
                ledger.set_aside += 1;
            }
            _ if ledger.balance > 0 => {
                ledger.balance -= 1;
                ledger.sent += 1;
                let transfer = Transfer { number: ledger.sent, amount: 1 };
                let to = match self.defect {
                    Defect::SendsToAStranger => NodeId(9),
                    _ => *random.pick(out.neighbours()),
                };
                self.last.insert(out.me(), (to, transfer.clone()));
                out.send(to, transfer);
            }
            _ => {}
        }
    }

    fn committed(&mut self, _: &mut Branch, turn: Turn, out: &mut Outgoing<'_, Transfer>) {
        self.release(out.me(), turn);
    }

    fn rolled_back(&mut self, _: &mut Branch, turn: Turn, out: &mut Outgoing<'_, Transfer>) {
        self.release(out.me(), turn);
        let me = out.me();
        if self.defect != Defect::ForgetsNothingAfterRollback {
            self.pending.remove(&me);
        }
        if self.defect == Defect::SendsAgainAfterRollback
            && let Some((to, transfer)) = self.last.remove(&me)
        {
            out.send(to, transfer);
        }
    }

    fn put_back(&mut self, node: NodeId, turn: Turn) {
        if self.defect != Defect::ForgetsNothingWithABackup {
            self.told.retain(|_, (by, of)| *by != node || *of <= turn);
        }
    }
}

pub(crate) fn money(cut: &Cut<Bank>) -> Result<(), String> {
    let held: u64 = cut.states().map(|(_, ledger)| ledger.balance + ledger.set_aside).sum();
    let flying: u64 = cut.in_flight().map(|(_, transfer)| transfer.amount).sum();
    let total = START * cut.members().len() as u64;
    if held + flying == total {
        Ok(())
    } else {
        Err(format!("{held} held and {flying} in flight of {total}"))
    }
}

pub(crate) fn nothing_acknowledged_is_lost(bank: &Bank, cut: &Cut<Bank>) -> Result<(), String> {
    let there: BTreeSet<Deposit> =
        cut.states().flat_map(|(_, ledger)| ledger.deposits.iter().copied()).collect();
    match bank.told.keys().find(|deposit| !there.contains(deposit)) {
        None => Ok(()),
        Some(lost) => Err(format!("deposit {lost} was acknowledged")),
    }
}

pub(crate) fn simulated(graph: Graph, defect: Defect) -> SimulatedGroup<Bank> {
    SimulatedGroup::with_codec(graph, move || Bank::new(defect), Postcard)
        .invariant("money", money)
        .at_rest("no acknowledged deposit is lost", nothing_acknowledged_is_lost)
}
