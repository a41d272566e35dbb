//! Damage of every kind, to every kind of object that a store holds: what a start makes of it, with and without leave to fall back.

use std::time::Duration;

use bytes::Bytes;
use futures::executor::block_on;
use snapshot_core::{
    Event, Key, NodeError, NodeId, Postcard, PostcardState, Sink, SnapshotNode, SnapshotStore,
};
use snapshot_store::{Fault, FaultyStore, MemoryStore, Operation};
use snapshot_transport_mem::MemNetwork;

const A: NodeId = NodeId(1);

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct State(u64);

impl PostcardState for State {}

type Node = SnapshotNode<State, u64>;

/// Makes a commit of each state from 1 on; of the last one all parts are there, and no record.
fn lived(commits: u64, is_last_left: bool) -> MemoryStore {
    let memory = MemoryStore::new();
    let (network, [transport]) = MemNetwork::<u64>::mesh::<1>();
    let mut records = 0;
    let store = FaultyStore::new(memory.clone(), move |operation| {
        if !matches!(operation, Operation::Create(Key::Journal(_))) {
            return Fault::None;
        }
        records += 1;
        if is_last_left && records == commits + 1 { Fault::Hang } else { Fault::None }
    });
    let mut state = State(0);
    let builder = SnapshotNode::builder(transport).store(store).codec(Postcard).seed(1);
    let mut node: Node = network.run(builder.start(&mut state)).unwrap().unwrap();
    for value in 1..=commits {
        state = State(value);
        node.snapshot();
        let is_last = value == commits && is_last_left;
        let wait = async {
            loop {
                match node.next(&mut state).await.unwrap() {
                    Event::Committed { .. } if !is_last => return,
                    Event::PartDurable { .. } if is_last => return,
                    _ => {}
                }
            }
        };
        network.run(wait).unwrap();
    }
    memory
}

/// Starts on a store: the state that is installed, or why there is none; and whether a commit was given up, which was told.
fn start(memory: &MemoryStore, fall_back: bool) -> (Result<u64, String>, bool) {
    let (network, [transport]) = MemNetwork::<u64>::mesh::<1>();
    let mut state = State(99);
    let builder = SnapshotNode::builder(transport).store(memory.clone()).codec(Postcard).seed(2);
    let started: Result<Node, NodeError> =
        network.run(builder.fall_back(fall_back).start(&mut state)).unwrap();
    let mut node = match started {
        Ok(node) => node,
        Err(error) => return (Err(error.to_string()), false),
    };
    let mut fell_back = false;
    let clock = network.clock();
    let until = network.now() + Duration::from_secs(1);
    let watch = async {
        loop {
            let next = std::pin::pin!(node.next(&mut state));
            match futures::future::select(next, clock.sleep_until(until)).await {
                futures::future::Either::Left((event, _)) => {
                    fell_back |= matches!(event.unwrap(), Event::FellBack { .. });
                }
                futures::future::Either::Right(_) => return,
            }
        }
    };
    network.run(watch).unwrap();
    (Ok(state.0), fell_back)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Damage {
    Torn,
    Flipped,
    Missing,
    /// What another object of its kind held before.
    Older,
}

const ALL: [Damage; 4] = [Damage::Torn, Damage::Flipped, Damage::Missing, Damage::Older];

fn content(memory: &MemoryStore, key: Key) -> Bytes {
    let (sink, bytes) = Sink::collect();
    assert!(block_on(memory.read(key, sink)).unwrap(), "{key} is there");
    bytes.take().unwrap().into()
}

fn damage(memory: &MemoryStore, key: Key, older: Option<Key>, how: Damage) {
    let other = older.map(|key| content(memory, key)).unwrap_or_default();
    match how {
        Damage::Torn => assert!(memory.corrupt(key, |bytes| bytes.truncate(bytes.len() / 2))),
        Damage::Flipped => assert!(memory.corrupt(key, |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        })),
        Damage::Missing => block_on(memory.delete(key)).unwrap(),
        Damage::Older => assert!(memory.corrupt(key, |bytes| *bytes = other.to_vec())),
    }
}

/// The part of the `n`-th snapshot.
fn part(memory: &MemoryStore, n: usize) -> Key {
    let is_part = |key: &Key| matches!(key, Key::Part { .. });
    memory.keys().into_iter().filter(is_part).nth(n - 1).expect("it was written")
}

fn seat(memory: &MemoryStore) -> Key {
    memory.keys().into_iter().find(|key| matches!(key, Key::Seat { .. })).expect("somebody sat")
}

