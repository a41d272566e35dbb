mod streaming;
mod versions;

use std::io::{self, Read, Write};

use super::*;
use crate::contract::codec::RawBytes;
use crate::vocabulary::id::{Generation, SnapshotId};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const MEMBERS: [NodeId; 3] = [A, B, C];

/// A state that is its own encoding.
pub(crate) struct Blob;

impl StateProvider for Blob {
    type Captured = Vec<u8>;
    const VERSION: u32 = 3;

    fn capture(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn install(&mut self, _: Vec<u8>) {}

    fn encode(captured: &Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(captured)
    }

    fn decode(version: u32, input: &mut dyn Read) -> io::Result<Vec<u8>> {
        if version != Self::VERSION {
            return Err(UnknownVersion::of::<Self>(version).into());
        }
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn key() -> Key {
    let snapshot = SnapshotId { generation: Generation(2), sequence: 9, initiator: C };
    Key::Part { snapshot, node: A }
}

fn label() -> PartLabel {
    PartLabel { group: "ledger".to_owned(), members: MEMBERS.to_vec(), key: key(), turn: Turn(40) }
}

fn expected(part: Option<&PartRef>) -> Expected<'_> {
    Expected { group: "ledger", members: &MEMBERS, key: key(), part }
}

fn bytes_of(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(31) >> 3) as u8).collect()
}

fn channels() -> BTreeMap<NodeId, Vec<Bytes>> {
    BTreeMap::from([(B, vec![Bytes::from_static(b"five"), Bytes::new()]), (C, vec![])])
}

fn outgoing() -> BTreeMap<NodeId, Vec<Bytes>> {
    BTreeMap::from([(B, vec![Bytes::from_static(b"six")]), (C, vec![Bytes::new(), Bytes::from_static(b"7")])])
}

/// Some messages are in it that its node had sent.
fn write(state: &Vec<u8>, channels: &BTreeMap<NodeId, Vec<Bytes>>) -> (Vec<u8>, PartRef) {
    write_all(state, channels, &outgoing())
}

fn write_all(
    state: &Vec<u8>,
    channels: &BTreeMap<NodeId, Vec<Bytes>>,
    outgoing: &BTreeMap<NodeId, Vec<Bytes>>,
) -> (Vec<u8>, PartRef) {
    let mut out = Vec::new();
    let contents = Contents { state, channels, outgoing };
    let part = write_part::<Blob, _>(&label(), &contents, Some(&RawBytes), &mut out).unwrap();
    (out, part)
}

/// Without messages.
fn write_state<S: StateProvider>(
    label: &PartLabel,
    state: &S::Captured,
    out: &mut dyn Write,
) -> io::Result<PartRef> {
    let none = BTreeMap::new();
    let contents = Contents { state, channels: &none, outgoing: &none };
    write_part::<S, Bytes>(label, &contents, None, out)
}

fn read(mut bytes: &[u8], part: Option<&PartRef>) -> Result<StoredPart<Vec<u8>, Bytes>, PartError> {
    read_part::<Blob, _>(&expected(part), Some(&RawBytes), &mut bytes)
}

fn verify(mut bytes: &[u8], part: Option<&PartRef>) -> Result<PartRef, PartError> {
    verify_part(&expected(part), &mut bytes)
}

/// Both ways to read refuse it, and agree why.
fn refused(bytes: &[u8], part: Option<&PartRef>) -> PartError {
    let error = read(bytes, part).expect_err("read");
    assert_eq!(verify(bytes, part), Err(error.clone()));
    error
}

#[test]
fn state_and_channels_of_any_size_come_back() {
    const K: usize = 1 << 10;
    for size in [0, 1, 64 * K - 1, 64 * K, 64 * K + 1, 128 * K, 1024 * K] {
        let state = bytes_of(size);
        let messages = [0, 1, size, 127, 128].map(|size| Bytes::from(bytes_of(size)));
        let many = BTreeMap::from([(B, messages.to_vec()), (C, vec![Bytes::new(); 9])]);
        for (channels, outgoing) in [
            (BTreeMap::new(), BTreeMap::new()),
            (channels(), BTreeMap::new()),
            (BTreeMap::new(), outgoing()),
            (channels(), many.clone()),
            (many, outgoing()),
        ] {
            let (bytes, part) = write_all(&state, &channels, &outgoing);
            assert_eq!((part.turn, part.size), (Turn(40), bytes.len() as u64));
            assert_eq!(verify(&bytes, Some(&part)), Ok(part));
            let stored = read(&bytes, Some(&part)).unwrap();
            let written = StoredPart { turn: Turn(40), state: state.clone(), channels, outgoing };
            assert!(stored == written, "{size} bytes");
        }
    }
}

