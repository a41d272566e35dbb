//! Runs the real `bank`: processes over TCP, kills, resumption, and what it says to bad input.
//!
//! Nothing here depends on how fast the machine is: runs end when what they claim was shown.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long something may take that is waited for. Far more than it ever does.
const LIMIT: Duration = Duration::from_secs(60);

fn bank(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_bank")).args(arguments).output();
    output.expect("the program can be started")
}

fn short(more: &[&str]) -> Output {
    bank(&[&["--seconds", "1", "--interval", "100", "--accounts", "20"], more].concat())
}

fn said(output: &Output) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{}\n--- output\n{out}\n--- errors\n{err}", output.status)
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().unwrap_or_default().to_owned()
}

fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// `N snapshots, K kills, total T in each: ok`, taken apart.
fn claim(line: &str) -> Option<(usize, usize, u64)> {
    let (snapshots, rest) = line.split_once(" snapshots, ")?;
    let (kills, rest) = rest.split_once(" kills, total ")?;
    let total = rest.strip_suffix(" in each: ok")?;
    Some((snapshots.parse().ok()?, kills.parse().ok()?, total.parse().ok()?))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("run")
    }

    fn text(&self) -> String {
        self.path().to_str().expect("a plain name").to_owned()
    }
}

/// A run that goes on until it is killed.
struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    heard: Vec<Value>,
}

