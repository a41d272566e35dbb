//! One seed decides everything.

use snapshot_core::{Graph, NodeId};
use snapshot_transport_mem::simulation::{Application, FaultKind, Faults, Outgoing, SimulatedGroup};

use crate::bank::{Defect, MEMBERS, money, simulated};

#[test]
fn two_runs_of_a_seed_are_the_same_and_two_seeds_differ() {
    let group = simulated(Graph::mesh(MEMBERS), Defect::Nothing);
    let hashes: Vec<u64> = (0..30).map(|seed| group.run(seed).expect("it holds").trace_hash).collect();
    for (seed, hash) in hashes.iter().enumerate() {
        let again = simulated(Graph::mesh(MEMBERS), Defect::Nothing).run(seed as u64).expect("it holds");
        assert_eq!(again.trace_hash, *hash, "seed {seed}");
    }
    let mut distinct = hashes.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), hashes.len());
}

#[test]
fn a_failure_is_the_same_when_it_is_replayed() {
    let group = simulated(Graph::ring(MEMBERS), Defect::InstallsNothing);
    let failure = (0..40).find_map(|seed| group.run(seed).err()).expect("it is found");
    let again = group.run(failure.seed()).expect_err("it was found before");
    assert_eq!(failure, again);
    assert!(failure.trace().len() == 40 || std::env::var_os("SEED").is_some());
}

#[test]
fn a_failure_names_the_seed_the_moment_and_the_line_that_replays_it() {
    let group = simulated(Graph::mesh(MEMBERS), Defect::Panics);
    let failure = (0..40).find_map(|seed| group.run(seed).err()).expect("it is found");
    let text = failure.to_string();
    let (first, last) = (text.lines().next().unwrap_or(""), text.lines().last().unwrap_or(""));
    assert!(first.starts_with(&format!("seed {} fails at ", failure.seed())), "{text}");
    assert!(
        last.contains(&format!("SEED={} cargo test -p snapshot-transport-mem", failure.seed())),
        "{text}"
    );
}

#[test]
fn a_fault_that_is_not_allowed_does_not_come() {
    let summary = simulated(Graph::mesh(MEMBERS), Defect::Nothing).faults(Faults::none()).check(0..20);
    assert!(summary.faults.is_empty() && summary.rollbacks == 0, "{summary}");
    let two = Faults::none().with(FaultKind::Cut).with(FaultKind::Delay);
    let summary = simulated(Graph::mesh(MEMBERS), Defect::Nothing).faults(two).check(0..20);
    let came: Vec<FaultKind> = summary.faults.keys().copied().collect();
    assert!(summary.replayed || came == [FaultKind::Delay, FaultKind::Cut], "{summary}");
    assert!(summary.replayed || summary.rollbacks > 0, "{summary}");
}

#[test]
fn the_checks_of_a_node_are_checks_of_the_simulation_too() {
    let group = simulated(Graph::mesh(MEMBERS), Defect::Nothing);
    let group = group.tune(|builder| builder.check("as in production", money)).faults(Faults::none());
    group.check(0..10);
    let group = group.tune(|builder| builder.check("impossible", |_| Err("as ever".to_owned())));
    let failure = (0..10).find_map(|seed| group.run(seed).err()).expect("it is found");
    assert!(failure.what().contains("impossible"), "{failure}");
}

/// Nodes that pass on a token for ever.
struct Token;

impl Application for Token {
    type State = ();
    type Message = ();

    fn start(&mut self, _: NodeId) {}

    fn handle(&mut self, _: &mut (), _: NodeId, (): (), out: &mut Outgoing<'_, ()>) {
        let next = out.neighbours()[0];
        out.send(next, ());
    }
}

#[test]
fn an_application_that_never_rests_is_welcome_where_nobody_asks_for_rest() {
    let group = SimulatedGroup::new(Graph::ring(MEMBERS), || Token).invariant("no token", |cut| {
        if cut.in_flight().count() == 0 { Ok(()) } else { Err("nobody made one".to_owned()) }
    });
    let summary = group.check(0..20);
    assert!(summary.commits >= summary.runs, "{summary}");
}
