//! A store that gives any bytes where the records of the journal, seats and initial states should be.
//!
//! [`Archive`] and a node that starts must refuse what cannot be, with an error that names the record, and take what is right. A
//! node that did start leaves a journal that can still be read, and takes snapshots.

mod forged;

use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{
    Archive, ArchiveError, Content, Created, Event, Failure, Generation, Key, NodeError, NodeId, Retention,
    Sink, SnapshotStore, StoreError, async_trait,
};
use snapshot_store::MemoryStore;

use super::blob::{Blob, Picky};
use super::drive::{drive, lonely};
use super::forms::sealed;
use forged::{Forged, Verdict};

/// What is in the store, and who looks at it.
#[derive(Arbitrary, Debug)]
pub struct Input {
    /// The group has one member and not two.
    alone: bool,
    fall_back: bool,
    records: Vec<Forged>,
    seats: Vec<Seat>,
    initial: Option<Vec<u8>>,
    /// A broken store, which has an object under every key of the journal: this one, where there is no other.
    everywhere: Option<Vec<u8>>,
}

#[derive(Arbitrary, Debug)]
struct Seat {
    generation: u8,
    bytes: SeatBytes,
}

#[derive(Arbitrary, Debug)]
enum SeatBytes {
    Of(u64),
    Sealed { kind: u8, version: u8, contents: Vec<u8> },
    Raw(Vec<u8>),
}

/// More records than that show nothing new.
const MOST: usize = 40;

/// See the [module](self).
///
/// # Panics
///
/// Where something is taken for what it is not.
pub fn run(input: Input) {
    let members: &[u64] = if input.alone { &[1] } else { &[1, 2] };
    let (memory, verdicts) = filled(&input, members);
    let store = Holed { memory, everywhere: input.everywhere.clone().map(Bytes::from) };
    let read = match &store.everywhere {
        // The journal of such a store has no end.
        Some(_) => false,
        None => check_archive(&store, &verdicts, members),
    };
    check_start(&store, &input, read, members);
}

fn filled(input: &Input, members: &[u64]) -> (MemoryStore, Vec<Verdict>) {
    let store = MemoryStore::new();
    let put = |key, bytes: Vec<u8>| {
        let created = drive(store.create(key, Bytes::from(bytes).into())).expect("it answers at once");
        created.expect("memory does not fail");
    };
    let (mut before, mut verdicts) = (None, Vec::new());
    for (index, forged) in (1..).zip(input.records.iter().take(MOST)) {
        let (bytes, verdict) = forged.at(index, &mut before, members);
        put(Key::Journal(index), bytes);
        verdicts.push(verdict);
    }
    for Seat { generation, bytes } in &input.seats {
        let bytes = match bytes {
            SeatBytes::Of(life) => {
                let mut contents = super::forms::Writer::default();
                sealed(b'S', 1, &contents.uint(*life).0)
            }
            SeatBytes::Sealed { kind, version, contents } => sealed(*kind, *version, contents),
            SeatBytes::Raw(bytes) => bytes.clone(),
        };
        put(Key::Seat { generation: Generation(u64::from(*generation)), node: NodeId(1) }, bytes);
    }
    input.initial.iter().for_each(|bytes| put(Key::Initial(NodeId(1)), bytes.clone()));
    (store, verdicts)
}

/// Whether the whole journal could be read.
fn check_archive(store: &Holed, verdicts: &[Verdict], members: &[u64]) -> bool {
    let opened = drive(Archive::<Blob, Bytes>::open(store.clone(), Picky)).expect("it answers at once");
    let archive = match opened {
        Ok(archive) => archive,
        Err(ArchiveError::Empty) => return verdicts.is_empty(),
        Err(ArchiveError::Record { key: Key::Journal(index), .. }) => {
            let at = index as usize - 1;
            assert!(verdicts[at] != Verdict::Right, "record {index} is right, and was refused");
            return false;
        }
        Err(ArchiveError::Foreign(_)) => {
            assert!(verdicts.iter().any(|verdict| *verdict != Verdict::Right), "all are of one group");
            return false;
        }
        Err(other) => panic!("the journal has {verdicts:?}, and the error is {other:?}"),
    };
    for (index, verdict) in (1..).zip(verdicts) {
        let passed_over = archive.unreadable().iter().find(|(unreadable, _)| *unreadable == index);
        assert!(
            *verdict != Verdict::Refused || passed_over.is_some(),
            "record {index} cannot be, and was taken"
        );
        assert!(
            *verdict != Verdict::Right || passed_over.is_none(),
            "record {index} is right: {passed_over:?}"
        );
    }
    if !archive.unreadable().is_empty() {
        return false;
    }
    check_shown(&archive);
    if verdicts.iter().all(|verdict| *verdict == Verdict::Right) {
        assert_eq!(archive.members(), members.iter().copied().map(NodeId).collect::<Vec<_>>());
    }
    true
}