impl Running {
    fn start(more: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bank"))
            .args(["--seconds", "3600", "--kills", "0", "--interval", "50", "--accounts", "20", "--json"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Self { process, lines, heard: Vec::new() }
    }

    fn until(&mut self, kind: &str, times: usize) {
        while of_kind(&self.heard, kind).len() < times {
            let line = self.lines.next().expect("the run goes on").expect("it can be read");
            self.heard.push(serde_json::from_str(&line).expect("an object"));
        }
    }

    fn branches(&self) -> Vec<u64> {
        of_kind(&self.heard, "started").iter().filter_map(|event| event["pid"].as_u64()).collect()
    }

    fn snapshots(&self) -> Vec<String> {
        let rows = of_kind(&self.heard, "snapshot");
        rows.iter().filter_map(|event| event["snapshot"].as_str()).map(str::to_owned).collect()
    }

    /// Kills the parent with SIGKILL, and returns what was committed before, as far as it was printed.
    fn kill(mut self) -> Vec<String> {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it was ours");
        for pid in self.branches() {
            wait_for_the_end_of(pid);
        }
        self.snapshots()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A process that is gone, or is only waiting to be buried by whoever has inherited it.
fn wait_for_the_end_of(pid: u64) {
    let begun = Instant::now();
    let stat = format!("/proc/{pid}/stat");
    while fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
        assert!(begun.elapsed() < LIMIT, "branch {pid} lives on without its parent");
        std::thread::yield_now();
    }
}

fn audited(folder: &Folder) -> Vec<Value> {
    let output = bank(&["audit", "--json", "--store", &folder.text()]);
    assert!(output.status.success(), "{}", said(&output));
    events(&output)
}

#[test]
fn every_topology_survives_a_kill_and_every_snapshot_adds_up() {
    for topology in ["mesh", "ring", "star"] {
        let folder = Folder::new();
        let output =
            short(&["--nodes", "3", "--kills", "1", "--topology", topology, "--store", &folder.text()]);
        assert!(output.status.success(), "{topology}: {}", said(&output));
        let (snapshots, kills, total) =
            claim(&last_line(&output)).unwrap_or_else(|| panic!("{}", said(&output)));
        assert_eq!((kills, total), (1, 3 * 20 * 1000), "{topology}");
        // One before the kill, one after it.
        assert!(snapshots >= 2, "{topology}: {snapshots}");
        let sound = audited(&folder).iter().filter(|verdict| verdict["verdict"] == "sound").count();
        assert_eq!(sound, snapshots, "{topology}");
    }
}

#[test]
fn json_tells_of_each_kill_rollback_and_snapshot() {
    let output = short(&["--nodes", "2", "--kills", "2", "--seed", "5", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let events = events(&output);
    let end = events.last().expect("an end");
    assert_eq!((&end["event"], &end["ok"], &end["kills"]), (&"end".into(), &true.into(), &2.into()), "{end}");
    assert_eq!(of_kind(&events, "killed").len(), 2);
    assert_eq!(of_kind(&events, "rolled_back").len(), 2);
    let rows = of_kind(&events, "snapshot");
    assert_eq!(Some(rows.len() as u64), end["snapshots"].as_u64());
    assert!(rows.iter().all(|row| row["total"] == 40_000), "{rows:?}");
    // Both were killed once both, or one twice: each time somebody else was started.
    assert_eq!(of_kind(&events, "started").len(), 4);
    let folder = events[0]["store"].as_str().expect("a folder");
    assert!(Path::new(folder).join("bank.json").exists(), "the folder is kept");
    fs::remove_dir_all(folder).expect("it is ours");
}

#[test]
fn a_branch_alone_is_a_bank_too() {
    let folder = Folder::new();
    let output = short(&["--nodes", "1", "--kills", "1", "--store", &folder.text()]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(matches!(claim(&last_line(&output)), Some((2.., 1, 20_000))), "{}", said(&output));
}

#[test]
fn a_run_that_was_killed_whole_goes_on_from_what_was_committed() {
    let folder = Folder::new();
    let store = folder.text();
    let mut before = Vec::new();
    for life in 0..2 {
        let mut running = match life {
            0 => Running::start(&["--nodes", "3", "--topology", "ring", "--store", &store]),
            _ => Running::start(&["--resume", "--store", &store]),
        };
        running.until("snapshot", 2);
        before.extend(running.kill());
    }
    let output = short(&["--resume", "--store", &store, "--kills", "1", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let events = events(&output);
    let end = events.last().expect("an end");
    assert!(end["snapshots"].as_u64() > Some(before.len() as u64), "{end}");
    // All went back to the newest one first, then once more for the kill.
    let returns = of_kind(&events, "rolled_back");
    assert_eq!(returns.len(), 2);
    assert!(returns.iter().all(|event| event["to"].is_string()), "{returns:?}");
    let sound: Vec<String> = audited(&folder).iter().filter_map(name_of_sound).collect();
    assert!(before.iter().all(|snapshot| sound.contains(snapshot)), "{before:?} are not all among {sound:?}");
}

fn name_of_sound(verdict: &Value) -> Option<String> {
    let id = (verdict["verdict"] == "sound").then(|| &verdict["snapshot"])?;
    Some(format!("g{}/{}@n{}", id["generation"], id["sequence"], id["initiator"]))
}

/// A process that stands still, until this is dropped.
#[cfg(unix)]
struct Stopped(u64);

#[cfg(unix)]
impl Stopped {
    fn stop(pid: u64) -> Self {
        Self::signal("-STOP", pid);
        Self(pid)
    }

    fn signal(name: &str, pid: u64) {
        let status = Command::new("kill").args([name, &pid.to_string()]).status().expect("every Unix has it");
        assert!(status.success(), "{name} {pid}");
    }
}

#[cfg(unix)]
impl Drop for Stopped {
    fn drop(&mut self) {
        Self::signal("-CONT", self.0);
    }
}

#[cfg(unix)]
#[test]
fn of_a_branch_that_stands_still_the_others_say_that_its_marker_is_missing_and_with_it_they_go_on() {
    let folder = Folder::new();
    let mut running = Running::start(&["--nodes", "3", "--deadline", "1000", "--store", &folder.text()]);
    running.until("snapshot", 1);
    let pid = of_kind(&running.heard, "started")
        .iter()
        .find(|event| event["branch"] == "n3")
        .expect("it runs")["pid"]
        .as_u64()
        .expect("a number");
    let stopped = Stopped::stop(pid);
    let names_it = |event: &&Value| {
        event["by"] != "n3"
            && event["why"].as_str().is_some_and(|why| why.contains("the marker of n3 has not come"))
    };
    // One that was under way may have had its marker, and lack its receipt.
    let mut aborted = 0;
    while !of_kind(&running.heard, "aborted").iter().any(names_it) {
        aborted += 1;
        running.until("aborted", aborted);
    }
    drop(stopped);
    let committed = running.snapshots().len();
    running.until("snapshot", committed + 2);
    running.kill();
}

#[test]
fn a_folder_is_used_by_one_run_at_a_time_and_never_by_accident() {
    let folder = Folder::new();
    let store = folder.text();
    let mut running = Running::start(&["--nodes", "2", "--store", &store]);
    running.until("snapshot", 1);
    refused(&["--resume", "--store", &store], &["another bank is running"]);
    let before = running.kill();
    refused(&["--store", &store], &["holds a run already", "--resume"]);
    for (flag, value) in [("--nodes", "3"), ("--accounts", "21"), ("--topology", "star")] {
        refused(&["--resume", "--store", &store, flag, value], &[flag, "choose another folder"]);
    }
    let sound: Vec<String> = audited(&folder).iter().filter_map(name_of_sound).collect();
    assert!(
        before.iter().all(|snapshot| sound.contains(snapshot)),
        "nothing is lost: {before:?} in {sound:?}"
    );
}

#[test]
fn the_store_of_another_bank_is_refused() {
    let (one, other) = (Folder::new(), Folder::new());
    for folder in [&one, &other] {
        let output = short(&["--nodes", "2", "--kills", "0", "--store", &folder.text()]);
        assert!(output.status.success(), "{}", said(&output));
    }
    fs::remove_dir_all(one.path().join("store")).expect("it is there");
    refused(&["--resume", "--store", &one.text()], &["there is no", "store"]);
    fs::rename(other.path().join("store"), one.path().join("store")).expect("it can be moved");
    refused(&["--resume", "--store", &one.text()], &["group"]);
}

#[test]
fn a_damaged_snapshot_stops_the_bank_unless_it_may_fall_back() {
    let folder = Folder::new();
    let store = folder.text();
    let mut running = Running::start(&["--nodes", "2", "--store", &store]);
    running.until("snapshot", 3);
    running.kill();
    let verdicts = audited(&folder);
    remove_what_is_not_committed(&folder, &verdicts);
    let newest = verdicts.into_iter().rfind(|verdict| verdict["verdict"] == "sound").expect("a snapshot");
    let id = |part: &str| newest["snapshot"][part].as_u64().expect("a number");
    let part = folder.path().join("store").join(format!(
        "part/{:020}/{:020}-{:020}/{:020}",
        id("generation"),
        id("sequence"),
        id("initiator"),
        1
    ));
    let mut bytes = fs::read(&part).expect("the part is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).expect("it can be written");

    refused(&["audit", "--store", &store], &["part"]);
    let output = short(&["--resume", "--kills", "0", "--store", &store]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--fall-back"), "{}", said(&output));

    let output = short(&["--resume", "--kills", "1", "--store", &store, "--fall-back"]);
    assert!(output.status.success(), "{}", said(&output));
    let name = format!("g{}/{}@n{}", id("generation"), id("sequence"), id("initiator"));
    let loud = String::from_utf8_lossy(&output.stderr)
        .lines()
        .any(|line| line.contains("!!!") && line.contains(&name));
    assert!(loud, "{}", said(&output));
    assert!(claim(&last_line(&output)).is_some(), "{}", said(&output));
    let given_up = audited(&folder).iter().filter(|verdict| verdict["verdict"] == "given_up").count();
    assert_eq!(given_up, 1);
}

/// The next start would commit a snapshot that was whole when its branches were killed, and go on from that one.
fn remove_what_is_not_committed(folder: &Folder, verdicts: &[Value]) {
    let committed: Vec<String> = verdicts.iter().filter_map(name_of_sound).collect();
    for generation in fs::read_dir(folder.path().join("store/part")).expect("there are parts") {
        for snapshot in fs::read_dir(generation.expect("it can be read").path()).expect("a folder") {
            let path = snapshot.expect("it can be read").path();
            let numbers = numbers_in(path.to_str().expect("a plain name"));
            let [generation, sequence, initiator] = numbers[numbers.len() - 3..] else { panic!("{path:?}") };
            if !committed.contains(&format!("g{generation}/{sequence}@n{initiator}")) {
                fs::remove_dir_all(path).expect("it is ours");
            }
        }
    }
}

fn numbers_in(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn a_planted_bug_is_found_by_the_check_and_the_snapshot_that_shows_it_is_kept() {
    let folder = Folder::new();
    let store = folder.text();
    // It ends when the check has found the bug, long before that time.
    let output = bank(
        &[
            &["--nodes", "3", "--seconds", "60", "--kills", "0", "--interval", "50", "--accounts", "20"][..],
            &["--plant", "duplicate", "--store", &store],
        ]
        .concat(),
    );
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().last().unwrap_or_default();
    let found =
        line.strip_prefix("bank: the check 'money' has failed on ").and_then(|rest| rest.split_once(": "));
    let (name, what) = found.unwrap_or_else(|| panic!("{}", said(&output)));
    assert!(what.contains("coins in the cut, not 60000") && what.ends_with(&store), "{line}");

    let mut kept = Vec::new();
    for generation in fs::read_dir(folder.path().join("store/evidence")).expect("there is evidence") {
        let generation = generation.expect("it can be read").path();
        kept.extend(
            fs::read_dir(generation).expect("a folder").map(|entry| entry.expect("it can be read").path()),
        );
    }
    let numbers = numbers_in(name);
    let of_name = format!("{:020}/{:020}-{:020}", numbers[0], numbers[1], numbers[2]);
    let folder_of_it = kept.iter().find(|path| path.ends_with(&of_name));
    let folder_of_it = folder_of_it.unwrap_or_else(|| panic!("{of_name} is not among {kept:?}"));
    assert_eq!(fs::read_dir(folder_of_it).expect("a folder").count(), 3, "a part of each branch");
    refused(&["audit", "--store", &store], &["is wrong", "coins in the cut"]);
}

#[test]
fn bad_input_gets_an_error_that_says_what_to_do() {
    let folder = Folder::new();
    let store = folder.text();
    refused_usage(&["--nodes", "0"], "--nodes");
    refused_usage(&["--nodes", "many"], "--nodes");
    refused_usage(&["--accounts", "0"], "--accounts");
    refused_usage(&["--interval", "0"], "--interval");
    refused_usage(&["--topology", "line"], "mesh");
    refused_usage(&["--rings", "3"], "--rings");
    refused_usage(&["--plant", "roses"], "duplicate");
    refused_usage(&["--resume"], "--store");
    refused(&["--resume", "--store", &store], &["there is no folder", "--resume"]);
    assert!(!folder.path().exists(), "a run that was refused leaves nothing behind");

    fs::create_dir(folder.path()).expect("it is new");
    fs::write(folder.path().join("letter.txt"), "dear").expect("it is ours");
    refused(&["--store", &store], &["is not empty", "choose"]);
    refused(&["--resume", "--store", &store], &["holds no run"]);
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);

    let file = folder.path().join("letter.txt");
    refused(&["--store", file.to_str().expect("a plain name")], &["letter.txt"]);
    refused(&["audit", "--store", &store], &["holds no run"]);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let folder = Folder::new();
    let port = address.port().to_string();
    refused(&["--nodes", "1", "--port", &port, "--store", &folder.text()], &[&address.to_string(), "choose"]);
}

fn refused(arguments: &[&str], words: &[&str]) {
    let output = bank(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
    for word in words {
        assert!(text.contains(word), "{arguments:?}: no {word:?} in {}", said(&output));
    }
}

fn refused_usage(arguments: &[&str], word: &str) {
    let output = bank(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains(word), "{arguments:?}: {}", said(&output));
}
