//! Shared nodes under crashes: many tasks whose writes are acknowledged only when they are committed. One seed decides all;
//! `SEED=n cargo test -p snapshot-core --test driver shared_storms` replays it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use snapshot_core::{
    Bound, CallError, CallId, Calls, Event, Graph, NodeId, Outbox, Postcard, PostcardState, SendError,
    SharedNode, SnapshotNode, TurnError,
};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;

const START: u64 = 100;
const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// What a node holds: money, which moves about, and the writes of its clients.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Ledger {
    balance: u64,
    writes: BTreeMap<u64, u32>,
}

impl PostcardState for Ledger {}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum Message {
    Pay(u64),
    Write { call: CallId, write: u64 },
    Done { call: CallId },
}

type Node = SharedNode<Ledger, Message>;

#[test]
fn acknowledged_writes_are_there_once_and_money_is_neither_made_nor_lost() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..100,
    };
    let mut totals = Totals::default();
    for seed in seeds.clone() {
        let run = std::panic::AssertUnwindSafe(|| storm(seed));
        match std::panic::catch_unwind(run) {
            Ok(found) => totals.add(&found),
            Err(panic) => {
                eprintln!("replay: SEED={seed} cargo test -p snapshot-core --test driver shared_storms");
                std::panic::resume_unwind(panic);
            }
        }
    }
    // A test in which nothing happens shows nothing.
    if seeds.count() > 1 {
        assert!(totals.crashes > 100 && totals.acknowledged > 1000 && totals.rolled_back > 100, "{totals:?}");
    }
}

#[derive(Default, Debug)]
struct Totals {
    crashes: u64,
    acknowledged: u64,
    rolled_back: u64,
    calls: u64,
}

impl Totals {
    fn add(&mut self, found: &Self) {
        self.crashes += found.crashes;
        self.acknowledged += found.acknowledged;
        self.rolled_back += found.rolled_back;
        self.calls += found.calls;
    }
}

/// The clients' side: what outlives every crash.
#[derive(Default)]
struct World {
    random: Cell<u64>,
    /// Acknowledged writes, and the node that must hold each.
    acknowledged: RefCell<BTreeMap<u64, NodeId>>,
    next_write: Cell<u64>,
    rolled_back: Cell<u64>,
    calls: Cell<u64>,
    quiet: Cell<bool>,
}

impl World {
    fn below(&self, bound: u64) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)) % bound
    }
}

/// The tasks of one process. Dropped, it is a crash.
struct Process {
    node: Node,
    tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>,
}

fn handle(
    ledger: &mut Ledger,
    event: Event<Message, Ledger>,
    out: &mut Outbox<'_, Ledger, Message>,
    calls: &Calls<()>,
) -> Result<(), SendError> {
    if let Event::Message { from, message } = event {
        match message {
            Message::Pay(amount) => ledger.balance += amount,
            Message::Write { call, write } => {
                *ledger.writes.entry(write).or_default() += 1;
                out.send(from, Message::Done { call })?;
            }
            Message::Done { call } => drop(calls.answer(out, call, ())),
        }
    }
    Ok(())
}

