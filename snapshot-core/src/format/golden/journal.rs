//! Records of the journal, and seats.

use std::collections::BTreeMap;

use super::{check, flips, read, truncations};
use crate::format::envelope::RecordError;
use crate::format::envelope::{decode_seat, encode_seat};
use crate::format::record::{CommittedSnapshot, Entry, Record, Start};
use crate::vocabulary::id::{Generation, NodeId, SnapshotId, Turn};
use crate::vocabulary::part::PartRef;
use crate::vocabulary::retention::Retention;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(300);

fn id(generation: u64, sequence: u64, initiator: NodeId) -> SnapshotId {
    SnapshotId { generation: Generation(generation), sequence, initiator }
}

fn committed(index: u64, snapshot: SnapshotId) -> CommittedSnapshot {
    let a = PartRef { turn: Turn(40), size: 211, checksum: 0 };
    let b = PartRef { turn: Turn((1 << 62) - 1), size: 1 << 40, checksum: 0xdead_beef };
    CommittedSnapshot { snapshot, index, parts: BTreeMap::from([(A, a), (B, b)]) }
}

/// One record of each kind, by the name of its file: the values that version 2 must always mean, and version 3 with it. Those of
/// version 1 had no names of generations.
fn records() -> [(&'static str, Record); 5] {
    let first = Record {
        index: 1,
        nonce: 7,
        author: A,
        entry: Entry::Generation { given_up: vec![] },
        group: "ledger ö".to_owned(),
        members: vec![A, B],
        retention: Retention::last(2),
        generation: Generation(1),
        opened: Some(7),
        start: Start::Initial,
        last: None,
        sequences: BTreeMap::new(),
        kept: vec![],
    };
    let commit = Record {
        index: 4,
        nonce: u64::MAX,
        author: B,
        entry: Entry::Commit,
        last: Some(committed(4, id(1, 130, B))),
        sequences: BTreeMap::from([(A, 2), (B, 130)]),
        kept: vec![(3, id(1, 2, A)), (4, id(1, 130, B))],
        ..first.clone()
    };
    let generation = Record {
        index: 5,
        entry: Entry::Generation { given_up: vec![] },
        generation: Generation(2),
        opened: Some(u64::MAX),
        start: Start::Snapshot(committed(4, id(1, 130, B))),
        last: None,
        sequences: BTreeMap::new(),
        ..commit.clone()
    };
    let fall_back = Record {
        index: 7,
        entry: Entry::Generation { given_up: vec![id(1, 130, B), id(2, 131, A)] },
        generation: Generation(3),
        start: Start::Snapshot(committed(3, id(1, 2, A))),
        kept: vec![(3, id(1, 2, A))],
        ..generation.clone()
    };
    let keeps_all = Record { retention: Retention::All, ..first.clone() };
    [
        ("first", first),
        ("commit", commit),
        ("generation", generation),
        ("fall-back", fall_back),
        ("keeps-all", keeps_all),
    ]
}

/// The files of all versions, and what is in them.
fn files() -> Vec<(String, Record)> {
    let first =
        records().map(|(name, record)| (format!("record-1/{name}.bin"), Record { opened: None, ..record }));
    let second = records().into_iter().chain([unnamed()]);
    let second = second.map(|(name, record)| (format!("record-2/{name}.bin"), record));
    let third = todays().into_iter().map(|(name, record)| (format!("record-3/{name}.bin"), record));
    first.into_iter().chain(second).chain(third).collect()
}

/// A commit in a generation that was opened by a release that gave it no name.
fn unnamed() -> (&'static str, Record) {
    let [_, (_, commit), ..] = records();
    ("unnamed", Record { opened: None, ..commit })
}

/// What version 3 has beside: discards, behind a commit and before any.
fn todays() -> Vec<(&'static str, Record)> {
    let [(_, first), (_, commit), ..] = records();
    let sequences = BTreeMap::from([(A, 140), (B, 131)]);
    let discard = Record { index: 5, author: A, entry: Entry::Discard, sequences, ..commit };
    let sequences = BTreeMap::from([(B, 1)]);
    let early = Record { index: 2, nonce: 9, entry: Entry::Discard, sequences, ..first };
    let more = [unnamed(), ("discard", discard), ("discard-early", early)];
    records().into_iter().chain(more).collect()
}

/// Bytes as somebody seals them who knows how.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let contents = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..contents]);
    bytes[contents..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_record_of_version_1_is_read_as_what_it_was() {
    for (name, record) in records() {
        let record = Record { opened: None, ..record };
        assert_eq!(Record::decode(record.index, &read(&format!("record-1/{name}.bin"))), Ok(record));
    }
}

#[test]
fn a_record_of_version_2_is_read_as_what_it_was() {
    for (name, record) in records().into_iter().chain([unnamed()]) {
        assert_eq!(Record::decode(record.index, &read(&format!("record-2/{name}.bin"))), Ok(record));
    }
}

#[test]
fn a_record_of_version_3_is_read_as_what_it_was() {
    for (name, record) in todays() {
        assert_eq!(Record::decode(record.index, &read(&format!("record-3/{name}.bin"))), Ok(record));
    }
}

#[test]
fn a_record_of_version_2_discards_nothing() {
    let mut bytes = read("record-3/discard.bin");
    bytes[5] = 2;
    assert!(matches!(Record::decode(5, &sealed(bytes)), Err(RecordError::Contents { .. })));
}

#[test]
fn a_record_is_written_as_ever() {
    for (name, record) in todays() {
        let today = record.encode();
        check(&format!("record-{}/{name}.bin", today[5]), &today);
    }
}

#[test]
fn a_seat_of_version_1_is_read_as_what_it_was() {
    assert_eq!(decode_seat(&read("seat-1/small.bin")), Ok(5));
    assert_eq!(decode_seat(&read("seat-1/large.bin")), Ok(u64::MAX));
}

#[test]
fn a_seat_is_written_as_ever() {
    for (name, life) in [("small", 5), ("large", u64::MAX)] {
        let today = encode_seat(life);
        check(&format!("seat-{}/{name}.bin", today[5]), &today);
    }
}

#[test]
fn a_record_or_seat_with_a_flipped_bit_is_damaged_and_a_shorter_one_is_cut_short_or_damaged() {
    let records = files().into_iter().map(|(file, record)| (file, Some(record.index)));
    let seats = ["small", "large"].map(|name| (format!("seat-1/{name}.bin"), None));
    for (name, index) in records.chain(seats) {
        let bytes = read(&name);
        let refused = |bytes: &[u8]| match index {
            Some(index) => Record::decode(index, bytes).expect_err("a record"),
            None => decode_seat(bytes).expect_err("a seat"),
        };
        for cut in truncations(&bytes) {
            let expected = if cut.len() < 10 { RecordError::Truncated } else { RecordError::Corrupt };
            assert_eq!(refused(cut), expected, "{name} cut to {}", cut.len());
        }
        for (bit, flipped) in flips(&bytes) {
            assert_eq!(refused(&flipped), RecordError::Corrupt, "bit {bit} of {name}");
        }
    }
}

#[test]
fn a_record_with_a_flipped_bit_under_a_right_seal_is_refused_or_is_just_another_record() {
    for (name, record) in files() {
        let bytes = read(&name);
        let (mut refused, mut other) = (0, 0);
        for (bit, flipped) in flips(&bytes[..bytes.len() - 4]) {
            let flipped = sealed([&flipped[..], &[0; 4]].concat());
            match Record::decode(record.index, &flipped) {
                Ok(found) => {
                    // What it says may be the same in two versions.
                    assert!(found != record || bit / 8 == 5, "bit {bit} of {name}");
                    // Of an older version only what it says can be compared.
                    let again = found.encode();
                    assert!(
                        again[5] > flipped[5] || again == flipped,
                        "bit {bit} of {name}: one record has one form"
                    );
                    other += 1;
                }
                Err(error) => {
                    let expected = match bit / 8 {
                        0..=3 => matches!(error, RecordError::Corrupt),
                        5 if flipped[5] > 3 => {
                            error == RecordError::NewerFormat { found: flipped[5], known: 3 }
                        }
                        _ => matches!(error, RecordError::Contents { .. }),
                    };
                    assert!(expected, "bit {bit} of {name}: {error}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 50 && other > 8, "{name}: {refused} refused, {other} another record");
    }
}

#[test]
fn a_seat_under_a_right_seal_is_refused_or_is_just_another_seat() {
    for name in ["small", "large"] {
        let bytes = read(&format!("seat-1/{name}.bin"));
        for (bit, flipped) in flips(&bytes[..bytes.len() - 4]) {
            let flipped = sealed([&flipped[..], &[0; 4]].concat());
            if let Ok(life) = decode_seat(&flipped) {
                assert_eq!(encode_seat(life), flipped, "bit {bit} of {name}");
            }
        }
    }
}
