//! What the figures are of: the machine and the command.

use std::fs;

pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown CPU");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!(
        "{cores} cores, {model}, {} {}\n\n`cargo run --release --manifest-path compare/Cargo.toml -- {}`",
        std::env::consts::OS,
        kernel.trim(),
        words.join(" "),
    )
}
