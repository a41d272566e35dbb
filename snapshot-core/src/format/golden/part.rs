//! Parts and initial states.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{check, flips, read, truncations};
use crate::contract::codec::RawBytes;
use crate::format::part::PartError;
use crate::format::part::tests::Blob;
use crate::format::part::{Expected, PartLabel, read_part, verify_part, write_part};
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

/// What a file holds: the values that version 1 must always mean.
struct Golden {
    name: &'static str,
    key: Key,
    turn: Turn,
    state: Vec<u8>,
    channels: BTreeMap<NodeId, Vec<Bytes>>,
}

impl Golden {
    fn write(&self) -> (Vec<u8>, PartRef) {
        self.write_as(self.turn, &self.state, &self.channels)
    }

    fn write_as(
        &self,
        turn: Turn,
        state: &Vec<u8>,
        channels: &BTreeMap<NodeId, Vec<Bytes>>,
    ) -> (Vec<u8>, PartRef) {
        let mut bytes = Vec::new();
        let label =
            PartLabel { group: "ledger ö".to_owned(), members: MEMBERS.to_vec(), key: self.key, turn };
        let part = write_part::<Blob, Bytes>(&label, state, channels, Some(&RawBytes), &mut bytes).unwrap();
        (bytes, part)
    }

    fn file(&self) -> String {
        format!("part-1/{}.bin", self.name)
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
    let key = Key::Part { snapshot: SNAPSHOT, node: A };
    Golden { name: "small", key, turn: Turn(300), state: b"a balance of 15".to_vec(), channels }
}

/// Of several chunks: the state is cut, and so is a message.
fn large() -> Golden {
    let messages = vec![Bytes::from_static(b"x"), Bytes::from(pattern(70 << 10))];
    let (key, channels) = (Key::Part { snapshot: SNAPSHOT, node: C }, BTreeMap::from([(A, messages)]));
    Golden { name: "large", key, turn: Turn(300), state: pattern(65 << 10), channels }
}

fn initial() -> Golden {
    let channels = BTreeMap::new();
    Golden {
        name: "initial",
        key: Key::Initial(B),
        turn: Turn(0),
        state: b"a balance of 9".to_vec(),
        channels,
    }
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

#[test]
fn a_part_of_version_1_is_read_as_what_it_was() {
    for golden in [small(), large(), initial()] {
        let bytes = read(&golden.file());
        let (_, part) = golden.write();
        let found = golden.read(&bytes, Some(&part)).unwrap();
        let Golden { turn, state, channels, .. } = golden;
        assert!(found == StoredPart { turn, state, channels }, "{}", golden.name);
        assert_eq!(verify_part(&expected(golden.key, Some(&part)), &mut &bytes[..]), Ok(part));
    }
}

#[test]
fn a_copy_of_a_part_is_evidence_without_a_change() {
    let key = Key::Evidence { snapshot: SNAPSHOT, node: A };
    let found =
        read_part::<Blob, _>(&expected(key, None), Some(&RawBytes), &mut &read(&small().file())[..]).unwrap();
    assert_eq!(found.state, small().state);
}

#[test]
fn a_part_is_written_as_ever() {
    for golden in [small(), large(), initial()] {
        let (today, _) = golden.write();
        check(&format!("part-{}/{}.bin", today[5], golden.name), &today);
    }
}

#[test]
fn a_part_that_is_cut_short_says_so_and_one_with_a_flipped_bit_is_damaged() {
    for golden in [small(), initial()] {
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
    let (golden, bytes) = (large(), read(&large().file()));
    let bounds = bounds(&bytes);
    assert!(bounds.len() > 7, "header, state twice, channel, messages twice, end");
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
                Ok(StoredPart { turn, state, channels }) => {
                    let (again, _) = golden.write_as(turn, &state, &channels);
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
