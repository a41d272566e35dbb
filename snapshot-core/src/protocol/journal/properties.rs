//! Journals that random groups write: each record is read as it was written, and can be gone on from.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use proptest::prelude::*;

use crate::format::envelope::LIMIT;
use crate::format::record::{Entry, Record, Start};
use crate::protocol::journal::Refusal;
use crate::vocabulary::id::{NodeId, SnapshotId, Turn};
use crate::vocabulary::part::PartRef;
use crate::vocabulary::properties::{holds, numbers};
use crate::vocabulary::retention::Retention;
use crate::vocabulary::topology::Graph;

/// What somebody does to the journal.
#[derive(Clone, Debug)]
enum Step {
    /// Commits a snapshot, with parts of these turns, sizes and checksums.
    Commit { initiator: usize, sequence: u64, parts: Vec<(u64, u64, u32)>, nonce: u64 },
    /// Discards the snapshots of a member up to this sequence.
    Discard { initiator: usize, sequence: u64, nonce: u64 },
    /// Opens the next generation at the restart point.
    Open { author: usize, nonce: u64 },
    /// Opens it at the initial states, or at the start of the present one: behind what was committed in it.
    FallBack { author: usize, nonce: u64, to_initial: bool },
}

#[derive(Clone, Debug)]
struct Course {
    group: String,
    members: Vec<NodeId>,
    retention: Retention,
    steps: Vec<Step>,
}

fn retentions() -> impl Strategy<Value = Retention> {
    prop_oneof![
        Just(Retention::All),
        (1..4_u32).prop_map(Retention::last),
        any::<u32>().prop_map(|n| NonZeroU32::new(n).map_or(Retention::All, Retention::Last)),
    ]
}

fn steps(members: usize) -> impl Strategy<Value = Vec<Step>> {
    // Turns grow, or nearly: a set that is behind the last one is refused.
    let parts = prop::collection::vec((0..4_u64, numbers(), any::<u32>()), members);
    let step = prop_oneof![
        4 => (0..members, numbers(), parts, numbers()).prop_map(|(initiator, sequence, parts, nonce)| {
            Step::Commit { initiator, sequence: sequence % 64, parts, nonce }
        }),
        1 => (0..members, 0..64_u64, numbers())
            .prop_map(|(initiator, sequence, nonce)| Step::Discard { initiator, sequence, nonce }),
        1 => (0..members, numbers()).prop_map(|(author, nonce)| Step::Open { author, nonce }),
        1 => (0..members, numbers(), any::<bool>())
            .prop_map(|(author, nonce, to_initial)| Step::FallBack { author, nonce, to_initial }),
    ];
    prop::collection::vec(step, 0..20)
}

fn courses() -> impl Strategy<Value = Course> {
    let members = prop::collection::btree_set(numbers(), 1..5);
    (any::<String>(), members, retentions()).prop_flat_map(|(group, members, retention)| {
        let members: Vec<NodeId> = members.into_iter().map(NodeId).collect();
        steps(members.len()).prop_map(move |steps| Course {
            group: group.clone(),
            members: members.clone(),
            retention,
            steps,
        })
    })
}

/// The records that a course leaves; what is refused leaves none.
fn journal(course: &Course) -> Vec<Record> {
    let graph = Graph::mesh(course.members.iter().copied()).named(&course.group);
    let topology = graph.at(course.members[0]).expect("a mesh is a topology");
    let mut journal = vec![Record::first(&topology, course.retention, 1)];
    let mut turn = 0;
    for step in &course.steps {
        let record = journal.last().expect("there is the first");
        let next = match step {
            Step::Commit { initiator, sequence, parts, nonce } => {
                turn += 2;
                let (initiator, generation) = (course.members[*initiator], record.generation);
                let snapshot = SnapshotId { generation, sequence: *sequence, initiator };
                let part = |(ahead, size, checksum): &(u64, u64, u32)| PartRef {
                    turn: Turn(turn + ahead),
                    size: *size,
                    checksum: *checksum,
                };
                let parts = course.members.iter().copied().zip(parts.iter().map(part)).collect();
                record.commit(snapshot, parts, initiator, *nonce).ok()
            }
            Step::Discard { initiator, sequence, nonce } => {
                let initiator = course.members[*initiator];
                Some(record.discard(&BTreeMap::from([(initiator, *sequence)]), initiator, *nonce))
            }
            Step::Open { author, nonce } => Some(record.open(course.members[*author], *nonce)),
            Step::FallBack { author, nonce, to_initial } => {
                let start = if *to_initial { Start::Initial } else { record.start.clone() };
                Some(record.open_from(start, course.members[*author], *nonce))
            }
        };
        journal.extend(next);
    }
    journal
}

