//! The sender's end of a window: what has departed and is not known to be taken, and what may follow it (W1, W2).
//!
//! Only the sender weighs: byte counts of two nodes are never compared, so that their weights may differ.

use super::weights::Weights;
use crate::format::control::Grant;

/// What the receiver of a channel lets its sender send.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Credit {
    /// The last grant of this generation. `None`: the receiver has not been heard, and nothing may depart (W3).
    told: Option<Grant>,
    /// What has departed and is not known to be taken, and what has not departed.
    outstanding: Weights,
    queued: Weights,
    outstanding_bytes: usize,
    /// The receiver has been asked since its last grant.
    asked: bool,
}

/// What a grant is to the channel that it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Granted {
    /// It is no older than what was known.
    News,
    /// An older one, or a repeat.
    Old,
    /// It says that more was taken than has departed.
    TooMuch,
}

impl Credit {
    pub(super) const fn new() -> Self {
        Self {
            told: None,
            outstanding: Weights::new(),
            queued: Weights::new(),
            outstanding_bytes: 0,
            asked: false,
        }
    }

    /// A message is queued.
    #[inline]
    pub(super) fn queue(&mut self, weight: usize) {
        self.queued.push(weight);
    }

    /// The last messages that were queued are taken back.
    pub(super) fn take_back(&mut self, messages: usize) {
        self.queued.drop_last(messages);
    }

    /// How many of the messages that are queued may depart now, and what they weigh. Of `queued` that weigh `bytes`.
    pub(super) fn departable(&self, queued: usize, bytes: usize) -> (usize, usize) {
        let Some(told) = self.told else { return (0, 0) };
        let room =
            usize::try_from(told.messages).unwrap_or(usize::MAX).saturating_sub(self.outstanding.len());
        let limit = usize::try_from(told.bytes).unwrap_or(usize::MAX);
        if queued <= room && self.outstanding_bytes.saturating_add(bytes) <= limit {
            return (queued, bytes);
        }
        let (count, total) = self.queued.within(room, limit.saturating_sub(self.outstanding_bytes));
        // A message that is larger than the window goes when nothing else is under way.
        match self.queued.first() {
            Some(weight) if count == 0 && self.outstanding.len() == 0 && told.whole => (1, weight),
            _ => (count, total),
        }
    }

    /// Whether the first message that is queued, if there is one, may depart now.
    pub(super) fn lets_one_go(&self) -> bool {
        let Some((told, weight)) = self.told.zip(self.queued.first()) else { return false };
        let outstanding = self.outstanding.len();
        let fits = (outstanding as u64) < told.messages
            && self.outstanding_bytes.saturating_add(weight) as u64 <= told.bytes;
        fits || outstanding == 0 && told.whole
    }

    /// The weights of what is queued.
    pub(super) fn queued(&self) -> impl Iterator<Item = usize> {
        self.queued.iter()
    }

    /// So many depart, which weigh so much.
    pub(super) fn depart(&mut self, messages: usize, bytes: usize) {
        self.queued.move_first(messages, &mut self.outstanding);
        self.outstanding_bytes += bytes;
    }

    /// Whether the receiver must be asked: something is held up, it has been heard and not been asked since, and it need not
    /// come by a grant by itself. Where half a window is outstanding it will, since it counts messages as this end does.
    pub(super) fn wants_to_ask(&self) -> bool {
        let Some(told) = self.told else { return false };
        let is_held_up = self.queued.len() > 0 && !self.lets_one_go();
        let grant_comes = told.whole && self.outstanding.len() as u64 >= told.messages.div_ceil(2);
        is_held_up && !self.asked && !grant_comes
    }

    pub(super) fn asks(&mut self) {
        self.asked = true;
    }

    /// The receiver says what it has taken, and how much it takes.
    pub(super) fn granted(&mut self, grant: Grant) -> Granted {
        let known = self.told.map_or(0, |told| told.taken);
        let Some(news) = grant.taken.checked_sub(known) else { return Granted::Old };
        let Some(news) = usize::try_from(news).ok().filter(|news| *news <= self.outstanding.len()) else {
            return Granted::TooMuch;
        };
        self.outstanding_bytes -= self.outstanding.drop_first(news);
        self.told = Some(match self.told {
            // Nothing was taken in between but what stood before it: the window only grew.
            Some(told) if news == 0 => Grant {
                messages: told.messages.max(grant.messages),
                bytes: told.bytes.max(grant.bytes),
                whole: told.whole || grant.whole,
                ..grant
            },
            _ => grant,
        });
        self.asked = false;
        Granted::News
    }

