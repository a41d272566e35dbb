//! Where the journal ends: found without reading all of it.

use bytes::Bytes;

use crate::format::envelope::LIMIT;

/// The last of a sequence without holes that begins at 1: by doubling, then halving.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Search {
    exists: u64,
    absent: Option<u64>,
    record: Option<Bytes>,
}

impl Search {
    /// What stands at an index, or that nothing does.
    pub(super) fn found(&mut self, index: u64, bytes: Option<Bytes>) {
        match bytes {
            Some(bytes) => (self.exists, self.record) = (index, Some(bytes)),
            None => self.absent = Some(index),
        }
    }

    /// Where to look next; `None` when it is over.
    pub(super) fn next(&self) -> Option<u64> {
        match self.absent {
            // A store that has something under every key is broken: what stands here cannot be the record.
            None if self.exists >= LIMIT / 2 => None,
            None => Some((self.exists * 2).max(1)),
            Some(absent) if absent > self.exists + 1 => Some(self.exists + (absent - self.exists) / 2),
            Some(_) => None,
        }
    }

    /// The last index that was seen to exist, and what stands there.
    pub(super) fn last(self) -> Option<(u64, Bytes)> {
        Some((self.exists, self.record?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Bytes {
        Bytes::copy_from_slice(&index.to_be_bytes())
    }

    /// Searches a sequence of this length; what was found, after how many looks.
    fn search(length: u64) -> (Option<(u64, Bytes)>, u32) {
        let mut search = Search::default();
        let mut looks = 0;
        while let Some(index) = search.next() {
            assert!(index > 0, "indices begin with 1");
            looks += 1;
            assert!(looks <= 200, "it goes on for ever");
            search.found(index, (index <= length).then(|| at(index)));
        }
        (search.last(), looks)
    }

    #[test]
    fn the_end_is_found_with_few_looks_however_long_the_sequence_is() {
        assert_eq!(search(0), (None, 1));
        for length in (1..300).chain([1 << 20, (1 << 40) - 1, LIMIT / 2 - 1]) {
            let (found, looks) = search(length);
            assert_eq!(found, Some((length, at(length))));
            // Doubling passes the end after as many looks as it has bits, and one; halving takes one look less than that.
            assert!(looks <= 2 * (u64::BITS - length.leading_zeros()), "{looks} looks for {length}");
        }
    }

    #[test]
    fn where_there_is_something_under_every_key_the_search_ends() {
        let (found, looks) = search(u64::MAX);
        assert_eq!(found, Some((LIMIT / 2, at(LIMIT / 2))));
        assert!(looks <= u64::BITS);
    }
}
