//! The oracle refuses what is wrong: each rule is broken here once, by hand.

use super::*;
use crate::model::app::Line;

/// Two nodes, a channel each way, four coins each, windows of two messages and four bytes.
fn oracle() -> Oracle {
    Oracle::new(2, vec![(0, 1), (1, 0)], 8, (2, 4))
}

const NO_CHANNELS: [Vec<Message>; 2] = [Vec::new(), Vec::new()];

fn part(app: &App, channels: [Vec<Message>; 2]) -> Part {
    parted(app, channels, NO_CHANNELS)
}

fn parted(app: &App, channels: [Vec<Message>; 2], outgoing: [Vec<Message>; 2]) -> Part {
    Part { app: Arc::new(app.clone()), channels: channels.to_vec(), outgoing: outgoing.to_vec() }
}

/// The parts of two applications with nothing in flight.
fn still(one: &App, two: &App) -> Vec<Part> {
    vec![part(one, NO_CHANNELS), part(two, NO_CHANNELS)]
}

fn rule(verdict: Verdict) -> Option<Rule> {
    verdict.err().map(|fault| fault.rule)
}

/// n1 sends two messages to n2.
fn sent() -> (App, [Message; 2]) {
    let mut app = App::new(0);
    let messages = [1, 2].map(|turn| app.send(1, 0, 1, turn, LINE));
    (app, messages)
}

const LINE: Line = Line { history: 0, generation: 1 };

const fn generation(index: u64, generation: u64, start: Option<Name>) -> Option<Summary> {
    Some(Summary {
        index,
        nonce: generation,
        entry: Entry::Generation,
        generation,
        opened: Some(generation),
        start,
        last: None,
    })
}

const fn commit(index: u64, name: Name) -> Option<Summary> {
    let [generation, ..] = name;
    let (nonce, opened) = (100 + index, Some(generation));
    Some(Summary { index, nonce, entry: Entry::Commit, generation, opened, start: None, last: Some(name) })
}

const FIRST: Name = [1, 1, 1];
const SECOND: Name = [1, 2, 2];

#[test]
fn a_cut_with_what_is_in_flight_is_right() {
    let (one, [first, second]) = sent();
    let mut two = App::new(1);
    two.take(&first, 1);
    let cut = [part(&one, NO_CHANNELS), part(&two, [vec![second], vec![]])];
    assert_eq!(oracle().whole(&cut), Ok(()));
}

#[test]
fn a_part_that_has_seen_what_another_had_not_done_is_no_consistent_cut() {
    let (_, [first, _]) = sent();
    let mut two = App::new(1);
    two.take(&first, 1);
    assert_eq!(rule(oracle().whole(&still(&App::new(0), &two))), Some(Rule::Consistent));
}

#[test]
fn a_message_that_is_missing_is_there_twice_or_out_of_order_is_no_exact_channel() {
    let (one, [first, second]) = sent();
    let two = App::new(1);
    for recorded in
        [vec![], vec![first.clone()], vec![first.clone(), first.clone(), second.clone()], vec![second, first]]
    {
        let cut = [part(&one, NO_CHANNELS), part(&two, [recorded, vec![]])];
        assert_eq!(rule(oracle().whole(&cut)), Some(Rule::Exact));
    }
}

#[test]
fn what_a_marker_overtook_is_its_senders_and_stands_behind_what_the_receiver_recorded() {
    let (one, [first, second]) = sent();
    let two = App::new(1);
    let mut oracle = oracle();
    let cut = |there: &[&Message], here: &[&Message]| {
        let owned = |messages: &[&Message]| messages.iter().copied().cloned().collect();
        vec![parted(&one, NO_CHANNELS, [vec![], owned(here)]), part(&two, [owned(there), vec![]])]
    };
    let right = cut(&[&first], &[&second]);
    assert_eq!(oracle.whole(&right), Ok(()));
    assert_eq!(oracle.whole(&cut(&[], &[&first, &second])), Ok(()));
    for (there, here) in [(&second, &first), (&first, &first), (&second, &second)] {
        assert_eq!(rule(oracle.whole(&cut(&[there], &[here]))), Some(Rule::Exact));
    }
    oracle.appended(1, generation(1, 1, None), |_| None).unwrap();
    oracle.appended(2, commit(2, FIRST), |_| Some(right.clone())).unwrap();
    oracle.appended(3, generation(3, 2, Some(FIRST)), |_| None).unwrap();
    let replay = Replay { recorded: vec![vec![first], vec![]], resent: vec![vec![second], vec![]] };
    assert_eq!(oracle.restored(1, 2, &two), Ok(replay));
}

