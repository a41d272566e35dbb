//! What came of the faults, for a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::kind::Kind;
use super::stopwatch::Stopwatch;

/// Counts faults, and how long the group took to get over them. Its `Display` is the table.
///
/// ```
/// use snapshot_examples::chaos::{Kind, Tally};
/// use std::time::Duration;
/// let mut tally = Tally::default();
/// tally.recovered(Kind::KillAll, Duration::from_millis(40));
/// tally.recovered(Kind::KillAll, Duration::from_millis(30));
/// assert_eq!(tally.faults(), 2);
/// assert!(tally.to_string().contains("| kill all | 2 | 40 ms |"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    rows: BTreeMap<Kind, Row>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Row {
    count: u64,
    longest: Duration,
}

impl Tally {
    /// A group has got over a fault of this kind, so long after it was over, or after the last one that followed in a rush.
    pub fn recovered(&mut self, kind: Kind, took: Duration) {
        let row = self.rows.entry(kind).or_default();
        row.count += 1;
        row.longest = row.longest.max(took);
    }

    /// How many faults there were.
    pub fn faults(&self) -> u64 {
        self.rows.values().map(|row| row.count).sum()
    }

    /// Of each kind that there was: how many, and the longest recovery.
    pub fn rows(&self) -> impl Iterator<Item = (Kind, u64, Duration)> {
        self.rows.iter().map(|(kind, row)| (*kind, row.count, row.longest))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| fault | how many | longest recovery |")?;
        writeln!(f, "| --- | ---: | ---: |")?;
        for (kind, count, longest) in self.rows() {
            writeln!(f, "| {kind} | {count} | {} ms |", longest.as_millis())?;
        }
        Ok(())
    }
}

/// The faults that a group has not got over yet.
///
/// ```
/// use snapshot_examples::chaos::{Kind, Recovery, Tally};
/// let (mut tally, mut recovery) = (Tally::default(), Recovery::default());
/// recovery.begins(Kind::Cut);
/// recovery.passes(); // again and again
/// recovery.ends(&mut tally);
/// assert_eq!(tally.faults(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    pending: Vec<Kind>,
    watch: Option<Stopwatch>,
}

impl Recovery {
    /// A fault is over: from now on the group has nothing to wait for.
    pub fn begins(&mut self, kind: Kind) {
        self.pending.push(kind);
        self.watch = Some(Stopwatch::start());
    }

    /// Time passes: to be called several times a second, for the [`Stopwatch`].
    pub fn passes(&mut self) {
        self.watch.as_mut().map(Stopwatch::passes);
    }

    /// The group has got over all of them. Returns how long that took since the last one was over.
    pub fn ends(&mut self, tally: &mut Tally) -> Duration {
        let took = self.watch.take().map_or(Duration::ZERO, |mut watch| watch.passes());
        self.pending.drain(..).for_each(|kind| tally.recovered(kind, took));
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_followed_in_a_rush_are_got_over_together() {
        let (mut tally, mut recovery) = (Tally::default(), Recovery::default());
        recovery.begins(Kind::Cut);
        recovery.begins(Kind::KillOne);
        recovery.begins(Kind::Cut);
        recovery.ends(&mut tally);
        assert_eq!(tally.faults(), 3);
        assert_eq!(recovery.ends(&mut tally), Duration::ZERO);
        let counts: Vec<_> = tally.rows().map(|(kind, count, _)| (kind, count)).collect();
        assert_eq!(counts, [(Kind::KillOne, 1), (Kind::Cut, 2)]);
    }
}
