//! Stamps that follow each other, said in one.

use crate::vocabulary::frame::Stamp;

/// The stamps of messages that follow each other in a channel: of one generation, their numbers at equal distances. So a
/// batch is numbered, sent and checked as one, however many messages are in it.
///
/// ```
/// use snapshot_core::{Generation, Run, Stamp};
/// let stamp = |number| Stamp::new(Generation(1), number);
/// let mut run = Run::of(stamp(10));
/// assert!(run.push(stamp(12)) && run.push(stamp(14)));
/// assert!(!run.push(stamp(15)), "another distance");
/// assert_eq!((run.first(), run.step(), run.len()), (stamp(10), 2, 3));
/// assert_eq!(run.stamps().last(), Some(stamp(14)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Run {
    first: Stamp,
    /// Of one stamp alone: 0.
    step: u64,
    len: usize,
}

impl Run {
    /// One stamp.
    pub const fn of(first: Stamp) -> Self {
        Self { first, step: 0, len: 1 }
    }

    /// So many stamps from `first` on, each `step` more than the one before.
    pub const fn new(first: Stamp, step: u64, len: usize) -> Self {
        Self { first, step: if len > 1 { step } else { 0 }, len }
    }

    /// The first of them.
    pub const fn first(&self) -> Stamp {
        self.first
    }

    /// By how much the number of each is more than that of the one before; 0 where there is but one.
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one at the end, if it follows; whether it does.
    #[inline]
    pub fn push(&mut self, stamp: Stamp) -> bool {
        if self.len == 1 {
            let step = stamp.number().wrapping_sub(self.first.number());
            if stamp.generation() != self.first.generation() || stamp.number() <= self.first.number() {
                return false;
            }
            self.step = step;
        } else if self.len == 0 || stamp != self.at(self.len) {
            return false;
        }
        self.len += 1;
        true
    }

    /// All of them, in order.
    pub fn stamps(&self) -> impl ExactSizeIterator<Item = Stamp> + use<> {
        let run = *self;
        (0..self.len).map(move |index| run.at(index))
    }

    /// Cuts off the first `count`, or as many as there are.
    pub fn split_to(&mut self, count: usize) -> Self {
        let count = count.min(self.len);
        let front = Self::new(self.first, self.step, count);
        *self = Self::new(self.at(count), self.step, self.len - count);
        front
    }

    #[inline]
    fn at(&self, index: usize) -> Stamp {
        let number = self.first.number().wrapping_add(self.step.wrapping_mul(index as u64));
        Stamp::new(self.first.generation(), number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::Generation;

    fn stamp(number: u64) -> Stamp {
        Stamp::new(Generation(2), number)
    }

    #[test]
    fn a_run_takes_what_follows_and_nothing_else() {
        let mut run = Run::of(stamp(5));
        assert!(!run.push(stamp(5)) && !run.push(stamp(4)), "numbers grow");
        assert!(!run.push(Stamp::new(Generation(3), 6)), "one generation");
        assert!(run.push(stamp(8)));
        assert!(!run.push(stamp(8)) && !run.push(stamp(10)) && !run.push(Stamp::new(Generation(3), 11)));
        assert!(run.push(stamp(11)));
        assert_eq!(run.stamps().collect::<Vec<_>>(), [5, 8, 11].map(stamp));
    }

    #[test]
    fn a_run_is_cut_where_it_is_asked_and_one_stamp_alone_has_no_step() {
        let mut run = Run::new(stamp(5), 3, 3);
        assert_eq!(run.split_to(2), Run::new(stamp(5), 3, 2));
        assert_eq!(run, Run::of(stamp(11)));
        assert_eq!(run.split_to(9), Run::of(stamp(11)));
        assert!(run.is_empty() && !run.push(stamp(14)), "there is nothing that it could follow");
    }

    #[test]
    fn numbers_at_the_end_of_their_range_are_no_panic() {
        let mut run = Run::of(stamp(u64::MAX - 1));
        assert!(run.push(stamp(u64::MAX)));
        assert!(!run.push(stamp(u64::MAX)));
        assert_eq!(run.split_to(2).len(), 2);
    }
}
