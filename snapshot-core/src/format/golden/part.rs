//! Parts and initial states.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{check, flips, read, truncations};
use crate::contract::codec::RawBytes;
use crate::format::part::PartError;
use crate::format::part::tests::Blob;
use crate::format::part::{Contents, Expected, PartLabel, read_part, verify_part, write_part};
use crate::vocabulary::id::{Generation, NodeId, SnapshotId, Turn};
use crate::vocabulary::key::Key;
use crate::vocabulary::part::{PartRef, StoredPart};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(300);
const MEMBERS: [NodeId; 3] = [A, B, C];
const SNAPSHOT: SnapshotId = SnapshotId { generation: Generation(2), sequence: 9, initiator: C };

/// Kind, length and checksum of a chunk.
const FRAME: usize = 9;

/// The newest version.
const LATEST: u8 = 2;

type Channels = BTreeMap<NodeId, Vec<Bytes>>;

/// What a file holds: the values that its version must always mean.
#[derive(Clone)]
struct Golden {
    version: u8,
    name: &'static str,
    key: Key,
    turn: Turn,
    state: Vec<u8>,
    channels: Channels,
    outgoing: Channels,
}

impl Golden {
    /// As version 1 has it: without what had not left its node.
    fn first(self) -> Self {
        Self { version: 1, outgoing: BTreeMap::new(), ..self }
    }

    fn stored(self) -> StoredPart<Vec<u8>, Bytes> {
        let Self { turn, state, channels, outgoing, .. } = self;
        StoredPart { turn, state, channels, outgoing }
    }

    fn write(&self) -> (Vec<u8>, PartRef) {
        self.write_as(&self.clone().stored())
    }

    fn write_as(&self, part: &StoredPart<Vec<u8>, Bytes>) -> (Vec<u8>, PartRef) {
        let mut bytes = Vec::new();
        let StoredPart { turn, state, channels, outgoing } = part;
        let (group, members) = ("ledger ö".to_owned(), MEMBERS.to_vec());
        let label = PartLabel { group, members, key: self.key, turn: *turn };
        let contents = Contents { state, channels, outgoing };
        let part = write_part::<Blob, Bytes>(&label, &contents, Some(&RawBytes), &mut bytes).unwrap();
        (bytes, part)
    }

    fn file(&self) -> String {
        format!("part-{}/{}.bin", self.version, self.name)
    }

    /// How a commit record describes these bytes: the last chunk has the checksum of the whole.
    fn described(&self, bytes: &[u8]) -> PartRef {
        let (_, end) = bytes.split_at(bytes.len() - FRAME - size_of::<u64>());
        let checksum = u32::from_le_bytes(end[5..FRAME].try_into().unwrap());
        PartRef { turn: self.turn, size: bytes.len() as u64, checksum }
    }

    fn read(&self, bytes: &[u8], part: Option<&PartRef>) -> Result<StoredPart<Vec<u8>, Bytes>, PartError> {
        read_part::<Blob, _>(&expected(self.key, part), Some(&RawBytes), &mut &bytes[..])
    }

    /// Both ways to read refuse it, and agree why.
    fn refused(&self, bytes: &[u8]) -> PartError {
        let error = self.read(bytes, None).expect_err("read");
        assert_eq!(verify_part(&expected(self.key, None), &mut &bytes[..]), Err(error.clone()));
        error
    }
}

fn expected(key: Key, part: Option<&PartRef>) -> Expected<'_> {
    Expected { group: "ledger ö", members: &MEMBERS, key, part }
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at >> 8) as u8).collect()
}

fn small() -> Golden {
    let channels = BTreeMap::from([(B, vec![Bytes::from_static(b"five"), Bytes::new()]), (C, vec![])]);
    let outgoing = BTreeMap::from([
        (B, vec![Bytes::new()]),
        (C, vec![Bytes::from_static(b"six"), Bytes::from_static(b"seven")]),
    ]);
    Golden {
        version: LATEST,
        name: "small",
        key: Key::Part { snapshot: SNAPSHOT, node: A },
        turn: Turn(300),
        state: b"a balance of 15".to_vec(),
        channels,
        outgoing,
    }
}

/// Of several chunks: the state is cut, and so are messages.
fn large() -> Golden {
    let messages = |size| vec![Bytes::from_static(b"x"), Bytes::from(pattern(size))];
    Golden {
        version: LATEST,
        name: "large",
        key: Key::Part { snapshot: SNAPSHOT, node: C },
        turn: Turn(300),
        state: pattern(65 << 10),
        channels: BTreeMap::from([(A, messages(70 << 10))]),
        outgoing: BTreeMap::from([(B, messages(66 << 10))]),
    }
}

fn initial() -> Golden {
    Golden {
        version: LATEST,
        name: "initial",
        key: Key::Initial(B),
        turn: Turn(0),
        state: b"a balance of 9".to_vec(),
        channels: BTreeMap::new(),
        outgoing: BTreeMap::new(),
    }
}

/// The small ones, in all versions.
fn small_ones() -> [Golden; 4] {
    [small().first(), initial().first(), small(), initial()]
}

