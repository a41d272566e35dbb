//! Runs the `cos418` program on cases whose outcome an independent simulator has worked out with plain integers, on broken
//! files, and on the conformance suite where there is one.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cos418_simulator::{Random, Snapshot, Step, World};

/// What the program said, and with what code it ended.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(arguments: &[&Path]) -> Run {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_cos418")).args(arguments).output().expect("the program starts");
    let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    Run { code: status.code(), out, err }
}

/// A folder of cases.
struct Suite {
    folder: tempfile::TempDir,
    manifest: String,
}

impl Suite {
    fn new(delays: &[u64]) -> Self {
        let suite = Self { folder: tempfile::tempdir().expect("a folder"), manifest: String::new() };
        suite.write("delays.txt", &delays.iter().map(|delay| format!("{delay}\n")).collect::<String>());
        suite
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file is written");
    }

    /// Adds a case of three kinds of text.
    fn add(&mut self, name: &str, top: &str, events: &str, snaps: &[String]) {
        self.write(&format!("{name}.top"), top);
        self.write(&format!("{name}.events"), events);
        write!(self.manifest, "{name} {name}.top {name}.events").expect("a string takes all");
        for (index, snap) in snaps.iter().enumerate() {
            self.write(&format!("{name}-{index}.snap"), snap);
            write!(self.manifest, " {name}-{index}.snap").expect("a string takes all");
        }
        self.manifest.push('\n');
    }

    /// Adds a case whose snapshots the independent simulator works out.
    fn add_simulated(&mut self, name: &str, world: &World, steps: &[Step], delays: &[u64]) -> Vec<Snapshot> {
        let snapshots = world.run(steps, delays);
        let snaps: Vec<String> =
            snapshots.iter().enumerate().map(|(id, snapshot)| snapshot.text(id)).collect();
        self.add(name, &world.text(), &Step::texts(steps), &snaps);
        snapshots
    }

    fn run(&self) -> Run {
        self.write("manifest.txt", &self.manifest);
        run(&[self.folder.path()])
    }
}

fn world(servers: &[(&str, u64)], links: &[(&str, &str)]) -> World {
    let owned = |name: &&str| (*name).to_owned();
    World {
        servers: servers.iter().map(|(name, tokens)| (owned(name), *tokens)).collect(),
        links: links.iter().map(|(from, to)| (owned(from), owned(to))).collect(),
    }
}

fn send(from: &str, to: &str, tokens: u64) -> Step {
    Step::Send(from.to_owned(), to.to_owned(), tokens)
}

fn snapshot(server: &str) -> Step {
    Step::Snapshot(server.to_owned())
}

const PAIR: &str = "2\nN1 1\nN2 0\nN1 N2\nN2 N1\n";

#[test]
fn the_worked_example_comes_out_as_worked_by_hand() {
    // Delays 3, 2, 3: the token is due at 4, the marker of N2 at 3, the marker of N1 at 7; so the token is recorded.
    let mut suite = Suite::new(&[3, 2, 3]);
    suite.add(
        "worked",
        PAIR,
        "send N1 N2 1\nsnapshot N2\ntick\n",
        &["0\nN1 0\nN2 0\nN1 N2 token(1)\n".to_owned()],
    );
    let run = suite.run();
    assert_eq!((run.out.as_str(), run.code), ("PASS worked\n1 passed, 0 failed\n", Some(0)), "{}", run.err);
}

