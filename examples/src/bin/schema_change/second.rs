//! The second release: hundredths. It reads what the first one stored.

use std::io;

use serde::{Deserialize, Serialize};
use snapshot_core::{Postcard, PostcardState, UnknownVersion};

use crate::group::Release;

/// Version 2.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Till {
    pub(crate) cents: u64,
    pub(crate) open: bool,
    /// How many payments were taken that the first release had made.
    pub(crate) old_payments: u64,
}

/// The state as it was in version 1. It stays for as long as there may be snapshots of it.
#[derive(Deserialize)]
struct TillV1 {
    coins: u32,
    open: bool,
}

impl PostcardState for Till {
    const VERSION: u32 = 2;

    fn migrate(version: u32, bytes: &[u8]) -> io::Result<Self> {
        match version {
            1 => Postcard::from_bytes::<TillV1>(bytes).map(Self::from),
            _ => Err(UnknownVersion::of::<Self>(version).into()),
        }
    }
}

impl From<TillV1> for Till {
    fn from(TillV1 { coins, open }: TillV1) -> Self {
        Self { cents: u64::from(coins) * 100, open, old_payments: 0 }
    }
}

/// Messages have no version: the new form is a new variant, at the end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Payment {
    /// No longer sent. It stays, in its place, for as long as a snapshot may hold one.
    Coins(u32),
    Cents {
        cents: u64,
        memo: String,
    },
}

impl Release for Till {
    type Payment = Payment;

    fn new() -> Self {
        Self { cents: 1000 * 100, open: false, old_payments: 0 }
    }

    fn opens(&mut self) -> bool {
        !std::mem::replace(&mut self.open, true)
    }

    fn pay(&mut self) -> Payment {
        let cents = self.cents.min(1 + self.cents / 7 % 900);
        self.cents -= cents;
        Payment::Cents { cents, memo: "rent".to_owned() }
    }

    fn take(&mut self, payment: Payment) {
        self.cents += Self::worth(&payment);
        self.old_payments += u64::from(matches!(payment, Payment::Coins(_)));
    }

    fn holds(&self) -> u64 {
        self.cents
    }

    fn worth(payment: &Payment) -> u64 {
        match payment {
            Payment::Coins(coins) => u64::from(*coins) * 100,
            Payment::Cents { cents, .. } => *cents,
        }
    }
}