/// What a start comes to: the state that it installs, told or not as a fall back; or the object that it names.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Runs(u64),
    FallsBack(u64),
    Names(&'static str),
}

fn check(what: &str, memory: &MemoryStore, fall_back: bool, expected: Outcome) {
    let (found, fell_back) = start(memory, fall_back);
    let fits = match (expected, &found) {
        (Outcome::Runs(state), Ok(found)) => *found == state && !fell_back,
        (Outcome::FallsBack(state), Ok(found)) => *found == state && fell_back,
        (Outcome::Names(object), Err(error)) => error.contains(object),
        _ => false,
    };
    assert!(
        fits,
        "{what}, fall back {fall_back}: {expected:?}, and it came to {found:?}, fell back {fell_back}"
    );
}

#[test]
fn damage_of_every_kind_to_every_kind_of_object_is_healed_or_named() {
    use Outcome::{FallsBack, Names, Runs};
    type Object = (&'static str, fn(&MemoryStore) -> Key, fn(&MemoryStore) -> Option<Key>);
    let newest_part: Object = ("the part of the newest commit", |m| part(m, 2), |m| Some(part(m, 1)));
    let older_part: Object = ("the part of an older commit", |m| part(m, 1), |m| Some(part(m, 2)));
    let initial: Object = ("the initial state", |_| Key::Initial(A), |m| Some(part(m, 1)));
    let the_seat: Object = ("the seat", seat, |_| Some(Key::Journal(1)));
    let newest: Object = ("the newest record", |_| Key::Journal(3), |_| Some(Key::Journal(2)));
    let older: Object = ("an older record", |_| Key::Journal(2), |_| Some(Key::Journal(1)));
    // With two commits, of the states 1 and 2.
    for how in ALL {
        for ((name, key, other), without, with) in [
            (newest_part, Names("part/"), FallsBack(1)),
            // Nobody looks at it.
            (older_part, Runs(2), Runs(2)),
            (initial, Runs(2), Runs(2)),
            // Whoever has it is somebody else, and where there is none, there was one: the next generation is opened.
            (the_seat, Runs(2), Runs(2)),
            // What is not there was not written. The parts are whole, and so it is committed again.
            (newest, if how == Damage::Missing { Runs(2) } else { Names("journal/") }, Runs(2)),
            (older, Runs(2), Runs(2)),
        ] {
            if how == Damage::Missing && name == "an older record" {
                // A journal has no holes, and no store may forget (D2).
                continue;
            }
            for (fall_back, expected) in [(false, without), (true, with)] {
                let memory = lived(2, false);
                damage(&memory, key(&memory), other(&memory), how);
                check(&format!("{name}, {how:?}"), &memory, fall_back, expected);
            }
        }
        // Before any commit.
        for fall_back in [false, true] {
            let memory = lived(0, false);
            damage(&memory, Key::Initial(A), Some(Key::Journal(1)), how);
            check(
                &format!("the only state, {how:?}"),
                &memory,
                fall_back,
                match how {
                    // It was never written: whoever starts first brings it.
                    Damage::Missing => Runs(99),
                    _ => Names("initial/"),
                },
            );
            let memory = lived(0, false);
            damage(&memory, Key::Journal(1), Some(seat(&memory)), how);
            check(
                &format!("the only record, {how:?}"),
                &memory,
                fall_back,
                match how {
                    Damage::Missing => Runs(0),
                    _ => Names("journal/"),
                },
            );
        }
        // A whole set that nobody has committed, of the state 3.
        for fall_back in [false, true] {
            let memory = lived(3, true);
            check("undamaged", &memory, fall_back, Runs(3));
            let memory = lived(3, true);
            damage(&memory, part(&memory, 3), Some(part(&memory, 2)), how);
            check(&format!("the part of an uncommitted set, {how:?}"), &memory, fall_back, Runs(2));
        }
    }
}

#[test]
fn where_every_commit_is_damaged_the_initial_states_are_the_last_resort() {
    for (and_initial, expected) in [(false, Outcome::FallsBack(0)), (true, Outcome::Names("part/"))] {
        let memory = lived(2, false);
        for n in [1, 2] {
            damage(&memory, part(&memory, n), None, Damage::Flipped);
        }
        if and_initial {
            damage(&memory, Key::Initial(A), None, Damage::Torn);
        }
        check("every commit", &memory, false, Outcome::Names("part/"));
        check("every commit", &memory, true, expected);
    }
}
