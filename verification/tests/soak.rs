//! A few thousand seeds of whole nodes in simulation, and proof that the oracles can fail.

use serde::Serialize;
use serde::de::DeserializeOwned;
use snapshot_core::{NodeId, StateProvider};
use snapshot_transport_mem::simulation::{FaultKind, Summary};
use snapshot_verification::soak::bank::Bank;
use snapshot_verification::soak::counters::Numbered;
use snapshot_verification::soak::forgetful::forgetful;
use snapshot_verification::soak::machine::Machines;
use snapshot_verification::soak::token::TokenRing;
use snapshot_verification::soak::{App, Judged, Soak, graphs};

const SEEDS: u64 = 700;

/// Runs all seeds of an application; with `SEED=n` in the environment only that one.
fn holds(app: App) {
    let replayed = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    let mut soak = Soak::with_trace(if replayed.is_some() { usize::MAX } else { 40 });
    let mut all = Summary::default();
    for seed in replayed.map_or(0..SEEDS, |seed| seed..seed + 1) {
        match soak.run(app, seed) {
            Ok(summary) => all += &summary,
            Err(defect) => panic!("{defect}"),
        }
    }
    if replayed.is_none() {
        assert!(all.commits > 5 * SEEDS && all.rollbacks > 5 * SEEDS, "too little to say anything: {all}");
        for kind in FaultKind::ALL {
            assert!(all.faults.contains_key(&kind), "{kind} never came: {all}");
        }
    }
}

#[test]
fn no_money_and_no_acknowledged_deposit_is_lost() {
    holds(App::Bank);
}

#[test]
fn there_is_one_token_whatever_happens() {
    holds(App::Token);
}

#[test]
fn every_number_comes_once_and_in_its_place() {
    holds(App::Counters);
}

#[test]
fn every_cut_is_a_state_of_the_sequential_reference() {
    holds(App::Machine);
}

#[test]
fn two_runs_of_a_seed_leave_the_same_trace() {
    for app in App::ALL {
        for seed in 1000..1020 {
            let hash = || Soak::new().run(app, seed).expect("it holds").trace_hash;
            assert_eq!(hash(), hash(), "{app}, seed {seed}");
        }
    }
}

/// With replay of channel state left out, the check fails; with it, the same seeds hold.
fn bites<A>()
where
    A: Judged<Message: Serialize + DeserializeOwned, State: StateProvider<Captured: Clone>> + 'static,
{
    for graph in graphs() {
        let (forgets, remembers) = (forgetful::<A>(&graph, true), forgetful::<A>(&graph, false));
        let failure = (0..40).find_map(|seed| forgets.run(seed).err());
        let failure =
            failure.unwrap_or_else(|| panic!("{graph:?}: 40 seeds without replay, and nobody noticed"));
        remembers.run(failure.seed()).expect("nothing is wrong but the replay");
    }
}

#[test]
fn without_replay_money_is_missed() {
    bites::<Bank>();
}

#[test]
fn without_replay_the_token_is_missed() {
    bites::<TokenRing>();
}

#[test]
fn without_replay_a_number_is_missed() {
    bites::<Numbered>();
}

#[test]
fn without_replay_the_sequential_reference_differs() {
    bites::<Machines>();
}

#[test]
fn the_graphs_are_small_and_different() {
    let graphs = graphs();
    assert!(graphs.iter().all(|graph| graph.at(NodeId(1)).is_ok() && graph.members().len() <= 5));
    assert!(graphs.iter().enumerate().all(|(at, graph)| !graphs[..at].contains(graph)));
}
