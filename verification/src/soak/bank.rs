//! Money moves; clients make deposits and are told when they are safe.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, NodeId, PostcardState, Turn};
use snapshot_transport_mem::simulation::{Application, Cut, Outgoing, Random};

use super::Judged;

const START: u64 = 100;

/// Transfers and deposits. A transfer may be answered with another one, so that there is traffic without work.
#[derive(Debug, Default)]
pub struct Bank {
    /// How many deposits clients have made, and which of them they were told to be safe.
    made: u64,
    told: BTreeMap<u64, (NodeId, Turn)>,
    /// In the memory of each process: deposits of which the client has not been told yet.
    pending: BTreeMap<NodeId, VecDeque<(Turn, u64)>>,
}

/// One branch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    balance: u64,
    deposits: BTreeSet<u64>,
}

impl PostcardState for Ledger {}

impl Application for Bank {
    type State = Ledger;
    type Message = u64;

    fn start(&mut self, node: NodeId) -> Ledger {
        self.pending.remove(&node);
        Ledger { balance: START, deposits: BTreeSet::new() }
    }

    fn handle(&mut self, ledger: &mut Ledger, from: NodeId, amount: u64, out: &mut Outgoing<'_, u64>) {
        ledger.balance += amount;
        let change = amount / 3;
        if change > 0 && out.neighbours().contains(&from) {
            ledger.balance -= change;
            out.send(from, change);
        }
    }

    fn work(&mut self, ledger: &mut Ledger, random: &mut Random, out: &mut Outgoing<'_, u64>) {
        if random.chance(20) {
            self.made += 1;
            ledger.deposits.insert(self.made);
            self.pending.entry(out.me()).or_default().push_back((out.turn(), self.made));
        }
        if ledger.balance > 0 && !out.neighbours().is_empty() {
            let amount = 1 + random.below(ledger.balance);
            ledger.balance -= amount;
            out.send(*random.pick(out.neighbours()), amount);
        }
    }

    fn committed(&mut self, _: &mut Ledger, turn: Turn, out: &mut Outgoing<'_, u64>) {
        let pending = self.pending.entry(out.me()).or_default();
        while pending.front().is_some_and(|(of, _)| *of <= turn) {
            self.told.extend(pending.pop_front().map(|(of, deposit)| (deposit, (out.me(), of))));
        }
    }

    fn rolled_back(&mut self, ledger: &mut Ledger, turn: Turn, out: &mut Outgoing<'_, u64>) {
        self.committed(ledger, turn, out);
        self.pending.remove(&out.me());
    }

    fn put_back(&mut self, node: NodeId, turn: Turn) {
        self.told.retain(|_, (by, of)| *by != node || *of <= turn);
    }
}

impl Judged for Bank {
    const RULE: &str = "money is conserved";
    const RULE_AT_REST: &str = "no acknowledged deposit is lost";

    fn new(_: &Graph) -> Self {
        Self::default()
    }

    fn judge(cut: &Cut<Self>) -> Result<(), String> {
        let held: u64 = cut.states().map(|(_, ledger)| ledger.balance).sum();
        let flying: u64 = cut.in_flight().map(|(_, amount)| *amount).sum();
        let all = START * cut.members().len() as u64;
        if held + flying == all {
            Ok(())
        } else {
            Err(format!("{held} held and {flying} in flight of {all}"))
        }
    }

    fn judge_rest(&self, cut: &Cut<Self>) -> Result<(), String> {
        let there: BTreeSet<u64> =
            cut.states().flat_map(|(_, ledger)| ledger.deposits.iter().copied()).collect();
        let lost = self.told.keys().find(|deposit| !there.contains(deposit));
        lost.map_or(Ok(()), |lost| Err(format!("deposit {lost} was acknowledged")))
    }
}
