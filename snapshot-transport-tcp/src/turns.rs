//! In which order the addresses of a name are tried. Pure.

use std::net::SocketAddr;

/// Where a round begins, so that no address keeps the others from having their turn.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    first: Option<SocketAddr>,
    /// Behind the address that is connected.
    behind: Option<SocketAddr>,
}

impl Turns {
    /// All of them, each once. Where the one to begin with is no longer among them, as they came.
    pub(crate) fn order(&self, resolved: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let mut order = Vec::new();
        for address in resolved {
            // Some systems give an address once for each line that names it.
            if !order.contains(&address) {
                order.push(address);
            }
        }
        let begin = order.iter().position(|address| Some(*address) == self.first);
        order.rotate_left(begin.unwrap_or(0));
        order
    }

    /// Nothing came of a whole round.
    pub(crate) fn all_failed(&mut self, order: &[SocketAddr]) {
        self.first = order.get(1).or(order.first()).copied();
    }

    /// The one at `index` is where the neighbour is, and is asked first the next time.
    pub(crate) fn connected(&mut self, order: &[SocketAddr], index: usize) {
        self.first = order.get(index).copied();
        self.behind = order.get(index + 1).or(order.first()).copied();
    }

    /// The connection broke as soon as it stood: so it is the next one's turn.
    pub(crate) fn broke_at_once(&mut self) {
        self.first = self.behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses<const N: usize>(ports: [u16; N]) -> Vec<SocketAddr> {
        ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).to_vec()
    }

    fn order(turns: &Turns) -> Vec<u16> {
        turns.order(addresses([1, 2, 1, 3])).iter().map(SocketAddr::port).collect()
    }

    #[test]
    fn each_round_begins_behind_the_one_before() {
        let mut turns = Turns::default();
        let mut rounds = vec![];
        for _ in 0..4 {
            rounds.push(order(&turns));
            turns.all_failed(&turns.order(addresses([1, 2, 3])));
        }
        assert_eq!(rounds, [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]]);
    }

    #[test]
    fn where_the_neighbour_was_is_asked_first() {
        let mut turns = Turns::default();
        turns.connected(&addresses([1, 2, 3]), 1);
        assert_eq!(order(&turns), [2, 3, 1]);
        turns.broke_at_once();
        assert_eq!(order(&turns), [3, 1, 2]);
        turns.connected(&addresses([1, 2, 3]), 2);
        turns.broke_at_once();
        assert_eq!(order(&turns), [1, 2, 3]);
    }

    #[test]
    fn names_may_come_to_stand_for_others_or_for_nothing() {
        let mut turns = Turns::default();
        turns.all_failed(&addresses([8, 9]));
        assert_eq!(order(&turns), [1, 2, 3]);
        turns.all_failed(&[]);
        turns.connected(&[], 0);
        assert_eq!(turns.order([]), []);
        turns.all_failed(&addresses([2]));
        assert_eq!(order(&turns), [2, 3, 1]);
    }
}