#[test]
fn more_than_a_window_is_not_to_be_recorded() {
    let mut one = App::new(0);
    let sent: Vec<_> = (1..=3).map(|turn| one.send(1, 0, 1, turn, LINE)).collect();
    let cut = |there: usize, oracle: &Oracle| {
        let (there, here) = sent.split_at(there);
        let sender = parted(&one, NO_CHANNELS, [vec![], here.to_vec()]);
        rule(oracle.whole(&[sender, part(&App::new(1), [there.to_vec(), vec![]])]))
    };
    assert_eq!(cut(2, &oracle()), None);
    assert_eq!(cut(3, &oracle()), Some(Rule::Bounded), "by number");
    let narrow = Oracle::new(2, vec![(0, 1), (1, 0)], 8, (9, 3));
    assert_eq!(cut(2, &narrow), Some(Rule::Bounded), "by weight");
    let narrow = Oracle::new(2, vec![(0, 1), (1, 0)], 8, (1, 0));
    assert_eq!(cut(1, &narrow), None, "one may be larger");
}

#[test]
fn coins_out_of_nothing_are_seen() {
    let mut rich = App::new(0);
    rich.coins += 1;
    assert_eq!(rule(oracle().whole(&still(&rich, &App::new(1)))), Some(Rule::Conserved));
}

#[test]
fn a_commit_that_does_not_cover_the_one_before_breaks_the_chain() {
    let (one, [first, second]) = sent();
    let two = App::new(1);
    let later = vec![part(&one, NO_CHANNELS), part(&two, [vec![first, second], vec![]])];
    let earlier = still(&App::new(0), &two);
    let mut oracle = oracle();
    assert_eq!(oracle.appended(1, generation(1, 1, None), |_| None), Ok(()));
    assert_eq!(oracle.appended(2, commit(2, FIRST), |_| Some(later.clone())), Ok(()));
    assert_eq!(rule(oracle.appended(3, commit(3, SECOND), |_| Some(earlier.clone()))), Some(Rule::Chain));
}

#[test]
fn a_record_that_the_journal_does_not_allow_breaks_the_chain() {
    let cut = still(&App::new(0), &App::new(1));
    let stored = |_| Some(cut.clone());
    let mut before = oracle();
    before.appended(1, generation(1, 1, None), stored).unwrap();
    before.appended(2, commit(2, FIRST), stored).unwrap();
    for (what, record) in [
        ("a generation left out", generation(3, 3, Some(FIRST))),
        ("the same generation again", generation(3, 1, Some(FIRST))),
        ("a generation that begins behind the last commit", generation(3, 2, None)),
        ("the same commit again", commit(3, FIRST)),
        ("a commit of another generation", commit(3, [2, 1, 1])),
        (
            "a generation of another name",
            generation(3, 2, Some(FIRST)).map(|r| Summary { opened: None, ..r }),
        ),
        ("a commit in another history", commit(3, SECOND).map(|r| Summary { opened: Some(7), ..r })),
    ] {
        assert_eq!(rule(before.clone().appended(3, record, stored)), Some(Rule::Chain), "{what}");
    }
    assert_eq!(rule(before.clone().appended(3, commit(3, SECOND), |_| None)), Some(Rule::Readable));
    assert_eq!(rule(before.clone().appended(3, commit(4, SECOND), stored)), Some(Rule::Sound));
    assert_eq!(rule(before.appended(3, None, stored)), Some(Rule::Sound));
}

