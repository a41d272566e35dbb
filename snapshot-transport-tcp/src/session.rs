//! What both halves of a link know of its session: how much has come, and how much has come at the other end.
//!
//! Counted in bytes from the beginning of the session, over all its connections. The receiving half counts; the sending half tells the
//! other side, with an acknowledgement now and then, so that it need not keep what has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Wake;

use futures::task::AtomicWaker;
use tokio::sync::Notify;

use crate::write_buffer::KEEP;

/// After so many bytes it is time for an acknowledgement: an eighth of what the other side may have to keep.
const EVERY: u64 = KEEP / 8;

/// A session of a link.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// 0: it ends with its connection.
    number: u64,
    /// How many bytes have come.
    received: AtomicU64,
    /// What the other side was last told of that.
    told: AtomicU64,
    /// How many have come at the other end.
    acknowledged: AtomicU64,
}

impl Session {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn may_be_resumed(&self) -> bool {
        self.number != 0
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// More has come. Says whether it is time to tell the other side. One task alone counts.
    pub(crate) fn has_come(&self, count: usize) -> bool {
        if !self.may_be_resumed() {
            return false;
        }
        let received = self.received.load(Ordering::Relaxed) + count as u64;
        self.received.store(received, Ordering::Release);
        received - self.told.load(Ordering::Relaxed) >= EVERY
    }

    /// What the other side is to be told, if it is time.
    pub(crate) fn to_be_told(&self) -> Option<u64> {
        let received = self.received();
        (received - self.told.load(Ordering::Relaxed) >= EVERY).then(|| {
            self.told.store(received, Ordering::Relaxed);
            received
        })
    }

    /// The other side has been told with a handshake.
    pub(crate) fn told(&self, received: u64) {
        self.told.store(received, Ordering::Relaxed);
    }

    pub(crate) fn acknowledge(&self, count: u64) {
        self.acknowledged.fetch_max(count, Ordering::Release);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }
}

/// Who is to be woken when there is something to do for the sending half.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    /// The task in `send`.
    pub(crate) sender: AtomicWaker,
    /// The background task, which writes what no `send` is there for.
    pub(crate) tender: Notify,
    /// Whether the background task waits until the socket takes more.
    pub(crate) tending: AtomicBool,
}

impl Wake for Sending {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.sender.wake();
        if self.tending.swap(false, Ordering::AcqRel) {
            self.tender.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_is_told_each_eighth_of_what_it_may_keep() {
        let session = Session::new(1);
        assert!(!session.has_come(EVERY as usize - 1));
        assert_eq!(session.to_be_told(), None);
        assert!(session.has_come(1));
        assert_eq!(session.to_be_told(), Some(EVERY));
        assert_eq!(session.to_be_told(), None, "it knows by now");
        assert!(session.has_come(3 * EVERY as usize));
        session.told(session.received());
        assert_eq!(session.to_be_told(), None);
    }

    #[test]
    fn what_comes_late_takes_nothing_back() {
        let session = Session::new(1);
        for count in [5, 9, 7] {
            session.acknowledge(count);
        }
        assert_eq!(session.acknowledged(), 9);
    }
}
