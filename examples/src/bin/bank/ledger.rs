//! What a branch holds, and what goes from one branch to another.

#[cfg(test)]
mod conformance;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use snapshot_core::{NodeId, PostcardState};
use thiserror::Error;

/// What each account holds when the bank opens, in coins.
pub(crate) const OPENING_BALANCE: u64 = 1000;

/// The most that one transfer moves, in coins.
const LARGEST_TRANSFER: u64 = 10;

/// Accounts that are tried before a branch takes it that it has nothing to give at the moment.
const TRIES: u32 = 8;

/// The state of a branch. All that decides what it does next is in here, its dice too, so that all of it goes back in a
/// rollback.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Ledger {
    accounts: Vec<u64>,
    dice: u64,
    sent: BTreeMap<NodeId, u64>,
    received: BTreeMap<NodeId, u64>,
}

impl PostcardState for Ledger {}

/// Coins on their way from one branch to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Transfer {
    /// Counted on each channel: 1, 2, 3…
    pub(crate) number: u64,
    /// The account that receives them.
    pub(crate) account: u32,
    /// How many.
    pub(crate) coins: u64,
}

/// A transfer that cannot be: the library has lost, repeated or changed one.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum Impossible {
    #[error("transfer {found} from {from} came where {expected} was due: one was lost or counted twice")]
    OutOfOrder { from: NodeId, found: u64, expected: u64 },
    #[error("a transfer from {from} goes to account {account}, which does not exist")]
    NoSuchAccount { from: NodeId, account: u32 },
    #[error("a transfer from {from} makes account {account} overflow")]
    TooMuch { from: NodeId, account: u32 },
}

impl Ledger {
    /// The ledger of a branch on its first day.
    pub(crate) fn opened(accounts: u32, seed: u64) -> Self {
        Self {
            accounts: vec![OPENING_BALANCE; accounts as usize],
            dice: seed,
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
        }
    }

    /// Takes coins from an account and makes out a transfer to one of the `neighbours`. Without neighbours it moves the
    /// coins between two of its own accounts. `None` when nothing is to be sent.
    pub(crate) fn make_out(&mut self, neighbours: &[NodeId]) -> Option<(NodeId, Transfer)> {
        let mut dice = fastrand::Rng::with_seed(self.dice);
        let made = self.debit(&mut dice).and_then(|coins| {
            let account = dice.usize(..self.accounts.len());
            if neighbours.is_empty() {
                self.accounts[account] += coins;
                return None;
            }
            let to = neighbours[dice.usize(..neighbours.len())];
            let number = self.sent.entry(to).or_default();
            *number += 1;
            // There are no more than 2^32 accounts: `opened` takes a u32.
            Some((to, Transfer { number: *number, account: account as u32, coins }))
        });
        self.dice = dice.get_seed();
        made
    }

    fn debit(&mut self, dice: &mut fastrand::Rng) -> Option<u64> {
        (0..TRIES).find_map(|_| {
            let account = dice.usize(..self.accounts.len());
            let balance = self.accounts[account];
            let coins = dice.u64(1..=LARGEST_TRANSFER).min(balance);
            self.accounts[account] -= coins;
            (coins > 0).then_some(coins)
        })
    }

    /// Takes in a transfer.
    ///
    /// # Errors
    ///
    /// If it is not the next of its channel, or cannot be booked. Then nothing has changed.
    pub(crate) fn take_in(&mut self, from: NodeId, transfer: Transfer) -> Result<(), Impossible> {
        let Transfer { number, account, coins } = transfer;
        let last = self.received.entry(from).or_default();
        if number != *last + 1 {
            return Err(Impossible::OutOfOrder { from, found: number, expected: *last + 1 });
        }
        let Some(balance) = self.accounts.get_mut(account as usize) else {
            return Err(Impossible::NoSuchAccount { from, account });
        };
        *balance = balance.checked_add(coins).ok_or(Impossible::TooMuch { from, account })?;
        *last = number;
        Ok(())
    }

    /// Books a transfer once more that was taken in already, which is wrong.
    pub(crate) fn duplicate(&mut self, transfer: Transfer) {
        if let Some(balance) = self.accounts.get_mut(transfer.account as usize) {
            *balance = balance.saturating_add(transfer.coins);
        }
    }

