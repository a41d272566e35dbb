//! What is printed of the faults: a line each, or JSON, and a table at the end.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use snapshot_core::SnapshotId;
use snapshot_examples::chaos::{Act, Tally};

use super::standing::Standing;
use crate::flags::RunFlags;
use crate::folder::Folder;
use crate::parent::millis;

/// Standard output. Where nobody reads it any more, each method fails.
pub(super) struct Telling {
    json: bool,
}

/// How a run has ended in which all was well.
pub(super) struct Ended {
    pub(super) took: Duration,
    pub(super) kills: u64,
    pub(super) generations: usize,
    pub(super) snapshots: usize,
    pub(super) total: u64,
}

/// The command that does the same again.
pub(super) fn command(flags: &RunFlags, nodes: usize) -> String {
    let (seconds, seed) = (flags.chaos.unwrap_or_default(), flags.seed);
    let (interval, deadline) = (flags.interval().as_millis(), flags.deadline().as_millis());
    format!(
        "bank --chaos {seconds} --seed {seed} --nodes {nodes} --interval {interval} --deadline {deadline}"
    )
}

impl Telling {
    pub(super) fn begins(flags: &RunFlags, folder: &Folder) -> io::Result<Self> {
        let telling = Self { json: flags.json };
        let bank = &folder.bank;
        let replay = command(flags, bank.nodes as usize);
        telling.say(
            || {
                let coins = bank.coins();
                format!(
                    "branches: {} ({}), coins: {coins}; the same faults again: {replay}\nthe snapshots are kept in {}",
                    bank.nodes,
                    bank.topology,
                    folder.path.display()
                )
            },
            || json!({ "event": "begin", "store": folder.path, "nodes": bank.nodes, "replay": replay, "total": bank.coins() }),
        )?;
        Ok(telling)
    }

    pub(super) fn act(&self, at: Duration, act: &Act) -> io::Result<()> {
        self.say(
            || format!("{:8.1} s  fault {}: {act}", at.as_secs_f64(), act.number),
            || json!({ "event": "fault", "number": act.number, "kind": act.kind.to_string(), "what": act.to_string(), "at_ms": millis(at) }),
        )
    }

    pub(super) fn recovered(
        &self,
        standing: &Standing,
        newest: Option<&SnapshotId>,
        took: Duration,
    ) -> io::Result<()> {
        let (Some(generation), Some(newest)) = (standing.generation(), newest) else { return Ok(()) };
        self.say(
            || format!("            all are in {generation}, and {newest} is committed, after {} ms", took.as_millis()),
            || json!({ "event": "recovered", "generation": generation.0, "committed": newest.to_string(), "took_ms": millis(took) }),
        )
    }

    /// The table, and the last line.
    pub(super) fn ends(&self, tally: &Tally, ended: &Ended) -> io::Result<()> {
        let Ended { took, kills, generations, snapshots, total } = ended;
        self.say(
            || {
                format!(
                    "\n{tally}\n{} faults and {kills} processes killed in {} s, {generations} generations; \
                     {snapshots} snapshots, total {total} in each, lost: 0: ok",
                    tally.faults(),
                    took.as_secs()
                )
            },
            || {
                let row = |(kind, count, longest): (_, u64, Duration)| {
                    let kind: snapshot_examples::chaos::Kind = kind;
                    json!({ "kind": kind.to_string(), "count": count, "longest_ms": millis(longest) })
                };
                json!({
                    "event": "end", "faults": tally.faults(), "kills": kills, "generations": generations,
                    "snapshots": snapshots, "total": total, "lost": 0, "ok": true,
                    "table": tally.rows().map(row).collect::<Vec<_>>(),
                })
            },
        )
    }

    fn say(&self, text: impl FnOnce() -> String, object: impl FnOnce() -> Value) -> io::Result<()> {
        let line = if self.json { object().to_string() } else { text() };
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}
