//! Purses and gifts keep the clauses that the library asks for.

use snapshot_conformance::{CodecFixture, StateFixture};
use snapshot_core::Postcard;

use super::{Gift, Purse};

struct Fixture;

impl StateFixture for Fixture {
    type State = Purse;
    type Seen = (u64, u64, bool);

    fn new() -> Self {
        Self
    }

    fn state(&self, number: u64) -> Purse {
        Purse { coins: number * 1000, gifts_taken: number, opened: number == 1 }
    }

    fn change(&self, purse: &mut Purse, step: u64) {
        purse.coins += step;
        purse.gifts_taken += 1;
        purse.opened = true;
    }

    fn observe(&self, purse: &mut Purse) -> Self::Seen {
        (purse.coins, purse.gifts_taken, purse.opened)
    }

    fn earlier(&self) -> Vec<(u32, Vec<u8>, Purse)> {
        vec![(1, vec![100, 3, 1], Purse { coins: 100, gifts_taken: 3, opened: true })]
    }
}

snapshot_conformance::state!(Fixture);

impl CodecFixture for Fixture {
    type Message = Gift;
    type Codec = Postcard;

    fn new() -> Self {
        Self
    }

    fn codec(&self) -> Postcard {
        Postcard
    }

    fn messages(&self) -> Vec<Gift> {
        vec![0, 7, u64::MAX]
    }

    fn earlier(&self) -> Vec<(Vec<u8>, Gift)> {
        vec![(vec![0xac, 0x02], 300)]
    }
}

snapshot_conformance::codec!(Fixture);
