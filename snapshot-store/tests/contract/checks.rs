//! One function per promise. Each panics where the store breaks it.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;

use bytes::Bytes;
use futures::executor::block_on;
use snapshot_core::{Content, Created, Generation, Key, NodeId, Sink, SnapshotId, SnapshotStore};

const THREADS: usize = 8;

fn part(generation: u64, sequence: u64, node: u64) -> Key {
    let snapshot = SnapshotId { generation: Generation(generation), sequence, initiator: NodeId(1) };
    Key::Part { snapshot, node: NodeId(node) }
}

/// One of every kind.
fn keys() -> [Key; 4] {
    let seat = Key::Seat { generation: Generation(1), node: NodeId(2) };
    [Key::Journal(1), seat, Key::Initial(NodeId(2)), part(1, 1, 2)]
}

fn create(store: &impl SnapshotStore, key: Key, bytes: &'static [u8]) -> Created {
    block_on(store.create(key, Bytes::from_static(bytes).into())).unwrap()
}

fn read(store: &impl SnapshotStore, key: Key) -> Option<Vec<u8>> {
    let (sink, found) = Sink::collect();
    let there = block_on(store.read(key, sink)).unwrap();
    let bytes = found.take();
    assert_eq!(there, bytes.is_some(), "the sink of {key} is called if and only if it is there");
    bytes
}

fn sorted(mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort_unstable();
    keys
}

