//! The key-value server before and after it was given snapshots: real processes, killed with SIGKILL and started again, and
//! clients that note what was acknowledged.
//!
//! `SEED=n` runs that seed alone, `SEEDS=n` that many.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::thread;

use crate::existing_app_group::course::{Outcome, Schedule, run};
use crate::existing_app_group::{Group, Program};
use snapshot_examples::key_values::Line;

/// As many lines may be different, removed and added ones counted.
const DIFFERENT: usize = 130;

#[test]
fn snapshots_cost_an_application_130_lines_at_most() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/existing_app");
    let [before, after] = ["before.rs", "after.rs"].map(|name| {
        let text = fs::read_to_string(folder.join(name)).expect("the source is there");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let different = before.len() + after.len() - 2 * common(&before, &after);
    println!("{different} lines are different");
    assert!((1..=DIFFERENT).contains(&different), "{different} lines are different");
}

/// How many lines two texts have in common, in the same order.
fn common(one: &[String], two: &[String]) -> usize {
    let mut row = vec![0; two.len() + 1];
    for a in one {
        let mut diagonal = 0;
        for (index, b) in two.iter().enumerate() {
            let above = row[index + 1];
            row[index + 1] = if a == b { diagonal + 1 } else { above.max(row[index]) };
            diagonal = above;
        }
    }
    row[two.len()]
}

fn seeds(usual: Range<u64>) -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => usual.start..usual.start + count,
        (None, None) => usual,
    }
}

fn nothing_is_broken(schedule: Schedule, usual: Range<u64>) {
    for seed in seeds(usual) {
        let outcome = run(Program::After, schedule, seed);
        let Outcome { kills, acknowledged, failures, broken } = &outcome;
        println!("    {kills} kills, {acknowledged} writes acknowledged, {failures} without an answer");
        let first = &broken[..broken.len().min(20)];
        assert!(broken.is_empty(), "SEED={seed}: {} things are broken: {first:#?}", broken.len());
        assert!(*acknowledged > 0 && *kills > 0, "SEED={seed}: {outcome:?}");
    }
}

#[test]
fn with_snapshots_what_was_acknowledged_has_happened_once_whoever_is_killed() {
    nothing_is_broken(Schedule::Random, 1..4);
}

#[test]
fn with_snapshots_what_was_acknowledged_has_happened_once_if_all_are_killed_at_once() {
    nothing_is_broken(Schedule::All, 101..102);
}

#[test]
fn with_snapshots_what_was_acknowledged_has_happened_once_if_one_is_killed_while_it_starts() {
    nothing_is_broken(Schedule::Same, 201..202);
}

/// The same kills, without snapshots: the test above can fail.
fn something_is_lost(schedule: Schedule, seed: u64) {
    let outcome = run(Program::Before, schedule, seed);
    let Outcome { kills, acknowledged, failures, broken } = &outcome;
    println!("    {kills} kills, {acknowledged} writes acknowledged, {failures} without an answer");
    assert!(!broken.is_empty(), "{schedule:?}, SEED={seed}: no loss was found");
    println!("    {} things are broken, such as: {}", broken.len(), broken[0]);
}

#[test]
fn without_snapshots_what_was_acknowledged_is_lost_whoever_is_killed() {
    something_is_lost(Schedule::Random, 1);
}

#[test]
fn without_snapshots_what_was_acknowledged_is_lost_if_all_are_killed_at_once() {
    something_is_lost(Schedule::All, 101);
}

#[test]
fn without_snapshots_what_was_acknowledged_is_lost_if_one_is_killed_while_it_starts() {
    something_is_lost(Schedule::Same, 201);
}

