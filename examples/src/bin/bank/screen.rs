//! What is printed: a table that grows by a row for each committed snapshot, or JSON lines.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use snapshot_core::{Generation, NodeId, SnapshotId};

use crate::audit::Holdings;
use crate::course::{Back, place};
use crate::flags::RunFlags;
use crate::folder::Bank;

/// A committed snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) snapshot: SnapshotId,
    pub(crate) holdings: Holdings,
    /// From the first capture to the commit, in microseconds; unknown where the branch that began it was killed.
    pub(crate) took: Option<u64>,
    /// Of all parts.
    pub(crate) bytes: u64,
    /// The longest that any message loop stood still since the row before, in microseconds.
    pub(crate) gap: u64,
}

/// Where a run stands, for the line that is written over again.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) elapsed: Duration,
    pub(crate) transfers_a_second: u64,
    pub(crate) snapshots: usize,
    pub(crate) kills: usize,
    pub(crate) waiting_for: String,
}

/// How a run has ended: all of it was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) snapshots: usize,
    pub(crate) kills: usize,
    pub(crate) total: u64,
}

/// Standard output. Where nobody reads it any more, each method fails.
#[derive(Debug)]
pub(crate) struct Screen {
    json: bool,
    terminal: bool,
    /// Whether the last line is one to be written over.
    status: bool,
}

