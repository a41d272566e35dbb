//! The network's own executor: deterministic, and it moves time on whenever there is nothing else to do.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::{ChannelStatus, MemNetwork};

/// How long [`MemNetwork::run`] goes on, in virtual time.
const HOUR: Duration = Duration::from_secs(3600);

/// How often a future is polled without time moving on. Far beyond what honest work needs, and yet seconds only.
const POLLS_A_MOMENT: u32 = 10_000_000;

impl<M: Send + 'static> MemNetwork<M> {
    /// Runs a future to its end, on this thread. Whenever it waits and nothing has woken it, time moves on to the next
    /// arrival or end of a sleep. Gives up after one hour of virtual time.
    ///
    /// Several nodes run side by side as one future: `futures::join!`, `join_all`, `FuturesUnordered`. What the future
    /// waits for must be inside: the network, its clock, its own other parts. For a runtime's timer, a thread or a socket
    /// this does not wait.
    ///
    /// ```
    /// use snapshot_core::Transport;
    /// use snapshot_transport_mem::MemNetwork;
    /// use std::time::Duration;
    ///
    /// let (network, [_a, b]) = MemNetwork::<u64>::mesh::<2>();
    /// let clock = network.clock();
    /// network.run(async { clock.sleep_until(Duration::from_secs(60)).await })?;
    /// assert_eq!(network.now(), Duration::from_secs(60));
    ///
    /// // A test that waits for what never comes fails, and says how things stand.
    /// let mut inbox = snapshot_core::Inbox::with_capacity(8);
    /// let stuck = network.run(async { while b.recv(&mut inbox).await.is_ok() {} }).unwrap_err();
    /// assert!(stuck.is_idle());
    /// # Ok::<(), snapshot_transport_mem::Stuck>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Stuck`], which says how every channel stands: nothing will ever wake the future, the hour is over, or the future
    /// wakes itself over and over.
    pub fn run<F: Future>(&self, future: F) -> Result<F::Output, Stuck> {
        self.run_for(HOUR, future)
    }

    /// As [`run`](Self::run), with another limit of virtual time.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). Time then stands at the last moment at which something happened, within the limit.
    pub fn run_for<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Stuck> {
        let end = self.now().saturating_add(limit);
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut polls = 0;
        loop {
            while woken.0.swap(false, Ordering::AcqRel) {
                if polls == POLLS_A_MOMENT {
                    return Err(self.stuck(Reason::Restless));
                }
                polls += 1;
                if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                    return Ok(output);
                }
            }
            match self.fabric.time.next() {
                Some(at) if at <= end => self.fabric.move_to(at),
                Some(at) => return Err(self.stuck(Reason::OutOfTime { next: at })),
                None => return Err(self.stuck(Reason::Idle)),
            }
            polls = 0;
        }
    }

    fn stuck(&self, reason: Reason) -> Stuck {
        Stuck { reason, now: self.now(), channels: self.channels() }
    }
}

/// Whether a future has been woken since this was last looked at.
pub(crate) struct Woken(pub(crate) AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Why [`MemNetwork::run`] has given up. Its text says how every channel stands that is not empty and free.
///
/// ```
/// use snapshot_transport_mem::MemNetwork;
/// let (network, [a, b]) = MemNetwork::<u64>::mesh::<2>();
/// network.hold(a.id(), b.id());
/// let stuck = network.run(std::future::pending::<()>()).unwrap_err();
/// assert!(stuck.is_idle());
/// assert!(stuck.to_string().contains("n1 -> n2: empty, held"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Stuck {
    reason: Reason,
    now: Duration,
    channels: Vec<ChannelStatus>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    Idle,
    OutOfTime { next: Duration },
    Restless,
}

impl Stuck {
    /// Whether nothing would ever have woken the future.
    pub fn is_idle(&self) -> bool {
        self.reason == Reason::Idle
    }

    /// Whether the limit of virtual time was reached.
    pub fn is_out_of_time(&self) -> bool {
        matches!(self.reason, Reason::OutOfTime { .. })
    }

    /// The virtual time at which it was.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// How every channel stood, ascending by sender, then receiver.
    pub fn channels(&self) -> &[ChannelStatus] {
        &self.channels
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Idle => write!(
                f,
                "stuck at {:?}: the future waits, no frame is due and no sleep under way; release what is held, or let \
                 somebody receive or send (a thread or a runtime's timer is not waited for: a store that works on threads, as \
                 `DirectoryStore` does, needs a runtime; `MemoryStore` does not)",
                self.now
            )?,
            Reason::OutOfTime { next } => write!(
                f,
                "out of time at {:?}: the next thing would happen at {next:?}, beyond the limit; give `run_for` more time, \
                 or find out what keeps the future waiting",
                self.now
            )?,
            Reason::Restless => write!(
                f,
                "stuck at {:?}: the future was polled {POLLS_A_MOMENT} times without time moving on; find out what wakes it \
                 over and over",
                self.now
            )?,
        }
        let mut at_rest = 0;
        for channel in &self.channels {
            if channel.is_at_rest() {
                at_rest += 1;
            } else {
                write!(f, "\n  {channel}")?;
            }
        }
        match at_rest {
            0 => Ok(()),
            1 => write!(f, "\n  1 channel is empty and free"),
            _ => write!(f, "\n  {at_rest} channels are empty and free"),
        }
    }
}

impl fmt::Debug for Stuck {
    /// The same text, which is what a failed test shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Stuck {}