/// Both programs, side by side.
fn each_program(test: impl Fn(Program) + Sync) {
    thread::scope(|scope| {
        let running = [Program::Before, Program::After].map(|program| {
            let test = &test;
            scope.spawn(move || test(program))
        });
        for thread in running {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

#[test]
fn clients_are_served_at_every_node() {
    each_program(|program| {
        let mut group = Group::start(program, 1);
        group.until_it_answers();
        let mut lines = group.clients.iter().map(|address| Line::open(*address).expect("a server"));
        let [one, two, three] = &mut [(); 3].map(|()| lines.next().expect("three nodes"));
        for key in ["apple", "pear", "plum", "quince"] {
            assert_eq!(one.ask(&format!("GET {key}")).expect("an answer"), "NONE");
            assert_eq!(two.ask(&format!("SET {key} 41")).expect("an answer"), "OK 41");
            assert_eq!(three.ask(&format!("INCR {key}")).expect("an answer"), "OK 42");
            assert_eq!(one.ask(&format!("GET {key}")).expect("an answer"), "VALUE 42");
        }
        assert_eq!(one.ask("SET word hello").expect("an answer"), "OK hello");
        for address in group.clients.clone() {
            let here = |word: &str| Line::open(address).and_then(|mut line| line.ask(word));
            group.until("every node has a copy", |_| here("PEEK word").expect("an answer") == "VALUE hello");
        }
        for (wrong, why) in [
            ("INCR word", "word is no number"),
            ("", "expected GET key"),
            ("SET key", "expected GET key"),
            ("SET key more than one", "expected GET key"),
            ("get key", "expected GET key"),
        ] {
            let answer = two.ask(wrong).expect("an answer");
            assert!(answer.starts_with("ERR ") && answer.contains(why), "{wrong}: {answer}");
        }
        assert_eq!(two.ask("SET big 18446744073709551615").expect("an answer"), "OK 18446744073709551615");
        assert!(two.ask("INCR big").expect("an answer").starts_with("ERR "));
        assert_eq!(two.ask("GET big").expect("an answer"), "VALUE 18446744073709551615");
    });
}

#[test]
fn garbage_on_a_port_ends_that_connection_and_nothing_else() {
    each_program(|program| {
        let mut group = Group::start(program, 2);
        group.until_it_answers();
        // With snapshots a node also says which of its processes it is.
        let life: &[u8] = if matches!(program, Program::After) { &[0; 16] } else { &[] };
        let huge = [&3_u64.to_be_bytes()[..], life, &[0xff; 4]].concat();
        let no_json = [&3_u64.to_be_bytes()[..], life, &5_u32.to_be_bytes(), b"hello"].concat();
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 8], &1_u64.to_be_bytes(), &huge, &no_json] {
            is_ended(&group, 0, true, garbage);
        }
        for garbage in [&[b'a'; 10_000][..], b"SET \xff\xfe 1\n"] {
            is_ended(&group, 0, false, garbage);
        }
        // What claimed to be node 3 has taken the place of its connection, which is made anew.
        group.until_it_answers();
        let mut line = Line::open(group.clients[0]).expect("a server");
        for key in 0..8 {
            let command = format!("SET key-{key} 1");
            group.until("writes are acknowledged", |_| line.ask(&command).expect("an answer") == "OK 1");
        }
    });
}

/// Says something, and waits until the other end closes the connection.
fn is_ended(group: &Group, node: usize, by_peer: bool, garbage: &[u8]) {
    let address = if by_peer { group.peers[node] } else { group.clients[node] };
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(crate::existing_app_group::LIMIT)).expect("a limit");
    stream.write_all(garbage).expect("it can be written");
    // Where the server ends before it has read all, the connection is reset, which is an end as well.
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{garbage:?} is not answered by an end: {error}\n{}", group.logs()),
    }
}

#[test]
fn a_client_that_goes_while_it_waits_leaves_nothing_behind() {
    let mut group = Group::start(Program::After, 3);
    group.until_it_answers();
    let address = group.clients[0];
    for client in 0..50 {
        let mut line = Line::open(address).expect("a server");
        line.say(&format!("SET left-{client} 1")).expect("it can be written");
        drop(line);
        let mut half = TcpStream::connect(address).expect("a server");
        half.write_all(b"SET half").expect("it can be written");
        half.shutdown(Shutdown::Both).expect("it is open");
    }
    // What was asked for by those who did not wait is done, and the next ones are served.
    let mut line = Line::open(address).expect("a server");
    for client in 0..50 {
        let look = format!("PEEK left-{client}");
        group.until("the write is there", |_| line.ask(&look).expect("an answer") == "VALUE 1");
    }
    assert_eq!(line.ask("INCR alive").expect("an answer"), "OK 1");
}

