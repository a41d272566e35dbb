//! What an end counts while it runs, and the thread of it that tells the parent.

use std::io::{self, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::gaps::Gaps;
use crate::process::{MARK, OVER};

/// Counts messages and times. Cheap to clone; one thread at a time writes.
#[derive(Clone)]
pub(crate) struct Tally(Arc<Counts>);

struct Counts {
    messages: Alone,
    snapshots: AtomicU64,
    gaps: Gaps,
}

/// Not in one cache line with anything else.
#[repr(align(128))]
struct Alone(AtomicU64);

impl Tally {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Counts {
            messages: Alone(AtomicU64::new(0)),
            snapshots: AtomicU64::new(0),
            gaps: Gaps::new(),
        }))
    }

    /// A message was received.
    pub(crate) fn one(&self) {
        let messages = &self.0.messages.0;
        messages.store(messages.load(Relaxed) + 1, Relaxed);
    }

    /// A snapshot was committed.
    pub(crate) fn committed(&self) {
        self.0.snapshots.fetch_add(1, Relaxed);
    }

    /// Something took so long.
    pub(crate) fn took(&self, time: Duration) {
        self.0.gaps.add(time);
    }

    /// Answers the parent's marks from a thread of its own, and hands on what else it says. When the parent is gone, so is
    /// this process.
    pub(crate) fn answer(&self) -> Receiver<String> {
        let (tally, (sender, orders)) = (self.clone(), sync_channel(16));
        let begun = Instant::now();
        thread::spawn(move || {
            for order in io::stdin().lines().map_while(Result::ok) {
                match order.as_str() {
                    MARK => tally.mark(begun),
                    OVER => {
                        panic::set_hook(Box::new(|_| {}));
                        say(OVER);
                    }
                    // An end that has no use for orders gets none.
                    _ => _ = sender.send(order),
                }
            }
            std::process::exit(0);
        });
        orders
    }

    fn mark(&self, begun: Instant) {
        let (at, cpu, count) = (begun.elapsed().as_nanos(), clock::cpu(), self.0.messages.0.load(Relaxed));
        let (snapshots, times) = (self.0.snapshots.load(Relaxed), self.0.gaps.take());
        say(&format!(
            "{MARK} {at} {cpu} {count} {snapshots} {} {} {} {}",
            times.p50, times.p99, times.p999, times.longest
        ));
    }
}

/// Tells the parent.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    // Without a parent there is nobody to tell.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
