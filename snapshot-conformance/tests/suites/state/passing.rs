//! States that keep the contract, each in its own way.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use snapshot_conformance::StateFixture;
use snapshot_core::{Postcard, PostcardState, StateProvider, UnknownVersion};

/// A node without a state.
mod nothing {
    use super::*;

    struct Nothing;

    impl StateFixture for Nothing {
        type State = ();
        type Seen = ();
        const STATES: u64 = 1;

        fn new() -> Self {
            Self
        }

        fn state(&self, _: u64) {}

        fn change(&self, (): &mut (), _: u64) {}

        fn observe(&self, (): &mut ()) {}
    }

    snapshot_conformance::state!(Nothing);
}

/// By one line, in its second version.
mod postcard {
    use super::*;

    #[derive(Deserialize)]
    struct LedgerV1 {
        coins: u32,
    }

    #[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
    struct Ledger {
        cents: BTreeMap<String, u64>,
        note: Option<String>,
    }

    impl PostcardState for Ledger {
        const VERSION: u32 = 2;

        fn migrate(version: u32, bytes: &[u8]) -> io::Result<Self> {
            match version {
                1 => Postcard::from_bytes(bytes).map(|LedgerV1 { coins }| Self {
                    cents: BTreeMap::from([("main".to_owned(), u64::from(coins) * 100)]),
                    note: None,
                }),
                _ => Err(UnknownVersion::of::<Self>(version).into()),
            }
        }
    }

    struct Ledgers;

    impl StateFixture for Ledgers {
        type State = Ledger;
        type Seen = Ledger;

        fn new() -> Self {
            Self
        }

        fn state(&self, number: u64) -> Ledger {
            let cents = (0..number * number * 50).map(|n| (format!("account {n}"), n << number)).collect();
            Ledger { cents, note: (number == 2).then(String::new) }
        }

        fn change(&self, ledger: &mut Ledger, step: u64) {
            *ledger.cents.entry(format!("account {}", step % 7)).or_default() += step + 1;
            ledger.note = step.is_multiple_of(2).then(|| format!("step {step}"));
        }

        fn observe(&self, ledger: &mut Ledger) -> Ledger {
            ledger.clone()
        }

        fn earlier(&self) -> Vec<(u32, Vec<u8>, Ledger)> {
            let ledger =
                |cents: u64| Ledger { cents: BTreeMap::from([("main".to_owned(), cents)]), note: None };
            vec![
                (1, vec![7], ledger(700)),
                (1, vec![0xac, 0x02], ledger(30_000)),
                (2, b"\x01\x04main\x05\x00".to_vec(), ledger(5)),
            ]
        }
    }

    snapshot_conformance::state!(Ledgers);
}

/// A hash map, whose encoding has another order each time, and no count; a capture shares it until it changes.
mod unordered {
    use super::*;

    #[derive(Default)]
    struct Words(Arc<HashMap<u32, u32>>);

    impl StateProvider for Words {
        type Captured = Arc<HashMap<u32, u32>>;

        fn capture(&mut self) -> Self::Captured {
            Arc::clone(&self.0)
        }

        fn install(&mut self, captured: Self::Captured) {
            self.0 = captured;
        }

        fn encode(captured: &Self::Captured, out: &mut dyn Write) -> io::Result<()> {
            for (word, count) in captured.iter() {
                out.write_all(&word.to_be_bytes())?;
                out.write_all(&count.to_be_bytes())?;
            }
            Ok(())
        }

        fn decode(version: u32, input: &mut dyn Read) -> io::Result<Self::Captured> {
            if version != Self::VERSION {
                return Err(UnknownVersion::of::<Self>(version).into());
            }
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes)?;
            let (pairs, rest) = bytes.as_chunks::<8>();
            let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            let mut words = HashMap::new();
            for pair in pairs {
                if words.insert(number(&pair[..4]), number(&pair[4..])).is_some() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a word that comes twice"));
                }
            }
            if rest.is_empty() { Ok(Arc::new(words)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
    }

    struct Fixture;

    impl StateFixture for Fixture {
        type State = Words;
        type Seen = BTreeMap<u32, u32>;

        fn new() -> Self {
            Self
        }

        fn state(&self, number: u64) -> Words {
            Words(Arc::new((0..number as u32 * 40).map(|n| (n, n * n)).collect()))
        }

        fn change(&self, words: &mut Words, step: u64) {
            *Arc::make_mut(&mut words.0).entry(step as u32 % 9).or_default() += 1;
        }

        fn observe(&self, words: &mut Words) -> Self::Seen {
            words.0.iter().map(|(word, count)| (*word, *count)).collect()
        }
    }

    snapshot_conformance::state!(Fixture);
}

/// Bytes that are their own encoding: there are none that it does not understand, but versions.
mod raw {
    use super::*;

    struct Raw(Vec<u8>);

    impl StateProvider for Raw {
        type Captured = Vec<u8>;

        fn capture(&mut self) -> Vec<u8> {
            self.0.clone()
        }

        fn install(&mut self, captured: Vec<u8>) {
            self.0 = captured;
        }

        fn encode(captured: &Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(captured)
        }

        fn decode(version: u32, input: &mut dyn Read) -> io::Result<Vec<u8>> {
            if version != Self::VERSION {
                return Err(UnknownVersion::of::<Self>(version).into());
            }
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }

    struct Fixture;

    impl StateFixture for Fixture {
        type State = Raw;
        type Seen = Vec<u8>;

        fn new() -> Self {
            Self
        }

        fn state(&self, number: u64) -> Raw {
            Raw(vec![number as u8; [0, 1, 100, 60_000][number as usize]])
        }

        fn change(&self, raw: &mut Raw, step: u64) {
            raw.0.push(step as u8);
        }

        fn observe(&self, raw: &mut Raw) -> Vec<u8> {
            raw.0.clone()
        }
    }

    snapshot_conformance::state!(Fixture);
}
