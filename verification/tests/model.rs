//! The model check: the small configurations, each searched to its end, and what the search itself must be.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use snapshot_verification::model::config::{Config, Effort, Seen};
use snapshot_verification::model::oracle::Rule;
use snapshot_verification::model::state::State;
use snapshot_verification::model::trace::Trace;
use snapshot_verification::model::{Group, Limits, configs, search};
use stateright::Model;

/// One test for each, so that they run side by side and a failure says which; and the list of them.
macro_rules! searched_to_the_end {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                let found = search(config($name), Limits::default());
                let (rule, trace) = match &found.broken {
                    None => ("everything", String::new()),
                    Some((rule, trace)) => (*rule, trace.to_text()),
                };
                assert!(found.is_proof(), "{rule} does not hold, {:?} is missing:\n{trace}", found.missing);
            }
        )*
        const SEARCHED: &[&str] = &[$($name),*];
    };
}

searched_to_the_end! {
    a_cut_of_two_nodes_is_right: "cut",
    three_overlapping_snapshots_of_two_nodes_are_right: "overlap",
    two_initiators_at_once_in_a_mesh_of_three_are_right: "mesh",
    three_snapshots_in_a_one_way_ring_are_right: "ring",
    messages_of_which_one_at_a_time_may_be_outstanding_are_recorded_by_both_ends: "window",
    no_marker_overtakes_a_batch_that_is_under_way: "window-flights",
    who_is_held_up_asks_for_room: "window-ask",
    messages_larger_than_a_window_go_one_by_one: "window-large",
    outboxes_over_their_high_mark_are_relieved: "window-relief",
    grants_go_round_behind_the_markers: "window-ring",
    two_initiators_on_a_line_with_ways_back_are_right: "line",
    commits_of_snapshots_that_cross_form_a_chain: "commit",
    a_crash_is_rolled_back_and_replayed: "crash",
    what_had_not_left_before_a_crash_is_sent_again: "window-crash",
    crashes_that_no_transport_tells_of_are_found_out: "untold",
    processes_may_start_at_any_time: "cold",
    processes_that_race_to_open_a_generation_agree: "openers",
    a_successor_commits_what_its_predecessor_could_not: "successor",
    a_second_process_of_a_node_replaces_the_first: "double",
    frames_of_a_newer_generation_may_come_early: "early",
    what_was_read_before_the_news_is_old: "stale",
    a_broken_connection_that_loses_a_tail_is_made_good: "break",
    retention_deletes_nothing_that_is_needed: "retention",
    an_ambiguous_answer_of_the_store_is_resolved: "ambiguous",
    a_snapshot_may_be_given_up_at_any_time: "given-up",
    what_is_left_over_of_another_history_of_the_store_changes_nothing: "history",
    nor_does_it_where_the_transport_tells_of_no_connections: "history-untold",
}

#[test]
fn every_small_configuration_is_among_these_tests() {
    let small: Vec<_> = configs::ALL.iter().filter(|c| c.effort == Effort::Moment).map(|c| c.name).collect();
    assert_eq!(small, SEARCHED);
}

#[test]
fn every_rule_of_the_oracle_is_looked_at_in_every_state() {
    let group = Group::new(config("cut"), u64::MAX);
    let properties: Vec<_> = group.properties().iter().map(|property| property.name).collect();
    assert_eq!(properties, Rule::ALL.map(Rule::name));
}

#[test]
fn names_of_configurations_are_unique() {
    let names: HashSet<_> = configs::ALL.iter().map(|config| config.name).collect();
    assert_eq!(names.len(), configs::ALL.len());
}

#[test]
fn no_state_comes_twice_on_one_way_so_that_a_search_that_ends_shows_that_all_ways_end() {
    for name in
        ["cut", "window-ask", "window-flights", "commit", "untold", "cold", "openers", "double", "ambiguous"]
    {
        assert_eq!(cycle(&Group::new(config(name), u64::MAX)), None, "{name}");
    }
}

#[test]
fn a_search_that_never_comes_by_what_it_is_for_proves_nothing() {
    let lame = Config { snapshots: &[], ..config("cut").clone() };
    let found = search(&lame, Limits::default());
    assert_eq!(found.missing, [Seen::Cut, Seen::InFlight, Seen::Ahead]);
    assert!(found.ended && !found.is_proof());
}

#[test]
fn a_search_that_stops_at_its_limit_proves_nothing() {
    for limits in
        [Limits { states: 100, ..Limits::default() }, Limits { time: Duration::ZERO, ..Limits::default() }]
    {
        let found = search(config("commit"), limits);
        assert!(!found.ended && !found.is_proof());
        assert!(found.states < 1000, "{}", found.states);
    }
}

#[test]
fn depth_first_and_with_two_threads_the_states_are_the_same() {
    let states = |limits| {
        let found = search(config("commit"), limits);
        assert!(found.is_proof());
        found.states
    };
    let plain = states(Limits::default());
    assert_eq!(states(Limits { deep: true, ..Limits::default() }), plain);
    assert_eq!(states(Limits { threads: 2, ..Limits::default() }), plain);
}

#[test]
fn a_way_can_be_walked_again_by_its_choices() {
    let group = Group::new(config("crash"), u64::MAX);
    let choices = "1.1.0.0.0.0.0.0";
    let trace = Trace::replay(&group, choices).unwrap();
    assert_eq!((trace.choices.as_str(), trace.steps.len()), (choices, 8));
    assert_eq!(trace.ends, None);
    assert_eq!(Trace::replay(&group, choices), Ok(trace));
    let refused = Trace::replay(&group, "0.99").unwrap_err();
    assert!(refused.starts_with("step 2 has ") && refused.ends_with(" choices, not 99"), "{refused}");
}

fn config(name: &str) -> &'static Config {
    configs::ALL.iter().find(|config| config.name == name).unwrap()
}

/// The number of a step that leads back to a state of its own way, if there is one. Depth first; a state is open while the
/// ways behind it are being walked.
fn cycle(group: &Group) -> Option<usize> {
    let mut is_open: HashMap<State, bool> = HashMap::new();
    let mut way = Vec::new();
    let enter = |state: State, is_open: &mut HashMap<State, bool>, way: &mut Vec<_>| match is_open.get(&state)
    {
        Some(open) => *open,
        None => {
            is_open.insert(state.clone(), true);
            let next = group.next_states(&state);
            way.push((state, next));
            false
        }
    };
    for state in group.init_states() {
        enter(state, &mut is_open, &mut way);
        while let Some((_, rest)) = way.last_mut() {
            match rest.pop() {
                Some(next) => {
                    if enter(next, &mut is_open, &mut way) {
                        return Some(way.len());
                    }
                }
                None => {
                    let left = way.pop().map(|(state, _)| (state, false));
                    is_open.extend(left);
                }
            }
        }
    }
    None
}