/// What an archive shows keeps its word, whatever the records say.
fn check_shown(archive: &Archive<Blob, Bytes>) {
    let members = archive.members();
    assert!(!members.is_empty() && members.is_sorted_by(|a, b| a < b));
    assert!(
        matches!(archive.retention(), Retention::All)
            || matches!(archive.retention(), Retention::Last(n) if n.get() <= Retention::MAX)
    );
    assert_eq!((archive.generations()[0].generation, archive.generations()[0].index), (Generation(1), 1));
    assert!(archive.commits().is_sorted_by(|a, b| a.index < b.index));
    assert_eq!(
        archive.latest(),
        archive.commits().iter().rfind(|commit| commit.in_lineage).map(|c| c.snapshot)
    );
    for commit in archive.commits() {
        assert!(commit.parts.iter().map(|part| part.node).eq(members.iter().copied()));
        assert!(commit.bytes() >= commit.parts.iter().map(|part| part.bytes).max().unwrap_or(0));
        // There are no parts.
        let verified = drive(archive.verify(commit.snapshot)).expect("it answers at once");
        let read = drive(archive.read(commit.snapshot)).expect("it answers at once");
        for error in [verified.err(), read.err()] {
            match error.expect("nothing is whole") {
                ArchiveError::LetGo { snapshot } => assert!(snapshot == commit.snapshot && !commit.kept),
                error => assert!(matches!(error, ArchiveError::Part(error) if error.is_damage())),
            }
        }
        drive(archive.discard(commit.snapshot)).expect("it answers at once").expect("memory does not fail");
    }
    assert_eq!(drive(archive.evidence()).expect("it answers at once").expect("memory does not fail"), []);
}

fn check_start(store: &Holed, input: &Input, read: bool, members: &[u64]) {
    let mut state = Blob(b"as it was".to_vec());
    let builder =
        lonely(1, members, store.clone()).fall_back(input.fall_back).deadline(Duration::from_secs(3600));
    let Some(started) = drive(builder.start(&mut state)) else {
        // Where one generation after the other commits nothing, by the records or since its seat is taken, the next one waits (J7).
        let plain = input.records.is_empty() && input.seats.is_empty() && store.everywhere.is_none();
        return assert!(!plain, "there is nothing to wait for");
    };
    let mut node = match started {
        Ok(node) => node,
        Err(NodeError::Failed(Failure::Record { .. } | Failure::Foreign(_))) => {
            return assert!(!input.records.is_empty() || store.everywhere.is_some(), "there are no records");
        }
        // No part is there, and the initial state is any bytes.
        Err(NodeError::Failed(Failure::Damaged(error))) => {
            return assert!(!input.records.is_empty() || input.initial.is_some(), "{error:?}");
        }
        Err(other) => panic!("the store works, and the error is {other:?}"),
    };
    assert!(store.everywhere.is_none(), "it has found an end where there is none");
    // It neither ends nor turns round on the spot.
    node.snapshot();
    let committed = loop {
        match drive(node.next(&mut state)) {
            None => break false,
            Some(Ok(Event::Committed { .. })) => break true,
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("the store works, and the error is {error:?}"),
        }
    };
    if read {
        let archive = drive(Archive::<Blob, Bytes>::open(store.clone(), Picky)).expect("it answers at once");
        let archive = archive.expect("a node leaves a journal that can be read");
        if committed {
            let latest = archive.latest().expect("there is a commit");
            drive(archive.verify(latest)).expect("it answers at once").expect("it is whole");
        }
    }
    let plain = input.records.is_empty() && input.initial.is_none();
    assert!(committed || members.len() > 1 || !plain, "a group of one can commit at once");
}

/// A store in memory; or one that never says that there is nothing.
#[derive(Clone)]
struct Holed {
    memory: MemoryStore,
    everywhere: Option<Bytes>,
}

#[async_trait]
impl SnapshotStore for Holed {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        match (key, &self.everywhere) {
            (Key::Journal(_), Some(_)) => Ok(Created::Exists),
            _ => self.memory.create(key, content).await,
        }
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        match (key, &self.everywhere) {
            (Key::Journal(_), Some(bytes)) if !self.memory.keys().contains(&key) => {
                let read = sink.read_from(&mut &bytes[..]);
                read.map(|()| true).map_err(|error| StoreError::new("the sink has failed", error))
            }
            _ => self.memory.read(key, sink).await,
        }
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.memory.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.memory.delete(key).await
    }
}