#[test]
fn while_a_node_is_down_nothing_is_acknowledged_and_clients_can_try_again() {
    let mut group = Group::start(Program::After, 5);
    group.until_it_answers();
    group.kill(2);
    let address = group.clients[0];
    let ask = |key: &str| Line::open(address).and_then(|mut line| line.ask(&format!("SET {key} 1")));
    thread::scope(|scope| {
        for key in ["apple", "pear", "plum"] {
            scope.spawn(move || {
                let answer = ask(key).expect("an answer");
                assert!(answer.starts_with("ERR this may have happened or not"), "{key}: {answer}");
            });
        }
    });
    group.start_node(2);
    let mut line = Line::open(address).expect("a server");
    for key in ["apple", "pear", "plum"] {
        let command = format!("SET {key} 1");
        group.until("the write is acknowledged", |_| line.ask(&command).expect("an answer") == "OK 1");
    }
}

#[test]
fn what_is_acknowledged_before_all_are_killed_is_there_at_once_when_they_are_back() {
    let mut group = Group::start(Program::After, 4);
    group.until_it_answers();
    let writes: Vec<_> = (0..12).map(|key| (format!("key-{key}"), group.clients[key % 3])).collect();
    thread::scope(|scope| {
        for (key, address) in &writes {
            let write =
                move || Line::open(*address).and_then(|mut line| line.ask(&format!("SET {key} here")));
            scope.spawn(move || assert_eq!(write().expect("an answer"), "OK here"));
        }
    });
    (0..3).for_each(|node| group.kill(node));
    group.start_node(1);
    // Alone, and without a majority of anything: the snapshot has its copy.
    let address = group.clients[1];
    group.until("the node is back", |_| Line::open(address).is_ok());
    let mut line = Line::open(address).expect("a server");
    for (key, _) in &writes {
        let look = format!("PEEK {key}");
        group.until("its copy has come", |_| line.ask(&look).expect("an answer") == "VALUE here");
    }
}

#[test]
fn bad_flags_get_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = folder.path().join("snapshots");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    let (here, there) = (format!("1={taken}"), "1=127.0.0.1:0,2=127.0.0.1:9".to_owned());
    let usage: &[(&[&str], &str)] = &[
        (&[], "--id"),
        (&["--id", "1", "--clients", "127.0.0.1:0"], "--peers"),
        (&["--id", "one", "--peers", &there, "--clients", "127.0.0.1:0"], "--id"),
        (&["--id", "1", "--peers", "127.0.0.1:4001", "--clients", "127.0.0.1:0"], "ID=ADDRESS"),
        (&["--id", "1", "--peers", "1=nowhere", "--clients", "127.0.0.1:0"], "--peers"),
        (&["--id", "1", "--peers", &there, "--clients", "5001"], "--clients"),
    ];
    let failing: &[(&[&str], &str)] = &[
        (&["--id", "3", "--peers", &there, "--clients", "127.0.0.1:0"], "--peers does not name node 3"),
        (&["--id", "1", "--peers", &here, "--clients", "127.0.0.1:0"], &taken),
        (&["--id", "1", "--peers", &there, "--clients", &taken], &taken),
    ];
    for program in [Program::Before, Program::After] {
        for (code, cases) in [(2, usage), (1, failing)] {
            for (flags, word) in cases {
                let mut command = program.command();
                if program == Program::After {
                    command.arg("--snapshots").arg(&snapshots);
                }
                let output = command.args(*flags).output().expect("the program can be started");
                let text = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(code), "{flags:?}: {text}");
                assert!(text.contains(word), "{flags:?}: no {word:?} in {text}");
            }
        }
    }
    assert!(!snapshots.exists(), "a node that was refused leaves nothing behind");

    fs::write(&snapshots, "a file").expect("it is ours");
    let mut command = Program::After.command();
    command.args(["--id", "1", "--peers", &there, "--clients", "127.0.0.1:0", "--snapshots"]).arg(&snapshots);
    let output = command.output().expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("snapshots"), "{text}");
}
