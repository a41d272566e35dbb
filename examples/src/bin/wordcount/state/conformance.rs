//! Workers, and the messages between them, keep the clauses that the library asks for.

use std::collections::BTreeMap;

use bytes::Bytes;
use snapshot_conformance::{CodecFixture, StateFixture};
use snapshot_core::{NodeId, Postcard};

use super::Worker;
use crate::counter::Counter;
use crate::input::Input;
use crate::message::{Message, Words};
use crate::reader::Reader;

/// Counters of some words, and readers of a text.
struct Workers {
    text: tempfile::NamedTempFile,
}

/// The number of the first reader.
const READERS: u64 = 3;

impl Workers {
    fn input(&self) -> Input {
        Input::open(&[self.text.path().to_owned()]).unwrap()
    }
}

impl StateFixture for Workers {
    type State = Worker;
    type Seen = Worker;
    const STATES: u64 = READERS + 2;

    fn new() -> Self {
        let text = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(text.path(), "some words and averylongonewithoutanend ".repeat(10)).unwrap();
        Self { text }
    }

    fn state(&self, number: u64) -> Worker {
        if number >= READERS {
            let begin = (number - READERS) * 13;
            return Worker::Reader(Reader::new(begin..begin + 350));
        }
        let mut counter = Counter::default();
        for word in 0..number * 60 {
            let bytes = Bytes::from(format!("word {word}"));
            counter.apply(NodeId(1), Message::Piece { bytes, last: true }).unwrap();
        }
        Worker::Counter(counter)
    }

    fn change(&self, worker: &mut Worker, step: u64) {
        match worker {
            Worker::Counter(counter) => {
                let bytes = Bytes::from(format!("word {}", step % 9));
                counter
                    .apply(NodeId(step % 2), Message::Piece { bytes, last: !step.is_multiple_of(3) })
                    .unwrap();
            }
            Worker::Reader(reader) => {
                if reader.is_reading() {
                    reader.step(&mut self.input(), 9, 2).unwrap();
                }
            }
        }
    }

    fn observe(&self, worker: &mut Worker) -> Worker {
        worker.clone()
    }
}

snapshot_conformance::state!(Workers);

struct Messages;

impl CodecFixture for Messages {
    type Message = Message;
    type Codec = Postcard;

    fn new() -> Self {
        Self
    }

    fn codec(&self) -> Postcard {
        Postcard
    }

    fn messages(&self) -> Vec<Message> {
        vec![
            Message::Words(Words::pack(&BTreeMap::from([(&b"a"[..], 3), (b"b\0\xff", u32::MAX)]))),
            Message::Words(Words::pack(&BTreeMap::new())),
            Message::Piece { bytes: vec![b'x'; 300].into(), last: false },
            Message::Piece { bytes: Bytes::from_static(b"y"), last: true },
            Message::End,
        ]
    }

    fn earlier(&self) -> Vec<(Vec<u8>, Message)> {
        let words = Words::pack(&BTreeMap::from([(&b"ab"[..], 3)]));
        vec![(b"\x00\x02ab\x01\x02\x03".to_vec(), Message::Words(words)), (vec![2], Message::End)]
    }
}

snapshot_conformance::codec!(Messages);