/// Where chunks begin, and where the last one ends.
fn bounds(bytes: &[u8]) -> Vec<usize> {
    let mut bounds = vec![6];
    while bounds[bounds.len() - 1] < bytes.len() {
        let at = bounds[bounds.len() - 1];
        let length = u32::from_le_bytes(bytes[at + 1..at + 5].try_into().unwrap()) as usize;
        bounds.push(at + FRAME + length);
    }
    bounds
}

/// The same bytes under checksums that are right.
fn sealed(mut bytes: Vec<u8>, bounds: &[usize]) -> Vec<u8> {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&bytes[..6]);
    for chunk in bounds.windows(2) {
        let checksum = chunk[0] + 5..chunk[0] + FRAME;
        hash.update(&bytes[chunk[0]..checksum.start]);
        hash.update(&bytes[checksum.end..chunk[1]]);
        bytes[checksum].copy_from_slice(&hash.clone().finalize().to_le_bytes());
    }
    bytes
}

fn is_read_as_what_it_was(golden: &Golden) {
    let bytes = read(&golden.file());
    let part = golden.described(&bytes);
    let found = golden.read(&bytes, Some(&part)).unwrap();
    assert_eq!(verify_part(&expected(golden.key, Some(&part)), &mut &bytes[..]), Ok(part));
    assert!(found == golden.clone().stored(), "{}", golden.file());
}

#[test]
fn a_part_of_version_1_is_read_as_what_it_was() {
    [small(), large(), initial()].map(Golden::first).iter().for_each(is_read_as_what_it_was);
}

#[test]
fn a_part_of_version_2_is_read_as_what_it_was() {
    [small(), large(), initial()].iter().for_each(is_read_as_what_it_was);
}

#[test]
fn a_copy_of_a_part_is_evidence_without_a_change() {
    let key = Key::Evidence { snapshot: SNAPSHOT, node: A };
    for golden in [small().first(), small()] {
        let bytes = read(&golden.file());
        let found = read_part::<Blob, _>(&expected(key, None), Some(&RawBytes), &mut &bytes[..]).unwrap();
        assert_eq!(found, golden.stored());
    }
}

#[test]
fn a_part_is_written_as_ever() {
    for golden in [small(), large(), initial()] {
        let (today, part) = golden.write();
        check(&format!("part-{}/{}.bin", today[5], golden.name), &today);
        assert_eq!(golden.described(&today), part);
    }
}

#[test]
fn a_part_that_is_cut_short_says_so_and_one_with_a_flipped_bit_is_damaged() {
    for golden in small_ones() {
        let bytes = read(&golden.file());
        for cut in truncations(&bytes) {
            assert_eq!(golden.refused(cut), PartError::Truncated { key: golden.key }, "cut to {}", cut.len());
        }
        for (bit, flipped) in flips(&bytes) {
            let error = golden.refused(&flipped);
            // A length that is too large ends beyond the end.
            let damaged = matches!(error, PartError::Corrupt { .. } | PartError::Truncated { .. });
            assert!(damaged && error.is_damage(), "bit {bit} of {}: {error}", golden.name);
        }
    }
}

#[test]
fn damage_at_the_bounds_of_chunks_is_found_in_a_large_part_too() {
    for golden in [large().first(), large()] {
        is_damage_at_the_bounds_found(&golden);
    }
}

fn is_damage_at_the_bounds_found(golden: &Golden) {
    let bytes = read(&golden.file());
    let bounds = bounds(&bytes);
    let pieces = match golden.version {
        1 => 7,
        _ => 10,
    };
    assert_eq!(
        bounds.len() - 1,
        pieces,
        "header, state twice, channel, messages twice, perhaps these three again, end"
    );
    for at in bounds.iter().flat_map(|bound| bound - 1..bound + FRAME + 1).filter(|at| *at < bytes.len()) {
        assert_eq!(golden.refused(&bytes[..at]), PartError::Truncated { key: golden.key }, "cut to {at}");
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(golden.refused(&flipped).is_damage(), "byte {at}");
    }
}

#[test]
fn a_flipped_bit_under_right_checksums_is_refused_or_makes_just_another_part() {
    for golden in [small(), initial()] {
        let bytes = read(&golden.file());
        let bounds = bounds(&bytes);
        let (mut refused, mut other) = (0, 0);
        for (bit, flipped) in flips(&bytes) {
            let in_contents = bounds.iter().all(|bound| !(bound + 1..bound + FRAME).contains(&(bit / 8)));
            if !in_contents {
                continue; // a length, which moves the checksums, or a checksum
            }
            let flipped = sealed(flipped, &bounds);
            match golden.read(&flipped, None) {
                Ok(part) => {
                    let (again, _) = golden.write_as(&part);
                    assert_eq!(again, flipped, "bit {bit} of {}: one part has one form", golden.name);
                    other += 1;
                }
                Err(error) => {
                    assert!(!matches!(error, PartError::Missing { .. } | PartError::Unreadable { .. }));
                    refused += 1;
                }
            }
        }
        assert!(refused > 100 && other > 100, "{}: {refused} refused, {other} another", golden.name);
    }
}
