//! What is told of those who dial this node and are turned away: each thing once, and never more than a person can read. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// So many strangers who take turns are each told once. One who comes by all addresses of a name is one for each.
const REMEMBERED: usize = 16;
/// So many lines may come at once. What strangers say is theirs to choose, so that each line could be news.
const LINES: u32 = 32;
/// How long it takes until one more may.
const NEXT_LINE: Duration = Duration::from_secs(10);

/// What was told, and what may be.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// The last, the newest behind.
    told: VecDeque<String>,
    lines: u32,
    since: Instant,
    untold: u64,
}

/// Whether something is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Say {
    /// And how many were left out before it.
    Now {
        untold: u64,
    },
    Nothing,
}

impl Strangers {
    pub(crate) fn new(now: Instant) -> Self {
        Self { told: VecDeque::new(), lines: LINES, since: now, untold: 0 }
    }

    /// Somebody who is no neighbour, or has not proved it, was turned away, or broke off before it came to that. Keeps the text.
    pub(crate) fn turned_away(&mut self, now: Instant, text: String, refused: bool) -> Say {
        let before = self.told.len();
        self.told.retain(|told| *told != text);
        let news = self.told.len() == before;
        self.told.push_back(text);
        if self.told.len() > REMEMBERED {
            self.told.pop_front();
        }
        if news && refused { self.may_say(now) } else { Say::Nothing }
    }

    /// Something is news. Whether there is a line for it.
    pub(crate) fn may_say(&mut self, now: Instant) -> Say {
        let more = now.saturating_duration_since(self.since).as_secs() / NEXT_LINE.as_secs();
        if more > 0 {
            self.lines = self.lines.saturating_add(u32::try_from(more).unwrap_or(LINES)).min(LINES);
            self.since = now;
        }
        match self.lines.checked_sub(1) {
            Some(left) => {
                self.lines = left;
                Say::Now { untold: std::mem::take(&mut self.untold) }
            }
            None => {
                self.untold += 1;
                Say::Nothing
            }
        }
    }

    pub(crate) fn last(&self) -> Option<&str> {
        self.told.back().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Say = Say::Now { untold: 0 };

    #[test]
    fn strangers_who_take_turns_are_told_once_each() {
        let now = Instant::now();
        let mut strangers = Strangers::new(now);
        let mut say = |text: &str| strangers.turned_away(now, text.to_owned(), true);
        assert_eq!(
            ["a", "b", "a", "b", "a"].map(&mut say),
            [ONCE, ONCE, Say::Nothing, Say::Nothing, Say::Nothing]
        );
        assert_eq!(strangers.last(), Some("a"));
    }

    #[test]
    fn strangers_who_say_something_else_each_time_do_not_fill_the_log() {
        let begin = Instant::now();
        let mut strangers = Strangers::new(begin);
        let mut flood = |at: Instant, count: u64| {
            let says = (0..count).map(|n| strangers.turned_away(at, format!("{at:?} {n}"), true));
            says.filter_map(|say| match say {
                Say::Now { untold } => Some(untold),
                Say::Nothing => None,
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(flood(begin, 1_000_000), [0; LINES as usize]);
        assert_eq!(flood(begin + NEXT_LINE, 1000), [1_000_000 - u64::from(LINES)]);
        let day = Duration::from_secs(86_400);
        assert_eq!(flood(begin + day, 1000).len(), LINES as usize, "silence is saved up to a bound");
    }
}
