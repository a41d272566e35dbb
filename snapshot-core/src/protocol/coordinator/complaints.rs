//! What neighbours did wrong, each kind told once a neighbour and generation: whoever breaks a rule does it with every frame.

use super::SnapshotCoordinator;
use crate::vocabulary::event::{Event, Violation};
use crate::vocabulary::id::Peer;

/// What was told in this generation. Bounded by the neighbours and the kinds of violations.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Complaints {
    told: Vec<Complaint>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Complaint {
    peer: Peer,
    what: Violation,
    /// How often it was seen again, and not told.
    again: u64,
}

impl Complaints {
    /// Whether this is news.
    fn note(&mut self, peer: Peer, what: &Violation) -> bool {
        let kind = std::mem::discriminant(what);
        let same = |told: &&mut Complaint| told.peer == peer && std::mem::discriminant(&told.what) == kind;
        if let Some(told) = self.told.iter_mut().find(same) {
            told.again = told.again.saturating_add(1);
            return false;
        }
        self.told.push(Complaint { peer, what: what.clone(), again: 0 });
        true
    }
}

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    pub(super) fn violated(&mut self, peer: Peer, what: Violation) {
        if self.complaints.note(peer, &what) {
            tracing::error!(me = %self.topology.me(), %peer, %what, "a neighbour broke the protocol");
            self.emit(Event::Violation { peer, what, times: 1 });
        }
    }

    /// The generation ends: what was only counted is told, and everything is news again.
    pub(super) fn sum_up_complaints(&mut self) {
        for Complaint { peer, what, again } in std::mem::take(&mut self.complaints).told {
            if again > 0 {
                tracing::error!(me = %self.topology.me(), %peer, %what, times = again, "a neighbour went on breaking the protocol");
                self.emit(Event::Violation { peer, what, times: again });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::{Generation, NodeId};

    #[test]
    fn the_first_of_a_kind_is_news_and_the_others_are_counted_for_each_neighbour() {
        let [two, three] = [(0, 2), (1, 3)].map(|(index, id)| Peer::new(index, NodeId(id)));
        let unknown = |n| Violation::UnknownGeneration { generation: Generation(n) };
        let mut complaints = Complaints::default();
        let told = [
            (two, unknown(7)),
            (two, unknown(7)),
            (two, Violation::NoChannel),
            (three, unknown(7)),
            (two, unknown(8)),
        ]
        .map(|(peer, what)| complaints.note(peer, &what));
        assert_eq!(told, [true, false, true, true, false]);
        let again: Vec<u64> = complaints.told.iter().map(|told| told.again).collect();
        assert_eq!(again, [2, 0, 0]);
        assert_eq!(complaints.told[0].what, unknown(7), "the first is kept");
    }
}
