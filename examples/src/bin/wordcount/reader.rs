//! A reader: goes through its range of the input and hands out words, a bounded step at a time.
//!
//! Everything it knows is in its state, so that it goes on from a snapshot as if nothing had happened. A word belongs to
//! the reader in whose range it begins.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::input::{Input, is_space};
use crate::message::{Message, Words};

/// The state of a reader.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub(crate) struct Reader {
    range: Range<u64>,
    /// Where its first word could begin: after the word that reaches into the range from before, if there is one.
    from: u64,
    position: u64,
    phase: Phase,
    words: u64,
    spaces: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
enum Phase {
    /// Looks for the end of the word that reaches into the range.
    Seeking,
    /// Counts words, chunk by chunk.
    Counting,
    /// Looks for the end of a word that is longer than a chunk; knows the hash of what it has seen of it.
    Measuring { begin: u64, hash: u64 },
    /// Sends such a word in pieces.
    Sending { next: u64, end: u64, hash: u64 },
    /// Has read all of its range.
    Read,
    /// Has said so to the counters.
    Ended,
}

impl Reader {
    /// A reader at the start of its range.
    pub(crate) fn new(range: Range<u64>) -> Self {
        // The byte before the range tells whether a word reaches into it.
        let position = range.start.saturating_sub(1);
        let phase = if range.start == 0 { Phase::Counting } else { Phase::Seeking };
        Self { from: range.start, range, position, phase, words: 0, spaces: 0 }
    }

    /// Takes one step: reads one chunk at most, and returns what goes to which counter.
    pub(crate) fn step(
        &mut self,
        input: &mut Input,
        chunk: usize,
        counters: usize,
    ) -> io::Result<Vec<(usize, Message)>> {
        let mut bytes = Vec::new();
        let from = if let Phase::Sending { next, .. } = self.phase { next } else { self.position };
        input.read(from, chunk, &mut bytes)?;
        let at_end = from + bytes.len() as u64 >= input.len();
        let mut messages = Vec::new();
        match self.phase {
            Phase::Seeking => match bytes.iter().position(|byte| is_space(*byte)) {
                Some(space) => self.begin_at(self.position + space as u64),
                None if at_end => self.begin_at(input.len()),
                None => self.position += bytes.len() as u64,
            },
            Phase::Counting => messages = self.count(&bytes, at_end, counters),
            Phase::Measuring { begin, hash } => {
                let word = bytes.iter().position(|byte| is_space(*byte));
                let here = &bytes[..word.unwrap_or(bytes.len())];
                let hash = fnv(hash, here);
                self.position += here.len() as u64;
                self.phase = if word.is_some() || at_end {
                    Phase::Sending { next: begin, end: self.position, hash }
                } else {
                    Phase::Measuring { begin, hash }
                };
            }
            Phase::Sending { next, end, hash } => {
                bytes.truncate(usize::try_from(end - next).unwrap_or(usize::MAX));
                let next = next + bytes.len() as u64;
                let last = next == end;
                if last {
                    self.words += 1;
                    self.counting_or_read();
                } else {
                    self.phase = Phase::Sending { next, end, hash };
                }
                messages.push((bucket(hash, counters), Message::Piece { bytes: Bytes::from(bytes), last }));
            }
            Phase::Read | Phase::Ended => {}
        }
        Ok(messages)
    }

    /// Says that it has read all.
    pub(crate) fn end(&mut self, counters: usize) -> Vec<(usize, Message)> {
        if self.phase != Phase::Read {
            return Vec::new();
        }
        self.phase = Phase::Ended;
        (0..counters).map(|counter| (counter, Message::End)).collect()
    }

    /// Whether there is something left to read.
    pub(crate) fn is_reading(&self) -> bool {
        !matches!(self.phase, Phase::Read | Phase::Ended)
    }

    /// Whether it has said to the counters that it has read all.
    pub(crate) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The range of the input that it was given.
    pub(crate) fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// How many bytes of its range it has passed.
    pub(crate) fn passed(&self) -> u64 {
        if !self.is_reading() {
            return self.range.end - self.range.start;
        }
        self.position.clamp(self.range.start, self.range.end) - self.range.start
    }

    /// What it has dealt with: from the first word that begins in its range to the end of the last one.
    pub(crate) fn covered(&self) -> Range<u64> {
        self.from..self.position.max(self.from)
    }

    /// How many words it has sent.
    pub(crate) fn words(&self) -> u64 {
        self.words
    }

    /// How many bytes between words it has passed.
    pub(crate) fn spaces(&self) -> u64 {
        self.spaces
    }

    fn begin_at(&mut self, boundary: u64) {
        // A space right before the range is not in it.
        self.from = boundary.max(self.range.start);
        self.position = self.from;
        self.counting_or_read();
    }

