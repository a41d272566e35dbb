//! Parts of a set that nobody has committed are verified side by side. The coordinator asks for one after the other, and finds the
//! next ones under way or done.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, Shared, select};
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
    /// Moved by whoever waits for an answer.
    work: Option<Work>,
    /// Answers that nobody has asked for yet. One for each member at most.
    coming: BTreeMap<Key, oneshot::Receiver<StoreAnswer<M, C>>>,
}

type Work = Shared<BoxFuture<'static, ()>>;

/// An answer that is under way; nothing if the work for it has ended without it.
type Coming<M, C> = BoxFuture<'static, Option<StoreAnswer<M, C>>>;

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
        let (work, answer) = (self.work.clone()?, self.coming.remove(key)?);
        let coming = async move {
            match select(answer, work).await {
                Either::Left((answer, _)) => answer.ok(),
                Either::Right(((), answer)) => answer.await.ok(),
            }
        };
        Some(coming.boxed())
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
        *self = Self { snapshot: Some(snapshot), work: Some(work.boxed().shared()), coming };
    }
}
