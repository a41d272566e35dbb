//! How soon the next generation may be opened. Pure.

use std::time::Duration;

use crate::format::record::{Record, Start};

/// So many generations in a row that commit nothing are what a few crashes at once make.
const PATIENCE: u64 = 4;
/// Before the next one.
const FIRST: Duration = Duration::from_millis(250);
/// However many there were.
const LONGEST: Duration = Duration::from_secs(10);

impl Record {
    /// J7: how long whoever would open the next generation waits first. Nothing as a rule; but where one generation after the other
    /// commits nothing, the next one will most likely fail as they did, and costs everybody a rollback.
    pub(crate) fn pause_before_the_next(&self) -> Duration {
        let Some(doublings) = self.barren().checked_sub(PATIENCE + 1) else { return Duration::ZERO };
        let factor = u32::try_from(doublings).ok().and_then(|doublings| 1_u32.checked_shl(doublings));
        factor.and_then(|factor| FIRST.checked_mul(factor)).map_or(LONGEST, |pause| pause.min(LONGEST))
    }

    /// How many generations in a row have committed nothing, up to the newest.
    fn barren(&self) -> u64 {
        let fruitful = match (&self.last, &self.start) {
            (Some(_), _) => self.generation.0,
            (None, Start::Snapshot(start)) => start.snapshot.generation.0,
            (None, Start::Initial) => 0,
        };
        self.generation.0.saturating_sub(fruitful)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::vocabulary::id::{Generation, NodeId, SnapshotId, Turn};
    use crate::vocabulary::part::PartRef;
    use crate::vocabulary::retention::Retention;
    use crate::vocabulary::topology::Graph;

    const ME: NodeId = NodeId(1);

    fn first() -> Record {
        Record::first(&Graph::new([ME]).at(ME).unwrap(), Retention::All, 1)
    }

    /// The pauses before the next ones, from this record on, in milliseconds.
    fn pauses(mut last: Record, count: usize) -> Vec<u128> {
        let mut pauses = Vec::new();
        while pauses.len() < count {
            pauses.push(last.pause_before_the_next().as_millis());
            last = last.open(ME, 1);
        }
        pauses
    }

    #[test]
    fn j7_generations_that_commit_nothing_come_more_and_more_slowly() {
        let expected = [0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000];
        assert_eq!(pauses(first(), expected.len()), expected);
        let mut late = first();
        late.generation = Generation(u64::MAX);
        assert_eq!(late.pause_before_the_next(), LONGEST);
    }

    #[test]
    fn j7_a_commit_makes_up_for_all_before_it() {
        let mut last = first();
        (0..20).for_each(|_| last = last.open(ME, 1));
        let snapshot = SnapshotId { generation: last.generation, sequence: 1, initiator: ME };
        let part = PartRef { turn: Turn(1), size: 1, checksum: 1 };
        let commit = last.commit(snapshot, BTreeMap::from([(ME, part)]), ME, 2).unwrap();
        assert_eq!(pauses(commit, 7), [0, 0, 0, 0, 0, 250, 500], "its own generation, and four more");
    }
}
