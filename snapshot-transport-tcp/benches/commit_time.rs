//! How long a snapshot takes to commit while one process keeps every queue full and the other is slow: the same two processes with
//! an idle channel, in the same run, are what it is held against. Two processes over TCP on the loopback, one folder as the store,
//! a state of 1 MiB each. Each is a message loop; where the slow one is said to be a task, it is a task of a `SharedNode` instead.
//!
//! `cargo bench -p snapshot-transport-tcp --bench commit_time`, some five minutes; with `-- --quick`, about one; with words such as
//! `-- '8 B' 5ms`, the rows that have them all.

use std::env;
use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use snapshot_core::{
    Event, Graph, NodeBuilder, NodeId, RawBytes, SnapshotHandle, SnapshotNode, StateProvider,
};
use snapshot_store::DirectoryStore;
use snapshot_transport_tcp::TcpTransport;
use tokio::sync::Notify;

const SLOW: NodeId = NodeId(1);
const FAST: NodeId = NodeId(2);
const STATE: usize = 1 << 20;
const SIZES: [usize; 4] = [8, 128, 1 << 10, 256 << 10];
const HANDLERS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_micros(20),
    Duration::from_micros(200),
    Duration::from_millis(5),
    Duration::from_millis(100),
];

/// Where the slow one is a task that waits, and the node goes on beside it.
const TASKS: [(Duration, &str); 2] =
    [(Duration::from_millis(5), "task"), (Duration::from_millis(100), "task")];

/// From one snapshot to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// Until all queues are full.
const FILLING: Duration = Duration::from_millis(500);

/// One that takes longer counts as not committed.
const DEADLINE: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [role, folder, handler, interval, rest @ ..] if ["fast", "slow", "task"].contains(&&**role) => {
            let micros = |text: &String| Duration::from_micros(text.parse().expect("a number"));
            let (handler, interval) = (micros(handler), micros(interval));
            let dialed = rest.first().map(String::as_str);
            node(Path::new(folder), handler, interval, role == "task", dialed);
        }
        _ => {
            let (flags, words): (Vec<String>, Vec<String>) =
                arguments.into_iter().partition(|argument| argument.starts_with("--"));
            compare(flags == ["--quick"], &words);
        }
    }
}

// ---- the parent -------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Fast,
    Slow,
    OnInterval,
}

fn compare(quick: bool, words: &[String]) {
    let snapshots = if quick { 10 } else { 20 };
    println!(
        "| message | handler | begun by | committed | idle channel, p50 | p50 | max | p50 to idle | more than idle | in flight |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for size in SIZES {
        for (handler, role) in HANDLERS.map(|handler| (handler, "slow")).into_iter().chain(TASKS) {
            let is_extreme = [SIZES[0], SIZES[3]].contains(&size) && handler != HANDLERS[1];
            for (begun, name) in
                [(Begun::Fast, "fast side"), (Begun::Slow, "slow side"), (Begun::OnInterval, "interval")]
            {
                let kind = if role == "task" { ", in a task" } else { "" };
                let name = format!("| {} | {handler:?}{kind} | {name} |", bytes(size));
                let is_wanted = words.iter().all(|word| name.contains(&format!("| {word} |")));
                if is_wanted && (!quick || is_extreme && begun != Begun::OnInterval) {
                    row((size, handler, role), begun, &name, snapshots);
                }
            }
        }
    }
}

