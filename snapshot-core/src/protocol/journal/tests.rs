mod contradictions;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::*;
use crate::format::envelope;
use crate::format::envelope::{RecordError, decode_seat, encode_seat};
use crate::vocabulary::id::Turn;
use crate::vocabulary::key::Key;
use crate::vocabulary::topology::Graph;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn topology() -> Topology {
    Graph::mesh([A, B]).named("ledger").at(A).unwrap()
}

fn first(retention: Retention) -> Record {
    Record::first(&topology(), retention, 7)
}

fn id(generation: u64, sequence: u64, initiator: NodeId) -> SnapshotId {
    SnapshotId { generation: Generation(generation), sequence, initiator }
}

/// Parts of A and B whose states end with these turns.
fn parts(a: u64, b: u64) -> BTreeMap<NodeId, PartRef> {
    let part =
        |turn| PartRef { turn: Turn(turn), size: 1000 + turn % 100, checksum: 0xdead_0000 | turn as u32 };
    BTreeMap::from([(A, part(a)), (B, part(b))])
}

fn commit(record: &Record, snapshot: SnapshotId, turn: u64) -> Record {
    record.commit(snapshot, parts(turn, turn), snapshot.initiator, turn).unwrap()
}

fn listed(snapshot: SnapshotId) -> [Key; 2] {
    [A, B].map(|node| Key::Part { snapshot, node })
}

/// A journal with two generations, commits of both nodes, and a fall back: one record of every kind.
fn journal() -> Vec<Record> {
    let mut journal = vec![first(Retention::last(2))];
    let mut add = |make: &dyn Fn(&Record) -> Record| {
        let next = make(journal.last().unwrap());
        journal.push(next);
    };
    add(&|last| commit(last, id(1, 1, A), 5));
    add(&|last| commit(last, id(1, 2, B), 6));
    add(&|last| last.open(B, 9));
    add(&|last| commit(last, id(2, 3, A), 8));
    add(&|last| {
        let start = CommittedSnapshot { snapshot: id(1, 2, B), index: 3, parts: parts(6, 6) };
        last.open_from(Start::Snapshot(start), A, 10)
    });
    add(&|last| last.open_from(Start::Initial, A, 11));
    journal
}

#[test]
fn j1_each_record_has_the_index_after_the_one_it_was_decided_on_and_sums_it_up() {
    let indices: Vec<u64> = journal().iter().map(|record| record.index).collect();
    assert_eq!(indices, [1, 2, 3, 4, 5, 6, 7]);
    let [.., second, _, _, _, _] = &journal()[..] else { panic!() };
    assert_eq!(second.sequences, BTreeMap::from([(A, 1), (B, 2)]));
    assert_eq!(second.kept, [(2, id(1, 1, A)), (3, id(1, 2, B))]);
}

#[test]
fn j1_a_record_names_its_author_and_the_nonce_by_which_it_is_known() {
    let first = first(Retention::default());
    assert_eq!(first.nonce, 7);
    let committed = first.commit(id(1, 1, A), parts(1, 1), B, 8).unwrap();
    let opened = committed.open(A, 9);
    assert_eq!([&committed, &opened].map(|record| (record.author, record.nonce)), [(B, 8), (A, 9)]);
}

#[test]
fn j2_the_next_generation_begins_at_the_last_commit_else_at_this_ones_own_start() {
    let one = first(Retention::default());
    let two = one.open(B, 8);
    assert_eq!((two.generation, &two.start, two.author), (Generation(2), &Start::Initial, B));
    assert_eq!(two.start_sequence(), 0);

    let committed = commit(&two, id(2, 4, A), 5);
    let three = committed.open(A, 9);
    assert_eq!(three.start, Start::Snapshot(committed.last.clone().unwrap()));
    assert_eq!(three.start_sequence(), 4);
    assert_eq!((&three.last, three.sequences.len()), (&None, 0), "sequences count within a generation");
    assert_eq!(three.open(A, 10).start, three.start);
}

