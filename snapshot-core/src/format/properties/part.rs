//! Parts of any contents, read in pieces of any size.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use bytes::Bytes;
use proptest::prelude::*;

use crate::contract::codec::RawBytes;
use crate::contract::state::StateProvider;
use crate::format::envelope::LIMIT;
use crate::format::part::{Contents, Expected, PartLabel, read_part, verify_part, write_part};
use crate::vocabulary::id::{NodeId, Turn};
use crate::vocabulary::key::Key;
use crate::vocabulary::part::{PartRef, StoredPart};
use crate::vocabulary::properties::{holds, numbers, snapshots};

/// A state that is its own encoding.
struct Blob;

impl StateProvider for Blob {
    type Captured = Vec<u8>;

    fn capture(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn install(&mut self, _: Vec<u8>) {}

    fn encode(captured: &Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
        captured.chunks(1000).try_for_each(|piece| out.write_all(piece))
    }

    fn decode(_: u32, input: &mut dyn Read) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Gives at most so many bytes at a time.
struct Dripping<'a> {
    rest: &'a [u8],
    most: usize,
}

impl Read for Dripping<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.most);
        self.rest.read(&mut into[..most])
    }
}

/// Bytes of any size up to a few chunks; most are few.
fn blobs() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..200),
        1 => ((64 << 10) - 20..(64 << 10) + 20_usize, any::<u8>()).prop_map(|(size, byte)| vec![byte; size]),
        1 => (0..300_000_usize, any::<u8>()).prop_map(|(size, byte)| vec![byte; size]),
    ]
}

type Channels = BTreeMap<NodeId, Vec<Bytes>>;
type Part = (PartLabel, Vec<u8>, Channels, Channels);

/// Parts with messages at both ends of their channels.
fn parts() -> impl Strategy<Value = Part> {
    let members = prop::collection::btree_set(numbers(), 1..5);
    let of = (any::<String>(), members, snapshots(), 0..LIMIT);
    let channels =
        |least| prop::collection::vec(prop::option::of(prop::collection::vec(blobs(), least..4)), 4);
    (of, blobs(), channels(0), channels(1)).prop_map(
        |((group, members, snapshot, turn), state, channels, outgoing)| {
            let members: Vec<NodeId> = members.into_iter().map(NodeId).collect();
            let by_node = |messages: Vec<Option<Vec<Vec<u8>>>>| {
                let others = members[1..].iter().copied().zip(messages);
                others
                    .filter_map(|(node, messages)| {
                        Some((node, messages?.into_iter().map(Bytes::from).collect()))
                    })
                    .collect()
            };
            let (channels, outgoing) = (by_node(channels), by_node(outgoing));
            let key = Key::Part { snapshot, node: members[0] };
            (PartLabel { group, members, key, turn: Turn(turn) }, state, channels, outgoing)
        },
    )
}

fn write((label, state, channels, outgoing): &Part) -> (Vec<u8>, PartRef) {
    let mut bytes = Vec::new();
    let contents = Contents { state, channels, outgoing };
    let part = write_part::<Blob, Bytes>(label, &contents, Some(&RawBytes), &mut bytes);
    (bytes, part.expect("memory does not fail"))
}

fn expected(label: &PartLabel) -> Expected<'_> {
    Expected { group: &label.group, members: &label.members, key: label.key, part: None }
}

#[test]
fn a_part_of_any_contents_comes_back_however_its_bytes_drip() {
    holds((parts(), 1..100_000_usize), |(written, most)| {
        let (bytes, part) = write(&written);
        let (label, state, channels, outgoing) = written;
        prop_assert_eq!((part.turn, part.size), (label.turn, bytes.len() as u64));
        let expected = Expected { part: Some(&part), ..expected(&label) };
        let mut input = Dripping { rest: &bytes, most };
        prop_assert_eq!(verify_part(&expected, &mut input), Ok(part));
        let mut input = Dripping { rest: &bytes, most };
        let found = read_part::<Blob, Bytes>(&expected, Some(&RawBytes), &mut input);
        let whole = found == Ok(StoredPart { turn: label.turn, state, channels, outgoing });
        prop_assert!(whole);
        Ok(())
    });
}

#[test]
fn a_part_in_which_some_bytes_are_others_is_damaged() {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), 1..=u8::MAX), 1..4);
    holds((parts(), damage), |(part, damage)| {
        let (mut bytes, _) = write(&part);
        let whole = bytes.clone();
        for (at, change) in damage {
            let at = at.index(bytes.len());
            bytes[at] ^= change;
        }
        prop_assume!(bytes != whole);
        let error = verify_part(&expected(&part.0), &mut &bytes[..]).unwrap_err();
        prop_assert!(error.is_damage(), "{error}");
        Ok(())
    });
}
