//! A counter: how often each of its words occurs.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use snapshot_core::NodeId;

use crate::message::{Message, Nonsense};

/// The state of a counter. A clone shares all words with the original, however many there are, so a capture is cheap.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug, Default)]
pub(crate) struct Counter {
    #[serde(deserialize_with = "counts")]
    counts: imbl::HashMap<Word, u64>,
    /// What has come so far of a long word, by reader. Bounded by the longest word of the input.
    pieces: BTreeMap<NodeId, Vec<Word>>,
    ended: BTreeSet<NodeId>,
}

impl Counter {
    /// Counts what a reader sent.
    pub(crate) fn apply(&mut self, from: NodeId, message: Message) -> Result<(), Nonsense> {
        if self.ended.contains(&from) {
            return Err(Nonsense { what: "something after its end" });
        }
        match message {
            Message::Words(words) => {
                words.unpack()?.into_iter().for_each(|(word, count)| self.add(word, count));
            }
            Message::Piece { bytes, last: false } => {
                self.pieces.entry(from).or_default().push(Word::from(&bytes[..]));
            }
            Message::Piece { bytes, last: true } => {
                let mut word: Vec<u8> = Vec::new();
                self.pieces.remove(&from).iter().flatten().for_each(|piece| word.extend_from_slice(piece));
                word.extend_from_slice(&bytes);
                if word.is_empty() {
                    return Err(Nonsense { what: "an empty word" });
                }
                self.add(&word, 1);
            }
            Message::End if self.pieces.contains_key(&from) => {
                return Err(Nonsense { what: "the beginning of a word without its end" });
            }
            Message::End => {
                self.ended.insert(from);
            }
        }
        Ok(())
    }

    /// Whether this many readers have no more words for it.
    pub(crate) fn has_all(&self, readers: usize) -> bool {
        self.ended.len() == readers
    }

    /// The words, in no order, and how often each occurs.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.counts.iter().map(|(word, count)| (&word[..], *count))
    }

    fn add(&mut self, word: &[u8], count: u64) {
        match self.counts.get_mut(word) {
            Some(sum) => *sum += count,
            None => {
                self.counts.insert(Word::from(word), count);
            }
        }
    }
}

/// By way of a map that grows with what is there: `imbl`'s own makes room for as many words as the bytes say there are.
fn counts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<imbl::HashMap<Word, u64>, D::Error> {
    HashMap::<Word, u64>::deserialize(deserializer).map(imbl::HashMap::from_iter)
}

/// The bytes of a word, shared by all captures that hold it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Word(Arc<[u8]>);

impl From<&[u8]> for Word {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Deref for Word {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Word {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As bytes at once: a sequence would go through the serializer byte by byte.
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordBytes;

        impl Visitor<'_> for WordBytes {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a word")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Word, E> {
                Ok(Word::from(bytes))
            }
        }

        deserializer.deserialize_bytes(WordBytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn pieces_of_several_readers_do_not_mix() {
        let mut counter = Counter::default();
        let piece =
            |text: &'static str, last| Message::Piece { bytes: Bytes::from_static(text.as_bytes()), last };
        for (reader, message) in [
            (1, piece("ab", false)),
            (2, piece("xy", false)),
            (1, piece("cd", true)),
            (2, piece("z", true)),
            (1, piece("abcd", true)),
        ] {
            counter.apply(NodeId(reader), message).unwrap();
        }
        assert_eq!(
            counter.counts().collect::<BTreeMap<_, _>>(),
            BTreeMap::from([(&b"abcd"[..], 2), (b"xyz", 1)])
        );
    }

    #[test]
    fn an_end_in_a_word_and_anything_after_the_end_are_refused() {
        let mut counter = Counter::default();
        counter.apply(NodeId(1), Message::Piece { bytes: Bytes::from_static(b"a"), last: false }).unwrap();
        assert!(counter.apply(NodeId(1), Message::End).is_err());
        counter.apply(NodeId(2), Message::End).unwrap();
        assert!(counter.apply(NodeId(2), Message::End).is_err());
        assert!(counter.has_all(1) && !counter.has_all(2));
    }
}
