//! Many processes on one folder: this file's own program, started again in the role that a test gives it.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::executor::block_on;
use snapshot_core::{Content, Created, Generation, Key, NodeId, Sink, SnapshotId, SnapshotStore};
use snapshot_store::DirectoryStore;

const ROLE: &str = "SNAPSHOT_STORE_TEST_ROLE";
const FOLDER: &str = "SNAPSHOT_STORE_TEST_FOLDER";
const NAME: &str = "SNAPSHOT_STORE_TEST_NAME";

const SIZE: usize = 300_000;

/// Not a test by itself: what the other tests start.
#[test]
fn role() {
    let Ok(role) = env::var(ROLE) else { return };
    let folder = env::var(FOLDER).unwrap();
    let name: u64 = env::var(NAME).unwrap().parse().unwrap();
    say("ready");
    if role != "create one after the other" {
        wait_for_the_parent();
    }
    let store = DirectoryStore::open(folder).unwrap();
    match role.as_str() {
        "race" => {
            for key in contended() {
                let created = block_on(store.create(key, Bytes::from(name.to_string()).into())).unwrap();
                assert!(read(&store, key).is_some(), "{key}");
                if created == Created::New {
                    say(&format!("won {key}"));
                }
            }
        }
        "stop half-way" => {
            let content = Content::new(|out| {
                out.write_all(&vec![1; 8 << 20])?;
                say("half-way");
                wait_for_the_parent();
                out.write_all(&vec![1; 8 << 20])
            });
            block_on(store.create(part(1, name), content)).unwrap();
        }
        "create one after the other" => {
            for sequence in 1.. {
                let content = Content::new(move |out| {
                    [sequence as u8; SIZE].chunks(1000).try_for_each(|c| out.write_all(c))
                });
                block_on(store.create(part(sequence, name), content)).unwrap();
                say(&format!("created {sequence}"));
            }
        }
        "write too much" => {
            let content = Content::new(|out| (0..1000).try_for_each(|_| out.write_all(&[1; 10_000])));
            let error = block_on(store.create(part(1, name), content)).unwrap_err();
            say(&format!("refused {:?}", std::error::Error::source(&error).map(ToString::to_string)));
            assert_eq!(
                block_on(store.create(part(1, name), Bytes::from("small").into())).unwrap(),
                Created::New
            );
            say("went on");
        }
        other => panic!("no role {other}"),
    }
}

/// On a line of its own, whatever the test harness writes.
fn say(text: &str) {
    println!("\n> {text}");
}

fn wait_for_the_parent() {
    let _ = io::stdin().read(&mut [0]);
}

fn part(sequence: u64, node: u64) -> Key {
    let snapshot = SnapshotId { generation: Generation(1), sequence, initiator: NodeId(1) };
    Key::Part { snapshot, node: NodeId(node) }
}

fn contended() -> impl Iterator<Item = Key> {
    let seat = |node| Key::Seat { generation: Generation(node / 5), node: NodeId(node) };
    (1..=25).flat_map(move |n| [Key::Journal(n), seat(n), part(n / 3, n)])
}

fn read(store: &DirectoryStore, key: Key) -> Option<Vec<u8>> {
    let (sink, found) = Sink::collect();
    block_on(store.read(key, sink)).unwrap().then(|| found.take().unwrap())
}

/// A started process; killed, if it still runs, when the test ends.
struct Process {
    child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(role: &str, folder: &Path, name: u64) -> Self {
        let program = env::current_exe().unwrap();
        Self::run(
            Command::new(program).args(["processes::role", "--exact", "--nocapture"]),
            role,
            folder,
            name,
        )
    }