/// A client: writes here or by way of here, and believes only what is committed.
async fn client(
    world: Rc<World>,
    node: Node,
    calls: Calls<()>,
    clock: std::sync::Arc<dyn snapshot_core::Clock>,
) {
    let me = node.id();
    while !world.quiet.get() {
        clock.sleep_until(clock.now() + Duration::from_millis(world.below(20))).await;
        let write = world.next_write.get();
        world.next_write.set(write + 1);
        let to = MEMBERS[world.below(3) as usize];
        let at = if to == me {
            let turn = |ledger: &mut Ledger, out: &mut Outbox<'_, _, _>| {
                *ledger.writes.entry(write).or_default() += 1;
                out.turn()
            };
            node.turn(turn).await.map_err(CallError::from)
        } else {
            world.calls.set(world.calls.get() + 1);
            let timeout = Duration::from_millis(50 + world.below(500));
            let ask = |ledger: &mut Ledger, call, out: &mut Outbox<'_, _, _>| {
                let amount = 1.min(ledger.balance);
                ledger.balance -= amount;
                out.send(to, Message::Pay(amount))?;
                out.send(to, Message::Write { call, write })
            };
            calls.call(&node, timeout, ask).await.map(|answer| answer.turn)
        };
        let done = match at {
            Ok(at) => node.committed(at).await.map_err(CallError::from),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => drop(world.acknowledged.borrow_mut().insert(write, to)),
            Err(CallError::RolledBack { .. }) => world.rolled_back.set(world.rolled_back.get() + 1),
            Err(CallError::TimedOut { .. }) => {}
            Err(CallError::Ended) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn boot(network: &MemNetwork<Message>, store: &MemoryStore, world: &Rc<World>, id: NodeId) -> Process {
    let builder = SnapshotNode::builder(network.transport(id))
        .codec(Postcard)
        .store(store.clone())
        .seed(world.below(u64::MAX))
        .interval(Duration::from_millis(30))
        .outbox(Bound::new(2, 1 << 20), Bound::new(64, 1 << 20));
    let state = Ledger { balance: START, writes: BTreeMap::new() };
    let (node, driver) = network.run(builder.share(state)).expect("at once").expect("it starts");
    let calls = Calls::new();
    let answers = calls.clone();
    let run = driver.run(move |ledger: &mut Ledger, event, out| handle(ledger, event, out, &answers));
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> =
        vec![Box::pin(async { run.await.expect("nothing ends it but a crash") })];
    for _ in 0..4 {
        tasks.push(Box::pin(client(Rc::clone(world), node.clone(), calls.clone(), network.clock())));
    }
    Process { node, tasks }
}

/// Polls the tasks of all processes, some of them and in an order of the seed's choice, until `done` is.
fn run_until<R>(
    network: &MemNetwork<Message>,
    world: &World,
    processes: &mut [Process],
    done: impl Future<Output = R>,
) -> R {
    let mut done = pin!(done);
    let both = poll_fn(|cx| {
        let all: u64 = processes.iter().map(|process| process.tasks.len() as u64).sum();
        for _ in 0..all {
            let process = &mut processes[world.below(3) as usize];
            let count = process.tasks.len();
            if count > 0 {
                let chosen = world.below(count as u64) as usize;
                if process.tasks[chosen].as_mut().poll(cx).is_ready() {
                    drop(process.tasks.remove(chosen));
                }
            }
        }
        // One that was not chosen may have been woken.
        for process in &mut *processes {
            process.tasks.retain_mut(|task| task.as_mut().poll(cx).is_pending());
        }
        done.as_mut().poll(cx)
    });
    network.run(both).unwrap_or_else(|stuck| panic!("{stuck}"))
}

fn storm(seed: u64) -> Totals {
    let world = Rc::new(World { random: Cell::new(seed), ..World::default() });
    let delay = Duration::ZERO..=Duration::from_millis(world.below(10));
    let network =
        MemNetwork::builder(&Graph::mesh(MEMBERS)).seed(seed).delay(delay).build().expect("a graph");
    let store = MemoryStore::new();
    let mut processes: Vec<Process> = MEMBERS.iter().map(|id| boot(&network, &store, &world, *id)).collect();
    let clock = network.clock();
    let mut crashes = 0;
    for _ in 0..1 + world.below(5) {
        let wait = clock.sleep_until(clock.now() + Duration::from_millis(1 + world.below(150)));
        run_until(&network, &world, &mut processes, wait);
        let victims: BTreeSet<usize> = (0..1 + world.below(2)).map(|_| world.below(3) as usize).collect();
        for victim in &victims {
            network.crash(MEMBERS[*victim]);
            processes[*victim].tasks.clear();
            crashes += 1;
        }
        if world.below(2) == 0 {
            let wait = clock.sleep_until(clock.now() + Duration::from_millis(world.below(60)));
            run_until(&network, &world, &mut processes, wait);
        }
        for victim in victims {
            processes[victim] = boot(&network, &store, &world, MEMBERS[victim]);
        }
    }
    // The storm is over: clients finish what they wait for, and all comes to rest.
    world.quiet.set(true);
    let wait = clock.sleep_until(clock.now() + Duration::from_secs(2));
    run_until(&network, &world, &mut processes, wait);
    assert!(processes.iter().all(|process| process.tasks.len() == 1), "every client has come to an end");

    let ledgers: BTreeMap<NodeId, Ledger> =
        processes.iter().map(|process| (process.node.id(), process.node.read(Ledger::clone))).collect();
    assert_eq!(ledgers.values().map(|ledger| ledger.balance).sum::<u64>(), 3 * START);
    for (write, node) in &*world.acknowledged.borrow() {
        assert_eq!(ledgers[node].writes.get(write), Some(&1), "write {write} of {node} was acknowledged");
    }
    assert!(ledgers.values().all(|ledger| ledger.writes.values().all(|times| *times == 1)), "{ledgers:?}");
    let acknowledged = world.acknowledged.borrow().len() as u64;
    Totals { crashes, acknowledged, rolled_back: world.rolled_back.get(), calls: world.calls.get() }
}

/// The check bites: a client that believes what is not committed is found out.
#[test]
fn a_write_that_is_believed_before_it_is_committed_can_be_lost() {
    let (network, store) = (MemNetwork::<Message>::mesh::<3>().0, MemoryStore::new());
    let world = Rc::new(World::default());
    world.quiet.set(true);
    let mut processes: Vec<Process> = MEMBERS.iter().map(|id| boot(&network, &store, &world, *id)).collect();
    let node = processes[0].node.clone();
    let written = async {
        node.turn(|ledger, out| {
            ledger.writes.insert(7, 1);
            out.turn()
        })
        .await
    };
    let at = run_until(&network, &world, &mut processes, written).expect("it runs");
    network.crash(MEMBERS[1]);
    processes[1] = boot(&network, &store, &world, MEMBERS[1]);
    let verdict = run_until(&network, &world, &mut processes, node.committed(at));
    assert_eq!(verdict, Err(TurnError::RolledBack));
    assert!(node.read(|ledger| ledger.writes.is_empty()));
}
