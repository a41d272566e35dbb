//! What messages weigh that stand in a row. Those that weigh the same are counted: as a rule they are all alike.

use std::collections::VecDeque;

/// The weights of a row of messages.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Weights {
    /// A weight, and how many messages in a row have it. None stands beside its like, and none is of no message.
    like: VecDeque<(usize, usize)>,
    len: usize,
}

impl Weights {
    pub(super) const fn new() -> Self {
        Self { like: VecDeque::new(), len: 0 }
    }

    /// How many messages there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push(&mut self, weight: usize) {
        self.push_like(weight, 1);
    }

    #[inline]
    fn push_like(&mut self, weight: usize, count: usize) {
        self.len += count;
        match self.like.back_mut() {
            Some((last, messages)) if *last == weight => *messages += count,
            _ => self.like.push_back((weight, count)),
        }
    }

    /// What the first one weighs.
    #[inline]
    pub(super) fn first(&self) -> Option<usize> {
        self.like.front().map(|(weight, _)| *weight)
    }

    /// Drops the last ones, of which there must be so many.
    pub(super) fn drop_last(&mut self, mut count: usize) {
        self.len -= count;
        while let Some((_, messages)) = self.like.back_mut().filter(|_| count > 0) {
            let dropped = count.min(*messages);
            *messages -= dropped;
            count -= dropped;
            if *messages == 0 {
                self.like.pop_back();
            }
        }
    }

    /// Takes the first ones, of which there must be so many, and tells each weight with the number of messages in a row that have it.
    fn take_first(&mut self, mut count: usize, mut tell: impl FnMut(usize, usize)) {
        self.len -= count;
        while let Some((weight, messages)) = self.like.front_mut().filter(|_| count > 0) {
            let taken = count.min(*messages);
            tell(*weight, taken);
            *messages -= taken;
            count -= taken;
            if *messages == 0 {
                self.like.pop_front();
            }
        }
    }

    /// Drops the first ones, and says what they weigh.
    pub(super) fn drop_first(&mut self, count: usize) -> usize {
        let mut bytes = 0;
        self.take_first(count, |weight, messages| bytes += weight * messages);
        bytes
    }

    /// Moves the first ones to the end of another row.
    pub(super) fn move_first(&mut self, count: usize, to: &mut Self) {
        self.take_first(count, |weight, messages| to.push_like(weight, messages));
    }

    /// How many of the first ones are within both bounds together, and what they weigh.
    pub(super) fn within(&self, messages: usize, bytes: usize) -> (usize, usize) {
        let (mut count, mut total) = (0, 0);
        for (weight, alike) in &self.like {
            let mut fitting = (*alike).min(messages - count);
            if weight.saturating_mul(fitting) > bytes - total {
                fitting = (bytes - total) / weight;
            }
            count += fitting;
            total += fitting * weight;
            if fitting < *alike {
                break;
            }
        }
        (count, total)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.like.iter().flat_map(|(weight, messages)| std::iter::repeat_n(*weight, *messages))
    }

    /// Keeps the buffer.
    pub(super) fn clear(&mut self) {
        self.like.clear();
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::coordinator::random::SplitMix;

    /// What a plain row says of the same.
    fn within(plain: &VecDeque<usize>, messages: usize, bytes: usize) -> (usize, usize) {
        let mut total = 0;
        let fitting = plain.iter().take(messages).take_while(|weight| {
            let fits = total + **weight <= bytes;
            total += if fits { **weight } else { 0 };
            fits
        });
        (fitting.count(), total)
    }

    #[test]
    fn weights_are_the_same_as_a_plain_row_of_them() {
        for seed in 0..300 {
            let mut random = SplitMix(seed);
            let (mut weights, mut plain) = (Weights::new(), VecDeque::new());
            let (mut moved, mut plainly_moved) = (Weights::new(), VecDeque::new());
            for _ in 0..200 {
                let some = random.draw() as usize % (plain.len() + 1);
                match random.draw() % 8 {
                    0..5 => {
                        let weight = 1 + random.draw() as usize % 3;
                        weights.push(weight);
                        plain.push_back(weight);
                    }
                    5 => {
                        weights.drop_last(some);
                        plain.truncate(plain.len() - some);
                    }
                    6 => assert_eq!(weights.drop_first(some), plain.drain(..some).sum(), "seed {seed}"),
                    _ => {
                        weights.move_first(some, &mut moved);
                        plainly_moved.extend(plain.drain(..some));
                    }
                }
                let [messages, bytes] = [0; 2].map(|_| random.draw() as usize % 20);
                assert_eq!(weights.within(messages, bytes), within(&plain, messages, bytes), "seed {seed}");
                assert_eq!((weights.len(), weights.first()), (plain.len(), plain.front().copied()));
                assert!(weights.iter().eq(plain.iter().copied()), "seed {seed}");
                assert!(moved.iter().eq(plainly_moved.iter().copied()), "seed {seed}");
                let mut again = Weights::new();
                plain.iter().for_each(|weight| again.push(*weight));
                assert_eq!(weights, again, "seed {seed}: equal rows are equal");
            }
            weights.clear();
            assert_eq!(weights, Weights::new());
        }
    }
}
