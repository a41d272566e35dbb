//! Ledgers and transfers keep the clauses that the library asks for.

use snapshot_conformance::{CodecFixture, StateFixture};
use snapshot_core::{NodeId, Postcard};

use super::{Ledger, Transfer};

struct Ledgers;

impl StateFixture for Ledgers {
    type State = Ledger;
    type Seen = Ledger;

    fn new() -> Self {
        Self
    }

    fn state(&self, number: u64) -> Ledger {
        Ledger::opened(1 + 20 * number as u32, number)
    }

    fn change(&self, ledger: &mut Ledger, step: u64) {
        let from = NodeId(step % 3);
        let number = ledger.received(from) + 1;
        ledger.take_in(from, Transfer { number, account: 0, coins: step }).unwrap();
        ledger.make_out(&[NodeId(7), NodeId(8)]);
    }

    fn observe(&self, ledger: &mut Ledger) -> Ledger {
        ledger.clone()
    }

    fn earlier(&self) -> Vec<(u32, Vec<u8>, Ledger)> {
        // One account of 1000, dice 5, and nothing sent or received.
        vec![(1, vec![1, 0xe8, 0x07, 5, 0, 0], Ledger::opened(1, 5))]
    }
}

snapshot_conformance::state!(Ledgers);

struct Transfers;

impl CodecFixture for Transfers {
    type Message = Transfer;
    type Codec = Postcard;

    fn new() -> Self {
        Self
    }

    fn codec(&self) -> Postcard {
        Postcard
    }

    fn messages(&self) -> Vec<Transfer> {
        vec![
            Transfer { number: 1, account: 0, coins: 10 },
            Transfer { number: u64::MAX, account: u32::MAX, coins: u64::MAX },
        ]
    }

    fn earlier(&self) -> Vec<(Vec<u8>, Transfer)> {
        vec![(vec![1, 2, 3], Transfer { number: 1, account: 2, coins: 3 })]
    }
}

snapshot_conformance::codec!(Transfers);
