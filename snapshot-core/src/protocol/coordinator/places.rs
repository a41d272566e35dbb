//! A set of neighbours, by their places in the topology.

/// A bit for each: whoever has many neighbours pays a bit for those that are idle.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Places {
    words: Vec<u64>,
    len: usize,
}

impl Places {
    /// Room for so many places, none of them in the set.
    pub(super) fn new(places: usize) -> Self {
        Self { words: vec![0; places.div_ceil(64)], len: 0 }
    }

    pub(super) fn insert(&mut self, place: usize) {
        let (word, bit) = (&mut self.words[place / 64], 1 << (place % 64));
        if *word & bit == 0 {
            self.len += 1;
        }
        *word |= bit;
    }

    /// Whether it was in the set.
    pub(super) fn remove(&mut self, place: usize) -> bool {
        let (word, bit) = (&mut self.words[place / 64], 1 << (place % 64));
        let was = *word & bit != 0;
        *word &= !bit;
        // Not by `usize::from(was)`, which optimised code of some compilers leaves out where the caller branches on `was`
        // (rust-lang/rust issue 158206).
        if was {
            self.len -= 1;
        }
        was
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.words[place / 64] & (1 << (place % 64)) != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn first(&self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let at = self.words.iter().position(|word| *word != 0)?;
        Some(at * 64 + self.words[at].trailing_zeros() as usize)
    }

    /// Takes all out, and puts these in.
    pub(super) fn set(&mut self, places: impl Iterator<Item = usize>) {
        self.words.fill(0);
        self.len = 0;
        places.for_each(|place| self.insert(place));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((0_usize..200, any::<bool>()), 0..200), last in prop::collection::vec(0_usize..200, 0..9)) {
            let (mut places, mut model) = (Places::new(200), BTreeSet::new());
            for (place, comes) in steps {
                if comes {
                    places.insert(place);
                    model.insert(place);
                } else {
                    prop_assert_eq!(places.remove(place), model.remove(&place));
                }
                prop_assert_eq!(places.first(), model.first().copied());
                prop_assert_eq!(places.is_empty(), model.is_empty());
                prop_assert!((0..200).all(|place| places.contains(place) == model.contains(&place)));
            }
            places.set(last.iter().copied());
            model = last.into_iter().collect();
            prop_assert!((0..200).all(|place| places.contains(place) == model.contains(&place)));
            prop_assert_eq!(places.first(), model.first().copied());
        }
    }
}
