//! A worker process: a reader or a counter, with a node between it and the others.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use snapshot_core::{Event, NodeId, Postcard, Retention, SnapshotNode, Turn};
use snapshot_examples::children::{self, Orders};
use snapshot_store::DirectoryStore;
use snapshot_transport_tcp::TcpTransport;

use crate::input::Input;
use crate::message;
use crate::plan::{Plan, Role};
use crate::report::Report;
use crate::state::Worker;

/// How long the goodbye may take.
const PARTING: Duration = Duration::from_secs(10);

/// What a worker needs to know. The parent gives it as JSON on the command line.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Task {
    /// Which member this is.
    pub(crate) me: NodeId,
    /// What all do.
    pub(crate) plan: Plan,
    /// Where each member listens.
    pub(crate) addresses: BTreeMap<NodeId, SocketAddr>,
    /// The folder of the snapshots.
    pub(crate) store: PathBuf,
    /// How many kills there have been.
    pub(crate) kills: u64,
}

/// Works until the parent says that it is enough, or is gone.
pub(crate) async fn run(task: &str, files: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let mut orders = Orders::listen();
    let task: Task = serde_json::from_str(task)?;
    let (me, plan) = (task.me, task.plan);
    let role = plan.role(me).ok_or("no such worker")?;
    let mut input = Input::open(files)?;
    if input.len() != plan.bytes {
        return Err("the files have changed while their words were counted".into());
    }

    let transport = TcpTransport::builder(plan.graph().at(me)?, Postcard)
        .listen(*task.addresses.get(&me).ok_or("no address to listen on")?)
        .peers(task.addresses.iter().map(|(id, address)| (*id, address.to_string())))
        .bind()
        .await?;
    let mut state = Worker::new(&plan, role);
    let mut node = SnapshotNode::builder(transport)
        .store(DirectoryStore::open(&task.store)?)
        .interval(plan.interval())
        .retention(Retention::last(2))
        .message_weight(message::weight)
        .start(&mut state)
        .await?;
    children::say(&Report::Started.to_string())?;

    let mut kills = task.kills;
    let mut watch = Watch::new(plan, role);
    loop {
        watch.look(&state)?;
        tokio::select! {
            event = node.next(&mut state) => match event? {
                Event::Message { from, message } => {
                    let Worker::Counter(counter) = &mut state else {
                        return Err("a reader was sent a message".into());
                    };
                    counter.apply(from.id(), message)?;
                    if counter.has_all(plan.readers()) {
                        watch.complete = Some(node.turn());
                        node.snapshot();
                    }
                }
                Event::Committed { turn, .. } => watch.committed(turn)?,
                Event::RolledBack { generation, turn, .. } => watch.rolled_back(generation.0, turn, &state)?,
                Event::StoreFailed { error } => eprintln!("the store failed: {error}"),
                Event::Violation { peer, what, .. } => eprintln!("{peer} broke the protocol: {what}"),
                Event::Closed => return Err("the transport has ended".into()),
                _ => {}
            },
            order = orders.next() => match order.split_once(' ') {
                None if order == "stop" => break,
                Some(("kills", done)) => kills = done.parse()?,
                _ => return Err(format!("what does '{order}' mean?").into()),
            },
            // New work is always there, so it gives way first: to the network, and to whatever else is ready.
            () = tokio::task::yield_now(), if node.has_room() && watch.may_read(&state, kills) => {
                let Worker::Reader(reader) = &mut state else { continue };
                let messages = if reader.is_reading() {
                    reader.step(&mut input, plan.chunk(), plan.counters)?
                } else {
                    reader.end(plan.counters)
                };
                for (counter, message) in messages {
                    node.send(plan.counter(counter), message)?;
                }
            }
        }
    }
    // The result is safe already; a neighbour that stands still is not worth more than a moment.
    node.close(PARTING).await?;
    Ok(())
}

/// Sees what there is to be told to the parent.
struct Watch {
    plan: Plan,
    role: Role,
    /// How far the parent knows the reader to be.
    told: Option<u64>,
    /// The turn in which the counter got the last of its words.
    complete: Option<Turn>,
}

impl Watch {
    fn new(plan: Plan, role: Role) -> Self {
        Self { plan, role, told: None, complete: None }
    }

    /// Whether this is a reader that has something to do, and does not wait for a kill.
    fn may_read(&self, state: &Worker, kills: u64) -> bool {
        match state {
            Worker::Reader(reader) => {
                !reader.has_ended() && !self.plan.is_held(kills, &reader.range(), reader.passed())
            }
            Worker::Counter(_) => false,
        }
    }

    /// Tells how far the reader is: not every turn, but whenever it may be waiting for a kill.
    fn look(&mut self, state: &Worker) -> Result<(), Box<dyn Error>> {
        let (Worker::Reader(reader), Role::Reader(index)) = (state, self.role) else { return Ok(()) };
        let range = self.plan.range(index);
        let step = (range.end - range.start) / (self.plan.kills + 1) / 16;
        let passed = reader.passed();
        let is_news = self
            .told
            .is_none_or(|told| passed != told && (passed.abs_diff(told) >= step || !reader.is_reading()));
        if is_news {
            self.told = Some(passed);
            children::say(&Report::Passed(passed).to_string())?;
        }
        Ok(())
    }

    fn committed(&self, turn: Turn) -> Result<(), Box<dyn Error>> {
        children::say(&Report::Committed.to_string())?;
        if self.complete.is_some_and(|complete| complete <= turn) {
            children::say(&Report::Final.to_string())?;
        }
        Ok(())
    }

    fn rolled_back(&mut self, generation: u64, turn: Turn, state: &Worker) -> Result<(), Box<dyn Error>> {
        children::say(&Report::RolledBack(generation).to_string())?;
        self.told = None;
        self.complete = match state {
            Worker::Counter(counter) if counter.has_all(self.plan.readers()) => Some(turn),
            _ => None,
        };
        // The state comes from a committed snapshot.
        if self.complete.is_some() {
            children::say(&Report::Final.to_string())?;
        }
        Ok(())
    }
}
