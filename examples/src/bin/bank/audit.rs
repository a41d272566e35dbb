//! What must be true of every cut: no coin made or lost, no transfer lost, repeated or out of order.

use snapshot_core::{GlobalSnapshot, LinkUse, NodeId, Topology, TopologyError};
use thiserror::Error;

use crate::folder::Bank;
use crate::ledger::{Ledger, Transfer};

/// A snapshot of the bank.
pub(crate) type Cut = GlobalSnapshot<Ledger, Transfer>;

/// Every bank has this branch. All see the same group; this one is asked.
const FIRST: NodeId = NodeId(1);

/// What every cut is measured by.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    /// The group, as any of its members sees it.
    pub(crate) topology: Topology,
    /// How many accounts each branch has.
    pub(crate) accounts: u32,
    /// All coins there are.
    pub(crate) coins: u64,
}

/// What a cut holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Holdings {
    /// The coins of each branch, ascending by branch.
    pub(crate) held: Vec<(NodeId, u128)>,
    /// The coins between branches.
    pub(crate) in_flight: u128,
    /// The transfers between branches.
    pub(crate) transfers: usize,
}

impl Holdings {
    pub(crate) fn of(cut: &Cut) -> Self {
        Self {
            held: cut.states().map(|(node, ledger)| (node, ledger.total())).collect(),
            in_flight: cut.in_flight().map(|(_, transfer)| u128::from(transfer.coins)).sum(),
            transfers: cut.in_flight().count(),
        }
    }

    /// All coins in the cut.
    pub(crate) fn total(&self) -> u128 {
        self.held.iter().map(|(_, coins)| coins).sum::<u128>() + self.in_flight
    }
}

/// What is wrong with a cut.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum Discrepancy {
    #[error("the cut is of the branches {found:?}, the bank has {expected:?}")]
    OtherBranches { found: Vec<NodeId>, expected: Vec<NodeId> },
    #[error("{branch} has {found} accounts, not {expected}")]
    Accounts { branch: NodeId, found: usize, expected: u32 },
    #[error("there are {found} coins in the cut, not {expected}")]
    Coins { found: u128, expected: u64 },
    #[error(
        "{from} has sent {sent} transfers to {to}, which accounts for {received} and {in_flight} in flight"
    )]
    Transfers { from: NodeId, to: NodeId, sent: u64, received: u64, in_flight: usize },
    #[error("transfer {found} from {from} to {to} is in flight where {expected} should be")]
    OutOfOrder { from: NodeId, to: NodeId, found: u64, expected: u64 },
    #[error("{from} and {to} have dealt with each other, and there is no channel between them")]
    NoChannel { from: NodeId, to: NodeId },
}

impl Books {
    /// The books of a bank.
    pub(crate) fn of(bank: &Bank) -> Result<Self, TopologyError> {
        Ok(Self { topology: bank.graph().at(FIRST)?, accounts: bank.accounts, coins: bank.coins() })
    }

    /// Goes through a cut.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn audit(&self, cut: &Cut) -> Result<Holdings, Discrepancy> {
        self.check_branches(cut)?;
        let channels: Vec<(NodeId, NodeId)> = self
            .topology
            .links()
            .filter(|link| link.2 == LinkUse::Messages)
            .map(|(from, to, _)| (from, to))
            .collect();
        for &(from, to) in &channels {
            check_channel(cut, from, to)?;
        }
        // Beyond the channels that there are nothing may have gone.
        let dealings = cut.states().flat_map(|(branch, ledger)| {
            let (sent, received) = ledger.partners();
            sent.map(move |to| (branch, to)).chain(received.map(move |from| (from, branch)))
        });
        let recorded = cut.in_flight().map(|(channel, _)| channel);
        if let Some((from, to)) = dealings.chain(recorded).find(|channel| !channels.contains(channel)) {
            return Err(Discrepancy::NoChannel { from, to });
        }
        self.conserved(cut)
    }

    /// Adds up a cut: money is neither made nor lost. That is the check of each branch, while the bank is open.
    ///
    /// # Errors
    ///
    /// If it was.
    pub(crate) fn conserved(&self, cut: &Cut) -> Result<Holdings, Discrepancy> {
        let holdings = Holdings::of(cut);
        if holdings.total() != u128::from(self.coins) {
            return Err(Discrepancy::Coins { found: holdings.total(), expected: self.coins });
        }
        Ok(holdings)
    }

    fn check_branches(&self, cut: &Cut) -> Result<(), Discrepancy> {
        let expected = self.topology.members();
        if cut.members() != expected {
            return Err(Discrepancy::OtherBranches {
                found: cut.members().to_vec(),
                expected: expected.to_vec(),
            });
        }
        match cut.states().find(|(_, ledger)| ledger.accounts() != self.accounts as usize) {
            Some((branch, ledger)) => {
                Err(Discrepancy::Accounts { branch, found: ledger.accounts(), expected: self.accounts })
            }
            None => Ok(()),
        }
    }
}

