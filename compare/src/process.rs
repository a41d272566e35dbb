//! The parent's side of a process that it has started.

use std::env;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::gaps::Times;
use crate::setup::Setup;

/// The first word on the command line of a process that is one end of a row.
pub(crate) const END: &str = "end";
pub(crate) const MARK: &str = "mark";
/// Takes one, and answers when it is committed.
pub(crate) const SNAPSHOT: &str = "snapshot";
/// What fails from now on is none of anybody's business: the other end is gone.
pub(crate) const OVER: &str = "over";

/// Ends when it is dropped.
pub(crate) struct Process {
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What a process has counted and used since it started; times since the last mark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// Both in nanoseconds.
    pub(crate) at: u64,
    pub(crate) cpu: u64,
    pub(crate) messages: u64,
    pub(crate) snapshots: u64,
    pub(crate) times: Times,
}

impl Process {
    pub(crate) fn start(setup: &Setup) -> Self {
        let mut command = Command::new(env::current_exe().expect("it runs"));
        command.arg(END).arg(serde_json::to_string(setup).expect("plain data"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let orders = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, orders, lines }
    }

    /// The rest of the next line, which begins with this word.
    pub(crate) fn hear(&mut self, word: &str) -> String {
        let line =
            self.lines.next().and_then(Result::ok).expect("the process has ended: what it says is above");
        let rest = line.strip_prefix(word).filter(|rest| rest.is_empty() || rest.starts_with(' '));
        rest.map(str::trim_start).unwrap_or_else(|| panic!("it says {line:?}, and not {word:?}")).to_owned()
    }

    pub(crate) fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it listens");
    }

    /// Ends all of them, without a word of those that see others go.
    pub(crate) fn end(mut all: Vec<Self>) {
        all.iter_mut().for_each(|process| process.tell(OVER));
        all.iter_mut().for_each(|process| _ = process.hear(OVER));
    }

    /// Asks all of them at once.
    pub(crate) fn marks(all: &mut [Self]) -> Vec<Mark> {
        all.iter_mut().for_each(|process| process.tell(MARK));
        all.iter_mut().map(|process| parse(&process.hear(MARK))).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Mark {
    let numbers: Vec<f64> = line.split(' ').map(|word| word.parse().expect("a number")).collect();
    let [at, cpu, messages, snapshots, p50, p99, p999, longest] = numbers[..] else { panic!("{line:?}") };
    let times = Times { p50, p99, p999, longest };
    let [at, cpu, messages, snapshots] = [at, cpu, messages, snapshots].map(|number| number as u64);
    Mark { at, cpu, messages, snapshots, times }
}
