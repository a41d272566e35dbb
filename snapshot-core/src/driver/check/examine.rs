//! Reads a committed snapshot and has it checked. Decoding and checks run where the store calls its closures: on its own
//! threads, where it has some, and so off the message loop.

use std::sync::Arc;

use super::{Check, Finding};
use crate::contract::state::StateProvider;
use crate::contract::store::Sink;
use crate::driver::persist::{Persistence, chain, expectation, readable};
use crate::format::part::read_part;
use crate::inspect::global_snapshot::GlobalSnapshot;
use crate::vocabulary::id::{NodeId, SnapshotId};
use crate::vocabulary::key::Key;
use crate::vocabulary::part::LocalSnapshot;

/// How far the closures have come.
enum Progress<M, C> {
    /// These parts are read, and there are more.
    Read(Vec<LocalSnapshot<C, M>>),
    /// That was the last one, and the whole was checked.
    Checked(Vec<Finding>),
}

/// What all the checks find in a snapshot; nothing: they all pass. Memory: the whole of it, until the last check is done.
///
/// # Errors
///
/// Why it could not be read, for people.
pub(super) async fn examine<S: StateProvider, M: Send + 'static>(
    persistence: &Persistence<M>,
    checks: Arc<[Check<M, S::Captured>]>,
    snapshot: SnapshotId,
) -> Result<Vec<Finding>, String> {
    let mut parts = Vec::with_capacity(persistence.topology.members().len());
    for node in persistence.topology.members() {
        match read_and_check::<S, M>(persistence, Arc::clone(&checks), parts, snapshot, *node).await? {
            Progress::Read(read) => parts = read,
            Progress::Checked(findings) => return Ok(findings),
        }
    }
    Err("the group has no members".to_owned())
}

async fn read_and_check<S: StateProvider, M: Send + 'static>(
    persistence: &Persistence<M>,
    checks: Arc<[Check<M, S::Captured>]>,
    mut parts: Vec<LocalSnapshot<S::Captured, M>>,
    snapshot: SnapshotId,
    node: NodeId,
) -> Result<Progress<M, S::Captured>, String> {
    let key = Key::Part { snapshot, node };
    let (topology, codec) = (persistence.topology.clone(), persistence.codec.clone());
    let (sink, place) = Sink::collecting(move |input| {
        let read = readable(read_part::<S, M>(&expectation(&topology, key, None), codec.as_deref(), input))?;
        let stored = match read {
            Ok(stored) => stored,
            Err(error) => return Ok(Err(error.to_string())),
        };
        parts.push(stored.into_local(snapshot, node, topology.all()));
        if parts.len() < topology.members().len() {
            return Ok(Ok(Progress::Read(parts)));
        }
        let cut = match GlobalSnapshot::assemble(parts) {
            Ok(cut) => cut,
            Err(error) => return Ok(Err(error.to_string())),
        };
        Ok(Ok(Progress::Checked(checks.iter().filter_map(|check| check.find(&cut)).collect())))
    });
    let answer = persistence.store.read(key, sink).await;
    // What was read to its end has its checksums, whatever the store says of it afterwards (D7).
    match (place.take(), answer) {
        (Some(progress), _) => progress,
        (None, Ok(_)) => {
            Err(format!("{key} was deleted before it was read: keep more snapshots with `retention`"))
        }
        (None, Err(error)) => Err(chain(&error)),
    }
}
