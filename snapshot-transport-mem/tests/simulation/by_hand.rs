//! A group that a test drives itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, NodeId, PostcardState, Turn};
use snapshot_transport_mem::simulation::{Application, Outgoing, TestGroup};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Purse(u64);

impl PostcardState for Purse {}

#[derive(Default)]
struct Purses {
    committed: Vec<(NodeId, Turn)>,
    rolled_back: Vec<NodeId>,
}

impl Application for Purses {
    type State = Purse;
    type Message = u64;

    fn start(&mut self, _: NodeId) -> Purse {
        Purse(10)
    }

    fn handle(&mut self, purse: &mut Purse, _: NodeId, coins: u64, _: &mut Outgoing<'_, u64>) {
        purse.0 += coins;
    }

    fn committed(&mut self, _: &mut Purse, turn: Turn, out: &mut Outgoing<'_, u64>) {
        self.committed.push((out.me(), turn));
    }

    fn rolled_back(&mut self, _: &mut Purse, _: Turn, out: &mut Outgoing<'_, u64>) {
        self.rolled_back.push(out.me());
    }
}

fn group() -> TestGroup<Purses> {
    TestGroup::new(Graph::mesh([A, B]), Purses::default())
}

fn pay(group: &mut TestGroup<Purses>, from: NodeId, to: NodeId, coins: u64) -> Turn {
    group.turn(from, |purse, out| {
        purse.0 -= coins;
        out.send(to, coins);
        out.turn()
    })
}

/// What a test that fails would say.
fn complaint(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("it should fail");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_message_goes_out_when_the_group_moves() {
    let mut group = group();
    pay(&mut group, A, B, 4);
    assert_eq!((group.state(A).0, group.state(B).0), (6, 10));
    group.settle();
    assert_eq!((group.state(A).0, group.state(B).0), (6, 14));
}

#[test]
fn a_message_that_is_held_during_a_snapshot_is_in_flight_in_it() {
    let mut group = group();
    group.network().hold(A, B);
    let turn = pay(&mut group, A, B, 4);
    group.begin_snapshot(B);
    group.network().release(A, B);
    let cut = group.committed();
    assert_eq!((cut.state(A), cut.state(B)), (Some(&Purse(6)), Some(&Purse(10))));
    assert_eq!(cut.channel(A, B), [4]);
    assert!(group.app().committed.iter().any(|(node, covered)| *node == A && *covered >= turn));
}

#[test]
fn a_restart_brings_the_cut_back_and_its_messages_once() {
    let mut group = group();
    group.network().hold(A, B);
    pay(&mut group, A, B, 4);
    group.begin_snapshot(B);
    group.network().release(A, B);
    group.committed();
    group.settle();
    pay(&mut group, B, A, 14); // never happened, after the restart
    for _ in 0..3 {
        group.restart();
        assert_eq!((group.state(A).0, group.state(B).0), (6, 14));
    }
}

#[test]
fn one_process_that_is_killed_takes_the_group_back() {
    let mut group = group();
    group.snapshot(A);
    pay(&mut group, A, B, 4);
    group.settle();
    group.kill(A);
    group.start(A);
    group.until(|group| (group.state(A).0, group.state(B).0) == (10, 10));
    assert!(group.app().rolled_back.contains(&B));
}

#[test]
fn what_is_in_the_channels_of_a_crashed_node_is_gone_and_comes_back_from_the_snapshot() {
    let mut group = group();
    group.network().set_delay(A, B, Duration::from_millis(5));
    pay(&mut group, A, B, 1);
    assert_eq!(group.snapshot(B).channel(A, B), [1]);
    pay(&mut group, A, B, 2);
    group.crash(A);
    group.start(A);
    group.until(|group| (group.state(A).0, group.state(B).0) == (9, 11));
}

#[test]
fn waiting_for_what_never_comes_fails_and_says_how_things_stand() {
    let mut group = group();
    group.network().hold(A, B);
    pay(&mut group, A, B, 4);
    let text = complaint(|| group.until(|group| group.state(B).0 == 14));
    assert!(text.contains("an hour of virtual time") && text.contains("n1 -> n2: 1 frame, held"), "{text}");
    assert!(text.contains("n1 sends 4 to n2"), "{text}");
}

#[test]
fn a_snapshot_that_is_given_up_fails_the_test_with_its_reason() {
    let mut group = group();
    group.network().hold(A, B);
    let text = complaint(|| drop(group.snapshot(B)));
    assert!(text.contains("there is no snapshot: n") && text.contains("deadline"), "{text}");
}

#[test]
fn a_message_to_a_stranger_fails_the_test_and_names_it() {
    let mut group = group();
    let text = complaint(|| _ = pay(&mut group, A, NodeId(9), 1));
    assert!(text.contains("n9 is no neighbour of n1"), "{text}");
}

#[test]
fn a_node_that_does_not_run_takes_no_turn() {
    let mut group = group();
    group.kill(A);
    let text = complaint(|| _ = pay(&mut group, A, B, 1));
    assert!(text.contains("n1 does not run"), "{text}");
}
