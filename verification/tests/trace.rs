//! Traces of real runs are allowed by the specification; damaged ones, and those of a broken coordinator, are not. A seed
//! that fails is looked at with `cargo run -p snapshot-verification --bin trace_check -- --record SEED > FILE`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use snapshot_verification::trace::line::Line;
use snapshot_verification::trace::{Checked, check, record};

const RUNS: u64 = 300;

#[test]
fn every_step_of_every_recorded_run_is_allowed() {
    let mut all = Checked::default();
    for seed in 0..RUNS {
        let one = check(&record(seed).text()).unwrap_or_else(|refused| panic!("seed {seed}: {refused}"));
        all.steps += one.steps;
        all.commits += one.commits;
        all.rollbacks += one.rollbacks;
        all.taken += one.taken;
        all.replayed += one.replayed;
        all.aborted += one.aborted;
        all.crashes += one.crashes;
        all.asks += one.asks;
    }
    let enough = all.commits > 1000 && all.rollbacks > 1000 && all.crashes > 300;
    assert!(
        enough && all.replayed > 300 && all.aborted > 1000 && all.asks > 500 && all.taken > 5_000,
        "these runs try too little: {all:?}"
    );
}

#[test]
fn one_seed_gives_one_trace() {
    assert_eq!(record(11).text(), record(11).text());
    assert_ne!(record(11).text(), record(16).text());
}

#[test]
fn a_line_comes_back_from_its_text() {
    for seed in 0..10 {
        for text in record(seed).lines().iter().skip(1) {
            let line = Line::parse(text).unwrap();
            assert_eq!(&line.to_string(), text);
        }
    }
}

/// What is done to one line of a trace: `None` if it is not of the kind, else the lines in its place.
type Damage = fn(&[&str], &str) -> Option<Vec<String>>;

/// Adds one to the first number in a word.
fn next_number(word: &str) -> String {
    let start = word.find(|c: char| c.is_ascii_digit()).unwrap();
    let digits = word[start..].find(|c: char| !c.is_ascii_digit()).map_or(word.len(), |at| start + at);
    let number: u64 = word[start..digits].parse().unwrap();
    format!("{}{}{}", &word[..start], number.wrapping_add(1), &word[digits..])
}

/// The line with one more in the word at a position, if the line begins so.
fn bump(words: &[&str], begins: &[&str], at: usize) -> Option<Vec<String>> {
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let fits = begins
        .iter()
        .enumerate()
        .all(|(at, word)| word.is_empty() || words.get(at).is_some_and(|w| w == word));
    let word = words.get_mut(at).filter(|_| fits)?;
    *word = next_number(word);
    Some(vec![words.join(" ")])
}

/// The grant that departs with much more in the word at a position.
fn raise(words: &[&str], at: usize) -> Option<Vec<String>> {
    let more = words.get(at)?.parse::<u64>().ok()? + 1000;
    let line = [&words[..at], &[more.to_string().as_str()], &words[at + 1..]].concat().join(" ");
    (words[0] == "out" && words[4] == "grant").then(|| vec![line])
}

fn twice(words: &[&str], line: &str, kind: &str) -> Option<Vec<String>> {
    (words[0] == kind).then(|| vec![line.to_owned(), line.to_owned()])
}

fn gone(words: &[&str], kind: &str) -> Option<Vec<String>> {
    (words[0] == kind).then(Vec::new)
}

/// The line without the word after `after`, if that has a number of a node.
fn without(words: &[&str], begins: &str, after: &str) -> Option<Vec<String>> {
    let at = words.iter().position(|word| *word == after)? + 1;
    let fits = words.contains(&begins) && words.get(at).is_some_and(|word| word.contains(':'));
    let rest: Vec<&str> = words.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, word)| *word).collect();
    fits.then(|| vec![rest.join(" ")])
}

/// Whether anybody can know of this line: a message that has not departed when its process dies, nobody will miss.
fn is_seen(lines: &[String], line: &str) -> bool {
    let departs = |name: &str| lines.iter().any(|line| line.starts_with("out ") && line.ends_with(name));
    !line.starts_with("send ")
        || line.rsplit(' ').next().is_some_and(|name| departs(&format!(" message {name}")))
}

