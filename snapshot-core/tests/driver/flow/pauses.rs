//! A node that always has something to hand out gives way now and then: on an executor with one thread all else goes on.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use snapshot_core::{AbortReason, Event, Graph, SnapshotNode};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;
use snapshot_transport_tcp::TokioClock;

use super::support::*;

/// Far more messages than are handed out until what a test waits for has come.
const FOR_EVER: u64 = 5_000_000;

/// B, which is moved by hand in the turns of A, and so has sent more before A has taken what there is.
struct Source {
    node: Node,
    book: Book,
}

impl Source {
    fn refill(&mut self) {
        while self.node.has_room() {
            let parcel = self.book.send(A, 1);
            self.node.send(A, parcel).expect("there is room");
        }
        for _ in 0..8 {
            if let Some(event) = self.node.next(&mut self.book).now_or_never() {
                event.expect("it runs");
            }
        }
    }
}

/// A node of a group in which C is not started, and its source.
async fn start(tune: impl Fn(Builder) -> Builder) -> (Builder, Source) {
    let network: MemNetwork<Parcel> = network(&Graph::star([A, B, C]));
    let clock = Arc::new(TokioClock::new());
    let [a, b] = [A, B].map(|id| tune(builder(network.transport(id)).clock(clock.clone())));
    let mut book = Book::default();
    let node = b.start(&mut book).await.expect("it starts");
    (a, Source { node, book })
}

/// A loop that does nothing but take messages, until `done`.
async fn take(
    a: Builder,
    mut source: Source,
    mut done: impl FnMut(&mut Node, &Event<Parcel, Book>) -> bool,
) -> u64 {
    let mut book = Book::default();
    let mut node = a.start(&mut book).await.expect("it starts");
    let mut taken = 0;
    loop {
        if taken % 256 == 0 {
            source.refill();
        }
        let event = node.next(&mut book).await.expect("it runs");
        if done(&mut node, &event) {
            return taken;
        }
        if let Event::Message { from, message } = event {
            book.take(from.id(), message);
            taken += 1;
        }
        assert!(taken < FOR_EVER, "nothing else has its turn");
    }
}

/// On one thread, with all that is spawned.
fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// Counts what goes on beside: ticks of a timer, or turns of a task.
fn beside(ticks: Option<Duration>) -> Rc<Cell<u64>> {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    tokio::task::spawn_local(async move {
        let mut timer = ticks.map(tokio::time::interval);
        loop {
            match &mut timer {
                Some(timer) => drop(timer.tick().await),
                None => tokio::task::yield_now().await,
            }
            counted.set(counted.get() + 1);
        }
    });
    count
}

#[test]
fn a_task_beside_a_loop_that_never_waits_has_its_turn_every_few_hundred_messages() {
    run(async {
        let (a, source) = start(|builder| builder).await;
        let turns = beside(None);
        let taken = take(a, source, |_, _| turns.get() == 50).await;
        assert!(taken <= 2 * 50 * 513, "{taken}");
    });
}

#[test]
fn a_timer_beside_a_loop_that_never_waits_ticks() {
    run(async {
        let (a, source) = start(|builder| builder).await;
        let ticks = beside(Some(Duration::from_millis(1)));
        take(a, source, |_, _| ticks.get() >= 4).await;
    });
}

#[test]
fn the_deadline_of_a_snapshot_and_the_interval_of_the_next_come_in_a_loop_that_never_waits() {
    run(async {
        let (a, source) = start(|builder| builder).await;
        let a = a.interval(Duration::from_millis(2)).deadline(Duration::from_millis(1));
        let mut expired = 0;
        take(a, source, |_, event| {
            let late = |reason: &AbortReason| matches!(reason, AbortReason::Deadline { .. });
            expired += u64::from(matches!(event, Event::SnapshotAborted { reason, .. } if late(reason)));
            expired == 3
        })
        .await;
    });
}

#[test]
fn the_driver_of_a_shared_node_gives_way_too() {
    run(async {
        let (a, mut source) = start(|builder| builder).await;
        let (_node, driver) = a.share(Book::default()).await.expect("it starts");
        let ticks = beside(Some(Duration::from_millis(1)));
        let enough = async {
            while ticks.get() < 4 {
                tokio::task::yield_now().await;
            }
        };
        let mut taken = 0;
        source.refill();
        let run = driver.run(move |book: &mut Book, event, _| {
            if let Event::Message { from, message } = event {
                book.take(from.id(), message);
                taken += 1;
                assert!(taken < FOR_EVER, "nothing else has its turn");
                if taken % 256 == 0 {
                    source.refill();
                }
            }
            Ok(())
        });
        tokio::select! {
            ended = run => panic!("{ended:?}"),
            () = enough => {}
        }
    });
}

#[test]
fn a_loop_beside_others_on_one_thread_takes_messages_and_snapshots() {
    // Each of two nodes always has something to hand out, and neither has a thread of its own.
    run(async {
        let (network, store) = (network(&Graph::mesh([A, B])), MemoryStore::new());
        let clock = Arc::new(TokioClock::new());
        let build = |id| builder(network.transport(id)).clock(clock.clone()).store(store.clone());
        let log = Rc::default();
        for (id, to) in [(A, B), (B, A)] {
            let mut book = Book::default();
            let builder = build(id).interval(Duration::from_millis(5));
            let node: SnapshotNode<_, _> = builder.start(&mut book).await.expect("it starts");
            let habits = Habits { to: vec![to], weight: 64, busy: Duration::ZERO };
            tokio::task::spawn_local(serve(node, book, habits, clock.clone(), Rc::clone(&log)));
        }
        let log: &std::cell::RefCell<Log> = &log;
        while log.borrow().committed.len() < 3 {
            assert!(log.borrow().taken < FOR_EVER, "no snapshot has its turn");
            tokio::task::yield_now().await;
        }
        assert!(log.borrow().taken > 0);
    });
}