#[test]
fn j3_only_a_snapshot_of_the_newest_generation_is_committed() {
    let two = first(Retention::default()).open(A, 8);
    for generation in [1, 3] {
        let refused = two.commit(id(generation, 1, A), parts(1, 1), A, 9);
        assert_eq!(refused, Err(Refusal::OtherGeneration));
    }
}

#[test]
fn j3_no_snapshot_is_committed_twice() {
    let record = commit(&first(Retention::default()), id(1, 1, A), 5);
    assert_eq!(record.commit(id(1, 1, A), parts(5, 5), A, 9), Err(Refusal::AlreadyCommitted));
    let later = commit(&record, id(1, 2, A), 6);
    assert_eq!(later.commit(id(1, 1, A), parts(7, 7), A, 9), Err(Refusal::AlreadyCommitted));
    // Not even when retention has let it go.
    let record = commit(&commit(&first(Retention::last(1)), id(1, 1, A), 5), id(1, 1, B), 6);
    assert_eq!(record.kept, [(3, id(1, 1, B))]);
    assert_eq!(record.commit(id(1, 1, A), parts(7, 7), A, 9), Err(Refusal::Settled));
}

#[test]
fn j6_what_is_discarded_is_never_committed_and_what_is_not_is_as_before() {
    let record = commit(&first(Retention::default()), id(1, 3, A), 5);
    let discarded = record.discard(&BTreeMap::from([(A, 2), (B, 4)]), B, 9);
    assert_eq!((discarded.index, discarded.author, &discarded.entry), (3, B, &Entry::Discard));
    assert_eq!(discarded.sequences, [(A, 3), (B, 4)].into(), "nothing that is settled is unsettled");
    assert_eq!(
        (&discarded.last, &discarded.kept, &discarded.start),
        (&record.last, &record.kept, &record.start)
    );
    for sequence in 1..=4 {
        assert_eq!(discarded.commit(id(1, sequence, B), parts(6, 6), B, 9), Err(Refusal::Settled));
    }
    for next in [id(1, 5, B), id(1, 4, A)] {
        let committed = discarded.commit(next, parts(6, 6), B, 9).expect("nobody has discarded it");
        assert_eq!(Record::decode(4, &committed.encode()), Ok(committed));
    }
    assert_eq!(Record::decode(3, &discarded.encode()).as_ref(), Ok(&discarded));
    // Only of its own generation.
    let next = discarded.open(A, 10);
    assert!(next.sequences.is_empty() && next.commit(id(2, 4, B), parts(6, 6), B, 9).is_ok());
    // Before any commit, too.
    let early = first(Retention::All).discard(&BTreeMap::from([(B, 1)]), A, 9);
    assert_eq!(Record::decode(2, &early.encode()), Ok(early));
}

#[test]
fn j6_parts_of_what_is_discarded_go_and_those_of_what_is_kept_stay() {
    let record = commit(&first(Retention::last(1)), id(1, 3, A), 5);
    let listed = [(1, 3, A), (1, 4, A), (1, 2, B), (1, 3, B)].map(|(generation, sequence, initiator)| {
        Key::Part { snapshot: id(generation, sequence, initiator), node: A }
    });
    assert_eq!(record.doomed(&listed), []);
    assert_eq!(record.discard(&BTreeMap::from([(B, 2)]), B, 9).doomed(&listed), [listed[2]]);
    let all = record.discard(&BTreeMap::from([(A, 9), (B, 9)]), B, 9);
    assert_eq!(all.doomed(&listed), [listed[2], listed[3], listed[1]]);
}

#[test]
fn j3_no_snapshot_is_committed_after_a_later_one_of_its_initiator_but_after_one_of_another() {
    let record = commit(&first(Retention::default()), id(1, 5, A), 5);
    assert_eq!(record.commit(id(1, 4, A), parts(6, 6), A, 9), Err(Refusal::Settled));
    assert!(record.commit(id(1, 4, B), parts(6, 6), B, 9).is_ok());
}