impl Screen {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, terminal: !json && io::stdout().is_terminal(), status: false }
    }

    /// Whether there is a line that is written over again.
    pub(crate) fn is_live(&self) -> bool {
        self.terminal
    }

    pub(crate) fn begins(
        &mut self,
        path: &Path,
        bank: &Bank,
        flags: &RunFlags,
        earlier: usize,
    ) -> io::Result<()> {
        let Bank { nodes, accounts, topology, .. } = bank;
        if self.json {
            return self.object(&json!({
                "event": "begin", "store": path, "resumed": flags.resume, "earlier_snapshots": earlier, "nodes": nodes,
                "accounts": accounts, "topology": topology, "seconds": flags.seconds, "kills": flags.kills,
                "interval_ms": flags.interval().as_millis(), "seed": flags.seed, "total": bank.coins(),
            }));
        }
        self.line(&format!(
            "branches: {nodes} ({topology}), accounts: {accounts} each, coins: {}, a snapshot every {} ms, kills: {}, seed: {}",
            bank.coins(),
            flags.interval().as_millis(),
            flags.kills,
            flags.seed,
        ))?;
        self.line(&match flags.resume {
            true => format!("going on with {}, snapshots of earlier runs: {earlier}", path.display()),
            false => format!("the snapshots are kept in {}", path.display()),
        })?;
        let mut header = format!("{:>12}", "snapshot");
        for node in 1..=u64::from(*nodes) {
            let _ = write!(header, " {:>9}", NodeId(node).to_string());
        }
        let _ = write!(
            header,
            " {:>21} {:>11} {:>9} {:>9} {:>8}",
            "in flight (transfers)", "total", "took ms", "bytes", "gap ms"
        );
        self.line(&header)
    }

    pub(crate) fn row(&mut self, row: &Row) -> io::Result<()> {
        let Row { snapshot, holdings, took, bytes, gap } = row;
        if self.json {
            let held: serde_json::Map<String, Value> =
                holdings.held.iter().map(|(node, held)| (node.to_string(), coins(*held))).collect();
            return self.object(&json!({
                "event": "snapshot", "snapshot": snapshot.to_string(), "held": held,
                "in_flight": coins(holdings.in_flight), "transfers_in_flight": holdings.transfers,
                "total": coins(holdings.total()), "took_ms": took.map(millis), "bytes": bytes, "gap_ms": millis(*gap),
            }));
        }
        let mut line = format!("{:>12}", snapshot.to_string());
        for (_, held) in &holdings.held {
            let _ = write!(line, " {held:>9}");
        }
        let in_flight = format!("{} ({})", holdings.in_flight, holdings.transfers);
        let took = took.map_or_else(|| "?".to_owned(), |took| format!("{:.1}", millis(took)));
        let _ = write!(
            line,
            " {in_flight:>21} {:>11} {took:>9} {bytes:>9} {:>8.1}",
            holdings.total(),
            millis(*gap)
        );
        self.line(&line)
    }

    /// A branch takes part; only in JSON, the table has no room for what is a matter of course.
    pub(crate) fn started(&mut self, branch: NodeId, pid: u32, generation: Generation) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        self.object(&json!({
            "event": "started", "branch": branch.to_string(), "pid": pid, "generation": generation.0,
        }))
    }

    pub(crate) fn killed(&mut self, branch: NodeId, pid: u32) -> io::Result<()> {
        if self.json {
            return self.object(&json!({ "event": "killed", "branch": branch.to_string(), "pid": pid }));
        }
        self.line(&format!("        kill -9 {branch} (process {pid}), and start it again"))
    }

    pub(crate) fn returned(&mut self, back: &Back) -> io::Result<()> {
        let Back { generation, snapshot, took } = back;
        if self.json {
            return self.object(&json!({
                "event": "rolled_back", "to": snapshot.map(|id| id.to_string()), "generation": generation.0,
                "took_ms": millis(micros(*took)),
            }));
        }
        let took = millis(micros(*took));
        self.line(&format!(
            "        all branches are back at {}, as {generation}, after {took:.0} ms",
            place(*snapshot)
        ))
    }

    pub(crate) fn aborted(&mut self, snapshot: SnapshotId, by: &str, why: &str) -> io::Result<()> {
        if self.json {
            return self.object(&json!({
                "event": "aborted", "snapshot": snapshot.to_string(), "by": by, "why": why,
            }));
        }
        self.line(&format!("{:>12} was given up by {by}: {why}", snapshot.to_string()))
    }

    pub(crate) fn not_checked(&mut self, snapshot: SnapshotId, why: &str) -> io::Result<()> {
        if self.json {
            return self
                .object(&json!({ "event": "not_checked", "snapshot": snapshot.to_string(), "why": why }));
        }
        self.line(&format!("{:>12} was not checked by its branch: {why}", snapshot.to_string()))
    }

    /// Committed snapshots are lost. This is said loudly, on standard error too.
    pub(crate) fn gave_up(&mut self, to: Option<SnapshotId>, given_up: &[SnapshotId]) -> io::Result<()> {
        let names: Vec<String> = given_up.iter().map(ToString::to_string).collect();
        let text = format!(
            "!!!!!!! WENT BACK BEHIND DAMAGED SNAPSHOTS to {}: given up, and all that they covered lost: {}",
            place(to),
            names.join(", ")
        );
        if self.json {
            self.object(
                &json!({ "event": "fell_back", "to": to.map(|id| id.to_string()), "given_up": names }),
            )?;
        } else {
            self.line(&text)?;
        }
        // Where standard error is closed it has been said above.
        let _ = writeln!(io::stderr(), "{text}");
        Ok(())
    }

    pub(crate) fn audits(&mut self, snapshots: usize) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        self.line(&format!("a process that took no part audits {snapshots} snapshots"))
    }

    /// The last line.
    pub(crate) fn ends(&mut self, outcome: &Outcome) -> io::Result<()> {
        let Outcome { snapshots, kills, total } = outcome;
        if self.json {
            return self.object(&json!({
                "event": "end", "snapshots": snapshots, "kills": kills, "total": total, "ok": true,
            }));
        }
        self.line(&format!("{snapshots} snapshots, {kills} kills, total {total} in each: ok"))
    }

    /// Where the run stands: written over again on a terminal, a plain line elsewhere.
    pub(crate) fn stands(&mut self, standing: &Standing) -> io::Result<()> {
        let Standing { elapsed, transfers_a_second, snapshots, kills, waiting_for } = standing;
        if self.json {
            return self.object(&json!({
                "event": "progress", "elapsed_s": elapsed.as_secs(), "transfers_per_s": transfers_a_second,
                "snapshots": snapshots, "kills": kills, "waiting_for": waiting_for,
            }));
        }
        let text = format!(
            "        {} s, {transfers_a_second} transfers a second, {snapshots} snapshots, {kills} kills; waiting for {waiting_for}",
            elapsed.as_secs()
        );
        if !self.terminal {
            return self.line(&text);
        }
        let mut out = io::stdout().lock();
        write!(out, "\r\x1b[K{text}")?;
        self.status = true;
        out.flush()
    }

    fn object(&mut self, object: &Value) -> io::Result<()> {
        self.line(&object.to_string())
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if std::mem::take(&mut self.status) {
            write!(out, "\r\x1b[K")?;
        }
        writeln!(out, "{text}")?;
        out.flush()
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A sum of coins as a JSON number. A bank has fewer than 2^64; a larger sum can only come from a broken cut.
fn coins(sum: u128) -> Value {
    u64::try_from(sum).map_or_else(|_| Value::String(sum.to_string()), Value::from)
}
