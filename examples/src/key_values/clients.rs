//! Clients that write, and remember what they were told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;

use super::{Line, Memory};

/// The counters that all clients share.
const COUNTERS: usize = 3;

/// After a command without an answer, so that a client whose server is down does not take the machine from those that start.
const PAUSE: Duration = Duration::from_millis(5);

/// Clients at work, each in a thread of its own, over a connection to one of the servers, and to another one when that ends.
///
/// ```
/// use snapshot_examples::key_values::Clients;
/// let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?; // closed again
/// let clients = Clients::start(2, &[nobody], 7);
/// clients.while_idle(|memory| assert_eq!(memory.acknowledged(), 0));
/// assert_eq!(clients.stop().acknowledged(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Clients {
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// Read by each client while a command is under way.
    gate: RwLock<()>,
    /// Commands that were answered, by client.
    answered: Vec<AtomicUsize>,
    /// Each is held by its thread while a command is under way, and by nobody else while the gate is open.
    clients: Vec<Mutex<Client>>,
}

impl Clients {
    /// So many clients of these servers. The seed decides what they say.
    pub fn start(count: usize, servers: &[SocketAddr], seed: u64) -> Self {
        let client = |number: usize| Client {
            number,
            servers: servers.to_vec(),
            line: None,
            random: Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(number as u64)),
            memory: Memory::default(),
        };
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            gate: RwLock::new(()),
            answered: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            clients: (0..count).map(|number| Mutex::new(client(number))).collect(),
        });
        let start = |number: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.serve(number))
        };
        Self { threads: (0..count).map(start).collect(), shared }
    }

    /// How many commands of each client were answered so far.
    pub fn answered(&self) -> Vec<usize> {
        self.shared.answered.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Lets each client finish its command, and none begin another one meanwhile.
    pub fn while_idle<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        let _closed = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        look(&self.shared.memory())
    }

    /// Lets each client finish its command, and puts together what they know.
    ///
    /// # Panics
    ///
    /// If a client did.
    pub fn stop(self) -> Memory {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        self.shared.memory()
    }
}

impl Shared {
    fn serve(&self, number: usize) {
        let mut turn = 0;
        while !self.stop.load(Ordering::Relaxed) {
            turn += 1;
            let _open = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            let mut client = self.clients[number].lock().unwrap_or_else(PoisonError::into_inner);
            if client.work(turn) {
                self.answered[number].fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn memory(&self) -> Memory {
        let mut all = Memory::default();
        for client in &self.clients {
            all.add(client.lock().unwrap_or_else(PoisonError::into_inner).memory.clone());
        }
        all
    }
}

#[derive(Debug)]
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
        let Some((key, (value, acknowledged))) = self.random.choice(self.memory.keys.iter()) else {
            return false;
        };
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
            thread::sleep(PAUSE);
        }
        answer
    }
}
