//! Records under a right seal that say what cannot be: each contradicts one clause of the check, and that one refuses it.

use std::num::NonZeroU32;

use super::*;
use crate::format::envelope;
use crate::format::envelope::RecordError;
use crate::vocabulary::id::Turn;
use crate::vocabulary::malformed::Malformed;

const STRANGER: NodeId = NodeId(3);

/// Those of [`journal`] that are changed here, by their places in it.
const FIRST: usize = 0;
const OPENED: usize = 3;
const COMMITTED: usize = 4;
const FELL_BACK: usize = 5;

type Change = fn(&mut Record);

/// What refuses them, and records that it refuses: which one is changed, the change in words, the change.
type Clause = (&'static str, &'static [(usize, &'static str, Change)]);

fn last(record: &mut Record) -> &mut CommittedSnapshot {
    record.last.as_mut().unwrap()
}

fn start(record: &mut Record) -> &mut CommittedSnapshot {
    let Start::Snapshot(start) = &mut record.start else { panic!("an initial start") };
    start
}

#[test]
fn a_sealed_record_that_contradicts_itself_is_refused() {
    let clauses: &[Clause] = &[
        (
            "an index that cannot be",
            &[
                (COMMITTED, "index 0", |r| r.index = 0),
                (COMMITTED, "index over the limit", |r| r.index = LIMIT),
                (COMMITTED, "more generations than records", |r| r.generation = Generation(6)),
            ],
        ),
        (
            "members out of order",
            &[
                (COMMITTED, "no members", |r| r.members.clear()),
                (COMMITTED, "descending", |r| r.members.reverse()),
                (COMMITTED, "one twice", |r| r.members.push(B)),
            ],
        ),
        ("an author who is no member", &[(COMMITTED, "a stranger", |r| r.author = STRANGER)]),
        (
            "a first record that is not at the first index",
            &[
                (FIRST, "later", |r| r.index = 2),
                (FIRST, "a commit", |r| r.entry = Entry::Commit),
                (FIRST, "something kept", |r| r.kept.push((2, id(1, 1, A)))),
                (OPENED, "a first generation later", |r| {
                    (r.generation, r.kept) = (Generation::FIRST, Vec::new());
                }),
            ],
        ),
        (
            "a start that cannot be",
            &[
                (COMMITTED, "of this generation", |r| start(r).snapshot.generation = Generation(2)),
                (COMMITTED, "of a stranger", |r| start(r).snapshot.initiator = STRANGER),
                (COMMITTED, "of a sequence over the limit", |r| start(r).snapshot.sequence = LIMIT),
                (COMMITTED, "at the first index", |r| start(r).index = 1),
                (COMMITTED, "yet to come", |r| start(r).index = 6),
                (COMMITTED, "a part missing", |r| _ = start(r).parts.remove(&A)),
                (COMMITTED, "a stranger's part", |r| _ = start(r).parts.insert(STRANGER, parts(1, 1)[&A])),
                (COMMITTED, "a turn over the limit", |r| {
                    start(r).parts.get_mut(&B).unwrap().turn = Turn(LIMIT);
                }),
                (COMMITTED, "a size over the limit", |r| {
                    start(r).parts.get_mut(&B).unwrap().size = LIMIT;
                }),
            ],
        ),
        (
            "a last commit that cannot be",
            &[
                (COMMITTED, "of another generation", |r| last(r).snapshot.generation = Generation(1)),
                (COMMITTED, "of a sequence that is not settled", |r| last(r).snapshot.sequence = 99),
                (COMMITTED, "of an initiator without a sequence", |r| last(r).snapshot.initiator = B),
                (COMMITTED, "of a sequence over the limit", |r| {
                    last(r).snapshot.sequence = LIMIT;
                    r.sequences.insert(A, LIMIT);
                }),
                (COMMITTED, "a part missing", |r| _ = last(r).parts.remove(&A)),
                (COMMITTED, "a member without a part", |r| {
                    r.members.push(STRANGER);
                    start(r).parts.insert(STRANGER, parts(1, 1)[&A]);
                }),
            ],
        ),
        (
            "sequences that cannot be",
            &[
                (COMMITTED, "a stranger's", |r| _ = r.sequences.insert(STRANGER, 1)),
                (COMMITTED, "one over the limit", |r| _ = r.sequences.insert(B, LIMIT)),
            ],
        ),
        (
            "a commit in a generation that has just begun",
            &[
                (COMMITTED, "a commit", |r| r.entry = Entry::Generation { given_up: Vec::new() }),
                (OPENED, "something settled", |r| _ = r.sequences.insert(A, 1)),
            ],
        ),
        (
            "given up what cannot be",
            &[
                (FELL_BACK, "of this generation", |r| {
                    r.entry = Entry::Generation { given_up: vec![id(2, 3, A), id(3, 3, A)] };
                }),
                (FELL_BACK, "of a stranger", |r| {
                    r.entry = Entry::Generation { given_up: vec![id(2, 3, STRANGER)] };
                }),
            ],
        ),
        (
            "a commit that is not the last one",
            &[
                (COMMITTED, "an older one", |r| last(r).index = 4),
                (OPENED, "none", |r| r.entry = Entry::Commit),
                (COMMITTED, "none behind sequences", |r| r.last = None),
                (COMMITTED, "of a sequence behind another", |r| _ = r.sequences.insert(A, 9)),
            ],
        ),
        ("nothing is discarded", &[(OPENED, "nothing", |r| r.entry = Entry::Discard)]),
        ("a commit by a record that discards", &[(COMMITTED, "a commit", |r| r.entry = Entry::Discard)]),
        ("more commits than are kept", &[(COMMITTED, "one more", |r| r.kept.insert(0, (2, id(1, 1, A))))]),
        (
            "commits out of order",
            &[
                (COMMITTED, "descending", |r| r.kept.reverse()),
                (COMMITTED, "two at one index", |r| r.kept[0].0 = 5),
            ],
        ),
        (
            "a kept commit that cannot be",
            &[
                (COMMITTED, "at the first index", |r| r.kept[0].0 = 1),
                (COMMITTED, "yet to come", |r| r.kept[1].0 = 6),
                (COMMITTED, "of a stranger", |r| r.kept[0].1.initiator = STRANGER),
                (COMMITTED, "of a sequence over the limit", |r| r.kept[0].1.sequence = LIMIT),
                (COMMITTED, "of a generation to come", |r| r.kept[0].1.generation = Generation(3)),
                (COMMITTED, "one twice", |r| r.kept[0].1 = r.kept[1].1),
            ],
        ),
        (
            "the restart point is not kept",
            &[
                (COMMITTED, "not the last commit", |r| _ = r.kept.pop()),
                (OPENED, "not the start", |r| _ = r.kept.pop()),
            ],
        ),
        (
            "a retention over its bound",
            &[(COMMITTED, "one more", |r| {
                r.retention = Retention::Last(NonZeroU32::new(Retention::MAX + 1).unwrap());
            })],
        ),
    ];
    for (why, changes) in clauses {
        for (place, what, change) in *changes {
            let mut record = journal().remove(*place);
            change(&mut record);
            let refused = Record::decode(record.index, &record.encode());
            let error = Malformed::new(why);
            assert_eq!(refused, Err(RecordError::Contents { error }), "{why}: {what}");
        }
    }
}

#[test]
fn a_node_that_has_two_sequences_is_refused() {
    let mut record = journal().remove(COMMITTED);
    record.sequences.insert(B, 77);
    assert_eq!(Record::decode(record.index, &record.encode()), Ok(record.clone()));
    let bytes = record.encode();
    let mut contents = bytes[6..bytes.len() - 4].to_vec();
    let at =
        contents.windows(5).position(|five| five == [2, 1, 3, 2, 77]).expect("two nodes and their sequences");
    contents[at + 3] = 1;
    let sealed = envelope::Kind { tag: b'J', version: 1 }.seal(|out| out.extend_from_slice(&contents));
    let error = Malformed::new("nodes out of order");
    assert_eq!(Record::decode(record.index, &sealed), Err(RecordError::Contents { error }));
}
