//! Random schedules with faults, on the rules alone. A failing seed is replayed with `SEED=<n> cargo test -p snapshot-core
//! --test protocol schedules`.

use std::time::Duration;

use crate::group::{Group, Transfer};
use snapshot_core::{Bound, Failure, Graph, NodeId, Retention, Settings};

const IDS: [NodeId; 4] = [NodeId(3), NodeId(7), NodeId(10), NodeId(11)];

fn graphs() -> Vec<(&'static str, Graph)> {
    vec![
        ("pair", Graph::mesh(IDS[..2].to_vec())),
        ("mesh", Graph::mesh(IDS[..3].to_vec())),
        ("ring", Graph::ring(IDS)),
        ("star", Graph::star(IDS)),
    ]
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..count).collect(),
    }
}

/// Windows for one message, for a few, and for more than are ever sent; by weight too, so that some go alone. A transport that
/// takes what it can at once, or leaves it for a while.
fn flow(group: &mut Group, seed: u64) {
    let (messages, bytes) = [(4096, 4 << 20), (1, usize::MAX), (3, 4), (2, 16)][seed as usize % 4];
    group.settings.inbox = Bound::new(messages, bytes);
    group.settings.window_floor = Bound::new(1, 1);
    group.weigh = [by_amount, by_either_end][seed as usize / 4 % 2];
    group.lazy = seed / 2 % 3 * 40;
    if seed % 5 == 4 {
        // Outboxes are over their high mark most of the time, so that little is handed out but now and then (W8).
        group.settings.outbox_low = Bound::new(5, usize::MAX);
        group.settings.outbox_high = Bound::new(2, usize::MAX);
        group.settings.stall = Duration::from_millis(50);
    }
}

/// All that was sent is taken, if it takes a while.
fn come_to_rest(group: &mut Group) {
    for _ in 0..1000 {
        group.settle();
        if group.balance() == group.total {
            return;
        }
        group.pass_time(Duration::from_millis(5));
    }
}

fn by_amount(_: NodeId, transfer: &Transfer) -> usize {
    transfer.amount as usize
}

/// The two ends of a channel differ, by as much as they may.
fn by_either_end(node: NodeId, transfer: &Transfer) -> usize {
    transfer.amount as usize * if node.0.is_multiple_of(2) { 2 } else { 1 }
}

/// Says which seed failed.
struct Replay(u64, &'static str);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with SEED={} (graph {})", self.0, self.1);
        }
    }
}

fn step(group: &mut Group, faults: bool) {
    let members = group.graph.members().to_vec();
    let node = members[group.random.below(members.len())];
    let pairs: Vec<_> = group.channels.keys().copied().collect();
    let pair = pairs[group.random.below(pairs.len())];
    match group.random.below(100) {
        0..28 => drop(group.deliver(pair)),
        28..30 => drop(group.deliver_batch(pair)),
        30..35 => drop(group.depart(pair)),
        35..60 => drop(group.serve(node)),
        60..75 => drop(group.take(node)),
        75..90 => group.pay(node),
        90..93 => drop(group.initiate(node)),
        93..97 => group.pass_time(Duration::from_millis(5)),
        97 if !group.processes.contains_key(&node) => group.boot(node),
        98 if faults && group.random.chance(30) => group.break_link(pair.0, pair.1),
        99 if faults && group.random.chance(30) && group.processes.contains_key(&node) => group.crash(node),
        _ => {}
    }
}

fn durable() -> Settings {
    Settings {
        durable: true,
        deadline: Duration::from_millis(500),
        retention: Retention::All,
        ..Settings::default()
    }
}

/// A start that the store failed is tried again, as a supervisor would.
fn restart_failed(group: &mut Group) {
    for id in group.graph.members().to_vec() {
        match group.processes.get(&id).and_then(|process| process.failed.clone()) {
            None => {}
            Some(Failure::Store { .. }) => group.crash(id),
            Some(failure) => panic!("{id} has failed: {failure}"),
        }
    }
}

