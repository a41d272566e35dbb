//! Starts the processes, kills one of them again and again, and makes rows of what they tell.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use snapshot_core::NodeId;

use super::node::MEMBERS;
use crate::now;

const MIB: usize = 1 << 20;
const KILLS: usize = 10;
const MANY_KILLS: usize = 60;
const RATIO: &str = " to the raw read";
/// Of messages, from a commit to the kill.
const PAUSE: Duration = Duration::from_millis(100);
/// What takes longer has gone wrong.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn compare(flags: &[String], words: &[String]) {
    let has = |name: &str| flags.iter().any(|flag| flag == name);
    let kills = if has("--many") { MANY_KILLS } else { KILLS };
    let mut sizes = vec![MIB, 100 * MIB];
    if has("--large") {
        sizes.push(1024 * MIB);
    }
    for size in sizes {
        for kind in ["copied", "kept"] {
            for killed in MEMBERS {
                let name = format!("| {} MiB | {kind} | {killed} |", size / MIB);
                let is_wanted = words.iter().all(|word| name.contains(&format!("| {word} |")));
                // The one in the middle is dialed by one neighbour and dials the other: the others differ in that alone.
                if is_wanted && (killed == MEMBERS[1] || size == MIB) {
                    println!("{name}");
                    row(size, kind, killed, kills);
                }
            }
        }
    }
}

/// Reads a file when it is told to, and says how long that took.
pub(crate) fn read_raw(file: &str) {
    println!("ready");
    io::stdin().lines().next();
    let begun = Instant::now();
    let bytes = fs::read(file).expect("it is there");
    println!("{}", begun.elapsed().as_micros());
    black_box(bytes);
}

fn row(size: usize, kind: &str, killed: NodeId, kills: usize) {
    let mut group = Group::start(size, kind);
    let mut figures = Figures::default();
    let mut memory = vec![];
    for kill in 0..kills {
        // A large one is taken once: what the disk has still to do would be measured with the rest.
        if kill == 0 || size <= 100 * MIB {
            group.snapshot(killed);
        }
        if kill == 0 {
            memory.push(group.memory(killed));
        }
        thread::sleep(PAUSE);
        let (one, all) = (group.raw(&[killed]), group.raw(&MEMBERS));
        figures.time("raw read of one part", "", one);
        figures.time("raw read of all parts at once", "", all);
        // Who keeps reads nothing, but for the new process.
        group.kill(killed, if kind == "kept" { one } else { all }, &mut figures);
        memory.push(group.memory(killed));
    }
    figures.show();
    for (survivor, name) in MEMBERS.into_iter().filter(|id| *id != killed).enumerate() {
        for (what, of) in [("has", (|seen| seen.0) as fn(&(u64, u64)) -> u64), ("had at most", |seen| seen.1)]
        {
            let each = memory.iter().map(|seen| format!("{:.1}", of(&seen[survivor]) as f64 / 1024.0));
            let each = each.collect::<Vec<_>>().join(" ");
            println!("  {name} {what}, MiB, before the first kill and after each: {each}");
        }
    }
}

/// What was measured, by its name and by whom: milliseconds, or ratios.
#[derive(Default)]
struct Figures(Vec<((&'static str, &'static str), Vec<f64>)>);

impl Figures {
    fn time(&mut self, name: &'static str, whose: &'static str, micros: u64) {
        self.add(name, whose, micros as f64 / 1e3);
    }

    fn add(&mut self, name: &'static str, whose: &'static str, figure: f64) {
        match self.0.iter_mut().find(|(key, _)| *key == (name, whose)) {
            Some((_, figures)) => figures.push(figure),
            None => self.0.push(((name, whose), vec![figure])),
        }
    }