#[test]
fn j4_a_commit_has_just_one_part_of_each_member() {
    let record = first(Retention::default());
    let without_b = BTreeMap::from([(A, parts(1, 1)[&A])]);
    let mut with_a_stranger = parts(1, 1);
    with_a_stranger.insert(NodeId(3), parts(1, 1)[&A]);
    for parts in [BTreeMap::new(), without_b, with_a_stranger] {
        assert_eq!(record.commit(id(1, 1, A), parts, A, 9), Err(Refusal::NotWhole));
    }
}

#[test]
fn nothing_is_committed_that_could_not_be_read_again() {
    let record = first(Retention::default());
    assert_eq!(record.commit(id(1, 1, NodeId(3)), parts(1, 1), A, 9), Err(Refusal::NotWhole));
    assert_eq!(record.commit(id(1, LIMIT, A), parts(1, 1), A, 9), Err(Refusal::NotWhole));
    assert_eq!(record.commit(id(1, 1, A), parts(1, LIMIT), A, 9), Err(Refusal::NotWhole));
    let mut endless = parts(1, 1);
    endless.entry(B).and_modify(|part| part.size = LIMIT);
    assert_eq!(record.commit(id(1, 1, A), endless, A, 9), Err(Refusal::NotWhole));
    let largest = record.commit(id(1, LIMIT - 1, A), parts(1, LIMIT - 1), A, 9).unwrap();
    assert_eq!(Record::decode(2, &largest.encode()), Ok(largest));
}

#[test]
fn j5_a_commit_that_is_behind_the_last_one_on_some_node_is_superseded() {
    let record = commit(&first(Retention::default()), id(1, 1, A), 5);
    assert_eq!(record.commit(id(1, 1, B), parts(4, 9), B, 9), Err(Refusal::Superseded));
    assert_eq!(record.commit(id(1, 1, B), parts(9, 4), B, 9), Err(Refusal::Superseded));
    assert!(record.commit(id(1, 1, B), parts(5, 5), B, 9).is_ok(), "as far as the last one is far enough");
    // Turns of a generation that is over are no measure: the next one went back behind them.
    let next = record.open_from(Start::Initial, A, 9);
    assert!(next.commit(id(2, 1, B), parts(4, 4), B, 9).is_ok());
}

#[test]
fn falling_back_gives_up_the_commits_behind_the_start_and_no_others() {
    let journal = journal();
    let back = &journal[5];
    assert_eq!(back.entry, Entry::Generation { given_up: vec![id(2, 3, A)] });
    assert_eq!(back.kept, [(3, id(1, 2, B))]);
    assert_eq!(back.start_sequence(), 2);
    let to_initial = &journal[6];
    assert_eq!(to_initial.entry, Entry::Generation { given_up: vec![id(1, 2, B)] });
    assert!(to_initial.kept.is_empty());
    assert_eq!(journal[3].entry, Entry::Generation { given_up: vec![] }, "an ordinary one gives up nothing");
}

#[test]
fn a_set_is_whole_with_a_part_of_every_member_of_this_generation_and_not_settled() {
    let record = commit(&first(Retention::default()).open(A, 8), id(2, 5, A), 5);
    let candidates =
        [id(2, 7, B), id(2, 6, A), id(2, 5, A), id(2, 4, A), id(1, 9, B), id(3, 9, B), id(2, 9, NodeId(3))];
    let mut keys: Vec<Key> = candidates.into_iter().flat_map(listed).collect();
    keys.push(Key::Part { snapshot: id(2, 8, B), node: A });
    keys.push(Key::Part { snapshot: id(2, 8, B), node: NodeId(3) });
    assert_eq!(record.whole(&keys), [id(2, 6, A), id(2, 7, B)]);
}

