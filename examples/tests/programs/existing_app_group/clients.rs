//! Clients that write, and remember what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use fastrand::Rng;

use super::{LOOK, Line};

/// The counters that all clients share.
const COUNTERS: usize = 3;

/// What the clients know. A write that was answered with `OK` has happened. One that was not (`ERR`, a connection that ended, no
/// answer) may have happened, may yet happen, or not.
#[derive(Default, Debug)]
pub(crate) struct Memory {
    /// Keys that are written with one value only, and whether that was acknowledged.
    pub(crate) keys: BTreeMap<String, (String, bool)>,
    /// Of each counter: what each acknowledged `INCR` has made of it, and how many there were without an answer.
    pub(crate) counters: BTreeMap<String, (Vec<u64>, u64)>,
    /// Keys that one client writes again and again, one at a time: the last acknowledged value, and those without an answer.
    pub(crate) registers: BTreeMap<String, (Option<u64>, BTreeSet<u64>)>,
    /// What a client was told that cannot be, if all that was acknowledged has happened.
    pub(crate) lies: Vec<String>,
    /// How many commands got no answer.
    pub(crate) failures: usize,
}

impl Memory {
    fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.registers.extend(other.registers);
        self.lies.extend(other.lies);
        self.failures += other.failures;
        for (counter, (values, unknown)) in other.counters {
            let all = self.counters.entry(counter).or_default();
            all.0.extend(values);
            all.1 += unknown;
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        let keys = self.keys.values().filter(|(_, acknowledged)| *acknowledged).count();
        keys + self.counters.values().map(|(values, _)| values.len()).sum::<usize>()
    }
}

/// Clients at work, each in a thread of its own.
pub(crate) struct Clients {
    threads: Vec<JoinHandle<Memory>>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    /// Commands that were answered.
    answered: Vec<AtomicUsize>,
}

impl Clients {
    pub(crate) fn start(count: usize, servers: &[SocketAddr], seed: u64) -> Self {
        let answered = (0..count).map(|_| AtomicUsize::new(0)).collect();
        let progress = Arc::new(Progress { stop: AtomicBool::new(false), answered });
        let start = |number: usize| {
            let mut client = Client {
                number,
                servers: servers.to_vec(),
                line: None,
                random: Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(number as u64)),
                memory: Memory::default(),
            };
            let progress = Arc::clone(&progress);
            thread::spawn(move || {
                let mut turn = 0;
                while !progress.stop.load(Ordering::Relaxed) {
                    turn += 1;
                    if client.work(turn) {
                        progress.answered[number].fetch_add(1, Ordering::Relaxed);
                    }
                }
                client.memory
            })
        };
        Self { threads: (0..count).map(start).collect(), progress }
    }

    /// How many commands of each client were answered so far.
    pub(crate) fn answered(&self) -> Vec<usize> {
        self.progress.answered.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Lets each client finish its command, and puts together what they know.
    pub(crate) fn stop(self) -> Memory {
        self.progress.stop.store(true, Ordering::Relaxed);
        let mut memory = Memory::default();
        for thread in self.threads {
            memory.add(thread.join().expect("a client does not panic"));
        }
        memory
    }
}

struct Client {
    number: usize,
    servers: Vec<SocketAddr>,
    line: Option<Line>,
    random: Rng,
    memory: Memory,
}

impl Client {
    /// One command; whether it was answered.
    fn work(&mut self, turn: u64) -> bool {
        match self.random.u8(..10) {
            0..4 => self.write_a_key(turn),
            4..7 => self.count(),
            7..9 => self.write_the_register(turn),
            _ => self.look(),
        }
    }

    /// Writes a new key, or tries again with one that was not acknowledged.
    fn write_a_key(&mut self, turn: u64) -> bool {
        let open = self.memory.keys.iter().find(|(_, (_, acknowledged))| !acknowledged);
        let (key, value) = match open {
            Some((key, (value, _))) => (key.clone(), value.clone()),
            None => (format!("key-{}-{turn}", self.number), self.random.u32(..).to_string()),
        };
        let answer = self.ask(&format!("SET {key} {value}"));
        let acknowledged = answer.is_some_and(|answer| answer == format!("OK {value}"));
        self.memory.keys.insert(key, (value, acknowledged));
        acknowledged
    }

    fn count(&mut self) -> bool {
        let counter = format!("counter-{}", self.random.usize(..COUNTERS));
        let answer = self.ask(&format!("INCR {counter}"));
        let value = answer.and_then(|answer| answer.strip_prefix("OK ")?.parse().ok());
        let (values, unknown) = self.memory.counters.entry(counter).or_default();
        match value {
            Some(value) => values.push(value),
            None => *unknown += 1,
        }
        value.is_some()
    }

    fn write_the_register(&mut self, turn: u64) -> bool {
        let register = format!("register-{}", self.number);
        let acknowledged = self.ask(&format!("SET {register} {turn}")).is_some();
        let (last, unknown) = self.memory.registers.entry(register).or_default();
        if acknowledged {
            *last = Some(turn);
        } else {
            unknown.insert(turn);
        }
        acknowledged
    }

    /// Reads a key that it has written.
    fn look(&mut self) -> bool {
        let Some(index) = self.memory.keys.len().checked_sub(1).map(|last| self.random.usize(..=last)) else {
            return false;
        };
        let (key, (value, acknowledged)) = self.memory.keys.iter().nth(index).expect("there are more");
        let (key, there, acknowledged) = (key.clone(), format!("VALUE {value}"), *acknowledged);
        let Some(answer) = self.ask(&format!("GET {key}")) else { return false };
        if answer != there && (acknowledged || answer != "NONE") {
            self.memory.lies.push(format!("GET {key} said {answer} where {there} was acknowledged"));
        }
        true
    }

    /// What is said to a command; `None` where it may have been carried out or not.
    fn ask(&mut self, command: &str) -> Option<String> {
        if self.line.is_none() {
            let server = self.servers[self.random.usize(..self.servers.len())];
            self.line = Line::open(server).ok();
        }
        let answer = self.line.as_mut().and_then(|line| line.ask(command).ok());
        if answer.is_none() {
            self.line = None;
        }
        let answer = answer.filter(|answer| !answer.starts_with("ERR "));
        if answer.is_none() {
            self.memory.failures += 1;
            // So that a client whose server is down does not take the machine from the servers that start.
            thread::sleep(LOOK);
        }
        answer
    }
}
