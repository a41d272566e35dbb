//! A store that gives any bytes where a part of a committed snapshot should be, with checksums that agree or not.
//!
//! [`Archive`] and a node that starts must find whole what is whole, and say of all else what is wrong with it: damaged, of a
//! newer form, or not understood by the application. Damage is never taken for anything else.

mod expected;
mod forged;

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{
    Archive, ArchiveError, Event, Failure, Generation, Key, NodeError, NodeId, PartError, PartRef,
    SnapshotStore, Turn,
};
use snapshot_store::MemoryStore;

use super::blob::{Blob, Picky};
use super::drive::{drive, lonely};
use super::forms::sealed;
use super::records::{Described, Record};
use expected::{Outcome, Whole};
use forged::{Damage, Forged};

/// The part, and where it is.
#[derive(Arbitrary, Debug)]
pub struct Input {
    damage: Option<Damage>,
    /// Where retention has let go of it: as a copy.
    as_evidence: bool,
    part: Forged,
}

/// The members. The part is that of the first one.
pub(super) const MEMBERS: [u64; 2] = [1, 2];

/// See the [module](self).
///
/// # Panics
///
/// Where the bytes are taken for something else than they are.
pub fn run(input: Input) {
    let (mut bytes, part) = (input.part.bytes(), input.part.described());
    input.damage.iter().for_each(|damage| damage.to(&mut bytes));
    let honest = Forged::of(2, b"two");
    let first = Record::first(&MEMBERS);
    let parts = [(1, part), (2, honest.described())];
    let described = parts.map(|(node, PartRef { turn, size, checksum })| Described {
        node,
        turn: turn.0,
        size,
        checksum,
    });
    let commit = first.commit(1, described.to_vec());
    let snapshot = commit.last.as_ref().expect("it commits").snapshot.id();
    let key = |node| match input.as_evidence {
        false => Key::Part { snapshot, node: NodeId(node) },
        true => Key::Evidence { snapshot, node: NodeId(node) },
    };
    let store = MemoryStore::new();
    let put = |key, bytes: Vec<u8>| {
        drive(store.create(key, Bytes::from(bytes).into())).expect("it answers at once")
    };
    let seat = Key::Seat { generation: Generation(1), node: NodeId(1) };
    let objects = [
        (Key::Journal(1), first.sealed()),
        (Key::Journal(2), commit.sealed()),
        // Somebody has run as this node: the next one begins from the commit.
        (seat, sealed(b'S', 1, &[5])),
        (key(1), bytes.clone()),
        (key(2), honest.bytes()),
    ];
    for (key, bytes) in objects {
        put(key, bytes).expect("memory does not fail");
    }
    let outcome = Outcome::of(&bytes, snapshot, part);
    check_archive(&store, &outcome, input.as_evidence);
    check_start(store, &outcome, input.as_evidence);
}

fn check_archive(store: &MemoryStore, outcome: &Outcome, as_evidence: bool) {
    let archive = drive(Archive::<Blob, Bytes>::open(store.clone(), Picky)).expect("it answers at once");
    let archive = archive.expect("the journal is whole");
    let snapshot = archive.latest().expect("there is a commit");

    let verified = drive(archive.verify(snapshot)).expect("it answers at once");
    match (outcome, as_evidence) {
        // A restart knows nothing of copies.
        (_, true) => {
            assert!(matches!(verified, Err(ArchiveError::Part(PartError::Missing { .. }))), "{verified:?}");
        }
        (Outcome::Damaged | Outcome::Newer, false) => {
            outcome.check(part_error(verified.expect_err("it is not whole")));
        }
        (_, false) => verified.expect("it is not damaged"),
    }

    let read = drive(archive.read(snapshot)).expect("it answers at once");
    match outcome {
        Outcome::Whole(Whole { turn, state, messages, outgoing }) => {
            let cut = read.expect("it is whole");
            assert_eq!((cut.turn(NodeId(1)), cut.state(NodeId(1))), (Some(Turn(*turn)), Some(state)));
            assert_eq!(cut.channel(NodeId(2), NodeId(1)), messages);
            assert_eq!(cut.channel(NodeId(1), NodeId(2)), outgoing);
            assert_eq!(cut.state(NodeId(2)).map(Vec::as_slice), Some(&b"two"[..]));
        }
        _ => outcome.check(part_error(read.expect_err("it is not whole"))),
    }
}

fn part_error(error: ArchiveError) -> PartError {
    match error {
        ArchiveError::Part(error) => error,
        other => panic!("a part is wrong, and the error is {other:?}"),
    }
}

fn check_start(store: MemoryStore, outcome: &Outcome, as_evidence: bool) {
    let mut state = Blob(b"as it was".to_vec());
    let started = drive(lonely(1, &MEMBERS, store).start(&mut state)).expect("a start ends");
    let error = match started {
        Ok(mut node) => {
            let Outcome::Whole(Whole { turn, state: expected, messages, .. }) = outcome else {
                panic!("it started from what is {outcome:?}")
            };
            assert_eq!((&state.0, as_evidence), (expected, false));
            let event = drive(node.next(&mut state)).expect("it tells").expect("it runs");
            assert!(matches!(event, Event::RolledBack { turn: Turn(t), .. } if t == *turn), "{event:?}");
            for wanted in messages {
                let event = drive(node.next(&mut state)).expect("there are more").expect("it runs");
                assert!(matches!(&event, Event::Message { message, .. } if message == wanted), "{event:?}");
            }
            return;
        }
        Err(NodeError::Failed(Failure::Damaged(error))) => error,
        Err(other) => panic!("a part is wrong, and the error is {other:?}"),
    };
    if as_evidence {
        assert!(matches!(error, PartError::Missing { .. }), "{error:?}");
    } else {
        outcome.check(error);
    }
}
