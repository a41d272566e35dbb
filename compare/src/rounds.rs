//! Interleaved rounds: in each every row has its turn, and another one goes first.

use std::thread;
use std::time::{Duration, Instant};

use crate::flags::Flags;
use crate::process::Process;
use crate::setup::Setup;
use crate::statistics::Rounds;

/// What has not begun by then never will.
const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(5);

/// What a row has shown, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Messages a second, all receivers together.
    pub(crate) throughput: Rounds,
    /// User and system, all processes together, in nanoseconds a message.
    pub(crate) cpu: Rounds,
}

/// The figures of each row, in their order. `start` makes a row's processes.
pub(crate) fn compare<T>(flags: &Flags, rows: &[T], start: impl Fn(&T) -> Vec<Process>) -> Vec<Figures> {
    let mut figures = vec![Figures::default(); rows.len()];
    for round in 0..flags.rounds() {
        for turn in 0..rows.len() {
            let row = (round + turn) % rows.len();
            let mut processes = start(&rows[row]);
            watch(&mut processes, flags.warm_up(), flags.window(), &mut figures[row]);
            Process::end(processes);
        }
    }
    figures
}

/// Both processes of a row: who listens, and who sends.
pub(crate) fn pair(listener: &Setup) -> Vec<Process> {
    let mut receiver = Process::start(listener);
    let sender = Process::start(&listener.sends_to(receiver.hear("address")));
    vec![receiver, sender]
}

fn watch(processes: &mut [Process], warm_up: Duration, window: Duration, figures: &mut Figures) {
    let waiting = Instant::now();
    while Process::marks(processes).iter().all(|mark| mark.messages == 0) {
        assert!(waiting.elapsed() < PATIENCE, "no message has arrived");
        thread::sleep(GLANCE);
    }
    thread::sleep(warm_up);
    let before = Process::marks(processes);
    thread::sleep(window);
    let after = Process::marks(processes);
    let (mut messages, mut throughput, mut cpu) = (0, 0.0, 0);
    for (before, after) in before.iter().zip(&after) {
        let count = after.messages - before.messages;
        messages += count;
        cpu += after.cpu - before.cpu;
        throughput += count as f64 / (after.at - before.at) as f64 * 1e9;
    }
    figures.throughput.push(throughput);
    figures.cpu.push(cpu as f64 / messages as f64);
}
