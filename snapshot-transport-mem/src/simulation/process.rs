//! One process of a node, polled by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use snapshot_core::{NodeError, SnapshotNode};

use super::Application;
use super::line::Plug;
use crate::run::Woken;

pub(super) struct Process<A: Application> {
    pub(super) life: Life<A>,
    /// Its own among all processes of the run.
    pub(super) number: u64,
    pub(super) plug: Plug,
    /// It is not polled before this moment, whatever wakes it.
    pub(super) asleep_until: Duration,
    woken: Arc<Woken>,
}

type Node<A> = SnapshotNode<<A as Application>::State, <A as Application>::Message>;
type Local<T> = Pin<Box<dyn Future<Output = T>>>;
pub(super) type Started<A> = (<A as Application>::State, Result<Node<A>, NodeError>);

pub(super) enum Life<A: Application> {
    Starting(Local<Started<A>>),
    Running { node: Box<Node<A>>, state: A::State },
    Leaving(Local<Result<(), NodeError>>),
}

/// What came of polling a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// It waits.
    Nothing,
    /// It took a message.
    Message,
    /// Something else happened.
    Event,
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Death {
    /// What it had sent still arrives.
    Killed,
    /// What was under way is gone.
    Crashed,
}

impl<A: Application> Process<A> {
    pub(super) fn new(number: u64, plug: Plug, life: Life<A>) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Self { life, number, plug, asleep_until: Duration::ZERO, woken }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.life, Life::Running { .. })
    }

    pub(super) fn is_awake(&self, now: Duration) -> bool {
        self.asleep_until <= now && self.woken.0.load(Ordering::Acquire)
    }

    pub(super) fn wake(&self) {
        self.woken.0.store(true, Ordering::Release);
    }

    /// To be called before it is polled: what wakes it from now on is news.
    pub(super) fn waker(&self) -> Waker {
        self.woken.0.store(false, Ordering::Release);
        Waker::from(Arc::clone(&self.woken))
    }

    /// Whether it runs and new work is welcome.
    pub(super) fn has_room(&self, now: Duration) -> bool {
        matches!(&self.life, Life::Running { node, .. } if self.asleep_until <= now && node.has_room())
    }
}
