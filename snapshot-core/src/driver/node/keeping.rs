//! What this node has captured for the newest snapshots, where holding on to it costs nothing: a group that goes back then need
//! not read it.

use std::collections::BTreeMap;

use crate::contract::state::StateProvider;
use crate::protocol::coordinator::{StoreAnswer, StoreRequest, Ticket};
use crate::vocabulary::id::{NodeId, SnapshotId};
use crate::vocabulary::key::Key;
use crate::vocabulary::part::{LocalSnapshot, PartRef, StoredPart};

/// The most that are held: that of the last commit, and those under way.
const MAX_KEPT: usize = 4;

/// What is in flight is copied. Where it is more than this, in messages, the part is read back instead.
const MAX_MESSAGES: usize = 4096;

/// Parts by their snapshots.
pub(super) struct Keeping<M, C> {
    is_wanted: bool,
    parts: BTreeMap<SnapshotId, Kept<M, C>>,
}

struct Kept<M, C> {
    part: StoredPart<C, M>,
    ticket: Ticket,
    /// What is in the store, when that is known: only then is this the same.
    written: Option<PartRef>,
}

impl<M: Clone, C> Keeping<M, C> {
    pub(super) fn new(is_wanted: bool) -> Self {
        Self { is_wanted, parts: BTreeMap::new() }
    }

    /// A part is about to be written.
    pub(super) fn write<S: StateProvider<Captured = C>>(
        &mut self,
        ticket: Ticket,
        local: &LocalSnapshot<C, M>,
    ) {
        if !self.is_wanted || local.messages() > MAX_MESSAGES {
            return;
        }
        let Some(state) = S::keep(&local.state) else { return };
        let (channels, outgoing) = (local.channels.clone(), local.outgoing.clone());
        let part = StoredPart { turn: local.turn, state, channels, outgoing };
        self.parts.insert(local.snapshot, Kept { part, ticket, written: None });
        while self.parts.len() > MAX_KEPT {
            self.parts.pop_first();
        }
    }

    /// The store has answered.
    pub(super) fn answered(&mut self, ticket: Ticket, answer: &StoreAnswer<M, C>) {
        match answer {
            StoreAnswer::Written(part) => {
                let kept = self.parts.values_mut().find(|kept| kept.ticket == ticket);
                kept.into_iter().for_each(|kept| kept.written = Some(*part));
            }
            StoreAnswer::Failed(_) => self.parts.retain(|_, kept| kept.ticket != ticket),
            _ => {}
        }
    }

    /// A commit is known: nobody goes back behind it.
    pub(super) fn committed(&mut self, snapshot: SnapshotId) {
        self.parts = self.parts.split_off(&snapshot);
    }

    pub(super) fn aborted(&mut self, snapshot: SnapshotId) {
        self.parts.remove(&snapshot);
    }

