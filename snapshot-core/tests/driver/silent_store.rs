//! A store that does not answer: whatever it was asked, the node says so, holds one captured state or two, and goes on when the
//! store does.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use snapshot_core::{
    Content, Created, Failure, Generation, Graph, Key, NodeError, NodeId, Sink, SnapshotStore, StoreError,
};
use snapshot_store::{Fault, FaultyStore, MemoryStore, Operation};
use snapshot_transport_mem::MemNetwork;

use crate::watched::{A, SECOND, State, builder, count, running, watch};

const B: NodeId = NodeId(2);

/// What hangs at present.
type Hangs = Arc<Mutex<fn(Operation) -> bool>>;

fn hanging(memory: &MemoryStore, what: fn(Operation) -> bool) -> (FaultyStore<MemoryStore>, Hangs) {
    let hangs: Hangs = Arc::new(Mutex::new(what));
    let asked = Arc::clone(&hangs);
    let fault = move |operation| if asked.lock().unwrap()(operation) { Fault::Hang } else { Fault::None };
    (FaultyStore::new(memory.clone(), fault), hangs)
}

fn set(hangs: &Hangs, what: fn(Operation) -> bool) {
    *hangs.lock().unwrap() = what;
}

// ---- a start ------------------------------------------------------------------------------------------------------------

/// A store in which a group of one node has committed, and left another set that is whole.
fn lived_in() -> MemoryStore {
    let memory = MemoryStore::new();
    let (network, [_]) = MemNetwork::<u64>::mesh::<1>();
    let (store, hangs) = hanging(&memory, |_| false);
    let mut state = State::default();
    let mut node = network.run(builder(&network, A, store).seed(1).start(&mut state)).unwrap().unwrap();
    node.snapshot();
    assert_eq!(count(&watch(&network, &mut [(&mut node, &mut state)], SECOND)[0], "committed"), 1);
    set(&hangs, |operation| matches!(operation, Operation::Create(Key::Journal(_))));
    node.snapshot();
    watch(&network, &mut [(&mut node, &mut state)], SECOND);
    memory
}