#[test]
fn retention_spares_the_last_commits_and_all_that_may_yet_be_committed() {
    let mut record = first(Retention::last(2));
    for sequence in 1..=3 {
        record = commit(&record, id(1, sequence, A), sequence);
    }
    let [dead, of_b, open] = [id(1, 0, A), id(1, 1, B), id(1, 4, A)];
    let all = [id(1, 1, A), id(1, 2, A), id(1, 3, A), dead, of_b, open, id(2, 1, A)];
    let keys: Vec<Key> = all.into_iter().flat_map(listed).collect();
    let doomed = |record: &Record| record.doomed(&keys);
    assert_eq!(doomed(&record), [listed(dead), listed(id(1, 1, A))].concat());

    // The generation is closed: what was not committed in it never will be. Its last commits are where the next one begins.
    let next = record.open(A, 9);
    assert_eq!(doomed(&next), [listed(dead), listed(id(1, 1, A)), listed(of_b), listed(open)].concat());
    let further = commit(&next, id(2, 1, A), 9);
    assert_eq!(doomed(&further), [doomed(&next), listed(id(1, 2, A)).to_vec()].concat().sorted());
}

trait Sorted {
    fn sorted(self) -> Self;
}

impl Sorted for Vec<Key> {
    fn sorted(mut self) -> Self {
        self.sort();
        self
    }
}

#[test]
fn retention_touches_nothing_but_parts_and_nothing_at_all_where_all_is_kept() {
    let others = [Key::Journal(1), Key::Initial(A), Key::Seat { generation: Generation(1), node: A }];
    let record = commit(&first(Retention::last(1)), id(1, 1, A), 1).open(A, 2);
    assert_eq!(record.doomed(&others), []);
    let mut all = first(Retention::All);
    for sequence in 1..=100 {
        all = commit(&all, id(1, sequence, A), sequence);
    }
    assert_eq!(all.kept.len(), crate::vocabulary::retention::REMEMBERED);
    let keys: Vec<Key> = (0..=101).flat_map(|sequence| listed(id(1, sequence, A))).collect();
    assert_eq!(all.open(A, 9).doomed(&keys), []);
}

#[test]
fn an_older_record_never_dooms_what_a_newer_one_spares() {
    let journal = journal();
    let ids = (1..=3).flat_map(|g| (0..=4).flat_map(move |s| [id(g, s, A), id(g, s, B)]));
    let keys: Vec<Key> = ids.flat_map(listed).collect();
    for (older, newer) in journal.iter().zip(&journal[1..]) {
        let newer = newer.doomed(&keys);
        assert!(older.doomed(&keys).iter().all(|key| newer.contains(key)), "index {}", older.index);
    }
}

#[test]
fn retention_has_bounds() {
    assert_eq!(Retention::last(0), Retention::last(1));
    assert_eq!(Retention::last(u32::MAX), Retention::last(Retention::MAX));
    let beyond = Retention::Last(NonZeroU32::MAX);
    assert_eq!(first(beyond).retention, Retention::last(Retention::MAX));
    let mut record = first(Retention::last(3));
    for sequence in 1..=5 {
        record = commit(&record, id(1, sequence, A), sequence);
    }
    assert_eq!(record.kept, [(4, id(1, 3, A)), (5, id(1, 4, A)), (6, id(1, 5, A))]);
}

#[test]
fn a_store_of_another_group_or_with_other_members_is_refused() {
    let record = first(Retention::default());
    assert_eq!(record.check(&topology()), Ok(()));
    let other = Graph::mesh([A, B]).named("stock").at(A).unwrap();
    let (stored, ours) = ("ledger".to_owned(), "stock".to_owned());
    assert_eq!(record.check(&other), Err(ForeignStore::OtherGroup { stored, ours }));
    let more = Graph::mesh([A, B, NodeId(3)]).named("ledger").at(A).unwrap();
    let error = record.check(&more).unwrap_err();
    assert!(error.to_string().contains("members n1 n2, and this one has n1 n2 n3"), "{error}");
}

#[test]
fn every_record_comes_back_from_its_bytes() {
    for record in journal() {
        assert_eq!(Record::decode(record.index, &record.encode()), Ok(record));
    }
    let all = first(Retention::All);
    assert_eq!(Record::decode(1, &all.encode()), Ok(all));
}