    /// What reading would bring, if it is held here.
    pub(super) fn read<S: StateProvider<Captured = C>>(
        &self,
        me: NodeId,
        request: &StoreRequest<M, C>,
    ) -> Option<StoredPart<C, M>> {
        let StoreRequest::ReadPart { key: Key::Part { snapshot, node }, expected } = request else {
            return None;
        };
        let kept =
            self.parts.get(snapshot).filter(|kept| kept.written.is_some() && kept.written == *expected)?;
        let state = S::keep(&kept.part.state).filter(|_| *node == me)?;
        let (channels, outgoing) = (kept.part.channels.clone(), kept.part.outgoing.clone());
        Some(StoredPart { turn: kept.part.turn, state, channels, outgoing })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;
    use crate::vocabulary::id::{Generation, Turn};

    struct State;

    impl StateProvider for State {
        type Captured = Arc<u8>;

        fn capture(&mut self) -> Arc<u8> {
            Arc::default()
        }

        fn install(&mut self, _: Arc<u8>) {}

        fn keep(captured: &Arc<u8>) -> Option<Arc<u8>> {
            Some(Arc::clone(captured))
        }

        fn encode(_: &Arc<u8>, _: &mut dyn io::Write) -> io::Result<()> {
            Ok(())
        }

        fn decode(_: u32, _: &mut dyn io::Read) -> io::Result<Arc<u8>> {
            Ok(Arc::default())
        }
    }

    const ME: NodeId = NodeId(1);

    fn id(sequence: u64) -> SnapshotId {
        SnapshotId { generation: Generation(1), sequence, initiator: ME }
    }

    /// The part of a snapshot, with so many messages that wait for a neighbour, and one from it.
    fn local(sequence: u64, waiting: usize) -> LocalSnapshot<Arc<u8>, u8> {
        LocalSnapshot {
            snapshot: id(sequence),
            node: ME,
            turn: Turn(sequence),
            members: [ME, NodeId(2)].into(),
            state: Arc::new(7),
            channels: [(NodeId(2), vec![5])].into(),
            outgoing: [(NodeId(2), vec![6; waiting])].into(),
        }
    }

    const fn written(sequence: u64) -> PartRef {
        PartRef { turn: Turn(sequence), size: 10, checksum: 1 }
    }

    fn write(keeping: &mut Keeping<u8, Arc<u8>>, sequence: u64) {
        keeping.write::<State>(Ticket(sequence), &local(sequence, 1));
    }

    fn write_well(keeping: &mut Keeping<u8, Arc<u8>>, sequence: u64) {
        write(keeping, sequence);
        keeping.answered(Ticket(sequence), &StoreAnswer::Written(written(sequence)));
    }

    fn read_as(
        keeping: &Keeping<u8, Arc<u8>>,
        sequence: u64,
        node: NodeId,
        expected: Option<PartRef>,
    ) -> Option<StoredPart<Arc<u8>, u8>> {
        let request = StoreRequest::ReadPart { key: Key::Part { snapshot: id(sequence), node }, expected };
        keeping.read::<State>(ME, &request)
    }

    fn is_there(keeping: &Keeping<u8, Arc<u8>>, sequence: u64) -> bool {
        read_as(keeping, sequence, ME, Some(written(sequence))).is_some()
    }

    #[test]
    fn what_is_kept_is_the_state_with_all_that_was_in_flight() {
        let mut keeping = Keeping::new(true);
        write_well(&mut keeping, 1);
        let LocalSnapshot { turn, state, channels, outgoing, .. } = local(1, 1);
        let part = StoredPart { turn, state, channels, outgoing };
        assert_eq!(read_as(&keeping, 1, ME, Some(written(1))), Some(part));
        let mut keeping = Keeping::new(false);
        write_well(&mut keeping, 1);
        assert!(!is_there(&keeping, 1), "nobody wants it");
    }

    #[test]
    fn only_what_is_known_to_be_in_the_store_and_is_what_is_asked_for_stands_for_it() {
        let mut keeping = Keeping::new(true);
        write(&mut keeping, 1);
        assert!(!is_there(&keeping, 1) && read_as(&keeping, 1, ME, None).is_none(), "it is being written");
        keeping.answered(Ticket(2), &StoreAnswer::Written(written(1)));
        assert!(!is_there(&keeping, 1), "that was another one");
        keeping.answered(Ticket(1), &StoreAnswer::Written(written(1)));
        assert!(is_there(&keeping, 1));
        assert_eq!(read_as(&keeping, 1, NodeId(2), Some(written(1))), None, "another node's");
        let other = PartRef { checksum: 2, ..written(1) };
        assert_eq!(read_as(&keeping, 1, ME, Some(other)), None, "the journal names another one");
        write(&mut keeping, 2);
        keeping.answered(Ticket(2), &StoreAnswer::Failed(String::new()));
        keeping.answered(Ticket(2), &StoreAnswer::Written(written(2)));
        assert!(!is_there(&keeping, 2) && is_there(&keeping, 1), "it could not be written");
    }

    #[test]
    fn what_nobody_goes_back_to_is_dropped() {
        let mut keeping = Keeping::new(true);
        (1..=4).for_each(|sequence| write_well(&mut keeping, sequence));
        keeping.aborted(id(3));
        keeping.committed(id(2));
        assert_eq!([1, 2, 3, 4].map(|sequence| is_there(&keeping, sequence)), [false, true, false, true]);
        (5..=7).for_each(|sequence| write_well(&mut keeping, sequence));
        let are_there = [2, 4, 5, 6, 7].map(|sequence| is_there(&keeping, sequence));
        assert_eq!(are_there, [false, true, true, true, true], "four, the newest");
    }

    #[test]
    fn a_part_with_many_messages_is_not_copied() {
        let mut keeping = Keeping::new(true);
        for (waiting, is_kept) in [(MAX_MESSAGES - 1, true), (MAX_MESSAGES, false)] {
            keeping.write::<State>(Ticket(waiting as u64), &local(waiting as u64, waiting));
            assert_eq!(keeping.parts.contains_key(&id(waiting as u64)), is_kept, "{waiting}, and one more");
        }
    }
}