#[test]
fn a_start_whose_store_does_not_answer_ends_and_says_what_was_asked() {
    let initial = |operation| matches!(operation, Operation::Create(Key::Initial(_)));
    let part = |operation| matches!(operation, Operation::Read(Key::Part { .. }));
    type Case = (bool, fn(Operation) -> bool, &'static str);
    let cases: [Case; 7] = [
        (false, |operation| operation == Operation::Read(Key::Journal(1)), "read journal/0"),
        (false, |operation| operation == Operation::Create(Key::Journal(1)), "create journal/0"),
        (false, initial, "create initial/"),
        (true, |operation| matches!(operation, Operation::Create(Key::Seat { .. })), "create seat/"),
        (true, |operation| matches!(operation, Operation::ListParts(_)), "list the parts of"),
        (true, part, "read part/"),
        (true, |operation| matches!(operation, Operation::Read(Key::Seat { .. })), "read seat/"),
    ];
    for (lived, hangs, named) in cases {
        let memory = if lived { lived_in() } else { MemoryStore::new() };
        let (network, [_]) = MemNetwork::<u64>::mesh::<1>();
        let (store, _) = hanging(&memory, hangs);
        let start =
            async { builder(&network, A, store).seed(2).start(&mut State::default()).await.map(drop) };
        let started = network.run(start).expect("it ends");
        let Err(NodeError::Failed(Failure::Store { error })) = started else {
            panic!("{named}: {started:?}")
        };
        assert!(error.contains("has not answered for 5s") && error.contains(named), "{named}: {error}");
    }
}

// ---- a running node -----------------------------------------------------------------------------------------------------

#[test]
fn whatever_hangs_is_named_few_states_are_in_memory_and_it_goes_on_when_the_store_does() {
    type Case = (fn(Operation) -> bool, &'static str);
    let cases: [Case; 5] = [
        (|operation| matches!(operation, Operation::Create(Key::Part { .. })), "the store"),
        (|operation| matches!(operation, Operation::Create(Key::Journal(_))), "create journal/"),
        (|operation| matches!(operation, Operation::Read(Key::Journal(_))), ""),
        (|operation| matches!(operation, Operation::ListParts(_)), "list parts"),
        (|operation| matches!(operation, Operation::Delete(_)), "delete part/"),
    ];
    for (what, named) in cases {
        let (store, hangs) = hanging(&MemoryStore::new(), |_| false);
        let (network, mut node, mut state) = running(store);
        set(&hangs, what);
        let said = watch(&network, &mut [(&mut node, &mut state)], 120 * SECOND).remove(0);
        let told = said.iter().filter(|said| *said != "committed" && said.contains(named));
        assert!(named.is_empty() || told.count() > 0, "{named}: {:?}", said.iter().collect::<BTreeSet<_>>());
        let most = state.most.load(Ordering::Relaxed);
        assert!(most <= 2, "{named}: {most} states in memory");
        set(&hangs, |_| false);
        let said = watch(&network, &mut [(&mut node, &mut state)], 20 * SECOND).remove(0);
        assert!(count(&said, "committed") > 5, "{named}: {said:?}");
    }
}

#[test]
fn a_node_that_closes_ends_in_its_time_whatever_hangs() {
    for part in [true, false] {
        let (store, hangs) = hanging(&MemoryStore::new(), |_| false);
        let (network, mut node, mut state) = running(store);
        set(
            &hangs,
            if part {
                |operation| matches!(operation, Operation::Create(Key::Part { .. }))
            } else {
                |_| true
            },
        );
        node.snapshot();
        watch(&network, &mut [(&mut node, &mut state)], SECOND / 2);
        let begun = network.now();
        network.run(node.close(2 * SECOND)).expect("it ends").expect("in good order");
        assert_eq!(network.now() - begun, 2 * SECOND);
    }
}

/// A store whose threads keep what they were given, whatever becomes of those who asked.
#[derive(Clone)]
struct Threads {
    memory: MemoryStore,
    are_stuck: Arc<Mutex<bool>>,
    held: Arc<Mutex<Vec<Content>>>,
}

#[async_trait]
impl SnapshotStore for Threads {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        if matches!(key, Key::Part { .. }) && *self.are_stuck.lock().unwrap() {
            self.held.lock().unwrap().push(content);
            return pending().await;
        }
        self.memory.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.memory.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.memory.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.memory.delete(key).await
    }
}

#[test]
fn a_state_that_the_store_does_not_let_go_of_is_the_only_one_and_is_told_of_once() {
    let memory = MemoryStore::new();
    let store = Threads { memory, are_stuck: Arc::default(), held: Arc::default() };
    let (network, mut node, mut state) = running(store.clone());
    *store.are_stuck.lock().unwrap() = true;
    let said = watch(&network, &mut [(&mut node, &mut state)], 600 * SECOND).remove(0);
    assert_eq!(count(&said, "the store has not answered yet to the creation of part/"), 1, "{said:?}");
    assert_eq!(count(&said, "aborted"), 1, "{said:?}");
    assert_eq!((state.most.load(Ordering::Relaxed), store.held.lock().unwrap().len()), (1, 1));
    // The threads wake, and find nobody who waits.
    *store.are_stuck.lock().unwrap() = false;
    store.held.lock().unwrap().clear();
    let said = watch(&network, &mut [(&mut node, &mut state)], 20 * SECOND).remove(0);
    assert!(count(&said, "committed") > 5, "{said:?}");
}

#[test]
fn a_rollback_whose_read_hangs_says_so_and_ends_when_the_store_answers() {
    let memory = MemoryStore::new();
    let network = MemNetwork::<u64>::new(&Graph::mesh([A, B])).unwrap();
    let (store, hangs) = hanging(&memory, |_| false);
    let (mut here, mut there) = (State::default(), State::default());
    let start = async {
        let one = builder(&network, A, memory.clone()).seed(1).start(&mut here);
        let two = builder(&network, B, store).seed(2).start(&mut there);
        futures::future::try_join(one, two).await
    };
    let (mut one, mut two) = network.run(start).unwrap().unwrap();
    one.snapshot();
    let said = watch(&network, &mut [(&mut one, &mut here), (&mut two, &mut there)], SECOND);
    assert_eq!((count(&said[0], "committed"), count(&said[1], "committed")), (1, 1), "{said:?}");
    // One is killed and comes back; two has to read its part.
    set(&hangs, |operation| matches!(operation, Operation::Read(Key::Part { .. })));
    drop(one);
    let mut here = State::default();
    let mut one = network
        .run(builder(&network, A, memory).seed(3).start(&mut here))
        .expect("it ends")
        .expect("it starts");
    let said = watch(&network, &mut [(&mut one, &mut here), (&mut two, &mut there)], 30 * SECOND);
    assert!(count(&said[1], "has not answered for 5s: read part/") > 0, "{said:?}");
    assert_eq!(count(&said[1], "rolled back"), 0);
    set(&hangs, |_| false);
    let said = watch(&network, &mut [(&mut one, &mut here), (&mut two, &mut there)], 30 * SECOND);
    assert_eq!(count(&said[1], "rolled back"), 1, "{said:?}");
}