/// D1, D4: each thread reads what it was told is there, at once.
pub(crate) fn one_of_many_creates_wins(store: &impl SnapshotStore) {
    let keys: Vec<Key> = keys().into_iter().chain((1..=30).map(|node| part(3, node / 4, node))).collect();
    let start = Barrier::new(THREADS);
    let won: Vec<Vec<Key>> = thread::scope(|scope| {
        let contend = |thread: usize| {
            let (start, keys) = (&start, &keys);
            move || {
                start.wait();
                let mut won = Vec::new();
                for key in keys {
                    let text = Bytes::from(format!("{thread} {key}"));
                    let created = block_on(store.create(*key, text.into())).unwrap();
                    assert!(read(store, *key).is_some(), "{key} is not there, though it was {created:?}");
                    won.extend((created == Created::New).then_some(*key));
                }
                won
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(contend(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for key in keys {
        let winners: Vec<usize> = (0..THREADS).filter(|thread| won[*thread].contains(&key)).collect();
        assert_eq!(winners.len(), 1, "winners of {key}: {winners:?}");
        assert_eq!(
            read(store, key),
            Some(format!("{} {key}", winners[0]).into_bytes()),
            "the winner's object"
        );
    }
}

/// D1
pub(crate) fn who_comes_later_changes_nothing(store: &impl SnapshotStore) {
    for key in keys() {
        assert_eq!(create(store, key, b"first"), Created::New);
        assert_eq!(create(store, key, b"second, and longer"), Created::Exists);
        assert_eq!(read(store, key).as_deref(), Some(&b"first"[..]));
    }
}

/// D3, for empty objects, for large ones, and for pieces of all sizes on both ways.
pub(crate) fn an_object_is_what_was_written(store: &impl SnapshotStore) {
    for (index, size) in [0, 1, 4095, 256 * 1024 - 1, 256 * 1024, 1_000_003].into_iter().enumerate() {
        let key = part(1, 1, index as u64);
        let bytes: Arc<Vec<u8>> = Arc::new((0..size).map(|n| (n * 31 % 251) as u8).collect());
        let written = Arc::clone(&bytes);
        let content = Content::new(move |out| {
            let (small, large) = written.split_at(written.len().min(5000));
            small.chunks(7).try_for_each(|piece| out.write_all(piece))?;
            out.flush()?;
            large.chunks(400_000).try_for_each(|piece| out.write_all(piece))
        });
        assert_eq!(block_on(store.create(key, content)).unwrap(), Created::New);
        let (sink, found) = Sink::collecting(|input| {
            let mut begin = [0; 3];
            let mut bytes = Vec::new();
            let read = input.read(&mut begin)?;
            bytes.extend_from_slice(&begin[..read]);
            input.read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        assert!(block_on(store.read(key, sink)).unwrap());
        assert!(found.take().unwrap() == *bytes, "{size} bytes came back changed");
    }
}

/// D3, D5
pub(crate) fn a_half_written_object_is_not_there(store: &impl SnapshotStore) {
    let key = part(1, 1, 1);
    let (half, is_half) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    thread::scope(|scope| {
        // Dropped when a check below fails, so that the writer ends.
        let go_on = go_on;
        let writer = scope.spawn(move || {
            let content = Content::new(move |out| {
                out.write_all(&[1; 400_000])?;
                out.flush()?;
                half.send(()).unwrap();
                may_go_on.recv().map_err(io::Error::other)?;
                out.write_all(&[2; 400_000])
            });
            block_on(store.create(key, content))
        });
        is_half.recv().unwrap();
        assert_eq!(read(store, key), None);
        assert_eq!(block_on(store.list_parts(None)).unwrap(), []);
        go_on.send(()).unwrap();
        assert_eq!(writer.join().unwrap().unwrap(), Created::New);
    });
    assert_eq!(read(store, key).unwrap().len(), 800_000);
}

/// D4
pub(crate) fn a_created_object_is_found(store: &impl SnapshotStore) {
    for key in keys() {
        create(store, key, b"object");
        assert_eq!(read(store, key).as_deref(), Some(&b"object"[..]));
    }
}

/// D4, D5, and the sink is not called.
pub(crate) fn an_empty_store_holds_nothing(store: &impl SnapshotStore) {
    for key in keys() {
        assert_eq!(read(store, key), None);
    }
    assert_eq!(block_on(store.list_parts(None)).unwrap(), []);
    assert_eq!(block_on(store.list_parts(Some(Generation(1)))).unwrap(), []);
}

/// D5
pub(crate) fn listed_parts_are_those_that_are_there(store: &impl SnapshotStore) {
    let (kept, deleted, other) = (part(1, 1, 1), part(1, 1, 2), part(2, 1, 1));
    for key in keys().into_iter().take(3).chain([kept, deleted, other, part(1, 2, u64::MAX)]) {
        create(store, key, b"object");
    }
    block_on(store.delete(deleted)).unwrap();
    let failing = Content::new(|_| Err(io::Error::other("no state")));
    block_on(store.create(part(1, 3, 1), failing)).unwrap_err();
    let list = |generation| sorted(block_on(store.list_parts(generation)).unwrap());
    assert_eq!(list(None), [kept, part(1, 2, u64::MAX), other]);
    assert_eq!(list(Some(Generation(1))), [kept, part(1, 2, u64::MAX)]);
    assert_eq!(list(Some(Generation(2))), [other]);
    assert_eq!(list(Some(Generation(3))), []);
}

/// D6
pub(crate) fn a_deleted_object_is_gone_and_may_come_again(store: &impl SnapshotStore) {
    let (key, neighbour) = (part(1, 1, 1), part(1, 1, 2));
    block_on(store.delete(key)).unwrap();
    create(store, neighbour, b"neighbour");
    for round in [&b"first"[..], b"second"] {
        assert_eq!(create(store, key, round), Created::New);
        assert_eq!(read(store, key).as_deref(), Some(round));
        block_on(store.delete(key)).unwrap();
        assert_eq!(read(store, key), None);
        block_on(store.delete(key)).unwrap();
    }
    assert_eq!(read(store, neighbour).as_deref(), Some(&b"neighbour"[..]));
    block_on(store.delete(neighbour)).unwrap();
    assert_eq!(
        create(store, key, b"third"),
        Created::New,
        "after the last object of the snapshot was deleted"
    );
}

/// D8, for errors before and after large pieces, and for panics.
pub(crate) fn failed_content_leaves_nothing(store: &impl SnapshotStore) {
    type Writing = fn(&mut dyn Write) -> io::Result<()>;
    let failures: [Writing; 3] = [
        |_| Err(ErrorKind::StorageFull.into()),
        |out| {
            out.write_all(&[7; 600_000])?;
            out.flush()?;
            Err(ErrorKind::StorageFull.into())
        },
        |out| {
            out.write_all(&[7; 10])?;
            std::panic::resume_unwind(Box::new("this state cannot be encoded"))
        },
    ];
    for (key, write) in keys().into_iter().flat_map(|key| failures.map(|write| (key, write))) {
        let error = block_on(store.create(key, Content::new(write))).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.is_full() || source.contains("this state cannot be encoded"), "{error}: {source}");
        assert_eq!(read(store, key), None);
    }
    assert_eq!(block_on(store.list_parts(None)).unwrap(), []);
    assert_eq!(create(store, keys()[3], b"later"), Created::New);
}

/// D8
pub(crate) fn a_failed_sink_is_an_error(store: &impl SnapshotStore) {
    let key = part(1, 1, 1);
    create(store, key, b"object");
    let refuses = Sink::new(|_: &mut dyn Read| Err(ErrorKind::InvalidData.into()));
    assert!(block_on(store.read(key, refuses)).unwrap_err().is_invalid_data());
    let panics = Sink::new(|_: &mut dyn Read| std::panic::resume_unwind(Box::new("what is this")));
    block_on(store.read(key, panics)).unwrap_err();
    assert_eq!(read(store, key).as_deref(), Some(&b"object"[..]));
}
