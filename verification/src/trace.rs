//! Traces of groups of coordinators, held against the specification.
//!
//! `spec/Snapshot.tla` says what a group may do. Here its next-state relation is written once more, in Rust and without the
//! core's rules, for the whole of what a coordinator lets others see: each line of a trace is one step, and the checker says
//! whether some action of the specification allows it in the state that the lines before have led to. So the specification
//! that was model-checked and the code that is shipped are held together by thousands of real runs.
//!
//! ```
//! use snapshot_verification::trace::{check, record};
//! let trace = record(7).text();
//! assert!(check(&trace).unwrap().commits > 0);
//!
//! // A message that is taken twice is allowed by no action.
//! let taken = trace.lines().find(|line| line.starts_with("take ")).unwrap();
//! let twice = trace.replace(taken, &format!("{taken}\n{taken}"));
//! let refused = check(&twice).unwrap_err();
//! assert!(refused.step.starts_with("take "), "{refused}");
//! ```
//!
//! # The format
//!
//! Text; one step a line, words between spaces; a line that begins with `#` is a remark. The first line is `snapshot-trace 2`. Names: `n3` a node,
//! `g1` a generation, `g1/2@n3` a snapshot, `m5` a message, `o9` an operation of the store, `n3:7` a number that belongs to a node,
//! `g1#4~51` the stamp of a frame: generation, number, and the part of the generation's nonce that tells its history. First the group,
//! then the steps:
//!
//! | line | what it says | action |
//! | --- | --- | --- |
//! | `member n1` · `link n1 n2 messages` or `control` · `retention 3` (0: all) · `window 4 20` (messages, bytes; `m5` weighs 1 + 5 mod 7) | the group | |
//! | `left n1 n2 FRAME` | under way from before, of another history of the store | `Left` |
//! | `boot n1` · `crash n1` | a process begins; it dies | `Boot`, `Crash` |
//! | `lose n1 n2 3` · `swallow n1 n2 3` | the last, the first three frames under way are gone | `Break`, `Crash`, `Boot` |
//! | `up n1 n2` · `lost n1 n2` | n1 is told of its connection to n2 | `Up` |
//! | `send n1 n2 m5` · `take n2 n1 m5` · `turn n1 4` | the application sends, takes, has ended its fourth turn | `Send`, `Take` |
//! | `initiate n1 g1/1@n1` | it begins a snapshot | `Initiate` |
//! | `timeout n1` | a moment that n1 had waited for | |
//! | `arrive n2 n1 FRAME` | a frame of n1 reaches n2 | `Hello` `Arrived` `Marker` `Receipt` `Committed` `Aborted` `Old` `Outside` `Newer` `Gap` `OtherHistory` |
//! | `do o9` · `answer o9 ANSWER` | the store does what was asked; the process learns of it | `Read` `Sit` `Land` `Look` `Resume` … |
//! | `restored n1 sent n2:1 taken` | the driver has installed a state with these effects | `Restore` |
//!
//! What a process does of its own follows the step that made it do so, in lines of its own: `capture n1`, `ask n1 o9 REQUEST`
//! (where `Open`, `Commit`, `CommitFound` and `Sweep` are judged), `told n1 EVENT`. All that an action demands must be there before the next step, and
//! nothing else may. Frames wait, and depart when the driver takes them: `out n1 n2 FRAME`, then or later, control first, each kind in its order,
//! messages as the window allows. Grants and asks are the exception: a process may post them when it likes, but they must be true. Frames, requests,
//! answers and events are as in [`mod@line`].
//!
//! # What is not in a trace
//!
//! Time: a deadline may pass at any `timeout`. Bounds of memory, which the recorder sets out of reach; who breaks the window. Falling back from
//! a damaged snapshot, a store that goes back while a group runs, two processes of one node at a time, nodes that leave, groups without a store.

mod bytes;
mod graph;
mod journal;
pub mod line;
mod memory;
mod next;
mod recorder;
mod seen;
mod show;
mod state;
mod words;
mod world;

use std::error::Error;
use std::fmt;

use line::{Body, Event, Frame, Line};
use state::State;

pub use recorder::{Recording, record};

/// The first line of a trace.
const HEADER: &str = "snapshot-trace 2";

/// What a trace that the specification allows has shown.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Checked {
    /// Its steps, outputs among them.
    pub steps: usize,
    /// Snapshots whose commit record was created.
    pub commits: usize,
    /// Rollbacks that an application was told of.
    pub rollbacks: usize,
    /// Messages that were taken.
    pub taken: usize,
    /// Recorded messages that were handed out again.
    pub replayed: usize,
    /// Snapshots that were given up, as their nodes were told.
    pub aborted: usize,
    /// Processes that died.
    pub crashes: usize,
    /// How often a sender was held up by a window, and has asked for more.
    pub asks: usize,
}

/// The first step that no action allows.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Refused {
    /// Its line, counted from 1.
    pub line: usize,
    /// The line.
    pub step: String,
    /// Why.
    pub why: String,
    /// The state before it.
    pub before: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "line {}: no action allows `{}`: {}", self.line, self.step, self.why)?;
        write!(f, "the state before it:\n{}", self.before)
    }
}

impl Error for Refused {}

/// Holds a trace against the specification.
///
/// # Errors
///
/// The first step that no action allows, or that cannot be read, with the state before it.
pub fn check(text: &str) -> Result<Checked, Refused> {
    let (mut state, mut checked) = (State::default(), Checked::default());
    let mut headed = false;
    for (at, step) in text.lines().enumerate() {
        let refused = |why: String, done: usize| Refused {
            line: at + 1,
            step: step.to_owned(),
            why,
            before: replay(text, done),
        };
        let words = step.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        if !std::mem::replace(&mut headed, true) {
            if words == HEADER {
                continue;
            }
            return Err(refused(format!("a trace begins with `{HEADER}`"), at));
        }
        let line = Line::parse(words).map_err(|why| refused(why, at))?;
        state.next(&line).map_err(|why| refused(why, at))?;
        checked.steps += 1;
        match line {
            Line::Take { .. } => checked.taken += 1,
            Line::Out { frame: Frame { body: Body::Ask, .. }, .. } => checked.asks += 1,
            Line::Crash { .. } => checked.crashes += 1,
            Line::Told { event: Event::RolledBack { .. }, .. } => checked.rollbacks += 1,
            Line::Told { event: Event::Aborted { .. }, .. } => checked.aborted += 1,
            Line::Restored { node, .. } => {
                checked.replayed += state.processes.get(&node).map_or(0, |process| process.untaken.len());
            }
            _ => {}
        }
    }
    let lines = text.lines().count();
    let end = |why: String| Refused { line: lines, step: "the end".into(), why, before: replay(text, lines) };
    if !headed {
        return Err(end(format!("a trace begins with `{HEADER}`")));
    }
    checked.commits = state.store.commits();
    state.end().map_err(end)?;
    Ok(checked)
}

/// The state after so many lines, all of which are allowed.
fn replay(text: &str, lines: usize) -> String {
    let mut state = State::default();
    for line in text.lines().take(lines).filter_map(|line| Line::parse(line.trim()).ok()) {
        if state.next(&line).is_err() {
            break;
        }
    }
    state.to_string()
}
