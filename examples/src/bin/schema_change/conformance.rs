//! Both releases keep the clauses that the library asks for. The bytes in `earlier` are what each release has stored: a change
//! of the form that nobody meant fails here.

mod of_first {
    use snapshot_conformance::{CodecFixture, StateFixture};
    use snapshot_core::Postcard;

    use crate::first::{Payment, Till};
    use crate::group::Release;

    struct Fixture;

    impl StateFixture for Fixture {
        type State = Till;
        type Seen = Till;

        fn new() -> Self {
            Self
        }

        fn state(&self, number: u64) -> Till {
            Till { coins: (number * 300) as u32, open: number == 1 }
        }

        fn change(&self, till: &mut Till, step: u64) {
            till.opens();
            till.pay();
            till.take(Payment::Coins(step as u32 * 10));
        }

        fn observe(&self, till: &mut Till) -> Till {
            till.clone()
        }

        fn earlier(&self) -> Vec<(u32, Vec<u8>, Till)> {
            vec![(1, vec![0xac, 0x02, 1], Till { coins: 300, open: true })]
        }
    }

    snapshot_conformance::state!(Fixture);

    impl CodecFixture for Fixture {
        type Message = Payment;
        type Codec = Postcard;

        fn new() -> Self {
            Self
        }

        fn codec(&self) -> Postcard {
            Postcard
        }

        fn messages(&self) -> Vec<Payment> {
            [0, 7, u32::MAX].map(Payment::Coins).to_vec()
        }

        fn earlier(&self) -> Vec<(Vec<u8>, Payment)> {
            vec![(vec![0, 7], Payment::Coins(7))]
        }
    }

    snapshot_conformance::codec!(Fixture);
}

mod of_second {
    use snapshot_conformance::{CodecFixture, StateFixture};
    use snapshot_core::Postcard;

    use crate::group::Release;
    use crate::second::{Payment, Till};

    struct Fixture;

    impl StateFixture for Fixture {
        type State = Till;
        type Seen = Till;

        fn new() -> Self {
            Self
        }

        fn state(&self, number: u64) -> Till {
            Till { cents: number << 33, open: number == 1, old_payments: number }
        }

        fn change(&self, till: &mut Till, step: u64) {
            till.opens();
            till.pay();
            till.take(Payment::Coins(step as u32));
        }

        fn observe(&self, till: &mut Till) -> Till {
            till.clone()
        }

        fn earlier(&self) -> Vec<(u32, Vec<u8>, Till)> {
            vec![
                (1, vec![0xac, 0x02, 1], Till { cents: 30_000, open: true, old_payments: 0 }),
                (2, vec![0xb0, 0xea, 0x01, 1, 5], Till { cents: 30_000, open: true, old_payments: 5 }),
            ]
        }
    }

    snapshot_conformance::state!(Fixture);

    impl CodecFixture for Fixture {
        type Message = Payment;
        type Codec = Postcard;

        fn new() -> Self {
            Self
        }

        fn codec(&self) -> Postcard {
            Postcard
        }

        fn messages(&self) -> Vec<Payment> {
            vec![
                Payment::Coins(u32::MAX),
                Payment::Cents { cents: 0, memo: String::new() },
                Payment::Cents { cents: u64::MAX, memo: "rent, and more of it".to_owned() },
            ]
        }

        fn earlier(&self) -> Vec<(Vec<u8>, Payment)> {
            vec![
                (vec![0, 7], Payment::Coins(7)),
                (b"\x01\x05\x04rent".to_vec(), Payment::Cents { cents: 5, memo: "rent".to_owned() }),
            ]
        }
    }

    snapshot_conformance::codec!(Fixture);
}
