//! Whole nodes in trouble of every kind, decided by one seed.

use std::io::ErrorKind;
use std::time::Duration;

use crate::bank::{A, B, C, Group, Ledger, START, on};
use snapshot_core::{Archive, Bound, GlobalSnapshot, Graph, NodeBuilder, Postcard, Retention};
use snapshot_store::{Fault, FaultyStore, MemoryStore};
use snapshot_transport_mem::MemNetwork;

/// Payments, snapshots, broken connections, killed processes, a store that fails now and then, slow applications, `next`
/// dropped at every wait: one seed decides all. `SEED=n` replays one.
#[test]
fn money_is_conserved_in_every_committed_snapshot_of_a_storm() {
    let seeds =
        std::env::var("SEED").map_or((0..120).collect(), |seed| vec![seed.parse::<u64>().expect("a number")]);
    let mut commits = 0;
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| storm(seed));
        commits += outcome.unwrap_or_else(|_| panic!("replay with SEED={seed}"));
    }
    assert!(std::env::var("SEED").is_ok() || commits > 100, "{commits} commits are too few to say anything");
}

fn storm(seed: u64) -> usize {
    let mut state = seed;
    let mut below = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    let graphs = [Graph::mesh([A, B, C]), Graph::ring([A, B, C]), Graph::star([A, B, C])];
    let graph = &graphs[below(3)];
    let memory = MemoryStore::new();
    let mut faults = seed;
    let store = FaultyStore::new(memory.clone(), move |_| {
        faults = faults.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match (faults >> 40) % 60 {
            0 => Fault::Fail(ErrorKind::TimedOut),
            1 => Fault::LoseAnswer,
            _ => Fault::None,
        }
    });
    let mut group =
        Group { network: MemNetwork::new(graph).expect("good"), store: on(&store), apps: vec![], tune: tiny };
    let members = [A, B, C];
    for _ in 0..600 {
        let one = members[below(3)];
        let alive = group.apps.iter().position(|app| app.id() == one);
        match (below(40), alive) {
            (0..12, Some(at)) if group.apps[at].node.has_room() && group.apps[at].ledger.balance > 0 => {
                let to: Vec<_> = group.apps[at].node.topology().outgoing().collect();
                let to = to[below(to.len())].id();
                group.apps[at].pay(to, 1);
            }
            (12..14, Some(at)) => group.apps[at].node.snapshot(),
            (14, Some(at)) => group.apps[at].idle ^= true,
            (15, Some(_)) if below(4) == 0 => group.kill(one),
            (16, _) if below(4) == 0 => {
                let other = members[below(3)];
                if one != other && graph.at(one).is_ok_and(|t| t.peer(other).is_some()) {
                    group.network.cut(one, other);
                    group.network.heal(one, other);
                }
            }
            (17, _) => group.network.advance(Duration::from_millis(40)),
            // A start that fails for the store's sake is tried again.
            (18..22, None) => drop(group.boot(one)),
            _ => group.some(1 + below(12), &mut below),
        }
        assert!(group.apps.iter().all(|app| app.saw("CheckFailed") == 0), "the node's own check has failed");
        group.apps.retain(|app| match &app.error {
            Some(error) => panic!("{}: {error}", app.id()),
            None => true,
        });
    }
    // The storm is over: the group comes back, and the next snapshot commits.
    group.store = on(&memory);
    for id in members {
        if !group.apps.iter().any(|app| app.id() == id) {
            group.boot(id).expect("nothing is wrong any more");
        }
    }
    for app in &mut group.apps {
        app.idle = false;
    }
    let report = (0..40).find_map(|_| group.snapshot(A).ok()).expect("a snapshot commits again");
    let archive = Archive::<Ledger, u64>::open(memory, Postcard);
    let archive = group.network.run(archive).expect("at once").expect("a good journal");
    assert!(archive.commits().iter().any(|commit| commit.snapshot == report.snapshot));
    for commit in archive.commits() {
        let cut = group.network.run(archive.read(commit.snapshot)).expect("at once").expect("all are kept");
        assert_eq!(money(&cut), Ok(()), "{}", commit.snapshot);
    }
    archive.commits().len()
}

fn money(cut: &GlobalSnapshot<Ledger, u64>) -> Result<(), String> {
    let held: u64 = cut.states().map(|(_, ledger)| ledger.balance).sum();
    let flying: u64 = cut.in_flight().map(|(_, amount)| *amount).sum();
    if held + flying == 3 * START { Ok(()) } else { Err(format!("{}", held + flying)) }
}

fn tiny(builder: NodeBuilder<Ledger, u64>) -> NodeBuilder<Ledger, u64> {
    let builder = builder.check("money", money);
    let builder =
        builder.retention(Retention::All).deadline(Duration::from_secs(1)).inbox(Bound::new(2, 1 << 20));
    builder.outbox(Bound::new(4, 1 << 20), Bound::new(64, 1 << 20))
}