#[test]
fn a_kept_commit_that_has_lost_a_part_cannot_be_read() {
    let cut = still(&App::new(0), &App::new(1));
    let mut oracle = oracle();
    oracle.appended(1, generation(1, 1, None), |_| None).unwrap();
    oracle.appended(2, commit(2, FIRST), |_| Some(cut.clone())).unwrap();
    oracle.appended(3, commit(3, SECOND), |_| Some(cut.clone())).unwrap();
    let only = |left: Name| {
        let cut = cut.clone();
        move |name: Name| (name == left).then(|| cut.clone())
    };
    assert_eq!(oracle.deleted(1, only(SECOND)), Ok(()));
    assert_eq!(rule(oracle.deleted(2, only(SECOND))), Some(Rule::Readable));
    assert_eq!(rule(oracle.deleted(1, only(FIRST))), Some(Rule::Readable));
}

#[test]
fn what_was_let_out_must_be_covered_and_is_never_undone() {
    let (one, [first, second]) = sent();
    let two = App::new(1);
    let cut = vec![part(&one, NO_CHANNELS), part(&two, [vec![first, second], vec![]])];
    let mut oracle = oracle();
    assert_eq!(rule(oracle.announced(0, FIRST, 1, &one)), Some(Rule::Kept), "it is in no journal");
    oracle.appended(1, generation(1, 1, None), |_| None).unwrap();
    oracle.appended(2, commit(2, FIRST), |_| Some(cut.clone())).unwrap();
    let mut further = one.clone();
    further.send(1, 0, 1, 3, LINE);
    assert_eq!(rule(oracle.announced(0, FIRST, 3, &further)), Some(Rule::Kept), "the cut has not all of it");
    assert_eq!(oracle.announced(0, FIRST, 2, &further), Ok(()));
    assert_eq!(oracle.rolled_back(0, 2, &further, &one), Ok(()));
    assert_eq!(rule(oracle.rolled_back(0, 0, &further, &App::new(0))), None, "nothing is let out by this");
    assert_eq!(rule(oracle.rolled_back(0, 2, &further, &App::new(0))), Some(Rule::Kept));
    assert_eq!(rule(oracle.restored(0, 1, &App::new(0)).map(drop)), Some(Rule::Kept), "it was let out");
}

#[test]
fn another_state_than_the_captured_one_is_not_what_is_restored() {
    let (one, [first, second]) = sent();
    let two = App::new(1);
    let cut = vec![part(&one, NO_CHANNELS), part(&two, [vec![first.clone(), second.clone()], vec![]])];
    let mut oracle = oracle();
    oracle.appended(1, generation(1, 1, None), |_| None).unwrap();
    oracle.appended(2, commit(2, FIRST), |_| Some(cut.clone())).unwrap();
    oracle.appended(3, generation(3, 2, Some(FIRST)), |_| None).unwrap();
    let replay = |recorded, resent| Ok(Replay { recorded, resent });
    let nothing = || NO_CHANNELS.to_vec();
    assert_eq!(oracle.restored(1, 2, &two), replay(vec![vec![first, second], vec![]], nothing()));
    assert_eq!(oracle.restored(0, 2, &one), replay(nothing(), nothing()));
    assert_eq!(rule(oracle.restored(0, 2, &App::new(0)).map(drop)), Some(Rule::Restored));
    assert_eq!(rule(oracle.restored(0, 7, &one).map(drop)), Some(Rule::Restored), "no such generation");
}

#[test]
fn two_parts_of_one_node_are_one_too_many() {
    let (one, two) = (App::new(0), App::new(1));
    let mut oracle = oracle();
    assert_eq!(oracle.piece(FIRST, 0, part(&one, NO_CHANNELS)), Ok(None));
    let again = oracle.clone().piece(FIRST, 0, part(&one, NO_CHANNELS));
    assert_eq!(rule(again.map(drop)), Some(Rule::Sound));
    assert!(oracle.piece(FIRST, 1, part(&two, NO_CHANNELS)).unwrap().is_some());
}
