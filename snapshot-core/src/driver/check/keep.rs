//! Copies a snapshot to where retention does not reach.

use bytes::Bytes;

use crate::contract::store::Sink;
use crate::driver::persist::{Persistence, chain, expectation, readable};
use crate::format::part::verify_part;
use crate::vocabulary::id::{NodeId, SnapshotId};
use crate::vocabulary::key::Key;

/// Copies all parts of a snapshot, in the order of the members: whoever finds the last one finds them all. Memory: the
/// bytes of one part at a time, since the two closures of a store need not run side by side, so that nothing can be
/// streamed from the one into the other.
///
/// # Errors
///
/// Why that was not possible, for people. What was copied until then is removed, as far as the store lets it be.
pub(super) async fn keep<M: Send + 'static>(
    persistence: &Persistence<M>,
    snapshot: SnapshotId,
) -> Result<(), String> {
    let members = persistence.topology.members();
    for node in members {
        if let Err(why) = copy(persistence, snapshot, *node).await {
            for node in members.iter().rev() {
                // The store has just failed, or is about to be told of as having lost parts: no more can be done.
                let _ = persistence.store.delete(Key::Evidence { snapshot, node: *node }).await;
            }
            return Err(why);
        }
    }
    Ok(())
}

async fn copy<M: Send + 'static>(
    persistence: &Persistence<M>,
    snapshot: SnapshotId,
    node: NodeId,
) -> Result<(), String> {
    let key = Key::Part { snapshot, node };
    let topology = persistence.topology.clone();
    let (sink, place) = Sink::collecting(move |input| {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        // What is damaged by now is no evidence.
        Ok(readable(verify_part(&expectation(&topology, key, None), &mut &bytes[..]))?
            .map(|_| Bytes::from(bytes)))
    });
    persistence.store.read(key, sink).await.map_err(|error| chain(&error))?;
    let bytes = match place.take() {
        Some(read) => read.map_err(|error| error.to_string())?,
        None => {
            return Err(format!(
                "{key} was deleted before it was copied: keep more snapshots with `retention`"
            ));
        }
    };
    let copy = Key::Evidence { snapshot, node };
    persistence.store.create(copy, bytes.into()).await.map(drop).map_err(|error| chain(&error))
}