    /// A new generation: nothing is outstanding, nothing queued, and the receiver has not been heard (W3).
    pub(super) fn reset(&mut self) {
        let [mut outstanding, mut queued] = [&mut self.outstanding, &mut self.queued].map(std::mem::take);
        outstanding.clear();
        queued.clear();
        *self = Self { outstanding, queued, ..Self::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(taken: u64, messages: u64, bytes: u64) -> Grant {
        Grant { taken, messages, bytes, whole: true }
    }

    fn credit(weights: &[usize]) -> Credit {
        let mut credit = Credit::new();
        weights.iter().for_each(|weight| credit.queue(*weight));
        credit
    }

    fn depart(credit: &mut Credit) -> usize {
        let bytes = credit.queued.iter().sum();
        let (messages, bytes) = credit.departable(credit.queued.len(), bytes);
        assert_eq!(credit.lets_one_go(), messages > 0);
        credit.depart(messages, bytes);
        messages
    }

    #[test]
    fn w1_what_fits_departs_by_number_and_by_weight() {
        let mut credit = credit(&[3; 10]);
        assert_eq!(credit.granted(grant(0, 100, 11)), Granted::News);
        assert_eq!(depart(&mut credit), 3, "by weight");
        assert_eq!(depart(&mut credit), 0);
        credit.granted(grant(2, 4, 100));
        assert_eq!(depart(&mut credit), 3, "by number: one is outstanding");
        credit.granted(grant(6, 100, 100));
        assert_eq!(depart(&mut credit), 4, "all that there is");
        credit.granted(grant(10, 100, 9));
        for _ in 0..3 {
            credit.queue(3);
            assert_eq!(depart(&mut credit), 1);
        }
        credit.queue(1);
        assert_eq!(depart(&mut credit), 0, "the window is just full");
    }

    #[test]
    fn w1_a_message_over_the_window_goes_alone_and_only_where_the_window_is_whole() {
        let mut credit = credit(&[1, 50, 1]);
        credit.granted(grant(0, 8, 10));
        assert_eq!(depart(&mut credit), 1);
        assert_eq!(depart(&mut credit), 0, "one is outstanding");
        credit.granted(Grant { whole: false, ..grant(1, 8, 10) });
        assert_eq!(depart(&mut credit), 0, "something of before the rollback is not taken yet");
        credit.granted(grant(1, 8, 10));
        assert_eq!(depart(&mut credit), 1);
        assert_eq!(depart(&mut credit), 0);
        credit.granted(grant(2, 8, 10));
        assert_eq!(depart(&mut credit), 1);
    }

    #[test]
    fn w2_older_grants_and_repeats_change_nothing_and_one_of_the_same_count_only_adds() {
        let mut credit = credit(&[1; 9]);
        credit.granted(grant(0, 3, 100));
        assert_eq!(depart(&mut credit), 3);
        assert_eq!(credit.granted(grant(3, 3, 100)), Granted::News);
        assert_eq!(credit.granted(grant(2, 9, 100)), Granted::Old);
        assert_eq!(credit.granted(Grant { whole: false, ..grant(3, 2, 200) }), Granted::News);
        assert_eq!(depart(&mut credit), 3);
        assert_eq!(credit.granted(grant(7, 3, 100)), Granted::TooMuch);
        assert_eq!(depart(&mut credit), 0);
    }

    #[test]
    fn w2_who_is_held_up_asks_once_after_each_grant_unless_a_grant_comes_anyway() {
        let mut credit = credit(&[6, 6, 6]);
        assert!(!credit.wants_to_ask(), "the receiver has not been heard: its first grant comes by itself");
        credit.granted(grant(0, 8, 10));
        assert_eq!(depart(&mut credit), 1);
        assert!(credit.wants_to_ask(), "one of eight is taken without a word");
        credit.asks();
        assert!(!credit.wants_to_ask());
        credit.granted(grant(1, 8, 10));
        assert_eq!(depart(&mut credit), 1);
        assert!(credit.wants_to_ask());
        credit.asks();
        assert_eq!(credit.granted(grant(0, 8, 10)), Granted::Old);
        assert!(!credit.wants_to_ask(), "an older grant is no answer");
        credit.granted(grant(2, 2, 1));
        assert_eq!(depart(&mut credit), 1);
        credit.queue(1);
        assert!(!credit.wants_to_ask(), "half a window is outstanding");
    }

    #[test]
    fn w3_nothing_departs_before_the_receiver_was_heard_in_this_generation() {
        let mut credit = credit(&[1]);
        assert_eq!(depart(&mut credit), 0);
        credit.granted(grant(0, 8, 8));
        assert_eq!(depart(&mut credit), 1);
        credit.reset();
        credit.queue(1);
        assert_eq!(depart(&mut credit), 0);
    }
}