    fn counting_or_read(&mut self) {
        self.phase = if self.position < self.range.end { Phase::Counting } else { Phase::Read };
    }

    /// Counts the words of a chunk that begin in the range. One that the chunk cuts is left for the next step.
    fn count(&mut self, bytes: &[u8], at_end: bool, counters: usize) -> Vec<(usize, Message)> {
        let mut counts: BTreeMap<&[u8], u32> = BTreeMap::new();
        let limit = usize::try_from(self.range.end - self.position).unwrap_or(usize::MAX).min(bytes.len());
        let mut at = 0;
        while at < limit {
            if is_space(bytes[at]) {
                self.spaces += 1;
                at += 1;
                continue;
            }
            let len = bytes[at..].iter().position(|byte| is_space(*byte));
            match len.or_else(|| at_end.then_some(bytes.len() - at)) {
                Some(len) => {
                    *counts.entry(&bytes[at..at + len]).or_default() += 1;
                    self.words += 1;
                    at += len;
                }
                None if at > 0 => break,
                None => {
                    self.position += bytes.len() as u64;
                    self.phase =
                        Phase::Measuring { begin: self.position - bytes.len() as u64, hash: fnv(FNV, bytes) };
                    return Vec::new();
                }
            }
        }
        self.position += at as u64;
        self.counting_or_read();
        let mut buckets = vec![BTreeMap::new(); counters];
        for (word, count) in counts {
            buckets[bucket(fnv(FNV, word), counters)].insert(word, count);
        }
        let buckets = buckets.into_iter().enumerate().filter(|(_, words)| !words.is_empty());
        buckets.map(|(counter, words)| (counter, Message::Words(Words::pack(&words)))).collect()
    }
}

/// The counter that counts the word of this hash.
fn bucket(hash: u64, counters: usize) -> usize {
    (hash % counters as u64) as usize
}

/// FNV-1a: the same on every machine and in every process, and it goes on from where it was, which `std`'s does not.
const FNV: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Counter;
    use snapshot_core::NodeId;

    /// All readers to their end, in small steps; what the counters then hold.
    fn counted(text: &[u8], readers: u64, counters: usize, chunk: usize) -> BTreeMap<Vec<u8>, u64> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut input = Input::open(&[file.path().to_owned()]).unwrap();
        let mut all = vec![Counter::default(); counters];
        let len = text.len() as u64;
        let (mut covered, mut spaces, mut words) = (0, 0, 0);
        for index in 0..readers {
            let mut reader = Reader::new(len * index / readers..len * (index + 1) / readers);
            while reader.is_reading() {
                let before = reader.clone();
                for (counter, message) in reader.step(&mut input, chunk, counters).unwrap() {
                    all[counter].apply(NodeId(index), message).unwrap();
                }
                assert_ne!(reader, before, "a step goes on");
            }
            for (counter, message) in reader.end(counters) {
                all[counter].apply(NodeId(index), message).unwrap();
            }
            assert_eq!(reader.covered().start, covered);
            covered = reader.covered().end;
            spaces += reader.spaces();
            words += reader.words();
        }
        assert_eq!(covered, len);
        let mut counts = BTreeMap::new();
        for counter in &all {
            assert!(counter.has_all(readers as usize));
            for (word, count) in counter.counts() {
                spaces += word.len() as u64 * count;
                words -= count;
                assert!(counts.insert(word.to_vec(), count).is_none(), "a word has one counter");
            }
        }
        assert_eq!((spaces, words), (len, 0));
        counts
    }

    fn straight(text: &[u8]) -> BTreeMap<Vec<u8>, u64> {
        let mut counts = BTreeMap::new();
        for word in text.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_vec()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn every_split_of_a_text_gives_the_same_counts() {
        let texts: [&[u8]; 7] = [
            b"",
            b" ",
            b"word",
            b"a bb a\tccc \n\x0b\x0c\r bb",
            b"  onelongwordthatspansmanychunksandranges  a onelongwordthatspansmanychunksandranges",
            b"\0\xff \xff\0 \0\xff\n",
            b"nonewlineattheendofthelastwordwhichislong x y z lastlastlastlastlastlast",
        ];
        for text in texts {
            for readers in 1..6 {
                for chunk in 1..9 {
                    assert_eq!(
                        counted(text, readers, 3, chunk),
                        straight(text),
                        "{readers} readers, chunks of {chunk}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_reader_that_went_back_sends_the_same_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "some words and averylongonewithoutanend and some more of them").unwrap();
        let mut input = Input::open(&[file.path().to_owned()]).unwrap();
        let mut reader = Reader::new(3..40);
        while reader.is_reading() {
            let mut again = reader.clone();
            let first = reader.step(&mut input, 5, 2).unwrap();
            assert_eq!(again.step(&mut input, 5, 2).unwrap(), first);
            assert_eq!(again, reader);
        }
    }
}