    /// What all accounts hold together, in coins.
    pub(crate) fn total(&self) -> u128 {
        self.accounts.iter().map(|balance| u128::from(*balance)).sum()
    }

    /// How many accounts there are.
    pub(crate) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// How many transfers were sent to a branch.
    pub(crate) fn sent(&self, to: NodeId) -> u64 {
        self.sent.get(&to).copied().unwrap_or(0)
    }

    /// How many transfers of a branch were booked here.
    pub(crate) fn received(&self, from: NodeId) -> u64 {
        self.received.get(&from).copied().unwrap_or(0)
    }

    /// The branches with which there was any dealing: sent to, received from.
    pub(crate) fn partners(&self) -> (impl Iterator<Item = NodeId>, impl Iterator<Item = NodeId>) {
        (self.sent.keys().copied(), self.received.keys().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: NodeId = NodeId(1);
    const THERE: NodeId = NodeId(2);

    #[test]
    fn a_transfer_takes_here_what_it_brings_there() {
        let (mut here, mut there) = (Ledger::opened(3, 1), Ledger::opened(3, 2));
        for number in 1..=500 {
            let (to, transfer) = here.make_out(&[THERE]).expect("there is money left");
            assert_eq!((to, transfer.number), (THERE, number));
            there.take_in(HERE, transfer).expect("it is the next one");
            assert_eq!(here.total() + there.total(), 6 * u128::from(OPENING_BALANCE));
        }
        assert_eq!((here.sent(THERE), there.received(HERE)), (500, 500));
        assert!(here.total() < there.total());
    }

    #[test]
    fn a_transfer_that_is_lost_or_repeated_is_found() {
        let (mut here, mut there) = (Ledger::opened(3, 1), Ledger::opened(3, 2));
        let [first, second] = [(); 2].map(|()| here.make_out(&[THERE]).expect("there is money").1);
        let out_of_order = |found, expected| Err(Impossible::OutOfOrder { from: HERE, found, expected });
        assert_eq!(there.take_in(HERE, second), out_of_order(2, 1));
        assert_eq!(there.take_in(HERE, first), Ok(()));
        assert_eq!(there.take_in(HERE, first), out_of_order(1, 2));
        assert_eq!(there.take_in(HERE, second), Ok(()));
    }

    #[test]
    fn a_transfer_that_cannot_be_booked_changes_nothing() {
        let mut ledger = Ledger::opened(3, 1);
        let before = ledger.total();
        let lost = Transfer { number: 1, account: 3, coins: 1 };
        assert_eq!(ledger.take_in(THERE, lost), Err(Impossible::NoSuchAccount { from: THERE, account: 3 }));
        let huge = Transfer { number: 1, account: 0, coins: u64::MAX };
        assert_eq!(ledger.take_in(THERE, huge), Err(Impossible::TooMuch { from: THERE, account: 0 }));
        assert_eq!((ledger.total(), ledger.received(THERE)), (before, 0));
    }

    #[test]
    fn a_branch_alone_keeps_its_money() {
        let mut ledger = Ledger::opened(5, 9);
        let before = ledger.clone();
        for _ in 0..100 {
            assert_eq!(ledger.make_out(&[]), None);
        }
        assert_eq!(ledger.total(), before.total());
        assert_ne!(ledger, before);
    }

    #[test]
    fn a_ledger_that_went_back_does_the_same_again() {
        let mut ledger = Ledger::opened(5, 9);
        let mut again = ledger.clone();
        let first: Vec<_> = (0..50).map(|_| ledger.make_out(&[THERE])).collect();
        let second: Vec<_> = (0..50).map(|_| again.make_out(&[THERE])).collect();
        assert_eq!(first, second);
    }

    #[test]
    fn a_branch_without_money_sends_nothing() {
        let mut ledger = Ledger::opened(1, 1);
        let sent: u64 = std::iter::from_fn(|| ledger.make_out(&[THERE])).map(|(_, t)| t.coins).sum();
        assert_eq!((sent, ledger.total()), (OPENING_BALANCE, 0));
    }
}