#[test]
fn an_initial_state_comes_back_without_a_codec() {
    let initial = PartLabel { key: Key::Initial(B), turn: Turn(0), ..label() };
    let mut bytes = Vec::new();
    write_state::<Blob>(&initial, &bytes_of(9), &mut bytes).unwrap();
    let expected = Expected { key: Key::Initial(B), ..expected(None) };
    let stored = read_part::<Blob, Bytes>(&expected, None, &mut &bytes[..]).unwrap();
    let (channels, outgoing) = (BTreeMap::new(), BTreeMap::new());
    assert_eq!(stored, StoredPart { turn: Turn(0), state: bytes_of(9), channels, outgoing });
}

#[test]
fn every_flipped_bit_is_found_with_and_without_a_commit_record() {
    let (bytes, part) = write(&bytes_of(70), &channels());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            for part in [None, Some(&part)] {
                assert!(refused(&flipped, part).is_damage(), "bit {bit} of byte {at}");
            }
        }
    }
}

#[test]
fn a_part_that_is_cut_short_at_any_place_is_found() {
    let (bytes, _) = write(&bytes_of(70), &channels());
    for len in 0..bytes.len() {
        assert_eq!(refused(&bytes[..len], None), PartError::Truncated { key: key() }, "cut to {len}");
    }
}

#[test]
fn bytes_after_the_end_are_found() {
    let (bytes, _) = write(&bytes_of(70), &channels());
    for more in [&[0][..], &bytes] {
        assert!(matches!(refused(&[&bytes, more].concat(), None), PartError::Corrupt { .. }));
    }
}

/// Where the chunks of a part begin, and where it ends.
fn bounds(bytes: &[u8]) -> Vec<usize> {
    let mut bounds = vec![6];
    while let Some(&at) = bounds.last().filter(|at| **at < bytes.len()) {
        let length = u32::from_le_bytes(bytes[at + 1..at + 5].try_into().unwrap());
        bounds.push(at + 9 + length as usize);
    }
    bounds
}

/// The same bytes under checksums that are right.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let bounds = bounds(&bytes);
    let mut hash = crc32fast::Hasher::new();
    hash.update(&bytes[..6]);
    for chunk in bounds.windows(2) {
        hash.update(&bytes[chunk[0]..chunk[0] + 5]);
        hash.update(&bytes[chunk[0] + 9..chunk[1]]);
        let checksum = hash.clone().finalize().to_le_bytes();
        bytes[chunk[0] + 5..chunk[0] + 9].copy_from_slice(&checksum);
    }
    bytes
}

#[test]
fn chunks_swapped_repeated_left_out_or_of_another_part_are_found() {
    let state = bytes_of(300 << 10);
    let (bytes, _) = write(&state, &channels());
    let (other, _) = write(&bytes_of((300 << 10) + 1), &channels());
    let bounds = bounds(&bytes);
    let chunk = |of: &[u8], n: usize| of[bounds[n]..bounds[n + 1]].to_vec();
    let count = bounds.len() - 1;
    assert!(count > 7, "several chunks of state");
    let chunks: Vec<Vec<u8>> = (0..count).map(|n| chunk(&bytes, n)).collect();
    let joined = |chunks: &[Vec<u8>]| [&bytes[..6], &chunks.concat()].concat();
    assert!(read(&joined(&chunks), None).is_ok());
    for n in 0..count - 1 {
        let mut swapped = chunks.clone();
        swapped.swap(n, n + 1);
        let mut repeated = chunks.clone();
        repeated.insert(n, chunks[n].clone());
        let mut shorter = chunks.clone();
        shorter.remove(n);
        for changed in [swapped, repeated, shorter] {
            assert!(matches!(refused(&joined(&changed), None), PartError::Corrupt { .. }), "chunk {n}");
        }
    }
    // From the same place in a part that differs only before it.
    let mut foreign = chunks;
    foreign[count - 1] = other[other.len() - 17..].to_vec();
    assert!(matches!(refused(&joined(&foreign), None), PartError::Corrupt { .. }));
}

