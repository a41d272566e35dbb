//! Every kind of fault comes where it is allowed, and means what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use snapshot_core::{Content, Created, Generation, Graph, Key, Sink, SnapshotStore, StoreError, async_trait};
use snapshot_transport_mem::simulation::{FaultKind, Faults, Summary};

use crate::bank::{Bank, Defect, MEMBERS, simulated};

/// Whether somebody replays one seed: then numbers say nothing of a search.
fn replayed() -> bool {
    std::env::var_os("SEED").is_some()
}

#[test]
fn every_kind_of_fault_comes_where_it_is_allowed_and_no_other() {
    for kind in FaultKind::ALL {
        let conditions: &[FaultKind] = match kind {
            // A write is done late when its process died over it. A listing is read at a start, and lags behind only where
            // parts are new by then.
            FaultKind::LateWrite => &[FaultKind::SlowStore, FaultKind::Crash],
            FaultKind::StaleListing => {
                &[FaultKind::Delay, FaultKind::Crash, FaultKind::ManyInitiators, FaultKind::SlowStore]
            }
            _ => &[],
        };
        let allowed: Faults = conditions.iter().copied().chain([kind]).collect();
        let group = simulated(Graph::mesh(MEMBERS), Defect::Nothing).faults(allowed.clone()).steps(400);
        let mut all = Summary::default();
        for seed in 0..300 {
            all += &group.run(seed).expect("nothing is wrong");
            if all.faults.contains_key(&kind) {
                break;
            }
        }
        assert!(all.faults.contains_key(&kind), "{kind} never came: {all}");
        assert!(all.faults.keys().all(|kind| allowed.has(*kind)), "{all}");
    }
}

#[test]
fn a_process_that_was_taken_for_dead_finds_out_that_it_was_replaced() {
    let group = simulated(Graph::mesh(MEMBERS), Defect::Nothing)
        .faults(Faults::none().with(FaultKind::Zombie))
        .at_rest("shows its trace", |_, _| Err("here it is".to_owned()))
        .trace_lines(usize::MAX);
    let traces: Vec<String> =
        (0..40).filter_map(|seed| group.run(seed).err()).map(|f| f.to_string()).collect();
    let some = |text: &str| traces.iter().any(|trace| trace.contains(text));
    assert!(some("stands still, and is taken for dead"));
    assert!(some("is no more: it has been replaced"));
    assert!(some("is no more: it has died in a turn"));
}

#[test]
fn a_store_that_was_put_back_meets_what_the_network_still_has_and_the_group_goes_on() {
    let group = simulated(Graph::mesh(MEMBERS), Defect::Nothing)
        .faults(Faults::none().with(FaultKind::PutBack).with(FaultKind::Delay))
        .at_rest("shows its trace", |_, _| Err("here it is".to_owned()))
        .trace_lines(usize::MAX);
    let failures: Vec<_> = (0..20).filter_map(|seed| group.run(seed).err()).collect();
    assert!(failures.iter().all(|failure| failure.what().contains("here it is")), "{failures:?}");
    let lines: Vec<&String> = failures.iter().flat_map(|failure| failure.trace()).collect();
    let count = |all: &[&str]| lines.iter().filter(|line| all.iter().all(|text| line.contains(text))).count();
    let put_back = count(&["store: put back to"]);
    let (emptied, with_nothing) = (count(&["put back to 0 commits"]), count(&["with 0 frames"]));
    assert!(replayed() || put_back > 20, "{put_back} times");
    assert!(replayed() || 0 < emptied && emptied < put_back, "{emptied} of {put_back}");
    assert!(replayed() || with_nothing < put_back * 2 / 3, "{with_nothing} of {put_back}");
    assert!(replayed() || count(&["hears of", "what never was"]) > 0, "generations that never were");
}

#[test]
fn rounds_go_on_in_one_store_and_each_begins_with_a_restart() {
    let group = simulated(Graph::mesh(MEMBERS), Defect::Nothing).faults(Faults::none()).steps(50).rounds(4);
    let summary = group.check(0..5);
    assert_eq!(summary.rollbacks, summary.runs * 3 * MEMBERS.len() as u64, "{summary}");
    assert!(summary.commits >= summary.runs * 4, "{summary}");
    assert!(summary.faults.is_empty(), "{summary}");
}

#[test]
fn a_failure_shows_as_many_lines_of_its_trace_as_one_likes() {
    let group = simulated(Graph::mesh(MEMBERS), Defect::Panics).trace_lines(7);
    let failure = (0..40).find_map(|seed| group.run(seed).err()).expect("it is found");
    assert!(failure.trace().len() == 7 || replayed());
}

/// A store that counts who uses it, and where it is `slow`, waits for something else.
struct Wrapper {
    inner: Arc<dyn SnapshotStore>,
    calls: Arc<AtomicU64>,
    slow: bool,
}

#[async_trait]
impl SnapshotStore for Wrapper {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.slow {
            std::future::pending::<()>().await;
        }
        self.inner.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.inner.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }
}

#[test]
fn what_is_put_around_the_store_is_what_nodes_and_simulation_talk_to() {
    let (nodes, eye) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counters = (Arc::clone(&nodes), Arc::clone(&eye));
    let group = simulated(Graph::mesh(MEMBERS), Defect::Nothing).wrap_store(move |node, inner| {
        let calls = Arc::clone(if node.is_some() { &counters.0 } else { &counters.1 });
        Arc::new(Wrapper { inner, calls, slow: false })
    });
    let plain = simulated(Graph::mesh(MEMBERS), Defect::Nothing);
    let hash = |group: &snapshot_transport_mem::simulation::SimulatedGroup<Bank>| {
        group.run(3).expect("it holds").trace_hash
    };
    assert_eq!(hash(&group), hash(&plain), "a wrapper that changes nothing changes nothing");
    assert!(nodes.load(Ordering::Relaxed) > 0 && eye.load(Ordering::Relaxed) > 0);
}

#[test]
fn what_is_put_around_the_store_and_waits_for_something_else_is_named() {
    let group = simulated(Graph::mesh(MEMBERS), Defect::Nothing)
        .faults(Faults::none())
        .wrap_store(|node, inner| Arc::new(Wrapper { inner, calls: Arc::default(), slow: node.is_none() }));
    let failure = group.run(0).expect_err("the simulation cannot read its store");
    assert!(failure.what().contains("must not wait for anything else"), "{failure}");
}
