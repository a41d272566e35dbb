//! A whole node on a transport that breaks its contract in every way that types allow, with a store that works.
//!
//! No panic, no waiting without end, nothing kept beyond the bounds; an error just where the transport gave one, or broke a
//! clause that the node can see broken, and then it says which.

mod transport;

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{Bound, Event, NodeError, NodeId, SnapshotNode};
use snapshot_store::MemoryStore;

use super::blob::{Blob, Picky};
use super::drive::drive;
use transport::{Lying, Move, Script, Sending, Wrong};

/// What the transport does, and the application.
#[derive(Arbitrary, Debug)]
pub struct Input {
    durable: bool,
    steps: Vec<Step>,
    close: bool,
}

/// One step.
#[derive(Arbitrary, Debug)]
enum Step {
    /// The next calls of `recv` do this.
    Moves(Vec<Move>),
    /// The next call of `send` does this; the others send all.
    Sending(Sending),
    /// The application takes events, this many at most.
    Next(u8),
    Send {
        to: u64,
        length: u16,
    },
    Snapshot,
    Abort(u8),
    Flush,
    Time(u16),
}

const INBOX: Bound = Bound::new(32, 16 << 10);
/// For each of the two neighbours.
const WINDOW: usize = INBOX.frames / 2;
const MAX_RECORDED: usize = 32 << 10;
const MAX_RUNNING: usize = 4;

/// See the [module](self).
///
/// # Panics
///
/// Where the node does what it may not.
pub fn run(input: Input) {
    let script = Arc::new(Script::default());
    let mut state = Blob(vec![1]);
    let mut builder = SnapshotNode::builder(Lying::new(Arc::clone(&script)))
        .codec(Picky)
        .seed(5)
        .clock(Arc::<Script>::clone(&script))
        .deadline(Duration::from_secs(5))
        .interval(Duration::from_secs(20))
        .inbox(INBOX)
        .window_floor(Bound::new(4, 4 << 10))
        .outbox(Bound::new(8, 4 << 10), Bound::new(16, 8 << 10))
        .outbox_hard(Bound::new(200, 16 << 10))
        .max_recorded_bytes(MAX_RECORDED)
        .max_running(MAX_RUNNING);
    if input.durable {
        builder = builder.store(MemoryStore::new());
    }
    let node = drive(builder.start(&mut state)).expect("the store answers at once").expect("the store works");
    let mut user = User { node, state, script, ended: false };
    for step in input.steps.iter().take(200) {
        user.does(step);
    }
    if input.close {
        // It waits for a transport that stands still.
        if let Some(Err(error)) = drive(user.node.close(Duration::from_secs(1))) {
            user.script.judge(&error);
        }
    }
}

/// The application.
struct User {
    node: SnapshotNode<Blob, Bytes>,
    state: Blob,
    script: Arc<Script>,
    ended: bool,
}

impl User {
    fn does(&mut self, step: &Step) {
        match step {
            Step::Moves(moves) => self.script.will_receive(moves),
            Step::Sending(sending) => self.script.will_send(*sending),
            Step::Next(most) => self.next(usize::from(*most)),
            Step::Send { to, length } => {
                if self.node.has_room() && !self.ended {
                    // There may be no such neighbour.
                    let _ = self.node.send(NodeId(to % 5), Bytes::from(vec![0; usize::from(*length % 4096)]));
                }
            }
            Step::Snapshot => self.node.snapshot(),
            Step::Abort(which) => {
                let handle = self.node.handle();
                let running = handle.running();
                running.get(usize::from(*which)).into_iter().for_each(|status| handle.abort(status.snapshot));
            }
            Step::Flush => {
                if let Some(Err(error)) = drive(self.node.flush(&mut self.state)) {
                    self.end(&error);
                }
            }
            Step::Time(millis) => self.script.pass(Duration::from_millis(u64::from(*millis))),
        }
    }

    fn next(&mut self, most: usize) {
        // Taken from each neighbour since it was last heard of.
        let (mut taken, mut pushed) = ([0, 0], self.script.pushed());
        for _ in 0..most {
            match drive(self.node.next(&mut self.state)) {
                None => break,
                Some(Ok(Event::Message { from, message })) => {
                    if std::mem::replace(&mut pushed, self.script.pushed()) != pushed {
                        taken = [0, 0];
                    }
                    let taken = &mut taken[from.id().0 as usize - 2];
                    *taken += 1;
                    assert!(*taken <= WINDOW, "more than a window of {from} had waited");
                    self.state.0 = message.to_vec();
                }
                Some(Ok(Event::LocalSnapshot(local))) => {
                    let mut recorded = local.channels.values().map(Vec::len);
                    assert!(recorded.all(|messages| messages <= WINDOW), "{local:?}");
                }
                Some(Ok(event)) => drop(format!("{event:?}")),
                Some(Err(error)) => return self.end(&error),
            }
        }
        self.check_bounds();
    }

    fn end(&mut self, error: &NodeError) {
        if self.ended {
            return assert!(matches!(error, NodeError::Ended), "{error:?} after the end");
        }
        self.ended = true;
        self.script.judge(error);
    }

    fn check_bounds(&self) {
        let running = self.node.handle().running();
        let recorded: u64 = running.iter().map(|status| status.recorded_bytes).sum();
        assert!(recorded <= MAX_RECORDED as u64, "{running:?}");
    }
}

impl Script {
    /// Whether the transport gave reason for this error.
    fn judge(&self, error: &NodeError) {
        let wrong = self.wrong();
        let deserved = match error {
            NodeError::Transport(_) => wrong.contains(&Wrong::Failed),
            NodeError::Contract { clause: "T3", .. } => wrong.contains(&Wrong::TooMany),
            NodeError::Contract { clause: "T6", .. } => wrong.contains(&Wrong::Left),
            _ => false,
        };
        assert!(deserved, "the transport did {wrong:?}, and the error is {error:?}");
    }
}