#[test]
fn servers_are_taken_in_the_order_of_the_bytes_of_their_names() {
    // N10 sorts before N2. Whose marker draws which delay, and so what is recorded, hangs on it.
    let servers = [("N1", 9), ("N10", 9), ("N2", 9)];
    let links = [("N1", "N10"), ("N10", "N1"), ("N1", "N2"), ("N2", "N1"), ("N10", "N2"), ("N2", "N10")];
    let world = world(&servers, &links);
    let steps = [
        send("N2", "N10", 2),
        send("N10", "N2", 3),
        snapshot("N1"),
        Step::Tick(1),
        send("N2", "N10", 1),
        send("N10", "N2", 4),
        Step::Tick(3),
    ];
    // The markers of N1 draw the third and fourth delay: 0 for N10, 4 for N2.
    let delays = [4, 0, 0, 4, 1, 3, 0, 2, 1, 0, 4, 1];
    let mut suite = Suite::new(&delays);
    let right = suite.add_simulated("by-bytes", &world, &steps, &delays);
    // The same world with names that sort the other way must differ, or this case would show nothing.
    let swapped = world.renamed(|name| name.replace("N10", "N3"));
    let steps = steps.map(|step| step.renamed(|name| name.replace("N10", "N3")));
    let wrong = swapped.run(&steps, &delays)[0].renamed(|name| name.replace("N3", "N10"));
    assert_ne!(right[0], wrong);
    let run = suite.run();
    assert_eq!((run.out.as_str(), run.code), ("PASS by-bytes\n1 passed, 0 failed\n", Some(0)), "{}", run.err);
}

#[test]
fn a_message_is_recorded_in_every_snapshot_whose_channel_is_open() {
    let world = world(&[("a", 5), ("b", 5)], &[("a", "b"), ("b", "a")]);
    let steps = [send("a", "b", 3), snapshot("b"), snapshot("b"), Step::Tick(20)];
    let delays = [4, 4, 4, 0, 0];
    let mut suite = Suite::new(&delays);
    let snapshots = suite.add_simulated("overlap", &world, &steps, &delays);
    assert!(snapshots.iter().all(|s| s.messages == [("a".to_owned(), "b".to_owned(), 3)]), "{snapshots:?}");
    let run = suite.run();
    assert_eq!((run.out.as_str(), run.code), ("PASS overlap\n1 passed, 0 failed\n", Some(0)), "{}", run.err);
}

#[test]
fn comments_and_links_to_oneself_are_passed_over() {
    let top = "# a pair\n\n2\n# the first\nN1 1\nN2 0\n  # links\nN1 N1\nN1 N2\n\nN2 N1\nN2 N2\n";
    let snap = "# recorded\n0\nN2 0\n# in any order\nN1 0\nN1 N2 token(1)\n".to_owned();
    let mut suite = Suite::new(&[3, 2, 3]);
    suite.add("loops", top, "\nsend N1 N2 1\n\nsnapshot N2\ntick\n", &[snap]);
    suite.manifest.insert_str(0, "# name topology events snapshots\n\n");
    let run = suite.run();
    assert_eq!((run.out.as_str(), run.code), ("PASS loops\n1 passed, 0 failed\n", Some(0)), "{}", run.err);
}

#[test]
fn a_server_that_is_alone_records_itself() {
    let mut suite = Suite::new(&[]);
    suite.add("alone", "1\nonly 7\n", "snapshot only\n", &["0\nonly 7\n".to_owned()]);
    let run = suite.run();
    assert_eq!((run.out.as_str(), run.code), ("PASS alone\n1 passed, 0 failed\n", Some(0)), "{}", run.err);
}

#[test]
fn delays_come_from_the_file_named() {
    let mut suite = Suite::new(&[0, 0, 0]);
    suite.add(
        "worked",
        PAIR,
        "send N1 N2 1\nsnapshot N2\ntick\n",
        &["0\nN1 0\nN2 0\nN1 N2 token(1)\n".to_owned()],
    );
    // Without delay the token is there when N2 records.
    suite.add("prompt", PAIR, "send N1 N2 1\ntick\nsnapshot N2\n", &["0\nN1 0\nN2 1\n".to_owned()]);
    suite.write("other.txt", "3\n2\n3\n");
    assert_eq!(suite.run().code, Some(0));
    let other = suite.folder.path().join("other.txt");
    let run = run(&[suite.folder.path(), Path::new("--delays"), &other]);
    let lines: Vec<&str> = run.out.lines().collect();
    let prompt = "FAIL prompt: snapshot 0 (prompt-0.snap): N2 recorded 0 tokens, expected 1";
    assert_eq!(lines, ["PASS worked", prompt, "1 passed, 1 failed"]);
    assert_eq!(run.code, Some(1));
}

