//! The receiver's end of a window: what has arrived and is not taken, and when the sender hears of it (W2, W11).

use crate::format::control::Grant;
use crate::protocol::settings::Bound;

/// What the receiver of a channel knows of its own messages.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Intake {
    /// Untaken messages of before the last rollback, which stand first.
    replayed: Pile,
    /// Untaken messages of this generation.
    fresh: Pile,
    /// How many of this generation were taken.
    taken: u64,
    /// What was taken since the last grant.
    owed: Pile,
    /// The sender has asked since the last grant.
    wanted: bool,
    /// How many messages of this generation may have departed, by the grants so far.
    limit: u64,
}

/// Messages, and what they weigh in bytes, by this node's own weights.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
struct Pile {
    messages: usize,
    bytes: usize,
}

impl Pile {
    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }
}

impl Intake {
    /// A message of before the rollback is handed out again.
    pub(super) fn replay(&mut self, bytes: usize) {
        self.replayed.add(bytes);
    }

    /// A message has arrived. Whether that is within the window: the number by what was granted, and the weight, which the
    /// two ends may see differently, within twice of it.
    pub(super) fn arrive(&mut self, bytes: usize, window: Bound) -> bool {
        let number = self.taken + self.fresh.messages as u64 + 1;
        let before = self.replayed.bytes + self.fresh.bytes;
        let is_first = self.replayed.messages + self.fresh.messages == 0;
        let is_within = number <= self.limit
            && (is_first || before.saturating_add(bytes) <= window.bytes.saturating_mul(2));
        if is_within {
            self.fresh.add(bytes);
        }
        is_within
    }

    /// Several messages have arrived that weigh so much together. Whether all of them are within the window, and none of them needs
    /// what [`arrive`](Self::arrive) grants to the first; if not, nothing is changed.
    pub(super) fn arrive_all(&mut self, messages: usize, bytes: usize, window: Bound) -> bool {
        let last = self.taken + self.fresh.messages as u64 + messages as u64;
        let before = self.replayed.bytes + self.fresh.bytes;
        let are_within = last <= self.limit && before.saturating_add(bytes) <= window.bytes.saturating_mul(2);
        if are_within {
            self.fresh.messages += messages;
            self.fresh.bytes += bytes;
        }
        are_within
    }

    /// The application has taken the first message.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) {
        if self.replayed.messages > 0 {
            self.replayed.remove(bytes);
        } else {
            self.fresh.remove(bytes);
            self.taken += 1;
        }
        self.owed.add(bytes);
    }

    pub(super) fn ask(&mut self) {
        self.wanted = true;
    }

    /// Whether the sender should hear of it: half a window was taken, or it has asked and nothing is left.
    #[inline]
    pub(super) fn is_grant_due(&self, window: Bound) -> bool {
        self.owed.messages >= window.frames.div_ceil(2)
            || self.owed.bytes >= window.bytes.div_ceil(2)
            || self.wanted && self.replayed.messages + self.fresh.messages == 0
    }

    /// What the sender is told now.
    pub(super) fn grant(&mut self, window: Bound) -> Grant {
        let Pile { messages, bytes } = self.replayed;
        let grant = Grant {
            taken: self.taken,
            messages: window.frames.saturating_sub(messages) as u64,
            bytes: window.bytes.saturating_sub(bytes) as u64,
            whole: messages == 0,
        };
        self.owed = Pile::default();
        self.wanted = false;
        // One that is larger than the window goes alone, so one may always come where the window is whole.
        let least = u64::from(grant.whole);
        self.limit = self.limit.max(self.taken.saturating_add(grant.messages.max(least)));
        grant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Bound = Bound::new(4, 100);

    fn granted(messages: u64, bytes: u64, taken: u64) -> Grant {
        Grant { taken, messages, bytes, whole: true }
    }

    #[test]
    fn w2_a_grant_is_due_when_half_a_window_was_taken_or_all_and_the_sender_asks() {
        let mut intake = Intake::default();
        assert_eq!(intake.grant(WINDOW), granted(4, 100, 0));
        for _ in 0..4 {
            assert!(intake.arrive(1, WINDOW));
        }
        intake.take(1);
        assert!(!intake.is_grant_due(WINDOW));
        intake.take(1);
        assert!(intake.is_grant_due(WINDOW), "half of them");
        assert_eq!(intake.grant(WINDOW), granted(4, 100, 2));
        intake.take(1);
        intake.ask();
        assert!(!intake.is_grant_due(WINDOW), "one is left");
        intake.take(1);
        assert!(intake.is_grant_due(WINDOW));
        intake.grant(WINDOW);
        assert!(!intake.is_grant_due(WINDOW), "it was asked for once");
        assert!(intake.arrive(50, WINDOW));
        intake.take(50);
        assert!(intake.is_grant_due(WINDOW), "half by weight");
    }

    #[test]
    fn w2_what_is_replayed_and_not_taken_makes_the_window_smaller_and_is_not_counted_as_taken() {
        let mut intake = Intake::default();
        (0..5).for_each(|_| intake.replay(30));
        let none = Grant { taken: 0, messages: 0, bytes: 0, whole: false };
        assert_eq!(intake.grant(WINDOW), none);
        assert!(!intake.arrive(1, WINDOW), "nothing was granted");
        (0..3).for_each(|_| intake.take(30));
        assert!(intake.is_grant_due(WINDOW));
        assert_eq!(intake.grant(WINDOW), Grant { taken: 0, messages: 2, bytes: 40, whole: false });
        assert!(!intake.arrive(1000, WINDOW), "it would not go alone");
        assert!(!intake.arrive(141, WINDOW), "with what is replayed it would be more than twice the window");
        assert!(intake.arrive(1, WINDOW));
        (0..2).for_each(|_| intake.take(30));
        assert_eq!(intake.grant(WINDOW), granted(4, 100, 0));
    }

    #[test]
    fn w11_more_than_was_granted_is_refused_by_number_and_by_twice_the_weight() {
        let mut intake = Intake::default();
        intake.grant(WINDOW);
        assert!(intake.arrive(1000, WINDOW), "one that is larger than the window goes alone");
        assert!(!intake.arrive(1, WINDOW));
        intake.take(1000);
        assert!(intake.arrive(100, WINDOW));
        assert!(intake.arrive(100, WINDOW), "the sender may weigh it as half of that");
        assert!(!intake.arrive(1, WINDOW));
        intake.take(100);
        intake.take(100);
        assert!(intake.arrive(1, WINDOW), "the fourth");
        assert!(!intake.arrive(1, WINDOW), "no more was granted");
    }
}