#[test]
fn a_record_is_found_out_when_any_byte_of_it_is_changed_missing_or_too_many() {
    for record in journal() {
        let bytes = record.encode();
        for at in 0..bytes.len() {
            assert!(Record::decode(record.index, &bytes[..at]).is_err(), "cut to {at}");
            for bit in 0..8 {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1 << bit;
                let error = Record::decode(record.index, &flipped).unwrap_err();
                assert!(!matches!(error, RecordError::NewerFormat { .. }), "damage is not taken for news");
            }
        }
        assert!(Record::decode(record.index, &[&bytes[..], &[0]].concat()).is_err());
        let other_index = Record::decode(record.index + 1, &bytes);
        assert!(matches!(other_index, Err(RecordError::Contents { .. })));
    }
}

#[test]
fn a_record_of_a_newer_release_is_told_from_a_damaged_one() {
    let newer =
        envelope::Kind { tag: b'J', version: 4 }.seal(|out| out.extend_from_slice(b"what is yet to come"));
    assert_eq!(Record::decode(1, &newer), Err(RecordError::NewerFormat { found: 4, known: 3 }));
}

#[test]
fn f5_a_generation_has_the_nonce_of_the_record_that_opened_it_for_a_name() {
    let named = |record: &Record| (record.generation.0, record.opened);
    let names: Vec<_> = journal().iter().map(named).collect();
    assert_eq!(
        names,
        [(1, Some(7)), (1, Some(7)), (1, Some(7)), (2, Some(9)), (2, Some(9)), (3, Some(10)), (4, Some(11))]
    );
    // One that was opened without a name keeps none, whoever goes on in it; the next has one.
    let unnamed = Record { opened: None, ..first(Retention::default()) };
    let committed = commit(&unnamed, id(1, 1, A), 5);
    assert_eq!([&committed, &committed.open(B, 9)].map(|record| record.opened), [None, Some(9)]);
}

#[test]
fn a_seat_comes_back_and_is_no_record() {
    for life in [0, 1, u64::MAX] {
        let bytes = encode_seat(life);
        assert_eq!(decode_seat(&bytes), Ok(life));
        assert!(Record::decode(1, &bytes).is_err());
        for at in 0..bytes.len() {
            assert!(decode_seat(&bytes[..at]).is_err());
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1;
            assert!(decode_seat(&flipped).is_err());
        }
    }
    assert!(decode_seat(&first(Retention::All).encode()).is_err());
}

#[test]
fn under_a_right_seal_too_there_is_nothing_behind_the_contents() {
    let more = |bytes: &[u8], tag| {
        let contents = &bytes[6..bytes.len() - 4];
        envelope::Kind { tag, version: 1 }.seal(|out| out.extend_from_slice(&[contents, &[0]].concat()))
    };
    for record in journal() {
        let decoded = Record::decode(record.index, &more(&record.encode(), b'J'));
        assert!(matches!(decoded, Err(RecordError::Contents { .. })), "{decoded:?}");
    }
    let decoded = decode_seat(&more(&encode_seat(7), b'S'));
    assert!(matches!(decoded, Err(RecordError::Contents { .. })), "{decoded:?}");
}

#[test]
fn random_contents_under_a_right_seal_cause_no_panic() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let real = journal().remove(5).encode();
    for round in 0..20_000 {
        // xorshift64
        let mut draw = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let mut contents = real[6..real.len() - 4].to_vec();
        for _ in 0..=draw() % 3 {
            let at = draw() as usize % contents.len();
            contents[at] = draw() as u8;
        }
        contents.truncate(contents.len() - (draw() % 2 * (draw() % 8)) as usize);
        let sealed = envelope::Kind { tag: b'J', version: 1 }.seal(|out| out.extend_from_slice(&contents));
        if let Ok(record) = Record::decode(6, &sealed) {
            // What is read can be gone on from.
            let next = record.open(record.author, round);
            assert_eq!(Record::decode(7, &next.encode()), Ok(next), "round {round}, contents {contents:?}");
        }
    }
}
