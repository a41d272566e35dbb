//! How you test your own state machine. A lesson in four tests; run it with `cargo test -p snapshot-examples --test unit_test`.
//!
//! The state machine is yours, and knows nothing of snapshots: warehouses that send each other goods. Below it are the few
//! lines that connect it, then the tests. Each runs whole nodes, a network and a store in one thread, in virtual time:
//! nothing sleeps, nothing is left to chance, and what a seed has found it finds again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, NodeId, PostcardState};
use snapshot_transport_mem::simulation::{Application, Cut, Outgoing, Random, SimulatedGroup, TestGroup};

// ---- The state machine, as it is in production ------------------------------------------------------------------------

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Warehouse {
    stock: u32,
    parcels_sent: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Message {
    /// Please send me so many.
    Order(u32),
    /// Here they are. Parcels of one sender are numbered.
    Parcel { number: u64, items: u32 },
}

impl Warehouse {
    /// Takes a message, and returns the answer to whoever sent it.
    fn apply(&mut self, message: Message) -> Option<Message> {
        match message {
            Message::Order(wanted) => self.pack(wanted),
            Message::Parcel { items, .. } => {
                self.stock += items;
                None
            }
        }
    }

    /// A parcel with as many as there are.
    fn pack(&mut self, wanted: u32) -> Option<Message> {
        let items = wanted.min(self.stock);
        self.stock -= items;
        self.parcels_sent += 1;
        (items > 0).then_some(Message::Parcel { number: self.parcels_sent, items })
    }
}

/// One line makes it a state that snapshots can capture.
impl PostcardState for Warehouse {}

// ---- What connects it with the tests: what your message loop does with each event ---------------------------------------

/// What is no part of the state: here only the defect that the last test plants.
#[derive(Default)]
struct Warehouses {
    /// "A network may repeat a parcel": a list of those that a warehouse has seen, in its memory.
    seen: Option<BTreeMap<NodeId, BTreeSet<(NodeId, u64)>>>,
}

impl Application for Warehouses {
    type State = Warehouse;
    type Message = Message;

    fn start(&mut self, _node: NodeId) -> Warehouse {
        Warehouse { stock: 100, parcels_sent: 0 }
    }

    fn handle(
        &mut self,
        state: &mut Warehouse,
        from: NodeId,
        message: Message,
        out: &mut Outgoing<'_, Message>,
    ) {
        if let (Some(seen), Message::Parcel { number, .. }) = (&mut self.seen, &message)
            && !seen.entry(out.me()).or_default().insert((from, *number))
        {
            return;
        }
        if let Some(answer) = state.apply(message) {
            out.send(from, answer);
        }
    }

    /// What comes from outside while a simulation runs: somebody is short of something.
    fn work(&mut self, _: &mut Warehouse, random: &mut Random, out: &mut Outgoing<'_, Message>) {
        out.send(*random.pick(out.neighbours()), Message::Order(1 + random.below(9) as u32));
    }
}

const NORTH: NodeId = NodeId(1);
const SOUTH: NodeId = NodeId(2);

fn two_warehouses() -> TestGroup<Warehouses> {
    TestGroup::new(Graph::mesh([NORTH, SOUTH]), Warehouses::default())
}

// ---- 1. Freeze a message in flight, take a snapshot, look at the cut --------------------------------------------------

/// The usual accounting error: goods that have left one place and have not come to the other.
#[test]
fn goods_on_the_road_are_in_the_snapshot() {
    let mut group = two_warehouses();
    group.network().hold(NORTH, SOUTH); // the road is closed …
    group.turn(NORTH, |north, out| {
        let parcel = north.pack(30).expect("there is enough");
        out.send(SOUTH, parcel); // … and a parcel is on it
    });
    group.begin_snapshot(SOUTH); // both have captured: the cut is fixed
    group.network().release(NORTH, SOUTH);
    let cut = group.committed();

    let stock = |node| cut.state(node).map(|warehouse| warehouse.stock);
    assert_eq!((stock(NORTH), stock(SOUTH)), (Some(70), Some(100)));
    assert_eq!(cut.channel(NORTH, SOUTH), [Message::Parcel { number: 1, items: 30 }]);
    assert_eq!(no_item_is_lost(&cut), Ok(()));
}

// ---- 2. Restart from it ------------------------------------------------------------------------------------------------

/// The snapshot is committed while the parcel is on the road. Whatever happens later, and however often all processes die:
/// they resume from there, and the parcel arrives once.
#[test]
fn a_parcel_in_flight_arrives_exactly_once_after_every_restart() {
    let mut group = two_warehouses();
    group.network().hold(NORTH, SOUTH);
    group.turn(SOUTH, |_, out| out.send(NORTH, Message::Order(30)));
    group.settle(); // north has answered, into the closed road
    group.begin_snapshot(SOUTH);
    group.network().release(NORTH, SOUTH);
    group.committed();

    group.turn(SOUTH, |south, _| south.stock = 0); // a fire, after the snapshot
    for _ in 0..3 {
        group.restart();
        assert_eq!((group.state(NORTH).stock, group.state(SOUTH).stock), (70, 130));
    }
}

// ---- 3. All that you did not think of ----------------------------------------------------------------------------------

/// What holds in every cut, states and messages in flight together. In production the same function can be a `check` of the
/// node's builder.
fn no_item_is_lost(cut: &Cut<Warehouses>) -> Result<(), String> {
    let in_stock: u32 = cut.states().map(|(_, warehouse)| warehouse.stock).sum();
    let items = |message: &Message| if let Message::Parcel { items, .. } = message { *items } else { 0 };
    let on_the_road: u32 = cut.in_flight().map(|(_, message)| items(message)).sum();
    let all = 100 * cut.members().len() as u32;
    if in_stock + on_the_road == all {
        Ok(())
    } else {
        Err(format!("{in_stock} in stock and {on_the_road} on the road are not {all}"))
    }
}

fn simulated(start: impl Fn() -> Warehouses + 'static) -> SimulatedGroup<Warehouses> {
    SimulatedGroup::new(Graph::mesh([1, 2, 3].map(NodeId)), start)
        .invariant("no item is lost", no_item_is_lost)
}

/// A hundred seeds, each another course of things: who moves when, slow roads, broken connections, processes that die and
/// come back, a store that fails. The invariant is checked on every snapshot that is committed meanwhile.
#[test]
fn no_item_is_lost_whatever_happens() {
    let summary = simulated(Warehouses::default).check(0..100);
    let enough = summary.commits > 100 && summary.rollbacks > 100;
    assert!(enough || summary.replayed, "was there anything to look at? {summary}");
}

// ---- 4. What a failure looks like --------------------------------------------------------------------------------------

/// A list of parcels seen looks like a good idea. But it is no part of the state: when the warehouse goes back to a snapshot
/// the list does not, and the parcel that comes again, rightly, is thrown away. No test by hand has found that; a seed does.
#[test]
fn a_list_that_does_not_go_back_with_the_state_is_found_and_the_failure_says_how_to_replay_it() {
    let group = simulated(|| Warehouses { seen: Some(BTreeMap::new()) });
    let failure = (0..100).find_map(|seed| group.run(seed).err()).expect("it is found");
    // With `group.check(0..100)` this text is what the test panics with.
    let text = failure.to_string();
    let (seed, last) = (failure.seed(), text.lines().last().unwrap_or_default());
    assert!(text.contains("`no item is lost` does not hold in g"), "{text}");
    assert!(
        last.contains(&format!("SEED={seed} cargo test -p snapshot-examples a_list_that_does_not")),
        "{text}"
    );
}
