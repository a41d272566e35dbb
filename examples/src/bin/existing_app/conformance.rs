//! The pairs, and what nodes say to each other, keep the clauses that the library asks for.

use std::collections::BTreeMap;

use snapshot_conformance::{CodecFixture, StateFixture};
use snapshot_core::{CallId, Postcard};

use super::{Command, Message, Operation, Store};

struct Fixture;

impl StateFixture for Fixture {
    type State = Store;
    type Seen = BTreeMap<String, String>;

    fn new() -> Self {
        Self
    }

    fn state(&self, number: u64) -> Store {
        Store { values: (0..number * 20).map(|n| (format!("key {n}"), n.to_string())).collect() }
    }

    fn change(&self, store: &mut Store, step: u64) {
        store.values.insert(format!("key {}", step % 7), format!("value {step}"));
        store.values.remove(&format!("key {}", step % 5));
    }

    fn observe(&self, store: &mut Store) -> Self::Seen {
        store.values.clone()
    }

    fn earlier(&self) -> Vec<(u32, Vec<u8>, Store)> {
        let values = BTreeMap::from([("key".to_owned(), "7".to_owned())]);
        vec![(1, b"\x01\x03key\x017".to_vec(), Store { values })]
    }
}

snapshot_conformance::state!(Fixture);

/// `Debug` shows all of a message.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl CodecFixture for Fixture {
    type Message = Message;
    type Codec = Postcard;

    fn new() -> Self {
        Self
    }

    fn codec(&self) -> Postcard {
        Postcard
    }

    fn messages(&self) -> Vec<Message> {
        let id = CallId::from_bits(u64::MAX);
        let request = |operation| {
            let key = "key".to_owned();
            Message::Request { id, command: Command { key, operation } }
        };
        vec![
            request(Operation::Get),
            request(Operation::Set("value".to_owned())),
            request(Operation::Incr),
            Message::Response { id, answer: Ok("OK 1".to_owned()) },
            Message::Response { id, answer: Err(String::new()) },
            Message::Replicate { key: String::new(), value: "x".repeat(300) },
        ]
    }

    fn earlier(&self) -> Vec<(Vec<u8>, Message)> {
        let news = Message::Replicate { key: "key".to_owned(), value: "7".to_owned() };
        vec![(b"\x02\x03key\x017".to_vec(), news)]
    }
}

snapshot_conformance::codec!(Fixture);