const DAMAGES: [(&str, Damage); 34] = [
    ("a frame is not sent", |w, _| gone(w, "out")),
    ("a frame is sent twice", |w, line| twice(w, line, "out")),
    ("a frame is sent with a number left out", |w, _| {
        let at = w.get(3)?.find('#')?;
        let stamp = format!("{}{}", &w[3][..at], next_number(&w[3][at..]));
        (w[0] == "out").then(|| vec![format!("{} {} {} {stamp} {}", w[0], w[1], w[2], w[4..].join(" "))])
    }),
    ("a frame is sent in another generation", |w, _| bump(w, &["out"], 3)),
    ("a frame is sent in another history", |w, _| {
        let (stamp, tag) = w.get(3)?.split_once('~')?;
        let stamp = format!("{stamp}~{}", next_number(tag));
        (w[0] == "out").then(|| vec![format!("{} {} {} {stamp} {}", w[0], w[1], w[2], w[4..].join(" "))])
    }),
    ("a greeting is of another history", |w, _| bump(w, &["out", "", "", "", "hello"], 5)),
    ("a grant tells of messages that were not taken", |w, _| raise(w, 7)),
    ("a grant is of more messages than the window", |w, _| raise(w, 8)),
    ("a grant is of more bytes than the window", |w, _| raise(w, 9)),
    ("a grant does not arrive", |w, _| (w.get(4) == Some(&"grant")).then(Vec::new)),
    ("a frame arrives twice", |w, line| twice(w, line, "arrive")),
    ("another message arrives than was sent", |w, _| bump(w, &["arrive", "", "", "", "message"], 5)),
    ("a message is taken twice", |w, line| twice(w, line, "take")),
    ("another message is taken", |w, _| bump(w, &["take"], 3)),
    ("a message is sent without saying so", |w, _| gone(w, "send")),
    ("a state is not captured", |w, _| gone(w, "capture")),
    ("a state is captured twice", |w, line| twice(w, line, "capture")),
    ("the application is not told", |w, _| gone(w, "told")),
    ("the application is told twice", |w, line| twice(w, line, "told")),
    ("more is told to be covered than is", |w, _| bump(w, &["told", "", "committed"], 4)),
    ("a turn is left out", |w, _| bump(w, &["turn"], 2)),
    ("a snapshot has the name of another", |w, _| bump(w, &["initiate"], 2)),
    ("a part has another turn", |w, _| bump(w, &["ask", "", "", "write-part", "", "turn"], 6)),
    ("a recorded message is not in the part", |w, _| without(w, "write-part", "recorded")),
    ("a message that had not departed is not in the part", |w, _| without(w, "write-part", "outgoing")),
    ("a part says less of what was sent", |w, _| without(w, "write-part", "sent")),
    ("a record is created beyond the next index", |w, _| bump(w, &["ask", "", "", "create-journal"], 4)),
    ("a commit has other turns than its parts", |w, _| {
        let at = w.iter().position(|word| *word == "turns")? + 1;
        let (node, turn) = w.get(at)?.split_once(':')?;
        let turn = format!("{node}:{}", next_number(turn));
        let line = [&w[..at], &[turn.as_str()], &w[at + 1..]].concat().join(" ");
        (w[3] == "create-journal").then(|| vec![line])
    }),
    ("a commit leaves out a member", |w, _| without(w, "create-journal", "turns")),
    ("a record keeps one commit less", |w, _| {
        let last =
            w.last().filter(|_| w[0] == "ask" && w[3] == "create-journal").filter(|last| **last != "kept")?;
        let _ = last;
        Some(vec![w[..w.len() - 1].join(" ")])
    }),
    ("a generation is left out", |w, _| {
        bump(w, &["ask", "", "", "create-journal", "", "", "", "", "open"], 9)
    }),
    ("the store does something twice", |w, line| twice(w, line, "do")),
    ("the seat of another generation is taken", |w, _| bump(w, &["ask", "", "", "create-seat"], 4)),
    ("another state is installed", |w, _| without(w, "restored", "sent")),
];

#[test]
fn a_damaged_trace_is_refused() {
    let mut tried = BTreeMap::<&str, usize>::new();
    for seed in 0..16 {
        let trace = record(seed);
        for (name, damage) in DAMAGES {
            let lines = trace.lines();
            let hit = |at: &usize| {
                let damaged = damage(&lines[*at].split(' ').collect::<Vec<_>>(), &lines[*at]);
                damaged.is_some() && is_seen(lines, &lines[*at])
            };
            let hits: Vec<usize> = (1..lines.len()).filter(hit).collect();
            // The first, the last, and some between.
            for at in hits.iter().step_by((hits.len() / 3).max(1)).chain(hits.last()) {
                let mut damaged = lines.to_vec();
                let with = damage(&lines[*at].split(' ').collect::<Vec<_>>(), &lines[*at]).unwrap();
                damaged.splice(at..=at, with);
                let refused = check(&damaged.join("\n"));
                assert!(
                    refused.is_err(),
                    "seed {seed}, line {}, `{}`: {name}, and nobody noticed",
                    at + 1,
                    lines[*at]
                );
                assert!(refused.unwrap_err().line >= *at, "seed {seed}: refused before it was damaged");
                *tried.entry(name).or_default() += 1;
            }
        }
    }
    let few: Vec<_> =
        DAMAGES.iter().filter(|(name, _)| tried.get(name).copied().unwrap_or(0) < 5).map(|d| d.0).collect();
    assert!(few.is_empty(), "these were tried too little: {few:?} of {tried:?}");
}

/// Puts the trace at `tail` behind a small start of two nodes in one generation.
fn two_nodes(tail: &str) -> String {
    let start = record(0);
    let running = start.lines().iter().position(|line| line.starts_with("send")).unwrap();
    // Up to the first message all is start and hello; what is under way then goes on being so.
    format!("{}\n{tail}", start.lines()[..running].join("\n"))
}

#[test]
fn the_checker_says_what_is_wrong_and_shows_the_state_before() {
    let refused = check(&two_nodes("take n3 n7 m1")).unwrap_err();
    assert_eq!(refused.step, "take n3 n7 m1");
    assert!(refused.before.contains("journal:\n  1 by n"), "{refused}");
    assert!(refused.to_string().contains("no action allows `take n3 n7 m1`"), "{refused}");
}

#[test]
fn what_is_no_trace_is_refused() {
    for text in
        ["", "member n1", "snapshot-trace 1", "snapshot-trace 2\nsing", "snapshot-trace 2\nboot n1 n2"]
    {
        assert!(check(text).is_err(), "{text:?}");
    }
    assert_eq!(check("# nothing happens\nsnapshot-trace 2\nmember n1\n").unwrap().steps, 1);
}

#[test]
fn a_trace_of_a_broken_coordinator_is_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/broken");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in &names {
        let text = fs::read_to_string(path).unwrap();
        let refused = match check(&text) {
            Ok(_) => panic!("{}: nobody noticed", path.display()),
            Err(refused) => refused.to_string(),
        };
        let expected = text.lines().find_map(|line| line.strip_prefix("# refused: ")).unwrap();
        assert!(
            refused.contains(expected),
            "{}: expected {expected:?}, and it was: {refused}",
            path.display()
        );
    }
    assert!(names.len() >= 28, "there are traces of broken coordinators");
}