#[test]
fn wrong_expectations_fail_and_say_where() {
    let top = "2\nN1 3\nN2 0\nN1 N2\nN2 N1\n";
    let events = "send N1 N2 1\nsend N1 N2 2\nsnapshot N2\ntick\n";
    let right = "0\nN1 0\nN2 0\nN1 N2 token(1)\nN1 N2 token(2)\n";
    let wrong = [
        ("tokens", right.replace("N2 0", "N2 1"), "N2 recorded 0 tokens, expected 1"),
        ("server", right.replace("N2 0\n", "N2 0\nN3 0\n"), "N3 is expected and recorded nothing"),
        ("missing", right.replace("N2 0\n", ""), "N2 recorded 0 tokens, and is not expected at all"),
        (
            "order",
            "0\nN1 0\nN2 0\nN1 N2 token(2)\nN1 N2 token(1)\n".to_owned(),
            "recorded [1 2], expected [2 1]",
        ),
        ("fewer", right.replace("N1 N2 token(2)\n", ""), "recorded [1 2], expected [1]"),
        (
            "joined",
            right.replace("N1 N2 token(2)\n", "").replace("(1)", "(3)"),
            "recorded [1 2], expected [3]",
        ),
        ("turned", right.replace("N1 N2 token", "N2 N1 token"), "N1 -> N2 recorded [1 2], expected nothing"),
        ("id", right.replace("0\nN1", "1\nN1"), "no .snap file is of snapshot 0"),
    ];
    let mut suite = Suite::new(&[3, 3, 2, 3]);
    suite.add("right", top, events, &[right.to_owned()]);
    for (name, snap, _) in &wrong {
        suite.add(name, top, events, std::slice::from_ref(snap));
    }
    suite.add("none", top, events, &[]);
    suite.add("twice", top, events, &[right.to_owned(), right.to_owned()]);
    let run = suite.run();
    let mut lines = run.out.lines();
    assert_eq!(lines.next(), Some("PASS right"), "{}", run.out);
    for (name, _, difference) in &wrong {
        let line = lines.next().expect("a line for each case");
        assert!(line.starts_with(&format!("FAIL {name}: ")) && line.ends_with(difference), "{line}");
    }
    assert_eq!(lines.next(), Some("FAIL none: 1 snapshots were begun, and there are 0 .snap files"));
    assert_eq!(lines.next(), Some("FAIL twice: twice-1.snap and twice-0.snap are both of snapshot 0"));
    assert_eq!((lines.next(), run.code), (Some("1 passed, 10 failed"), Some(1)));
}

