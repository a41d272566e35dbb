//! Parts of a set that nobody has committed are verified side by side. The coordinator asks for one after the other, and finds the
//! next ones under way or done.

use std::collections::BTreeMap;
use std::task::Context;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};

use crate::contract::state::StateProvider;
use crate::driver::persist::Persistence;
use crate::protocol::coordinator::{StoreAnswer, StoreRequest};
use crate::vocabulary::id::SnapshotId;
use crate::vocabulary::key::Key;

/// As many as an archive reads at a time.
const AT_ONCE: usize = 4;

/// One set. Its parts never change, so it makes no difference that most are read before they are asked for.
pub(super) struct Verifying<M, C> {
    snapshot: Option<SnapshotId>,
    work: Option<BoxFuture<'static, ()>>,
    /// Answers that nobody has asked for yet. One for each member at most.
    coming: BTreeMap<Key, Coming<M, C>>,
}

type Coming<M, C> = oneshot::Receiver<StoreAnswer<M, C>>;

impl<M: Send + 'static, C: Send + 'static> Verifying<M, C> {
    pub(super) fn new() -> Self {
        Self { snapshot: None, work: None, coming: BTreeMap::new() }
    }

    /// The answer to this request, if it is under way. The first one for a set begins with all of its parts; one for anything else
    /// shows that the set is done with.
    pub(super) fn look<S: StateProvider<Captured = C>>(
        &mut self,
        persistence: &Persistence<M>,
        request: &StoreRequest<M, C>,
    ) -> Option<Coming<M, C>> {
        let StoreRequest::VerifyPart { key: key @ Key::Part { snapshot, .. }, expected: None } = request
        else {
            *self = Self::new();
            return None;
        };
        if self.snapshot != Some(*snapshot) {
            self.begin::<S>(persistence, *snapshot);
        }
        self.coming.remove(key)
    }

    fn begin<S: StateProvider<Captured = C>>(&mut self, persistence: &Persistence<M>, snapshot: SnapshotId) {
        let members = persistence.topology.members();
        let (askers, coming) = members
            .iter()
            .map(|node| {
                let (asker, answer) = oneshot::channel();
                let key = Key::Part { snapshot, node: *node };
                ((key, asker), (key, answer))
            })
            .unzip();
        let (askers, persistence): (Vec<_>, _) = (askers, persistence.clone());
        let work = stream::iter(askers).for_each_concurrent(AT_ONCE, move |(key, asker)| {
            let request = StoreRequest::VerifyPart { key, expected: None };
            // The asker may have lost interest in the set.
            persistence.clone().perform::<S>(request).map(|answer| drop(asker.send(answer)))
        });
        *self = Self { snapshot: Some(snapshot), work: Some(work.boxed()), coming };
    }

    /// Goes on with the set.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if self.work.as_mut().is_some_and(|work| work.poll_unpin(cx).is_ready()) {
            self.work = None;
        }
    }
}
