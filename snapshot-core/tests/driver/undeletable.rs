//! Parts that nobody needs, and a store that does not let go of them: the others go, somebody is told, and that is tried again at
//! times that grow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{collections::BTreeSet, io::ErrorKind};

use snapshot_core::{Key, NodeId};
use snapshot_store::{Fault, FaultyStore, MemoryStore, Operation};

use crate::watched::{SECOND, count, running, watch};

type Choice = fn(Operation) -> bool;

/// What cannot be deleted, or listed, and how often that was tried.
#[derive(Clone, Default)]
struct Stubborn {
    keys: Arc<Mutex<BTreeSet<Key>>>,
    is_stubborn: Arc<Mutex<Option<Choice>>>,
    tries: Arc<AtomicUsize>,
}

impl Stubborn {
    fn around(&self, memory: &MemoryStore) -> FaultyStore<MemoryStore> {
        let this = self.clone();
        FaultyStore::new(memory.clone(), move |operation| {
            let is_key = operation.key().is_some_and(|key| this.keys.lock().unwrap().contains(&key));
            let is_delete = matches!(operation, Operation::Delete(_));
            let all = this.is_stubborn.lock().unwrap().is_some_and(|all| all(operation));
            if !(all || is_key && is_delete) {
                return Fault::None;
            }
            this.tries.fetch_add(1, Ordering::Relaxed);
            Fault::Fail(ErrorKind::PermissionDenied)
        })
    }
}

fn parts(memory: &MemoryStore) -> Vec<Key> {
    memory.keys().into_iter().filter(|key| matches!(key, Key::Part { .. })).collect()
}

#[test]
fn one_part_that_cannot_be_deleted_stays_alone_and_is_told_of_once() {
    let (memory, stubborn) = (MemoryStore::new(), Stubborn::default());
    let (network, mut node, mut state) = running(stubborn.around(&memory));
    let first = parts(&memory)[0];
    stubborn.keys.lock().unwrap().insert(first);
    let said = watch(&network, &mut [(&mut node, &mut state)], 1000 * SECOND).remove(0);
    assert!(count(&said, "committed") > 900);
    let left = parts(&memory);
    assert!(left.contains(&first) && left.len() <= 3, "one is kept, one may be on its way: {left:?}");
    assert_eq!(count(&said, "parts that nobody needs cannot be deleted, 1 of them"), 1, "{said:?}");
    let tries = stubborn.tries.load(Ordering::Relaxed);
    assert!((5..=12).contains(&tries), "after 1, 2, 4, … seconds: {tries}");
    // Somebody repairs it.
    stubborn.keys.lock().unwrap().clear();
    watch(&network, &mut [(&mut node, &mut state)], 700 * SECOND);
    assert!(!parts(&memory).contains(&first));
    // What happens later is news.
    stubborn.keys.lock().unwrap().extend(parts(&memory));
    let said = watch(&network, &mut [(&mut node, &mut state)], 10 * SECOND).remove(0);
    assert_eq!(count(&said, "cannot be deleted"), 1, "{said:?}");
}

#[test]
fn where_nothing_can_be_deleted_it_is_told_each_time_that_there_is_twice_as_much() {
    let (memory, stubborn) = (MemoryStore::new(), Stubborn::default());
    let (network, mut node, mut state) = running(stubborn.around(&memory));
    *stubborn.is_stubborn.lock().unwrap() = Some(|operation| matches!(operation, Operation::Delete(_)));
    let said = watch(&network, &mut [(&mut node, &mut state)], 600 * SECOND).remove(0);
    assert!(count(&said, "committed") > 500 && parts(&memory).len() > 500);
    assert!((2..=11).contains(&count(&said, "cannot be deleted")), "{}", count(&said, "cannot be deleted"));
    let tries = stubborn.tries.load(Ordering::Relaxed);
    assert!(tries < 600 + 64 * 12, "each when it is news, and now and then some of them: {tries}");
    *stubborn.is_stubborn.lock().unwrap() = None;
    let said = watch(&network, &mut [(&mut node, &mut state)], 700 * SECOND).remove(0);
    assert!(parts(&memory).len() <= 3, "{}", parts(&memory).len());
    assert_eq!(count(&said, "cannot be deleted"), 0);
}

#[test]
fn where_parts_cannot_be_listed_it_is_told_once_and_tried_again() {
    let (memory, stubborn) = (MemoryStore::new(), Stubborn::default());
    let (network, mut node, mut state) = running(stubborn.around(&memory));
    *stubborn.is_stubborn.lock().unwrap() = Some(|operation| matches!(operation, Operation::ListParts(_)));
    let said = watch(&network, &mut [(&mut node, &mut state)], 100 * SECOND).remove(0);
    assert_eq!(count(&said, "cannot list parts"), 1, "{said:?}");
    *stubborn.is_stubborn.lock().unwrap() = None;
    watch(&network, &mut [(&mut node, &mut state)], 2 * SECOND);
    assert!(parts(&memory).len() <= 3);
    assert_eq!(node.id(), NodeId(1));
}
