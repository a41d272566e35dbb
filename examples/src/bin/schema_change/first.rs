//! The first release: whole coins.

use serde::{Deserialize, Serialize};
use snapshot_core::PostcardState;

use crate::group::Release;

/// Version 1.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Till {
    pub(crate) coins: u32,
    pub(crate) open: bool,
}

impl PostcardState for Till {}

/// An enum from the start, though of one variant: it has room for others.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Payment {
    Coins(u32),
}

impl Release for Till {
    type Payment = Payment;

    fn new() -> Self {
        Self { coins: 1000, open: false }
    }

    fn opens(&mut self) -> bool {
        !std::mem::replace(&mut self.open, true)
    }

    fn pay(&mut self) -> Payment {
        let coins = self.coins.min(1 + self.coins / 7 % 9);
        self.coins -= coins;
        Payment::Coins(coins)
    }

    fn take(&mut self, Payment::Coins(coins): Payment) {
        self.coins += coins;
    }

    fn holds(&self) -> u64 {
        u64::from(self.coins) * 100
    }

    fn worth(Payment::Coins(coins): &Payment) -> u64 {
        u64::from(*coins) * 100
    }
}