/// Each transfer was received once or is in flight once, in the order in which they were sent.
fn check_channel(cut: &Cut, from: NodeId, to: NodeId) -> Result<(), Discrepancy> {
    let sent = cut.state(from).map_or(0, |ledger| ledger.sent(to));
    let received = cut.state(to).map_or(0, |ledger| ledger.received(from));
    let in_flight = cut.channel(from, to);
    let mut expected = received;
    for transfer in in_flight {
        expected = expected.saturating_add(1);
        if transfer.number != expected {
            return Err(Discrepancy::OutOfOrder { from, to, found: transfer.number, expected });
        }
    }
    if sent != expected {
        return Err(Discrepancy::Transfers { from, to, sent, received, in_flight: in_flight.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use snapshot_core::{Generation, Graph, LocalSnapshot, SnapshotId, Turn};

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const C: NodeId = NodeId(3);
    const ACCOUNTS: u32 = 4;

    type Part = LocalSnapshot<Ledger, Transfer>;

    /// A bank of three in a ring, A -> B -> C -> A, with two transfers received by B and three in flight to it.
    struct Doctored {
        a: Part,
        b: Part,
        c: Part,
    }

    impl Doctored {
        fn sound() -> Self {
            let (mut sender, mut receiver) = (Ledger::opened(ACCOUNTS, 1), Ledger::opened(ACCOUNTS, 2));
            let mut transfers: Vec<Transfer> =
                (0..5).map(|_| sender.make_out(&[B]).expect("there is money").1).collect();
            for transfer in transfers.drain(..2) {
                receiver.take_in(A, transfer).expect("it is the next one");
            }
            Self {
                a: part(A, sender, C, Vec::new()),
                b: part(B, receiver, A, transfers),
                c: part(C, Ledger::opened(ACCOUNTS, 3), B, Vec::new()),
            }
        }

        fn audit(self) -> Result<Holdings, Discrepancy> {
            let cut = GlobalSnapshot::assemble([self.a, self.b, self.c]).expect("the parts fit together");
            books().audit(&cut)
        }

        fn in_flight(&mut self) -> &mut Vec<Transfer> {
            self.b.channels.get_mut(&A).expect("there is the channel")
        }
    }

    fn part(node: NodeId, state: Ledger, from: NodeId, transfers: Vec<Transfer>) -> Part {
        let snapshot = SnapshotId { generation: Generation(1), sequence: 1, initiator: A };
        let (channels, outgoing) = (BTreeMap::from([(from, transfers)]), BTreeMap::new());
        LocalSnapshot { snapshot, node, turn: Turn(1), members: [A, B, C].into(), state, channels, outgoing }
    }

    fn books() -> Books {
        let topology = Graph::ring([A, B, C]).at(A).expect("a ring");
        Books { topology, accounts: ACCOUNTS, coins: 12_000 }
    }

    #[test]
    fn a_sound_cut_passes_and_is_added_up() {
        let mut cut = Doctored::sound();
        let in_flight: u128 = cut.in_flight().iter().map(|transfer| u128::from(transfer.coins)).sum();
        let holdings = cut.audit().expect("nothing is wrong");
        assert_eq!((holdings.in_flight, holdings.transfers, holdings.total()), (in_flight, 3, 12_000));
        assert_eq!(holdings.held[2], (C, 4000));
    }

    #[test]
    fn a_transfer_lost_from_the_end_of_a_channel_is_found() {
        let mut cut = Doctored::sound();
        cut.in_flight().pop();
        let found = Discrepancy::Transfers { from: A, to: B, sent: 5, received: 2, in_flight: 2 };
        assert_eq!(cut.audit(), Err(found));
    }

    #[test]
    fn a_transfer_lost_from_the_middle_of_a_channel_is_found() {
        let mut cut = Doctored::sound();
        cut.in_flight().remove(1);
        assert_eq!(cut.audit(), Err(Discrepancy::OutOfOrder { from: A, to: B, found: 5, expected: 4 }));
    }

    #[test]
    fn a_transfer_that_was_received_and_is_in_flight_is_found() {
        let mut cut = Doctored::sound();
        let first = cut.in_flight()[0];
        cut.b.state.take_in(A, first).expect("it is the next one");
        assert_eq!(cut.audit(), Err(Discrepancy::OutOfOrder { from: A, to: B, found: 3, expected: 4 }));
    }

    #[test]
    fn transfers_that_swapped_places_are_found() {
        let mut cut = Doctored::sound();
        cut.in_flight().swap(0, 1);
        assert_eq!(cut.audit(), Err(Discrepancy::OutOfOrder { from: A, to: B, found: 4, expected: 3 }));
    }

    #[test]
    fn a_coin_too_many_is_found() {
        let mut cut = Doctored::sound();
        cut.in_flight()[0].coins += 1;
        assert_eq!(cut.audit(), Err(Discrepancy::Coins { found: 12_001, expected: 12_000 }));
    }

    #[test]
    fn a_state_of_another_moment_is_found() {
        let mut cut = Doctored::sound();
        cut.a.state = Ledger::opened(ACCOUNTS, 1);
        assert!(matches!(cut.audit(), Err(Discrepancy::Transfers { from: A, to: B, sent: 0, .. })));
    }

    #[test]
    fn dealings_without_a_channel_are_found() {
        let mut cut = Doctored::sound();
        let (_, stray) = cut.b.state.make_out(&[A]).expect("there is money");
        cut.a.channels.insert(B, vec![stray]);
        assert_eq!(cut.audit(), Err(Discrepancy::NoChannel { from: B, to: A }));
    }

    #[test]
    fn another_bank_is_found() {
        let mut cut = Doctored::sound();
        cut.c.state = Ledger::opened(ACCOUNTS + 1, 3);
        assert_eq!(cut.audit(), Err(Discrepancy::Accounts { branch: C, found: 5, expected: 4 }));
        let two = Graph::ring([A, B]).at(A).expect("a ring");
        let books = Books { topology: two, ..books() };
        let Doctored { a, b, c } = Doctored::sound();
        let cut = GlobalSnapshot::assemble([a, b, c]).expect("the parts fit together");
        assert!(matches!(books.audit(&cut), Err(Discrepancy::OtherBranches { .. })));
    }
}