#[test]
fn every_record_that_a_group_can_write_is_read_as_it_was_written() {
    holds(courses(), |course| {
        for (index, record) in (1..).zip(journal(&course)) {
            prop_assert_eq!(record.index, index);
            prop_assert_eq!(Record::decode(index, &record.encode()), Ok(record));
        }
        Ok(())
    });
}

#[test]
fn a_journal_holds_together_from_record_to_record() {
    let (commits, given_up, discards) = (Cell::new(0), Cell::new(0), Cell::new(0));
    holds(courses(), |course| {
        let journal = journal(&course);
        for (before, after) in journal.iter().zip(&journal[1..]) {
            let opened = match &after.entry {
                Entry::Commit => {
                    commits.set(commits.get() + 1);
                    false
                }
                Entry::Generation { given_up: more } => {
                    given_up.set(given_up.get() + more.len());
                    true
                }
                Entry::Discard => {
                    discards.set(discards.get() + 1);
                    prop_assert_eq!((&after.kept, &after.last), (&before.kept, &before.last));
                    false
                }
            };
            prop_assert_eq!(after.generation.0, before.generation.0 + u64::from(opened));
            prop_assert_eq!((&after.group, &after.members), (&before.group, &before.members));
            prop_assert_eq!(after.retention, before.retention);
            let named = match after.retention {
                Retention::All => 64,
                Retention::Last(n) => n.get() as usize,
            };
            prop_assert!(after.kept.len() <= named);
            if let Some(last) = &after.last {
                // J3 and J4: it is committed once, whole, and nothing before it of its initiator is any more.
                let again = after.commit(last.snapshot, last.parts.clone(), after.author, 0);
                prop_assert_eq!(again, Err(Refusal::AlreadyCommitted));
            }
        }
        Ok(())
    });
    let seen = (commits.get(), given_up.get(), discards.get());
    assert!(seen.0 > 0 && seen.1 > 0 && seen.2 > 0, "these courses try too little: {seen:?}");
}

#[test]
fn nothing_is_committed_that_could_not_be_read_again() {
    let numbers = || prop_oneof![numbers(), (LIMIT - 2..LIMIT + 2)];
    let members = [NodeId(1), NodeId(2)];
    let record = {
        let topology = Graph::mesh(members).at(members[0]).expect("a mesh is a topology");
        Record::first(&topology, Retention::default(), 1)
    };
    let parts = prop::collection::btree_map(
        prop::sample::select(vec![NodeId(0), NodeId(1), NodeId(2), NodeId(3)]),
        (numbers(), numbers(), any::<u32>()).prop_map(|(turn, size, checksum)| PartRef {
            turn: Turn(turn),
            size,
            checksum,
        }),
        0..4,
    );
    let ids = (1..3_u64, numbers(), 0..4_u64).prop_map(|(generation, sequence, initiator)| SnapshotId {
        generation: crate::vocabulary::id::Generation(generation),
        sequence,
        initiator: NodeId(initiator),
    });
    holds((ids, parts), |(snapshot, parts): (_, BTreeMap<_, _>)| {
        if let Ok(next) = record.commit(snapshot, parts, NodeId(1), 9) {
            prop_assert_eq!(Record::decode(next.index, &next.encode()), Ok(next));
        }
        Ok(())
    });
}