fn row((size, handler, role): (usize, Duration, &str), begun: Begun, name: &str, snapshots: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let interval = if begun == Begun::OnInterval { PAUSE } else { Duration::ZERO };
    let mut slow = Process::start(role, folder.path(), handler, Duration::ZERO, None);
    let address = slow.hear();
    let mut fast = Process::start("fast", folder.path(), handler, interval, Some(&address));
    fast.hear();
    let mut pair = Pair { fast, slow, begun };
    // The first ones pay for what is done once.
    pair.measure(2);
    let idle = pair.measure(snapshots);
    pair.fast.tell(&format!("flood {size}"));
    thread::sleep(FILLING);
    let flooded = pair.measure(snapshots);
    let median = |outcomes: &[Outcome]| outcomes.get(outcomes.len() / 2).map(|outcome| outcome.took);
    let (Some(idle), Some(p50), Some(max)) = (median(&idle), median(&flooded), flooded.last()) else {
        println!("{name} {} of {snapshots} | | | | | | |", flooded.len());
        return;
    };
    let in_flight = flooded.iter().map(|outcome| outcome.in_flight).max().unwrap_or(0);
    println!(
        "{name} {} of {snapshots} | {} | {} | {} | {:.2} | {:+.1} ms | {in_flight} |",
        flooded.len(),
        millis(idle),
        millis(p50),
        millis(max.took),
        p50.as_secs_f64() / idle.as_secs_f64(),
        1e3 * (p50.as_secs_f64() - idle.as_secs_f64()),
    );
}

fn bytes(size: usize) -> String {
    if size < 1 << 10 { format!("{size} B") } else { format!("{} KiB", size >> 10) }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", 1e3 * time.as_secs_f64())
}

struct Pair {
    fast: Process,
    slow: Process,
    begun: Begun,
}

impl Pair {
    /// The snapshots that committed, the quickest first.
    fn measure(&mut self, snapshots: usize) -> Vec<Outcome> {
        // On an interval, it is the fast one that has it.
        let asked = if self.begun == Begun::Slow { &mut self.slow } else { &mut self.fast };
        let is_asked = self.begun != Begun::OnInterval;
        let mut outcomes: Vec<Outcome> = (0..snapshots).map(|_| asked.snapshot(is_asked)).collect();
        outcomes.retain(|outcome| outcome.committed);
        outcomes.sort_by_key(|outcome| outcome.took);
        outcomes
    }
}

struct Outcome {
    committed: bool,
    took: Duration,
    in_flight: u64,
}

