//! How many instructions a message takes, counted by callgrind: a figure that does not depend on what else the machine does.
//!
//! `cargo bench -p snapshot-core --bench instructions`; with `-- --check` it fails where a figure is a tenth over the one that is
//! written down here. Without valgrind it says so, and nothing is counted.

mod flows;

use std::env;
use std::process::{Command, ExitCode, Stdio};

use flows::{BATCH, In, Out, Through};

/// What is counted, and what a message took when that was last changed on purpose.
const FLOWS: [(&str, &str, f64); 3] = [
    ("out", "rules: sent, and handed to the transport in a batch", 128.0),
    ("in", "rules: arrived in a batch, and taken", 129.0),
    ("through", "two nodes: from send to next, in batches", 466.0),
];

const BATCHES: u64 = 400;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flow, batches] = &arguments[..]
        && let Ok(batches) = batches.parse()
    {
        run(flow, batches);
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("there is no valgrind here: nothing is counted");
        return ExitCode::SUCCESS;
    }
    let is_check = arguments.iter().any(|argument| argument == "--check");
    let mut is_good = true;
    for (flow, what, written) in FLOWS {
        // What a process does beside its messages is the same in both.
        let (some, more) = (count(flow, BATCHES), count(flow, 2 * BATCHES));
        let each = (more - some) as f64 / (BATCHES * BATCH) as f64;
        let is_over = each > written * 1.1;
        let verdict = if is_over { "a tenth and more over" } else { "within a tenth of" };
        println!("{flow:8} {each:6.1} instructions a message, {verdict} {written} ({what})");
        is_good &= !is_over;
    }
    if is_check && !is_good { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(flow: &str, batches: u64) {
    match flow {
        "out" => repeat(batches, Out::new(), Out::batch),
        "in" => repeat(batches, In::new(), In::batch),
        _ => repeat(batches, Through::new(), Through::batch),
    }
}

fn repeat<F>(batches: u64, mut flow: F, mut batch: impl FnMut(&mut F)) {
    (0..batches).for_each(|_| batch(&mut flow));
}

/// The instructions of a process that runs so many batches.
fn count(flow: &str, batches: u64) -> u64 {
    let this = env::current_exe().expect("this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args([flow, &batches.to_string()])
        .output()
        .expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let counted = text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    counted.unwrap_or_else(|| panic!("valgrind did not count:\n{text}"))
}