#[test]
fn the_part_of_another_group_members_node_or_snapshot_is_refused() {
    let (bytes, part) = write(&bytes_of(9), &channels());
    let check = |expected: Expected<'_>| verify_part(&expected, &mut &bytes[..]).unwrap_err();
    let base = expected(None);

    let error = check(Expected { group: "stock", ..base });
    assert_eq!(
        error,
        PartError::OtherGroup { key: key(), stored: "ledger".to_owned(), ours: "stock".to_owned() }
    );
    let (stored, ours) = (MEMBERS.to_vec(), vec![A, B]);
    assert_eq!(
        check(Expected { members: &[A, B], ..base }),
        PartError::OtherMembers { key: key(), stored, ours }
    );
    let Key::Part { snapshot, node } = key() else { unreachable!() };
    let later = SnapshotId { sequence: 10, ..snapshot };
    for other in [Key::Part { snapshot, node: B }, Key::Part { snapshot: later, node }, Key::Initial(node)] {
        let misplaced = PartError::Misplaced { key: other, found: key() };
        assert_eq!(check(Expected { key: other, ..base }), misplaced);
    }
    for other in [
        PartRef { turn: Turn(41), ..part },
        PartRef { size: part.size + 1, ..part },
        PartRef { checksum: part.checksum ^ 1, ..part },
    ] {
        assert_eq!(refused(&bytes, Some(&other)), PartError::NotTheCommitted { key: key() });
    }
}

#[test]
fn a_part_of_a_newer_release_is_told_from_a_damaged_one() {
    // As a newer release would write it: another version, under checksums that are right.
    let (mut bytes, _) = write(&bytes_of(9), &channels());
    bytes[5] = 3;
    let error = refused(&sealed(bytes), None);
    assert_eq!(error, PartError::NewerFormat { key: key(), found: 3, known: 2 });
    assert!(!error.is_damage());
}

/// Fails, stops early, or does not notice that its input failed.
struct Odd<const HOW: u8>;

impl<const HOW: u8> StateProvider for Odd<HOW> {
    type Captured = Vec<u8>;
    const VERSION: u32 = 3;

    fn capture(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn install(&mut self, _: Vec<u8>) {}

    fn encode(captured: &Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
        let _ = out.write_all(captured);
        Ok(())
    }

    fn decode(version: u32, input: &mut dyn Read) -> io::Result<Vec<u8>> {
        match HOW {
            b'f' => Err(io::Error::other(format!("no idea of version {version}"))),
            b's' => input.read_exact(&mut [0; 3]).map(|()| Vec::new()),
            b'r' => {
                let mut bytes = Vec::new();
                if input.read_to_end(&mut bytes).is_err() {
                    let again = input.read(&mut [0; 100]);
                    assert!(again.is_err(), "an error that was overlooked is forgotten");
                }
                Ok(bytes)
            }
            _ => {
                let mut bytes = Vec::new();
                let _ = input.read_to_end(&mut bytes);
                assert!(bytes.iter().all(|byte| *byte == 7), "decode saw a damaged byte");
                Ok(bytes)
            }
        }
    }
}

fn read_odd<const HOW: u8>(bytes: &[u8]) -> Result<StoredPart<Vec<u8>, Bytes>, PartError> {
    read_part::<Odd<HOW>, _>(&expected(None), Some(&RawBytes), &mut &bytes[..])
}

#[test]
fn a_state_that_does_not_decode_or_is_read_only_in_part_is_found_out() {
    let (bytes, _) = write(&bytes_of(100_000), &channels());
    let state = |error: &str| Err(PartError::State { key: key(), version: 3, error: error.to_owned() });
    assert_eq!(read_odd::<b'f'>(&bytes), state("no idea of version 3"));
    assert_eq!(read_odd::<b's'>(&bytes), state("`decode` left 99997 bytes unread"));

    // If the rest is damaged, that is what must be known: a copy, or an older snapshot, would help.
    let mut damaged = bytes;
    let near_the_end = damaged.len() - 20;
    damaged[near_the_end] ^= 1;
    assert!(read_odd::<b'f'>(&damaged).unwrap_err().is_damage());
}

#[test]
fn a_damaged_byte_never_reaches_decode_even_if_it_overlooks_errors() {
    let state = vec![7; 300 << 10];
    let (bytes, _) = write(&state, &BTreeMap::new());
    assert_eq!(read_odd::<b'o'>(&bytes).unwrap().state, state);
    for at in (0..bytes.len()).step_by(4099) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(read_odd::<b'o'>(&damaged).unwrap_err().is_damage(), "byte {at}");
    }
}

