//! Random schedules with faults, on the rules alone. A failing seed is replayed with `SEED=<n> cargo test -p snapshot-core
//! --test schedules`.

mod group;

use std::time::Duration;

use group::Group;
use snapshot_core::{Graph, NodeId, Retention, Settings};

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
        0..35 => drop(group.deliver(pair)),
        35..55 => drop(group.serve(node)),
        55..70 => drop(group.take(node)),
        70..88 => group.pay(node),
        88..92 => drop(group.initiate(node)),
        92..96 => group.pass_time(Duration::from_millis(10)),
        96 if faults => group.break_link(pair.0, pair.1),
        97 if faults && group.processes.contains_key(&node) => group.crash(node),
        98 if !group.processes.contains_key(&node) => group.boot(node),
        _ => {}
    }
}

fn durable() -> Settings {
    Settings { durable: true, deadline: Duration::from_millis(500), retention: Retention::All, ..Settings::default() }
}

/// Faults stop: within a bound the group runs in one generation, and the next snapshot commits.
fn recover(group: &mut Group) {
    group.store.faults = 0;
    for id in group.graph.members().to_vec() {
        if !group.processes.contains_key(&id) {
            group.boot(id);
        }
    }
    let initiator = group.graph.members()[0];
    for _ in 0..50 {
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

fn trouble(group: &Group) {
    for (id, process) in &group.processes {
        assert_eq!(process.failed, None, "{id} has failed");
    }
}

#[test]
fn every_cut_is_exact_while_nothing_fails() {
    for seed in seeds(150) {
        for (name, graph) in graphs() {
            let _replay = Replay(seed, name);
            for durable in [false, true] {
                let settings = Settings { durable, deadline: Duration::from_secs(9), ..Settings::default() };
                let settings = Settings { retention: Retention::All, ..settings };
                let mut group = Group::new(graph.clone(), settings, seed);
                group.boot_all();
                for _ in 0..600 {
                    step(&mut group, false);
                }
                group.settle();
                trouble(&group);
                assert_eq!(group.balance(), group.total);
                assert_eq!(group.rollbacks, 0);
                let begun: usize = group.processes.values().map(|p| p.reports.len() + p.aborted.len()).sum();
                assert!(group.check_cuts() > 0 || begun == 0);
            }
        }
    }
}

#[test]
fn nothing_is_lost_or_counted_twice_whatever_fails() {
    let (mut rollbacks, mut commits) = (0, 0);
    for seed in seeds(400) {
        for (name, graph) in graphs() {
            let _replay = Replay(seed, name);
            let mut group = Group::new(graph, durable(), seed);
            group.store.faults = seed % 3 * 4;
            group.boot_all();
            for _ in 0..900 {
                step(&mut group, true);
                // A start that the store failed is tried again, as a supervisor would.
                for id in group.graph.members().to_vec() {
                    if group.processes.get(&id).is_some_and(|p| p.failed.is_some()) {
                        assert!(group.store.faults > 0, "{:?}", group.processes[&id].failed);
                        group.crash(id);
                    }
                }
            }
            recover(&mut group);
            trouble(&group);
            group.settle();
            assert_eq!(group.balance(), group.total, "money was made or lost");
            group.check_cuts();
            rollbacks += group.rollbacks;
            commits += group.commits;
        }
    }
    assert!(std::env::var("SEED").is_ok() || rollbacks > 1000 && commits > 1000, "{rollbacks} rollbacks, {commits} commits");
}
