//! Every planted defect is found within a few seeds, and by the check that is there for it.

use snapshot_core::Graph;
use snapshot_transport_mem::simulation::{Failure, FaultKind, Faults};

use crate::bank::{Defect, MEMBERS, simulated};

/// The first seed that finds it.
fn found(defect: Defect) -> Failure {
    let group = simulated(Graph::mesh(MEMBERS), defect);
    let found = (0..40).find_map(|seed| group.run(seed).err());
    found.unwrap_or_else(|| panic!("{defect:?} was not found in 40 seeds"))
}

#[test]
fn a_bank_without_a_defect_passes() {
    for graph in [Graph::mesh(MEMBERS), Graph::ring(MEMBERS), Graph::star(MEMBERS)] {
        let summary = simulated(graph, Defect::Nothing).check(0..100);
        if summary.replayed {
            return;
        }
        assert_eq!(summary.runs, 100);
        assert!(summary.commits > 300 && summary.rollbacks > 300, "too little to say anything: {summary}");
        for kind in FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::StaleListing) {
            assert!(summary.faults.contains_key(&kind), "{kind} never came: {summary}");
        }
    }
}

#[test]
fn money_that_is_sent_again_after_a_rollback_is_found() {
    assert!(found(Defect::SendsAgainAfterRollback).what().starts_with("`money` does not hold in g"));
}

#[test]
fn a_state_outside_the_capture_is_found() {
    assert!(found(Defect::StateOutsideTheCapture).what().starts_with("`money` does not hold in g"));
}

#[test]
fn a_message_that_is_taken_for_a_repeat_because_of_what_a_process_remembers_is_found() {
    assert!(found(Defect::SeenInMemory).what().starts_with("`money` does not hold in g"));
}

#[test]
fn an_effect_that_is_acknowledged_before_it_is_committed_is_found() {
    let failure = found(Defect::AcknowledgesTooEarly);
    assert!(
        failure.what().starts_with("`no acknowledged deposit is lost` does not hold at rest"),
        "{failure}"
    );
}

#[test]
fn an_acknowledgement_that_outlives_the_rollback_of_its_turn_is_found() {
    let failure = found(Defect::ForgetsNothingAfterRollback);
    assert!(
        failure.what().starts_with("`no acknowledged deposit is lost` does not hold at rest"),
        "{failure}"
    );
}

#[test]
fn an_acknowledgement_that_outlives_the_backup_that_undid_it_is_found() {
    let group = |faults| simulated(Graph::mesh(MEMBERS), Defect::ForgetsNothingWithABackup).faults(faults);
    let backups = group(Faults::none().with(FaultKind::PutBack));
    let failure = (0..40).find_map(|seed| backups.run(seed).err()).expect("it is found in 40 seeds");
    assert!(
        failure.what().starts_with("`no acknowledged deposit is lost` does not hold at rest"),
        "{failure}"
    );
    // Nothing else takes it back.
    group(Faults::all().without(FaultKind::PutBack)).check(0..40);
}

#[test]
fn a_state_that_ignores_what_is_installed_is_found() {
    assert!(found(Defect::InstallsNothing).what().starts_with("`money` does not hold in g"));
}

#[test]
fn a_handler_that_panics_is_found_and_says_what_it_said() {
    assert!(found(Defect::Panics).what().starts_with("it panicked: a balance of 1"));
}

#[test]
fn a_message_to_a_stranger_is_found() {
    assert!(found(Defect::SendsToAStranger).what().contains("n9 is no neighbour"));
}

#[test]
fn an_application_that_never_rests_is_found() {
    let failure = found(Defect::NeverRests);
    assert!(failure.what().starts_with("the application does not come to rest"), "{failure}");
}

#[test]
fn a_defect_that_shows_only_after_a_fault_does_not_show_without_faults() {
    for defect in [Defect::StateOutsideTheCapture, Defect::InstallsNothing, Defect::AcknowledgesTooEarly] {
        let group = simulated(Graph::mesh(MEMBERS), defect).faults(Faults::none());
        // A capture that leaves something out shows in the cut itself.
        let shows = (0..20).any(|seed| group.run(seed).is_err());
        assert_eq!(shows, defect == Defect::StateOutsideTheCapture, "{defect:?}");
    }
}
