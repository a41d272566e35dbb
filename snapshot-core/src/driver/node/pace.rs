//! How long a node goes on before others have their turn (W10), and how often it looks at the network meanwhile.

use std::time::Duration;

/// Between two looks at the network: at most this many messages are handed out …
const TURNS_BETWEEN_POLLS: u32 = 512;

/// … and, looked at every so many turns, at most this much time passes. So a quick handler has its messages in large
/// batches, and what a slow one sends does not wait.
const TURNS_BETWEEN_GLANCES: u32 = 64;
const TIME_BETWEEN_POLLS: Duration = Duration::from_micros(50);

/// While messages wait to be taken, the node reads ahead this often, so that a marker behind them is acted on when it
/// arrives. More often would only move them from the transport's buffers, which are warm, into a queue.
const TIME_BETWEEN_READS: Duration = Duration::from_millis(1);

/// An application whose turns take this long is a slow one.
const TIME_OF_A_SLOW_TURN: Duration = Duration::from_micros(10);

/// While a snapshot is under way, a node whose turns are long waits for what it needs before it hands out the next message: for
/// this part of the last turn, and no longer than this. A snapshot takes several steps, and would take as many turns.
const PART_OF_A_TURN: u32 = 16;
const MAX_LINGERING: Duration = Duration::from_millis(5);

/// A turn is a long one from here on: the part of it is longer than what a step takes at least.
const TIME_OF_A_LONG_TURN: Duration = Duration::from_millis(1);

/// After so many answers, or so long, without a pause, the next poll is one: so that timers, other tasks and the
/// application's own arms of a `select!` have their turn on an executor with one thread, though the node always has something.
const ANSWERS_BETWEEN_PAUSES: u32 = 512;
const TIME_BETWEEN_PAUSES: Duration = Duration::from_millis(1);

/// Counts and times of one node.
#[derive(Default)]
pub(super) struct Pace {
    /// Messages handed out since the last look at the network, and when that was.
    turns: u32,
    polled: Duration,
    /// Whether anything came of it, so that the application has had its turn since.
    has_answered: bool,
    /// Whether that took the application long.
    is_slow: bool,
    /// Whether a message is among what was handed out since the last look.
    has_handed_out: bool,
    /// Until when the next message may wait for a snapshot that is under way.
    lingers: Option<Duration>,
    /// When the transport was last asked for more.
    read: Duration,
    /// Answers since the last pause, and when the first of them was looked at.
    answers: u32,
    busy_since: Option<Duration>,
}

impl Pace {
    /// Whether the next message may be handed out without a look at anything else.
    #[inline]
    pub(super) fn may_wait_to_poll(&self, now: impl Fn() -> Duration) -> bool {
        // A slow handler is found out at its first turn, and a quick one is seldom asked.
        let glance = self.turns.is_power_of_two() || self.turns.is_multiple_of(TURNS_BETWEEN_GLANCES);
        let due = self.turns >= TURNS_BETWEEN_POLLS
            || self.answers >= ANSWERS_BETWEEN_PAUSES
            || glance && now().saturating_sub(self.polled) >= TIME_BETWEEN_POLLS
            || self.lingers.is_some_and(|until| now() < until);
        !due
    }

    /// A message is handed out without a look at anything else.
    #[inline]
    pub(super) fn hands_out(&mut self) {
        self.turns += 1;
        self.answers += 1;
        self.has_handed_out = true;
    }

    /// Something is handed out after a look at all, and may be a message.
    pub(super) fn answers(&mut self, is_message: bool) {
        self.answers += 1;
        self.has_answered = true;
        self.has_handed_out |= is_message;
    }