#[test]
fn a_read_that_has_failed_fails_for_ever() {
    /// Fails once, at its second half.
    struct FailsOnce<'a>(&'a [u8], &'a [u8], bool);
    impl Read for FailsOnce<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 if self.2 => self.1.read(into),
                0 => {
                    self.2 = true;
                    Err(io::Error::other("the network was down"))
                }
                count => Ok(count),
            }
        }
    }
    let (bytes, _) = write(&vec![7; 300 << 10], &BTreeMap::new());
    let chunks = bounds(&bytes);
    for at in &chunks[2..chunks.len() - 2] {
        let mut input = FailsOnce(&bytes[..*at], &bytes[*at..], false);
        let read = read_part::<Odd<b'r'>, Bytes>(&expected(None), Some(&RawBytes), &mut input);
        assert!(matches!(read, Err(PartError::Unreadable { .. })), "{read:?}");
    }
    // Behind the state something that may not come there, whole and under its right checksum.
    let mut misplaced = Vec::new();
    let mut out = ChunkWriter::open(&mut misplaced).unwrap();
    out.write_all(&header::encode(&label(), 3).unwrap()).unwrap();
    for (kind, content) in [(Kind::State, b"a state"), (Kind::Messages, b"nothing")] {
        out.begin(kind).unwrap();
        out.write_all(content).unwrap();
    }
    out.finish().unwrap();
    assert!(read_odd::<b'r'>(&misplaced).unwrap_err().is_damage());
}

