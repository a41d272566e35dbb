//! Calls that must not block their thread, and are watched for that.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;

use snapshot_core::NodeId;

use super::{GRACE, T5, TransportFixture};
use crate::trial::Trial;

/// A call of the transport, or of its fixture, which has to return to its thread whenever it is polled.
pub(super) struct Call<F> {
    trial: Trial,
    what: Arc<str>,
    fixture: PhantomData<fn() -> F>,
}

impl<F: TransportFixture> Call<F> {
    pub(super) fn new(trial: &Trial, what: String) -> Self {
        Self { trial: trial.clone(), what: what.into(), fixture: PhantomData }
    }

    pub(super) fn run<T>(&self, call: impl FnOnce() -> T) -> T {
        self.trial.call(T5, F::LIMIT.saturating_add(GRACE), &self.what, call)
    }

    pub(super) async fn watch<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|cx| self.run(|| future.as_mut().poll(cx))).await
    }
}

/// The transport of one process, whose drop is a call like the others.
pub(super) struct Process<F: TransportFixture> {
    pub(super) call: Call<F>,
    transport: Option<Arc<F::Transport>>,
}

impl<F: TransportFixture> Process<F> {
    pub(super) fn new(trial: &Trial, id: NodeId, transport: F::Transport) -> Self {
        let call = Call::new(trial, format!("the drop of the transport of {id}"));
        Self { call, transport: Some(Arc::new(transport)) }
    }

    pub(super) fn share(&self) -> Arc<F::Transport> {
        Arc::clone(self.transport.as_ref().expect("there until it is dropped"))
    }

    /// Drops it. Whether nothing else had a share in it.
    pub(super) fn end(&mut self) -> bool {
        let transport = self.transport.take();
        self.call.run(|| transport.is_none_or(|transport| Arc::into_inner(transport).is_some()))
    }
}

impl<F: TransportFixture> Drop for Process<F> {
    fn drop(&mut self) {
        self.end();
    }
}
