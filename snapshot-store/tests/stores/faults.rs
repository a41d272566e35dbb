//! What the faulty store and the corruption of memory do, since other tests rely on it.

use std::io::ErrorKind;

use bytes::Bytes;
use futures::executor::block_on;
use snapshot_core::{Content, Created, Key, Sink, SnapshotStore};
use snapshot_store::{Fault, FaultyStore, MemoryStore, Operation};

const KEY: Key = Key::Journal(1);

fn with(fault: Fault) -> FaultyStore<MemoryStore> {
    FaultyStore::new(MemoryStore::new(), move |_| fault)
}

#[test]
fn failed_operation_is_not_done() {
    let store = with(Fault::Fail(ErrorKind::StorageFull));
    let content = Content::new(|_| unreachable!("it fails before"));
    assert!(block_on(store.create(KEY, content)).unwrap_err().is_full());
    assert_eq!(store.store().keys(), []);
    block_on(store.store().create(KEY, Bytes::from("object").into())).unwrap();
    assert!(block_on(store.delete(KEY)).unwrap_err().is_full());
    assert_eq!(store.store().keys(), [KEY]);
    assert!(block_on(store.read(KEY, Sink::new(|_| unreachable!("it fails before")))).unwrap_err().is_full());
    assert!(block_on(store.list_parts(None)).unwrap_err().is_full());
}

#[test]
fn operation_whose_answer_is_lost_is_done() {
    let store = with(Fault::LoseAnswer);
    let error = block_on(store.create(KEY, Bytes::from("object").into())).unwrap_err();
    assert_eq!(error.to_string(), format!("no answer to create {KEY}: it may have been done"));
    assert_eq!(store.store().keys(), [KEY]);
    let (sink, found) = Sink::collect();
    block_on(store.read(KEY, sink)).unwrap_err();
    assert_eq!(found.take().as_deref(), Some(&b"object"[..]));
    block_on(store.delete(KEY)).unwrap_err();
    assert_eq!(store.store().keys(), []);
}

#[test]
fn faults_are_asked_once_for_each_call_and_clones_share_them() {
    let mut calls = 0;
    let store = FaultyStore::new(MemoryStore::new(), move |operation| {
        calls += 1;
        match (calls, operation) {
            (2, Operation::Create(KEY)) => Fault::Fail(ErrorKind::Other),
            _ => Fault::None,
        }
    });
    block_on(store.read(KEY, Sink::collect().0)).unwrap();
    block_on(store.clone().create(KEY, Bytes::from("object").into())).unwrap_err();
    assert_eq!(block_on(store.create(KEY, Bytes::from("object").into())).unwrap(), Created::New);
}

#[test]
fn corrupted_bytes_are_what_is_read() {
    let store = MemoryStore::new();
    assert!(!store.corrupt(KEY, |_| unreachable!("there is no object")));
    block_on(store.create(KEY, Bytes::from("object").into())).unwrap();
    assert!(store.clone().corrupt(KEY, |bytes| bytes[0] = b'O'));
    let (sink, found) = Sink::collect();
    assert!(block_on(store.read(KEY, sink)).unwrap());
    assert_eq!(found.take().as_deref(), Some(&b"Object"[..]));
}

#[test]
fn stores_show_what_they_hold_without_its_bytes() {
    let store = with(Fault::None);
    block_on(store.create(KEY, Bytes::from("object").into())).unwrap();
    assert_eq!(format!("{store:?}"), "FaultyStore { store: MemoryStore { objects: 1 }, .. }");
    assert_eq!((Operation::Create(KEY).key(), Operation::ListParts(None).key()), (Some(KEY), None));
}