#[test]
fn a_message_that_does_not_decode_names_its_sender() {
    struct Even;
    impl MessageCodec<u8> for Even {
        fn encode(&self, message: &u8, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(&[*message])
        }
        fn decode(&self, bytes: Bytes) -> io::Result<u8> {
            match bytes[..] {
                [byte] if byte % 2 == 0 => Ok(byte),
                _ => Err(io::Error::other("odd")),
            }
        }
    }
    let mut bytes = Vec::new();
    let channels = BTreeMap::from([(B, vec![2]), (C, vec![4, 5])]);
    let none = BTreeMap::new();
    let contents = Contents { state: &vec![], channels: &channels, outgoing: &none };
    write_part::<Blob, u8>(&label(), &contents, Some(&Even), &mut bytes).unwrap();
    let read = |bytes: &[u8], codec| read_part::<Blob, u8>(&expected(None), codec, &mut &bytes[..]);
    let odd_from = |sender| Err(PartError::Message { key: key(), sender, error: "odd".to_owned() });
    assert_eq!(read(&bytes, Some(&Even)), odd_from(C));
    assert!(matches!(read(&bytes, None), Err(PartError::Message { sender: B, .. })));
    let without = write_part::<Blob, u8>(&label(), &contents, None, &mut Vec::new());
    assert_eq!(without.unwrap_err().kind(), io::ErrorKind::InvalidInput);

    // What a node had sent is its own, whoever it is for.
    let (mut bytes, none) = (Vec::new(), BTreeMap::new());
    let contents = Contents { state: &vec![], channels: &none, outgoing: &channels };
    write_part::<Blob, u8>(&label(), &contents, Some(&Even), &mut bytes).unwrap();
    assert_eq!(read(&bytes, Some(&Even)), odd_from(A));
    let without = write_part::<Blob, u8>(&label(), &contents, None, &mut Vec::new());
    assert_eq!(without.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

/// Kinds, the node and the count that stand at the head, and the bytes of the messages.
type Forged<'a> = (Side, NodeId, u64, &'a [u8]);

fn forge(channels: &[Forged<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = ChunkWriter::open(&mut bytes).unwrap();
    out.write_all(&header::encode(&label(), 3).unwrap()).unwrap();
    for (side, other, count, messages) in channels {
        out.begin(side.about).unwrap();
        out.write_all(&written(|out| {
            put_node(out, *other);
            put_uint(out, *count);
        }))
        .unwrap();
        out.begin(side.messages).unwrap();
        out.write_all(messages).unwrap();
    }
    out.finish().unwrap();
    bytes
}

#[test]
fn channels_of_strangers_or_with_promises_that_are_not_kept_are_refused() {
    for side in [Side::RECORDED, Side::QUEUED] {
        refuses_what_cannot_be_on(side);
    }
    let nothing = |side| read(&forge(&[(side, B, 0, b"")]), None);
    assert_eq!(nothing(Side::RECORDED).unwrap().channels, BTreeMap::from([(B, vec![])]));
    assert!(matches!(nothing(Side::QUEUED), Err(PartError::Corrupt { .. })), "named for nothing");
}

fn refuses_what_cannot_be_on(side: Side) {
    let channels = |part: StoredPart<Vec<u8>, Bytes>| match side.about {
        Kind::Channel => part.channels,
        _ => part.outgoing,
    };
    let write = |other, count, messages| forge(&[(side, other, count, messages)]);
    assert_eq!(channels(read(&write(B, 1, b"\x02hi"), None).unwrap())[&B], ["hi"]);
    let refused: [(NodeId, u64, &[u8]); 8] = [
        (A, 1, b"\x02hi"),
        (NodeId(4), 1, b"\x02hi"),
        (B, 0, b"\x02hi"),
        (B, 2, b"\x02hi"),
        (B, u64::MAX, b"\x02hi"),
        (B, 1, b"\x03hi"),
        (B, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01hi"),
        (B, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    ];
    for (other, count, messages) in refused {
        let error = read(&write(other, count, messages), None).unwrap_err();
        assert!(matches!(error, PartError::Corrupt { .. }), "{other} {count} {messages:?}: {error}");
    }
    let two =
        |first, second| read(&forge(&[(side, first, 1, b"\x02hi"), (side, second, 1, b"\x02hi")]), None);
    assert_eq!(channels(two(B, C).unwrap()).len(), 2);
    assert!(matches!(two(B, B), Err(PartError::Corrupt { .. })), "a channel twice");
    assert!(matches!(two(C, B), Err(PartError::Corrupt { .. })), "channels out of order");
}

#[test]
fn what_is_out_of_place_is_refused_by_all_who_read() {
    let (recorded, queued) = ((Side::RECORDED, B, 1, &b"\x02hi"[..]), (Side::QUEUED, C, 1, &b"\x02ho"[..]));
    let part = read(&forge(&[recorded, queued]), None).unwrap();
    assert_eq!((part.channels.len(), part.outgoing.len()), (1, 1));
    let mixed = Side { about: Kind::Channel, messages: Kind::Queued };
    let mixed_too = Side { about: Kind::Outgoing, messages: Kind::Messages };
    for channels in [
        &[queued, recorded][..],
        &[recorded, queued, recorded],
        &[(mixed, B, 1, b"\x02hi")],
        &[(mixed_too, B, 1, b"\x02hi")],
    ] {
        let error = refused(&forge(channels), None);
        assert_eq!(error, PartError::Corrupt { key: key(), error: Malformed::new("a chunk out of place") });
    }
}

/// The same part in version 1, under checksums that are right.
fn in_version_1(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[5] = 1;
    sealed(bytes)
}

#[test]
fn version_1_has_nothing_outgoing() {
    let (bytes, _) = write_all(&bytes_of(9), &channels(), &BTreeMap::new());
    let stored = read(&in_version_1(bytes.clone()), None).unwrap();
    assert_eq!(Ok(stored), read(&bytes, None));

    let (bytes, _) = write(&bytes_of(9), &channels());
    let error = refused(&in_version_1(bytes), None);
    assert_eq!(error, PartError::Corrupt { key: key(), error: Malformed::new("a chunk out of place") });
}

#[test]
fn a_store_that_fails_to_read_is_not_taken_for_damage() {
    struct Failing<'a>(&'a [u8]);
    impl Read for Failing<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(io::Error::other("the network is down")),
                count => Ok(count),
            }
        }
    }
    let (bytes, _) = write(&bytes_of(9), &channels());
    for len in [0, 6, 40, bytes.len() - 1, bytes.len()] {
        let error = verify_part(&expected(None), &mut Failing(&bytes[..len])).unwrap_err();
        assert_eq!(error, PartError::Unreadable { key: key(), error: "the network is down".to_owned() });
        assert!(!error.is_damage());
    }
}

