//! What the benchmarks of large states share: the state, a process for each size, and how figures are shown.

use std::env;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use snapshot_core::StateProvider;

pub(crate) const MIB: usize = 1 << 20;

/// A state that is bytes, and is captured without a copy of them.
#[derive(Default)]
pub(crate) struct Large(pub(crate) Arc<Vec<u8>>);

impl StateProvider for Large {
    type Captured = Arc<Vec<u8>>;

    fn capture(&mut self) -> Arc<Vec<u8>> {
        Arc::clone(&self.0)
    }

    fn install(&mut self, captured: Arc<Vec<u8>>) {
        self.0 = captured;
    }

    fn encode(captured: &Arc<Vec<u8>>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(captured)
    }

    fn decode(_: u32, input: &mut dyn Read) -> io::Result<Arc<Vec<u8>>> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(Arc::new(bytes))
    }
}

/// Bytes that no disk can make smaller, and others for each seed.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Set in the process that measures one size.
const CHILD: &str = "SNAPSHOT_BENCH_CHILD";

/// Runs `one` for each size, in MiB and with so many rounds: those that the command line names, or all. Each in a process of its
/// own, so that the peak of memory is that of this size.
pub(crate) fn each_in_a_process(sizes: &[(usize, usize)], one: fn(usize, usize)) {
    let named: Vec<usize> = env::args().filter_map(|word| word.parse().ok()).collect();
    for (size, rounds) in sizes.iter().filter(|(size, _)| named.is_empty() || named.contains(size)) {
        if env::var_os(CHILD).is_some() {
            return one(*size, *rounds);
        }
        let program = env::current_exe().expect("it is known");
        let status = Command::new(program).arg(size.to_string()).env(CHILD, "").status();
        assert!(status.expect("it can be started").success(), "{size} MiB");
    }
}

/// A folder on a disk, not in memory as /tmp may be: below `BENCH_DIR`, or where cargo builds.
pub(crate) fn place() -> tempfile::TempDir {
    let below =
        env::var_os("BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    tempfile::tempdir_in(below).expect("a folder")
}

pub(crate) fn median(rounds: &[f64]) -> f64 {
    let mut rounds = rounds.to_vec();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// The most memory that this process has had so far, in MiB, where the system tells.
pub(crate) fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Each row against the first one: medians, and the median of the ratios of single rounds.
pub(crate) fn show(rows: &[(&str, Vec<f64>)], bytes: usize) {
    let (_, base) = &rows[0];
    for (name, rounds) in rows {
        let ratios: Vec<f64> = rounds.iter().zip(base).map(|(round, base)| round / base).collect();
        let median_of = median(rounds);
        println!(
            "  {name:34} {:9.2} ms  {:7.0} MiB/s   {:5.2} x",
            median_of * 1e3,
            bytes as f64 / MIB as f64 / median_of,
            median(&ratios),
        );
    }
}
