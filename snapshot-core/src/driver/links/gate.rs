//! Something that happens once, and that any number of tasks may wait for.

use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Shared;

/// Closed, and at some time open for good.
#[derive(Debug)]
pub(super) struct Gate {
    /// Dropped when the gate opens.
    bar: Mutex<Option<oneshot::Sender<()>>>,
    open: Shared<oneshot::Receiver<()>>,
}

impl Gate {
    pub(super) fn new() -> Self {
        let (bar, open) = oneshot::channel();
        Self { bar: Mutex::new(Some(bar)), open: open.shared() }
    }

    pub(super) fn open(&self) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(bar);
    }

    /// # Cancel safety
    ///
    /// Cancel-safe, and nothing of the wait remains.
    pub(super) async fn wait(&self) {
        let _ = self.open.clone().await;
    }
}