#[test]
fn a_read_that_is_interrupted_goes_on_and_a_store_may_say_itself_that_an_object_is_cut_short() {
    struct Interrupted<'a>(&'a [u8], bool);
    impl Read for Interrupted<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(into) }
        }
    }
    struct CutShort<'a>(&'a [u8]);
    impl Read for CutShort<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                count => Ok(count),
            }
        }
    }
    let (bytes, part) = write(&bytes_of(9), &channels());
    assert_eq!(verify_part(&expected(Some(&part)), &mut Interrupted(&bytes, false)), Ok(part));
    let error = verify_part(&expected(None), &mut CutShort(&bytes[..40])).unwrap_err();
    assert_eq!(error, PartError::Truncated { key: key() });
}

#[test]
fn a_description_may_be_as_long_as_its_bound_and_no_longer() {
    let write = |group: &str| {
        let mut bytes = Vec::new();
        let label = PartLabel { group: group.to_owned(), ..label() };
        write_state::<Blob>(&label, &bytes_of(9), &mut bytes).map(|_| bytes)
    };
    let read = |group: &str, bytes: &[u8]| {
        let expected = Expected { group, ..expected(None) };
        read_part::<Blob, Bytes>(&expected, None, &mut &bytes[..]).map(|_| ())
    };
    // The length of the name takes three bytes, as everywhere near the bound.
    let rest = header::encode(&label(), 3).unwrap().len() - label().group.len() + 2;
    let longest = "x".repeat((1 << 20) - rest);
    assert_eq!(read(&longest, &write(&longest).unwrap()), Ok(()));
    let error = write(&format!("{longest}x")).unwrap_err();
    assert!(error.to_string().contains("over 1 MiB"), "{error}");

    // Nor is more of it read than that, whoever wrote it.
    let mut endless = Vec::new();
    let mut out = ChunkWriter::open(&mut endless).unwrap();
    out.write_all(&vec![0; 2 << 20]).unwrap();
    out.finish().unwrap();
    let mut unread = &endless[..];
    let error = read_part::<Blob, Bytes>(&expected(None), None, &mut unread).unwrap_err();
    assert_eq!(error, PartError::Corrupt { key: key(), error: Malformed::new("a header over its bound") });
    assert!(unread.len() > 600 << 10, "{}", unread.len());
}

#[test]
fn a_part_of_another_turn_is_not_the_committed_one() {
    let (bytes, part) = write(&bytes_of(9), &channels());
    let other = PartRef { turn: part.turn.next(), ..part };
    assert_eq!(refused(&bytes, Some(&other)), PartError::NotTheCommitted { key: key() });
}

#[test]
fn an_error_says_what_can_be_done_with_this_object() {
    let snapshot = SnapshotId { generation: Generation(1), sequence: 2, initiator: A };
    for (key, remedy) in [
        (Key::Initial(A), "there is nothing older to go back to"),
        (Key::Evidence { snapshot, node: A }, "retention has let go of what it was copied from"),
        (Key::Part { snapshot, node: A }, "`fall_back(true)`"),
    ] {
        let text = PartError::Missing { key }.to_string();
        assert!(text.contains("restore the object from a copy") && text.contains(remedy), "{text}");
    }
}

#[test]
fn a_write_that_fails_is_not_overlooked_even_if_encode_does() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let state = bytes_of(300 << 10);
    for room in [0, 10, 1000, 70_000, 200_000, 300 << 10] {
        let written = write_state::<Odd<0>>(&label(), &state, &mut Full(room));
        assert!(written.is_err(), "{room} bytes of room");
    }
}

#[test]
fn a_write_that_fails_once_spoils_the_part_even_if_later_ones_would_work() {
    struct Hiccup(usize);
    impl Write for Hiccup {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 == 3 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut out = Hiccup(0);
    let written = write_state::<Odd<0>>(&label(), &bytes_of(300 << 10), &mut out);
    assert!(written.is_err());
    assert_eq!(out.0, 3, "nothing is written after the failure");
}
