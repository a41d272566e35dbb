//! Lengths that promise far more than there is take no memory: what is allocated goes by the bytes that have come. Each byte of
//! each golden file is in turn replaced by such a length, under checksums that are right.
//!
//! One test alone, since memory is counted for the whole process.

use std::alloc::System;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cap::Cap;
use futures::executor::block_on;
use snapshot_core::{Archive, Body, Frame, Generation, Key, Postcard, PostcardState, SnapshotStore, Stamp};
use snapshot_store::MemoryStore;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// More than what is done with whole bytes. The standard library's collections, which a state is decoded into, make room for
/// 1 MiB at most before they have seen an entry.
const SLACK: usize = 16 << 10;
const STATE_SLACK: usize = (1 << 20) + SLACK;

/// Kinds of chunks of a part: what a node had sent and still held.
const OUTGOING: u8 = 6;
const QUEUED: u8 = 7;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Ledger {
    _balance: u64,
    _received: Vec<u64>,
}

impl PostcardState for Ledger {}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// How many bytes are allocated meanwhile, whether they are freed again or not.
fn allocated(work: impl FnOnce()) -> usize {
    let before = ALLOCATOR.total_allocated();
    work();
    ALLOCATOR.total_allocated() - before
}

/// The bytes with a large number in place of each of them, in each way to write it that these forms know.
fn claims(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let numbers = [1_u64 << 24, 1 << 32, 1 << 60, u64::MAX];
    let places = (0..bytes.len()).flat_map(move |at| numbers.map(|number| (at, number)));
    places.map(move |(at, number)| {
        let mut claim = bytes[..at].to_vec();
        let mut rest = number;
        while rest >= 0x80 {
            claim.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        claim.push(rest as u8);
        claim.extend_from_slice(&bytes[at + 1..]);
        (format!("{number} in place of byte {at}"), claim)
    })
}

/// The objects of a whole store.
fn objects(store: &str) -> Vec<(Key, Bytes)> {
    let root = golden(store);
    let (mut folders, mut objects) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(key) = Key::parse(path.strip_prefix(&root).unwrap().to_str().unwrap()) {
                objects.push((key, fs::read(path).unwrap().into()));
            }
        }
    }
    objects
}

/// The same store with one object that is another.
fn store_with(objects: &[(Key, Bytes)], key: Key, bytes: &[u8]) -> MemoryStore {
    let store = MemoryStore::new();
    for (other, whole) in objects {
        let content = if *other == key { Bytes::copy_from_slice(bytes) } else { whole.clone() };
        block_on(store.create(*other, content.into())).unwrap();
    }
    store
}

/// Opens the store and reads the newest snapshot: whether that comes to its end, and how many bytes it allocates.
fn look(store: MemoryStore) -> (bool, usize) {
    let mut whole = false;
    let taken = allocated(|| {
        whole = block_on(async {
            let Ok(archive) = Archive::<Ledger, u64>::open(store, Postcard).await else { return false };
            let Some(latest) = archive.latest() else { return false };
            archive.verify(latest).await.is_ok() & archive.read(latest).await.is_ok()
        });
    });
    (whole, taken)
}