    /// The network is looked at.
    pub(super) fn polls(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.polled);
        let long = TIME_BETWEEN_POLLS.max(TIME_OF_A_SLOW_TURN * (self.turns + 1));
        self.is_slow = self.has_answered && passed >= long;
        if std::mem::take(&mut self.has_handed_out) {
            let turn = passed / self.turns.max(1);
            let part = (turn / PART_OF_A_TURN).min(MAX_LINGERING);
            self.lingers = (turn >= TIME_OF_A_LONG_TURN).then_some(now.saturating_add(part));
        }
        self.turns = 0;
        self.polled = now;
    }

    /// Until when the next message may wait for a snapshot that is under way, if it may.
    pub(super) fn lingers(&self, now: Duration) -> Option<Duration> {
        self.lingers.filter(|until| now < *until)
    }

    /// Whether the application takes its time.
    pub(super) fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// Whether others must have their turn now. If so, that is this poll.
    pub(super) fn takes_a_pause(&mut self, now: Duration) -> bool {
        let since = *self.busy_since.get_or_insert(now);
        let is_due =
            self.answers >= ANSWERS_BETWEEN_PAUSES || now.saturating_sub(since) >= TIME_BETWEEN_PAUSES;
        if is_due {
            (self.answers, self.busy_since) = (0, None);
        }
        is_due
    }

    /// There was nothing to answer with, and others have their turn.
    pub(super) fn pauses(&mut self) {
        (self.answers, self.busy_since) = (0, None);
        self.has_answered = false;
    }

    /// Whether the transport was asked for more a moment ago.
    pub(super) fn has_just_read(&self, now: Duration) -> bool {
        now.saturating_sub(self.read) < TIME_BETWEEN_READS
    }

    pub(super) fn reads(&mut self, now: Duration) {
        self.read = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w10_a_pause_comes_after_so_many_answers_or_so_long() {
        let mut pace = Pace::default();
        let (start, later) = (Duration::from_secs(1), Duration::from_millis(1001));
        assert!(!pace.takes_a_pause(start));
        (0..511).for_each(|_| pace.answers(true));
        assert!(!pace.takes_a_pause(start));
        pace.answers(true);
        assert!(pace.takes_a_pause(start));
        assert!(!pace.takes_a_pause(start), "it has had one");
        assert!(pace.takes_a_pause(later));
        assert!(!pace.takes_a_pause(later));
        pace.pauses();
        assert!(!pace.takes_a_pause(later + TIME_BETWEEN_PAUSES), "what came before a pause does not count");
    }

    #[test]
    fn an_application_is_slow_by_the_time_of_its_turns_and_not_by_what_it_had_to_wait_for() {
        let mut pace = Pace::default();
        let mut now = Duration::ZERO;
        let cases = [(1, 49, false), (1, 50, true), (9, 89, false), (9, 90, true), (512, 5000, false)];
        for (turns, passed, is_slow) in cases {
            pace.polls(now);
            pace.answers(true);
            // The first one comes of the look itself.
            (1..turns).for_each(|_| pace.hands_out());
            now += Duration::from_micros(passed);
            pace.takes_a_pause(now);
            pace.polls(now);
            assert_eq!(pace.is_slow(), is_slow, "{turns} turns in {passed} µs");
            pace.pauses();
            now += TIME_BETWEEN_PAUSES;
            pace.polls(now);
            assert!(!pace.is_slow(), "it has waited");
        }
    }

    #[test]
    fn the_network_is_looked_at_after_so_many_messages_or_so_long() {
        let mut pace = Pace::default();
        let now = || Duration::ZERO;
        assert!(pace.may_wait_to_poll(now));
        assert!(!pace.may_wait_to_poll(|| TIME_BETWEEN_POLLS), "a slow handler, at once");
        (0..511).for_each(|_| pace.hands_out());
        assert!(pace.may_wait_to_poll(now));
        pace.hands_out();
        assert!(!pace.may_wait_to_poll(now));
        pace.polls(Duration::ZERO);
        assert!(!pace.may_wait_to_poll(now), "a pause is due");
        assert!(pace.takes_a_pause(Duration::ZERO));
        assert!(pace.may_wait_to_poll(now));
    }
}