    fn show(&mut self) {
        println!("  {:45} {:10} {:>8} {:>8} {:>8}", "ms", "", "p50", "min", "max");
        for ((name, whose), figures) in &mut self.0 {
            figures.sort_by(f64::total_cmp);
            let [p50, min, max] = [figures.len() / 2, 0, figures.len() - 1].map(|at| figures[at]);
            let digits = if name.ends_with(RATIO) { 2 } else { 1 };
            println!("  {name:45} {whose:10} {p50:8.digits$} {min:8.digits$} {max:8.digits$}");
        }
    }
}

struct Group {
    folder: tempfile::TempDir,
    size: usize,
    kind: String,
    addresses: Vec<String>,
    processes: BTreeMap<NodeId, Process>,
    sender: Sender<Told>,
    told: Receiver<Told>,
    /// Of the last commit.
    parts: BTreeMap<NodeId, PathBuf>,
    generation: u64,
}

/// A line of a process, cut into words.
type Told = (NodeId, Vec<String>);

struct Process {
    child: Child,
    orders: ChildStdin,
}

impl Group {
    fn start(size: usize, kind: &str) -> Self {
        let below = env::var_os("BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let folder = tempfile::tempdir_in(below).expect("a folder");
        let (sender, told) = mpsc::channel();
        let addresses = vec!["127.0.0.1:0".to_owned(); MEMBERS.len()];
        let (processes, parts) = (BTreeMap::new(), BTreeMap::new());
        let kind = kind.to_owned();
        let mut group = Self { folder, size, kind, addresses, processes, sender, told, parts, generation: 1 };
        for (index, id) in MEMBERS.into_iter().enumerate() {
            group.start_one(id);
            let [address] = group.hear(|told, [word, address]| {
                (told == id && word == "address").then(|| [address.to_owned()])
            });
            group.addresses[index] = address;
        }
        let mut silent = 2 * MEMBERS.len();
        while silent > 0 {
            group.hear(|_, [word, _, generation, _]| (word == "new" && generation == "1").then_some(()));
            silent -= 1;
        }
        group
    }

    fn start_one(&mut self, id: NodeId) {
        let mut command = Command::new(env::current_exe().expect("it runs"));
        command.args(["node".as_ref(), self.folder.path().as_os_str()]);
        command.args([&id.0.to_string(), &self.kind, &self.size.to_string()]).args(&self.addresses);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let orders = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let sender = self.sender.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.starts_with("else ") {
                    eprintln!("{id}: {line}");
                }
                // The row may be done.
                let _ = sender.send((id, line.split(' ').map(str::to_owned).collect()));
            }
        });
        self.processes.insert(id, Process { child, orders });
    }

    /// The next line of so many words that is one of those wanted; the others are left aside.
    fn hear<const N: usize, T>(&self, wanted: impl Fn(NodeId, [&str; N]) -> Option<T>) -> T {
        loop {
            let (id, words) = self.told.recv_timeout(PATIENCE).expect("they speak");
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if let Ok(words) = words.try_into()
                && let Some(found) = wanted(id, words)
            {
                return found;
            }
        }
    }

    fn tell(&mut self, id: NodeId, order: &str) {
        let process = self.processes.get_mut(&id).expect("it was started");
        writeln!(process.orders, "{order}").expect("it listens");
    }

    /// Begun by one that is not the one to be killed.
    fn snapshot(&mut self, killed: NodeId) {
        let initiator = MEMBERS.into_iter().find(|id| *id != killed).expect("there are three");
        self.tell(initiator, "snapshot");
        for _ in MEMBERS {
            let (id, part) =
                self.hear(|id, [word, part]| (word == "committed").then(|| (id, part.to_owned())));
            self.parts.insert(id, self.folder.path().join(part));
        }
    }

    /// Of those that are not killed: what they have, and the most that they had.
    fn memory(&mut self, killed: NodeId) -> Vec<(u64, u64)> {
        let survivors: Vec<NodeId> = MEMBERS.into_iter().filter(|id| *id != killed).collect();
        let mut seen = vec![];
        for id in survivors {
            self.tell(id, "memory");
            seen.push(self.hear(|_, [word, now, peak]| {
                (word == "memory").then(|| (now.parse().expect("a number"), peak.parse().expect("a number")))
            }));
        }
        seen
    }

    /// The time until the last of so many processes has read its part.
    fn raw(&self, readers: &[NodeId]) -> u64 {
        let program = env::current_exe().expect("it runs");
        let start = |id| {
            let mut command = Command::new(&program);
            command.arg("raw").arg(&self.parts[id]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("it starts");
            let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
            (child, lines)
        };
        let mut readers: Vec<_> = readers.iter().map(start).collect();
        readers.iter_mut().for_each(|(_, lines)| drop(lines.next()));
        readers.iter_mut().for_each(|(child, _)| drop(child.stdin.take()));
        let took = readers.iter_mut().map(|(child, lines)| {
            let line = lines.next().expect("it reads").expect("it can be read");
            child.wait().expect("it ends");
            line.parse::<u64>().expect("a number")
        });
        took.max().expect("there is one")
    }

    fn kill(&mut self, killed: NodeId, raw: u64, figures: &mut Figures) {
        while self.told.try_recv().is_ok() {}
        let begun = now();
        let process = self.processes.get_mut(&killed).expect("it was started");
        process.child.kill().expect("it runs");
        process.child.wait().expect("it ends");
        let gone = now();
        self.start_one(killed);
        figures.time("kill to its end", "system", gone - begun);
        let moments = self.moments();
        self.generation += 1;
        let of = |id: NodeId, word: &str| *moments.get(&(id, word.to_owned())).expect("it was told");
        for id in MEMBERS.into_iter().filter(|id| *id != killed) {
            let (news, back, new) = (of(id, "news"), of(id, "back"), of(id, "new"));
            figures.time("kill to known", "survivors", of(id, "lost").saturating_sub(begun));
            figures.time("start to the news", "survivors", news.saturating_sub(gone));
            figures.time("the news to back", "survivors", back - news);
            figures.add("the news to back, to the raw read", "survivors", (back - news) as f64 / raw as f64);
            figures.time("kill to the first new message", "survivors", new - begun);
        }
        let back = of(killed, "back") - of(killed, "main");
        figures.time("start to its `main`", "new", of(killed, "main") - gone);
        figures.time("its `main` to back", "new", back);
        figures.add("its `main` to back, to the raw read", "new", back as f64 / raw as f64);
        figures.time("kill to the first new message", "new", of(killed, "new") - begun);
        let last = moments.values().max().expect("there are some");
        figures.time("kill to new messages on all channels", "all", last - begun);
    }

    /// When what happened, until there is a new message on each channel.
    fn moments(&self) -> BTreeMap<(NodeId, String), u64> {
        let next = self.generation + 1;
        let mut moments = BTreeMap::new();
        let mut silent = 2 * MEMBERS.len();
        while silent > 0 {
            let (id, words) = self.told.recv_timeout(PATIENCE).expect("they speak");
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let last = words.last().and_then(|word| word.parse().ok()).unwrap_or(0);
            match words[..] {
                ["main" | "lost", ..] => _ = moments.entry((id, words[0].to_owned())).or_insert(last),
                ["back", generation, _] => {
                    assert_eq!(generation, next.to_string(), "one kill makes one generation");
                    moments.insert((id, "back".to_owned()), last);
                }
                // A new process first hears of the one that is over.
                ["news", generation, _] if generation == next.to_string() => {
                    moments.insert((id, "news".to_owned()), last);
                }
                ["new", from, generation, _] if generation == next.to_string() => {
                    moments.entry((id, "new".to_owned())).or_insert(last);
                    moments.insert((id, format!("new {from}")), last);
                    silent -= 1;
                }
                _ => {}
            }
        }
        moments
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            // It has nothing to save.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}