/// One of the two, which does what it is told, line by line.
struct Process {
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(
        role: &str,
        folder: &Path,
        handler: Duration,
        interval: Duration,
        address: Option<&str>,
    ) -> Self {
        let mut command = Command::new(env::current_exe().expect("it runs"));
        command.arg(role).arg(folder);
        command.args([handler, interval].map(|time| time.as_micros().to_string())).args(address);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be started");
        let orders = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, orders, lines }
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it listens");
    }

    fn hear(&mut self) -> String {
        self.lines.next().expect("it runs").expect("it can be read")
    }

    /// Takes one, or waits for the next one that comes by itself.
    fn snapshot(&mut self, is_asked: bool) -> Outcome {
        self.tell(if is_asked { "snapshot" } else { "wait" });
        let line = self.hear();
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [took, in_flight] => Outcome { committed: true, took: Duration::from_micros(took), in_flight },
            _ => {
                eprintln!("not committed: {line}");
                Outcome { committed: false, took: DEADLINE, in_flight: 0 }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- a process --------------------------------------------------------------------------------------------------------

struct Block(Vec<u8>);

impl StateProvider for Block {
    type Captured = Vec<u8>;

    fn capture(&mut self) -> Vec<u8> {
        self.0.clone()
    }

    fn install(&mut self, captured: Vec<u8>) {
        self.0 = captured;
    }

    fn encode(captured: &Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(captured)
    }

    fn decode(_: u32, input: &mut dyn Read) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// What the task that listens to orders tells the message loop.
#[derive(Default)]
struct Desk {
    flood: AtomicBool,
    size: AtomicUsize,
    news: Notify,
}

/// The slow one listens, and is dialed by the one that is given its address.
fn node(folder: &Path, handler: Duration, interval: Duration, in_a_task: bool, dialed: Option<&str>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (me, graph) = (if dialed.is_some() { FAST } else { SLOW }, Graph::mesh([FAST, SLOW]));
        let mut transport = TcpTransport::builder(graph.at(me).expect("a member"), RawBytes);
        match dialed {
            Some(address) => transport = transport.peer(SLOW, address),
            None => transport = transport.listen("127.0.0.1:0".parse().expect("an address")),
        }
        let transport = transport.bind().await.expect("a port");
        let address = transport.local_addr();
        let store = DirectoryStore::open(folder).expect("a folder");
        let mut builder = SnapshotNode::builder(transport).store(store).deadline(DEADLINE);
        if !interval.is_zero() {
            builder = builder.interval(interval);
        }
        let desk = Arc::new(Desk::default());
        println!("{}", address.map_or("dialing".to_owned(), |address| address.to_string()));
        if in_a_task {
            serve(builder, handler, &desk).await;
        } else {
            live(builder, handler, &desk).await;
        }
    });
}

async fn live(builder: NodeBuilder<Block, Bytes>, handler: Duration, desk: &Arc<Desk>) {
    let mut state = Block(vec![7; STATE]);
    let mut node = builder.start(&mut state).await.expect("it starts");
    let (report, reports) = mpsc::channel();
    let (handle, orders) = (node.handle(), Arc::clone(desk));
    thread::spawn(move || listen(&handle, &orders, &reports));
    let mut message = Bytes::new();
    loop {
        if desk.flood.load(Ordering::Relaxed) {
            if message.is_empty() {
                message = Bytes::from(vec![7; desk.size.load(Ordering::Relaxed)]);
            }
            while node.has_room() {
                node.send(SLOW, message.clone()).expect("there is room");
            }
        }
        let event = tokio::select! {
            event = node.next(&mut state) => event.expect("it runs"),
            () = desk.news.notified() => continue,
        };
        match event {
            Event::Message { .. } => work(handler),
            Event::Committed { report: Some(done), .. } => {
                // Nobody may be there to hear of it.
                let _ = report.send(format!("{} {}", done.took.as_micros(), done.messages()));
            }
            Event::SnapshotAborted { by, reason, .. } if by == node.id() => {
                let _ = report.send(format!("given up: {reason}"));
            }
            _ => {}
        }
    }
}

/// As [`live`], without the flood: one task takes the messages, and waits after each.
async fn serve(builder: NodeBuilder<Block, Bytes>, handler: Duration, desk: &Arc<Desk>) {
    let (node, driver) = builder.share(Block(vec![7; STATE])).await.expect("it starts");
    let (mut deliveries, drive) = driver.stream();
    tokio::spawn(drive);
    let (handle, orders) = (node.handle(), Arc::clone(desk));
    // It is never asked to wait for a snapshot that it has not begun.
    let (_report, reports) = mpsc::channel();
    thread::spawn(move || listen(&handle, &orders, &reports));
    while let Some(delivery) = deliveries.next().await {
        let is_message = delivery.take(|_, event, _| matches!(event, Event::Message { .. }));
        if is_message.await.expect("it runs") {
            tokio::time::sleep(handler).await;
        }
    }
}

/// A long turn leaves the processor to others, since there may be few.
fn work(handler: Duration) {
    if handler >= Duration::from_millis(1) {
        thread::sleep(handler);
    } else if !handler.is_zero() {
        let begun = Instant::now();
        while begun.elapsed() < handler {
            std::hint::spin_loop();
        }
    }
}

/// Does what the parent says.
fn listen(handle: &SnapshotHandle, desk: &Desk, reports: &mpsc::Receiver<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for order in io::stdin().lines().map_while(Result::ok) {
        match order.split(' ').collect::<Vec<_>>()[..] {
            ["flood", size] => {
                desk.size.store(size.parse().expect("a number"), Ordering::Relaxed);
                desk.flood.store(true, Ordering::Relaxed);
                desk.news.notify_one();
            }
            ["snapshot"] => {
                thread::sleep(PAUSE);
                let begun = Instant::now();
                match runtime.block_on(handle.snapshot()) {
                    Ok(report) => println!("{} {}", begun.elapsed().as_micros(), report.messages()),
                    Err(error) => println!("given up: {error}"),
                }
            }
            _ => {
                // Not one that ended before it was asked for.
                while reports.try_recv().is_ok() {}
                println!("{}", reports.recv().expect("it runs"));
            }
        }
    }
    // The parent has gone.
    std::process::exit(0);
}