#[test]
fn broken_files_fail_with_file_and_line() {
    let snap = "0\nN1 1\nN2 0\n".to_owned();
    let events = "snapshot N1\n";
    let tops = [
        ("t-empty", "# nothing\n", ":1: empty"),
        ("t-count", "two\nN1 1\nN2 0\n", ":1: 'two' is no number"),
        ("t-sign", "+2\nN1 1\nN2 0\n", ":1: '+2' is no number"),
        ("t-zero", "0\n", ":1: there is at least one server"),
        ("t-few", "3\nN1 1\nN2 0\n", ":3: 3 servers were announced, 2 are there"),
        ("t-huge", "99999999999999999999\nN1 1\n", ":1: '99999999999999999999' is no number"),
        (
            "t-many",
            "18446744073709551615\nN1 1\n",
            ":2: 18446744073709551615 servers were announced, 1 are there",
        ),
        ("t-minus", "2\nN1 -1\nN2 0\n", ":2: '-1' is no number"),
        ("t-twice", "2\nN1 1\nN1 0\n", ":3: the server N1 is there twice"),
        ("t-stranger", "2\nN1 1\nN2 0\nN1 N2\nN2 N9\n", ":5: there is no server N9"),
        ("t-words", "2\nN1 1\nN2 0\nN1 N2 N1\n", ":4: a link is two servers"),
    ];
    let scripts = [
        ("e-word", "tick\nsnap N1\n", ":2: an event is"),
        ("e-stranger", "snapshot N3\n", ":1: there is no server N3"),
        ("e-many", "send N1 N2 2\n", ":1: N1 has 1 tokens and cannot send 2"),
        ("e-loop", "send N1 N1 1\n", ":1: there is no link N1 -> N1"),
        ("e-minus", "tick -1\n", ":1: '-1' is no number"),
        ("e-late", "tick 18446744073709551615\ntick\n", ":2: the time is over"),
        ("e-extra", "tick 1 1\n", ":1: an event is"),
    ];
    let snaps = [
        ("s-empty", "", ":1: no line has the snapshot's id"),
        ("s-two", "0\n1\n", ":2: a second snapshot id"),
        ("s-twice", "0\nN1 1\nN1 1\n", ":3: the server N1 is there twice"),
        ("s-token", "0\nN1 1\nN1 N2 marker(0)\n", ":3: 'marker(0)' is no 'token(N)'"),
        ("s-open", "0\nN1 N2 token(1\n", ":2: 'token(1' is no 'token(N)'"),
        ("s-words", "0\nN1 N2 token( 1 )\n", ":2: a line is"),
    ];
    let mut suite = Suite::new(&[0; 100]);
    let mut expected = Vec::new();
    for (name, top, what) in tops {
        suite.add(name, top, events, std::slice::from_ref(&snap));
        expected.push(format!("FAIL {name}: {name}.top{what}"));
    }
    for (name, events, what) in scripts {
        suite.add(name, PAIR, events, std::slice::from_ref(&snap));
        expected.push(format!("FAIL {name}: {name}.events{what}"));
    }
    for (name, snap, what) in snaps {
        suite.add(name, PAIR, events, &[snap.to_owned()]);
        expected.push(format!("FAIL {name}: {name}-0.snap{what}"));
    }
    suite.add("bytes", PAIR, events, std::slice::from_ref(&snap));
    fs::write(suite.folder.path().join("bytes.events"), b"tick\nsnapshot \xff\n").expect("a file is written");
    expected.push("FAIL bytes: bytes.events:2: bytes that are not text".to_owned());
    suite.add("oneway", "2\nN1 1\nN2 0\nN1 N2\n", events, std::slice::from_ref(&snap));
    expected.push("FAIL oneway: there is no path from n2 to n1".to_owned());
    suite.manifest.push_str("short 2.top\nabsent no.top no.events no.snap\n");
    let line = suite.manifest.lines().count() - 1;
    expected.push(format!("FAIL short: manifest.txt:{line}: a case has"));
    expected.push("FAIL absent: no.top: ".to_owned());
    suite.add("good", PAIR, events, std::slice::from_ref(&snap));
    expected.push("PASS good".to_owned());
    let run = suite.run();
    for (line, expected) in run.out.lines().zip(&expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    let summary = format!("1 passed, {} failed", expected.len() - 1);
    assert_eq!(
        (run.out.lines().last(), run.out.lines().count()),
        (Some(summary.as_str()), expected.len() + 1)
    );
    assert_eq!((run.code, run.err.as_str()), (Some(1), ""));
}

#[test]
fn a_case_that_runs_out_of_delays_or_never_ends_fails() {
    let mut suite = Suite::new(&[1_000_000, 0]);
    suite.add("dry", PAIR, "snapshot N1\nsnapshot N1\nsnapshot N1\n", &[]);
    suite.add("endless", PAIR, "snapshot N1\n", &["0\nN1 1\nN2 0\n".to_owned()]);
    suite.add("patient", PAIR, "snapshot N1\ntick 18446744073709551615\n", &["0\nN1 1\nN2 0\n".to_owned()]);
    let run = suite.run();
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(
        lines[0],
        "FAIL dry: dry.events:3: the delays file has only 2 delays, and the case needs more"
    );
    assert!(lines[1].starts_with("FAIL endless: 100000 ticks after the last event"), "{}", lines[1]);
    assert_eq!(lines[2..], ["PASS patient", "1 passed, 2 failed"]);
}

#[test]
fn without_anything_to_run_it_ends_with_2() {
    let empty = tempfile::tempdir().expect("a folder");
    let no_manifest = run(&[empty.path()]);
    assert_eq!((no_manifest.code, no_manifest.out.as_str()), (Some(2), ""));
    assert!(no_manifest.err.contains("manifest.txt"), "{}", no_manifest.err);
    let mut suite = Suite::new(&[0; 4]);
    suite.manifest.push_str("# no case\n");
    assert_eq!(suite.run().code, Some(2));
    suite.add("good", PAIR, "snapshot N1\n", &["0\nN1 1\nN2 0\n".to_owned()]);
    assert_eq!(suite.run().code, Some(0));
    suite.write("delays.txt", "0\nmany\n");
    let bad_delays = suite.run();
    assert_eq!(bad_delays.code, Some(2));
    assert!(bad_delays.err.contains("delays.txt:2: 'many' is no number"), "{}", bad_delays.err);
    fs::remove_file(suite.folder.path().join("delays.txt")).expect("it was there");
    assert_eq!(suite.run().code, Some(2));
    assert_eq!(run(&[]).code, Some(2));
    assert_eq!(run(&[Path::new("--quick")]).code, Some(2));
    assert_eq!(run(&[suite.folder.path(), Path::new("--delays")]).code, Some(2));
}

#[test]
fn random_worlds_come_out_as_the_independent_simulator_says_and_spoilt_ones_fail() {
    let seed = 418;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let delays: Vec<u64> = (0..5000).map(|_| random.below(5)).collect();
    let mut suite = Suite::new(&delays);
    let mut expected = String::new();
    let (mut in_flight, mut passed) = (0, 0);
    for case in 0..40 {
        let world = World::random(&mut random);
        let steps = world.random_steps(&mut random);
        let name = format!("random-{case}");
        let snapshots = suite.add_simulated(&name, &world, &steps, &delays);
        in_flight += snapshots.iter().map(|snapshot| snapshot.messages.len()).sum::<usize>();
        passed += 1;
        writeln!(expected, "PASS {name}").expect("a string takes all");
        // One number of one snapshot is off by one.
        let name = format!("spoilt-{case}");
        let spoilt = random.below(snapshots.len() as u64) as usize;
        let snaps: Vec<String> = snapshots
            .iter()
            .enumerate()
            .map(
                |(id, snapshot)| {
                    if id == spoilt { snapshot.spoilt(&mut random).text(id) } else { snapshot.text(id) }
                },
            )
            .collect();
        suite.add(&name, &world.text(), &Step::texts(&steps), &snaps);
        writeln!(expected, "FAIL {name}: snapshot {spoilt} ({name}-{spoilt}.snap)")
            .expect("a string takes all");
    }
    assert!(in_flight > 100, "the worlds are too quiet to show anything: {in_flight}");
    let run = suite.run();
    for (line, expected) in run.out.lines().zip(expected.lines()) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    assert_eq!(run.out.lines().last(), Some(format!("{passed} passed, {passed} failed").as_str()));
}

#[test]
fn the_conformance_suite_passes_where_it_is_present() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let suite = std::env::var_os("SNAPSHOT_CONFORMANCE").map_or(beside, PathBuf::from).join("cos418");
    if !suite.join("manifest.txt").is_file() {
        println!("skipped: there is no {}", suite.display());
        return;
    }
    let run = run(&[&suite]);
    let cases = run.out.lines().filter(|line| line.starts_with("PASS ")).count();
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert_eq!(run.out.lines().last(), Some(format!("{cases} passed, 0 failed").as_str()));
}