/// A record, from its contents.
fn record(version: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = [b"SNAPJ", &[version][..], contents].concat();
    let checksum = crc32fast::hash(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

/// The chunks of a part, by kind.
fn chunks(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut rest, mut chunks) = (&bytes[6..], Vec::new());
    while let Some(([kind, a, b, c, d, _, _, _, _], behind)) = rest.split_first_chunk::<9>() {
        let (contents, behind) = behind.split_at(u32::from_le_bytes([*a, *b, *c, *d]) as usize);
        chunks.push((*kind, contents.to_vec()));
        rest = behind;
    }
    chunks
}

/// A part, from its chunks; the last one says how long it is.
fn part(version: u8, chunks: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = [b"SNAPP", &[version][..]].concat();
    let mut hash = crc32fast::Hasher::new();
    hash.update(&bytes);
    for (at, (kind, contents)) in chunks.iter().enumerate() {
        let size = (bytes.len() as u64 + 9 + 8).to_le_bytes();
        let contents = if at + 1 == chunks.len() { &size[..] } else { contents };
        let start = [&[*kind][..], &(contents.len() as u32).to_le_bytes()].concat();
        hash.update(&start);
        hash.update(contents);
        bytes.extend([&start[..], &hash.clone().finalize().to_le_bytes(), contents].concat());
    }
    bytes
}

#[test]
fn a_length_that_promises_more_than_there_is_takes_no_memory() {
    ["store-1", "store-2"].into_iter().for_each(promises_in_a_store_take_no_memory);

    for file in ["control-1", "control-2"].iter().flat_map(|name| fs::read_dir(golden(name)).unwrap()) {
        let path = file.unwrap().path();
        for (claim, control) in claims(&fs::read(&path).unwrap()) {
            let body = Body::<()>::Control(control.into());
            let frame = Frame { stamp: Stamp::new(Generation(1), 1), body };
            let taken = allocated(|| {
                let _ = frame.kind();
            });
            assert!(taken <= 1 << 10, "{} with {claim}: {taken} bytes", path.display());
        }
    }
}

fn promises_in_a_store_take_no_memory(name: &str) {
    let objects = objects(name);
    let (first, bytes) = &objects[0];
    let (is_read, whole) = look(store_with(&objects, *first, bytes));
    assert!(is_read && whole > 1000, "what is whole is read, and the counting works");

    for (key, bytes) in objects.iter().filter(|(key, _)| matches!(key, Key::Journal(_))) {
        let (version, contents) = (bytes[5], &bytes[6..bytes.len() - 4]);
        assert_eq!(record(version, contents), bytes[..], "records are understood here");
        for (claim, contents) in claims(contents) {
            let (_, taken) = look(store_with(&objects, *key, &record(version, &contents)));
            assert!(taken <= whole + SLACK, "{key} with {claim}: {taken} bytes, where {whole} are usual");
        }
    }

    // Those of the newest snapshot, with a message in flight.
    let read = |key: &Key| matches!(key, Key::Part { snapshot, .. } if snapshot.sequence == 4);
    for (key, bytes) in objects.iter().filter(|(key, _)| read(key)) {
        let (version, mut chunks) = (bytes[5], chunks(bytes));
        assert_eq!(part(version, &chunks), bytes[..], "parts are understood here");
        if version > 1 && chunks.iter().all(|(kind, _)| *kind != OUTGOING) {
            let Key::Part { node, .. } = key else { unreachable!("it is one") };
            // The other one of nodes 1 and 2, and a message for it.
            let queued = [(OUTGOING, vec![3 - node.0 as u8, 1]), (QUEUED, vec![1, 5])];
            chunks.splice(chunks.len() - 1..chunks.len() - 1, queued);
        }
        for (at, (kind, contents)) in chunks.iter().enumerate() {
            let slack = if *kind == 2 { STATE_SLACK } else { SLACK };
            for (claim, contents) in claims(contents) {
                let mut chunks = chunks.clone();
                chunks[at].1 = contents;
                let (_, taken) = look(store_with(&objects, *key, &part(version, &chunks)));
                assert!(taken <= whole + slack, "{key}, chunk {at} with {claim}: {taken} bytes, not {whole}");
            }
        }
        // The length of a chunk, up to the one that a chunk may have.
        for length in [u32::MAX, (64 << 10) + 1, 64 << 10] {
            let mut bytes = bytes.to_vec();
            bytes[7..11].copy_from_slice(&length.to_le_bytes());
            let (_, taken) = look(store_with(&objects, *key, &bytes));
            let chunk = if length == 64 << 10 { 2 * length as usize } else { 0 };
            assert!(taken <= whole + chunk + SLACK, "{key} with a chunk of {length}: {taken} bytes");
        }
    }
}
