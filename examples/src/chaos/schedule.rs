//! What happens next: seeded, so that a run can be had again.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::kind::Kind;
use crate::proxy::{Pair, Way, pairs};

/// Before a fault, at most: so it comes at any moment between two snapshots.
const LEAD: Duration = Duration::from_millis(250);

/// How long a fault lasts that does not end by itself.
const LASTS: std::ops::Range<u64> = 50..700;

/// Of so many faults one does not wait until the group has got over the one before.
const RUSH_ONE_IN: u8 = 4;

/// One fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// Counted from 1.
    pub number: u64,
    /// What is done.
    pub kind: Kind,
    /// To which nodes, counted from 0, in this order.
    pub nodes: Vec<usize>,
    /// To which links.
    pub links: Vec<Pair>,
    /// In which direction, where it is done in one.
    pub way: Way,
    /// What passes before.
    pub lead: Duration,
    /// How long it lasts, unless it ends by what comes of it.
    pub lasts: Duration,
    /// Whether the next one comes before the group has got over this one.
    pub rush: bool,
}

/// An endless row of [`Act`]s for a group of so many nodes. What happens when is up to the machine; what happens is up to the seed.
///
/// Faults come in rounds, each of which has all kinds, in random order.
///
/// ```
/// use snapshot_examples::chaos::{Kind, Schedule};
/// let kinds = |seed| Schedule::new(seed, 4, Kind::ALL).take(50).collect::<Vec<_>>();
/// assert_eq!(kinds(7), kinds(7));
/// assert_ne!(kinds(7), kinds(8));
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    random: Rng,
    nodes: usize,
    kinds: Vec<Kind>,
    round: Vec<Kind>,
    next: u64,
}

impl Schedule {
    /// A schedule of these kinds.
    pub fn new(seed: u64, nodes: usize, kinds: impl IntoIterator<Item = Kind>) -> Self {
        let kinds = kinds.into_iter().flat_map(|kind| std::iter::repeat_n(kind, kind.weight())).collect();
        Self { random: Rng::with_seed(seed), nodes, kinds, round: Vec::new(), next: 1 }
    }

    fn kind(&mut self) -> Option<Kind> {
        if self.round.is_empty() {
            self.round.clone_from(&self.kinds);
            self.random.shuffle(&mut self.round);
        }
        self.round.pop()
    }

    fn nodes(&mut self, kind: Kind) -> Vec<usize> {
        let mut nodes: Vec<usize> = (0..self.nodes).collect();
        self.random.shuffle(&mut nodes);
        nodes.truncate(match kind {
            Kind::KillAll | Kind::KillBeforeRecord | Kind::KillAfterRecord | Kind::FolderGone => self.nodes,
            Kind::KillSeveral => self.random.usize(2.min(self.nodes)..=self.nodes),
            Kind::FullDisk | Kind::SlowDisk | Kind::HangingDisk => self.random.usize(1..=self.nodes),
            _ => 1,
        });
        nodes
    }

    /// One link, all of one node, or all.
    fn links(&mut self, node: usize) -> Vec<Pair> {
        let all = pairs(self.nodes);
        match self.random.u8(..3) {
            0 => self.random.choice(all.collect::<Vec<_>>()).into_iter().collect(),
            1 => all.filter(|pair| pair.0 == node || pair.1 == node).collect(),
            _ => all.collect(),
        }
    }
}

impl Iterator for Schedule {
    type Item = Act;

    fn next(&mut self) -> Option<Act> {
        let kind = self.kind()?;
        let nodes = self.nodes(kind);
        let links = match kind {
            Kind::Cut | Kind::Reset | Kind::HalfOpen | Kind::OneWay | Kind::SlowLink | Kind::Split => {
                self.links(nodes[0])
            }
            _ => Vec::new(),
        };
        let number = self.next;
        self.next += 1;
        Some(Act {
            number,
            kind,
            nodes,
            links,
            way: if self.random.bool() { Way::Forth } else { Way::Back },
            lead: LEAD.mul_f64(self.random.f64()),
            lasts: Duration::from_millis(self.random.u64(LASTS)),
            rush: self.random.u8(..RUSH_ONE_IN) == 0,
        })
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: Vec<String>| names.join(" ");
        let nodes = || list(self.nodes.iter().map(|node| format!("n{}", node + 1)).collect());
        let links = || list(self.links.iter().map(|(a, b)| format!("n{}-n{}", a + 1, b + 1)).collect());
        write!(f, "{}", self.kind)?;
        match self.kind {
            Kind::KillAll | Kind::KillBeforeRecord | Kind::KillAfterRecord | Kind::FolderGone => {}
            Kind::OneWay => write!(f, " {} ({:?} is lost)", links(), self.way)?,
            Kind::Cut | Kind::Reset | Kind::HalfOpen | Kind::SlowLink | Kind::Split => {
                write!(f, " {}", links())?;
            }
            _ => write!(f, " {}", nodes())?,
        }
        if !self.links.is_empty()
            || matches!(self.kind, Kind::FullDisk | Kind::SlowDisk | Kind::HangingDisk | Kind::FolderGone)
        {
            write!(f, ", for {} ms", self.lasts.as_millis())?;
        }
        if self.rush {
            f.write_str(", and the next one at once")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_round_has_all_kinds() {
        let round: usize = Kind::ALL.iter().map(|kind| kind.weight()).sum();
        let mut schedule = Schedule::new(3, 4, Kind::ALL);
        for _ in 0..3 {
            let kinds: BTreeSet<Kind> = schedule.by_ref().take(round).map(|act| act.kind).collect();
            assert_eq!(kinds.len(), Kind::ALL.len());
        }
    }

    #[test]
    fn whatever_it_says_can_be_done() {
        for nodes in 1..6 {
            for act in Schedule::new(nodes as u64, nodes, Kind::ALL).take(500) {
                let all: BTreeSet<&usize> = act.nodes.iter().collect();
                assert!(!act.nodes.is_empty() && all.len() == act.nodes.len(), "{act:?}");
                assert!(act.nodes.iter().all(|node| *node < nodes), "{act:?}");
                assert!(act.links.iter().all(|(dialed, dials)| dialed < dials && *dials < nodes), "{act:?}");
            }
        }
    }

    #[test]
    fn it_tells_what_it_does() {
        let act = Schedule::new(1, 3, [Kind::OneWay]).next().expect("it is endless");
        let act =
            Act { links: vec![(0, 2)], way: Way::Back, lasts: Duration::from_millis(90), rush: true, ..act };
        assert_eq!(act.to_string(), "one-way n1-n3 (Back is lost), for 90 ms, and the next one at once");
    }
}