    fn run(command: &mut Command, role: &str, folder: &Path, name: u64) -> Self {
        let command = command.env(ROLE, role).env(FOLDER, folder).env(NAME, name.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self { child, lines };
        assert_eq!(process.hear().as_deref(), Some("ready"));
        process
    }

    /// The next thing it says; `None` when it has ended.
    fn hear(&mut self) -> Option<String> {
        self.lines.by_ref().map(Result::unwrap).find_map(|line| line.strip_prefix("> ").map(str::to_owned))
    }

    fn go_on(&mut self) {
        use std::io::Write;
        self.child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
    }

    /// All else that it says.
    fn ends_well(mut self) -> Vec<String> {
        let said = std::iter::from_fn(|| self.hear()).collect();
        assert!(self.child.wait().unwrap().success(), "after {said:?}");
        said
    }

    /// SIGKILL. All that it still said.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.hear()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_key_has_one_winner_among_processes_that_open_a_fresh_folder_at_once() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("fresh/store");
    let mut processes: Vec<_> = (0..6).map(|name| Process::start("race", &folder, name)).collect();
    processes.iter_mut().for_each(Process::go_on);
    let won: Vec<_> = processes.into_iter().map(Process::ends_well).collect();
    let store = DirectoryStore::open_existing(&folder).unwrap();
    for key in contended() {
        let claim = format!("won {key}");
        let winners: Vec<usize> = (0..won.len()).filter(|name| won[*name].contains(&claim)).collect();
        assert_eq!(winners.len(), 1, "winners of {key}: {winners:?}");
        assert_eq!(read(&store, key), Some(winners[0].to_string().into_bytes()), "the winner's object");
    }
    assert_eq!(fs::read_dir(folder.join("tmp")).unwrap().count(), 0);
}

#[test]
fn process_killed_half_way_leaves_no_object_and_what_it_left_is_swept() {
    let place = tempfile::tempdir().unwrap();
    let mut process = Process::start("stop half-way", place.path(), 7);
    process.go_on();
    assert_eq!(process.hear().as_deref(), Some("half-way"));

    let store = DirectoryStore::open_existing(place.path()).unwrap();
    let left = |tmp: &Path| fs::read_dir(tmp).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let [unfinished] = &left(&place.path().join("tmp"))[..] else { panic!("one file is being written") };
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(unfinished).unwrap().set_modified(long_ago).unwrap();
    DirectoryStore::open(place.path()).unwrap();
    assert!(unfinished.exists(), "a file in use stays, however old");

    process.kill();
    assert_eq!(read(&store, part(1, 7)), None);
    assert_eq!(block_on(store.list_parts(None)).unwrap(), []);
    assert_eq!(block_on(store.create(part(1, 7), Bytes::from("again").into())).unwrap(), Created::New);
    assert_eq!(read(&store, part(1, 7)).as_deref(), Some(&b"again"[..]));
    DirectoryStore::open(place.path()).unwrap();
    assert!(!unfinished.exists(), "an old file of a dead process goes");
}

#[test]
fn objects_of_a_process_killed_at_any_moment_are_whole_and_none_that_it_announced_is_missing() {
    let place = tempfile::tempdir().unwrap();
    for name in 1..=8 {
        let mut process = Process::start("create one after the other", place.path(), name);
        let mut said: Vec<String> = (0..name).filter_map(|_| process.hear()).collect();
        assert_eq!(said.len() as u64, name, "it created some before the end");
        said.extend(process.kill());

        let store = DirectoryStore::open_existing(place.path()).unwrap();
        let parts = block_on(store.list_parts(None)).unwrap();
        for sequence in 1..=said.len() as u64 {
            assert_eq!(said[sequence as usize - 1], format!("created {sequence}"));
            assert!(parts.contains(&part(sequence, name)), "{sequence} of {name} was announced");
        }
        for key in parts {
            let Key::Part { snapshot, .. } = key else { panic!("{key} is no part") };
            assert!(read(&store, key).unwrap() == [snapshot.sequence as u8; SIZE], "{key} is not whole");
        }
    }
}

#[test]
fn write_that_the_system_stops_leaves_nothing_and_the_store_goes_on() {
    let place = tempfile::tempdir().unwrap();
    // No file of this process may have more than some 100 or 200 KiB (the unit differs); to go beyond is an error, as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" processes::role --exact --nocapture";
    let program = env::current_exe().unwrap();
    let mut process =
        Process::run(Command::new("sh").args(["-c", script]).arg(program), "write too much", place.path(), 7);
    process.go_on();
    let said = process.ends_well();
    assert!(said[0].starts_with("refused Some"), "{said:?}");
    assert_eq!(said[1], "went on");
    assert_eq!(fs::read_dir(place.path().join("tmp")).unwrap().count(), 0);
}
