//! The result: checked, sorted, written.

use std::collections::BTreeMap;
use std::io::{self, Write};

use snapshot_core::NodeId;
use thiserror::Error;

use crate::counter::Counter;
use crate::plan::{Plan, Role};
use crate::reader::Reader;
use crate::state::Worker;

/// What makes a snapshot no result.
#[derive(Debug, Error)]
#[error("the final snapshot is not right: {0}")]
pub(crate) struct Flaw(String);

/// The counts of all words, found to be right.
#[derive(Debug)]
pub(crate) struct Counts<'a> {
    /// Ascending by the bytes of the word.
    counts: Vec<(&'a [u8], u64)>,
    /// How many words there are, each as often as it occurs.
    pub(crate) words: u64,
}

impl<'a> Counts<'a> {
    /// Takes the counts out of the states of all workers, and checks them against the input: the readers' parts are all of
    /// it without a gap, every byte is between words or in a word that was counted, and as many words were counted as read.
    pub(crate) fn check(plan: &Plan, states: &BTreeMap<NodeId, &'a Worker>) -> Result<Self, Flaw> {
        let (mut readers, mut counters) = (Vec::new(), Vec::new());
        for id in plan.members() {
            match (plan.role(id), states.get(&id)) {
                (Some(Role::Reader(index)), Some(Worker::Reader(reader))) => {
                    readers.push((id, index, reader));
                }
                (Some(Role::Counter(_)), Some(Worker::Counter(counter))) => counters.push((id, counter)),
                (_, None) => return Err(Flaw(format!("{id} is not in it"))),
                _ => return Err(Flaw(format!("{id} is not what it should be"))),
            }
        }
        let (read, spaces) = check_readers(plan, &readers)?;
        let counts = collect(plan, &counters)?;
        let words: u64 = counts.iter().map(|(_, count)| count).sum();
        if words != read {
            return Err(Flaw(format!("{read} words were read, and {words} counted")));
        }
        let bytes: u64 = counts.iter().map(|(word, count)| word.len() as u64 * count).sum();
        if bytes + spaces != plan.bytes {
            let all = plan.bytes;
            return Err(Flaw(format!("{bytes} bytes in words and {spaces} between them, of {all} in all")));
        }
        Ok(Self { counts, words })
    }

    /// How many different words there are.
    pub(crate) fn different(&self) -> usize {
        self.counts.len()
    }

    /// Writes a line for each word: `count<TAB>word`.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = io::BufWriter::new(out);
        for (word, count) in &self.counts {
            write!(out, "{count}\t")?;
            out.write_all(word)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

/// How many words and how many bytes between words the readers have found.
fn check_readers(plan: &Plan, readers: &[(NodeId, usize, &Reader)]) -> Result<(u64, u64), Flaw> {
    let (mut covered, mut words, mut spaces) = (0, 0, 0);
    for (id, index, reader) in readers {
        if !reader.has_ended() || reader.range() != plan.range(*index) {
            return Err(Flaw(format!("the reader {id} has not read its range")));
        }
        let part = reader.covered();
        if part.start != covered {
            return Err(Flaw(format!(
                "the reader {id} began at {}, the one before it ended at {covered}",
                part.start
            )));
        }
        covered = part.end;
        words += reader.words();
        spaces += reader.spaces();
    }
    if covered == plan.bytes {
        Ok((words, spaces))
    } else {
        Err(Flaw(format!("the readers read up to {covered} of {}", plan.bytes)))
    }
}

fn collect<'a>(plan: &Plan, counters: &[(NodeId, &'a Counter)]) -> Result<Vec<(&'a [u8], u64)>, Flaw> {
    let mut counts = Vec::new();
    for (id, counter) in counters {
        if !counter.has_all(plan.readers()) {
            return Err(Flaw(format!("the counter {id} waits for more words")));
        }
        counts.extend(counter.counts());
    }
    counts.sort_unstable();
    if counts.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Flaw("two counters counted the same word".to_owned()));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::message::Message;

    fn refs(states: &BTreeMap<NodeId, Worker>) -> BTreeMap<NodeId, &Worker> {
        states.iter().map(|(id, state)| (*id, state)).collect()
    }

    fn finished(text: &str) -> (Plan, BTreeMap<NodeId, Worker>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut input = Input::open(&[file.path().to_owned()]).unwrap();
        let plan = Plan { counters: 4, kills: 0, bytes: text.len() as u64 };
        let mut counters = vec![Counter::default(); plan.counters];
        let mut states = BTreeMap::new();
        for id in plan.members() {
            let Some(Role::Reader(index)) = plan.role(id) else { continue };
            let mut reader = Reader::new(plan.range(index));
            while !reader.has_ended() {
                let mut messages = reader.step(&mut input, 64, plan.counters).unwrap();
                messages.extend(reader.end(plan.counters));
                messages.into_iter().for_each(|(to, message)| counters[to].apply(id, message).unwrap());
            }
            states.insert(id, Worker::Reader(reader));
        }
        states.extend(counters.into_iter().enumerate().map(|(i, c)| (plan.counter(i), Worker::Counter(c))));
        (plan, states)
    }

    #[test]
    fn right_counts_are_written_in_order() {
        let (plan, states) = finished("b a\nc  b b");
        let counts = Counts::check(&plan, &refs(&states)).unwrap();
        let mut out = Vec::new();
        counts.write(&mut out).unwrap();
        assert_eq!((out.as_slice(), counts.words, counts.different()), (&b"1\ta\n3\tb\n1\tc\n"[..], 5, 3));
    }

    #[test]
    fn a_wrong_state_is_found() {
        let (plan, right) = finished("b a\nc  b b");
        let spoil = |change: &dyn Fn(&mut BTreeMap<NodeId, Worker>)| {
            let mut states = right.clone();
            change(&mut states);
            Counts::check(&plan, &refs(&states)).unwrap_err().to_string()
        };
        // A word counted once more, or at a second counter; a state that is missing, of another node, or not at its end.
        let recount = |text: &'static [u8], at: NodeId| {
            let mut counter = Counter::default();
            for other in plan.members().skip(plan.counters) {
                if other == NodeId(5) {
                    let bytes = bytes::Bytes::from_static(text);
                    counter.apply(other, Message::Piece { bytes, last: true }).unwrap();
                }
                counter.apply(other, Message::End).unwrap();
            }
            move |states: &mut BTreeMap<NodeId, Worker>| {
                states.insert(at, Worker::Counter(counter.clone()));
            }
        };
        let empty = right.iter().find_map(|(id, state)| match state {
            Worker::Counter(counter) if counter.counts().next().is_none() => Some(*id),
            _ => None,
        });
        let empty = empty.expect("four counters, three words");
        assert!(spoil(&recount(b"d", empty)).contains("5 words were read, and 6 counted"));
        assert!(spoil(&recount(b"a", empty)).contains("two counters counted the same word"));
        assert!(spoil(&|states| drop(states.remove(&NodeId(5)))).contains("n5 is not in it"));
        let swap = |states: &mut BTreeMap<NodeId, Worker>| {
            states.insert(NodeId(5), states[&NodeId(1)].clone());
        };
        assert!(spoil(&swap).contains("n5 is not what it should be"));
        let fresh = Worker::Counter(Counter::default());
        assert!(
            spoil(&|states| drop(states.insert(NodeId(1), fresh.clone())))
                .contains("n1 waits for more words")
        );
        let begun = Worker::Reader(Reader::new(plan.range(0)));
        assert!(
            spoil(&|states| drop(states.insert(NodeId(5), begun.clone())))
                .contains("n5 has not read its range")
        );
    }
}