/// Faults stop: within a bound the group runs in one generation, and the next snapshot commits.
fn recover(group: &mut Group) {
    group.store.faults = 0;
    let initiator = group.graph.members()[0];
    for _ in 0..50 {
        restart_failed(group);
        for id in group.graph.members().to_vec() {
            if !group.processes.contains_key(&id) {
                group.boot(id);
            }
        }
        group.settle();
        group.pass_time(Duration::from_millis(600));
        group.settle();
        let Some(id) = group.initiate(initiator) else { continue };
        group.settle();
        if group.processes[&initiator].reports.contains(&id) {
            let generations: Vec<_> = group.processes.values().map(|p| p.coordinator.generation()).collect();
            assert!(generations.iter().all(|g| *g == generations[0]), "{generations:?}");
            return;
        }
    }
    panic!("no snapshot commits after the faults have stopped");
}

#[test]
fn every_cut_is_exact_while_nothing_fails() {
    let mut overtaken = 0;
    for seed in seeds(150) {
        for (name, graph) in graphs() {
            let _replay = Replay(seed, name);
            for durable in [false, true] {
                let settings = Settings { durable, deadline: Duration::from_secs(9), ..Settings::default() };
                let settings = Settings { retention: Retention::All, ..settings };
                let mut group = Group::new(graph.clone(), settings, seed);
                flow(&mut group, seed);
                group.boot_all();
                for _ in 0..600 {
                    step(&mut group, false);
                }
                come_to_rest(&mut group);
                assert!(group.processes.values().all(|process| process.failed.is_none()));
                assert_eq!(group.balance(), group.total);
                assert_eq!(group.rollbacks, 0);
                let begun: usize = group.processes.values().map(|p| p.reports.len() + p.aborted.len()).sum();
                assert!(group.check_cuts() > 0 || begun == 0);
                overtaken += group.overtaken();
            }
        }
    }
    let enough = overtaken > 10_000;
    assert!(enough || std::env::var("SEED").is_ok(), "markers have overtaken too little: {overtaken}");
}

#[derive(Default, Debug)]
struct Tried {
    rollbacks: u64,
    commits: u64,
    replayed: usize,
    overtaken: usize,
}

/// Trouble of every kind, then recovery.
fn survive(graph: &Graph, seed: u64, forgetful: bool) -> Tried {
    let retention = if seed.is_multiple_of(2) { Retention::last(1) } else { Retention::All };
    let mut group = Group::new(graph.clone(), Settings { retention, ..durable() }, seed);
    group.store.faults = seed % 3 * 4;
    group.store.forgets_channels = forgetful;
    flow(&mut group, seed);
    group.boot_all();
    for _ in 0..900 {
        step(&mut group, true);
        restart_failed(&mut group);
    }
    recover(&mut group);
    come_to_rest(&mut group);
    assert_eq!(group.balance(), group.total, "money was made or lost");
    group.check_cuts();
    Tried {
        rollbacks: group.rollbacks,
        commits: group.commits,
        replayed: group.store.replayed,
        overtaken: group.overtaken(),
    }
}

#[test]
fn nothing_is_lost_or_counted_twice_whatever_fails() {
    let mut all = Tried::default();
    for seed in seeds(300) {
        for (name, graph) in graphs() {
            let _replay = Replay(seed, name);
            let one = survive(&graph, seed, false);
            all.rollbacks += one.rollbacks;
            all.commits += one.commits;
            all.replayed += one.replayed;
            all.overtaken += one.overtaken;
        }
    }
    let enough = all.rollbacks > 1000 && all.commits > 1000 && all.replayed > 1000 && all.overtaken > 1000;
    assert!(enough || std::env::var("SEED").is_ok(), "these seeds try too little: {all:?}");
}

#[test]
fn a_restart_without_the_recorded_messages_is_found_out() {
    // The bite test: what the other test checks must fail when the protocol is broken on purpose.
    let graph = Graph::mesh(IDS[..3].to_vec());
    let caught = (0..20).filter(|seed| {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let result = std::panic::catch_unwind(|| survive(&graph, *seed, true));
        std::panic::set_hook(quiet);
        result.is_err()
    });
    assert!(caught.count() > 0, "20 runs without replay, and nobody noticed");
}
