//! What a reader sends to a counter.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// From a reader to a counter, in this order: any number of `Words` and `Piece`, then one `End`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub(crate) enum Message {
    /// How often words occur in a chunk of the input.
    Words(Words),
    /// The next part of a word that is longer than a chunk.
    Piece {
        /// Its bytes: at least one.
        bytes: Bytes,
        /// Whether the word ends here.
        last: bool,
    },
    /// This reader has no more words for this counter.
    End,
}

/// Words and how often each occurs, packed: one allocation for the bytes of all words.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub(crate) struct Words {
    text: Bytes,
    /// Of each word its length and how often it occurs.
    words: Vec<(u32, u32)>,
}

/// A message that no reader sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a reader sent {what}: do all workers run the same release?")]
pub(crate) struct Nonsense {
    /// What it sent.
    pub(crate) what: &'static str,
}

impl Words {
    /// Packs words: each at most a chunk long, and together so few that 32 bits count them.
    pub(crate) fn pack(counts: &BTreeMap<&[u8], u32>) -> Self {
        let text: Vec<u8> = counts.keys().copied().flatten().copied().collect();
        let words = counts.iter().map(|(word, count)| (word.len() as u32, *count)).collect();
        Self { text: text.into(), words }
    }

    /// The words, and how often each occurs: none is empty, and each occurs.
    pub(crate) fn unpack(&self) -> Result<Vec<(&[u8], u64)>, Nonsense> {
        let mut rest = &self.text[..];
        let mut words = Vec::with_capacity(self.words.len());
        for &(len, count) in &self.words {
            let Some((word, after)) = rest.split_at_checked(len as usize) else {
                return Err(Nonsense { what: "words that are longer than their text" });
            };
            if word.is_empty() || count == 0 {
                return Err(Nonsense { what: "a word that is empty or does not occur" });
            }
            words.push((word, count.into()));
            rest = after;
        }
        if rest.is_empty() {
            Ok(words)
        } else {
            Err(Nonsense { what: "a text that is longer than its words" })
        }
    }
}

/// Roughly how many bytes a message takes in memory.
pub(crate) fn weight(message: &Message) -> usize {
    size_of::<Message>()
        + match message {
            Message::Words(words) => words.text.len() + words.words.len() * size_of::<(u32, u32)>(),
            Message::Piece { bytes, .. } => bytes.len(),
            Message::End => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_from_their_packing() {
        let counts = BTreeMap::from([(&b"a"[..], 3), (b"b\0\xff", 1), (b"cc", 9)]);
        let packed = Words::pack(&counts);
        assert_eq!(packed.unpack().unwrap(), [(&b"a"[..], 3), (b"b\0\xff", 1), (b"cc", 9)]);
    }

    #[test]
    fn what_no_reader_packs_is_refused() {
        for words in [vec![(4, 1)], vec![(2, 1)], vec![(3, 0)], vec![(3, 1), (0, 1)], vec![(u32::MAX, 1)]] {
            let packed = Words { text: Bytes::from_static(b"abc"), words };
            assert!(packed.unpack().is_err(), "{packed:?}");
        }
    }
}
